"""Characters from a few of their poses: how many frames must f have seen?

f from N random frames of one character, z from frames of another: the frames decoded from both must
show the first, whatever N. A judge of the four attributes says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .. import control
from ._evaluation import evaluation
from .judge import (
    ATTRIBUTES,
    Judge,
    LabelledSequences,
    check_heads,
    check_labelled,
    heads_of,
)
from .scores import accuracy, static_accuracies
from .sprites import derangement


class SheetSequences:
    """Random poses of each sheet, to train a judge on: ``frames`` and ``labels``."""

    def __init__(self, frames: Tensor, labels: dict[str, Tensor]) -> None:
        self.frames, self.labels = frames, labels


def _random_poses(rows: int, poses: int, num: int, generator: torch.Generator) -> Tensor:
    """``num`` of the poses for each row, without replacement: ``(rows, num)``."""
    return torch.rand(rows, poses, generator=generator).argsort(1)[:, :num]


def sheet_sequences(
    sheets: LabelledSequences, num: int = 8, draws: int = 4, seed: int = 0
) -> SheetSequences:
    """``draws`` sequences of ``num`` random poses of every character, with its labels.

    :param sheets: ``frames`` uint8 ``(characters, poses, C, H, W)`` and ``labels``, ``(characters,)``.
    :returns: ``frames`` uint8 ``(characters * draws, num, C, H, W)``, character by character.
    :raises ValueError: if ``num`` is not 1 to the number of poses, or ``draws`` is less than 1.

    >>> sheets = pyro_dsae.data.ProceduralSheets("test", size=16)
    >>> sheet_sequences(sheets, num=8, draws=2).frames.shape
    torch.Size([592, 8, 3, 16, 16])
    """
    check_labelled(sheets, heads_of(sheets.labels))
    characters, poses = sheets.frames.shape[:2]
    if not 1 <= num <= poses:
        raise ValueError(f"num must be 1 to {poses}, the number of poses, got {num}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    generator = torch.Generator().manual_seed(seed)
    who = torch.arange(characters).repeat_interleave(draws)
    which = _random_poses(len(who), poses, num, generator)
    labels = {name: values[who] for name, values in sheets.labels.items()}
    return SheetSequences(sheets.frames[who.unsqueeze(1), which], labels)


def static_accuracy_by_frames(
    model: Callable[..., Tensor],
    guide: Callable,
    judge: Judge,
    sheets: LabelledSequences,
    *,
    counts: Sequence[int] = (1, 2, 4, 8, 16),
    num_targets: int = 8,
    repeats: int = 1,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Accuracy of the attributes, by the number of frames that f has seen.

    Every character lends its f, from so many of its frames, to ``num_targets`` frames of another's z
    (:func:`~pyro_dsae.metrics.derangement`); both are posterior means of random frames. The frames
    for a smaller count are among those for a larger one, and z is the same for all.

    :param sheets: ``frames`` uint8 ``(characters, poses, C, H, W)`` and ``labels``, ``(characters,)``,
        of the four attributes.
    :param batch_size: characters at a time.
    :param repeats: of the draw of frames and partners; accuracies are means.
    :returns: by count, as a string: ``static_accuracy`` and each attribute's, of the judge's verdict
        on all target frames together, and ``single_frames``, the static accuracy of its verdicts on
        each alone.
    :raises ValueError: if a count or ``num_targets`` is not 1 to the number of poses, ``repeats`` is
        less than 1, or the judge or the sheets lack an attribute.
    """
    check_labelled(sheets, ATTRIBUTES)
    check_heads(judge, ATTRIBUTES)
    characters, poses = sheets.frames.shape[:2]
    for name, values in (("counts", counts), ("num_targets", (num_targets,))):
        if not values or not all(1 <= value <= poses for value in values):
            raise ValueError(
                f"{name} must be 1 to {poses}, the number of poses, got "
                f"{', '.join(map(str, values)) or 'none'}"
            )
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    device = next(judge.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    found: dict[int, list[dict[str, Tensor]]] = {count: [] for count in counts}

    def frames(who: Tensor, which: Tensor) -> Tensor:
        return sheets.frames[who.unsqueeze(1), which].to(device).float().div_(255)

    with evaluation(seed, device, model, guide, judge):
        for repeat in range(repeats):
            partner = derangement(sheets.labels, seed + repeat)
            seen = _random_poses(characters, poses, max(counts), generator)
            targets = _random_poses(characters, poses, num_targets, generator)
            for who in torch.arange(characters).split(batch_size):
                z = control.infer(guide, frames(partner[who], targets[who]))["z"]
                for count in found:
                    f = control.infer(guide, frames(who, seen[who, :count]))["f"]
                    verdicts = judge.per_frame(control.generate(model, f=f, z=z))
                    found[count].append({name: p.cpu() for name, p in verdicts.items()})
    truth = {name: sheets.labels[name].repeat(repeats) for name in ATTRIBUTES}
    return {str(count): _accuracies(parts, truth) for count, parts in found.items()}


def _accuracies(parts: Sequence[dict[str, Tensor]], truth: dict[str, Tensor]) -> dict[str, float]:
    """From log-probabilities of frames, ``(N, num_targets, classes)`` by attribute."""
    log_p = {name: torch.cat([part[name] for part in parts]) for name in ATTRIBUTES}
    together = static_accuracies({name: p.mean(1) for name, p in log_p.items()}, truth)
    single = [
        accuracy(p.flatten(0, 1), truth[name].repeat_interleave(p.shape[1]))
        for name, p in log_p.items()
    ]
    return {**together, "single_frames": sum(single) / len(single)}
