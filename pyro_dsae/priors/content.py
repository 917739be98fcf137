"""Laws of the content f: each a module whose call gives one distribution over ``(f_dim,)``."""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro import distributions as dist
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn import functional as F

from .._numbers import check_whole
from .base import ContentPrior, Shape


class NormalContent(ContentPrior):
    """The prior of both papers: a standard Normal.

    >>> NormalContent(8)().sample((5,)).shape
    torch.Size([5, 8])
    """

    def __init__(self, f_dim: int) -> None:
        super().__init__()
        self.f_dim = f_dim
        self.register_buffer("scale", torch.ones(f_dim), persistent=False)
        self.scale: Tensor

    def forward(self) -> dist.TorchDistribution:
        return dist.Normal(torch.zeros_like(self.scale), self.scale).to_event(1)


class NormalMixture(dist.TorchDistribution):
    r"""p(f) = \sum_k \pi_k N(f | loc_k, scale_k^2), the same K diagonal Normals for the whole batch.

    Torch's MixtureSameFamily, without its tensors of ``(batch, K, dim)``: squares are expanded into one
    product of matrices, in float64 since they cancel, and a draw is one of the component chosen.

    :param logits: ``(K,)``, log weights up to a constant.
    :param loc: ``(K, dim)``, and so is ``scale``. The event shape is ``(dim,)``.

    >>> law = NormalMixture(torch.zeros(3), torch.randn(3, 8), torch.ones(3, 8))
    >>> law.event_shape
    torch.Size([8])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 (torch's own convention)
    support = constraints.real_vector

    def __init__(
        self,
        logits: Tensor,
        loc: Tensor,
        scale: Tensor,
        *,
        batch_shape: Shape = (),
        validate_args: bool | None = None,
    ) -> None:
        self.logits, self.loc, self.scale = logits, loc, scale
        super().__init__(torch.Size(batch_shape), loc.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> NormalMixture:
        return NormalMixture(
            self.logits,
            self.loc,
            self.scale,
            batch_shape=batch_shape,
            validate_args=self._validate_args,
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(f), of shape ``broadcast(value.shape[:-1], batch_shape)``."""
        if self._validate_args:
            self._validate_sample(value)
        f, logits, loc, scale = (t.double() for t in (value, self.logits, self.loc, self.scale))
        precision = scale**-2
        constant = (scale.log() + loc**2 * precision / 2 + math.log(2 * math.pi) / 2).sum(-1)
        linear = torch.cat([f, f**2], -1) @ torch.cat([loc * precision, -precision / 2], -1).T
        log_prob = (linear - constant + logits.log_softmax(-1)).logsumexp(-1).to(value.dtype)
        return log_prob.expand(torch.broadcast_shapes(log_prob.shape, self.batch_shape))

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        with torch.no_grad():
            shape = torch.Size(sample_shape) + self.batch_shape
            which = dist.Categorical(logits=self.logits).sample(shape)
            return torch.normal(self.loc[which], self.scale[which])


class MixtureContent(ContentPrior):
    """K diagonal Normals, weights, means and scales learned: contents come in kinds.

    The components are free, where those of the VampPrior (Tomczak & Welling, AISTATS 2018) are posteriors
    q(f | u_k) of learned pseudo-inputs. That would make the guide's networks a part of the model, which is
    to fit any guide, and run them on K sequences more at every step.

    :param f_dim: size of f.
    :param components: K.

    >>> law = MixtureContent(8, components=3)()
    >>> law.log_prob(law.sample((5,))).shape
    torch.Size([5])
    """

    start = 0.5
    """The scales to begin with: apart, around means drawn from the Normal that they replace."""
    least = 0.05
    """Below all scales: a component that shrank onto the content of one sequence would have a density
    without bound."""

    def __init__(self, f_dim: int, *, components: int = 256) -> None:
        super().__init__()
        check_whole(1, f_dim=f_dim, components=components)
        self.f_dim = f_dim
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, f_dim))
        raw = math.log(math.expm1(self.start - self.least))
        self.raw_scale = nn.Parameter(torch.full((components, f_dim), raw))

    def forward(self) -> NormalMixture:
        return NormalMixture(self.logits, self.loc, F.softplus(self.raw_scale) + self.least)
