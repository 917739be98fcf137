r"""The factorised posterior of Li & Mandt (ICML 2018), eq. 2.

.. math:: q(f, z_{1:T} \mid x_{1:T}) = q(f \mid x_{1:T}) \prod_{t=1}^T q(z_t \mid x_t)
"""

from __future__ import annotations

from torch import Tensor, nn

from ..nn import MLP, GaussianHead
from .base import SequenceGuide


class Factorised(SequenceGuide):
    """f from a bidirectional LSTM over all frames, z_t from frame t alone.

    The arguments are those of :class:`~pyro_dsae.guides.base.SequenceGuide`.
    """

    def make_dynamics(self, f_dim: int, z_dim: int, hidden: int) -> None:
        self.z_head = nn.Sequential(MLP(hidden, hidden), nn.SiLU(), GaussianHead(hidden, z_dim))

    def q_z(self, h: Tensor, f: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.z_head(h)
