r"""Draws, predictions and log-likelihoods as ArviZ's own container.

For draws :math:`(f^s, z^s) \sim q(f, z \mid x)`, one set a sequence, ``log_likelihood`` holds
:math:`\log p(x \mid f^s, z^s)` and ``sample_stats.log_weight`` holds
:math:`\log p(x, f^s, z^s) - \log q(f^s, z^s \mid x)`. The mean of the latter estimates the ELBO,
its log-mean-exp estimates :math:`\log p(x)`, and its Pareto k says how well the guide fits (Yao et
al., ICML 2018; ArviZ's ``psislw`` takes log weights in 0.x and their negative in 1.x).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pyro import poutine
from pyro.distributions import Delta
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from .checks import as_frames, as_mask, check_pair, latents_of, shown
from .handlers import latent_sites
from .nn import within_lengths
from .program import evaluating

Arrays = dict[str, np.ndarray]
Predictive = Literal["draw", "mean"]

_FRAME_DIMS = {1: ["bin"], 2: ["height", "width"], 3: ["channel", "height", "width"]}


def to_arviz(
    model: Callable,
    guide: Callable,
    x: Tensor,
    *,
    num_samples: int = 100,
    predictive: Predictive | None = "draw",
    batch_size: int = 128,
    coords: Mapping[str, Sequence[Any]] | None = None,
    mask: Tensor | None = None,
) -> Any:
    """What model and guide say of ``x``, as an ``InferenceData`` (ArviZ 0.x) or ``DataTree`` (1.x).

    The guide's draws are independent: they stand as one chain. S is ``num_samples``.

    ========================  ==============  =====================================================
    group                     variable        dimensions after ``chain`` (1) and ``draw`` (S)
    ========================  ==============  =====================================================
    ``posterior``, ``prior``  ``f``           ``sequence, f_dim``; from the guide, from the model
    the same                  ``z``           ``sequence, frame, z_dim``; so for every latent site
    ``log_likelihood``        ``x``           ``sequence``; nats
    ``sample_stats``          ``log_weight``  ``sequence``; nats
    ``posterior_predictive``  ``x``           ``sequence, frame, channel, height, width`` or ``bin``
    ``prior_predictive``      ``x``           the same, as many sequences of as many frames
    ``observed_data``         ``x``           the same, with neither chain nor draw
    ========================  ==============  =====================================================

    Each predictive group takes the memory of S copies of ``x``; what is needed beside the result is
    the memory of one pass over ``batch_size`` sequences. The draws follow ``pyro.set_rng_seed``.
    Modules are in evaluation mode meanwhile.

    ``az.loo`` and ``az.compare`` take the draws of one posterior over all data for granted, and leave one
    observation out of it. Here every sequence has latents of its own, whose posterior that sequence alone
    informs: their k is above 1 throughout, and their ranking of guides is noise. Compare by
    :func:`pyro_dsae.metrics.evidence` or :func:`pyro_dsae.plotting.compare_weights` instead, which rest on
    ``log_weight``. A point mass in the guide, as mu_2 of :class:`~pyro_dsae.guides.FHVAEGuide`, has no
    density: its site is left out of ``log_weight`` on both sides, conditional on that point.

    :param x: ``(N, T, *frame)``, floats or bytes.
    :param num_samples: S, draws a sequence.
    :param predictive: ``draw``, x drawn given each draw of the latents, as ArviZ's plots expect it;
        ``mean``, its mean frames; or None, which leaves the two predictive groups out.
    :param batch_size: (draw, sequence) pairs that go through guide and model at once.
    :param coords: names for the entries of a dimension, such as ``{"sequence": ["anna", "ben"]}``;
        a dimension without them counts from 0.
    :param mask: ``(N, T)``, True where a frame is present. What there is not is NaN: absent frames of
        ``observed_data``, and of the posterior all that lies past a sequence's last frame.
    :raises ValueError: on an argument that does not fit, or a program without a site that it needs.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> draws = to_arviz(model, guide, x, num_samples=10, predictive=None)
    >>> draws["posterior"]["z"].dims
    ('chain', 'draw', 'sequence', 'frame', 'z_dim')
    >>> draws["sample_stats"]["log_weight"].shape
    (1, 10, 4)
    """
    if x.ndim < 3 or not len(x):
        raise ValueError(f"x must be (batch, time, *frame) and not empty, got {tuple(x.shape)}")
    check_pair(model, guide)
    if predictive not in ("draw", "mean", None):
        raise ValueError(f"predictive must be 'draw', 'mean' or None, got {predictive!r}")
    for name, value in (("num_samples", num_samples), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")

    with evaluating(model, guide):
        mask = as_mask(mask, x, guide, model)
        x = as_frames(guide, shown(x, mask), model)
        # The (draw, sequence) pairs in batches, each as the indices of its sequences.
        pairs = torch.arange(num_samples * len(x), device=x.device).split(batch_size)
        posterior = _collect(
            (
                _posterior(model, guide, x[rows % len(x)], predictive, _rows(mask, rows % len(x)))
                for rows in pairs
            ),
            num_samples,
            len(x),
        )
        sites = [name for name in posterior if name not in ("x", "log_likelihood", "log_weight")]
        prior = _collect(
            (_prior(model, len(rows), x.shape[1], sites, predictive) for rows in pairs),
            num_samples,
            len(x),
        )
    groups: dict[str, Arrays] = {
        "posterior": {name: posterior[name] for name in sites},
        "prior": {name: prior[name] for name in sites},
        "log_likelihood": {"x": posterior["log_likelihood"]},
        "sample_stats": {"log_weight": posterior["log_weight"]},
        "observed_data": {"x": _numpy(x)},
    }
    predicted = [posterior["x"]] if predictive is not None else []
    if predictive is not None:
        groups["posterior_predictive"] = {"x": posterior["x"]}
        groups["prior_predictive"] = {"x": prior["x"]}
    known = latents_of(model)
    moves = {n: None in known[n] if n in known else posterior[n].ndim == 5 for n in sites}
    if mask is not None:
        past = ~within_lengths(mask).cpu().numpy()
        groups["observed_data"]["x"][~mask.cpu().numpy()] = np.nan
        for values in (*(posterior[n] for n in sites if moves[n]), *predicted):
            values[:, :, past] = np.nan
    return _container(groups, coords or {}, moves)


def _rows(mask: Tensor | None, rows: Tensor) -> dict[str, Tensor]:
    """The mask of some sequences, as programs are given it."""
    return {} if mask is None else {"mask": mask[rows]}


def _posterior(
    model: Callable,
    guide: Callable,
    x: Tensor,
    predictive: Predictive | None,
    given: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    q = poutine.trace(guide).get_trace(x, **given)
    p = poutine.trace(poutine.replay(model, trace=q)).get_trace(x, **given)
    q.compute_log_prob()
    p.compute_log_prob()
    site = _site(p, "x", "model")
    latents = {name: _site(q, name, "guide")["value"] for name in latent_sites(p) if name != "x"}
    densities = [name for name in latents if not isinstance(_root(q.nodes[name]["fn"]), Delta)]
    log_weight = site["log_prob"] + sum(
        _site(p, name, "model")["log_prob"] - q.nodes[name]["log_prob"] for name in densities
    )
    return {
        **latents,
        **_predict(site, predictive),
        "log_likelihood": site["log_prob"].double(),
        "log_weight": log_weight.double(),
    }


def _root(law: Any) -> Any:
    """A distribution without the wrappers that shape its batch."""
    while hasattr(law, "base_dist"):
        law = law.base_dist
    return law


def _prior(
    model: Callable,
    batch_size: int,
    num_frames: int,
    sites: Iterable[str],
    predictive: Predictive | None,
) -> dict[str, Tensor]:
    p = poutine.trace(model).get_trace(batch_size=batch_size, num_frames=num_frames)
    latents = {name: _site(p, name, "model")["value"] for name in sites}
    return {**latents, **_predict(_site(p, "x", "model"), predictive)}


def _predict(site: dict[str, Any], predictive: Predictive | None) -> dict[str, Tensor]:
    if predictive is None:
        return {}
    return {"x": site["fn"].mean if predictive == "mean" else site["fn"].sample()}


def _site(trace: poutine.Trace, name: str, program: str) -> Any:
    if name not in trace.nodes:
        sites = [
            repr(key)
            for key, site in trace.nodes.items()
            if site["type"] == "sample" and not site_is_subsample(site)
        ]
        raise ValueError(
            f"{program} must have a sample site {name!r}, got sites: {', '.join(sites) or 'none'}"
        )
    return trace.nodes[name]


def _collect(batches: Iterator[dict[str, Tensor]], num_samples: int, n: int) -> Arrays:
    """Batches of pairs, copied one by one into arrays of ``(1, num_samples, n, *event)``."""
    arrays: Arrays = {}
    start = 0
    for batch in batches:
        stop = start + len(next(iter(batch.values())))
        for name, value in batch.items():
            array = _numpy(value)
            if name not in arrays:
                arrays[name] = np.empty((num_samples * n, *array.shape[1:]), array.dtype)
            arrays[name][start:stop] = array
        start = stop
    return {name: a.reshape(1, num_samples, n, *a.shape[1:]) for name, a in arrays.items()}


def _numpy(value: Tensor) -> np.ndarray:
    # NumPy has no bfloat16.
    return (value if value.dtype == torch.float64 else value.float()).cpu().numpy()


def _container(
    groups: dict[str, Arrays], coords: Mapping[str, Sequence[Any]], sites: Mapping[str, bool]
) -> Any:
    frame = groups["observed_data"]["x"].shape[2:]
    dims = {
        **{
            name: ["sequence", *(["frame"] if moves else []), f"{name}_dim"]
            for name, moves in sites.items()
        },
        "log_weight": ["sequence"],
        "x": ["sequence", "frame", *_FRAME_DIMS.get(len(frame), [])],
    }
    _check_coords(coords, groups, dims)
    names = {name: list(values) for name, values in coords.items()}
    return _from_dict(groups, coords=names, dims=dims)


def _from_dict(groups: Mapping[str, Any], **how: Any) -> Any:
    """ArviZ's container of arrays by group and name, for 0.x and 1.x."""
    from_dict = _import_arviz().from_dict
    return from_dict(groups, **how) if _is_arviz_1() else from_dict(**groups, **how)


def _is_arviz_1() -> bool:
    return int(_import_arviz().__version__.split(".")[0]) >= 1


def _check_coords(
    coords: Mapping[str, Sequence[Any]], groups: dict[str, Arrays], dims: dict[str, list[str]]
) -> None:
    sizes: dict[str, int] = {}
    for name in groups["posterior"]:
        sizes.update(zip(dims[name], groups["posterior"][name].shape[2:], strict=True))
    sizes.update(zip(dims["x"], groups["observed_data"]["x"].shape, strict=False))
    for name, values in coords.items():
        if name not in sizes:
            raise ValueError(f"coords must name some of {', '.join(sizes)}, got {name!r}")
        if len(values) != sizes[name]:
            raise ValueError(f"coords[{name!r}] must have {sizes[name]} entries, got {len(values)}")


def _import_arviz() -> Any:
    """ArviZ, which takes seconds to import, without 0.23's announcement of 1.0 on every import."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning)
        import arviz
    return arviz
