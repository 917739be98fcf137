"""What all pictures share: frames side by side, and files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

GAP = 2  # pixels between frames
_SIDE = 64  # frames smaller than this are enlarged to at least this


def check(name: str, frames: Tensor, axes: str) -> None:
    if frames.dim() != len(axes.split(", ")) or frames.shape[-3] not in (1, 3) or 0 in frames.shape:
        raise ValueError(f"{name} must be ({axes}) with 1 or 3 channels, got {tuple(frames.shape)}")


def enlargement(frames: Tensor, scale: int | None) -> int:
    if scale is None:
        return max(1, -(-_SIDE // max(frames.shape[-2:])))
    if scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")
    return scale


def tile(frames: Tensor, columns: int, scale: int) -> Image.Image:
    """``(N, C, H, W)`` row by row, on white."""
    large = frames.detach().cpu().float().clamp(0, 1)
    large = large.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
    # Grey becomes colour here; make_grid would return a single frame without its margin.
    sheet = make_grid(list(large), nrow=columns, padding=GAP, pad_value=1.0)
    return Image.fromarray((255 * sheet).round().byte().permute(1, 2, 0).numpy())


def prepared(path: str | Path, suffix: str) -> Path:
    path = Path(path).with_suffix(suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def saved(figure: Figure, path: str | Path) -> Path:
    """The path of the figure's PNG."""
    path = prepared(path, ".png")
    figure.savefig(path, dpi=120)
    return path
