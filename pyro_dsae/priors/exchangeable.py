r"""p(z_1:T) whose frames are independent of each other and come in no order.

.. math:: p(z_{1:T} \mid f) = \prod_{i=1}^T \mathcal N\big(z_i \mid \mu(f), \sigma^2(f)\big)
"""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Normal, constraints

from .base import Shape, check_past


class ExchangeableNormal(TorchDistribution):
    r"""p(z_1:T) = \prod_i N(z_i | loc, scale^2), one diagonal Normal for every frame of a sequence.

    :param loc: ``(*batch_shape, z_dim)``, and so is ``scale``.
    :param num_frames: T. The event shape is ``(num_frames, z_dim)``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 (torch's own convention)
    support = constraints.independent(constraints.real, 2)
    has_rsample = True

    def __init__(
        self, loc: Tensor, scale: Tensor, num_frames: int, *, validate_args: bool | None = None
    ) -> None:
        if num_frames < 1:
            raise ValueError(f"num_frames must be at least 1, got {num_frames}")
        self.frame = Normal(loc, scale, validate_args=validate_args)
        self.num_frames = num_frames
        shape = self.frame.batch_shape
        super().__init__(
            shape[:-1], torch.Size((num_frames, shape[-1])), validate_args=validate_args
        )

    def expand(self, batch_shape: Shape, _instance: Any = None) -> ExchangeableNormal:
        frame = self.frame.expand((*batch_shape, self.event_shape[-1]))
        return ExchangeableNormal(
            frame.loc, frame.scale, self.num_frames, validate_args=self._validate_args
        )

    @property
    def _frames(self) -> Normal:
        loc, scale = self.frame.loc.unsqueeze(-2), self.frame.scale.unsqueeze(-2)
        return Normal(loc, scale, validate_args=False).expand(self.batch_shape + self.event_shape)

    @property
    def mean(self) -> Tensor:
        return self._frames.mean

    @property
    def variance(self) -> Tensor:
        return self._frames.variance

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self._frames.rsample(torch.Size(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self._frames.log_prob(value).sum((-2, -1))

    def log_prefix(self, value: Tensor, within: Tensor) -> Tensor:
        """log p of the frames where ``within``, ``(*batch, T)``, is True."""
        return self._frames.log_prob(value).sum(-1).where(within, 0.0).sum(-1)

    def prefix_condition(self, z_past: Tensor) -> ExchangeableNormal:
        """The law of the other frames, whatever ``z_past``: ``(*batch, t, z_dim)``, t < ``num_frames``."""
        check_past(z_past, self.num_frames, self.event_shape[-1])
        return ExchangeableNormal(
            self.frame.loc,
            self.frame.scale,
            self.num_frames - z_past.shape[-2],
            validate_args=self._validate_args,
        )
