"""Numbers over time: what a judge sees, and the loss."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from ._common import saved


def trajectory_figure(
    trajectories: Mapping[str, Mapping[str, Tensor]],
    path: str | Path,
    *,
    names: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """What a judge sees over time, PNG: a row for each kind of trajectory, a column for each head.

    Each class has a colour; a line of pixels is one sequence, its colour at t the mixture of the
    classes by their probabilities. What is fixed shows as one colour, what is drawn as many.

    :param trajectories: by kind and head ``(N, T, classes)``, as
        :func:`pyro_dsae.metrics.trajectories` returns them.
    :param names: of the classes of some heads, for legends.
    """
    kinds, heads = [*trajectories], [*next(iter(trajectories.values()))]
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
        figure.legend(handles=patches, loc="outside right center", fontsize="x-small")
    return saved(figure, path)


def error_curves(errors: Mapping[str, Mapping[str, Mapping[str, float]]], path: str | Path) -> Path:
    """Incorrect pixels against the number of missing frames, PNG: a model a line, its interval shaded.

    The best of the futures is dotted.

    :param errors: by model and number of frames, as :func:`pyro_dsae.metrics.prediction_errors` gives them.
    """
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    for i, (name, scores) in enumerate(errors.items()):
        missing = sorted(scores, key=int)
        frames = [int(number) for number in missing]

        def values(key: str, scores: Any = scores, missing: Any = missing) -> list[float]:
            return [100 * scores[number][key] for number in missing]

        axes.plot(frames, values("mean"), "o-", color=f"C{i}", label=name)
        axes.fill_between(frames, values("low"), values("high"), color=f"C{i}", alpha=0.2, lw=0)
        best = next(key for key in scores[missing[0]] if re.fullmatch(r"best_of_\d+", key))
        axes.plot(
            frames,
            values(best),
            "o:",
            color=f"C{i}",
            ms=3,
            label=f"{name}, {best}".replace("_", " "),
        )
    axes.set(xlabel="missing frames", ylabel="incorrect pixels, %", ylim=(0, None))
    axes.legend(fontsize="small")
    return saved(figure, path)


def rate_distortion(curves: Mapping[str, Sequence[Mapping[str, float]]], path: str | Path) -> Path:
    """What a code of the latents costs against what it leaves to say, PNG: a line for each way to encode.

    :param curves: points of each, as :func:`pyro_dsae.metrics.rates` gives them.
    """
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        ordered = sorted(points, key=lambda point: point["bits_per_frame"])
        rate = [point["bits_per_frame"] for point in ordered]
        axes.plot(rate, [point["distortion_bits_per_dim"] for point in ordered], "o-", label=name)
    axes.set(xlabel="rate, bits a frame", ylabel="distortion, bits a dimension")
    axes.legend(fontsize="small")
    return saved(figure, path)


def loss_curve(
    losses: Sequence[float],
    path: str | Path,
    *,
    validation: Sequence[Mapping[str, float]] = (),
) -> Path:
    """The training loss over the steps, PNG, with its running mean, in nats a sequence.

    :param validation: scores with ``step`` and ``elbo``; drawn as its negative.
    """
    if not len(losses):
        raise ValueError("losses must hold at least one step, got none")
    values = np.asarray(losses, dtype=float)
    width = max(1, len(values) // 50)
    mean = np.convolve(values, np.ones(width) / width, "valid")
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        np.arange(1, len(values) + 1), values, color="C0", alpha=0.3, lw=0.8, label="training"
    )
    axes.plot(np.arange(width, len(values) + 1), mean, color="C0", label=f"mean of {width} steps")
    if validation:
        steps, elbos = zip(*((score["step"], -score["elbo"]) for score in validation), strict=True)
        axes.plot(steps, elbos, "o-", color="C1", ms=3, label="validation (-ELBO)")
        low, high = min(values.min(), *elbos), max(np.quantile(values, 0.95), *elbos)
    else:
        low, high = values.min(), np.quantile(values, 0.95)
    if high > low:  # the first steps would squeeze the rest
        axes.set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low))
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats a sequence")
    axes.legend()
    return saved(figure, path)
