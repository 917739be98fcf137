"""Procedural sprites: little figures drawn by code, with nothing to download.

A frame is linear in the colours of its materials, so each pose is drawn once for each hair style,
and a character is the sum of four layers: what all share, skin, trousers and tops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._numbers import check_whole
from .characters import (
    ACTION_TYPES,
    ACTIONS,
    ATTRIBUTES,
    DIRECTIONS,
    NUM_FRAMES,
    NUM_VALUES,
    SPLITS,
    Characters,
    split_characters,
)
from .figures import FIXED, MATERIALS, Array, draw
from .poses import POSES

PALETTE: dict[str, tuple[tuple[int, int, int], ...]] = {
    "skin": (
        (255, 208, 160),
        (134, 78, 42),
        (112, 200, 72),
        (104, 180, 255),
        (224, 56, 80),
        (206, 128, 240),
    ),
    "trousers": (
        (236, 236, 236),
        (44, 72, 224),
        (208, 40, 40),
        (40, 160, 64),
        (244, 204, 48),
        (32, 192, 200),
    ),
    "tops": (
        (240, 240, 232),
        (240, 128, 24),
        (40, 176, 232),
        (216, 40, 136),
        (56, 136, 56),
        (112, 64, 192),
    ),
    "hair": (
        (255, 224, 72),
        (192, 48, 24),
        (244, 244, 244),
        (56, 88, 232),
        (48, 184, 96),
        (255, 112, 192),
    ),
}
"""RGB of the six values of each attribute; the value of hair is its style as well."""
COLOURS = ATTRIBUTES[:3]


@lru_cache(maxsize=2)
def _weights(size: int) -> Array:
    """w_m of all poses: (6 hair styles, materials, 9 actions, 8 frames, size, size)."""
    shape = (NUM_VALUES, len(MATERIALS), len(ACTIONS), NUM_FRAMES, size, size)
    out = np.empty(shape, np.float32)
    for kind, name in enumerate(ACTION_TYPES):
        for t in range(NUM_FRAMES):
            front, left = (draw(POSES[name](side, t), size) for side in (False, True))
            for direction, view in enumerate((front, left, left[..., ::-1])):
                out[:, :, 3 * kind + direction, t] = view
    return out


def _layers(weights: Array, colours: tuple[tuple[int, int, int], ...]) -> Array:
    """w_m (9, 8, size, size) in each colour: (colours, 9, 8, 3, size, size)."""
    rgb = np.array(colours, np.float32).reshape(-1, 1, 1, 3, 1, 1)
    return weights[:, :, None] * rgb


def _parts(style: int, size: int) -> tuple[Array, list[Array]]:
    """With one hair: what all share, (9, 8, 3, size, size), and what each colour adds, (6, ...)."""
    weights = dict(zip(MATERIALS, _weights(size)[style], strict=True))
    shared = _layers(weights["hair"], PALETTE["hair"][style : style + 1])[0] + 0.5
    for name, rgb in FIXED.items():
        shared += _layers(weights[name], (rgb,))[0]
    return shared, [_layers(weights[name], PALETTE[name]) for name in COLOURS]


def _compose(characters: Tensor, size: int) -> Tensor:
    """Frames of characters (n, 4): uint8 (9 n, 8, 3, size, size)."""
    values = characters.numpy()
    frames = np.empty((len(values), len(ACTIONS), NUM_FRAMES, 3, size, size), np.uint8)
    total = np.empty(frames.shape[1:], np.float32)
    for style in np.unique(values[:, 3]):
        shared, (skins, trousers, tops) = _parts(style, size)
        for n in np.flatnonzero(values[:, 3] == style):
            np.add(shared, skins[values[n, 0]], out=total)
            total += trousers[values[n, 1]]
            total += tops[values[n, 2]]
            frames[n] = total
    return torch.from_numpy(frames.reshape(-1, NUM_FRAMES, 3, size, size))


def _compose_by_frame(labels: Mapping[str, Tensor], size: int) -> Tensor:
    """Frames of sequences whose labels may change, (n, 8) each: uint8 (n, 8, 3, size, size)."""
    known = {name: values.numpy() for name, values in labels.items()}
    hair, times = known["hair"][:, 0], np.arange(NUM_FRAMES)
    frames = np.empty((len(hair), NUM_FRAMES, 3, size, size), np.uint8)
    for style in np.unique(hair):
        shared, layers = _parts(style, size)
        for n in np.flatnonzero(hair == style):
            action = known["action"][n]
            parts = (
                layer[known[name][n], action, times]
                for name, layer in zip(COLOURS, layers, strict=True)
            )
            frames[n] = sum(parts, shared[action, times])
    return torch.from_numpy(frames)


class ProceduralSprites(Characters):
    """Figures drawn by code in nine actions, with nothing to download.

    Args:
        split: ``"train"`` (1000 characters) or ``"test"`` (the other 296); to choose settings, those of
            ``"train"`` as ``"learn"`` (900) and ``"validation"`` (100).
        size: height and width of a frame in pixels, a multiple of 16.
        transform: called on each float tensor ``(8, 3, size, size)``.
        seed: of the split.
        changing: draw the colours of skin, trousers and tops, and the direction, anew at every frame. What
            stays is the hair and the type of the action; of these alone there are ``labels``.

    Raises ``ValueError`` on another split or size.

    >>> data = ProceduralSprites("test", size=16)
    >>> x, labels = data[10]
    >>> x.shape, labels["action"], data.actions[1]
    (torch.Size([8, 3, 16, 16]), 1, 'walk left')
    """

    def __init__(
        self,
        split: str = "train",
        *,
        size: int = 32,
        transform: Callable[[Tensor], Any] | None = None,
        seed: int = 0,
        changing: bool = False,
    ) -> None:
        characters = split_characters(split, seed)
        check_whole(16, size=size)
        if size % 16:
            raise ValueError(f"size must be a positive multiple of 16, got {size}")
        if not changing:
            frames = _compose(characters, size)
            super().__init__(frames, characters, split=split, transform=transform)
            return
        n = len(characters) * len(ACTIONS)
        nothing = torch.empty(n, NUM_FRAMES, 3, 1, 1, dtype=torch.uint8)
        super().__init__(nothing, characters, split=split, transform=transform)
        generator = torch.Generator().manual_seed(len(SPLITS) * seed + [*SPLITS].index(split))
        known = self.frame_labels
        for name in (*COLOURS, "direction"):
            known[name] = torch.randint(
                self.num_classes[name], (n, NUM_FRAMES), generator=generator
            )
            del self.labels[name]
        del self.labels["action"]
        known["action"] = len(DIRECTIONS) * known["action_type"] + known["direction"]
        self._frame_labels, self.frames = known, _compose_by_frame(known, size)
