"""Deterministic dynamics: one z for the whole sequence, the same training and control."""

from __future__ import annotations

import pyro
import pytest
import torch
from conftest import SIZES
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from torch import nn

import pyro_dsae
from pyro_dsae import LSTMc, LSTMf, LSTMGuide
from pyro_dsae.nn import LSTMRollout

MODELS = [LSTMf, LSTMc]


@pytest.mark.parametrize("frame_shape", [(3, 16, 16), (20,)], ids=str)
@pytest.mark.parametrize("model_type", MODELS)
def test_sites_and_training(model_type, frame_shape):
    model, guide = model_type(frame_shape, **SIZES), LSTMGuide(frame_shape, **SIZES)
    x = torch.rand(6, 4, *frame_shape)
    trace = poutine.trace(guide).get_trace(x)
    replayed = poutine.trace(poutine.replay(model, trace=trace)).get_trace(x)
    for name, event in (("f", (5,)), ("z", (3,)), ("x", (4, *frame_shape))):
        fn = replayed.nodes[name]["fn"]
        assert (fn.batch_shape, fn.event_shape) == ((6,), event)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 3e-3}), Trace_ELBO())
    losses = [svi.step(x) for _ in range(30)]
    assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.parametrize("model_type", MODELS)
def test_every_parameter_has_a_gradient(x, model_type):
    model, guide = model_type((3, 16, 16), **SIZES), LSTMGuide((3, 16, 16), **SIZES)
    Trace_ELBO()(model, guide)(x).backward()
    for module in (model, guide):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("feed", [False, True])
def test_the_rollout_is_the_recurrence(feed):
    rollout = LSTMRollout(3, 8, feed=feed)
    cell = nn.LSTMCell(3 if feed else 1, 8)
    cell.load_state_dict(
        {name.removesuffix("_l0"): value for name, value in rollout.lstm.state_dict().items()}
    )
    z = torch.randn(4, 3)
    if feed:
        state = torch.zeros(4, 8), torch.zeros(4, 8)
    else:
        h, c = rollout.start(z).chunk(2, dim=-1)
        state = h.tanh(), c
    expected = []
    for _ in range(6):
        state = cell(z if feed else torch.ones(4, 1), state)
        expected.append(state[0])
    torch.testing.assert_close(rollout(z, 6), torch.stack(expected, dim=1))


@pytest.mark.parametrize("model_type", MODELS)
def test_z_is_where_one_starts_and_what_the_other_hears(model_type):
    model = model_type((20,), **SIZES)
    nn.init.zeros_(model.prior.lstm.weight_ih_l0)  # deaf
    differ = not torch.allclose(*model.states(torch.randn(2, 3), 4))
    assert differ is (model_type is LSTMf)


@pytest.mark.parametrize("model_type", MODELS)
def test_control(x, model_type):
    model = model_type((3, 16, 16), **SIZES).eval()
    guide = LSTMGuide((3, 16, 16), **SIZES).eval()
    latents, others = pyro_dsae.infer(guide, x), pyro_dsae.infer(guide, x.flip(0))
    swapped = pyro_dsae.swap(model, guide, x, x.flip(0))
    by_hand = pyro_dsae.generate(model, f=latents["f"], z=others["z"], num_frames=4)
    torch.testing.assert_close(swapped, by_hand)
    assert pyro_dsae.swap(model, guide, x, x[:, :3]).shape == (12, 3, 3, 16, 16)
    assert pyro_dsae.generate(model, f=latents["f"], num_frames=50).shape[:2] == (12, 50)

    pyro.set_rng_seed(0)
    futures = pyro_dsae.forecast(model, guide, x, 3, num_futures=2)
    pyro.set_rng_seed(0)
    drawn = pyro_dsae.infer(guide, x.repeat(2, 1, 1, 1, 1), sample=True)
    straight = pyro_dsae.generate(model, **drawn, num_frames=7)[:, 4:]
    torch.testing.assert_close(futures.flatten(0, 1), straight)
    # What is to come is in z alone: a longer future goes on from a shorter.
    more = pyro_dsae.generate(model, **drawn, num_frames=20)
    torch.testing.assert_close(more[:, 4:7], straight)


@pytest.mark.parametrize("model_type", MODELS)
def test_is_saved_and_goes_to_arviz(x, model_type, tmp_path):
    model, guide = model_type((3, 16, 16), **SIZES), LSTMGuide((3, 16, 16), **SIZES)
    pyro_dsae.save(tmp_path, model, guide)
    before = pyro_dsae.reconstruct(model.eval(), guide.eval(), x)
    torch.testing.assert_close(pyro_dsae.reconstruct(*pyro_dsae.load(tmp_path), x), before)
    container = pyro_dsae.to_arviz(model, guide, x[:3], num_samples=5, predictive=None)
    assert container["posterior"]["z"].shape == (1, 5, 3, 3)


def test_forecast_of_a_segment_model_runs_on(x):
    model = pyro_dsae.FHVAE((20,), channels=4, hidden=16)
    guide = pyro_dsae.FHVAEGuide((20,), utterances=3, channels=4, hidden=16)
    assert pyro_dsae.forecast(model, guide, torch.randn(2, 5, 20), 4).shape == (1, 2, 4, 20)
