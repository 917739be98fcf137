r"""The law of z where the sequences of a batch have lengths of their own.

.. math:: p(z_{1:T}) = p(z_{1:n}) \prod_{t=n+1}^{T} \delta(z_t)

z_1:n follows the law as it would alone, and after that z is 0: it costs nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from pyro import distributions as dist
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from ..nn import within_lengths
from .base import Shape


class Lengths(TorchDistribution):
    """A law of z_1:T whose event ends at a length of its own in each sequence of the batch.

    :param law: of event shape ``(T, z_dim)``: independent Normals, or one that has ``log_prefix``, see
        :class:`~pyro_dsae.priors.Prior`.
    :param within: ``(*batch, T)``, True up to each length.
    :raises ValueError: if the law has no ``log_prefix``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 (torch's own convention)
    support = constraints.independent(constraints.real, 2)

    def __init__(
        self, law: TorchDistribution, within: Tensor, *, validate_args: bool | None = None
    ) -> None:
        if not (isinstance(law, dist.Independent) or hasattr(law, "log_prefix")):
            raise ValueError(
                f"a mask needs a law of z with log_prefix, as those of pyro_dsae.priors have, "
                f"got {type(law).__name__}"
            )
        shape = torch.broadcast_shapes(law.batch_shape, within.shape[:-1])
        self.law = law if law.batch_shape == shape else law.expand(shape)
        self.within = within
        super().__init__(shape, law.event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Lengths:
        law = self.law.expand(torch.Size(batch_shape))
        return Lengths(law, self.within, validate_args=self._validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.law.has_rsample

    def _ended(self, z: Tensor) -> Tensor:
        return z.masked_fill(~self.within.unsqueeze(-1), 0)

    @property
    def mean(self) -> Tensor:
        return self._ended(self.law.mean)

    @property
    def variance(self) -> Tensor:
        return self._ended(self.law.variance)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self._ended(self.law.rsample(torch.Size(sample_shape)))

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        with torch.no_grad():
            return self._ended(self.law.sample(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z_1:n), of shape ``broadcast(value.shape[:-2], batch_shape)``."""
        if self._validate_args:
            self._validate_sample(value)
        z = self._ended(value)
        if isinstance(self.law, dist.Independent):
            return (self.law.base_dist.log_prob(z).sum(-1) * self.within).sum(-1)
        return self.law.log_prefix(z, self.within)


def up_to_lengths(law: TorchDistribution, mask: Tensor | None) -> TorchDistribution:
    """``law`` up to the last present frame of each sequence, mask ``(N, T)``; None: as it is."""
    return law if mask is None else Lengths(law, within_lengths(mask))
