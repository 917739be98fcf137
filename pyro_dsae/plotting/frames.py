"""Sequences of frames: contact sheets, animations, swaps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ._common import GAP, check, enlargement, prepared, tile


def grid(rows: Tensor | Sequence[Tensor], path: str | Path, *, scale: int | None = None) -> Path:
    """A contact sheet, PNG: sequences ``(N, T, C, H, W)``, one a row, time to the right.

    :param scale: enlarges every frame (default: to at least 64 pixels).
    """
    frames = rows if isinstance(rows, Tensor) else torch.stack([*rows])
    check("rows", frames, "sequences, time, channels, height, width")
    path = prepared(path, ".png")
    tile(frames.flatten(0, 1), frames.shape[1], enlargement(frames, scale)).save(path)
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
    check("sequences", sequences, "sequences, time, channels, height, width")
    columns = columns or int(np.ceil(np.sqrt(len(sequences))))
    path = prepared(path, ".gif")
    factor = enlargement(sequences, scale)
    images = [tile(frames, columns, factor) for frames in sequences.transpose(0, 1)]
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
    check("content", content, "A, time, channels, height, width")
    check("dynamics", dynamics, "B, time, channels, height, width")
    expected = (len(content), len(dynamics), *content.shape[1:])
    if swapped.shape != expected or dynamics.shape[1:] != content.shape[1:]:
        raise ValueError(
            f"swapped must be {expected} and dynamics {('B', *content.shape[1:])}, "
            f"got {tuple(swapped.shape)} and {tuple(dynamics.shape)}"
        )
    factor = enlargement(content, scale)
    images = [
        _swap_image(content[:, t], dynamics[:, t], swapped[:, :, t], factor)
        for t in range(content.shape[1])
    ]
    png, gif = prepared(path, ".png"), prepared(path, ".gif")
    images[content.shape[1] // 2 if frame is None else frame].save(png)
    _save_gif(images, gif, milliseconds)
    return png, gif


def _swap_image(content: Tensor, dynamics: Tensor, swapped: Tensor, scale: int) -> Image.Image:
    left, top = tile(content, 1, scale), tile(dynamics, len(dynamics), scale)
    cells = tile(swapped.flatten(0, 1), len(dynamics), scale)
    x, y = left.width + 4 * GAP, top.height + 4 * GAP
    image = Image.new("RGB", (x + cells.width, y + cells.height), "white")
    image.paste(left, (0, y))
    image.paste(top, (x, 0))
    image.paste(cells, (x, y))
    draw = ImageDraw.Draw(image)
    draw.line([(x - 3 * GAP, 0), (x - 3 * GAP, image.height)], "black")
    draw.line([(0, y - 3 * GAP), (image.width, y - 3 * GAP)], "black")
    draw.text((left.width - draw.textlength("motion"), top.height // 4), "motion", "black")
    draw.text((GAP, 2 * top.height // 3), "content", "black")
    return image


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
