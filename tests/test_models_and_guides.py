"""The contract of sites: every model with every guide."""

from __future__ import annotations

import pyro
import pytest
import torch
from conftest import GUIDES, MODELS, SIZES, q_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from torch import nn

import pyro_dsae
from pyro_dsae.nn import ModulatedDecoder

FRAMES = [(3, 16, 16), (1, 32, 16), (20,)]


@pytest.mark.parametrize("frame_shape", FRAMES, ids=str)
@pytest.mark.parametrize("guide_type", GUIDES)
@pytest.mark.parametrize("model_type", MODELS)
def test_pairs_train_and_keep_the_contract(model_type, guide_type, frame_shape):
    model, guide = model_type(frame_shape, **SIZES), guide_type(frame_shape, **SIZES)
    x = torch.rand(6, 4, *frame_shape)
    trace = poutine.trace(guide).get_trace(x)
    replayed = poutine.trace(poutine.replay(model, trace=trace)).get_trace(x)
    for name, event in (("f", (5,)), ("z", (4, 3)), ("x", (4, *frame_shape))):
        for nodes in (replayed.nodes,) if name == "x" else (trace.nodes, replayed.nodes):
            fn = nodes[name]["fn"]
            assert (fn.batch_shape, fn.event_shape) == ((6,), event)
            assert [frame.name for frame in nodes[name]["cond_indep_stack"]] == ["sequences"]

    svi = SVI(model, guide, pyro.optim.Adam({"lr": 3e-3}), Trace_ELBO())
    losses = [svi.step(x) for _ in range(30)]
    assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.parametrize("guide_type", GUIDES)
@pytest.mark.parametrize("model_type", MODELS)
@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "normal"])
def test_every_parameter_has_a_gradient(make_pair, x, guide_type, model_type, likelihood):
    model, guide = make_pair(model=model_type, guide=guide_type, likelihood=likelihood)
    Trace_ELBO()(model, guide)(x).backward()
    for module in (model, guide):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_generates_without_data(make_pair):
    model, _ = make_pair()
    assert model(batch_size=2, num_frames=9).shape == (2, 9, 3, 16, 16)
    trace = poutine.trace(model).get_trace(batch_size=2, num_frames=9)
    assert not trace.nodes["x"]["is_observed"]


def test_likelihoods_are_the_distributions_they_name(make_pair, x):
    for likelihood, expected in [
        ("bernoulli", lambda p: x * p.log() + (1 - x) * (1 - p).log()),
        ("normal", lambda m: -0.5 * (x - m) ** 2 - 0.5 * torch.log(torch.tensor(2 * torch.pi))),
    ]:
        model, guide = make_pair(likelihood=likelihood)
        trace = poutine.trace(poutine.replay(model, trace=poutine.trace(guide).get_trace(x)))
        trace = trace.get_trace(x)
        trace.compute_log_prob()
        by_hand = expected(trace.nodes["_RETURN"]["value"]).flatten(1).sum(1)
        torch.testing.assert_close(trace.nodes["x"]["log_prob"], by_hand, rtol=1e-3, atol=1e-2)


def test_z_of_the_factorised_guide_depends_on_its_own_frame_alone(make_pair, x):
    _, guide = make_pair()
    other = x.clone()
    other[:, 1] = torch.rand_like(other[:, 1])
    z, z_other = (pyro_dsae.infer(guide.eval(), each)["z"] for each in (x, other))
    torch.testing.assert_close(z[:, [0, 2, 3]], z_other[:, [0, 2, 3]])
    assert not torch.allclose(z[:, 1], z_other[:, 1])


def test_z_of_the_full_guide_depends_on_f_and_on_all_frames(make_pair, x):
    _, guide = make_pair(guide=pyro_dsae.Full)

    f, other = torch.zeros(12, 5), x.clone()
    other[:, 3] = 0
    assert not torch.allclose(q_of(guide, x, f), q_of(guide, x, f + 1))
    assert not torch.allclose(q_of(guide, x, f)[:, 0], q_of(guide, other, f)[:, 0])


@pytest.mark.parametrize("guide", [pyro_dsae.Full, pyro_dsae.Pairwise, pyro_dsae.LSTMGuide])
def test_z_tells_f_how_to_change(make_pair, x, guide):
    f = torch.zeros(12, 5, requires_grad=True)
    q_of(make_pair(guide=guide)[1], x, f).sum().backward()
    assert (f.grad != 0).all()


def test_a_residual_prior_moves_on_from_the_last_step(x, tmp_path):
    model = pyro_dsae.DSAE((3, 16, 16), **SIZES, residual=True)
    plain = pyro_dsae.DSAE((3, 16, 16), **SIZES)
    plain.load_state_dict(model.state_dict())
    z = torch.randn(2, 4, 3)
    torch.testing.assert_close(model.prior.transition(z)[0], z + plain.prior.transition(z)[0])
    guide = pyro_dsae.Factorised((3, 16, 16), **SIZES)
    pyro_dsae.save(tmp_path, model, guide)
    again, _ = pyro_dsae.load(tmp_path)
    assert again.residual and again.prior.residual


def test_networks_of_the_users_own():
    class Transition(nn.Module):
        def forward(self, z, state=None):
            return 0.9 * z, torch.ones_like(z), state

    frame = (2, 6, 6)  # 16 does not divide it, and the networks below do not mind
    encoder = nn.Sequential(nn.Flatten(-3), nn.Linear(72, 16))
    decoder = nn.Sequential(nn.Linear(8, 72), nn.Unflatten(-1, frame))
    model = pyro_dsae.DSAE(frame, **SIZES, decoder=decoder, prior=Transition())
    guide = pyro_dsae.Factorised(frame, **SIZES, encoder=encoder)
    assert Trace_ELBO()(model, guide)(torch.rand(3, 4, *frame)).isfinite()


def test_f_scales_and_shifts_the_channels_of_a_modulated_decoder(make_pair):
    model, _ = make_pair(modulated=True)
    assert isinstance(model.decoder, ModulatedDecoder)
    torch.nn.init.zeros_(model.decoder.modulation.weight)
    f, z = torch.randn(2, 4, 5), torch.randn(2, 4, 3)
    frames = model.decoder(torch.cat([f, z], dim=-1))
    torch.testing.assert_close(frames, model.decoder(torch.cat([f + 1, z], dim=-1)))

    h = model.decoder.dense(z.flatten(0, 1)).reshape(8, *model.decoder.base)
    for layer in model.decoder.deconv:
        h = layer(nn.functional.leaky_relu(h, 0.2))
    torch.testing.assert_close(frames, h.reshape(frames.shape))


def test_dense_layers_are_kept_with_the_model_and_see_z_alone(tmp_path):
    frame = (3, 16, 16)
    model = pyro_dsae.DSAE(frame, **SIZES, modulated=True, dense=(12, 10))
    pyro_dsae.save(tmp_path, model, pyro_dsae.Factorised(frame, **SIZES))
    again, _ = pyro_dsae.load(tmp_path)
    f, z = torch.randn(2, 4, SIZES["f_dim"]), torch.randn(2, 4, SIZES["z_dim"])
    frames = model.decoder(torch.cat([f, z], dim=-1))
    torch.testing.assert_close(again.decoder(torch.cat([f, z], dim=-1)), frames)

    laid_out = []
    model.decoder.dense.register_forward_hook(lambda *call: laid_out.append(call[-1]))
    for content in (f, f + 1):
        model.decoder(torch.cat([content, z], dim=-1))
    torch.testing.assert_close(*laid_out)


@settings(max_examples=15, deadline=None)
@given(
    channels=st.integers(1, 4),
    height=st.integers(8, 50),
    width=st.sampled_from([8, 16, 24, 37, 64]),
    n=st.integers(1, 3),
    steps=st.integers(1, 3),
)
def test_any_channels_and_sizes(channels, height, width, n, steps):
    shape = (channels, height, width)
    model = pyro_dsae.DSAE(shape, f_dim=2, z_dim=2, channels=1, hidden=4)
    guide = pyro_dsae.Full(shape, f_dim=2, z_dim=2, channels=1, hidden=4)
    x = torch.rand(n, steps, *shape)
    assert pyro_dsae.reconstruct(model, guide, x).shape == x.shape


def test_bad_frames_are_named():
    with pytest.raises(ValueError, match="height and width must be at least 8, got 7 x 32"):
        pyro_dsae.DSAE((3, 7, 32))
    with pytest.raises(ValueError, match=r"frame_shape must be .* got \(3, 4\)"):
        pyro_dsae.Factorised((3, 4))
    with pytest.raises(ValueError, match=r"num_frames must be at least 1, and rise, got \(3, 2\)"):
        pyro_dsae.Pairwise((3, 16, 16), content_frames=(3, 2))
    with pytest.raises(ValueError, match="content_encoder must be a module, a bool or 'pooled'"):
        pyro_dsae.Full((3, 16, 16), content_encoder="pool")
    with pytest.raises(ValueError, match=r"must be \(channels, height, width\), got \(20,\)"):
        pyro_dsae.Full((20,), content_encoder="pooled")
    with pytest.raises(ValueError, match="likelihood must be one of bernoulli, .*, got 'poisson'"):
        pyro_dsae.DSAE((20,), likelihood="poisson")
    model, guide = pyro_dsae.DSAE((1, 16, 16)), pyro_dsae.Factorised((1, 16, 16))
    for program in (model, guide):
        with pytest.raises(
            ValueError,
            match=r"x must be \(batch, time, channels, height, width\).*got \(8, 16, 16\)",
        ):
            program(torch.zeros(8, 16, 16))


def test_two_models_do_not_share_weights(make_pair, x):
    first, second = make_pair(seed=1), make_pair(seed=2)
    before = [p.clone() for p in second[0].parameters()]
    pyro_dsae.fit(*first, x, steps=2, device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(before, second[0].parameters(), strict=True))
    assert len(list(pyro.get_param_store().keys())) == 0


def test_options_that_nothing_would_take(make_pair):
    prior = pyro_dsae.DSAE((20,), f_dim=4, z_dim=3, hidden=8).prior
    with pytest.raises(ValueError, match="residual is of priors by name"):
        pyro_dsae.DSAE((20,), f_dim=4, z_dim=3, hidden=8, prior=prior, residual=True)
    with pytest.raises(ValueError, match="modulated decoders are of images"):
        pyro_dsae.DSAE((20,), f_dim=4, z_dim=3, hidden=8, modulated=True)


@pytest.mark.parametrize(("real", "expected"), [(True, "bf16"), (False, "no")])
def test_bf16_only_where_a_gpu_has_it(monkeypatch, real, expected):
    """Older ones act as if: what torch says unless it is asked not to count that."""
    from pyro_dsae.training import devices

    made = {}
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: including_emulation or real,
    )
    monkeypatch.setattr(devices, "Accelerator", lambda **how: made.update(how))
    devices.make_accelerator(None, "auto")
    assert made == {"cpu": False, "mixed_precision": expected}
