r"""ArviZ's own figures on what :func:`pyro_dsae.to_arviz` returns.

Each sequence n has latents of its own, so that to leave it out leaves nothing but the prior: ``az.loo`` on
``log_likelihood`` does not measure a guide. The importance weights do. :func:`weights_elpd` puts

.. math:: \mathrm{elpd}_n = \log \frac1K \sum_k w_n^k \le \log p(x_n) \text{ (in the mean)}, \quad
          \mathrm{elpd} = \sum_n \mathrm{elpd}_n

and the k-hat of the weights into ArviZ's ``ELPDData``, for ``az.plot_khat``, ``az.compare`` and
``az.plot_compare``. For sequences that were not trained on, this is a bound on their log predictive density.
Guides of one frozen model then differ in how tight their bounds are alone; pairs that were trained together
differ in model and guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from .._numbers import check_whole
from ..inference_data import _from_dict, _import_arviz, _is_arviz_1
from ..metrics.evidence import importance_bound, k_hat
from ._common import prepared, saved


def weights_elpd(inference_data: Any) -> Any:
    """The bound on log p(x) and the k-hat of each sequence, as ArviZ's ``ELPDData``; nats.

    ``p``, the number of effective parameters, is 0: nothing is fitted to these sequences.

    :param inference_data: what :func:`pyro_dsae.to_arviz` returned, of at least 25 draws.
    :raises ValueError: if there are fewer.
    """
    weights = _log_weights(inference_data)
    draws, count = weights.shape
    first = _group(inference_data, "sample_stats")["log_weight"].isel(chain=0, draw=0, drop=True)
    bound = first.copy(data=importance_bound(weights).numpy())
    k = first.copy(data=k_hat(weights).numpy())
    good_k = min(1 - 1 / np.log10(draws), 0.7)
    parts: dict[str, Any] = {
        "elpd": float(bound.sum()),
        "se": float((count * bound.var()) ** 0.5),
        "p": 0.0,
        "n_samples": draws,
        "n_data_points": count,
        "warning": bool((k > good_k).any()),
        "elpd_i": bound.rename("elpd_i"),
        "pareto_k": k.rename("pareto_k"),
        "scale": "log",
        "good_k": good_k,
    }
    if _is_arviz_1():
        utils = import_module("arviz_stats.utils")
        if hasattr(utils, "ELPDDataLOO"):  # from 1.3 on
            return utils.ELPDDataLOO(**parts)
        return utils.ELPDData(kind="loo", **parts)
    from arviz.stats.stats_utils import ELPDData

    names = {"elpd": "elpd_loo", "p": "p_loo", "elpd_i": "loo_i"}
    return ELPDData(data=list(parts.values()), index=[names.get(name, name) for name in parts])


def compare_weights(inference_data: Mapping[str, Any]) -> Any:
    """ArviZ's table of guides, best first, by :func:`weights_elpd`: a ``pandas.DataFrame`` of ``az.compare``.

    ``elpd_diff`` and its standard error ``dse`` are of pairs of the same sequences. ``weight`` is by
    pseudo-BMA: stacking would take the exponential of thousands of nats.

    :param inference_data: by name, two or more containers of the same sequences.
    :raises ValueError: if there are fewer, or the sequences differ.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> other = pyro_dsae.Full((3, 16, 16), **sizes)
    >>> draws = {
    ...     name: pyro_dsae.to_arviz(model, q, x, num_samples=25, predictive=None)
    ...     for name, q in {"factorised": guide, "full": other}.items()
    ... }
    >>> sorted(compare_weights(draws).index)
    ['factorised', 'full']
    """
    by_name = isinstance(inference_data, Mapping)
    if not by_name or len(inference_data) < 2:
        got = [*inference_data] if by_name else type(inference_data).__name__
        raise ValueError(f"inference_data must hold at least 2 guides by name, got {got}")
    observed = {
        name: _group(data, "observed_data")["x"].values for name, data in inference_data.items()
    }
    reference = next(iter(observed))
    for name, x in observed.items():
        if not np.array_equal(x, observed[reference], equal_nan=True):  # frames that are absent
            raise ValueError(
                f"inference_data must be of the same sequences, got others for {name!r} "
                f"than for {reference!r}"
            )
    elpds = {name: weights_elpd(data) for name, data in inference_data.items()}
    return _import_arviz().compare(elpds, method="pseudo-BMA")


def khat_figure(inference_data: Any, path: str | Path) -> Path:
    """The k-hat of every sequence's weights by ``az.plot_khat``; infinite ones are not in sight.

    :param inference_data: what :func:`pyro_dsae.to_arviz` returned, of at least 25 draws.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> draws = pyro_dsae.to_arviz(model, guide, x, num_samples=25, predictive="mean")
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     khat_figure(draws, f"{folder}/k_hat").name
    'k_hat.png'
    """
    elpd = weights_elpd(inference_data)
    if _is_arviz_1():
        return _saved_collection(_import_arviz().plot_khat(elpd, backend="matplotlib"), path)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    arviz = _import_arviz()
    arviz.plot_khat(
        elpd, ax=axes, show_hlines=True, show_bins=True, textsize=9, backend="matplotlib"
    )
    axes.set_xlabel("sequence")
    return saved(figure, path)


def comparison_figure(inference_data: Mapping[str, Any], path: str | Path) -> Path:
    """The bounds of several guides by ``az.plot_compare``, with standard errors.

    In 0.x triangles are differences from the best, with the errors of differences of pairs.

    :param inference_data: as for :func:`compare_weights`.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> from tempfile import TemporaryDirectory
    >>> other = pyro_dsae.Full((3, 16, 16), **sizes)
    >>> draws = {
    ...     name: pyro_dsae.to_arviz(model, q, x, num_samples=25, predictive=None)
    ...     for name, q in {"factorised": guide, "full": other}.items()
    ... }
    >>> with TemporaryDirectory() as folder:
    ...     comparison_figure(draws, f"{folder}/guides").name
    'guides.png'
    """
    table = compare_weights(inference_data)
    arviz = _import_arviz()
    if _is_arviz_1():
        plot = arviz.plot_compare(table, relative_scale=False, backend="matplotlib")
        return _saved_collection(plot, path)
    figure = Figure(figsize=(6, 1.2 + 0.6 * len(table)), layout="constrained")
    axes = figure.subplots()
    arviz.plot_compare(
        table, ax=axes, plot_ic_diff=True, textsize=9, title=False, backend="matplotlib"
    )
    axes.set_xlabel("bound on log p(x), all sequences, nats")
    axes.set_ylabel("")
    return saved(figure, path)


def predictive_check(
    inference_data: Any,
    path: str | Path,
    *,
    kind: Literal["cumulative", "kde"] = "cumulative",
    num_samples: int = 20,
) -> Path:
    """The law of all values of x against that of the guide's predictions, by ``az.plot_ppc``.

    In 1.x by ``az.plot_ppc_dist``. Where the likelihood is ``bernoulli`` on intensities, draws are 0 or 1 and
    nothing like x: take containers with ``predictive="mean"``.

    :param inference_data: what :func:`pyro_dsae.to_arviz` returned, with predictions.
    :param kind: ``cumulative``, for values that pile up at 0 and 1, or ``kde``.
    :param num_samples: predictive draws shown, or as many as there are.
    :raises ValueError: if there are no predictions, or on an unknown kind.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> draws = pyro_dsae.to_arviz(model, guide, x, num_samples=25, predictive="mean")
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     predictive_check(draws, f"{folder}/check").name
    'check.png'
    """
    if kind not in ("cumulative", "kde"):
        raise ValueError(f"kind must be 'cumulative' or 'kde', got {kind!r}")
    check_whole(1, num_samples=num_samples)
    _group(inference_data, "observed_data")
    if "posterior_predictive" not in inference_data:
        raise ValueError(
            "inference_data must have predictions, got none: "
            "call to_arviz with predictive='draw' or 'mean'"
        )
    shown = _present(inference_data)
    draws = min(num_samples, inference_data["posterior_predictive"].sizes["draw"])
    arviz = _import_arviz()
    if _is_arviz_1():
        shape = {"cumulative": "ecdf", "kde": "kde"}[kind]
        plot = arviz.plot_ppc_dist(shown, kind=shape, num_samples=draws, backend="matplotlib")
        return _saved_collection(plot, path)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    state = np.random.get_state()  # noqa: NPY002, which ArviZ seeds
    try:
        arviz.plot_ppc(
            shown,
            kind=kind,
            num_pp_samples=draws,
            random_seed=0,
            ax=axes,
            textsize=9,
            legend=False,
            backend="matplotlib",
        )
    finally:
        np.random.set_state(state)  # noqa: NPY002
    # The best place among so many points takes matplotlib seconds to find.
    place: Any = {"cumulative": "lower right", "kde": "upper center"}[kind]
    axes.legend(loc=place, fontsize=9)
    return saved(figure, path)


def _present(inference_data: Any) -> Any:
    """x and its predictions in the frames that are there, laid out in a row where some are absent."""
    x = inference_data["observed_data"]["x"].values
    there = np.isfinite(x)
    if there.all():
        return inference_data
    predicted = inference_data["posterior_predictive"]["x"].values[:, :, there]
    groups = {"posterior_predictive": {"x": predicted}, "observed_data": {"x": x[there]}}
    return _from_dict(groups)


def latent_forest(inference_data: Any, path: str | Path, *, sequence: Any = 0) -> Path:
    """The first two coordinates of q(z_t | x) of one sequence, over the frames, by ``az.plot_forest``.

    :param inference_data: what :func:`pyro_dsae.to_arviz` returned.
    :param sequence: its name, by default a number.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> draws = pyro_dsae.to_arviz(model, guide, x, num_samples=25, predictive="mean")
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     latent_forest(draws, f"{folder}/z", sequence=2).name
    'z.png'
    """
    z = _group(inference_data, "posterior")["z"]
    known = z["sequence"].values
    if sequence not in known:
        raise ValueError(
            f"sequence must be one of {len(known)}, {known[0]} to {known[-1]}, got {sequence!r}"
        )
    dimensions = z["z_dim"].values[:2]
    options = {
        "var_names": ["z"],
        "coords": {"sequence": [sequence], "z_dim": [*dimensions]},
        "combined": True,
        "backend": "matplotlib",
    }
    arviz = _import_arviz()
    if _is_arviz_1():
        return _saved_collection(arviz.plot_forest(inference_data, **options), path)
    rows = z.sizes.get("frame", 1) * len(dimensions)
    figure = Figure(figsize=(6, 1.5 + 0.25 * rows), layout="constrained")
    arviz.plot_forest(inference_data, ax=figure.subplots(), textsize=9, **options)
    return saved(figure, path)


def _group(inference_data: Any, name: str) -> Any:
    """One group of what ``to_arviz`` returned."""
    try:
        return inference_data[name]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f"inference_data must be what to_arviz returned, with {name}, "
            f"got {type(inference_data).__name__}"
        ) from error


def _log_weights(inference_data: Any) -> Tensor:
    """``(S, N)``, the one chain."""
    values = _group(inference_data, "sample_stats")["log_weight"].values
    return torch.from_numpy(np.ascontiguousarray(values.reshape(-1, values.shape[-1])))


def _saved_collection(plot: Any, path: str | Path) -> Path:
    """The file of a ``PlotCollection`` of ArviZ 1.x."""
    from matplotlib import pyplot as plt

    path = prepared(path)
    plot.savefig(path)
    plt.close(plot.get_viz("figure"))
    return path
