"""Convolutional encoders and decoders of frames ``(C, H, W)``, of any sides from 8 on.

Sides that the convolutions cannot halve get a border of black, which the decoders cut off again. With a
``patch`` of p, squares of p x p pixels are folded into channels first, unfolded last (``pixel_unshuffle``):
the convolutions then see frames of H/p x W/p, and cost what those cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._numbers import check_whole
from .dense import SLOPE, dense_layers, keep_variance
from .shapes import FrameShape, check_frame_shape

Channels = int | Sequence[int]
_KERNEL, _STRIDE, _LEVELS = 4, 2, 4
_LEAST = 8  # pixels, of a side


class _Canvas:
    """Frames as convolutions of ``halvings`` can take them: in a border of black, folded by ``patch``.

    :ivar pixels: of the border, ``(left, right, top, bottom)``: none where patch 2^halvings divides sides.
    :ivar halved: sides after the halvings.
    """

    def __init__(self, height: int, width: int, patch: int, halvings: int = _LEVELS) -> None:
        check_whole(1, patch=patch)
        if min(height, width) < _LEAST:
            raise ValueError(f"height and width must be at least {_LEAST}, got {height} x {width}")
        self.height, self.width, self.patch = height, width, patch
        unit = patch << halvings
        self.halved = -(-height // unit), -(-width // unit)
        rows, columns = (side * unit for side in self.halved)
        left, top = (columns - width) // 2, (rows - height) // 2
        self.pixels = (left, columns - width - left, top, rows - height - top)

    def put(self, frames: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C patch^2, rows, columns)``."""
        frames = F.pad(frames, self.pixels) if any(self.pixels) else frames
        frames = F.pixel_unshuffle(frames, self.patch) if self.patch > 1 else frames
        return frames.contiguous(memory_format=torch.channels_last)

    def cut(self, frames: Tensor) -> Tensor:
        """And back."""
        frames = F.pixel_shuffle(frames, self.patch) if self.patch > 1 else frames
        if not any(self.pixels):
            return frames
        left, _, top, _ = self.pixels
        return frames[..., top : top + self.height, left : left + self.width]


def _of_images(frame_shape: FrameShape) -> FrameShape:
    """The shape, or ValueError if it is of frames that are no images."""
    shape = check_frame_shape(frame_shape)
    if len(shape) == 1:
        raise ValueError(f"frame_shape must be (channels, height, width), got {frame_shape}")
    return shape


def widths_of(channels: Channels) -> list[int]:
    """Of the four levels, from the frame inwards: doubling from a number, or as they are given."""
    for width in [channels] if isinstance(channels, int) else channels:
        check_whole(1, channels=width)
    if isinstance(channels, int):
        return [channels * 2**i for i in range(_LEVELS)]
    if len(channels) != _LEVELS:
        raise ValueError(f"channels must be a number or {_LEVELS} of them, got {channels}")
    return [*channels]


class ConvMaps(nn.Module):
    """Four convolutions of stride 2: ``(*, C, H, W)`` to feature maps ``(*, width, H/16, W/16)``,
    sides rounded up.

    :param channels: width of the first convolution, doubled at each of the others; or all four.

    >>> ConvMaps((3, 32, 32), channels=4)(torch.rand(5, 8, 3, 32, 32)).shape
    torch.Size([5, 8, 32, 2, 2])
    """

    def __init__(self, frame_shape: FrameShape, channels: Channels = 32, patch: int = 1) -> None:
        super().__init__()
        in_channels, *sides = _of_images(frame_shape)
        widths = widths_of(channels)
        self.canvas = _Canvas(sides[0], sides[1], patch)
        self.shape = (widths[-1], *self.canvas.halved)
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            before = widths[i - 1] if i else in_channels * patch**2
            layers += [
                nn.Conv2d(before, width, _KERNEL, _STRIDE, padding=1),
                nn.LeakyReLU(SLOPE, inplace=True),
            ]
        self.conv = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.apply(keep_variance)

    def forward(self, x: Tensor) -> Tensor:
        frames = self.canvas.put(x.reshape(-1, *x.shape[-3:]))
        return self.conv(frames).reshape(*x.shape[:-3], *self.shape)


class ConvEncoder(nn.Module):
    """:class:`ConvMaps`, then one dense layer: ``(*, C, H, W)`` to ``(*, features)``.

    >>> ConvEncoder((3, 20, 28), 16, channels=4)(torch.rand(5, 8, 3, 20, 28)).shape
    torch.Size([5, 8, 16])
    """

    def __init__(
        self, frame_shape: FrameShape, features: int, channels: Channels = 32, patch: int = 1
    ) -> None:
        super().__init__()
        self.maps = ConvMaps(frame_shape, channels, patch)
        self.dense = nn.Linear(math.prod(self.maps.shape), features)
        keep_variance(self.dense)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.dense(self.maps(x).flatten(-3)), SLOPE)


class SortedEncoder(ConvEncoder):
    """What stands at which height, wherever in its row: ``(*, C, H, W)`` to ``(*, features)``.

    :class:`ConvEncoder` over frames whose rows have their pixels in order of brightness, the brightest first.
    All colours are left, row by row, and how much there is of each; where a thing stands in its rows is not.
    A content encoder for things that stay upright: it has not to learn one content in every place. Colours as
    bright as each other keep the order in which they stand.

    >>> encoder, x = SortedEncoder((3, 32, 32), 16, channels=4), torch.rand(5, 3, 32, 32)
    >>> torch.allclose(encoder(x), encoder(x.flip(-1)), atol=1e-5)
    True
    """

    def forward(self, x: Tensor) -> Tensor:
        order = x.mean(-3, keepdim=True).argsort(stable=True, dim=-1, descending=True)
        return super().forward(x.take_along_dim(order, -1))


class PooledEncoder(nn.Module):
    """What is in a frame, wherever it stands: ``(*, C, H, W)`` to ``(*, features)``.

    Convolutions of stride 2 down to maps of about 8 x 8, two more of stride 1, and of each map its highest
    value: moving what is seen leaves the features nearly the same. A content encoder for things that
    move about.

    >>> PooledEncoder((1, 32, 32), 16, channels=4)(torch.rand(5, 1, 32, 32)).shape
    torch.Size([5, 16])
    """

    def __init__(
        self, frame_shape: FrameShape, features: int, channels: Channels = 32, patch: int = 1
    ) -> None:
        super().__init__()
        in_channels, *sides = _of_images(frame_shape)
        halvings = max(1, round(math.log2(min(sides) / patch / 8)))
        self.canvas = _Canvas(sides[0], sides[1], patch, halvings)
        widths = widths_of(channels)
        widths = [*[widths[0]] * (halvings - 2), *widths]
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            before = widths[i - 1] if i else in_channels * patch**2
            kernel, stride = (_KERNEL, _STRIDE) if i < halvings else (3, 1)
            layers += [
                nn.Conv2d(before, width, kernel, stride, padding=1),
                nn.LeakyReLU(SLOPE, inplace=True),
            ]
        self.conv = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.dense = nn.Linear(widths[-1], features)
        self.apply(keep_variance)

    def forward(self, x: Tensor) -> Tensor:
        frames = self.canvas.put(x.reshape(-1, *x.shape[-3:]))
        pooled = self.conv(frames).amax((-2, -1)).reshape(*x.shape[:-3], -1)
        return F.leaky_relu(self.dense(pooled), SLOPE)


class ConvDecoder(nn.Module):
    """The mirror of :class:`ConvEncoder`: ``(*, latent_dim)`` to ``(*, C, H, W)``.

    :param dense: widths of dense layers, if any, that the latents go through first.

    >>> ConvDecoder(12, (3, 32, 32), channels=4)(torch.rand(5, 8, 12)).shape
    torch.Size([5, 8, 3, 32, 32])
    """

    def __init__(
        self,
        latent_dim: int,
        frame_shape: FrameShape,
        channels: Channels = 32,
        patch: int = 1,
        dense: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.frame_shape = _of_images(frame_shape)
        out_channels, height, width = self.frame_shape
        widths = [*reversed(widths_of(channels)), out_channels * patch**2]
        self.canvas = _Canvas(height, width, patch)
        self.base = (widths[0], *self.canvas.halved)
        self.dense = dense_layers(latent_dim, dense, math.prod(self.base))
        layers: list[nn.Module] = []
        for i in range(_LEVELS):
            layers += [
                nn.LeakyReLU(SLOPE, inplace=True),
                nn.ConvTranspose2d(widths[i], widths[i + 1], _KERNEL, _STRIDE, padding=1),
            ]
        self.deconv = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.apply(keep_variance)

    def forward(self, latent: Tensor) -> Tensor:
        base = self.dense(latent.reshape(-1, latent.shape[-1])).reshape(-1, *self.base)
        frames = self.canvas.cut(self.deconv(base.contiguous(memory_format=torch.channels_last)))
        return frames.reshape(*latent.shape[:-1], *self.frame_shape).contiguous()


class ModulatedDecoder(nn.Module):
    r"""Deconvolutions over z_t whose channels f scales and shifts: ``(*, f_dim + z_dim)`` to frames.

    .. math:: h_i = \operatorname{LeakyReLU}\big((1 + \gamma_i(f)) \odot \operatorname{deconv}_i(h_{i-1})
              + \beta_i(f)\big)

    Feature-wise modulation (Perez et al., FiLM, AAAI 2018): z_t lays the frame out and f, the same at every
    place, paints it. The input is f and z_t concatenated, as for every decoder.

    :param dense: widths of dense layers, if any, that z_t goes through first: poses are more than a linear
        map of a small z_t can lay out. f does not enter them.

    >>> ModulatedDecoder(8, 4, (3, 32, 32), channels=4)(torch.rand(5, 8, 12)).shape
    torch.Size([5, 8, 3, 32, 32])
    """

    def __init__(
        self,
        f_dim: int,
        z_dim: int,
        frame_shape: FrameShape,
        channels: Channels = 32,
        patch: int = 1,
        dense: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.frame_shape = _of_images(frame_shape)
        out_channels, height, width = self.frame_shape
        widths = [*reversed(widths_of(channels))]
        self.widths, self.split = widths, (f_dim, z_dim)
        self.canvas = _Canvas(height, width, patch)
        self.base = (widths[0], *self.canvas.halved)
        self.dense = dense_layers(z_dim, dense, math.prod(self.base))
        self.deconv = nn.ModuleList(
            nn.ConvTranspose2d(a, b, _KERNEL, _STRIDE, padding=1)
            for a, b in zip(widths, [*widths[1:], out_channels * patch**2], strict=True)
        ).to(memory_format=torch.channels_last)
        self.modulation = nn.Linear(f_dim, 2 * sum(widths))
        self.apply(keep_variance)

    def forward(self, latent: Tensor) -> Tensor:
        f, z = latent.reshape(-1, latent.shape[-1]).split(self.split, dim=-1)
        h = self.dense(z).reshape(-1, *self.base).contiguous(memory_format=torch.channels_last)
        modulation = 0.5 * self.modulation(f)[..., None, None]
        for layer, width in zip(self.deconv, self.widths, strict=True):
            gain, shift, modulation = modulation.tensor_split((width, 2 * width), dim=1)
            h = layer(F.leaky_relu(h * (1 + gain) + shift, SLOPE, inplace=True))
        return self.canvas.cut(h).reshape(*latent.shape[:-1], *self.frame_shape).contiguous()
