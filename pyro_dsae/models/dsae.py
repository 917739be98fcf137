r"""The disentangled sequential autoencoder of Li & Mandt (ICML 2018), section 2.

.. math:: p(x_{1:T}, z_{1:T}, f) = p(f) \prod_{t=1}^T p(z_t \mid z_{<t})\, p(x_t \mid z_t, f)
"""

from __future__ import annotations

import pyro
import torch
from pyro import distributions as dist
from torch import Tensor, nn

from ..distributions import AutoregressiveNormal
from ..likelihoods import make_likelihood
from ..nn import LSTMTransition, check_frame_shape, check_sequences, frame_decoder
from ..program import Program


class DSAE(Program):
    """Content f, fixed over the sequence, and dynamics z_1:T with an LSTM prior.

    :param frame_shape: ``(channels, height, width)``, sides multiples of 16, or ``(bins,)``.
    :param f_dim: size of f.
    :param z_dim: size of z_t.
    :param channels: width of the default decoder's last hidden layer.
    :param hidden: units of the default transition's LSTM.
    :param likelihood: ``bernoulli``, ``continuous_bernoulli``, ``normal``, or a module that maps the
        decoder's output to a distribution.
    :param modulated: let f scale and shift the channels of the default decoder,
        :class:`~pyro_dsae.nn.ModulatedDecoder`, in place of entering it beside z_t.
    :param decoder: a module ``(*, f_dim + z_dim) -> (*, *frame_shape)`` in place of the default.
    :param transition: p(z_t | z_<t); see :class:`~pyro_dsae.distributions.AutoregressiveNormal`.
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...] = (3, 64, 64),
        *,
        f_dim: int = 256,
        z_dim: int = 32,
        channels: int = 32,
        hidden: int = 256,
        likelihood: str | nn.Module = "bernoulli",
        modulated: bool = False,
        decoder: nn.Module | None = None,
        transition: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.frame_shape = check_frame_shape(frame_shape)
        self.f_dim, self.z_dim = f_dim, z_dim
        self.decoder = decoder or frame_decoder(f_dim, z_dim, self.frame_shape, channels, modulated)
        self.transition = transition or LSTMTransition(z_dim, hidden)
        self.likelihood = make_likelihood(likelihood)
        self.register_buffer("prior_scale", torch.ones(f_dim), persistent=False)

    def forward(
        self,
        x: Tensor | None = None,
        *,
        batch_size: int | None = None,
        num_frames: int | None = None,
    ) -> Tensor:
        """Observe ``x``, ``(N, T, *frame)``, or generate; returns the mean frames, of that shape.

        :param batch_size: N, when there is no ``x`` (default 1).
        :param num_frames: T, when there is no ``x`` (default 8).
        """
        if x is not None:
            check_sequences(x, self.frame_shape)
            batch_size, num_frames = x.shape[:2]
        size, steps = batch_size or 1, num_frames or 8
        with pyro.plate("sequences", size, dim=-1):
            p_f = dist.Normal(torch.zeros_like(self.prior_scale), self.prior_scale)
            f = pyro.sample("f", p_f.to_event(1))
            z = pyro.sample("z", AutoregressiveNormal(self.transition, steps, self.z_dim))
            latent = torch.cat([f.unsqueeze(-2).expand(*z.shape[:-1], -1), z], dim=-1)
            p_x = self.likelihood(self.decoder(latent))
            pyro.sample("x", p_x.to_event(1 + len(self.frame_shape)), obs=x)
        return p_x.mean
