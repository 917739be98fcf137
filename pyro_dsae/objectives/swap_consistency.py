r"""A swap, encoded again, gives back what went into it.

.. math:: R = \frac1N \sum_i \mathrm{KL}\big(q(f \mid x_i) \,\|\, q(f \mid \hat x_{ij})\big)
          + \mathrm{KL}\big(q(z \mid x_j) \,\|\, q(z \mid \hat x_{ij})\big),\quad
          \hat x_{ij} = \mathrm{decoder}(f_i, z_j),\quad j = i + 1

No gradient flows into the first posterior of either: it is what is to come back. In spirit the cycle of
Jha et al. (ECCV 2018) and of many since; the KL between posteriors is ours.
Knows only that any content goes with any dynamics.
"""

from __future__ import annotations

import torch
from pyro import distributions as dist
from torch import Tensor
from torch.distributions import kl_divergence

from .base import Regularised, Seen, as_normal


class SwapConsistency(Regularised):
    """Each sequence's content in the dynamics of the next one of the batch, and back.

    Where a posterior does not tell its scale, as that of ``Structured``, half the squared distance of
    the means stands for the KL.
    """

    def penalty(self, seen: Seen) -> Tensor:
        moved = {name: value.roll(-1, 0) for name, value in seen.part("dynamics").items()}
        again = seen.encode(seen.decode({**seen.part("content"), **moved})[0])
        total = torch.zeros((), device=seen.x.device)
        for site, shift in ((seen.content, 0), (seen.dynamics, -1)):
            before = as_normal(seen.q.laws[site])
            aim = dist.Normal(
                before.loc.detach().roll(shift, 0),
                before.scale.detach().roll(shift, 0),
                validate_args=False,
            )
            total = total + kl_divergence(aim, as_normal(again.laws[site])).sum() / len(seen.x)
        return total
