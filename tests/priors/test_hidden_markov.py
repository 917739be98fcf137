"""The hidden Markov model against enumeration of all paths of its states."""

from __future__ import annotations

import itertools

import pytest
import torch
from pyro import distributions as dist

from pyro_dsae.priors import HiddenMarkov

Z_DIM, K, T = 2, 3, 5


@pytest.fixture(params=[False, True], ids=["normal", "switching"])
def prior(request):
    made = HiddenMarkov(Z_DIM, states=K, switching=request.param)
    torch.nn.init.normal_(made.start)
    torch.nn.init.normal_(made.noise.raw)
    return made


def log_joint(prior, path, z):
    """log p(k_1:T, z_1:T) of one path and ``(batch, T, z_dim)``, by its definition."""
    points, scale = 10 * (prior.points / 10).tanh(), prior.noise().view(K, Z_DIM)
    moves = torch.zeros(K, Z_DIM, Z_DIM) if prior.moves is None else prior.moves()
    total, before = prior.start.log_softmax(-1)[path[0]], torch.zeros(len(z), Z_DIM)
    for t, k in enumerate(path):
        if t:
            total = total + prior.following.log_softmax(-1)[path[t - 1], k]
        loc = points[k] + (before - points[k]) @ moves[k].T
        total = total + dist.Normal(loc, scale[k]).to_event(1).log_prob(z[:, t])
        before = z[:, t]
    return total


def enumerated(prior, z):
    """All paths, ``(K ** T, T)``, and log p(path, z), ``(K ** T, batch)``."""
    paths = [*itertools.product(range(K), repeat=z.shape[1])]
    return torch.tensor(paths), torch.stack([log_joint(prior, path, z) for path in paths])


def test_log_prob_sums_over_all_paths(prior):
    z = torch.randn(7, T, Z_DIM)
    torch.testing.assert_close(
        prior(T).log_prob(z), enumerated(prior, z)[1].logsumexp(0), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("seen", [0, 2])
def test_states_are_the_posterior_of_all_paths(prior, seen):
    z = torch.randn(7, T, Z_DIM)
    paths, log_prob = enumerated(prior, z)
    expected = torch.einsum("pb,ptk->btk", log_prob.softmax(0), torch.eye(K)[paths])
    law = prior(T).prefix_condition(z[:, :seen]) if seen else prior(T)
    with torch.no_grad():
        states = law.states(z[:, seen:])
    torch.testing.assert_close(states, expected[:, seen:], atol=1e-5, rtol=1e-4)


def test_states_of_batches_of_any_shape(prior):
    z = torch.randn(4, 3, T, Z_DIM)
    states = prior(T).states(z)
    assert states.shape == (4, 3, T, K)
    torch.testing.assert_close(states.sum(-1), torch.ones(4, 3, T))
    torch.testing.assert_close(states[1, 2], prior(T).states(z[1, 2]))


def test_states_that_stand_apart_are_found_again(prior):
    """A cycle through points far from each other, with little noise: states are known for sure."""
    with torch.no_grad():
        prior.points.copy_(torch.tensor([[-5.0, 0.0], [0.0, 5.0], [5.0, 0.0]]))
        prior.noise.raw.fill_(-3.0)
        prior.following.copy_(20 * torch.eye(K).roll(1, 1))
        if prior.moves is not None:
            prior.moves.decay.fill_(-5.0)
    states = prior(12).states(prior(12).sample((3,)))
    assert states.max(-1).values.min() > 0.999
    k = states.argmax(-1)
    assert torch.equal(k[:, 1:], (k[:, :-1] + 1) % K)


def test_a_state_that_cannot_follow_costs_and_is_not_infinite(prior):
    """Chances below what a float32 holds."""
    with torch.no_grad():
        prior.following.copy_(torch.tensor([0.0, -300.0, -300.0]).expand(K, K))
        prior.points[1:] = 9.0
        prior.noise.raw.fill_(-3.0)
    z = torch.full((1, 4, Z_DIM), 7.0, requires_grad=True)
    log_prob = prior(4).log_prob(z)
    log_prob.sum().backward()
    assert log_prob.isfinite().all() and z.grad.isfinite().all()


def test_agrees_with_pyros():
    """Whose initial law is that of a state before the first."""
    prior = HiddenMarkov(Z_DIM, states=6)
    points, scale = 10 * (prior.points / 10).tanh(), prior.noise().view(6, Z_DIM)
    before = torch.randn(6)
    with torch.no_grad():
        prior.start.copy_((before.softmax(-1) @ prior.following.softmax(-1)).log())
    law = dist.DiscreteHMM(
        before, prior.following, dist.Normal(points, scale).to_event(1), duration=50
    )
    z = law.expand([3]).sample()
    torch.testing.assert_close(prior(50).log_prob(z), law.log_prob(z), atol=1e-3, rtol=1e-4)


def test_states_differ_from_the_start():
    points = HiddenMarkov(6).points
    assert torch.pdist(points).min() > 0.3


def test_bad_arguments():
    with pytest.raises(ValueError, match="states must be at least 1, got 0"):
        HiddenMarkov(3, states=0)
