"""A map of contents: first frames at their places along the first two principal directions of f."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from .entries import Entry

WIDTH, HEIGHT, SIDE = 600, 440, 56
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")


def thumbnail(entry: Entry, side: int = 64) -> Image.Image:
    """The first frame, as large as fits into a square."""
    pixels = (255 * entry.x[0].clamp(0, 1)).round().byte().expand(3, -1, -1)
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    return ImageOps.contain(image, (side, side), Image.Resampling.NEAREST)


def spots(places: Tensor) -> Tensor:
    """Pixels of the centres, ``(N, 2)``, from places ``(N, 2)`` of any scale."""
    low, high = places.amin(0), places.amax(0)
    share = (places - low) / (high - low).clamp_min(1e-6)
    return SIDE + share * (torch.tensor([WIDTH, HEIGHT]) - 2 * SIDE)


def atlas(entries: Sequence[Entry], places: Tensor, label: str | None = None) -> Image.Image:
    """The map; frames are edged in colours by a label, where there is one."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    for entry, (x, y) in zip(entries, spots(places).round().int().tolist(), strict=True):
        small = thumbnail(entry, SIDE)
        corner = (x - small.width // 2, y - small.height // 2)
        image.paste(small, corner)
        if label in entry.labels:
            colour = COLOURS[entry.labels[label] % len(COLOURS)]
            box = (*corner, corner[0] + small.width, corner[1] + small.height)
            draw.rectangle(box, outline=colour, width=4)
    return image


def nearest(places: Tensor, x: float, y: float) -> int:
    """The entry whose centre is nearest to a pixel."""
    return int((spots(places) - torch.tensor([x, y])).norm(dim=1).argmin())
