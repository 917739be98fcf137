r"""The posterior of unordered frames of Helminger et al. (AABI 2018).

.. math:: q(f, z_{1:T} \mid x_{1:T}) = q(f \mid x_{1:T}) \prod_{i=1}^T q(z_i \mid f, x_i)
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from ..nn import (
    MLP,
    Channels,
    ConvMaps,
    FrameShape,
    GaussianHead,
    PairSummary,
    beside,
    frame_encoder,
)
from ..program import evaluating
from ..views import FewFrames
from .base import SequenceGuide


class Pairwise(SequenceGuide):
    """f from what pairs of frames have in common, whatever their order; z_i from frame i and f.

    :param content_frames: q(f | .) draws so many frames at random each time while it trains, a number or
        the least and the most; None takes all, as it does in evaluation.
    :param pairs_at_once: pairs of frames in memory at a time; see :class:`~pyro_dsae.nn.PairSummary`.
    :param options: the arguments of :class:`~pyro_dsae.guides.base.SequenceGuide`. An ``encoder`` of
        your own maps frames to feature maps ``(*, channels, height, width)`` or to vectors.

    >>> guide = Pairwise((1, 16, 16), f_dim=8, z_dim=2, channels=4, hidden=16, content_frames=(2, 4))
    >>> f, z = guide(torch.rand(5, 10, 1, 16, 16))
    >>> f.shape, z.shape
    (torch.Size([5, 8]), torch.Size([5, 10, 2]))
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...] = (3, 64, 64),
        *,
        content_frames: int | tuple[int, int] | None = None,
        pairs_at_once: int = 256,
        **options: Any,
    ) -> None:
        self.pairs_at_once = pairs_at_once
        if content_frames is not None:
            few, view = FewFrames(content_frames), options.get("content_view")
            options["content_view"] = few if view is None else nn.Sequential(few, view)
        super().__init__(frame_shape, **options)

    def default_encoder(
        self, shape: FrameShape, hidden: int, channels: Channels, patch: int
    ) -> nn.Module:
        if len(shape) == 3:
            return ConvMaps(shape, channels, patch)
        return frame_encoder(shape, hidden, channels, patch)

    def _features(self, encoder: nn.Module) -> tuple[int, ...]:
        """The shape of a frame's features, from a blank one that leaves no trace in the encoder."""
        like = next(encoder.parameters(), torch.empty(0))
        with evaluating(encoder):
            return tuple(encoder(like.new_zeros(1, *self.frame_shape)).shape[1:])

    def make_summary(self, hidden: int) -> PairSummary:
        shape = self._features(self.content_encoder or self.encoder)
        return PairSummary(shape, hidden, pairs_at_once=self.pairs_at_once)

    def make_dynamics(self, f_dim: int, z_dim: int, hidden: int) -> None:
        features = prod(self._features(self.encoder))
        self.z_head = nn.Sequential(
            MLP(features + f_dim, hidden, hidden), nn.ReLU(), GaussianHead(hidden, z_dim)
        )

    def q_z(self, h: Tensor, f: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.z_head(beside(h.flatten(2), f.unsqueeze(-2)))
