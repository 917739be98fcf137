r"""Contrast of what augmentation keeps: C-DSVAE (Bai, Wang & Gomes, NeurIPS 2021).

.. math:: R = C(\bar f, \bar f^v) + C(\bar z_{1:T}, \bar z_{1:T}^v),\quad
          C(a, b) = -\frac1{2N} \sum_i \log \frac{e^{\cos(u_i, u_{i'}) / \tau}}
          {\sum_{j \ne i} e^{\cos(u_i, u_j) / \tau}},\quad u = (a_1, ..., a_N, b_1, ..., b_N)

with the posterior means of x and of a copy v(x), and i' the copy of i: InfoNCE on f under a view that keeps
content, and on z under one that keeps motion. The publication has I(f; z) beside it,
:class:`~pyro_dsae.objectives.MutualInformation`.

Knows what its views know. They are those of :mod:`pyro_dsae.views` that a guide may look through: the
same knowledge, as a term in place of a smaller family of posteriors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..views import View
from .base import Regularised, Seen


class CDSVAE(Regularised):
    """Sequences agree with their views, and with no other.

    Of a term of two weights: ``CDSVAE(content_view=v, weight=10) + CDSVAE(dynamics_view=w)``.

    :param content_view: keeps content; ``FewFrames(T)`` is the publication's, frames in random order. None:
        no contrast of f.
    :param dynamics_view: keeps motion, such as ``Recolour()``. None: no contrast of z.
    :param temperature: tau, 0.5 in the publication.
    :raises ValueError: if there is no view at all, or a number is out of range.
    """

    def __init__(
        self,
        content_view: View | None = None,
        dynamics_view: View | None = None,
        *,
        weight: float = 1.0,
        temperature: float = 0.5,
    ) -> None:
        super().__init__(weight)
        if content_view is None and dynamics_view is None:
            raise ValueError("content_view or dynamics_view must be given, got neither")
        check_temperature(temperature)
        self.content_view, self.dynamics_view = content_view, dynamics_view
        self.temperature = temperature

    def penalty(self, seen: Seen) -> Tensor:
        total = torch.zeros((), device=seen.x.device)
        for view, site in (
            (self.content_view, seen.content),
            (self.dynamics_view, seen.dynamics),
        ):
            if view is not None:
                both = (seen.q, seen.encode(view(seen.x)))
                own, again = (sites.laws[site].mean.flatten(1) for sites in both)
                total = total + agreement(own, again, self.temperature)
        return total


def check_temperature(temperature: float) -> None:
    """ValueError unless it is above 0."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be above 0, got {temperature}")


def agreement(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """C of two batches of features, ``(N, dim)`` each: a number, 0 for one sequence."""
    both = F.normalize(torch.cat([a, b]), dim=1)
    cosines = both @ both.T / temperature
    cosines = cosines.fill_diagonal_(-math.inf)
    n = len(a)
    return F.cross_entropy(cosines, torch.arange(2 * n, device=a.device).roll(n))
