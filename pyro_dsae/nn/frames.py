"""The default encoder and decoder of a frame, and how a network goes over many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .._numbers import check_whole
from .convolutions import Channels, ConvDecoder, ConvEncoder, ModulatedDecoder, widths_of
from .dense import MLP, SLOPE, dense_layers
from .shapes import FrameShape, check_frame_shape


def frame_encoder(
    frame_shape: FrameShape, features: int, channels: Channels = 32, patch: int = 1
) -> nn.Module:
    """The default encoder: convolutional for ``(C, H, W)``, over patches or not, an MLP for ``(bins,)``.

    >>> frame_encoder((200,), 16)(torch.rand(5, 20, 200)).shape
    torch.Size([5, 20, 16])
    """
    shape = check_frame_shape(frame_shape)
    if len(shape) == 3:
        return ConvEncoder(shape, features, channels, patch)
    _whole_frames(patch)
    return nn.Sequential(MLP(shape[0], features, features), nn.LeakyReLU(SLOPE))


def frame_decoder(
    f_dim: int,
    z_dim: int,
    frame_shape: FrameShape,
    channels: Channels = 32,
    modulated: bool = False,
    patch: int = 1,
    dense: Sequence[int] = (),
) -> nn.Module:
    """The default decoder: for ``(C, H, W)`` deconvolutional, for ``(bins,)`` an MLP.

    :param modulated: for images, :class:`ModulatedDecoder` in place of :class:`ConvDecoder`.
    :param dense: widths of dense layers, if any, before the deconvolutions, or of further ones in the MLP.

    >>> frame_decoder(8, 4, (200,))(torch.rand(5, 20, 12)).shape
    torch.Size([5, 20, 200])
    """
    shape = check_frame_shape(frame_shape)
    if len(shape) == 1:
        _whole_frames(patch)
        if modulated:
            raise ValueError("modulated decoders are of images, (C, H, W), got frames (bins,)")
        width = widths_of(channels)[-1]
        return dense_layers(f_dim + z_dim, (*dense, width, width), shape[0])
    if modulated:
        return ModulatedDecoder(f_dim, z_dim, shape, channels, patch, dense)
    return ConvDecoder(f_dim + z_dim, shape, channels, patch, dense)


def _whole_frames(patch: int) -> None:
    """ValueError if frames that are no images are to be cut into patches."""
    if patch != 1:
        raise ValueError(f"patch must be 1 for frames (bins,), got {patch}")


def over_frames(
    network: nn.Module, inputs: Tensor, event_dim: int, frames_at_once: int | None = None
) -> Tensor:
    """``network`` over ``(*batch, *event)``, in chunks of at most ``frames_at_once`` of the batch.

    The backward pass computes a chunk's activations again in place of keeping them: those of one chunk at a
    time are in memory, for about a third more work. The network must treat every frame alone.

    :raises ValueError: if ``frames_at_once`` is less than 1.

    >>> over_frames(nn.Linear(4, 2), torch.rand(5, 8, 4), 1, frames_at_once=3).shape
    torch.Size([5, 8, 2])
    """
    check_whole(1, frames_at_once=frames_at_once)
    batch = inputs.shape[:-event_dim]
    if frames_at_once is None or batch.numel() <= frames_at_once:
        return network(inputs)
    grad = torch.is_grad_enabled()
    run: Callable = partial(checkpoint, network, use_reentrant=False) if grad else network
    chunks = inputs.flatten(0, len(batch) - 1).split(frames_at_once)
    return torch.cat([run(chunk) for chunk in chunks]).unflatten(0, batch)
