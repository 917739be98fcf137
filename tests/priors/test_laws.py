"""What every prior of z_1:T keeps to, whatever its law."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_dsae.priors import PRIORS, make_prior

Z_DIM = 3
CHOICES = {name: {"name": name} for name in PRIORS} | {
    "switching": {"name": "hidden_markov", "switching": True}
}
SMALL = {"hidden": 8, "states": 5, "matrices": 3, "components": 2}


def make(choice, z_dim=Z_DIM):
    return make_prior(CHOICES[choice], z_dim, **SMALL)


@pytest.fixture(params=CHOICES)
def choice(request):
    return request.param


@pytest.fixture
def prior(choice):
    return make(choice)


def close(a, b, tolerance=1e-4):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("split", [1, 3, 5])
def test_past_and_future_make_the_whole(prior, split):
    z = torch.randn(4, 6, Z_DIM)
    future = prior(6).prefix_condition(z[:, :split])
    assert (future.batch_shape, future.event_shape) == ((4,), (6 - split, Z_DIM))
    past = prior(split).log_prob(z[:, :split])
    close(past + future.log_prob(z[:, split:]), prior(6).log_prob(z))


def test_a_past_in_two_parts_is_one_past(prior):
    z = torch.randn(4, 6, Z_DIM)
    twice = prior(6).prefix_condition(z[:, :2]).prefix_condition(z[:, 2:3])
    once = prior(6).prefix_condition(z[:, :3])
    close(twice.log_prob(z[:, 3:]), once.log_prob(z[:, 3:]))


@torch.no_grad()
def test_draws_have_the_law_of_log_prob(prior):
    """The mean of q(z) / p(z) over draws of p is 1 for any q: here a Normal narrower than p."""
    law = prior(2).prefix_condition(torch.full((1, Z_DIM), 0.3))
    z = law.sample((20_000,))
    q = torch.distributions.Normal(z.mean(0), 0.6 * z.std(0)).log_prob(z).sum((-2, -1))
    weights = (q - law.log_prob(z)).exp()
    assert abs(float(weights.mean()) - 1) < 4 * float(weights.std()) / len(z) ** 0.5 < 0.2


@torch.no_grad()
def test_draws_after_a_past_go_on_as_draws_of_the_whole(prior):
    """E of a function of z_3 by whole draws, and by draws after the first two steps of others."""
    whole = prior(3).sample((4_000,))
    parts = prior(3).prefix_condition(whole[:, :2]).sample()[:, 0]
    for part, of in ((parts, whole[:, 2]), (parts * whole[:, 1], whole[:, 2] * whole[:, 1])):
        error = (part.var(0) + of.var(0)).div(len(whole)).sqrt()
        assert ((part.mean(0) - of.mean(0)).abs() < 4.5 * error).all()


def test_gradients_reach_all_weights(prior):
    prior(4).log_prob(torch.randn(6, 4, Z_DIM)).sum().backward()
    for name, weight in prior.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


@settings(max_examples=8, deadline=None)
@given(
    batch=st.lists(st.integers(1, 3), max_size=2),
    sample=st.lists(st.integers(1, 3), max_size=2),
    frames=st.integers(1, 4),
    seen=st.integers(0, 2),
)
@pytest.mark.parametrize("choice", CHOICES)
def test_shapes(choice, batch, sample, frames, seen):
    law = make(choice)(frames + seen).expand(batch)
    if seen:
        law = law.prefix_condition(torch.randn(*batch, seen, Z_DIM))
    assert law.batch_shape == torch.Size(batch)
    assert law.event_shape == (frames, Z_DIM)
    z = law.sample(sample)
    assert z.shape == (*sample, *batch, frames, Z_DIM) and z.dtype == torch.float32
    assert law.log_prob(z).shape == (*sample, *batch)
    assert law.log_prob(z).dtype == torch.float32


def test_values_and_batches_broadcast(prior):
    past = torch.randn(5, 1, 2, Z_DIM)
    law = prior(4).prefix_condition(past)
    z = torch.randn(3, 2, Z_DIM)
    each = [prior(4).prefix_condition(p).log_prob(z) for p in past]
    close(law.log_prob(z), torch.stack(each))
    close(prior(2).expand([5, 3]).log_prob(z), prior(2).log_prob(z).expand(5, 3))


@pytest.mark.parametrize("sizes", [(1, 1), (2, 7)], ids=str)
def test_one_step_and_one_dimension(choice, sizes):
    z_dim, frames = sizes
    law = make(choice, z_dim)(frames).expand([4])
    assert law.log_prob(law.sample()).isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("choice", ["linear_gaussian", "kalman", "hidden_markov", "switching"])
def test_long_draws_stay_in_bounds(choice):
    for seed in range(40):
        torch.manual_seed(seed)
        prior = make(choice)
        assert prior(50 if seed else 2000).sample().abs().max() < 1000


def test_in_double_precision(prior):
    z = torch.randn(2, 5, Z_DIM)
    single = prior(5).log_prob(z)
    prior.double()
    double = prior(5).log_prob(z.double())
    assert double.dtype == prior(5).sample().dtype == torch.float64
    close(single, double.float())


def test_under_autocast(prior):
    z = torch.randn(4, 5, Z_DIM)
    with torch.autocast("cpu", torch.bfloat16):
        law = prior(5)
        found, drawn = law.log_prob(z), law.prefix_condition(z[:, :2]).sample()
    torch.testing.assert_close(found.float(), prior(5).log_prob(z), rtol=0.05, atol=0.5)
    assert drawn.shape == (4, 3, Z_DIM) and drawn.isfinite().all()


def test_bad_arguments(prior):
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        prior(0)
    with pytest.raises(ValueError, match=r"z_past must be \(\*batch, time, 3\), got \(2, 2, 5\)"):
        prior(4).prefix_condition(torch.zeros(2, 2, 5))
    with pytest.raises(ValueError, match="between 1 and 3 steps .* got 4"):
        prior(4).prefix_condition(torch.zeros(2, 4, Z_DIM))
