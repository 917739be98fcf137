"""The contract of sites: every model with every guide."""

from __future__ import annotations

import pyro
import pytest
import torch
from conftest import GUIDES, MODELS, SIZES
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from torch import nn

import pyro_dsae
from pyro_dsae import views
from pyro_dsae.nn import ModulatedDecoder

FRAMES = [(3, 16, 16), (1, 32, 16), (20,)]


def q_of(guide, x, f):
    """q(z | f, x) at a given f."""
    trace = poutine.trace(poutine.condition(guide, data={"f": f})).get_trace(x)
    return trace.nodes["z"]["fn"].mean


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


def test_a_residual_prior_moves_on_from_the_last_step(x, tmp_path):
    model = pyro_dsae.DSAE((3, 16, 16), **SIZES, residual=True)
    plain = pyro_dsae.DSAE((3, 16, 16), **SIZES)
    plain.load_state_dict(model.state_dict())
    z = torch.randn(2, 4, 3)
    torch.testing.assert_close(model.prior(z)[0], z + plain.prior(z)[0])
    guide = pyro_dsae.Factorised((3, 16, 16), **SIZES)
    pyro_dsae.save(tmp_path, model, guide)
    again, _ = pyro_dsae.load(tmp_path)
    assert again.residual and again.prior.residual


class TestPairwise:
    def test_the_order_of_frames_does_not_matter_to_f(self, make_pair, x):
        _, guide = make_pair(guide=pyro_dsae.Pairwise)
        order = torch.tensor([2, 0, 3, 1])
        latents, permuted = (pyro_dsae.infer(guide.eval(), each) for each in (x, x[:, order]))
        torch.testing.assert_close(latents["f"], permuted["f"])
        torch.testing.assert_close(latents["z"][:, order], permuted["z"])
        assert not torch.allclose(latents["f"], latents["f"].roll(1, 0), atol=1e-3)

    def test_z_depends_on_f_and_on_its_own_frame_alone(self, make_pair, x):
        _, guide = make_pair(guide=pyro_dsae.Pairwise)
        f, other = torch.zeros(12, 5), x.clone()
        other[:, 3] = 0
        assert not torch.allclose(q_of(guide, x, f), q_of(guide, x, f + 1))
        before, after = q_of(guide, x, f), q_of(guide, other, f)
        torch.testing.assert_close(before[:, :3], after[:, :3])
        assert not torch.allclose(before[:, 3], after[:, 3])

    def test_f_sees_a_few_random_frames_while_it_trains(self, x):
        sizes = {**SIZES, "content_frames": (1, 3)}
        guide = pyro_dsae.Pairwise((3, 16, 16), **sizes)
        seen = []
        guide.summary.register_forward_hook(lambda module, args, out: seen.append(args[0].shape[1]))
        for _ in range(30):
            guide(x)
        assert set(seen) == {1, 2, 3}
        seen.clear()
        guide.eval()(x)
        assert seen == [4]

    def test_a_view_of_the_users_own_sees_the_drawn_frames(self, x):
        view = views.ShuffleStrips(4)
        guide = pyro_dsae.Pairwise((3, 16, 16), **SIZES, content_frames=2, content_view=view)
        assert guide.content_view(x).shape == (12, 2, 3, 16, 16)

    @pytest.mark.parametrize("maps", [True, False])
    def test_an_encoder_of_the_users_own_gives_maps_or_vectors(self, maps):
        tail = [] if maps else [nn.Flatten()]
        encoder = nn.Sequential(nn.Conv2d(2, 7, 3, stride=2), *tail)

        class Frames(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = encoder

            def forward(self, x):
                return self.net(x.reshape(-1, *x.shape[-3:])).unflatten(0, x.shape[:-3])

        guide = pyro_dsae.Pairwise((2, 6, 6), **SIZES, encoder=Frames())
        assert pyro_dsae.infer(guide, torch.rand(3, 4, 2, 6, 6))["z"].shape == (3, 4, 3)

    @pytest.mark.parametrize("content_encoder", [False, True, "pooled"])
    def test_is_saved_with_its_own_options(self, x, content_encoder, tmp_path):
        model = pyro_dsae.Unordered((3, 16, 16), **SIZES, modulated=True)
        options = {"content_frames": 2, "pairs_at_once": 5, "content_encoder": content_encoder}
        guide = pyro_dsae.Pairwise((3, 16, 16), **SIZES, **options)
        pyro_dsae.save(tmp_path, model, guide)
        model_again, guide_again = pyro_dsae.load(tmp_path)
        assert guide_again.summary.pairs_at_once == 5
        before = pyro_dsae.reconstruct(model.eval(), guide.eval(), x)
        torch.testing.assert_close(before, pyro_dsae.reconstruct(model_again, guide_again, x))


class TestUnordered:
    def test_frames_are_exchangeable_given_f(self, x):
        model = pyro_dsae.Unordered((3, 16, 16), **SIZES)
        data = {"f": torch.randn(12, 5), "z": torch.randn(12, 4, 3)}
        order = torch.tensor([2, 0, 3, 1])

        def log_joint(z, x):
            conditioned = poutine.condition(model, data={**data, "z": z})
            return poutine.trace(conditioned).get_trace(x).log_prob_sum()

        straight, permuted = (log_joint(data["z"], x), log_joint(data["z"][:, order], x[:, order]))
        torch.testing.assert_close(straight, permuted)
        assert not torch.isclose(straight, log_joint(data["z"][:, order], x))

    def test_the_dynamics_depend_on_the_content(self):
        model = pyro_dsae.Unordered((3, 16, 16), **SIZES)
        f = torch.randn(2, 5)
        p_z = model.p_z(f, 7)
        assert p_z.event_shape == (7, 3)
        assert not torch.allclose(p_z.mean[0], p_z.mean[1])

    def test_new_frames_of_a_known_thing(self, x):
        model = pyro_dsae.Unordered((3, 16, 16), **SIZES)
        guide = pyro_dsae.Pairwise((3, 16, 16), **SIZES)
        assert pyro_dsae.forecast(model, guide, x, 3, num_futures=2).shape == (2, 12, 3, 3, 16, 16)


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


@settings(max_examples=15, deadline=None)
@given(
    channels=st.integers(1, 4),
    height=st.sampled_from([16, 32, 48]),
    width=st.sampled_from([16, 64]),
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
    with pytest.raises(ValueError, match="multiples of 16, got 20 x 32"):
        pyro_dsae.DSAE((3, 20, 32))
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


class TestViews:
    def test_recolour_keeps_shapes_and_hides_colour(self):
        x = torch.zeros(2, 3, 3, 4, 4)
        x[..., :2, :] = torch.tensor([1.0, 0.0, 0.5]).reshape(3, 1, 1)
        seen = views.Recolour()(x)
        assert seen.shape == x.shape
        assert 0 <= seen.min() and seen.max() <= 1
        torch.testing.assert_close(seen[:, 0], seen[:, 2])  # one map for all frames of a sequence
        assert not torch.allclose(seen[0], seen[1])  # another for each sequence
        assert (seen[..., :2, :] - seen[..., :2, :1]).abs().max() < 1e-6  # areas stay even
        assert seen[..., 2:, :].abs().max() == 0  # black stays black

        # Two pure colours of one brightness look alike on average.
        red, green = (
            torch.eye(3)[i].reshape(1, 1, 3, 1, 1).expand(5000, 1, 3, 1, 1) for i in (0, 1)
        )
        means = [views.Recolour()(colour).mean(0) for colour in (red, green)]
        torch.testing.assert_close(*means, atol=0.05, rtol=0)

    def test_few_frames_are_frames_of_the_same_sequence(self, x):
        seen = views.FewFrames(3)(x)
        assert seen.shape == (12, 3, 3, 16, 16)
        for i in range(12):
            found = {t for s in seen[i] for t in range(4) if torch.equal(s, x[i, t])}
            assert len(found) == 3

    def test_shuffled_strips_are_the_same_strips(self, x):
        seen = views.ShuffleStrips(4)(x)
        strips, shuffled = (v.unfold(-1, 4, 4).flatten(0, 1) for v in (x, seen))
        assert not torch.equal(strips, shuffled)
        for before, after in zip(strips, shuffled, strict=True):  # (C, H, strips, 4)
            found = [any(torch.equal(b, a) for b in before.unbind(2)) for a in after.unbind(2)]
            assert all(found)
            torch.testing.assert_close(before.sum((2, 3)), after.sum((2, 3)))

    def test_jitter_shifts_frames_and_changes_their_light(self):
        x = torch.zeros(1, 300, 1, 9, 9)
        x[..., 4, 4] = 0.5
        seen = views.Jitter(2)(x)
        assert seen.shape == x.shape
        assert (seen.flatten(2) > 0).sum(-1).eq(1).all()  # one bright pixel, somewhere else
        places = seen.flatten(2).argmax(-1)
        rows, columns = places // 9, places % 9
        for found in (rows, columns):
            assert set(found.flatten().tolist()) == {2, 3, 4, 5, 6}
        light = seen.flatten(2).amax(-1)
        torch.testing.assert_close((2 * light).log().std(), torch.tensor(0.2), atol=0.04, rtol=0)
        still = torch.rand(2, 3, 3, 8, 8)
        torch.testing.assert_close(views.Jitter(0, contrast=0.0)(still), still)
        assert torch.equal(
            views.Jitter(3, contrast=0.0)(torch.ones_like(still)), torch.ones_like(still)
        )

    def test_strips_must_divide_the_frame(self, x):
        with pytest.raises(ValueError, match="width of 16 .* strips of 5"):
            views.ShuffleStrips(5)(x)

    @pytest.mark.parametrize("guide_type", GUIDES)
    def test_views_act_in_training_only_and_on_their_own_site(self, x, guide_type):
        class Blank(nn.Module):
            def forward(self, x):
                return torch.zeros_like(x)

        guide = guide_type((3, 16, 16), **SIZES, content_view=Blank())
        assert torch.equal(*pyro_dsae.infer(guide, x)["f"][:2])
        assert not torch.equal(*pyro_dsae.infer(guide, x)["z"][:2])
        assert not torch.equal(*pyro_dsae.infer(guide.eval(), x)["f"][:2])
