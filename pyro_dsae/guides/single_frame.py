r"""The posterior of DBSE (Berman, Naiman, Arbiv, Fadlon & Azencot, ICML 2024): one frame says what stays.

.. math:: q(f, z_{1:T} \mid x_{1:T}) = q(f \mid x_1)\, q(z_{1:T} \mid h_1 - h_1, ..., h_T - h_1)

with h_t the features of frame t.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..nn import MLP, GaussianHead, along_time, lengths_of
from .base import SequenceGuide


class SingleFrame(SequenceGuide):
    """f from the first frame alone, z from a bidirectional LSTM over what differs from that frame.

    What the first frame shows is taken from all others, so it can only go through f; what f says must fit
    them all. The publication has no further terms but one more reconstruction of the first frame, and feeds
    noise to the LSTM in place of that frame's zeros. With ``content_view=FewFrames(1)`` f comes from a frame
    drawn at random while it trains.

    The arguments are those of :class:`~pyro_dsae.guides.base.SequenceGuide`.
    """

    def make_summary(self, hidden: int) -> FirstFrame:
        return FirstFrame(hidden)

    def make_dynamics(self, f_dim: int, z_dim: int, hidden: int) -> None:
        self.both_ways = nn.LSTM(hidden, hidden, batch_first=True, bidirectional=True)
        self.z_head = GaussianHead(2 * hidden, z_dim)

    def q_z(self, h: Tensor, f: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lengths = None if mask is None else lengths_of(mask)
        return self.z_head(along_time(self.both_ways, h - h[:, :1], lengths))


class FirstFrame(nn.Module):
    """A dense layer on the first frame's features: ``(N, T, features)`` to ``(N, features)``.

    Where that frame is absent its features are those of the first that is present, as for every guide.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.dense = nn.Sequential(MLP(features, features), nn.Tanh())

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.dense(h[:, 0])
