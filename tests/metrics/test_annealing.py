"""Annealing from the guide to the posterior, where the evidence is known, and with every pair of ours."""

from __future__ import annotations

from typing import Any

import pyro
import pytest
import torch
from conftest import every_pair
from pyro import distributions as dist
from torch import Tensor, nn

from pyro_dsae.metrics import (
    anneal,
    bidirectional,
    chain_interval,
    evidence,
    importance_bound,
    log_weights,
)
from pyro_dsae.metrics.annealing import _recurrent_gradients

NOISE = 0.5
FRAMES = 4


def linear_model(x: Tensor | None = None, *, batch_size: int = 1, num_frames: int = FRAMES) -> None:
    """x_t = (f, z_t) + noise, everything Normal."""
    n, steps = (batch_size, num_frames) if x is None else x.shape[:2]
    with pyro.plate("sequences", n, dim=-1):
        f = pyro.sample("f", dist.Normal(torch.zeros(1), 1.0).to_event(1))
        z = pyro.sample("z", dist.Normal(torch.zeros(steps, 1), 1.0).to_event(2))
        loc = torch.cat([f.unsqueeze(-2).expand(z.shape), z], dim=-1)
        pyro.sample("x", dist.Normal(loc, NOISE).to_event(2), obs=x)


def poor_guide(x: Tensor) -> None:
    """Each mean one too high, two and more of the posterior's deviations; its scales by half too small."""
    f_precision, z_precision = 1 + x.shape[1] / NOISE**2, 1 + 1 / NOISE**2
    f_loc = x[..., :1].sum(1) / NOISE**2 / f_precision
    z_loc = x[..., 1:] / NOISE**2 / z_precision
    with pyro.plate("sequences", len(x), dim=-1):
        pyro.sample("f", dist.Normal(f_loc + 1, 0.5 * f_precision**-0.5).to_event(1))
        pyro.sample("z", dist.Normal(z_loc + 1, 0.5 * z_precision**-0.5).to_event(2))


def exact(x: Tensor) -> Tensor:
    """log p(x) of the linear model, ``(N,)``."""
    steps = x.shape[1]
    shared = torch.ones(steps, steps) + NOISE**2 * torch.eye(steps)
    together = dist.MultivariateNormal(torch.zeros(steps), shared).log_prob(x[..., 0])
    return together + dist.Normal(0.0, (1 + NOISE**2) ** 0.5).log_prob(x[..., 1]).sum(-1)


@pytest.fixture
def points() -> Tensor:
    """``(8, 4, 2)`` from the linear model."""
    trace = pyro.poutine.trace(linear_model).get_trace(batch_size=8)
    return trace.nodes["x"]["value"]


def test_annealing_finds_the_evidence_where_importance_sampling_does_not(points: Tensor) -> None:
    truth = exact(points).double()
    annealed = anneal(linear_model, poor_guide, points, 16, num_temperatures=150)
    assert annealed.log_weights.shape == (16, 8) and annealed.log_weights.dtype == torch.float64
    found = importance_bound(annealed.log_weights) - truth
    assert abs(float(found.mean())) < 0.5
    assert float(found.max()) < 1  # beyond it by chance alone
    assert float((annealed.acceptance - 0.65).abs().max()) < 0.1
    # As many draws from the guide as all of the chains' leapfrog steps.
    draws = log_weights(linear_model, poor_guide, points, 16 * 150 * 5, pairs_at_once=50_000)
    assert float((importance_bound(draws) - truth).mean()) < -4


def test_one_temperature_is_importance_sampling(points: Tensor) -> None:
    few = {"num_temperatures": 1, "num_leapfrog": 1}
    weights = anneal(linear_model, poor_guide, points, 500, **few).log_weights
    draws = log_weights(linear_model, poor_guide, points, 500)
    error = (weights.var(0) + draws.var(0)).sqrt() / 500**0.5
    assert ((weights.mean(0) - draws.mean(0)).abs() < 4 * error).all()


def test_weights_are_unbiased_with_few_temperatures_and_a_coarse_path() -> None:
    """E w = p(x): many chains for a sequence, and too few temperatures for any one of them to get there."""
    x = torch.tensor([[[0.3, -0.2]]]).expand(200, 1, 2)

    def guide(x: Tensor) -> None:
        with pyro.plate("sequences", len(x), dim=-1):
            pyro.sample("f", dist.Normal(torch.zeros(1), 1.5).to_event(1))
            pyro.sample("z", dist.Normal(torch.full((1, 1), 0.5), 1.0).to_event(2))

    options = {"num_temperatures": 3, "num_leapfrog": 2, "pairs_at_once": 20_000}
    weights = anneal(linear_model, guide, x, 100, **options).log_weights
    ratio = (weights - exact(x)).exp().flatten()
    assert float(ratio.std()) > 0.2
    assert float(ratio.mean()) == pytest.approx(1, abs=4 * float(ratio.std()) / 20_000**0.5)


def test_from_both_sides() -> None:
    options = {"num_sequences": 16, "num_frames": FRAMES, "num_chains": 8, "num_leapfrog": 3}
    rough, fine = (
        bidirectional(linear_model, poor_guide, num_temperatures=k, **options) for k in (10, 100)
    )
    assert 0 < fine["width"] < 1 < rough["width"]
    pyro.set_rng_seed(0)  # the same sequences
    x = pyro.poutine.trace(linear_model).get_trace(batch_size=16).nodes["x"]["value"]
    truth = float(exact(x).mean())
    for found in (rough, fine):
        assert found["lower"] - 0.1 < truth < found["upper"] + 0.1
        assert found["width"] == pytest.approx(found["upper"] - found["lower"])


def test_the_evidence_by_annealing(points: Tensor) -> None:
    options = {"num_samples": 100, "seed": 3}
    plain = evidence(linear_model, poor_guide, points, **options)
    state = torch.get_rng_state()
    found = evidence(
        linear_model,
        poor_guide,
        points,
        method="ais",
        num_temperatures=50,
        num_leapfrog=3,
        **options,
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert {key: found[key] for key in plain} == plain
    assert {*found} - {*plain} == {
        "ais_bound",
        "ais_bound_low",
        "ais_bound_high",
        "ais_chains_low",
        "ais_chains_high",
        "ais_gap",
        "ais_spread",
        "ais_acceptance",
    }
    assert found["ais_bound"] > found["iw_bound"] + 1
    assert found["ais_gap"] == pytest.approx(found["ais_bound"] - found["elbo"])
    assert found["ais_chains_low"] < found["ais_bound"] < found["ais_chains_high"] + 0.1


def test_the_interval_over_chains_is_that_of_the_mean_weight() -> None:
    weights = 0.1 * torch.randn(400, 25)
    ends = chain_interval(weights, "ais")
    error = 0.1 / (400 * 25) ** 0.5
    assert ends["ais_high"] - ends["ais_low"] == pytest.approx(2 * 1.96 * error, rel=0.15)
    middle = float(importance_bound(weights).mean())
    assert ends["ais_low"] < middle < ends["ais_high"]


@pytest.mark.parametrize("pair", every_pair(), ids="-".join)
def test_every_pair_is_annealed(pair: tuple[str, str]) -> None:
    model, guide = (m.eval() for m in every_pair()[pair]((3, 16, 16)))
    x = torch.rand(2, 3, 3, 16, 16)
    annealed = anneal(model, guide, x, 3, num_temperatures=3, num_leapfrog=1)
    assert annealed.log_weights.isfinite().all()
    assert (annealed.acceptance > 0.1).all()
    assert all(weight.grad is None for m in (model, guide) for weight in m.parameters())


def test_chains_start_at_draws_of_the_guide_and_the_programs_agree_on_what_they_weigh(
    make_pair, x: Tensor
) -> None:
    """The chains' axis to the left of the plate gives the densities of chains one by one."""
    pair = [m.eval() for m in make_pair()]
    weights = anneal(*pair, x[:3], 60, num_temperatures=1, num_leapfrog=1).log_weights
    draws = log_weights(*pair, x[:3], 60)
    error = (weights.var(0) + draws.var(0)).sqrt() / 60**0.5
    assert ((weights.mean(0) - draws.mean(0)).abs() < 4 * error).all()


def test_frames_that_are_absent_do_not_count(make_pair, x: Tensor) -> None:
    pair = [m.eval() for m in make_pair()]
    few = {"num_temperatures": 3, "num_leapfrog": 1}
    mask = torch.ones(2, 4, dtype=torch.bool)
    mask[1, 2:] = False
    found = []
    for filling in (0.0, 1.0):
        filled = x[:2].clone()
        filled[~mask] = filling
        torch.manual_seed(0)
        found.append(anneal(*pair, filled, 2, mask=mask, **few).log_weights)
    assert torch.equal(*found)
    whole = anneal(*pair, x[:2], 2, **few).log_weights
    assert (whole[:, 1] < found[0][:, 1]).all()  # two frames more to explain


def test_batches_hold_as_many_pairs_as_asked_for(points: Tensor) -> None:
    seen = []

    def guide(x: Tensor) -> None:
        seen.append(len(x))
        poor_guide(x)

    annealed = anneal(linear_model, guide, points, 4, num_temperatures=2, pairs_at_once=12)
    assert annealed.log_weights.shape == (4, 8)
    assert {*seen} == {2, 3}


def fixed_guide(x: Tensor) -> None:
    with pyro.plate("sequences", len(x), dim=-1):
        pyro.sample("f", dist.Delta(torch.zeros(len(x), 1), event_dim=1))
        pyro.sample("z", dist.Delta(torch.zeros(*x.shape[:2], 1), event_dim=2))


def test_a_site_that_the_guide_does_not_vary_stays(points: Tensor) -> None:
    """The bound is then on log p(x, f), here with f = 0."""

    def guide(x: Tensor) -> None:
        with pyro.plate("sequences", len(x), dim=-1):
            pyro.sample("f", dist.Delta(torch.zeros(len(x), 1), event_dim=1))
            pyro.sample("z", dist.Normal(x[..., 1:], 1.0).to_event(2))

    found = importance_bound(
        anneal(linear_model, guide, points, 64, num_temperatures=50).log_weights
    )
    of_f = dist.Normal(0.0, 1.0).log_prob(torch.zeros(()))
    seen = dist.Normal(0.0, NOISE).log_prob(points[..., 0]).sum(-1)
    of_z = dist.Normal(0.0, (1 + NOISE**2) ** 0.5).log_prob(points[..., 1]).sum(-1)
    torch.testing.assert_close(found, (of_f + seen + of_z).double(), rtol=0, atol=0.3)


def positive_guide(x: Tensor) -> None:
    with pyro.plate("sequences", len(x), dim=-1):
        pyro.sample("f", dist.LogNormal(torch.zeros(1), 1.0).to_event(1))
        pyro.sample("z", dist.Normal(x[..., 1:], 1.0).to_event(2))


def joined_model(x: Tensor) -> None:
    """Its frames know of all chains together."""
    with pyro.plate("sequences", len(x), dim=-1):
        f = pyro.sample("f", dist.Normal(torch.zeros(1), 1.0).to_event(1))
        z = pyro.sample("z", dist.Normal(torch.zeros(x.shape[1], 1), 1.0).to_event(2))
        loc = (f.unsqueeze(-2) + z).reshape(-1, *x.shape[:2], 1).mean(0)
        pyro.sample("x", dist.Normal(loc, 1.0).to_event(2), obs=x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: anneal(linear_model, poor_guide, x, 0), "num_chains must be .* got 0"),
        (
            lambda x: anneal(linear_model, poor_guide, x, num_temperatures=0),
            "num_temperatures must be .* got 0",
        ),
        (
            lambda x: anneal(linear_model, poor_guide, x, num_leapfrog=0),
            "num_leapfrog must be .* got 0",
        ),
        (lambda x: anneal(linear_model, poor_guide, x[:0]), r"not empty, got \(0, 4, 2\)"),
        (
            lambda x: anneal(linear_model, positive_guide, x),
            "latents must be of real numbers, got 'f' of",
        ),
        (lambda x: anneal(linear_model, fixed_guide, x), "guide must vary a latent"),
        (
            lambda x: anneal(joined_model, poor_guide, x, 3),
            r"broadcast .* log density of 'x' must be \(4, 8\), got \(8,\)",
        ),
        (
            lambda x: evidence(linear_model, poor_guide, x, method="ml"),
            "method must be iw or ais, got 'ml'",
        ),
    ],
)
def test_bad_arguments(points: Tensor, call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(points)


def test_lstms_have_gradients_in_evaluation_mode_on_a_gpu_too() -> None:
    """cuDNN's have none but in training mode; convolutions keep theirs. By dropout it would differ."""
    program = nn.Sequential(nn.LSTM(2, 3), nn.Dropout(), nn.Linear(3, 1)).eval()
    with _recurrent_gradients(program):
        assert [part.training for part in program] == [True, False, False]
        assert torch.backends.cudnn.enabled
    assert not any(part.training for part in program.modules())
    with _recurrent_gradients(program, lambda x: None):  # what a function runs is out of sight
        assert not torch.backends.cudnn.enabled
    program = nn.Sequential(nn.LSTM(2, 3, num_layers=2, dropout=0.5)).eval()
    with _recurrent_gradients(program):
        assert not program[0].training and not torch.backends.cudnn.enabled
    assert torch.backends.cudnn.enabled
