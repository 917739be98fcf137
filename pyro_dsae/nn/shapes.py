"""Shapes of frames and of sequences of them, checked."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

FrameShape = tuple[int, ...]


def check_frame_shape(frame_shape: Sequence[int]) -> FrameShape:
    """``(C, H, W)`` or ``(bins,)`` as a tuple; ValueError if it is neither.

    >>> check_frame_shape([3, 64, 64])
    (3, 64, 64)
    """
    sides = (frame_shape,) if isinstance(frame_shape, int) else tuple(frame_shape)
    whole = all(isinstance(side, int) for side in sides)
    shape = tuple(int(side) for side in sides) if whole else sides
    if len(shape) not in (1, 3) or not whole or min(shape) < 1:
        raise ValueError(f"frame_shape must be (channels, height, width) or (bins,), got {shape}")
    return shape


def check_sequences(x: Tensor, frame_shape: FrameShape) -> None:
    """Raise a ValueError unless ``x`` is ``(batch, time, *frame_shape)``.

    >>> check_sequences(torch.rand(8, 64, 64), (3, 64, 64))
    Traceback (most recent call last):
    ValueError: x must be (batch, time, channels, height, width) with frames of (3, 64, 64), got (8, 64, 64)
    """
    if x.dim() != 2 + len(frame_shape) or tuple(x.shape[2:]) != frame_shape:
        axes = "channels, height, width" if len(frame_shape) == 3 else "bins"
        raise ValueError(
            f"x must be (batch, time, {axes}) with frames of {frame_shape}, got {tuple(x.shape)}"
        )
    if 0 in x.shape:
        raise ValueError(f"x must not be empty, got {tuple(x.shape)}")
