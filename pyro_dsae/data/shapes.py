"""Shapes that move, as video files: clips to try things on, of which all is known."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .._numbers import check_whole
from .videos import write_video

SHAPES = ("disc", "square", "triangle", "cross")
COLOURS = {
    "red": (230, 60, 50),
    "green": (60, 190, 80),
    "blue": (70, 110, 240),
    "yellow": (240, 210, 60),
    "violet": (190, 80, 220),
    "white": (235, 235, 235),
}
PATHS = ("across", "up", "clockwise", "anticlockwise")
_SIDES = (48, 64, 96)  # pixels of the files


def write_shapes(
    root: str | os.PathLike[str],
    count: int,
    *,
    lengths: tuple[int, int] = (24, 40),
    rate: float = 12.5,
    seed: int = 0,
) -> list[Path]:
    """``count`` clips ``0007_red_disc_across.mp4``, of three sizes, each of one moving shape on black.

    The name says what is to be seen. How large it is, where it is at first and how fast are drawn.

    :param lengths: least and most frames of a clip.
    :raises ImportError: without PyAV.
    """
    check_whole(1, count=count)
    generator = np.random.default_rng(seed)
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    paths = []
    for i in range(count):
        shape, colour, path = (
            names[generator.integers(len(names))] for names in (SHAPES, [*COLOURS], PATHS)
        )
        length = int(generator.integers(lengths[0], lengths[1] + 1))
        side = _SIDES[generator.integers(len(_SIDES))]
        file = root / f"{i:04}_{colour}_{shape}_{path}.mp4"
        frames = draw_shape(shape, colour, path, length, side, generator)
        write_video(file, frames, rate, options={"threads": "1", "crf": "14"})
        paths.append(file)
    return paths


def draw_shape(
    shape: str, colour: str, path: str, length: int, side: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Frames of one clip, uint8 ``(side, side, 3)``."""
    radius, reach = generator.uniform(0.2, 0.26), generator.uniform(0.4, 0.6)
    phase, period = generator.uniform(0, 2 * np.pi), generator.uniform(10, 16)
    offset = generator.uniform(-0.12, 0.12, 2)
    y, x = (np.mgrid[:side, :side] + 0.5) / side * 2 - 1
    for t in range(length):
        angle = phase + 2 * np.pi * t / period
        across, down = reach * np.cos(angle), reach * np.sin(angle)
        if path == "across":
            centre = across, offset[1]
        elif path == "up":
            centre = offset[0], down
        else:  # y points down
            centre = across, down if path == "clockwise" else -down
        u, v = (x - centre[0]) / radius, (y - centre[1]) / radius
        # How far inside a pixel is, in pixels: edges are smooth.
        inside = np.clip(_inside(shape, u, v) * radius * side / 2 + 0.5, 0, 1)
        yield (inside[..., None] * np.array(COLOURS[colour])).round().astype(np.uint8)


def _inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Distance from the edge of a shape of radius 1, positive inside."""
    if shape == "disc":
        return 1 - np.hypot(u, v)
    if shape == "square":
        return 0.85 - np.maximum(abs(u), abs(v))
    if shape == "triangle":
        return np.minimum(0.75 - v, (1.1 + v - 1.7 * abs(u)) / 2)
    bar = np.minimum(1.05 - abs(u), 0.38 - abs(v))
    return np.maximum(bar, np.minimum(1.05 - abs(v), 0.38 - abs(u)))
