"""What a swap keeps, frame by frame: for data whose colours and directions do not stay.

The protocols of :mod:`~pyro_dsae.metrics.sprites` ask of whole sequences whether the four attributes are
those of the content. Where attributes change over a sequence, they are dynamics, and each frame is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import control
from ..data import Sequences
from ._evaluation import evaluation
from .judge import HEADS, Judge, batch_frames, check_heads

_DIRECTIONS = 3


class LabelledFrames(Protocol):
    """What is read of a data set: all frames, uint8 ``(N, T, C, H, W)``, and the labels of each."""

    frames: Tensor

    @property
    def frame_labels(self) -> Mapping[str, Tensor]:
        """Long ``(N, T)`` of skin, trousers, tops, hair and action."""


def single_frames(dataset: LabelledFrames, num: int | None = None, *, seed: int = 0) -> Sequences:
    """Sequences of one frame, for a judge that sees no more: ``num`` drawn by ``seed``, or all."""
    frames = dataset.frames.flatten(0, 1).unsqueeze(1)
    order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(seed))[:num]
    labels = {name: dataset.frame_labels[name].flatten()[order] for name in HEADS}
    return Sequences(frames[order], labels)


def swap_by_frame(
    model: Callable[..., Tensor],
    guide: Callable,
    judge: Judge,
    dataset: LabelledFrames,
    *,
    num_sequences: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Each sequence's content in the dynamics of another: whose are hair, colours, action of each frame?

    :param judge: of single frames, such as :func:`train_judge` makes of :func:`single_frames`.
    :param num_sequences: so many drawn by ``seed`` (default: all).
    :returns: of ``skin``, ``trousers``, ``tops``, ``hair``, ``action_type`` and ``direction``: the share of
        frames that are as the ``content``'s at that time, and as the ``dynamics``'.
    """
    check_heads(judge, tuple(HEADS))
    n = len(dataset.frames)
    if num_sequences is not None and not 2 <= num_sequences <= n:
        raise ValueError(f"num_sequences must be 2 to {n}, got {num_sequences}")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:num_sequences]
    device = next(judge.parameters()).device
    found: dict[str, list[Tensor]] = {name: [] for name in HEADS}
    with evaluation(seed, device, model, guide, judge):
        for pair in torch.stack([order, order.roll(1)], 1).split(batch_size):
            x = [batch_frames(dataset, index, device) for index in pair.T]  # type: ignore[arg-type]
            swapped = control.swap(model, guide, *x)
            log_p = judge(swapped.flatten(0, 1).unsqueeze(1))
            for name, answers in log_p.items():
                found[name].append(answers.argmax(-1).cpu().unflatten(0, swapped.shape[:2]))
    named: dict[str, Any] = _parts({name: torch.cat(answers) for name, answers in found.items()})
    truth = _parts(dataset.frame_labels)
    return {
        name: {
            "content": float((answers == truth[name][order]).double().mean()),
            "dynamics": float((answers == truth[name][order.roll(1)]).double().mean()),
        }
        for name, answers in named.items()
    }


def _parts(labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The attributes, and the two parts of an action."""
    kept = {name: labels[name] for name in HEADS if name != "action"}
    kind, direction = labels["action"] // _DIRECTIONS, labels["action"] % _DIRECTIONS
    return {**kept, "action_type": kind, "direction": direction}
