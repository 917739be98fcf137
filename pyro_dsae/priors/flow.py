r"""p(f) by a normalising flow: a standard Normal, bent by maps that can be undone.

.. math:: p(f) = \mathcal N(u \mid 0, I) \left|\det \frac{\partial f}{\partial u}\right|^{-1},
          \qquad f = (g_L \circ \dots \circ g_1)(u)
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from pyro import distributions as dist
from pyro.distributions.transforms import Permute, SplineCoupling
from pyro.nn import DenseNN
from torch import Tensor, nn

from .._numbers import check_whole
from .base import ContentPrior

BINS = 8  # of each spline
BOUND = 4.0  # splines reach so far from 0; beyond it f is u
REACH = 2.0  # of what a network says of widths, heights and slopes before they are made positive


class Flow(dist.TransformedDistribution):
    """A Normal under transforms of vectors, whose density is that of the weights and the f of now.

    Pyro's couplings remember their last pair (u, f) by identity: a tensor asked again, after a step of the
    optimiser or a change in place, would have the density of before.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(f), of shape ``broadcast(value.shape[:-1], batch_shape)``, in full precision."""
        if self._validate_args:
            self._validate_sample(value)
        with torch.autocast(value.device.type, enabled=False):
            f, volume = value.view_as(value), 0.0  # another object, which no transform remembers
            for transform in reversed(self.transforms):
                # As transform.inv(f), which ties transform and inverse into a cycle and keeps the graph.
                u = transform._inv_call(f)
                volume = volume + transform.log_abs_det_jacobian(u, f)
                f = u
            return self.base_dist.log_prob(f) - volume


class _Bends(DenseNN):
    """What a coupling's splines are, from one half of f: never so steep or flat that single precision cannot
    undo them. Without limits the inverse is NaN where a bin is some thousand times as wide as high."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return tuple(REACH * torch.tanh(part / REACH) for part in super().forward(x))


def _coupling(f_dim: int, hidden: int) -> SplineCoupling:
    """A map that bends the upper half of f by what the lower half says, at first hardly at all."""
    lower = f_dim // 2
    upper = f_dim - lower
    sizes = [upper * BINS, upper * BINS, upper * (BINS - 1), upper * BINS]
    network = _Bends(lower, [hidden, hidden], sizes)
    last: Any = network.layers[-1]
    nn.init.normal_(last.weight, 0.0, 1e-3)
    nn.init.zeros_(last.bias)
    # Bins as high as wide, and slopes of 1 by a softplus above Pyro's least, 0.001: the identity.
    slope = REACH * math.atanh(math.log(math.expm1(1 - 1e-3)) / REACH)
    nn.init.constant_(last.bias[network.param_slices[2]], slope)
    coupling = SplineCoupling(f_dim, lower, network, BINS, BOUND, identity=True)
    del coupling.lower_spline  # which identity leaves unused, and its weights without gradients
    return coupling


class FlowContent(ContentPrior):
    """Spline couplings (Durkan et al., NeurIPS 2019; Dolatabadi et al., AISTATS 2020) on a standard Normal.

    Density and draws are one pass each. Of each two couplings the second bends what the first leaves as it
    is; then f is shuffled, so that the halves are not the same throughout.

    :param f_dim: size of f, at least 2.
    :param layers: couplings; with less than 2, half of f keeps its Normal.
    :param hidden: units of the two hidden layers of each coupling's network.

    >>> law = FlowContent(8, layers=2, hidden=16)()
    >>> law.log_prob(law.sample((5,))).shape
    torch.Size([5])
    """

    def __init__(self, f_dim: int, *, layers: int = 8, hidden: int = 64) -> None:
        super().__init__()
        check_whole(2, f_dim=f_dim)
        check_whole(1, layers=layers, hidden=hidden)
        self.f_dim = f_dim
        self.couplings = nn.ModuleList(_coupling(f_dim, hidden) for _ in range(layers))
        turned = torch.arange(f_dim).flip(0)
        orders = [turned if i % 2 == 0 else torch.randperm(f_dim) for i in range(layers)]
        self.register_buffer("orders", torch.stack(orders))
        self.orders: Tensor

    def forward(self) -> Flow:
        zero = next(self.parameters()).new_zeros(self.f_dim)
        # Copies share the weights, and take what transforms remember away with them.
        transforms = []
        for coupling, order in zip(self.couplings, self.orders, strict=True):
            transforms += [copy.copy(coupling), Permute(order)]
        return Flow(dist.Normal(zero, torch.ones_like(zero)).to_event(1), transforms)
