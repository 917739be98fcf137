r"""The swap of labelled sprites against the sequence as it is drawn: no classifier is asked.

Who does what decides every pixel of a sprite, so the sequence that a swap should be is known: x(c, a), the
content's character c in the dynamics' action a. An attribute is right if no other value of it is nearer,

.. math:: v = \arg\min_{v'} \| \hat x - x(c[v'], a) \|^2,

where c[v'] is c with v' in place of that attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from .. import control
from ..program import Program, device_of
from ._evaluation import evaluation
from .judge import ATTRIBUTES, HEADS, LabelledSequences, batch_bytes, batch_frames, check_labelled
from .sprites import balanced_subset, derangement

_CLASSES = [HEADS[name] for name in (*ATTRIBUTES, "action")]
_PLACES = torch.tensor([*_CLASSES[1:], 1]).flip(0).cumprod(0).flip(0)  # of each digit of a code


class _Drawn:
    """Every sequence there is, by the digits of its labels."""

    def __init__(self, datasets: Sequence[LabelledSequences]) -> None:
        self.datasets = datasets
        self.where = torch.full((int(_PLACES[0]) * _CLASSES[0], 2), -1)
        for which, dataset in enumerate(datasets):
            check_labelled(dataset)
            codes = digits(dataset) @ _PLACES
            self.where[codes, 0], self.where[codes, 1] = which, torch.arange(len(codes))
        missing = int((self.where[:, 0] < 0).sum())
        if missing:
            raise ValueError(
                f"dataset and others must hold all {len(self.where)} sequences of characters and actions, "
                f"{missing} are missing"
            )

    def __call__(self, codes: Tensor, device: torch.device) -> Tensor:
        """Sequences of digits ``(B, 5)``, uint8 ``(B, T, C, H, W)``."""
        which, at = self.where[codes @ _PLACES].T
        parts = (batch_bytes(d, at[which == n], device) for n, d in enumerate(self.datasets))
        order = which.argsort(stable=True).argsort().to(device)
        return torch.cat([*parts]).index_select(0, order)


def digits(dataset: LabelledSequences) -> Tensor:
    """Skin, trousers, tops, hair and action, ``(N, 5)``."""
    return torch.stack([dataset.labels[name].cpu() for name in (*ATTRIBUTES, "action")], 1)


def _distance(drawn: _Drawn, made: Tensor, apart: Tensor, codes: Tensor) -> Tensor:
    """Of each sequence made, in bytes, to the one of its digits; ``apart`` is room to work in."""
    torch.sub(made, drawn(codes, made.device), out=apart)
    return torch.linalg.vector_norm(apart.flatten(1), dim=1).cpu()


def swap_against_truth(
    model: Program,
    guide: Callable,
    dataset: LabelledSequences,
    others: Sequence[LabelledSequences] = (),
    *,
    num_sequences: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> dict[str, float]:
    """The swaps of :func:`~pyro_dsae.metrics.swap`, each against what it should be and might have been.

    :param others: the rest of the characters, such as the training set: to compare with, not to swap.
    :returns: of ``skin``, ``trousers``, ``tops``, ``hair`` and ``action``, how often the right value is the
        nearest; ``static_accuracy``, the mean of the four; ``mse``, the mean squared error a number.
    :raises ValueError: if a character or an action is in none of the data sets.

    >>> from pyro_dsae.data import ProceduralSprites
    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> train, test = (ProceduralSprites(split, size=16) for split in ("train", "test"))
    >>> sorted(swap_against_truth(model, guide, test, [train], num_sequences=18))
    ['action', 'hair', 'mse', 'skin', 'static_accuracy', 'tops', 'trousers']
    """
    drawn, device = _Drawn([dataset, *others]), device_of(model)
    index = balanced_subset(dataset.labels["action"], num_sequences, seed)
    shown = digits(dataset)[index]
    partner = derangement({name: dataset.labels[name][index].cpu() for name in HEADS}, seed)
    expected = torch.cat([shown[:, :-1], shown[partner, -1:]], 1)
    right, error = torch.zeros(len(_CLASSES)), 0.0
    with evaluation(seed, device, model, guide):
        for content in torch.arange(len(index)).split(batch_size):
            pair = (
                batch_frames(dataset, index[part], device) for part in (content, partner[content])
            )
            made, codes = control.swap(model, guide, *pair) * 255, expected[content]
            away = partial(_distance, drawn, made, torch.empty_like(made))
            least = away(codes)
            error += float((least / 255).square().sum()) / made[0].numel()
            for place, classes in enumerate(_CLASSES):
                wrong = []
                for step in range(1, classes):
                    other = codes.clone()
                    other[:, place] = (other[:, place] + step) % classes
                    wrong.append(away(other))
                right[place] += int((least < torch.stack(wrong).amin(0)).sum())
    shares = dict(zip((*ATTRIBUTES, "action"), (right / len(index)).tolist(), strict=True))
    static = sum(shares[name] for name in ATTRIBUTES) / len(ATTRIBUTES)
    return {"static_accuracy": static, **shares, "mse": error / len(index)}
