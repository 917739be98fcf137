r"""Contrast without augmentation: sample and predict your latents (SPYL; Naiman et al., ICML 2023).

.. math:: R = C(\bar f) + C(\bar z),\quad C(u) = -\frac1N \sum_i \log
          \frac{e^{\cos(u_i, u_i^+) / \tau}}
          {e^{\cos(u_i, u_i^+) / \tau} + \sum_k e^{\cos(u_i, u_{ik}^-) / \tau}}

with means of f, and of z over time. A positive f+ is what the guide makes of a sequence decoded from f and a
z of the prior, a positive z+ of one from z and an f of the prior; negatives are those of sequences drawn
from the prior whose posteriors are farthest by :math:`\mathrm{KL}(q(f \mid x_i) \| q(f \mid \hat x_k))`.

Knows only that content and dynamics can be drawn apart. The publication has I(f; z) beside it, and weights
of 10 on the reconstruction, 5 and 1 on the KL of f and z.
"""

from __future__ import annotations

import torch
from pyro import distributions as dist
from torch import Tensor
from torch.distributions import kl_divergence
from torch.nn import functional as F

from .._numbers import check_whole
from .base import Regularised, Seen, Sites, as_normal
from .cdsvae import check_temperature


class SPYL(Regularised):
    """Content survives fresh dynamics, and dynamics fresh content.

    Three passes of decoder and encoder a step, one of them without gradients: it takes two to three times as
    long as the ELBO. The publication begins with the term after 50 of 1000 epochs: ``fit`` twice.

    :param bank: sequences drawn from the prior a step, at least 2; half of them are negatives. 512 in the
        published code, four times its batch.
    :param temperature: tau, 0.5 in the publication.
    """

    def __init__(self, weight: float = 1.0, *, bank: int = 32, temperature: float = 0.5) -> None:
        super().__init__(weight)
        check_whole(2, bank=bank)
        check_temperature(temperature)
        self.bank, self.temperature = bank, temperature

    def penalty(self, seen: Seen) -> Tensor:
        with torch.no_grad():
            bank = seen.encode(seen.decode({}, self.bank)[0])
        total = torch.zeros((), device=seen.x.device)
        for which, site in (("content", seen.content), ("dynamics", seen.dynamics)):
            again = seen.encode(seen.decode(seen.part(which))[0])
            own, positive, others = (over_time(sites, site) for sites in (seen.q, again, bank))
            total = total + self.contrast(own, positive, others)
        return total

    def contrast(self, own: dist.Normal, positive: dist.Normal, others: dist.Normal) -> Tensor:
        """C of posteriors ``(N, dim)`` and their positives; of ``(bank, dim)`` half are negatives."""
        with torch.no_grad():
            first = dist.Normal(own.loc.unsqueeze(1), own.scale.unsqueeze(1), validate_args=False)
            distances = kl_divergence(first, others).sum(-1)
            farthest = distances.topk(len(others.loc) // 2).indices
        u, near, far = (F.normalize(law.loc, dim=-1) for law in (own, positive, others))
        cosines = torch.cat(
            [(u * near).sum(-1, keepdim=True), torch.einsum("nd,nkd->nk", u, far[farthest])], dim=1
        )
        return F.cross_entropy(
            cosines / self.temperature, torch.zeros(len(u), dtype=torch.long, device=u.device)
        )


def over_time(sites: Sites, site: str) -> dist.Normal:
    """A site's posterior ``(N, dim)``: of mean and scale the means over time, the latter's in logarithms."""
    law = as_normal(sites.laws[site])
    if law.loc.dim() == 2:
        return law
    return dist.Normal(law.loc.mean(1), law.scale.log().mean(1).exp(), validate_args=False)
