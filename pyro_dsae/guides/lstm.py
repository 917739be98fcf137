r"""The posterior of models whose dynamics are one vector, :class:`~pyro_dsae.models.LSTMf` and ``LSTMc``.

.. math:: q(f, z \mid x_{1:T}) = q(f \mid x_{1:T})\, q(z \mid f, x_{1:T})
"""

from __future__ import annotations

from torch import Tensor, nn

from ..nn import MLP, GaussianHead, SequenceSummary, beside
from .base import SequenceGuide


class LSTMGuide(SequenceGuide):
    """f and z from bidirectional LSTMs over all frames, z given f.

    The arguments are those of :class:`~pyro_dsae.guides.base.SequenceGuide`.
    """

    z_axes = 1

    def make_dynamics(self, f_dim: int, z_dim: int, hidden: int) -> None:
        self.z_summary = SequenceSummary(hidden, hidden)
        self.z_head = nn.Sequential(
            MLP(self.z_summary.features + f_dim, hidden), nn.SiLU(), GaussianHead(hidden, z_dim)
        )

    def q_z(self, h: Tensor, f: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.z_head(beside(self.z_summary(h, mask), f))
