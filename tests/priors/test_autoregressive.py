"""AutoregressiveNormal against explicit loops."""

from __future__ import annotations

import time

import pyro
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro import distributions as dist
from pyro import poutine

from pyro_dsae import AutoregressiveNormal
from pyro_dsae.nn import LSTMTransition

Z_DIM = 3


@pytest.fixture
def transition():
    return LSTMTransition(Z_DIM, hidden=8)


def looped_log_prob(transition, z):
    """T sites in a ``pyro.markov`` loop, one step of the LSTM each."""

    def program():
        state, z_t = None, torch.zeros(len(z), 1, Z_DIM)
        with pyro.plate("sequences", len(z), dim=-1):
            for t in pyro.markov(range(z.shape[1])):
                loc, scale, state = transition(z_t, state)
                step = dist.Normal(loc[:, 0], scale[:, 0]).to_event(1)
                z_t = pyro.sample(f"z_{t}", step, obs=z[:, t]).unsqueeze(1)

    trace = poutine.trace(program).get_trace()
    trace.compute_log_prob()
    return sum(trace.nodes[f"z_{t}"]["log_prob"] for t in range(z.shape[1]))


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def test_log_prob_is_that_of_a_markov_loop(transition):
    z = torch.randn(7, 6, Z_DIM)
    one_site = AutoregressiveNormal(transition, 6, Z_DIM).log_prob(z)
    torch.testing.assert_close(one_site, looped_log_prob(transition, z), atol=1e-5, rtol=1e-5)


def test_log_prob_and_gradients_agree_in_double_precision(transition):
    transition.double()
    z = torch.randn(2, 4, Z_DIM, dtype=torch.float64, requires_grad=True)
    law = AutoregressiveNormal(transition, 4, Z_DIM)
    assert torch.autograd.gradcheck(law.log_prob, z)


def test_samples_have_the_law_of_log_prob(transition):
    """Whitened by the network's own parameters, draws are independent standard Normals."""
    law = AutoregressiveNormal(transition, 5, Z_DIM)
    z = law.sample((20_000,))
    loc, scale, _ = transition(torch.cat([torch.zeros(len(z), 1, Z_DIM), z[:, :-1]], dim=1))
    noise = ((z - loc) / scale).flatten(1)
    assert noise.mean(0).abs().max() < 0.04
    torch.testing.assert_close(noise.T.cov(), torch.eye(5 * Z_DIM), atol=0.05, rtol=0)


def test_rsample_passes_gradients_to_the_transition(transition):
    AutoregressiveNormal(transition, 4, Z_DIM).rsample((6,)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in transition.parameters())


def test_a_draw_takes_no_longer_than_a_few_teacher_forced_passes():
    law = AutoregressiveNormal(LSTMTransition(16, hidden=64), 50, 16).expand([512])
    with torch.no_grad():
        z = law.sample()
        turns = [(seconds(law.sample), seconds(lambda: law.log_prob(z))) for _ in range(5)]
    drawn, forced = (min(times) for times in zip(*turns, strict=True))
    assert drawn < 5 * forced


@pytest.mark.parametrize("split", [1, 3, 5])
def test_prefix_condition_factorises_the_joint(transition, split):
    z = torch.randn(4, 6, Z_DIM)
    joint = AutoregressiveNormal(transition, 6, Z_DIM)
    past = AutoregressiveNormal(transition, split, Z_DIM).log_prob(z[:, :split])
    future = joint.prefix_condition(z[:, :split]).log_prob(z[:, split:])
    torch.testing.assert_close(past + future, joint.log_prob(z), atol=1e-5, rtol=1e-5)


def test_prefix_condition_twice_is_once(transition):
    z = torch.randn(4, 6, Z_DIM)
    joint = AutoregressiveNormal(transition, 6, Z_DIM)
    twice = joint.prefix_condition(z[:, :2]).prefix_condition(z[:, 2:3])
    once = joint.prefix_condition(z[:, :3])
    torch.testing.assert_close(twice.log_prob(z[:, 3:]), once.log_prob(z[:, 3:]))


def test_prefix_condition_samples_by_brute_force(transition):
    """One step after a past is a Normal whose moments the network gives directly."""
    past = torch.randn(1, 3, Z_DIM)
    law = AutoregressiveNormal(transition, 4, Z_DIM).prefix_condition(past)
    loc, scale, _ = transition(torch.cat([torch.zeros(1, 1, Z_DIM), past], dim=1))
    draws = law.sample((20_000,)).squeeze()
    torch.testing.assert_close(draws.mean(0), loc[0, -1], atol=0.03, rtol=0)
    torch.testing.assert_close(draws.std(0), scale[0, -1], atol=0.03, rtol=0)


@settings(max_examples=25, deadline=None)
@given(
    batch=st.lists(st.integers(1, 3), max_size=2),
    sample=st.lists(st.integers(1, 3), max_size=2),
    frames=st.integers(1, 4),
    seen=st.integers(0, 2),
)
def test_shapes(batch, sample, frames, seen):
    transition = LSTMTransition(Z_DIM, hidden=4)
    law = AutoregressiveNormal(transition, frames + seen, Z_DIM, validate_args=True).expand(batch)
    if seen:
        law = law.prefix_condition(torch.randn(seen, Z_DIM))
    assert law.batch_shape == torch.Size(batch)
    assert law.event_shape == (frames, Z_DIM)
    z = law.rsample(sample)
    assert z.shape == (*sample, *batch, frames, Z_DIM)
    assert law.log_prob(z).shape == (*sample, *batch)


def test_broadcasts_values_against_batches(transition):
    past = torch.randn(5, 1, 2, Z_DIM)
    law = AutoregressiveNormal(transition, 4, Z_DIM).prefix_condition(past)
    z = torch.randn(3, 2, Z_DIM)
    by_hand = torch.stack(
        [law.expand((5, 3)).log_prob(z.expand(5, 3, 2, Z_DIM))[i] for i in range(5)]
    )
    torch.testing.assert_close(law.log_prob(z), by_hand)


def test_bad_arguments(transition):
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        AutoregressiveNormal(transition, 0, Z_DIM)
    law = AutoregressiveNormal(transition, 4, Z_DIM, validate_args=True)
    with pytest.raises(ValueError, match=r"z_past must be \(\*batch, time, 3\), got \(2, 2, 5\)"):
        law.prefix_condition(torch.zeros(2, 2, 5))
    with pytest.raises(ValueError, match="between 1 and 3 steps .* got 4"):
        law.prefix_condition(torch.zeros(2, 4, Z_DIM))
    with pytest.raises(ValueError, match="support"):
        law.log_prob(torch.full((4, Z_DIM), float("nan")))
