r"""The full posterior of Li & Mandt (ICML 2018), eq. 3: the dynamics know the content.

.. math:: q(f, z_{1:T} \mid x_{1:T}) = q(f \mid x_{1:T})\, q(z_{1:T} \mid f, x_{1:T})
"""

from __future__ import annotations

from torch import Tensor, nn

from ..nn import GaussianHead, along_time, beside, lengths_of
from .base import SequenceGuide


class Full(SequenceGuide):
    """f as in :class:`~pyro_dsae.guides.Factorised`; z from a bidirectional LSTM over the frames and f,
    then a forward RNN.

    The arguments are those of :class:`~pyro_dsae.guides.base.SequenceGuide`.
    """

    def make_dynamics(self, f_dim: int, z_dim: int, hidden: int) -> None:
        self.both_ways = nn.LSTM(hidden + f_dim, hidden, batch_first=True, bidirectional=True)
        self.forwards = nn.RNN(2 * hidden, hidden, batch_first=True)
        self.z_head = GaussianHead(hidden, z_dim)

    def q_z(self, h: Tensor, f: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lengths = None if mask is None else lengths_of(mask)
        states = along_time(self.both_ways, beside(h, f.unsqueeze(-2)), lengths)
        return self.z_head(along_time(self.forwards, states))
