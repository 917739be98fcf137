"""The ArviZ container: its layout, its numbers, and ArviZ's own functions on it."""

from __future__ import annotations

import math
from typing import Any

import matplotlib

matplotlib.use("Agg")

import arviz as az
import numpy as np
import pyro
import pytest
import torch
from matplotlib import pyplot as plt
from pyro import distributions as dist
from pyro import poutine
from torch import Tensor

import pyro_dsae
from pyro_dsae.inference_data import to_arviz

IS_ARVIZ_1 = int(az.__version__.split(".")[0]) >= 1
NOISE = 0.5


def linear_model(
    x: Tensor | None = None, *, batch_size: int | None = None, num_frames: int | None = None
) -> Tensor:
    """x_t = (f, z_t) + noise, everything Normal: posterior and evidence are known."""
    size, steps = (x.shape[0], x.shape[1]) if x is not None else (batch_size or 1, num_frames or 8)
    with pyro.plate("sequences", size, dim=-1):
        f = pyro.sample("f", dist.Normal(torch.zeros(1), 1.0).to_event(1))
        z = pyro.sample("z", dist.Normal(torch.zeros(steps, 1), 1.0).to_event(2))
        loc = torch.cat([f.unsqueeze(-2).expand(*z.shape), z], dim=-1)
        pyro.sample("x", dist.Normal(loc, NOISE).to_event(2), obs=x)
    return loc


def posterior(x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and standard deviation of f and z given x, in closed form."""
    f_precision, z_precision = 1 + x.shape[1] / NOISE**2, 1 + 1 / NOISE**2
    f_loc = x[..., :1].sum(1) / NOISE**2 / f_precision
    z_loc = x[..., 1:] / NOISE**2 / z_precision
    return {
        "f": (f_loc, torch.full_like(f_loc, f_precision**-0.5)),
        "z": (z_loc, torch.full_like(z_loc, z_precision**-0.5)),
    }


class LinearGuide:
    """The exact posterior of the linear model, its scales times ``width``."""

    def __init__(self, width: float = 1.0) -> None:
        self.width = width
        self.seen: list[int] = []

    def __call__(self, x: Tensor, **_: Any) -> None:
        self.seen.append(len(x))
        with pyro.plate("sequences", len(x), dim=-1):
            for name, (loc, scale) in posterior(x).items():
                law = dist.Normal(loc, self.width * scale)
                pyro.sample(name, law.to_event(law.loc.dim() - 1))


def evidence(x: Tensor) -> Tensor:
    """log p(x) of the linear model, ``(N,)``."""
    steps = x.shape[1]
    shared = dist.MultivariateNormal(
        torch.zeros(steps), torch.ones(steps, steps) + NOISE**2 * torch.eye(steps)
    )
    own = dist.Normal(0.0, (1 + NOISE**2) ** 0.5)
    return shared.log_prob(x[..., 0]) + own.log_prob(x[..., 1]).sum(-1)


@pytest.fixture
def points() -> Tensor:
    """3 sequences of 4 frames of 2 values."""
    return 2 * torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("guide", [pyro_dsae.Factorised, pyro_dsae.Full])
def test_layout(make_pair, x: Tensor, guide: type) -> None:
    model, guide = make_pair(guide=guide)
    idata = to_arviz(model, guide, x, num_samples=3, batch_size=5)
    frame_dims = ("sequence", "frame", "channel", "height", "width")
    sizes = dict(zip(frame_dims, x.shape, strict=True))
    drawn = {"chain": 1, "draw": 3}
    f_sizes = {**drawn, "sequence": 12, "f_dim": 5}
    z_sizes = {**drawn, "sequence": 12, "frame": 4, "z_dim": 3}
    expected = {
        "posterior": {"f": f_sizes, "z": z_sizes},
        "prior": {"f": f_sizes, "z": z_sizes},
        "posterior_predictive": {"x": {**drawn, **sizes}},
        "prior_predictive": {"x": {**drawn, **sizes}},
        "log_likelihood": {"x": {**drawn, "sequence": 12}},
        "sample_stats": {"log_weight": {**drawn, "sequence": 12}},
        "observed_data": {"x": sizes},
    }
    for group, variables in expected.items():
        assert set(idata[group].data_vars) == set(variables)
        for name, dims in variables.items():
            # Items in their order: the axes must be in the order that is documented.
            assert list(idata[group][name].sizes.items()) == list(dims.items()), (group, name)
            assert np.isfinite(idata[group][name]).all()
    assert np.array_equal(idata["observed_data"]["x"], x)
    assert type(idata).__name__ == ("DataTree" if IS_ARVIZ_1 else "InferenceData")


def test_log_likelihood_and_mean_frames_are_those_of_the_draws(make_pair, x: Tensor) -> None:
    model, guide = make_pair()
    idata = to_arviz(model, guide, x, num_samples=4, batch_size=7, predictive="mean")
    for s in range(4):
        f, z = (torch.tensor(idata["posterior"][name].values[0, s]) for name in ("f", "z"))
        mean = poutine.condition(model, data={"f": f, "z": z})(batch_size=12, num_frames=4)
        by_hand = (x * mean.log() + (1 - x) * (1 - mean).log()).sum((1, 2, 3, 4))
        got = torch.tensor(idata["log_likelihood"]["x"].values[0, s])
        torch.testing.assert_close(got, by_hand.double(), rtol=1e-4, atol=1e-2)
        frames = torch.tensor(idata["posterior_predictive"]["x"].values[0, s])
        torch.testing.assert_close(frames, mean, rtol=1e-4, atol=1e-5)


def test_predictive_draws_come_from_the_likelihood(points: Tensor) -> None:
    idata = to_arviz(linear_model, LinearGuide(), points, num_samples=4000, batch_size=6000)
    error = idata["posterior_predictive"]["x"][0, ..., 0] - idata["posterior"]["f"][0, ..., 0]
    assert abs(float(error.mean())) < 0.02
    assert float(error.std()) == pytest.approx(NOISE, rel=0.02)
    prior = idata["prior_predictive"]["x"].values
    assert prior[..., 1].std() == pytest.approx(math.sqrt(1 + NOISE**2), rel=0.02)
    # One content for all frames of a sequence, fresh dynamics for each.
    shared = np.corrcoef(prior[0, :, 0, 0, 0], prior[0, :, 0, 1, 0])[0, 1]
    assert shared == pytest.approx(1 / (1 + NOISE**2), abs=0.05)
    own = np.corrcoef(prior[0, :, 0, 0, 1], prior[0, :, 0, 1, 1])[0, 1]
    assert own == pytest.approx(0, abs=0.05)


def test_weights_of_the_exact_posterior_are_the_evidence(points: Tensor) -> None:
    idata = to_arviz(linear_model, LinearGuide(), points, num_samples=5, batch_size=4)
    weights = torch.tensor(idata["sample_stats"]["log_weight"].values[0])
    torch.testing.assert_close(
        weights, evidence(points).double().expand(5, -1), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("batch_size", [7, 10_000])
def test_draws_belong_to_their_sequences(points: Tensor, batch_size: int) -> None:
    guide = LinearGuide()
    idata = to_arviz(linear_model, guide, points, num_samples=500, batch_size=batch_size)
    for name, (loc, scale) in posterior(points).items():
        draws = idata["posterior"][name].values[0]
        np.testing.assert_allclose(draws.mean(0), loc, atol=0.1)
        np.testing.assert_allclose(draws.std(0), scale, rtol=0.15)
    assert sum(guide.seen) == 500 * 3
    assert max(guide.seen) == min(batch_size, 1500)


def test_without_predictions(points: Tensor) -> None:
    idata = to_arviz(linear_model, LinearGuide(), points, num_samples=2, predictive=None)
    assert "posterior_predictive" not in idata
    assert "prior_predictive" not in idata
    assert "log_likelihood" in idata


def test_same_seed_same_numbers(points: Tensor) -> None:
    def draws() -> np.ndarray:
        pyro.set_rng_seed(3)
        idata = to_arviz(linear_model, LinearGuide(), points, num_samples=2)
        return idata["prior_predictive"]["x"].values

    assert np.array_equal(draws(), draws())


def test_coords(points: Tensor) -> None:
    names = {"sequence": ["anna", "ben", "carla"], "bin": ["low", "high"]}
    idata = to_arviz(linear_model, LinearGuide(), points, num_samples=2, coords=names)
    ben = idata["posterior_predictive"]["x"].sel(sequence="ben", bin="high")
    assert ben.dims == ("chain", "draw", "frame")
    assert list(idata["log_likelihood"]["sequence"].values) == names["sequence"]
    assert list(idata["posterior"]["frame"].values) == [0, 1, 2, 3]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_functions_of_arviz(points: Tensor) -> None:
    idata = to_arviz(linear_model, LinearGuide(width=1.3), points, num_samples=400)
    summary = az.summary(idata, var_names=["f", "z"])
    assert len(summary) == 3 * 1 + 3 * 4 * 1
    assert "f[0, 0]" in summary.index
    loc = posterior(points)["f"][0].flatten()
    np.testing.assert_allclose(summary["mean"].astype(float)[:3], loc, atol=0.1)

    loo = az.loo(idata)
    assert loo.n_data_points == 3
    # Never better than the score of the sequences that the draws have seen.
    score = np.logaddexp.reduce(idata["log_likelihood"]["x"].values[0], axis=0) - np.log(400)
    assert float(getattr(loo, "elpd" if IS_ARVIZ_1 else "elpd_loo")) < score.sum()

    weights = idata["sample_stats"]["log_weight"]
    if IS_ARVIZ_1:
        _, k = (-weights).azstats.psislw(dim=["chain", "draw"])
    else:
        _, k = az.psislw(weights.stack(__sample__=("chain", "draw")))
    assert np.all(np.asarray(k) < 0.7)

    az.plot_forest(idata, var_names=["f"])
    plt.close("all")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"x": torch.rand(3, 2)}, r"x must be \(batch, time, \*frame\) .* got \(3, 2\)"),
        ({"x": torch.rand(0, 4, 2)}, r"not empty, got \(0, 4, 2\)"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"batch_size": -1}, "batch_size must be at least 1, got -1"),
        ({"predictive": "mode"}, "predictive must be 'draw', 'mean' or None, got 'mode'"),
        ({"coords": {"sequence": ["a"]}}, r"coords\['sequence'\] must have 3 entries, got 1"),
        (
            {"coords": {"person": ["a"]}},
            "coords must name some of sequence, f_dim, frame, z_dim, bin, got 'person'",
        ),
    ],
)
def test_bad_arguments(points: Tensor, kwargs: dict[str, Any], message: str) -> None:
    x = kwargs.pop("x", points)
    with pytest.raises(ValueError, match=message):
        to_arviz(linear_model, LinearGuide(), x, **{"num_samples": 2, **kwargs})


def test_a_program_without_the_sites(points: Tensor) -> None:
    def without_z(x: Tensor) -> None:
        with pyro.plate("sequences", len(x), dim=-1):
            pyro.sample("f", dist.Normal(torch.zeros(1), 1.0).to_event(1))

    with pytest.raises(ValueError, match="guide must have a sample site 'z', got sites: 'f'"):
        to_arviz(linear_model, without_z, points)
