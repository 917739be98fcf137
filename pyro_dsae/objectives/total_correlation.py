r"""Numbers that do not depend on each other: the term of beta-TCVAE (Chen et al., NeurIPS 2018), eq. 2.

.. math:: R = E_q \Big[\log q(f) - \sum_d \log q(f_d)\Big]
          + \frac1T \sum_t E_q \Big[\log q(z_t) - \sum_d \log q(z_{td})\Big]

by minibatch-weighted sampling. A weight w is their beta - 1. Knows nothing of the data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._numbers import check_whole
from .base import Regularised, Seen, all_pairs


class TotalCorrelation(Regularised):
    """Weigh what the numbers of f know of each other, and those of z_t; the KL has it with a weight of 1.

    A z whose numbers are not independent given x, as that of ``Structured``, is left out.

    :param weight: beta - 1; 5 in the publication, for pictures.
    :param size: M, sequences in the data set; it shifts the value, not the gradient.
    """

    def __init__(self, weight: float = 1.0, *, size: int = 1) -> None:
        super().__init__(weight)
        check_whole(1, size=size)
        self.size = size

    def penalty(self, seen: Seen) -> Tensor:
        total = torch.zeros((), device=seen.x.device)
        for site in (seen.content, seen.dynamics):
            each = all_pairs(seen.q.laws[site], seen.q.values[site])
            all_but_one = (each.shape[-1] - 1) * math.log(len(seen.x) * self.size)
            together = each.sum(-1).logsumexp(1)
            total = total + (together - each.logsumexp(1).sum(-1) + all_but_one).mean()
        return total
