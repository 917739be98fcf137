r"""The factorised posterior of Li & Mandt (ICML 2018), eq. 2.

.. math:: q(f, z_{1:T} \mid x_{1:T}) = q(f \mid x_{1:T}) \prod_{t=1}^T q(z_t \mid x_t)
"""

from __future__ import annotations

import pyro
from pyro import distributions as dist
from torch import Tensor, nn

from ..nn import (
    MLP,
    GaussianHead,
    SequenceSummary,
    check_frame_shape,
    check_sequences,
    frame_encoder,
)
from ..program import Program
from ..views import View, encode_views


class Factorised(Program):
    """f from a bidirectional LSTM over all frames, z_t from frame t alone.

    :param frame_shape: ``(channels, height, width)``, sides multiples of 16, or ``(bins,)``.
    :param f_dim: size of f.
    :param z_dim: size of z_t.
    :param channels: width of the default encoder's first layer.
    :param hidden: units of the LSTM in each direction, of the frame features and of the MLP.
    :param encoder: a module ``(*, *frame_shape) -> (*, hidden)`` in place of the default.
    :param content_encoder: an encoder for f alone, a module or True for the default; otherwise f and z
        share ``encoder``.
    :param content_view: what q(f | .) sees of x while it trains; see :mod:`pyro_dsae.views`.
    :param dynamics_view: what q(z | .) sees of x while it trains.
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
        self.z_head = nn.Sequential(MLP(hidden, hidden), nn.SiLU(), GaussianHead(hidden, z_dim))

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
            z = pyro.sample("z", dist.Normal(*self.z_head(h_z)).to_event(2))
        return f, z
