"""What latents show: maps and timelines of z."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import ConnectionPatch
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch import Tensor

from .._numbers import check_whole
from ._common import (
    GAP,
    PICTURES,
    as_frames,
    described,
    enlargement,
    in_a_row,
    prepared,
    saved,
    tile,
)


def latent_map(
    grids: Tensor, path: str | Path, *, columns: int | None = None, scale: int | None = None
) -> Path:
    """What each f shows over a grid of a 2-dimensional z: one block an f, blocks side by side.

    :param grids: ``(F, rows, columns, C, H, W)``, decoded from
        :func:`~pyro_dsae.metrics.latent_grid`, unflattened.
    :param columns: blocks in a row (default: about as many as there are rows).

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     latent_map(torch.rand(2, 5, 5, 1, 16, 16), f"{folder}/map").name
    'map.png'
    """
    grids = as_frames("grids", grids, "F, rows, columns, channels, height, width")
    columns, factor = in_a_row(len(grids), columns), enlargement(grids, scale)
    blocks = [tile(frames.flatten(0, 1), grids.shape[2], factor) for frames in grids]
    width, height = (side + 4 * GAP for side in blocks[0].size)
    rows = -(-len(blocks) // columns)
    size = (columns * width - 4 * GAP, rows * height - 4 * GAP)
    image = Image.new("RGB", size, "white")
    for i, block in enumerate(blocks):
        image.paste(block, (i % columns * width, i // columns * height))
    path = prepared(path, PICTURES)
    image.save(path)
    return path


def timeline(z: Tensor, frames: Tensor, path: str | Path, *, extremes: int = 3) -> Path:
    """Coordinates of z over a sequence, with the frames in which each is highest and lowest.

    :param z: ``(T,)``, or ``(T, k)``: k coordinates, one below the other.
    :param frames: ``(T, C, H, W)``.
    :param extremes: frames shown above the curve, the highest, and below it, the lowest.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     timeline(torch.randn(8, 2), torch.rand(8, 1, 16, 16), f"{folder}/timeline").name
    'timeline.png'
    """
    frames = as_frames("frames", frames, "time, channels, height, width")
    steps = len(frames)
    if not isinstance(z, Tensor) or z.dim() not in (1, 2) or len(z) != steps or 0 in z.shape:
        raise ValueError(f"z must be ({steps},) or ({steps}, k), got {described(z)}")
    if not z.isfinite().all():
        raise ValueError("z must be finite, got NaN or infinity")
    check_whole(1, extremes=extremes)
    if not 1 <= extremes <= steps // 2:
        raise ValueError(f"extremes must be 1 to {steps // 2} of {steps} frames, got {extremes}")
    curves = z.detach().cpu().float().reshape(steps, -1).T.numpy()
    pictures = frames.expand(-1, 3, -1, -1)
    figure = Figure(figsize=(7, 4 * len(curves)), layout="constrained")
    panels = figure.subfigures(len(curves), squeeze=False)[:, 0]
    for i, (panel, curve) in enumerate(zip(panels, curves, strict=True)):
        label = "z" if len(curves) == 1 else f"$z_{{{i + 1}}}$"
        _timeline_panel(panel, curve, pictures.permute(0, 2, 3, 1).numpy(), extremes, label)
    return saved(figure, path)


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
