r"""The full posterior of Li & Mandt (ICML 2018), eq. 3: the dynamics know the content.

.. math:: q(f, z_{1:T} \mid x_{1:T}) = q(f \mid x_{1:T})\, q(z_{1:T} \mid f, x_{1:T})
"""

from __future__ import annotations

import pyro
import torch
from pyro import distributions as dist
from torch import Tensor, nn

from ..nn import GaussianHead, SequenceSummary, check_frame_shape, check_sequences, frame_encoder
from ..program import Program
from ..views import View, encode_views


class Full(Program):
    """f as in :class:`~pyro_dsae.guides.Factorised`; z from a bidirectional LSTM over the frames and f,
    then a forward RNN. The arguments are those of :class:`~pyro_dsae.guides.Factorised`.
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...] = (3, 64, 64),
        *,
        f_dim: int = 256,
        z_dim: int = 32,
        channels: int = 32,
        hidden: int = 256,
        encoder: nn.Module | None = None,
        content_encoder: nn.Module | bool = False,
        content_view: View | None = None,
        dynamics_view: View | None = None,
    ) -> None:
        super().__init__()
        self.frame_shape = check_frame_shape(frame_shape)
        self.encoder = encoder or frame_encoder(self.frame_shape, hidden, channels)
        if content_encoder is True:
            content_encoder = frame_encoder(self.frame_shape, hidden, channels)
        self.content_encoder = content_encoder or None
        self.content_view, self.dynamics_view = content_view, dynamics_view
        self.summary = SequenceSummary(hidden, hidden)
        self.f_head = GaussianHead(self.summary.features, f_dim)
        self.both_ways = nn.LSTM(hidden + f_dim, hidden, batch_first=True, bidirectional=True)
        self.forwards = nn.RNN(2 * hidden, hidden, batch_first=True)
        self.z_head = GaussianHead(hidden, z_dim)

    def forward(
        self,
        x: Tensor,
        *,
        batch_size: int | None = None,
        num_frames: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Sample f, ``(N, f_dim)``, and z, ``(N, T, z_dim)``, given ``x``, ``(N, T, *frame)``."""
        check_sequences(x, self.frame_shape)
        h_f, h_z = encode_views(self, x)
        with pyro.plate("sequences", x.shape[0], dim=-1):
            f = pyro.sample("f", dist.Normal(*self.f_head(self.summary(h_f))).to_event(1))
            h = torch.cat([h_z, f.unsqueeze(-2).expand(*h_z.shape[:-1], -1)], dim=-1)
            h, _ = self.forwards(self.both_ways(h)[0])
            z = pyro.sample("z", dist.Normal(*self.z_head(h)).to_event(2))
        return f, z
