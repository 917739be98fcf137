r"""What the guides share: networks that map a sequence to the posterior of its latents.

.. math:: q(f, z_{1:T} \mid x_{1:T}) = q(f \mid x_{1:T})\, q(z_{1:T} \mid f, x_{1:T})
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Protocol

import pyro
from pyro import distributions as dist
from torch import Tensor, nn

from .._numbers import check_whole
from ..nn import (
    Channels,
    FrameShape,
    GaussianHead,
    PooledEncoder,
    SequenceSummary,
    SortedEncoder,
    check_frame_shape,
    check_mask,
    check_sequences,
    frame_encoder,
    hidden,
)
from ..priors import up_to_lengths
from ..program import Latents, Program
from ..views import View, encode_views


class Summary(Protocol):
    """A module from the features of all frames to one vector, ``(N, features)``."""

    features: int

    def __call__(self, h: Tensor, mask: Tensor | None = None) -> Tensor: ...


_CONTENT_ENCODERS = {"pooled": PooledEncoder, "sorted": SortedEncoder}


class SequenceGuide(Program):
    """Content f from a summary of all frames; a subclass gives q(z_1:T | f, x_1:T).

    :param frame_shape: ``(channels, height, width)``, sides of 8 and more, or ``(bins,)``.
    :param f_dim: size of f.
    :param z_dim: size of z_t.
    :param channels: width of the default encoder's first layer, doubled at each layer after it; or the
        four widths, from the frame inwards.
    :param patch: as for the model, :class:`~pyro_dsae.models.base.SequenceModel`.
    :param hidden: units of every other network, and size of the frame features.
    :param encoder: a module ``(*, *frame_shape) -> (*, hidden)`` in place of the default.
    :param content_encoder: an encoder for f alone: a module, True for the default, ``"pooled"`` for
        :class:`~pyro_dsae.nn.PooledEncoder` or ``"sorted"`` for :class:`~pyro_dsae.nn.SortedEncoder`;
        otherwise f and z share ``encoder``.
    :param few_frames: q(f | .) is of so many frames, drawn at random while it trains and evenly spaced
        otherwise: an LSTM that has only seen two at a time makes less of eight.
    :param content_view: what q(f | .) sees of x while it trains; see :mod:`pyro_dsae.views`.
    :param dynamics_view: what q(z | .) sees of x while it trains.
    :param frames_at_once: where there are more, frames are encoded in chunks of so many; see
        :class:`~pyro_dsae.models.base.SequenceModel`.
    """

    training_only = frozenset({"content_view", "dynamics_view"})
    z_axes: ClassVar[int] = 2
    """Of z: time and ``z_dim``, or 1 where it has no axis of time."""

    def __init__(
        self,
        frame_shape: tuple[int, ...] = (3, 64, 64),
        *,
        f_dim: int = 256,
        z_dim: int = 32,
        channels: Channels = 32,
        patch: int = 1,
        hidden: int = 256,
        encoder: nn.Module | None = None,
        content_encoder: nn.Module | str | bool = False,
        few_frames: int | None = None,
        content_view: View | None = None,
        dynamics_view: View | None = None,
        frames_at_once: int | None = None,
    ) -> None:
        super().__init__()
        self.frame_shape = check_frame_shape(frame_shape)
        check_whole(1, f_dim=f_dim, z_dim=z_dim, hidden=hidden, frames_at_once=frames_at_once)
        check_whole(1, few_frames=few_frames)
        self.f_dim, self.z_dim, self.few_frames = f_dim, z_dim, few_frames
        self.encoder = encoder or self.default_encoder(self.frame_shape, hidden, channels, patch)
        self.content_encoder = self._content_encoder(content_encoder, hidden, channels, patch)
        self.content_view, self.dynamics_view = content_view, dynamics_view
        self.frames_at_once = frames_at_once
        self.summary = self.make_summary(hidden)
        self.f_head = GaussianHead(self.summary.features, f_dim)
        self.make_dynamics(f_dim, z_dim, hidden)

    @property
    def latents(self) -> Latents:
        return {"f": (self.f_dim,), "z": (*[None] * (self.z_axes - 1), self.z_dim)}

    def _content_encoder(
        self, encoder: nn.Module | str | bool, hidden: int, channels: Channels, patch: int
    ) -> nn.Module | None:
        if isinstance(encoder, nn.Module):
            return encoder
        if isinstance(encoder, str) and encoder in _CONTENT_ENCODERS:
            return _CONTENT_ENCODERS[encoder](self.frame_shape, hidden, channels, patch)
        if not isinstance(encoder, bool):
            names = " or ".join(map(repr, _CONTENT_ENCODERS))
            raise ValueError(
                f"content_encoder must be a module, a bool or {names}, got {encoder!r}"
            )
        if not encoder:
            return None
        return self.default_encoder(self.frame_shape, hidden, channels, patch)

    def default_encoder(
        self, shape: FrameShape, hidden: int, channels: Channels, patch: int
    ) -> nn.Module:
        """The encoder of each frame."""
        return frame_encoder(shape, hidden, channels, patch)

    def make_summary(self, hidden: int) -> Summary:
        """The network from the features of all frames to one vector."""
        return SequenceSummary(hidden, hidden)

    @abstractmethod
    def make_dynamics(self, f_dim: int, z_dim: int, hidden: int) -> None:
        """Set up the networks of :meth:`q_z`."""

    @abstractmethod
    def q_z(self, h: Tensor, f: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and scale of q(z_1:T | f, x_1:T) from features ``(N, T, ...)`` and f ``(*, N, f_dim)``.

        They are ``(*, N, T, z_dim)``, or without T where z has no axis of time. Axes to the left of N are
        samples: several draws of f, for the same x.

        :param mask: ``(N, T)``, frames present: what lies past a sequence's length must not be read.
        """

    def law_of_z(
        self, loc: Tensor, scale: Tensor, mask: Tensor | None = None
    ) -> dist.TorchDistribution:
        """q(z_1:T | f, x_1:T) from what :meth:`q_z` gives."""
        return dist.Normal(loc, scale).to_event(self.z_axes)

    def forward(
        self,
        x: Tensor,
        *,
        batch_size: int | None = None,
        num_frames: int | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Sample f, ``(N, f_dim)``, and z, ``(N, T, z_dim)``, given ``x``, ``(N, T, *frame)``.

        :param mask: ``(N, T)``, True where a frame is present; z past the last of these is 0.
        """
        check_sequences(x, self.frame_shape)
        if mask is not None:
            check_mask(mask, x)
            x = hidden(x, mask)
        (h_f, *mask_f), (h_z, *mask_z) = encode_views(self, x, mask)
        with pyro.plate("sequences", x.shape[0], dim=-1):
            f = pyro.sample("f", dist.Normal(*self.f_head(self.summary(h_f, *mask_f))).to_event(1))
            q_z = self.law_of_z(*self.q_z(h_z, f, *mask_z), *mask_z)
            z = pyro.sample("z", up_to_lengths(q_z, mask) if self.z_axes == 2 else q_z)
        return f, z
