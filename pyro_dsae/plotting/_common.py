"""What all pictures share: what may be drawn, frames side by side, and files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, uint8
from torch.nn import functional

from .._numbers import check_whole

GAP = 2  # pixels between frames
_SIDE = 64  # frames smaller than this are enlarged to at least this
PICTURES = (".png", ".jpg", ".jpeg")  # by Pillow
_FIGURES = (*PICTURES, ".svg", ".pdf")  # by matplotlib


def described(value: Any) -> str:
    """A shape, or the type of what has none."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def as_frames(name: str, frames: Tensor, axes: str) -> Tensor:
    """Floats from 0 to 1 on the CPU, of bytes or floats; what lies outside is cut off."""
    if (
        not isinstance(frames, Tensor)
        or frames.dim() != len(axes.split(", "))
        or frames.shape[-3] not in (1, 3)
        or 0 in frames.shape
    ):
        raise ValueError(f"{name} must be ({axes}) with 1 or 3 channels, got {described(frames)}")
    if frames.dtype != uint8 and not frames.is_floating_point():
        raise ValueError(f"{name} must be floats from 0 to 1, or uint8, got {frames.dtype}")
    values = frames.detach().cpu().float() / (255 if frames.dtype == uint8 else 1)
    if not values.isfinite().all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return values.clamp(0, 1)


def check_mapping(name: str, value: Mapping[str, Any], of: str) -> None:
    """Something by name, and not nothing."""
    if not isinstance(value, Mapping) or not value:
        got = "none" if isinstance(value, Mapping) else type(value).__name__
        raise ValueError(f"{name} must map names to {of}, at least one, got {got}")


def finite(name: str, scores: Mapping[str, float], keys: Iterable[str]) -> list[float]:
    """The scores of these names."""
    for key in keys:
        value = scores.get(key) if isinstance(scores, Mapping) else None
        if not isinstance(value, Real) or not math.isfinite(value):
            raise ValueError(f"{name} must hold a finite {key!r}, got {scores!r}")
    return [scores[key] for key in keys]


def enlargement(frames: Tensor, scale: int | None) -> int:
    if scale is None:
        return max(1, -(-_SIDE // max(frames.shape[-2:])))
    check_whole(1, scale=scale)
    return scale


def in_a_row(count: int, columns: int | None) -> int:
    """Of ``count`` pictures: by default about as many as there are rows."""
    if columns is None:
        return math.ceil(math.sqrt(count))
    check_whole(1, columns=columns)
    return min(count, columns)


def tile(frames: Tensor, columns: int, scale: int) -> Image.Image:
    """``(N, C, H, W)`` from 0 to 1 row by row, on white.

    As ``torchvision.utils.make_grid``, whose import takes over a second.
    """
    large = frames.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
    columns = min(columns, len(large))
    rows = -(-len(large) // columns)
    cells = large.expand(-1, 3, -1, -1)  # grey becomes colour
    left = [0] * 7 + [rows * columns - len(large)]
    cells = functional.pad(functional.pad(cells, left, value=1.0), [GAP, 0] * 2, value=1.0)
    sheet = cells.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)
    sheet = functional.pad(sheet.flatten(3).flatten(1, 2), [0, GAP] * 2, value=1.0)
    return Image.fromarray((255 * sheet).round().byte().permute(1, 2, 0).numpy())


def prepared(path: str | Path, suffixes: Sequence[str] = _FIGURES) -> Path:
    """The path, with the first of ``suffixes`` if it has none, in a folder that exists.

    :raises ValueError: on a suffix that is not among them.
    """
    path = Path(path)
    if not path.name:
        raise ValueError(f"path must name a file, got {str(path)!r}")
    path = path if path.suffix else path.with_suffix(suffixes[0])
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"path must end in {', '.join(suffixes)} or no suffix, got {str(path)!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def saved(figure: Figure, path: str | Path) -> Path:
    """The path of the figure's file."""
    path = prepared(path)
    figure.savefig(path, dpi=120)
    return path
