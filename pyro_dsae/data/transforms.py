"""What may be done to a sequence when it is read."""

from __future__ import annotations

import torch
from torch import Tensor

from .._numbers import check_whole


class RandomFrames:
    """Some frames of a sequence, drawn without replacement and in random order.

    A model of exchangeable frames holds for any subset of them, so it may train on few of many.

    >>> RandomFrames(3)(torch.rand(8, 3, 16, 16)).shape
    torch.Size([3, 3, 16, 16])
    """

    def __init__(self, num_frames: int) -> None:
        check_whole(1, num_frames=num_frames)
        self.num_frames = num_frames

    def __call__(self, x: Tensor) -> Tensor:
        """``(T, *frame)`` to ``(num_frames, *frame)``; ValueError if T is smaller."""
        if len(x) < self.num_frames:
            raise ValueError(f"x must have at least {self.num_frames} frames, got {len(x)}")
        return x[torch.randperm(len(x))[: self.num_frames]]
