"""p(x_t | z_t, f): what a decoder's output means.

A likelihood maps the decoder's output to a distribution over a frame and to its mean.
"""

from __future__ import annotations

import torch
from pyro import distributions as dist
from torch import Tensor, nn
from torch.nn import functional as F

from .nn.dense import whole_precision


class Bernoulli(nn.Module):
    """Bernoulli on intensities in [0, 1]: sharp, but not normalised off {0, 1}.

    >>> law = Bernoulli()(torch.zeros(4, 8, 3, 16, 16))  # a decoder's output: logits
    >>> law.to_event(4).log_prob(torch.rand(4, 8, 3, 16, 16)).shape, float(law.mean[0, 0, 0, 0, 0])
    (torch.Size([4]), 0.5)
    """

    unit_interval = True

    def forward(self, output: Tensor) -> dist.Distribution:
        return Intensities(logits=whole_precision(output), validate_args=False)


class Intensities(dist.Bernoulli):
    """A Bernoulli whose ``to_event`` sums first and negates what is left: one pass over the frames less."""

    def to_event(self, reinterpreted_batch_ndims: int | None = None) -> dist.Independent:
        ndims = reinterpreted_batch_ndims
        return _Frames(self, len(self.batch_shape) if ndims is None else ndims)


class _Frames(dist.Independent):
    def log_prob(self, value: Tensor) -> Tensor:
        logits, value = torch.broadcast_tensors(self.base_dist.logits, value)
        loss = F.binary_cross_entropy_with_logits(logits, value, reduction="none")
        return -loss.sum([*range(-len(self.event_shape), 0)]) if self.event_shape else -loss


class ContinuousBernoulli(nn.Module):
    """The normalised density on [0, 1] (Loaiza-Ganem & Cunningham, NeurIPS 2019).

    >>> law = ContinuousBernoulli()(torch.zeros(2, 3))
    >>> law.log_prob(torch.rand(2, 3)).shape
    torch.Size([2, 3])
    """

    unit_interval = True

    def forward(self, output: Tensor) -> dist.Distribution:
        return dist.ContinuousBernoulli(logits=whole_precision(output), validate_args=False)


class Normal(nn.Module):
    """A Normal around the decoder's output with one scale, learned or fixed.

    >>> Normal(0.5)(torch.zeros(2, 3)).log_prob(torch.rand(2, 3)).shape
    torch.Size([2, 3])
    """

    unit_interval = False

    def __init__(self, scale: float = 1.0, learn_scale: bool = True) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale must be positive, got {scale}")
        at = torch.tensor(float(scale))
        raw = at + (-(-at).expm1()).log()  # softplus's inverse, finite for any scale
        self.raw_scale = nn.Parameter(raw, requires_grad=learn_scale)

    def forward(self, output: Tensor) -> dist.Distribution:
        return dist.Normal(whole_precision(output), F.softplus(self.raw_scale) + 1e-4)


_BY_NAME = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "normal": Normal,
}


def make_likelihood(likelihood: str | nn.Module) -> nn.Module:
    """A likelihood from its name, or the module itself.

    >>> make_likelihood("bernoulli")
    Bernoulli()
    """
    if isinstance(likelihood, nn.Module):
        return likelihood
    if likelihood not in _BY_NAME:
        raise ValueError(f"likelihood must be one of {', '.join(_BY_NAME)}, got {likelihood!r}")
    return _BY_NAME[likelihood]()
