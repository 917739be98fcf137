r"""The posterior of the neural statistician (Edwards & Storkey, ICLR 2017), section 3, with one layer of z.

.. math:: q(f, z_{1:T} \mid x_{1:T}) = q\Big(f \,\Big|\, \frac1T \sum_{i=1}^T h(x_i)\Big)
          \prod_{i=1}^T q(z_i \mid f, x_i)
"""

from __future__ import annotations

from torch import Tensor, nn

from ..nn import MLP, GaussianHead, MeanSummary, beside
from .base import SequenceGuide


class Pooled(SequenceGuide):
    """f from the mean of the frames' features, whatever their order; z_i from frame i and f.

    Of frames it takes any number, at a cost that grows with the number, not with its square as that of
    :class:`~pyro_dsae.guides.Pairwise`; but what only one frame shows enters the mean as well.

    The arguments are those of :class:`~pyro_dsae.guides.base.SequenceGuide`.
    """

    def make_summary(self, hidden: int) -> MeanSummary:
        return MeanSummary(hidden, hidden)

    def make_dynamics(self, f_dim: int, z_dim: int, hidden: int) -> None:
        self.z_head = nn.Sequential(
            MLP(hidden + f_dim, hidden, hidden), nn.ReLU(), GaussianHead(hidden, z_dim)
        )

    def q_z(self, h: Tensor, f: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.z_head(beside(h, f.unsqueeze(-2)))
