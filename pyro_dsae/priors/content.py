"""Laws of the content f: each a module whose call gives one distribution over ``(f_dim,)``."""

from __future__ import annotations

import torch
from pyro import distributions as dist
from torch import Tensor

from .base import ContentPrior


class NormalContent(ContentPrior):
    """The prior of both papers: a standard Normal."""

    def __init__(self, f_dim: int) -> None:
        super().__init__()
        self.f_dim = f_dim
        self.register_buffer("scale", torch.ones(f_dim), persistent=False)
        self.scale: Tensor

    def forward(self) -> dist.TorchDistribution:
        return dist.Normal(torch.zeros_like(self.scale), self.scale).to_event(1)
