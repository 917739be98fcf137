"""ArviZ's figures and tables on our containers, of a model whose evidence is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image
from pyro import distributions as dist
from torch import Tensor

import pyro_dsae
from pyro_dsae import to_arviz
from pyro_dsae.inference_data import _import_arviz
from pyro_dsae.metrics.evidence import importance_bound, k_hat
from pyro_dsae.plotting import arviz_plots
from pyro_dsae.plotting.arviz_plots import (
    compare_weights,
    comparison_figure,
    khat_figure,
    latent_forest,
    predictive_check,
    weights_elpd,
)

IS_ARVIZ_1 = int(_import_arviz().__version__.split(".")[0]) >= 1
SCALE = math.sqrt(0.5)  # of the posterior of f, and of z


def linear_model(
    x: Tensor | None = None, *, batch_size: int | None = None, num_frames: int | None = None
) -> Tensor:
    """One frame of two values, f and z, with noise of variance 1."""
    with pyro.plate("sequences", batch_size if x is None else len(x), dim=-1):
        f = pyro.sample("f", dist.Normal(torch.zeros(1), 1.0).to_event(1))
        z = pyro.sample("z", dist.Normal(torch.zeros(1, 1), 1.0).to_event(2))
        loc = torch.cat([f.unsqueeze(1), z], -1)
        pyro.sample("x", dist.Normal(loc, 1.0).to_event(2), obs=x)
    return loc


def guide_of(width: float) -> Callable:
    """The exact posterior, its scales times ``width``."""

    def guide(x: Tensor) -> None:
        with pyro.plate("sequences", len(x), dim=-1):
            pyro.sample("f", dist.Normal(x[:, 0, :1] / 2, width * SCALE).to_event(1))
            pyro.sample("z", dist.Normal(x[..., 1:] / 2, width * SCALE).to_event(2))

    return guide


@pytest.fixture(scope="module")
def points() -> Tensor:
    return math.sqrt(2) * torch.randn(30, 1, 2, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def containers(points: Tensor) -> dict[str, Any]:
    pyro.set_rng_seed(0)
    widths = {"narrow": 0.2, "exact": 1.0, "wide": 1.3}
    return {
        name: to_arviz(linear_model, guide_of(width), points, num_samples=400)
        for name, width in widths.items()
    }


def is_picture(path: Path) -> bool:
    """A PNG with something drawn on it."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    return path.suffix == ".png" and pixels.std() > 5


def exact(x: Tensor) -> Tensor:
    return dist.Normal(0.0, math.sqrt(2)).log_prob(x).sum((1, 2))


def test_elpd_holds_bound_and_k_hat(containers: dict[str, Any], points: Tensor) -> None:
    elpd = weights_elpd(containers["wide"])
    weights = torch.tensor(containers["wide"]["sample_stats"]["log_weight"].values[0])
    of_sequences = elpd["elpd_i" if IS_ARVIZ_1 else "loo_i"]
    total = elpd["elpd" if IS_ARVIZ_1 else "elpd_loo"]
    assert of_sequences.dims == elpd["pareto_k"].dims == ("sequence",)
    np.testing.assert_allclose(of_sequences, importance_bound(weights))
    np.testing.assert_allclose(elpd["pareto_k"], k_hat(weights))
    assert total == pytest.approx(float(exact(points).sum()), rel=0.01)
    assert elpd["se"] == pytest.approx(30**0.5 * float(exact(points).std(correction=0)), rel=0.05)
    assert (elpd["n_samples"], elpd["n_data_points"]) == (400, 30)
    assert not elpd["warning"]
    assert weights_elpd(containers["narrow"])["warning"]
    assert "Computed from 400" in str(elpd)


def test_comparison_puts_the_best_first(containers: dict[str, Any], points: Tensor) -> None:
    table = compare_weights(containers)
    assert table.index[-1] == "narrow"
    assert set(table.index[:2]) == {"exact", "wide"}
    best = table["elpd" if IS_ARVIZ_1 else "elpd_loo"].iloc[0]
    assert float(best) == pytest.approx(float(exact(points).sum()), rel=0.01)
    # Differences are of pairs: far more certain than either bound.
    assert float(table.loc[table.index[1], "dse"]) < float(table.loc[table.index[1], "se"]) / 10
    assert float(table["weight"].sum()) == pytest.approx(1, abs=0.02)


def test_comparison_of_thousands_of_nats(containers: dict[str, Any]) -> None:
    shifted = {}
    for name in ("narrow", "wide"):
        shifted[name] = containers[name].copy()
        weights = shifted[name]["sample_stats"]["log_weight"]
        shifted[name]["sample_stats"]["log_weight"] = weights - 5000
    table = compare_weights(shifted)
    assert np.isfinite(table["weight"].astype(float)).all()
    assert table.index[0] == "wide"


def test_figures(containers: dict[str, Any], tmp_path: Path) -> None:
    opened = plt.get_fignums()
    paths = [
        khat_figure(containers["narrow"], tmp_path / "k"),
        khat_figure(containers["exact"], tmp_path / "exact.png"),
        comparison_figure(containers, tmp_path / "sub" / "comparison.png"),
        predictive_check(containers["wide"], tmp_path / "check.png"),
        predictive_check(containers["wide"], tmp_path / "kde", kind="kde", num_samples=1000),
    ]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "k.png",
        "exact.png",
        "sub/comparison.png",
        "check.png",
        "kde.png",
    ]
    assert all(is_picture(path) for path in paths)
    assert plt.get_fignums() == opened


def test_arviz_draws_what_it_is_given(
    containers: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if IS_ARVIZ_1:
        pytest.skip("reads the axes of ArviZ 0.x")
    figures = []

    def keep(figure: Any, path: Path) -> Path:
        figures.append(figure)
        return path

    monkeypatch.setattr(arviz_plots, "saved", keep)
    khat_figure(containers["narrow"], tmp_path / "k")
    points = figures[0].axes[0].collections[0].get_offsets()
    k = weights_elpd(containers["narrow"])["pareto_k"]
    np.testing.assert_allclose(points[:, 1], k)
    comparison_figure(containers, tmp_path / "c")
    labels = [tick.get_text() for tick in figures[1].axes[0].get_yticklabels()]
    assert [label for label in labels if label] == list(compare_weights(containers).index)
    for num_samples in (7, 12):
        predictive_check(containers["wide"], tmp_path / "p", num_samples=num_samples)
    few, more = (len(figure.axes[0].lines) for figure in figures[2:])
    assert more - few == 5


def test_figures_of_a_pair_of_ours(make_pair, x: Tensor, tmp_path: Path) -> None:
    model, guide = make_pair()
    made = to_arviz(model.eval(), guide.eval(), x, num_samples=30, predictive="mean")
    assert is_picture(khat_figure(made, tmp_path / "k"))
    assert is_picture(predictive_check(made, tmp_path / "check", num_samples=3))


def test_forest_of_one_sequence(make_pair, x: Tensor, tmp_path: Path) -> None:
    opened = plt.get_fignums()
    names = {"sequence": ["anna", "ben"]}
    for z_dim in (1, 3):
        model, guide = make_pair(z_dim=z_dim)
        made = to_arviz(model.eval(), guide.eval(), x[:2], num_samples=30, coords=names)
        assert is_picture(latent_forest(made, tmp_path / f"{z_dim}", sequence="ben"))
        with pytest.raises(ValueError, match="sequence must be one of 2, anna to ben, got 0"):
            latent_forest(made, tmp_path / "none")
    svg = latent_forest(made, tmp_path / "forest.svg", sequence="anna")
    assert svg.read_text().startswith("<?xml")
    assert not (tmp_path / "none.png").exists()
    assert plt.get_fignums() == opened


def test_infinite_k_hat(containers: dict[str, Any], tmp_path: Path) -> None:
    made = containers["wide"].copy()
    weights = made["sample_stats"]["log_weight"].copy()
    weights[0, 0, 3] += 2000  # one draw outweighs all others
    made["sample_stats"]["log_weight"] = weights
    assert np.isinf(weights_elpd(made)["pareto_k"][3])
    assert is_picture(khat_figure(made, tmp_path / "k"))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"kind": "scatter"}, "kind must be 'cumulative' or 'kde', got 'scatter'"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
    ],
)
def test_bad_arguments(
    containers: dict[str, Any], tmp_path: Path, kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        predictive_check(containers["wide"], tmp_path / "x", **kwargs)


def test_containers_that_do_not_fit(
    containers: dict[str, Any], points: Tensor, tmp_path: Path
) -> None:
    few = to_arviz(linear_model, guide_of(1.2), points, num_samples=5, predictive=None)
    with pytest.raises(ValueError, match="log_weights must hold at least 25 draws, got 5"):
        khat_figure(few, tmp_path / "k")
    with pytest.raises(ValueError, match="must have predictions, got none: call to_arviz with"):
        predictive_check(few, tmp_path / "x")
    with pytest.raises(ValueError, match=r"at least 2 guides by name, got \['wide'\]"):
        compare_weights({"wide": containers["wide"]})
    other = to_arviz(linear_model, guide_of(1.2), points + 1, num_samples=30)
    with pytest.raises(ValueError, match="same sequences, got others for 'other' than for 'wide'"):
        comparison_figure({"wide": containers["wide"], "other": other}, tmp_path / "c")


def test_frames_that_are_absent_are_in_no_figure(
    make_pair: Any, x: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Predictions and what was observed are of the same frames, and all of each."""
    model, guide = make_pair()
    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    mask[:, 1:3] = False  # a gap, which is predicted
    options = {"num_samples": 25, "predictive": "mean", "mask": mask}
    both = {name: pyro_dsae.to_arviz(model, guide, x, **options) for name in ("a", "b")}
    assert set(compare_weights(both).index) == {"a", "b"}
    assert is_picture(predictive_check(both["a"], tmp_path / "check"))
    shown = arviz_plots._present(both["a"])
    observed, predicted = shown["observed_data"]["x"], shown["posterior_predictive"]["x"]
    assert observed.sizes == {"x_dim_0": int(mask.sum()) * x[0, 0].numel()}
    assert np.isfinite(predicted).all() and predicted.shape[2:] == observed.shape
    np.testing.assert_allclose(observed, x[mask].flatten())


def test_numpys_generator_is_left_alone(containers: dict[str, Any], tmp_path: Path) -> None:
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    predictive_check(containers["wide"], tmp_path / "check")
    assert np.random.rand() == expected  # noqa: NPY002
