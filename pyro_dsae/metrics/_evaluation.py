"""What all protocols share: how they leave the programs that they measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ..program import device_of, evaluating

__all__ = ["device_of", "evaluation"]


@contextmanager
def evaluation(seed: int, device: torch.device, *programs: Callable) -> Iterator[None]:
    """No gradients, evaluation mode, and a random state of its own."""
    with (
        evaluating(*programs),
        torch.random.fork_rng([device] if device.type == "cuda" else []),
    ):
        torch.manual_seed(seed)
        yield
