"""Evidence and fit of a guide, against models and laws that are known in closed form."""

from __future__ import annotations

import gc
import json
import math
import sys
import weakref
from typing import Any

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro import poutine
from torch import Tensor
from torch.utils.data import Dataset

import pyro_dsae
from pyro_dsae import guides, models
from pyro_dsae.metrics.evidence import (
    active_units,
    content_dynamics_information,
    evidence,
    gaussian_copula_information,
    importance_bound,
    k_hat,
    log_weights,
    mutual_information,
)
from pyro_dsae.training import evaluate_elbo

NOISE = 0.5


def linear_model(x: Tensor) -> None:
    """x_t = (f, z_t) + noise, everything Normal."""
    with pyro.plate("sequences", len(x), dim=-1):
        f = pyro.sample("f", dist.Normal(torch.zeros(1), 1.0).to_event(1))
        z = pyro.sample("z", dist.Normal(torch.zeros(x.shape[1], 1), 1.0).to_event(2))
        loc = torch.cat([f.unsqueeze(-2).expand(*z.shape), z], dim=-1)
        pyro.sample("x", dist.Normal(loc, NOISE).to_event(2), obs=x)


class LinearGuide:
    """The exact posterior of the linear model, its scales times ``width``."""

    def __init__(self, width: float = 1.0) -> None:
        self.width = width
        self.seen: list[int] = []

    def __call__(self, x: Tensor) -> None:
        self.seen.append(len(x))
        f_precision, z_precision = 1 + x.shape[1] / NOISE**2, 1 + 1 / NOISE**2
        f_loc = x[..., :1].sum(1) / NOISE**2 / f_precision
        z_loc = x[..., 1:] / NOISE**2 / z_precision
        with pyro.plate("sequences", len(x), dim=-1):
            pyro.sample("f", dist.Normal(f_loc, self.width * f_precision**-0.5).to_event(1))
            pyro.sample("z", dist.Normal(z_loc, self.width * z_precision**-0.5).to_event(2))


def exact(x: Tensor) -> Tensor:
    """log p(x) of the linear model, ``(N,)``."""
    steps = x.shape[1]
    shared = torch.ones(steps, steps) + NOISE**2 * torch.eye(steps)
    together = dist.MultivariateNormal(torch.zeros(steps), shared).log_prob(x[..., 0])
    return together + dist.Normal(0.0, (1 + NOISE**2) ** 0.5).log_prob(x[..., 1]).sum(-1)


def from_model(n: int) -> Tensor:
    """``(n, 4, 2)`` from the linear model."""
    loc = torch.stack([torch.randn(n, 1).expand(n, 4), torch.randn(n, 4)], dim=-1)
    return loc + NOISE * torch.randn(n, 4, 2)


@pytest.fixture
def points() -> Tensor:
    return from_model(20)


def test_exact_posterior(points: Tensor) -> None:
    truth = exact(points)
    weights = log_weights(linear_model, LinearGuide(), points, 50)
    torch.testing.assert_close(weights, truth.double().expand(50, -1), rtol=1e-4, atol=1e-4)
    assert (k_hat(weights) == 0).all()
    scores = evidence(linear_model, LinearGuide(), points, num_samples=50)
    assert scores["elbo"] == pytest.approx(float(truth.mean()), rel=1e-5)
    assert scores["iw_bound"] == pytest.approx(float(truth.mean()), rel=1e-5)
    assert scores["gap"] == pytest.approx(0, abs=1e-4)
    assert (scores["k_hat_below_0_7"], scores["k_hat_median"]) == (1, 0)


@pytest.mark.parametrize("width", [0.8, 1.2, 1.5])
def test_bound_of_a_good_guide_is_within_a_percent(points: Tensor, width: float) -> None:
    truth = float(exact(points).mean())
    scores = evidence(linear_model, LinearGuide(width), points, num_samples=1000)
    assert scores["iw_bound"] == pytest.approx(truth, rel=0.01)
    # KL of q from the posterior, five Normals whose scales are off by one factor.
    kl = 5 * (width**2 / 2 - 0.5 - math.log(width))
    assert scores["elbo"] == pytest.approx(truth - kl, rel=0.01)
    assert scores["gap"] == pytest.approx(kl, rel=0.3)


def test_k_hat_knows_a_guide_that_is_too_narrow(points: Tensor) -> None:
    wide, narrow = (
        evidence(linear_model, LinearGuide(width), points, num_samples=1000) for width in (1.2, 0.3)
    )
    assert narrow["gap"] > 5 * wide["gap"]
    assert wide["k_hat_below_0_7"] == 1
    assert wide["k_hat_median"] < 0.3
    assert narrow["k_hat_below_0_7"] < 0.2
    assert narrow["k_hat_median"] > 0.7


def test_intervals_of_the_bounds_are_over_sequences() -> None:
    x = from_model(200)
    scores = evidence(linear_model, LinearGuide(), x, num_samples=25)
    for bound in ("elbo", "iw_bound"):
        low, high = scores[f"{bound}_low"], scores[f"{bound}_high"]
        assert low < scores[bound] < high
        assert high - low == pytest.approx(2 * 1.96 * float(exact(x).std()) / 200**0.5, rel=0.1)
    one = evidence(linear_model, LinearGuide(), x[:1], num_samples=25)
    assert one["elbo_low"] == pytest.approx(one["elbo"]) == pytest.approx(one["elbo_high"])


def test_k_hat_of_pareto_weights() -> None:
    shape = torch.tensor([0.3, 0.5, 0.9])
    k = k_hat(-shape * torch.rand(20_000, 3).log())
    torch.testing.assert_close(k, shape.double(), rtol=0, atol=0.12)


def test_bound_rises_with_draws(points: Tensor) -> None:
    weights = log_weights(linear_model, LinearGuide(0.6), points, 512)
    bounds = [
        float(torch.stack([importance_bound(w) for w in weights.split(k)]).mean())
        for k in (1, 8, 64, 512)
    ]
    assert bounds == sorted(bounds)
    assert bounds[0] == pytest.approx(float(weights.mean()))


def test_parts_add_up_and_agree_with_evaluate_elbo(make_pair, x: Tensor) -> None:
    model, guide = make_pair()
    scores = evidence(model, guide, x, num_samples=40)
    parts = scores["log_likelihood"] - scores["kl_f"] - scores["kl_z"]
    assert scores["elbo"] == pytest.approx(parts, rel=1e-5)
    assert scores["kl_z_per_frame"] == pytest.approx(scores["kl_z"] / 4)
    assert scores["bits_per_dim"] == pytest.approx(
        -scores["elbo"] / (4 * 3 * 16 * 16 * math.log(2))
    )
    one_draw = evaluate_elbo(model, guide, x)
    assert scores["elbo"] == pytest.approx(one_draw["elbo"], rel=1e-2)
    assert scores["kl_f"] == pytest.approx(one_draw["kl_f"], abs=1)
    assert scores["elbo"] < scores["iw_bound"]
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    assert model.training
    assert guide.training


def test_closed_form_parts(points: Tensor) -> None:
    scores = evidence(linear_model, LinearGuide(), points, num_samples=2000)
    for site, precision, dims in (("f", 1 + 4 / NOISE**2, 1), ("z", 1 + 1 / NOISE**2, 4)):
        loc = points[..., :1].sum(1) if site == "f" else points[..., 1:]
        loc = loc / NOISE**2 / precision
        squares = float(loc.square().flatten(1).sum(1).mean())
        kl = 0.5 * (dims * (1 / precision - 1 + math.log(precision)) + squares)
        assert scores[f"kl_{site}"] == pytest.approx(kl, rel=0.02)


@pytest.mark.parametrize(
    ("model", "guide"),
    [(models.LSTMf, guides.LSTMGuide), (models.DSAE, guides.Full)],
)
def test_other_pairs(make_pair, x: Tensor, model: type, guide: type) -> None:
    pair = make_pair(model=model, guide=guide)
    scores = evidence(*pair, x[:3], num_samples=30)
    assert scores["elbo"] < scores["iw_bound"] < 0
    assert {"kl_f", "kl_z"} <= scores.keys()


def test_sites_of_fhvae() -> None:
    sizes: dict[str, Any] = {"z1_dim": 3, "z2_dim": 4, "hidden": 8}
    model = models.FHVAE((6,), **sizes)
    guide = guides.FHVAEGuide((6,), utterances=2, **sizes)
    scores = evidence(model, guide, torch.rand(3, 5, 6), num_samples=30)
    parts = scores["log_likelihood"] - sum(scores[f"kl_{s}"] for s in ("mu2", "z2", "z1"))
    assert scores["elbo"] == pytest.approx(parts, rel=1e-4)
    assert scores["kl_z1_per_frame"] == pytest.approx(scores["kl_z1"] / 5)


@pytest.mark.parametrize("pairs_at_once", [7, 64, 10_000])
def test_batches_are_bounded_and_weights_belong_to_their_sequences(
    points: Tensor, pairs_at_once: int
) -> None:
    guide = LinearGuide(0.9)
    weights = log_weights(linear_model, guide, points, 50, pairs_at_once=pairs_at_once)
    assert weights.shape == (50, 20)
    assert weights.dtype == torch.float64
    assert (sum(guide.seen), max(guide.seen)) == (1000, min(pairs_at_once, 1000))
    spread = weights.std(0).max()
    assert (weights.mean(0) - exact(points)).abs().max() < 6 * spread / 50**0.5 + 0.1


def test_no_batch_outlives_the_next() -> None:
    class Counting(LinearGuide):
        """Counts the draws of earlier batches that something still holds."""

        def __init__(self) -> None:
            super().__init__()
            self.drawn: list[weakref.ref[Tensor]] = []
            self.most = 0

        def __call__(self, x: Tensor) -> None:
            self.most = max(self.most, sum(ref() is not None for ref in self.drawn))
            with poutine.trace() as record:
                super().__call__(x)
            self.drawn.append(weakref.ref(record.trace.nodes["z"]["value"]))

    guide = Counting()
    gc.collect()
    log_weights(linear_model, guide, from_model(10), 500, pairs_at_once=100)
    assert len(guide.drawn) == 50
    assert guide.most <= 1


def test_same_seed_same_numbers_and_no_trace_on_the_random_state(make_pair, x: Tensor) -> None:
    pair = make_pair()
    state = torch.get_rng_state()
    first = evidence(*pair, x, num_samples=30, num_sequences=5, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert evidence(*pair, x, num_samples=30, num_sequences=5, seed=3) == first
    assert evidence(*pair, x, num_samples=30, num_sequences=5, seed=4) != first


class Labelled(Dataset):
    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, dict[str, int]]:
        return self.x[i], {"action": i}


def test_data_sets(points: Tensor) -> None:
    pair = linear_model, LinearGuide(0.9)
    for num in (None, 4):
        of_tensor, of_data = (
            evidence(*pair, data, num_samples=30, num_sequences=num)
            for data in (points, Labelled(points))
        )
        assert of_tensor == of_data


class TwoUnits:
    """f of 3 dimensions of which 2 follow the data, the mean of z_t 0 but for one dimension."""

    def __call__(self, x: Tensor) -> None:
        zeros = torch.zeros(len(x))
        loc_f = torch.stack([x[:, 0, 0], 0.2 * x[:, 0, 1], 0.05 * x[:, 0, 1]], -1)
        z = torch.stack([zeros.unsqueeze(1).expand(x.shape[:2]), x[..., 1]], -1)
        with pyro.plate("sequences", len(x), dim=-1):
            pyro.sample("f", dist.Normal(loc_f, 1.0).to_event(1))
            pyro.sample("z", dist.Normal(z, 1.0).to_event(2))


def test_active_units() -> None:
    x = torch.randn(200, 4, 2)  # variances of the means: 1, 0.04, 0.0025; 0, 1
    assert active_units(TwoUnits(), x) == {"f": 2, "z": 1}
    assert active_units(TwoUnits(), x, threshold=0.001) == {"f": 3, "z": 1}
    assert active_units(TwoUnits(), x, threshold=0.5) == {"f": 1, "z": 1}


def test_units_that_vary_within_sequences_alone() -> None:
    x = torch.tensor([-1.0, 1.0]).repeat(8, 2)[..., None].expand(8, 4, 2)
    assert active_units(TwoUnits(), x) == {"f": 0, "z": 1}


def test_mutual_information_of_content_and_data() -> None:
    # q(f | x) has variance 1/17 about a mean whose law is Normal: together N(0, 1).
    found = mutual_information(LinearGuide(), from_model(1500), num_samples=2)
    assert found == pytest.approx(0.5 * math.log(17), abs=0.06)


def test_mutual_information_is_at_most_log_n_and_at_least_0() -> None:
    x = 100 * torch.arange(70.0)[:, None, None].expand(70, 4, 2)
    assert mutual_information(LinearGuide(), x) == pytest.approx(math.log(70), abs=1e-3)
    assert mutual_information(LinearGuide(), x[:1].expand(70, 4, 2)) == pytest.approx(0, abs=1e-6)


def test_mutual_information_of_dynamics_needs_their_marginal(make_pair, x: Tensor) -> None:
    _, factorised = make_pair()
    _, full = make_pair(guide=pyro_dsae.Full)
    assert 0 <= mutual_information(factorised, x, site="z") <= math.log(12)
    with pytest.raises(ValueError, match="site must not depend .* law of 'z' changes with them"):
        mutual_information(full, x, site="z")
    with pytest.raises(ValueError, match="guide must have a sample site 'w', got sites: 'f', 'z'"):
        mutual_information(full, x, site="w")


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_copula_information_of_normal_draws(rho: float) -> None:
    a = torch.randn(3000, 3)
    b = rho * a + (1 - rho**2) ** 0.5 * torch.randn(3000, 3)
    mixed = b @ torch.linalg.qr(torch.randn(3, 3))[0]
    expected = -1.5 * math.log(1 - rho**2)
    assert gaussian_copula_information(a, mixed) == pytest.approx(expected, abs=0.06)
    # Monotone maps of each dimension change no rank.
    direct = gaussian_copula_information(a, b)
    assert gaussian_copula_information(a.exp(), b**3) == pytest.approx(direct, abs=1e-9)


@pytest.mark.parametrize(("n", "tolerance"), [(40, 0.05), (12, 0.2)])
def test_copula_information_of_few_draws_is_not_biased(n: int, tolerance: float) -> None:
    found = [gaussian_copula_information(torch.randn(n, 5), torch.randn(n, 5)) for _ in range(200)]
    # Without the correction it would be 25 / (2 n), and more.
    assert sum(found) / 200 == pytest.approx(0, abs=tolerance)


class LeakyGuide:
    """f and each z_t are the same number of the data, apart from noise; the other dimensions noise."""

    def __init__(self, noise: float) -> None:
        self.noise = noise

    def __call__(self, x: Tensor) -> None:
        shared = x[:, 0, :1]
        f = torch.cat([shared, torch.zeros_like(shared)], -1)
        z = f.unsqueeze(1).expand(-1, x.shape[1], -1)
        with pyro.plate("sequences", len(x), dim=-1):
            pyro.sample("f", dist.Normal(f, self.noise).to_event(1))
            pyro.sample("z", dist.Normal(z, self.noise).to_event(2))


@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_content_in_the_dynamics(noise: float) -> None:
    x = torch.randn(2000, 3, 2)
    found = content_dynamics_information(LeakyGuide(noise), x, num_samples=2)
    rho = 1 / (1 + noise**2)
    assert found == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.06)


def test_independent_content_and_dynamics() -> None:
    found = content_dynamics_information(LinearGuide(), from_model(2000))
    assert found == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("model", [models.DSAE, models.LSTMf])
def test_content_in_the_dynamics_of_a_pair(make_pair, model: type) -> None:
    guide = guides.LSTMGuide if model is models.LSTMf else guides.Full
    _, made = make_pair(model=model, guide=guide)
    x = torch.rand(30, 4, 3, 16, 16)
    assert math.isfinite(content_dynamics_information(made, x, components=2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: log_weights(linear_model, LinearGuide(), x[:0], 5),
            r"not empty, got \(0, 4, 2\)",
        ),
        (lambda x: log_weights(linear_model, LinearGuide(), x[0], 5), r"\*frame\) .* got \(4, 2\)"),
        (lambda x: log_weights(linear_model, LinearGuide(), x, 0), "num_samples must be .* got 0"),
        (
            lambda x: log_weights(linear_model, LinearGuide(), x, 5, pairs_at_once=0),
            "pairs_at_once must be at least 1, got 0",
        ),
        (lambda x: importance_bound(torch.zeros(3)), r"log_weights must be .* got \(3,\)"),
        (lambda x: k_hat(torch.zeros(24, 3)), "must hold at least 25 draws, got 24"),
        (
            lambda x: evidence(linear_model, LinearGuide(), x, num_samples=24),
            "num_samples must be at least 25, got 24",
        ),
        (
            lambda x: evidence(linear_model, LinearGuide(), x, num_sequences=21),
            "num_sequences must be 1 to 20, got 21",
        ),
        (
            lambda x: mutual_information(LinearGuide(), x, num_samples=0),
            "num_samples must be at least 1, got 0",
        ),
        (
            lambda x: content_dynamics_information(LinearGuide(), x, components=0),
            "components must be at least 1, got 0",
        ),
        (
            lambda x: content_dynamics_information(LinearGuide(), x, dynamics="w"),
            r"guide must have sites 'f' and 'w', got \['f', 'z'\]",
        ),
        (
            lambda x: gaussian_copula_information(torch.rand(5, 2), torch.rand(4, 2)),
            r"a and b must be \(N, dim\), got \(5, 2\) and \(4, 2\)",
        ),
        (
            lambda x: gaussian_copula_information(torch.rand(5, 2), torch.rand(5, 2)),
            "N must be more than 5 for 2 and 2 dimensions, got 5",
        ),
    ],
)
def test_bad_arguments(points: Tensor, call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(points)


@pytest.mark.filterwarnings("ignore")
def test_nan_names_its_sequences(points: Tensor) -> None:
    class Broken(LinearGuide):
        def __call__(self, x: Tensor) -> None:
            with pyro.plate("sequences", len(x), dim=-1):
                nan = x[:, :1, 0] / x[:, :1, 0]
                pyro.sample("f", dist.Normal(nan, 1.0, validate_args=False).to_event(1))
                pyro.sample("z", dist.Normal(x[..., 1:], 1.0).to_event(2))

    points[2:4, 0, 0] = 0
    with pyro.validation_enabled(False), pytest.raises(ValueError, match=r"NaN .* \[2, 3\]"):
        log_weights(linear_model, Broken(), points, 3)


def test_frames_out_of_range_are_no_evidence(make_pair, x):
    with pytest.raises(ValueError, match=r"x must be in \[0, 1\]"):
        evidence(*make_pair(), 255 * x, num_samples=25)


def test_functions_see_x_as_it_is():
    """They do not say what they take: nothing is rounded or scaled."""
    seen = []

    def model(x):
        seen.append(x.dtype)
        with pyro.plate("sequences", x.shape[-3], dim=-1):
            f = pyro.sample("f", dist.Normal(torch.zeros(1).double(), 1.0).to_event(1))
            rate = f.exp().unsqueeze(-1).expand(*f.shape[:-1], *x.shape[-2:])
            pyro.sample("x", dist.Poisson(rate).to_event(2), obs=x)

    def guide(x):
        with pyro.plate("sequences", x.shape[-3], dim=-1):
            pyro.sample("f", dist.Normal(x.double().mean((1, 2))[:, None], 0.1).to_event(1))

    for x in (torch.ones(3, 4, 1).double(), torch.ones(3, 4, 1).long()):
        assert log_weights(model, guide, x, num_samples=2).isfinite().all()
        assert seen[-1] == x.dtype


def test_the_median_of_two(make_pair, x, monkeypatch):
    module = sys.modules["pyro_dsae.metrics.evidence"]
    for k, expected in (([0.1, 5.0], 2.55), ([0.1, math.inf], None), ([5.0, 0.1, 0.2], 0.2)):
        monkeypatch.setattr(module, "k_hat", lambda _, k=k: torch.tensor(k))
        found = evidence(*make_pair(), x[: len(k)], num_samples=25)["k_hat_median"]
        assert found == (None if expected is None else pytest.approx(expected))


def test_weights_of_frames_as_they_come(make_pair, x):
    pair = [program.eval() for program in make_pair()]
    found = []
    for frames in ((255 * x).byte(), (255 * x).byte().float() / 255):
        pyro.set_rng_seed(0)
        found.append(log_weights(*pair, frames, num_samples=3))
    torch.testing.assert_close(*found)
    with pytest.raises(ValueError, match=r"x must be in \[0, 1\]"):
        log_weights(*pair, 255 * x, num_samples=3)
