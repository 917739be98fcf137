r"""Is f the identity? Nearest neighbours between two halves of a person's pictures.

.. math:: \mathrm{share} = \frac1{2P} \sum_{p=1}^P [\arg\max_q \cos(a_p, b_q) = p]
                         + [\arg\max_q \cos(b_p, a_q) = p]

a_p is the feature of one half of person p's pictures and b_p that of the other: the posterior mean
of f, or the mean picture, against which f must show what it has learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import control
from ._evaluation import device_of, evaluation


def nearest(a: Tensor, b: Tensor) -> float:
    """Share of rows of ``(people, dim)`` whose nearest row of the other, by cosine, is their own.

    >>> people = torch.eye(5)
    >>> nearest(people, people + 0.1)
    1.0
    """
    if a.dim() != 2 or a.shape != b.shape or len(a) < 2:
        raise ValueError(
            "a and b must both be (people, dim) with at least 2 people, "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    cosine = F.normalize(a.double(), dim=1) @ F.normalize(b.double(), dim=1).T
    own = torch.arange(len(a), device=a.device)
    return float(sum((cosine.argmax(axis) == own).double().mean() for axis in (0, 1)) / 2)


def identity(
    guide: Callable,
    sequences: Sequence[Tensor],
    *,
    repeats: int = 20,
    centre: bool = True,
    frames_at_once: int = 512,
    seed: int = 0,
) -> dict[str, Any]:
    """How often the nearest half, of all people's, is the same person's: by f, and by raw pixels.

    Each repeat cuts every person's frames into two disjoint halves at random. ``single`` is the
    harder test of one picture against one other.

    :param sequences: one a person, none of them trained on: ``(T_i, C, H, W)``, any T_i from 4.
    :param centre: subtract the mean over the people of each side first, from f and pixels alike.
    :param frames_at_once: the guide sees at most so many frames at a time, or one half.
    :returns: shares ``f`` and ``pixels``, the same under ``single``, and the number of ``people``.
    :raises ValueError: if there are fewer than 2 people, a person has fewer than 4 frames or frames
        of another shape, or ``repeats`` is less than 1.

    >>> guide = pyro_dsae.Factorised((1, 16, 16), f_dim=8, z_dim=2, channels=4, hidden=16)
    >>> people = [torch.rand(6, 1, 16, 16) for _ in range(4)]
    >>> 0 <= identity(guide, people, repeats=2)["f"] <= 1
    True
    """
    _check(sequences)
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    device = device_of(guide)
    generator = torch.Generator().manual_seed(seed)
    people = len(sequences)
    shares: dict[str, list[float]] = {}
    with evaluation(seed, device, guide):
        for _ in range(repeats):
            orders = [torch.randperm(len(x), generator=generator) for x in sequences]
            halves = [
                *(x[order[: len(x) // 2]] for x, order in zip(sequences, orders, strict=True)),
                *(x[order[len(x) // 2 :]] for x, order in zip(sequences, orders, strict=True)),
            ]
            for kind, sets in (("halves", halves), ("single", [half[:1] for half in halves])):
                features = {
                    "f": _contents(guide, sets, frames_at_once, device),
                    "pixels": torch.stack([frames.mean(0).flatten() for frames in sets]),
                }
                for name, values in features.items():
                    a, b = values[:people], values[people:]
                    if centre:
                        a, b = a - a.mean(0), b - b.mean(0)
                    shares.setdefault(f"{kind} {name}", []).append(nearest(a, b))
    mean = {name: sum(values) / repeats for name, values in shares.items()}
    return {
        "f": mean["halves f"],
        "pixels": mean["halves pixels"],
        "single": {"f": mean["single f"], "pixels": mean["single pixels"]},
        "people": people,
    }


def _check(sequences: Sequence[Tensor]) -> None:
    if len(sequences) < 2:
        raise ValueError(f"sequences must hold at least 2 people, got {len(sequences)}")
    for i, x in enumerate(sequences):
        if x.dim() != 4 or x.shape[1:] != sequences[0].shape[1:]:
            raise ValueError(
                f"sequences[{i}] must be (time, {', '.join(map(str, sequences[0].shape[1:]))}), "
                f"got {tuple(x.shape)}"
            )
        if len(x) < 4:
            raise ValueError(f"sequences[{i}] must hold at least 4 frames, got {len(x)}")


def _contents(
    guide: Callable, sets: Sequence[Tensor], frames_at_once: int, device: torch.device
) -> Tensor:
    """Posterior means of f, ``(len(sets), f_dim)``: sets of one length go together."""
    lengths = torch.tensor([len(frames) for frames in sets])
    found: dict[int, Tensor] = {}
    for length in lengths.unique().tolist():
        same = (lengths == length).nonzero().squeeze(1)
        for index in same.split(max(1, frames_at_once // length)):
            x = torch.stack([sets[i] for i in index]).to(device)
            latents = control.infer(guide, x)
            if "f" not in latents:
                raise ValueError(f"guide must have a site f, got {', '.join(latents)}")
            found.update(zip(index.tolist(), latents["f"].cpu(), strict=True))
    return torch.stack([found[i] for i in range(len(sets))])
