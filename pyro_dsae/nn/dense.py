"""Dense layers: how weights start, the MLP, the head of a Normal, features side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._numbers import check_whole

SLOPE = 0.2  # of the leaky ReLU


def keep_variance(module: nn.Module) -> None:
    """He et al.'s initialisation, under which signals neither fade nor grow from layer to layer.

    Torch's own default shrinks them at every layer; the decoder then starts blind to its input, and the
    posterior collapses before it has begun to learn.

    >>> network = nn.Sequential(nn.Linear(8, 16), nn.ReLU()).apply(keep_variance)
    >>> network[0].bias.abs().sum().item()
    0.0
    """
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight, SLOPE)
        if isinstance(module, nn.ConvTranspose2d):
            # Each output sums kernel area / stride² terms of each input channel.
            fan_in = module.weight.shape[0] * (module.kernel_size[0] // module.stride[0]) ** 2
            gain = nn.init.calculate_gain("leaky_relu", SLOPE)
            nn.init.normal_(module.weight, 0.0, gain / fan_in**0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def beside(*parts: Tensor) -> Tensor:
    """Features side by side, ``(*batch, features)`` each, their batch axes broadcast against each other.

    >>> beside(torch.rand(5, 1, 8), torch.rand(5, 20, 4)).shape
    torch.Size([5, 20, 12])
    """
    batch = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*batch, part.shape[-1]) for part in parts], dim=-1)


class MLP(nn.Sequential):
    """Dense layers with leaky ReLU between them: ``(*, sizes[0])`` to ``(*, sizes[-1])``.

    >>> MLP(4, 16, 2)(torch.rand(5, 8, 4)).shape
    torch.Size([5, 8, 2])
    """

    def __init__(self, *sizes: int) -> None:
        layers: list[nn.Module] = []
        for i in range(len(sizes) - 1):
            layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.LeakyReLU(SLOPE)]
        super().__init__(*layers[:-1])
        self.apply(keep_variance)


def dense_layers(inputs: int, dense: Sequence[int], outputs: int) -> nn.Module:
    """Through layers of the widths ``dense``: an :class:`MLP`, or one layer alone where there are none."""
    if not isinstance(dense, Sequence):
        raise TypeError(f"dense must be the widths of layers, got {dense!r}")
    for width in dense:
        check_whole(1, dense=width)
    return MLP(inputs, *dense, outputs) if dense else nn.Linear(inputs, outputs)


def whole_precision(parameters: Tensor) -> Tensor:
    """Those of a law: float32 in place of bf16, as log-probabilities of narrow Normals need it."""
    halves = (torch.bfloat16, torch.float16)
    return parameters.float() if parameters.dtype in halves else parameters


class GaussianHead(nn.Module):
    """A dense layer to the mean and the standard deviation of a diagonal Normal.

    :param scale: the standard deviation to start with. A posterior starts narrow, so that its mean is
        heard through its noise from the first step.

    >>> loc, scale = GaussianHead(16, 4)(torch.rand(5, 8, 16))
    >>> loc.shape, bool((scale > 0).all())
    (torch.Size([5, 8, 4]), True)
    """

    def __init__(self, in_features: int, out_features: int, scale: float = 0.1) -> None:
        super().__init__()
        self.dense = nn.Linear(in_features, 2 * out_features)
        nn.init.normal_(self.dense.weight, 0.0, in_features**-0.5)
        nn.init.zeros_(self.dense.bias)
        nn.init.constant_(self.dense.bias[out_features:], math.log(math.expm1(scale)))

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        loc, scale = whole_precision(self.dense(h)).chunk(2, dim=-1)
        return loc, F.softplus(scale) + 1e-4
