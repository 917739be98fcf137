r"""What the models of content and dynamics share.

.. math:: p(x_{1:T}, z_{1:T}, f) = p(f)\, p(z_{1:T} \mid f) \prod_{t=1}^T p(x_t \mid z_t, f)
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import pyro
import torch
from pyro import distributions as dist
from torch import Tensor, nn

from .._numbers import check_whole
from ..likelihoods import make_likelihood
from ..nn import (
    Channels,
    FrameShape,
    beside,
    check_frame_shape,
    check_mask,
    check_sequences,
    frame_decoder,
    hidden,
    over_frames,
)
from ..priors import Choice, make_content_prior, make_prior, up_to_lengths
from ..program import Latents, Program


def sizes(
    x: Tensor | None,
    frame_shape: FrameShape,
    batch_size: int | None,
    num_frames: int | None,
    default: int = 8,
    mask: Tensor | None = None,
) -> tuple[int, int]:
    """N and T: those of ``x``, ``(N, T, *frame)``, or as asked for; 1 and ``default`` where nothing is.

    :raises ValueError: if they are less than 1, or ``x`` is of other frames, or ``mask`` not of x.
    """
    if mask is not None and x is None:
        raise ValueError("mask says which frames of x are present, got no x")
    if x is not None:
        check_sequences(x, frame_shape)
        if mask is not None:
            check_mask(mask, x)
        return x.shape[0], x.shape[1]
    check_whole(1, batch_size=batch_size, num_frames=num_frames)
    return batch_size or 1, num_frames or default


def sample_frames(
    p_x: dist.TorchDistribution, frame_axes: int, x: Tensor | None, mask: Tensor | None
) -> None:
    """The site ``"x"`` of frames that follow p_x, of batch ``(N, T, *frame)``; absent ones cost nothing."""
    if mask is None or x is None:
        pyro.sample("x", p_x.to_event(1 + frame_axes), obs=x)
        return
    frames = p_x.to_event(frame_axes).mask(mask)
    pyro.sample("x", frames.to_event(1), obs=hidden(x, mask))


def check_event(site: str, value: Tensor, shape: torch.Size) -> None:
    """ValueError if a latent that was given from outside is not ``(*, *shape)``."""
    if value.shape[value.dim() - len(shape) :] != shape:
        raise ValueError(f"{site} must be (*, {', '.join(map(str, shape))}), got {(*value.shape,)}")


class SequenceModel(Program):
    """Content f, fixed over the sequence, and dynamics z_1:T; a subclass gives p(z_1:T | f).

    :param frame_shape: ``(channels, height, width)``, sides of 8 and more, or ``(bins,)``.
    :param f_dim: size of f.
    :param z_dim: size of z_t.
    :param channels: width of the default decoder's last hidden layer, doubled at each layer before it; or
        the four widths, from the frame inwards.
    :param patch: p, for images: squares of p x p pixels are folded into channels before the first convolution
        and unfolded after the last, for frames of 64 x 64 and more.
    :param hidden: units of the network of p(z_1:T | f).
    :param likelihood: ``bernoulli``, ``continuous_bernoulli``, ``normal``, or a module that maps the
        decoder's output to a distribution.
    :param modulated: let f scale and shift the channels of the default decoder,
        :class:`~pyro_dsae.nn.ModulatedDecoder`, in place of entering it beside z_t.
    :param dense: widths of dense layers of the default decoder, if any, before its deconvolutions.
    :param decoder: a module ``(*, f_dim + z_dim) -> (*, *frame_shape)`` in place of the default.
    :param prior: the network of p(z_1:T | f), in place of the default; each model says what it maps.
    :param content_prior: p(f): a name of :data:`~pyro_dsae.priors.CONTENT_PRIORS`, a dict of a name and
        options, or a :class:`~pyro_dsae.priors.ContentPrior`.
    :param frames_at_once: where there are more, frames are decoded in chunks of so many, which the backward
        pass computes again in place of keeping them: for long sequences. It may be set at any time.
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...] = (3, 64, 64),
        *,
        f_dim: int = 256,
        z_dim: int = 32,
        channels: Channels = 32,
        patch: int = 1,
        hidden: int = 256,
        likelihood: str | nn.Module = "bernoulli",
        modulated: bool = False,
        dense: Sequence[int] = (),
        decoder: nn.Module | None = None,
        prior: nn.Module | None = None,
        content_prior: Choice = "normal",
        frames_at_once: int | None = None,
    ) -> None:
        super().__init__()
        self.frame_shape = check_frame_shape(frame_shape)
        check_whole(1, f_dim=f_dim, z_dim=z_dim, hidden=hidden, frames_at_once=frames_at_once)
        self.f_dim, self.z_dim = f_dim, z_dim
        self.frames_at_once = frames_at_once
        state_dim = self.state_dim(z_dim, hidden)
        self.decoder = decoder or frame_decoder(
            f_dim, state_dim, self.frame_shape, channels, modulated, patch, dense
        )
        if prior is None:
            prior = self.default_prior(f_dim, z_dim, hidden)
        elif not isinstance(prior, nn.Module):
            raise TypeError(f"prior must be a module, got {prior!r}")
        self.prior = make_prior(prior, z_dim)
        self.likelihood = make_likelihood(likelihood)
        self.content_prior = make_content_prior(content_prior, f_dim)

    @property
    def latents(self) -> Latents:
        return {"f": (self.f_dim,), "z": (None, self.z_dim)}

    @abstractmethod
    def default_prior(self, f_dim: int, z_dim: int, hidden: int) -> nn.Module:
        """The network of p(z_1:T | f)."""

    def state_dim(self, z_dim: int, hidden: int) -> int:
        """Size of each of :meth:`states`."""
        return z_dim

    def states(self, z: Tensor, num_frames: int) -> Tensor:
        """What the decoder sees of the dynamics at each frame, ``(N, T, state_dim)``: z_1:T itself."""
        return z

    @abstractmethod
    def p_z(self, f: Tensor, num_frames: int) -> dist.TorchDistribution:
        """p(z_1:T | f) for f ``(*batch, f_dim)``: one distribution of event shape ``(T, z_dim)``."""

    def law_of_z(
        self, f: Tensor, num_frames: int, mask: Tensor | None = None
    ) -> dist.TorchDistribution:
        """:meth:`p_z` up to the last frame that is present by ``mask``, ``(*batch, T)``."""
        p_z = self.p_z(f, num_frames)
        return up_to_lengths(p_z, mask) if len(p_z.event_shape) == 2 else p_z

    def forward(
        self,
        x: Tensor | None = None,
        *,
        batch_size: int | None = None,
        num_frames: int | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Observe ``x``, ``(N, T, *frame)``, or generate; returns the mean frames, of that shape.

        :param batch_size: N, when there is no ``x`` (default 1).
        :param num_frames: T, when there is no ``x`` (default 8).
        :param mask: ``(N, T)``, True where a frame of x is present: others cost nothing. A sequence ends with
            its last; z is 0 after that.
        """
        batch_size, num_frames = sizes(x, self.frame_shape, batch_size, num_frames, mask=mask)
        with pyro.plate("sequences", batch_size, dim=-1):
            p_f = self.content_prior()
            f = pyro.sample("f", p_f)
            p_z = self.law_of_z(f, num_frames, mask)
            z = pyro.sample("z", p_z)
            check_event("f", f, p_f.event_shape)
            check_event("z", z, p_z.event_shape)
            h = self.states(z, num_frames)
            latent = beside(f.unsqueeze(-2), h)
            p_x = self.likelihood(over_frames(self.decoder, latent, 1, self.frames_at_once))
            sample_frames(p_x, len(self.frame_shape), x, mask)
        return p_x.mean
