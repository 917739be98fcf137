"""What frames in no order have in common: all pairs of them, or their mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .._numbers import check_whole
from .dense import MLP, keep_variance
from .masks import mean_of_present


class PairSummary(nn.Module):
    r"""A set of frames in one vector, from what its pairs share: ``(N, T, *shape)`` to ``(N, hidden)``.

    .. math:: g = \frac{1}{T (T - 1)} \sum_{i \ne j} \operatorname{ReLU}(W * [h_i; h_j] + b)

    then a convolution and a dense layer (Helminger et al., AABI 2018, appendix). All ordered pairs of two
    different frames count the same, so the order of the frames does not matter; one frame alone is
    paired with itself. The convolution over a concatenated pair is a sum, :math:`W_1 * h_i + W_2 * h_j`,
    so that only T frames are convolved: what grows with the square of T is an addition and a ReLU.

    :param shape: of a frame's features, ``(channels, height, width)`` or ``(features,)``.
    :param hidden: channels of the convolutions and units of the dense layer.
    :param pairs_at_once: where there are more, pairs are taken in chunks of about as many, which the backward
        pass computes again in place of keeping them.
    """

    def __init__(self, shape: Sequence[int], hidden: int, *, pairs_at_once: int = 256) -> None:
        super().__init__()
        channels, height, width = shape if len(shape) == 3 else (shape[0], 1, 1)
        kernel = 3 if len(shape) == 3 else 1
        check_whole(1, pairs_at_once=pairs_at_once)
        self.pairs_at_once, self.features = pairs_at_once, hidden
        self.halves = nn.Conv2d(channels, 2 * hidden, kernel, padding="same")  # W_1 over W_2
        self.conv = nn.Conv2d(hidden, hidden, kernel, padding="same")
        self.dense = nn.Linear(hidden * height * width, hidden)
        self.apply(keep_variance)
        with torch.no_grad():
            self.halves.weight.div_(2**0.5)  # two of them are added

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        """:param mask: ``(N, T)``, frames present: pairs are of these alone."""
        n, steps = h.shape[:2]
        maps = h if h.dim() == 5 else h[..., None, None]
        halves = self.halves(maps.flatten(0, 1)).unflatten(0, (n, steps))
        if mask is not None:  # no pair with an absent frame is above 0
            halves = halves.masked_fill(~mask.view(n, steps, 1, 1, 1), -torch.inf)
        first, second = halves.chunk(2, dim=2)
        itself = F.relu(first + second).sum(1, dtype=torch.float32)
        if steps == 1:
            g = itself
        else:
            rows = first.split(max(1, self.pairs_at_once // steps), dim=1)
            parts = [
                checkpoint(_sum_of_pairs, row, second, use_reentrant=False)
                if len(rows) > 1
                else _sum_of_pairs(row, second)
                for row in rows
            ]
            g = torch.stack(parts).sum(0) - itself
            if mask is None:
                g = g / (steps * (steps - 1))
            else:
                present = mask.sum(1).view(n, 1, 1, 1)
                g = torch.where(present > 1, g / (present * (present - 1)).clamp(min=1), itself)
        g = F.relu(self.conv(g.to(h.dtype)))
        return F.relu(self.dense(g.flatten(1)))


class MeanSummary(nn.Module):
    """A set of frames in one vector, by the mean of their features: ``(N, T, in)`` to ``(N, hidden)``."""

    def __init__(self, in_features: int, hidden: int) -> None:
        super().__init__()
        self.features = hidden
        self.before = nn.Sequential(MLP(in_features, hidden), nn.ReLU())
        self.after = nn.Sequential(MLP(hidden, hidden), nn.ReLU())

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        """:param mask: ``(N, T)``, frames present: the mean is of these alone."""
        h = self.before(h)
        return self.after(h.mean(1) if mask is None else mean_of_present(h, mask))


def _sum_of_pairs(first: Tensor, second: Tensor) -> Tensor:
    """Sum over i, j of ReLU(first_i + second_j): ``(N, A, ...)`` and ``(N, B, ...)`` to ``(N, ...)``."""
    return F.relu(first.unsqueeze(2) + second.unsqueeze(1)).sum((1, 2), dtype=torch.float32)
