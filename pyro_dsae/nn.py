"""Networks: frame encoders and decoders, the LSTM transition, Gaussian heads.

Every encoder maps ``(*batch, *frame)`` to ``(*batch, features)`` and every decoder maps back, for any
number of batch axes. A network of your own only has to do the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

FrameShape = tuple[int, ...]
Channels = int | Sequence[int]
_KERNEL, _STRIDE, _LEVELS = 4, 2, 4
_SLOPE = 0.2  # of the leaky ReLU


def keep_variance(module: nn.Module) -> None:
    """He et al.'s initialisation, under which signals neither fade nor grow from layer to layer.

    Torch's own default shrinks them at every layer; the decoder then starts blind to its input, and the
    posterior collapses before it has begun to learn.
    """
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight, _SLOPE)
        if isinstance(module, nn.ConvTranspose2d):
            # Each output sums kernel area / stride^2 terms of each input channel.
            fan_in = module.weight.shape[0] * (_KERNEL // _STRIDE) ** 2
            gain = nn.init.calculate_gain("leaky_relu", _SLOPE)
            nn.init.normal_(module.weight, 0.0, gain / fan_in**0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def check_frame_shape(frame_shape: Sequence[int]) -> FrameShape:
    """``(C, H, W)`` or ``(bins,)`` as a tuple; ValueError if it is neither."""
    shape = tuple(int(side) for side in frame_shape)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise ValueError(f"frame_shape must be (channels, height, width) or (bins,), got {shape}")
    return shape


def _halved(height: int, width: int) -> tuple[int, int]:
    """The sides after all convolutions."""
    if height % 2**_LEVELS or width % 2**_LEVELS:
        raise ValueError(f"height and width must be multiples of 16, got {height} x {width}")
    return height // 2**_LEVELS, width // 2**_LEVELS


def check_sequences(x: Tensor, frame_shape: FrameShape) -> None:
    """Raise a ValueError unless ``x`` is ``(batch, time, *frame_shape)``."""
    if x.dim() != 2 + len(frame_shape) or tuple(x.shape[2:]) != frame_shape:
        axes = "channels, height, width" if len(frame_shape) == 3 else "bins"
        raise ValueError(
            f"x must be (batch, time, {axes}) with frames of {frame_shape}, got {tuple(x.shape)}"
        )


def _widths(channels: Channels) -> list[int]:
    """Of the four levels, from the frame inwards: doubling from a number, or as they are given."""
    if isinstance(channels, int):
        return [channels * 2**i for i in range(_LEVELS)]
    if len(channels) != _LEVELS:
        raise ValueError(f"channels must be a number or {_LEVELS} of them, got {channels}")
    return [*channels]


class ConvMaps(nn.Module):
    """Four convolutions of stride 2: ``(*, C, H, W)`` to feature maps ``(*, width, H/16, W/16)``.

    :param channels: width of the first convolution, doubled at each of the others; or all four.
    """

    def __init__(self, frame_shape: FrameShape, channels: Channels = 32) -> None:
        super().__init__()
        in_channels, *sides = check_frame_shape(frame_shape)
        widths = _widths(channels)
        self.shape = (widths[-1], *_halved(*sides))
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            before = widths[i - 1] if i else in_channels
            layers += [
                nn.Conv2d(before, width, _KERNEL, _STRIDE, padding=1),
                nn.LeakyReLU(_SLOPE, inplace=True),
            ]
        self.conv = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.apply(keep_variance)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.reshape(-1, *x.shape[-3:]).contiguous(memory_format=torch.channels_last)
        return self.conv(frames).reshape(*x.shape[:-3], *self.shape)


class ConvEncoder(nn.Module):
    """:class:`ConvMaps`, then one dense layer: ``(*, C, H, W)`` to ``(*, features)``."""

    def __init__(self, frame_shape: FrameShape, features: int, channels: Channels = 32) -> None:
        super().__init__()
        self.maps = ConvMaps(frame_shape, channels)
        self.dense = nn.Linear(math.prod(self.maps.shape), features)
        keep_variance(self.dense)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.dense(self.maps(x).flatten(-3)), _SLOPE)


class PooledEncoder(nn.Module):
    """What is in a frame, wherever it stands: ``(*, C, H, W)`` to ``(*, features)``.

    Convolutions of stride 2 down to maps of about 8 x 8, two more of stride 1, and of each map its highest
    value: moving what is seen leaves the features nearly the same. A content encoder for things that
    move about.
    """

    def __init__(self, frame_shape: FrameShape, features: int, channels: Channels = 32) -> None:
        super().__init__()
        in_channels, *sides = check_frame_shape(frame_shape)
        if not sides:
            raise ValueError(f"frame_shape must be (channels, height, width), got {frame_shape}")
        halvings = max(1, round(math.log2(min(sides) / 8)))
        widths = _widths(channels)
        widths = [*[widths[0]] * (halvings - 2), *widths]
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            before = widths[i - 1] if i else in_channels
            kernel, stride = (_KERNEL, _STRIDE) if i < halvings else (3, 1)
            layers += [
                nn.Conv2d(before, width, kernel, stride, padding=1),
                nn.LeakyReLU(_SLOPE, inplace=True),
            ]
        self.conv = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.dense = nn.Linear(widths[-1], features)
        self.apply(keep_variance)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.reshape(-1, *x.shape[-3:]).contiguous(memory_format=torch.channels_last)
        pooled = self.conv(frames).amax((-2, -1)).reshape(*x.shape[:-3], -1)
        return F.leaky_relu(self.dense(pooled), _SLOPE)


class ConvDecoder(nn.Module):
    """The mirror of :class:`ConvEncoder`: ``(*, latent_dim)`` to ``(*, C, H, W)``."""

    def __init__(self, latent_dim: int, frame_shape: FrameShape, channels: Channels = 32) -> None:
        super().__init__()
        self.frame_shape = check_frame_shape(frame_shape)
        out_channels, height, width = self.frame_shape
        widths = [*reversed(_widths(channels)), out_channels]
        self.base = (widths[0], *_halved(height, width))
        self.dense = nn.Linear(latent_dim, math.prod(self.base))
        layers: list[nn.Module] = []
        for i in range(_LEVELS):
            layers += [
                nn.LeakyReLU(_SLOPE, inplace=True),
                nn.ConvTranspose2d(widths[i], widths[i + 1], _KERNEL, _STRIDE, padding=1),
            ]
        self.deconv = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.apply(keep_variance)

    def forward(self, latent: Tensor) -> Tensor:
        base = self.dense(latent.reshape(-1, latent.shape[-1])).reshape(-1, *self.base)
        frames = self.deconv(base.contiguous(memory_format=torch.channels_last))
        return frames.reshape(*latent.shape[:-1], *self.frame_shape).contiguous()


class ModulatedDecoder(nn.Module):
    r"""Deconvolutions over z_t whose channels f scales and shifts: ``(*, f_dim + z_dim)`` to frames.

    .. math:: h_i = \operatorname{LeakyReLU}\big((1 + \gamma_i(f)) \odot \operatorname{deconv}_i(h_{i-1})
              + \beta_i(f)\big)

    Feature-wise modulation (Perez et al., FiLM, AAAI 2018): z_t lays the frame out and f, the same at every
    place, paints it. The input is f and z_t concatenated, as for every decoder.
    """

    def __init__(
        self,
        f_dim: int,
        z_dim: int,
        frame_shape: FrameShape,
        channels: Channels = 32,
    ) -> None:
        super().__init__()
        self.frame_shape = check_frame_shape(frame_shape)
        out_channels, height, width = self.frame_shape
        widths = [*reversed(_widths(channels))]
        self.widths, self.split = widths, (f_dim, z_dim)
        self.base = (widths[0], *_halved(height, width))
        self.dense = nn.Linear(z_dim, math.prod(self.base))
        self.deconv = nn.ModuleList(
            nn.ConvTranspose2d(a, b, _KERNEL, _STRIDE, padding=1)
            for a, b in zip(widths, [*widths[1:], out_channels], strict=True)
        ).to(memory_format=torch.channels_last)
        self.modulation = nn.Linear(f_dim, 2 * sum(widths))
        self.apply(keep_variance)

    def forward(self, latent: Tensor) -> Tensor:
        f, z = latent.reshape(-1, latent.shape[-1]).split(self.split, dim=-1)
        h = self.dense(z).reshape(-1, *self.base).contiguous(memory_format=torch.channels_last)
        modulation = 0.5 * self.modulation(f)[..., None, None]
        for layer, width in zip(self.deconv, self.widths, strict=True):
            gain, shift, modulation = modulation.tensor_split((width, 2 * width), dim=1)
            h = layer(F.leaky_relu(h * (1 + gain) + shift, _SLOPE, inplace=True))
        return h.reshape(*latent.shape[:-1], *self.frame_shape).contiguous()


class MLP(nn.Sequential):
    """Dense layers with leaky ReLU between them: ``(*, sizes[0])`` to ``(*, sizes[-1])``."""

    def __init__(self, *sizes: int) -> None:
        layers: list[nn.Module] = []
        for i in range(len(sizes) - 1):
            layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.LeakyReLU(_SLOPE)]
        super().__init__(*layers[:-1])
        self.apply(keep_variance)


def frame_encoder(frame_shape: FrameShape, features: int, channels: Channels = 32) -> nn.Module:
    """The default encoder: convolutional for ``(C, H, W)``, an MLP for ``(bins,)``."""
    shape = check_frame_shape(frame_shape)
    if len(shape) == 3:
        return ConvEncoder(shape, features, channels)
    return nn.Sequential(MLP(shape[0], features, features), nn.LeakyReLU(_SLOPE))


def frame_decoder(
    f_dim: int,
    z_dim: int,
    frame_shape: FrameShape,
    channels: Channels = 32,
    modulated: bool = False,
) -> nn.Module:
    """The default decoder: for ``(C, H, W)`` deconvolutional, for ``(bins,)`` an MLP.

    :param modulated: for images, :class:`ModulatedDecoder` in place of :class:`ConvDecoder`.
    """
    shape = check_frame_shape(frame_shape)
    if len(shape) == 1:
        width = _widths(channels)[-1]
        return MLP(f_dim + z_dim, width, width, shape[0])
    if modulated:
        return ModulatedDecoder(f_dim, z_dim, shape, channels)
    return ConvDecoder(f_dim + z_dim, shape, channels)


def over_frames(
    network: nn.Module, inputs: Tensor, event_dim: int, frames_at_once: int | None = None
) -> Tensor:
    """``network`` over ``(*batch, *event)``, in chunks of at most ``frames_at_once`` of the batch.

    The backward pass computes a chunk's activations again in place of keeping them: those of one chunk at a
    time are in memory, for about a third more work. The network must treat every frame alone.

    :raises ValueError: if ``frames_at_once`` is less than 1.
    """
    if frames_at_once is not None and frames_at_once < 1:
        raise ValueError(f"frames_at_once must be at least 1, or None, got {frames_at_once}")
    batch = inputs.shape[:-event_dim]
    if frames_at_once is None or batch.numel() <= frames_at_once:
        return network(inputs)
    grad = torch.is_grad_enabled()
    run: Callable = partial(checkpoint, network, use_reentrant=False) if grad else network
    chunks = inputs.flatten(0, len(batch) - 1).split(frames_at_once)
    return torch.cat([run(chunk) for chunk in chunks]).unflatten(0, batch)


class GaussianHead(nn.Module):
    """A dense layer to the mean and the standard deviation of a diagonal Normal.

    :param scale: the standard deviation to start with. A posterior starts narrow, so that its mean is
        heard through its noise from the first step.
    """

    def __init__(self, in_features: int, out_features: int, scale: float = 0.1) -> None:
        super().__init__()
        self.dense = nn.Linear(in_features, 2 * out_features)
        nn.init.normal_(self.dense.weight, 0.0, in_features**-0.5)
        nn.init.zeros_(self.dense.bias)
        nn.init.constant_(self.dense.bias[out_features:], math.log(math.expm1(scale)))

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        parameters = self.dense(h)
        if parameters.dtype in (torch.bfloat16, torch.float16):
            parameters = parameters.float()  # log-probabilities of narrow Normals need it
        loc, scale = parameters.chunk(2, dim=-1)
        return loc, F.softplus(scale) + 1e-4


class LSTMTransition(nn.Module):
    """p(z_t | z_<t) by an LSTM: ``(batch, time, z_dim)`` to the mean and scale of each next step.

    One dense layer before the LSTM and one after it, past which the embedded input also goes directly:
    the prior learns its clusters and their cycles sooner than with the bare LSTM.

    :param residual: the mean is a step from z_t-1, for dynamics that move on a little at a time.
    """

    def __init__(self, z_dim: int, hidden: int = 256, *, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.embed = nn.Sequential(MLP(z_dim, hidden), nn.LeakyReLU(_SLOPE))
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.head = nn.Sequential(
            MLP(2 * hidden, hidden), nn.LeakyReLU(_SLOPE), GaussianHead(hidden, z_dim, scale=1.0)
        )

    def forward(self, z: Tensor, state: Any = None) -> tuple[Tensor, Tensor, Any]:
        e = self.embed(z)
        h, state = self._step(e, state) if z.shape[1] == 1 else self.lstm(e, state)
        loc, scale = self.head(torch.cat([e, h], dim=-1))
        return z + loc if self.residual else loc, scale, state

    def _step(self, e: Tensor, state: Any) -> tuple[Tensor, Any]:
        """What the LSTM gives for one step, without its overhead for whole sequences."""
        if state is None:
            zeros = e.new_zeros(1, len(e), self.lstm.hidden_size)
            state = zeros, zeros
        h, c = torch.lstm_cell(e[:, 0], [part[0] for part in state], *self.lstm.all_weights[0])
        return h.unsqueeze(1), (h.unsqueeze(0), c.unsqueeze(0))


class LSTMRollout(nn.Module):
    """A sequence of states from one vector: z ``(N, z_dim)`` and T to h_1:T ``(N, T, hidden)``.

    :param feed: feed z at every step, from a state of zeros; else it only sets the first state.
    """

    def __init__(self, z_dim: int, hidden: int, *, feed: bool) -> None:
        super().__init__()
        self.lstm = nn.LSTM(z_dim if feed else 1, hidden, batch_first=True)
        self.start = None if feed else nn.Linear(z_dim, 2 * hidden)

    def forward(self, z: Tensor, num_frames: int) -> Tensor:
        if self.start is None:
            return self.lstm(z.unsqueeze(1).expand(-1, num_frames, -1))[0]
        h, c = (part.contiguous() for part in self.start(z).unsqueeze(0).chunk(2, dim=-1))
        return self.lstm(z.new_ones(len(z), num_frames, 1), (h.tanh(), c))[0]


class SequenceSummary(nn.Module):
    """A sequence in one vector: ``(N, T, in)`` to ``(N, 2 hidden + in)``.

    A bidirectional LSTM's last forward and first backward state, as in Li & Mandt, and beside them the mean
    of the frames' features: a short way for what all frames share, without which f wakes late.
    """

    def __init__(self, in_features: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(in_features, hidden, batch_first=True, bidirectional=True)
        self.features = 2 * hidden + in_features

    def forward(self, h: Tensor) -> Tensor:
        _, (last, _) = self.lstm(h)
        return torch.cat([last[0], last[1], h.mean(dim=1)], dim=-1)


class PairSummary(nn.Module):
    r"""A set of frames in one vector, from what its pairs share: ``(N, T, *shape)`` to ``(N, hidden)``.

    .. math:: g = \frac{1}{T (T - 1)} \sum_{i \ne j} \operatorname{ReLU}(W * [h_i; h_j] + b)

    then a convolution and a dense layer (Helminger et al., AABI 2018, appendix). All ordered pairs of two
    different frames count the same, so the order of the frames does not matter; one frame alone is
    paired with itself. The convolution over a concatenated pair is a sum, :math:`W_1 * h_i + W_2 * h_j`,
    so that only T frames are convolved: what grows with the square of T is an addition and a ReLU.

    :param shape: of a frame's features, ``(channels, height, width)`` or ``(features,)``.
    :param hidden: channels of the convolutions and units of the dense layer.
    :param pairs_at_once: where there are more, pairs are taken in chunks of about as many, which the backward
        pass computes again in place of keeping them.
    """

    def __init__(self, shape: Sequence[int], hidden: int, *, pairs_at_once: int = 256) -> None:
        super().__init__()
        channels, height, width = shape if len(shape) == 3 else (shape[0], 1, 1)
        kernel = 3 if len(shape) == 3 else 1
        self.pairs_at_once, self.features = pairs_at_once, hidden
        self.halves = nn.Conv2d(channels, 2 * hidden, kernel, padding="same")  # W_1 over W_2
        self.conv = nn.Conv2d(hidden, hidden, kernel, padding="same")
        self.dense = nn.Linear(hidden * height * width, hidden)
        self.apply(keep_variance)
        with torch.no_grad():
            self.halves.weight.div_(2**0.5)  # two of them are added

    def forward(self, h: Tensor) -> Tensor:
        n, steps = h.shape[:2]
        maps = h if h.dim() == 5 else h[..., None, None]
        halves = self.halves(maps.flatten(0, 1)).unflatten(0, (n, steps))
        first, second = halves.chunk(2, dim=2)
        itself = F.relu(first + second).sum(1, dtype=torch.float32)
        if steps == 1:
            g = itself
        else:
            rows = first.split(max(1, self.pairs_at_once // steps), dim=1)
            parts = [
                checkpoint(_sum_of_pairs, row, second, use_reentrant=False)
                if len(rows) > 1
                else _sum_of_pairs(row, second)
                for row in rows
            ]
            g = (torch.stack(parts).sum(0) - itself) / (steps * (steps - 1))
        g = F.relu(self.conv(g.to(h.dtype)))
        return F.relu(self.dense(g.flatten(1)))


def _sum_of_pairs(first: Tensor, second: Tensor) -> Tensor:
    """Sum over i, j of ReLU(first_i + second_j): ``(N, A, ...)`` and ``(N, B, ...)`` to ``(N, ...)``."""
    return F.relu(first.unsqueeze(2) + second.unsqueeze(1)).sum((1, 2), dtype=torch.float32)
