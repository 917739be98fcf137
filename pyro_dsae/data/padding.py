"""Sequences of different lengths in one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .sequences import alike


def pad(sequences: Sequence[Any], masks: Sequence[Any] | None = None) -> tuple[Tensor, Tensor]:
    """Sequences ``(T_n, *frame)`` as x, ``(N, longest, *frame)``, and a mask, ``(N, longest)``, of bools.

    Zeros stand at the end of the shorter ones, and there the mask is False. ``fit`` and ``evaluate_elbo`` do
    so with every batch whose sequences differ in length.

    :param sequences: tensors or arrays, of one type and frames of one shape.
    :param masks: bools ``(T_n,)`` of each, True where a frame is present; by default everywhere.
    :raises ValueError: naming two sequences that differ, or a mask that is not of its sequence.
    """
    return padded(alike(enumerate(sequences), any_length=True), masks)


def padded(
    sequences: Sequence[Tensor], masks: Sequence[Any] | None = None
) -> tuple[Tensor, Tensor]:
    """:func:`pad` of sequences that are known to be alike."""
    if masks is None:
        present = [torch.ones(len(x), dtype=torch.bool) for x in sequences]
    else:
        present = [torch.as_tensor(mask) for mask in masks]
    for x, mask in zip(sequences, present, strict=True):
        if mask.dtype != torch.bool or mask.shape != x.shape[:1]:
            raise ValueError(
                f"mask must be bools ({len(x)},), one for each frame of its sequence, "
                f"got {tuple(mask.shape)} of {mask.dtype}"
            )
    return pad_sequence([*sequences], batch_first=True), pad_sequence(present, batch_first=True)
