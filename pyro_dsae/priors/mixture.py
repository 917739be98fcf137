r"""p(z_1:T) whose every step is a mixture: one of K things comes next, not their mean.

.. math:: p(z_{1:T}) = \prod_{t=1}^{T} \sum_{k=1}^K \pi_{tk}(z_{<t})\,
          \mathcal N\big(z_t \mid \mu_{tk}(z_{<t}), \sigma_{tk}^2(z_{<t})\big)
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

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
