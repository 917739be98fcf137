"""What all protocols share: how they leave the programs that they measure, and where these live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluation(seed: int, device: torch.device, *callables: Callable) -> Iterator[None]:
    """No gradients, evaluation mode, and a random state of its own."""
    roots = [item for item in callables if isinstance(item, nn.Module)]
    training = {module: module.training for root in roots for module in root.modules()}
    try:
        with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            for root in roots:
                root.eval()
            yield
    finally:
        for module, flag in training.items():
            module.training = flag


def device_of(program: Callable) -> torch.device:
    """The device of a program's weights; the CPU where it has none."""
    weights = program.parameters() if isinstance(program, nn.Module) else iter(())
    first = next(weights, None)
    return torch.device("cpu") if first is None else first.device
