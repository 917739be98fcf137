"""Square matrices that never make a vector longer: what is applied again and again cannot blow up."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Contractions(nn.Module):
    r"""Matrices that turn and shrink: :math:`A = Q\, \mathrm{diag}(d)`, Q orthogonal and 0 < d < 1.

    .. math:: Q = (I - S)^{-1} (I + S), \quad S = B - B^\top

    (Cayley's transform). They start as turns of pairs of axes, spread over 1/16 to 1/4 of a circle,
    and d as ``decay``. Mixtures of contractions are contractions.

    :param count: how many; the call gives ``(count, size, size)``.

    >>> matrices = Contractions(3, 4)()
    >>> matrices.shape, bool((torch.linalg.matrix_norm(matrices, 2) <= 1).all())
    (torch.Size([3, 4, 4]), True)
    """

    def __init__(self, count: int, size: int, decay: float = 0.98) -> None:
        super().__init__()
        pairs = torch.arange(0, size - 1, 2)
        turns = 2 * math.pi * torch.linspace(1 / 16, 1 / 4, len(pairs) * count)
        skew = 0.005 * torch.randn(count, size, size)
        skew[:, pairs, pairs + 1] += (turns.view(-1, count).T / 2).tan()
        self.skew = nn.Parameter(skew)
        self.decay = nn.Parameter(torch.full((count, size), math.log(decay / (1 - decay))))

    def forward(self) -> Tensor:
        skew = self.skew - self.skew.mT
        eye = torch.eye(skew.shape[-1], device=skew.device, dtype=skew.dtype)
        return torch.linalg.solve(eye - skew, eye + skew) * self.decay.sigmoid().unsqueeze(-2)
