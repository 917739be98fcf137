"""Labelled characters in motion: four attributes of six values each, times nine actions.

A character is a choice of (skin, trousers, tops, hair), 6^4 = 1296 in all; a sequence shows one
character in one action, T = 8 frames. 1000 characters are for training, the other 296 for testing. To choose
settings without a look at those, 100 of the 1000 are for validation, and the other 900 to learn from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._numbers import check_whole
from .sequences import Sequences

ATTRIBUTES = ("skin", "trousers", "tops", "hair")
NUM_VALUES = 6
ACTION_TYPES = ("walk", "spellcard", "slash")
DIRECTIONS = ("front", "left", "right")
ACTIONS = tuple(f"{kind} {direction}" for kind in ACTION_TYPES for direction in DIRECTIONS)
NUM_FRAMES = 8
NUM_CHARACTERS = NUM_VALUES ** len(ATTRIBUTES)
SPLITS = {
    "train": slice(1000),
    "test": slice(1000, None),
    "learn": slice(900),
    "validation": slice(900, 1000),
}
"""Places in the order that the seed makes of all characters."""


def split_characters(split: str, seed: int) -> Tensor:
    """Characters of a split: (1000, 4) values for ``"train"``, (296, 4) for ``"test"``.

    ``"learn"`` (900, 4) and ``"validation"`` (100, 4) are those of ``"train"`` again, in two parts. The two
    of each kind are disjoint for equal ``seed``. Raises ``ValueError`` on any other split.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    check_whole(0, seed=seed)
    order = torch.randperm(NUM_CHARACTERS, generator=torch.Generator().manual_seed(seed))
    bases = NUM_VALUES ** torch.arange(len(ATTRIBUTES) - 1, -1, -1)
    return order[SPLITS[split]].sort().values[:, None] // bases % NUM_VALUES


class Characters(Sequences):
    """Sequences of labelled characters, character by character, each with its nine actions.

    Args:
        frames: uint8 ``(N, T, 3, size, size)``, N = 9 times the number of characters.
        characters: long ``(N // 9, 4)``, the values of skin, trousers, tops and hair.
        split: the name of the split, one of :data:`SPLITS`.
        transform: called on each float tensor ``(T, 3, size, size)``.

    An item is ``(x, labels)``: ``x`` float32 ``(T, 3, size, size)`` in [0, 1], and ``labels`` a
    dict of ints: the four attributes, ``action = 3 * action_type + direction``, and its two parts.
    """

    actions: ClassVar[tuple[str, ...]] = ACTIONS
    num_classes: ClassVar[dict[str, int]] = {
        **dict.fromkeys(ATTRIBUTES, NUM_VALUES),
        "action": len(ACTIONS),
        "action_type": len(ACTION_TYPES),
        "direction": len(DIRECTIONS),
    }

    def __init__(
        self,
        frames: Tensor,
        characters: Tensor,
        *,
        split: str,
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        action = torch.arange(len(ACTIONS)).repeat(len(characters))
        values = characters.repeat_interleave(len(ACTIONS), 0)
        labels = {
            **{name: values[:, i].clone() for i, name in enumerate(ATTRIBUTES)},
            "action": action,
            "action_type": action // len(DIRECTIONS),
            "direction": action % len(DIRECTIONS),
        }
        super().__init__(frames, labels, transform=transform)
        self.split = split
        self._frame_labels: dict[str, Tensor] | None = None

    @property
    def frame_labels(self) -> dict[str, Tensor]:
        """The labels of every frame, ``(N, T)`` each: those of the sequence, unless they change."""
        if self._frame_labels is not None:
            return self._frame_labels
        steps = self.frames.shape[1]
        return {name: values[:, None].expand(-1, steps) for name, values in self.labels.items()}
