"""Pictures: contact sheets, animations, swaps, maps and timelines of z, trajectories, the loss.

Frames are float in [0, 1], grey ``(1, H, W)`` or colour ``(3, H, W)``; small ones are enlarged by a
whole factor, without smoothing. Every function writes a file and returns its path, and draws on
objects of its own: no state of pyplot is read or changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import ConnectionPatch, Patch
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.utils import make_grid

_GAP = 2  # pixels between frames
_SIDE = 64  # frames smaller than this are enlarged to at least this


def _check(name: str, frames: Tensor, axes: str) -> None:
    if frames.dim() != len(axes.split(", ")) or frames.shape[-3] not in (1, 3) or 0 in frames.shape:
        raise ValueError(f"{name} must be ({axes}) with 1 or 3 channels, got {tuple(frames.shape)}")


def _scale(frames: Tensor, scale: int | None) -> int:
    if scale is None:
        return max(1, -(-_SIDE // max(frames.shape[-2:])))
    if scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")
    return scale


def _tile(frames: Tensor, columns: int, scale: int) -> Image.Image:
    """``(N, C, H, W)`` row by row, on white."""
    large = frames.detach().cpu().float().clamp(0, 1)
    large = large.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
    # Grey becomes colour here; make_grid would return a single frame without its margin.
    sheet = make_grid(list(large), nrow=columns, padding=_GAP, pad_value=1.0)
    return Image.fromarray((255 * sheet).round().byte().permute(1, 2, 0).numpy())


def _save_gif(images: Sequence[Image.Image], path: Path, milliseconds: int) -> None:
    """One palette for all frames, no dithering: what stands still does not flicker."""
    width, height = images[0].size
    film = Image.new("RGB", (width, height * len(images)))
    for i, image in enumerate(images):
        film.paste(image, (0, i * height))
    indexed = film.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    frames = [indexed.crop((0, i * height, width, (i + 1) * height)) for i in range(len(images))]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=False
    )


def _prepared(path: str | Path, suffix: str) -> Path:
    path = Path(path).with_suffix(suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def grid(rows: Tensor | Sequence[Tensor], path: str | Path, *, scale: int | None = None) -> Path:
    """A contact sheet, PNG: sequences ``(N, T, C, H, W)``, one a row, time to the right.

    :param scale: enlarges every frame (default: to at least 64 pixels).
    """
    frames = rows if isinstance(rows, Tensor) else torch.stack([*rows])
    _check("rows", frames, "sequences, time, channels, height, width")
    path = _prepared(path, ".png")
    _tile(frames.flatten(0, 1), frames.shape[1], _scale(frames, scale)).save(path)
    return path


def animate(
    sequences: Tensor,
    path: str | Path,
    *,
    columns: int | None = None,
    milliseconds: int = 125,
    scale: int | None = None,
) -> Path:
    """A GIF that loops: sequences ``(N, T, C, H, W)`` side by side, T frames.

    :param columns: sequences in a row (default: about as many as there are rows).
    :param milliseconds: each frame is shown.
    """
    _check("sequences", sequences, "sequences, time, channels, height, width")
    columns = columns or int(np.ceil(np.sqrt(len(sequences))))
    path = _prepared(path, ".gif")
    factor = _scale(sequences, scale)
    images = [_tile(frames, columns, factor) for frames in sequences.transpose(0, 1)]
    _save_gif(images, path, milliseconds)
    return path


def swap_figure(
    content: Tensor,
    dynamics: Tensor,
    swapped: Tensor,
    path: str | Path,
    *,
    frame: int | None = None,
    milliseconds: int = 125,
    scale: int | None = None,
) -> tuple[Path, Path]:
    """The matrix of swaps: each row keeps the content on its left, each column the motion above it.

    :param content: ``(A, T, C, H, W)``, the left column.
    :param dynamics: ``(B, T, C, H, W)``, the top row.
    :param swapped: ``(A, B, T, C, H, W)``.
    :param path: of two files: ``.png``, one moment, and ``.gif``, the whole time.
    :param frame: the moment of the still picture (default: the middle).
    """
    _check("content", content, "A, time, channels, height, width")
    _check("dynamics", dynamics, "B, time, channels, height, width")
    expected = (len(content), len(dynamics), *content.shape[1:])
    if swapped.shape != expected or dynamics.shape[1:] != content.shape[1:]:
        raise ValueError(
            f"swapped must be {expected} and dynamics {('B', *content.shape[1:])}, "
            f"got {tuple(swapped.shape)} and {tuple(dynamics.shape)}"
        )
    factor = _scale(content, scale)
    images = [
        _swap_image(content[:, t], dynamics[:, t], swapped[:, :, t], factor)
        for t in range(content.shape[1])
    ]
    png, gif = _prepared(path, ".png"), _prepared(path, ".gif")
    images[content.shape[1] // 2 if frame is None else frame].save(png)
    _save_gif(images, gif, milliseconds)
    return png, gif


def _swap_image(content: Tensor, dynamics: Tensor, swapped: Tensor, scale: int) -> Image.Image:
    left, top = _tile(content, 1, scale), _tile(dynamics, len(dynamics), scale)
    cells = _tile(swapped.flatten(0, 1), len(dynamics), scale)
    x, y = left.width + 4 * _GAP, top.height + 4 * _GAP
    image = Image.new("RGB", (x + cells.width, y + cells.height), "white")
    image.paste(left, (0, y))
    image.paste(top, (x, 0))
    image.paste(cells, (x, y))
    draw = ImageDraw.Draw(image)
    draw.line([(x - 3 * _GAP, 0), (x - 3 * _GAP, image.height)], "black")
    draw.line([(0, y - 3 * _GAP), (image.width, y - 3 * _GAP)], "black")
    draw.text((left.width - draw.textlength("motion"), top.height // 4), "motion", "black")
    draw.text((_GAP, 2 * top.height // 3), "content", "black")
    return image


def latent_map(
    grids: Tensor, path: str | Path, *, columns: int | None = None, scale: int | None = None
) -> Path:
    """What each f shows over a grid of a 2-dimensional z, PNG: one block an f, blocks side by side.

    :param grids: ``(F, rows, columns, C, H, W)``, decoded from
        :func:`~pyro_dsae.metrics.latent_grid`, unflattened.
    :param columns: blocks in a row (default: about as many as there are rows).
    """
    _check("grids", grids, "F, rows, columns, channels, height, width")
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    columns = min(len(grids), columns or int(np.ceil(np.sqrt(len(grids)))))
    factor = _scale(grids, scale)
    blocks = [_tile(frames.flatten(0, 1), grids.shape[2], factor) for frames in grids]
    width, height = (side + 4 * _GAP for side in blocks[0].size)
    rows = -(-len(blocks) // columns)
    size = (columns * width - 4 * _GAP, rows * height - 4 * _GAP)
    image = Image.new("RGB", size, "white")
    for i, block in enumerate(blocks):
        image.paste(block, (i % columns * width, i // columns * height))
    path = _prepared(path, ".png")
    image.save(path)
    return path


def timeline(z: Tensor, frames: Tensor, path: str | Path, *, extremes: int = 3) -> Path:
    """Coordinates of z over a sequence, PNG, with the frames in which each is highest and lowest.

    :param z: ``(T,)``, or ``(T, k)``: k coordinates, one below the other.
    :param frames: ``(T, C, H, W)``.
    :param extremes: frames shown above the curve, the highest, and below it, the lowest.
    """
    _check("frames", frames, "time, channels, height, width")
    steps = len(frames)
    if z.dim() not in (1, 2) or len(z) != steps or 0 in z.shape:
        raise ValueError(f"z must be ({steps},) or ({steps}, k), got {tuple(z.shape)}")
    if not 1 <= extremes <= steps // 2:
        raise ValueError(f"extremes must be 1 to {steps // 2} of {steps} frames, got {extremes}")
    curves = z.detach().cpu().float().reshape(steps, -1).T.numpy()
    pictures = frames.detach().cpu().float().clamp(0, 1).expand(-1, 3, -1, -1)
    figure = Figure(figsize=(7, 4 * len(curves)), layout="constrained")
    panels = figure.subfigures(len(curves), squeeze=False)[:, 0]
    for i, (panel, curve) in enumerate(zip(panels, curves, strict=True)):
        label = "z" if len(curves) == 1 else f"$z_{{{i + 1}}}$"
        _timeline_panel(panel, curve, pictures.permute(0, 2, 3, 1).numpy(), extremes, label)
    path = _prepared(path, ".png")
    figure.savefig(path, dpi=120)
    return path


def _timeline_panel(
    panel: SubFigure, curve: np.ndarray, pictures: np.ndarray, extremes: int, label: str
) -> None:
    layout = panel.add_gridspec(3, extremes, height_ratios=(1, 1.6, 1))
    axes = panel.add_subplot(layout[1, :])
    frame = np.arange(1, len(curve) + 1)
    axes.plot(frame, curve, color="0.6", lw=1)
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    order = curve.argsort(kind="stable")
    for row, colour, chosen in ((0, "C3", order[-extremes:]), (2, "C0", order[:extremes])):
        times = np.sort(chosen)
        axes.plot(frame[times], curve[times], "o", color=colour, ms=5)
        for column, t in enumerate(times):
            cell = panel.add_subplot(layout[row, column])
            _timeline_frame(cell, pictures[t], colour)
            write = cell.set_title if row == 0 else cell.set_xlabel
            write(f"frame {t + 1}", fontsize="small")
            edge = (0.5, 0.0 if row == 0 else 1.0)
            line = ConnectionPatch(
                edge, (frame[t], curve[t]), cell.transAxes, axes.transData, color=colour, lw=0.6
            )
            line.set_in_layout(False)
            panel.add_artist(line)


def _timeline_frame(axes: Axes, picture: np.ndarray, colour: str) -> None:
    axes.imshow(picture, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color(colour)


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
    path = _prepared(path, ".png")
    figure.savefig(path, dpi=120)
    return path


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
    path = _prepared(path, ".png")
    figure.savefig(path, dpi=120)
    return path


def latent_forest(inference_data: Any, path: str | Path, *, sequence: int = 0) -> Path:
    """ArviZ's forest plot of q(z_t | x) of one sequence, over the frames, as PNG.

    :param inference_data: what :func:`pyro_dsae.to_arviz` returned.
    """
    import arviz as az

    path = _prepared(path, ".png")
    plot = az.plot_forest(
        inference_data,
        var_names=["z"],
        coords={"sequence": [sequence], "z_dim": [0, 1]},
        combined=True,
    )
    if hasattr(plot, "savefig"):  # ArviZ 1.x: a PlotCollection
        plot.savefig(path)
    else:
        plot[0].figure.savefig(path, bbox_inches="tight")
    return path
