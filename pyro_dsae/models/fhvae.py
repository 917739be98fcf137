r"""The factorised hierarchical VAE of Hsu, Zhang & Glass (NeurIPS 2017), section 2.

.. math:: p(x_{1:T}, z_1, z_2, \mu_2) = p(\mu_2)^{1/n}\, p(z_2 \mid \mu_2)\, p(z_1)
          \prod_{t=1}^T p(x_t \mid z_1, z_2)

one segment of an utterance that has n of them: a segment's share of the whole utterance.
"""

from __future__ import annotations

from math import inf

import pyro
import torch
from pyro import distributions as dist
from pyro import poutine
from torch import Tensor, nn

from .._numbers import check_whole
from ..likelihoods import make_likelihood
from ..nn import Channels, along_time, beside, check_frame_shape, frame_decoder
from ..program import Latents, Program
from .base import check_event, sample_frames, sizes


class FHVAE(Program):
    """Segments of utterances: mu_2 is the utterance's, z_2 stays near it, z_1 is the segment's own.

    Sites, under the plate ``sequences``: ``"mu2"``, ``"z2"`` and ``"z1"``, one vector a segment each, and
    ``"x"``, as in the other models. Content is mu_2 and z_2, dynamics z_1.

    :param frame_shape: ``(bins,)``, or ``(channels, height, width)``.
    :param z1_dim: size of z_1.
    :param z2_dim: size of z_2 and mu_2.
    :param z2_scale: standard deviation of p(z_2 | mu_2).
    :param channels: width of the decoder of each frame; see :func:`~pyro_dsae.nn.frame_decoder`.
    :param hidden: units of the decoder's LSTM, which sees z_1 and z_2 at every frame.
    :param likelihood: see :class:`~pyro_dsae.models.base.SequenceModel`.
    """

    content = ("mu2", "z2")
    dynamics = ("z1",)

    def __init__(
        self,
        frame_shape: tuple[int, ...] = (200,),
        *,
        z1_dim: int = 16,
        z2_dim: int = 16,
        z2_scale: float = 0.5,
        channels: Channels = 32,
        hidden: int = 256,
        likelihood: str | nn.Module = "normal",
    ) -> None:
        super().__init__()
        self.frame_shape = check_frame_shape(frame_shape)
        check_whole(1, z1_dim=z1_dim, z2_dim=z2_dim, hidden=hidden)
        if not 0 < z2_scale < inf:
            raise ValueError(f"z2_scale must be positive, got {z2_scale}")
        self.z2_scale = z2_scale
        self.lstm = nn.LSTM(z1_dim + z2_dim, hidden, batch_first=True)
        self.decoder = frame_decoder(hidden, z1_dim + z2_dim, self.frame_shape, channels)
        self.likelihood = make_likelihood(likelihood)
        self.register_buffer("z1_scale", torch.ones(z1_dim), persistent=False)
        self.register_buffer("mu2_scale", torch.ones(z2_dim), persistent=False)

    @property
    def latents(self) -> Latents:
        z1, z2 = len(self.z1_scale), len(self.mu2_scale)
        return {"mu2": (z2,), "z2": (z2,), "z1": (z1,)}

    def forward(
        self,
        x: Tensor | None = None,
        *,
        batch_size: int | None = None,
        num_frames: int | None = None,
        utterance: Tensor | None = None,
        segments: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Observe ``x``, ``(N, T, *frame)``, or generate; returns the mean frames, of that shape.

        :param batch_size: N, when there is no ``x`` (default 1).
        :param num_frames: T, when there is no ``x`` (default 20).
        :param utterance: for the guide; not used here.
        :param segments: n, how many its utterance has, ``(N,)`` (default 1).
        :param mask: ``(N, T)``, True where a frame of x is present: others cost nothing.
        """
        batch_size, num_frames = sizes(
            x, self.frame_shape, batch_size, num_frames, default=20, mask=mask
        )
        share = 1.0 if segments is None else segments.reciprocal()
        with pyro.plate("sequences", batch_size, dim=-1):
            p_mu2 = dist.Normal(torch.zeros_like(self.mu2_scale), self.mu2_scale)
            with poutine.scale(scale=share):
                mu2 = pyro.sample("mu2", p_mu2.to_event(1))
            z2 = pyro.sample("z2", dist.Normal(mu2, self.z2_scale).to_event(1))
            p_z1 = dist.Normal(torch.zeros_like(self.z1_scale), self.z1_scale)
            z1 = pyro.sample("z1", p_z1.to_event(1))
            for site, value, scale in (
                ("mu2", mu2, self.mu2_scale),
                ("z2", z2, self.mu2_scale),
                ("z1", z1, self.z1_scale),
            ):
                check_event(site, value, scale.shape)
            z = beside(z1, z2).unsqueeze(-2)
            z = z.expand(*z.shape[:-2], num_frames, -1)
            p_x = self.likelihood(self.decoder(beside(along_time(self.lstm, z), z)))
            sample_frames(p_x, len(self.frame_shape), x, mask)
        return p_x.mean
