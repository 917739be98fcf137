r"""Sequences of different lengths in one batch, and frames missing inside them.

A mask ``(N, T)`` of bools is True where a frame is present. A sequence ends with its last present frame: what
stands after that is padding, and absent frames before it are gaps.
"""

from __future__ import annotations

import torch
from torch import Tensor


def check_mask(mask: Tensor, x: Tensor) -> None:
    """ValueError unless ``mask`` is bools ``(N, T)`` of x ``(N, T, *frame)``, each row with a True."""
    if mask.dtype != torch.bool or mask.shape != x.shape[:2]:
        raise ValueError(
            f"mask must be bools (batch, time) of {tuple(x.shape[:2])}, "
            f"got {tuple(mask.shape)} of {mask.dtype}"
        )
    empty = (~mask.any(1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"mask must leave each sequence a frame, got none present in sequences {empty[:8]}"
        )


def hidden(x: Tensor, mask: Tensor) -> Tensor:
    """x ``(N, T, *frame)`` with zeros in absent frames, whatever stood there."""
    return x.masked_fill(~mask.view(*mask.shape, *[1] * (x.dim() - 2)), 0)


def lengths_of(mask: Tensor) -> Tensor:
    """Frames up to the last present one, ``(*batch,)``."""
    return (mask * torch.arange(1, mask.shape[-1] + 1, device=mask.device)).amax(-1)


def within_lengths(mask: Tensor) -> Tensor:
    """True up to the last present frame, ``(*batch, T)``: gaps are within, padding is not."""
    return torch.arange(mask.shape[-1], device=mask.device) < lengths_of(mask).unsqueeze(-1)


def mean_of_present(h: Tensor, mask: Tensor) -> Tensor:
    """Mean over the present frames: ``(N, T, features)`` to ``(N, features)``."""
    return hidden(h, mask).sum(1) / mask.sum(1, keepdim=True)


def filled(h: Tensor, mask: Tensor) -> Tensor:
    """Features ``(N, T, *features)`` where those of absent frames lie on the line between the nearest present
    ones before and after, or are those of the only one.
    """
    t = torch.arange(mask.shape[1], device=mask.device)
    before = torch.where(mask, t, -1).cummax(1).values
    after = torch.where(mask, t, mask.shape[1]).flip(1).cummin(1).values.flip(1)
    before, after = (
        torch.where(before < 0, after, before),
        torch.where(after == mask.shape[1], before, after),
    )
    share = (t - before) / (after - before).clamp(min=1)
    rows = torch.arange(len(h), device=h.device).unsqueeze(1)
    return torch.lerp(
        h[rows, before], h[rows, after], share.view(*mask.shape, *[1] * (h.dim() - 2)).to(h)
    )
