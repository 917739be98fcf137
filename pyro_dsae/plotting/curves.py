"""Numbers over time: what a judge sees, and the loss."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from ..training import History
from ._common import check_mapping, described, finite, saved

_ENTRIES = 14  # of a legend, beside a row of panels


def trajectory_figure(
    trajectories: Mapping[str, Mapping[str, Tensor]],
    path: str | Path,
    *,
    names: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """What a judge sees over time: a row for each kind of trajectory, a column for each head.

    Each class has a colour; a line of pixels is one sequence, its colour at t the mixture of the
    classes by their probabilities. What is fixed shows as one colour, what is drawn as many.

    :param trajectories: by kind and head ``(N, T, classes)``, as
        :func:`pyro_dsae.metrics.trajectories` returns them.
    :param names: of the classes of some heads, for legends.

    >>> from tempfile import TemporaryDirectory
    >>> probabilities = torch.rand(10, 8, 9).softmax(-1)
    >>> with TemporaryDirectory() as folder:
    ...     trajectory_figure({"fixed_f": {"action": probabilities}}, f"{folder}/over_time").name
    'over_time.png'
    """
    kinds, heads = [*trajectories], _checked_heads(trajectories, names or {})
    figure = Figure(figsize=(2.2 * len(heads) + 1.6, 2.4 * len(kinds)), layout="constrained")
    panels = figure.subplots(len(kinds), len(heads), squeeze=False)
    colours = np.asarray(colormaps["tab10"].colors)  # type: ignore[attr-defined]
    for kind, row in zip(kinds, panels, strict=True):
        for head, axes in zip(heads, row, strict=True):
            p = trajectories[kind][head].detach().cpu().double().numpy()
            order = p.mean(1).argmax(-1).argsort(kind="stable")
            axes.imshow(
                (p[order] @ colours[: p.shape[2]]).clip(0, 1),
                aspect="auto",
                interpolation="nearest",
                extent=(0.5, p.shape[1] + 0.5, len(p), 0),
            )
            axes.set_title(f"{head}: {kind.replace('_', ' ')}", fontsize="medium")
            axes.set_yticks([])
    figure.supxlabel("frame")
    figure.supylabel("sequences")
    patches = [
        Patch(color=tuple(colour), label=f"{head}: {name}")
        for head, classes in (names or {}).items()
        for colour, name in zip(colours, classes, strict=False)
    ]
    if patches:
        columns = math.ceil(len(patches) / (_ENTRIES * len(kinds)))
        figure.set_figwidth(figure.get_figwidth() + 1.6 * (columns - 1))
        figure.legend(
            handles=patches, loc="outside right center", fontsize="x-small", ncols=columns
        )
    return saved(figure, path)


def _checked_heads(
    trajectories: Mapping[str, Mapping[str, Tensor]], names: Mapping[str, Sequence[str]]
) -> list[str]:
    """The heads of all kinds, once everything fits."""
    check_mapping("trajectories", trajectories, "heads")
    heads: list[str] = []
    for kind, row in trajectories.items():
        check_mapping(f"trajectories[{kind!r}]", row, "probabilities")
        heads = heads or [*row]
        if {*row} != {*heads}:
            raise ValueError(f"trajectories[{kind!r}] must have the heads {heads}, got {[*row]}")
        for head, p in row.items():
            is_shown = isinstance(p, Tensor) and p.dim() == 3 and 0 not in p.shape
            if not is_shown or p.shape[2] > 10 or not p.isfinite().all():
                raise ValueError(
                    f"trajectories[{kind!r}][{head!r}] must be (N, T, classes), at most 10 classes, "
                    f"and finite, got {described(p)}"
                )
    if not {*names} <= {*heads}:
        raise ValueError(f"names must be of the heads {heads}, got {[*names]}")
    return heads


def error_curves(errors: Mapping[str, Mapping[str, Mapping[str, float]]], path: str | Path) -> Path:
    """Incorrect pixels against the number of missing frames: a model a line, its interval shaded.

    The best of the futures is dotted.

    :param errors: by model and number of frames, as :func:`pyro_dsae.metrics.prediction_errors` gives them.

    >>> from tempfile import TemporaryDirectory
    >>> errors = {"mean": 0.01, "low": 0.008, "high": 0.012, "best_of_20": 0.005}
    >>> with TemporaryDirectory() as folder:
    ...     error_curves({"stochastic": {"5": errors, "10": errors}}, f"{folder}/missing").name
    'missing.png'
    """
    check_mapping("errors", errors, "errors")
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    for i, (name, scores) in enumerate(errors.items()):
        check_mapping(f"errors[{name!r}]", scores, "errors")
        if not all(str(number).isdigit() for number in scores):
            raise ValueError(f"errors[{name!r}] must be by number of frames, got {[*scores]}")
        for number, row in scores.items():
            check_mapping(f"errors[{name!r}][{number!r}]", row, "numbers")
        missing = sorted(scores, key=int)
        frames = [int(number) for number in missing]
        found = (key for key in scores[missing[0]] if re.fullmatch(r"best_of_\d+", key))
        keys = ["mean", "low", "high", next(found, "best_of_N")]
        rows = [finite(f"errors[{name!r}][{n!r}]", scores[n], keys) for n in missing]
        mean, low, high, best = 100 * np.transpose(rows)
        label = f"{name}, {keys[-1]}".replace("_", " ")
        axes.plot(frames, mean, "o-", color=f"C{i}", label=name)
        axes.fill_between(frames, low, high, color=f"C{i}", alpha=0.2, lw=0)
        axes.plot(frames, best, "o:", color=f"C{i}", ms=3, label=label)
    axes.set(xlabel="missing frames", ylabel="incorrect pixels, %", ylim=(0, None))
    axes.legend(fontsize="small")
    return saved(figure, path)


def rate_distortion(curves: Mapping[str, Sequence[Mapping[str, float]]], path: str | Path) -> Path:
    """What a code of the latents costs against what it leaves to say: a line for each way to encode.

    :param curves: points of each, as :func:`pyro_dsae.metrics.rates` gives them.
    """
    check_mapping("curves", curves, "points")
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        if not isinstance(points, (list, tuple)) or not points:
            raise ValueError(
                f"curves[{name!r}] must be a list of points, not empty, got {points!r}"
            )
        keys = ("bits_per_frame", "distortion_bits_per_dim")
        ordered = sorted(finite(f"curves[{name!r}]", point, keys) for point in points)
        axes.plot(*zip(*ordered, strict=True), "o-", label=name)
    axes.set(xlabel="rate, bits a frame", ylabel="distortion, bits a dimension")
    axes.legend(fontsize="small")
    return saved(figure, path)


def loss_curve(
    losses: History | Sequence[float],
    path: str | Path,
    *,
    validation: Sequence[Mapping[str, float]] = (),
) -> Path:
    """The training loss over the steps, with its running mean, in nats a sequence.

    :param losses: of each step, or what :func:`pyro_dsae.fit` returned.
    :param validation: scores with ``step`` and ``elbo``, drawn as its negative (default: those of a History).

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     loss_curve([5300.0, 5200.0, 5100.0], f"{folder}/loss.svg").name
    'loss.svg'
    """
    if isinstance(losses, History):
        validation = validation or losses.validation
        losses = losses.losses
    try:
        values = torch.as_tensor(losses, dtype=torch.float64).detach().cpu().numpy()
    except (TypeError, ValueError) as error:
        raise ValueError(f"losses must be a History or numbers, got {losses!r:.60}") from error
    if values.ndim != 1 or not len(values):
        got = described(torch.from_numpy(values)) if values.size else "none"
        raise ValueError(f"losses must be (steps,), at least one, got {got}")
    if not np.isfinite(values).all():
        step = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"losses must be finite, got {values[step]} at step {step}")
    scores = [finite("validation", score, ("step", "elbo")) for score in validation]
    width = max(1, len(values) // 50)
    mean = np.convolve(values, np.ones(width) / width, "valid")
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        np.arange(1, len(values) + 1), values, color="C0", alpha=0.3, lw=0.8, label="training"
    )
    axes.plot(np.arange(width, len(values) + 1), mean, color="C0", label=f"mean of {width} steps")
    negative = [-elbo for _, elbo in scores]
    if scores:
        steps = [step for step, _ in scores]
        axes.plot(steps, negative, "o-", color="C1", ms=3, label="validation (-ELBO)")
    low, high = min([values.min(), *negative]), max([np.quantile(values, 0.95), *negative])
    if high > low:  # the first steps would squeeze the rest
        axes.set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low))
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats a sequence")
    axes.legend()
    return saved(figure, path)
