"""What all protocols share: how they leave the programs that they measure, and how sure a mean is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..program import device_of, evaluating

__all__ = ["device_of", "evaluation", "interval"]


@contextmanager
def evaluation(seed: int, device: torch.device, *programs: Callable) -> Iterator[None]:
    """No gradients, evaluation mode, and a random state of its own."""
    with (
        evaluating(*programs),
        torch.random.fork_rng([device] if device.type == "cuda" else []),
    ):
        torch.manual_seed(seed)
        yield


def interval(
    values: Tensor, name: str = "", *, resamples: int = 1000, seed: int = 0
) -> dict[str, float]:
    """``NAME_low`` and ``NAME_high``: 95% of the mean of ``(N,)``, by a percentile bootstrap.

    With one seed all values of one N are resampled alike.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(values), (resamples, len(values)), generator=generator)
    ends = torch.tensor([0.025, 0.975], dtype=values.dtype)
    low, high = values.cpu()[drawn].mean(1).quantile(ends).tolist()
    prefix = name and f"{name}_"
    return {f"{prefix}low": low, f"{prefix}high": high}
