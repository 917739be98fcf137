r"""p(z_1:T) whose every step is a mixture: one of K things comes next, not their mean.

.. math:: p(z_{1:T}) = \prod_{t=1}^{T} \sum_{k=1}^K \pi_{tk}(z_{<t})\,
          \mathcal N\big(z_t \mid \mu_{tk}(z_{<t}), \sigma_{tk}^2(z_{<t})\big)
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal
from torch.nn.functional import pad

from .._numbers import check_whole
from ..nn import MLP, CausalLSTM, GaussianHead
from ..nn.dense import SLOPE
from ..nn.time import within_reach
from .autoregressive import AutoregressiveNormal
from .base import Prior


class AutoregressiveMixture(AutoregressiveNormal):
    """As :class:`AutoregressiveNormal`, for a transition ``(z, state) -> (logits, loc, scale, state)``.

    Logits are ``(batch, time, K)``, loc and scale ``(batch, time, K, z_dim)``. Draws carry no gradient.
    """

    has_rsample = False

    def _step(self, *parameters: Tensor) -> Distribution:
        logits, loc, scale = parameters
        parts = Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)
        which = Categorical(logits=logits, validate_args=False)
        return MixtureSameFamily(which, parts, validate_args=False)


class Mixture(CausalLSTM, Prior):
    """An LSTM as in :class:`Autoregressive`, with a mixture of K Normals for each next step.

    :param z_dim: size of z_t.
    :param hidden: units of the LSTM and of its dense layers.
    :param components: K.
    :param residual: the means are steps from z_t-1, for dynamics that move on a little at a time.

    >>> Mixture(4, hidden=16, components=3)(8).sample((5,)).shape
    torch.Size([5, 8, 4])
    """

    def __init__(
        self, z_dim: int, hidden: int = 256, *, components: int = 32, residual: bool = False
    ) -> None:
        check_whole(1, components=components)
        super().__init__(z_dim, hidden)
        self.components, self.residual = components, residual
        self.dense = nn.Sequential(MLP(2 * hidden, hidden), nn.LeakyReLU(SLOPE))
        self.which = nn.Linear(hidden, components)
        self.head = GaussianHead(hidden, components * z_dim, scale=1.0)

    def transition(self, z: Tensor, state: Any = None) -> tuple[Tensor, Tensor, Tensor, Any]:
        """Logits, means and scales of the step after each of z, ``(batch, time, z_dim)``, and the state."""
        h, state = self.features(z, state)
        h = self.dense(h)
        loc, scale = (part.unflatten(-1, (self.components, -1)) for part in self.head(h))
        if self.residual:
            loc = within_reach(z).unsqueeze(-2) + loc
        return self.which(h).to(loc), loc, scale, state

    def forward(self, num_frames: int) -> AutoregressiveMixture:
        """p(z_1:T), of event shape ``(num_frames, z_dim)``."""
        return AutoregressiveMixture(self.transition, num_frames, self.z_dim)

    @torch.no_grad()
    def revive(self, z: Tensor, mask: Tensor | None = None, *, least: float = 1e-3) -> int:
        r"""Begin the components that nothing in z is of anew, where others are broad; how many there were.

        While everything learns at once most weights fall to none, early and for good, and a component that
        is left may cover several things with what lies between them. Let :math:`r_{tk}` be the share of k in
        step t, the mean of :math:`p(k \mid z_{\le t})`, and :math:`v_{tk}` the mean, over what is its own, of
        :math:`\sum_d \log \sigma_{tkd}`. Each component whose share is below ``least`` at every step becomes
        a copy of one that is drawn by

        .. math:: \max_t r_{tk} (1 + v_{tk} - \min_{s, j} v_{sj}),

        the nats that could be gained if it were as narrow as the narrowest, and one more. The copies of one
        are narrower, lie around a :math:`z_t` of its own each, and take half of its weight together, so
        that p(z) is near what it was: it is further training that parts them. After Ueda et al., *SMEM
        Algorithm for Mixture Models* (Neural Computation 2000).

        :param z: ``(N, T, z_dim)``, draws from a posterior.
        :param mask: ``(N, T)``, True where z is of the sequence.
        :param least: at most half of the share that all have if they are alike.

        >>> Mixture(4, hidden=16, components=3).revive(torch.randn(5, 8, 4))
        0
        """
        logits, loc, scale, _ = self.transition(pad(z, (0, 0, 1, -1)))
        law = Normal(loc, scale, validate_args=False)
        log_joint = logits.log_softmax(-1) + law.log_prob(z.unsqueeze(-2)).sum(-1)
        here = z.new_ones(z.shape[:2]) if mask is None else mask.to(z)
        p_k = log_joint.softmax(-1) * here.unsqueeze(-1)  # (N, T, K)
        n = here.sum(0).clamp_min(1).unsqueeze(-1)
        r = p_k.sum(0) / n  # (T, K)
        least = min(least, 0.5 / self.components)  # the largest share of a step is never below that
        dead = (r < least).all(0).nonzero().flatten()
        if not len(dead):
            return 0
        v = (p_k * scale.log().sum(-1)).sum(0) / n / r
        live = r >= least
        gain, step = (r * (1 + v - v[live].min())).where(live, 0.0).max(0)
        parents = gain.multinomial(len(dead), replacement=True)
        at = step[parents]
        row = p_k[:, at, parents].T.multinomial(1).squeeze(1)
        weight, bias = (
            w.unflatten(0, (2, self.components, -1)) for w in self.head.dense.parameters()
        )
        for of_k in (self.which.weight, self.which.bias, *weight, *bias):
            of_k[dead] = of_k[parents]
        bias[0, dead] += z[row, at] - loc[row, at, parents]
        bias[1, dead] -= math.log(2)
        copies = parents.bincount(minlength=self.components)
        self.which.bias[dead] += (0.5 / copies[parents]).log()
        self.which.bias[copies > 0] += math.log(0.5)
        return len(dead)
