"""Sequences of frames: contact sheets, animations, swaps."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import torch
from PIL import Image, ImageDraw
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
    tile,
)

_FILMS = (".gif", ".mp4")


def grid(rows: Tensor | Sequence[Tensor], path: str | Path, *, scale: int | None = None) -> Path:
    """A contact sheet: sequences ``(N, T, C, H, W)``, one a row, time to the right.

    :param scale: enlarges every frame (default: to at least 64 pixels).

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     grid(torch.rand(2, 8, 3, 16, 16), f"{folder}/sheet").name
    'sheet.png'
    """
    if isinstance(rows, (list, tuple)):
        shapes = [*map(described, rows)]
        if len({*shapes}) != 1 or not isinstance(rows[0], Tensor):
            raise ValueError(
                f"rows must be tensors of one shape, got {', '.join(shapes) or 'none'}"
            )
        rows = torch.stack([row.detach().cpu() for row in rows])
    axes = "sequences, time, channels, height, width"
    frames = as_frames("rows", cast(Tensor, rows), axes)
    image = tile(frames.flatten(0, 1), frames.shape[1], enlargement(frames, scale))
    path = prepared(path, PICTURES)
    image.save(path)
    return path


def animate(
    sequences: Tensor,
    path: str | Path,
    *,
    columns: int | None = None,
    milliseconds: int = 125,
    scale: int | None = None,
) -> Path:
    """A film of T frames, sequences ``(N, T, C, H, W)`` side by side: a GIF that loops, or an MP4.

    :param path: ``.gif`` (the default) or ``.mp4``, which needs the extra ``video``.
    :param columns: sequences in a row (default: about as many as there are rows).
    :param milliseconds: each frame is shown.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     animate(torch.rand(4, 8, 3, 16, 16), f"{folder}/film").name
    'film.gif'
    """
    frames = as_frames("sequences", sequences, "sequences, time, channels, height, width")
    check_whole(10, milliseconds=milliseconds)
    columns, factor = in_a_row(len(frames), columns), enlargement(frames, scale)
    images = [tile(moment, columns, factor) for moment in frames.transpose(0, 1)]
    return _save_film(images, path, milliseconds)


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
    :param path: of two files: ``.png``, one moment, and ``.gif``, the whole time; the suffix of ``path``
        stands in place of the one or the other.
    :param frame: the moment of the still picture (default: the middle).
    :returns: the paths of the picture and of the film.

    >>> from tempfile import TemporaryDirectory
    >>> who, what, cells = (torch.rand(*n, 8, 3, 16, 16) for n in ((2,), (3,), (2, 3)))
    >>> with TemporaryDirectory() as folder:
    ...     [path.name for path in swap_figure(who, what, cells, f"{folder}/swap")]
    ['swap.png', 'swap.gif']
    """
    content = as_frames("content", content, "A, time, channels, height, width")
    dynamics = as_frames("dynamics", dynamics, "B, time, channels, height, width")
    swapped = as_frames("swapped", swapped, "A, B, time, channels, height, width")
    expected = (len(content), len(dynamics), *content.shape[1:])
    if swapped.shape != expected or dynamics.shape[1:] != content.shape[1:]:
        raise ValueError(
            f"swapped must be {expected} and dynamics {('B', *content.shape[1:])}, "
            f"got {tuple(swapped.shape)} and {tuple(dynamics.shape)}"
        )
    check_whole(10, milliseconds=milliseconds)
    steps = content.shape[1]
    frame = steps // 2 if frame is None else frame
    check_whole(0, frame=frame)
    if frame >= steps:
        raise ValueError(f"frame must be 0 to {steps - 1} of {steps} frames, got {frame!r}")
    factor = enlargement(content, scale)
    images = [
        _swap_image(content[:, t], dynamics[:, t], swapped[:, :, t], factor) for t in range(steps)
    ]
    path = prepared(path, (*PICTURES, *_FILMS))
    is_film = path.suffix.lower() in _FILMS
    picture, film = (
        (path.with_suffix(".png"), path) if is_film else (path, path.with_suffix(".gif"))
    )
    _save_film(images, film, milliseconds)
    images[frame].save(picture)
    return picture, film


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


def _save_film(images: Sequence[Image.Image], path: str | Path, milliseconds: int) -> Path:
    path = prepared(path, _FILMS)
    write = _save_gif if path.suffix.lower() == ".gif" else _save_mp4
    write(images, path, milliseconds)
    return path


def _save_mp4(images: Sequence[Image.Image], path: Path, milliseconds: int) -> None:
    """H.264 as every player takes it: even sides, so that an odd one grows by a white line."""
    try:
        import av
    except ImportError as error:
        raise ImportError(
            f'{path} is a video, and writing it needs PyAV: pip install "pyro-dsae[video]"'
        ) from error
    width, height = (side + side % 2 for side in images[0].size)
    film = io.BytesIO()  # nothing is left of a film that cannot be written
    with av.open(film, "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=Fraction(1000, milliseconds))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in images:
            even = Image.new("RGB", (width, height), "white")
            even.paste(image)
            container.mux(stream.encode(av.VideoFrame.from_image(even)))
        container.mux(stream.encode())
    path.write_bytes(film.getvalue())


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
