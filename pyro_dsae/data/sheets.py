"""Sheets: all poses of a character as one unordered set, labelled by who it is alone.

The 178 poses of a sheet of LPC sprites are its cells that are not empty: spellcard, thrust, walk, slash and
shoot in four directions each, and hurt. The procedural characters have the 72 poses of their nine actions.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._numbers import check_whole
from .characters import ACTIONS, ATTRIBUTES, NUM_FRAMES, NUM_VALUES, split_characters
from .procedural import ProceduralSprites
from .sequences import Sequences
from .sprites import CELL, COLUMNS, composed

ROWS = (7,) * 4 + (8,) * 4 + (9,) * 4 + (6,) * 4 + (13,) * 4 + (6,)
"""Poses in each row of a sheet."""
POSES = tuple(row * COLUMNS + column for row, length in enumerate(ROWS) for column in range(length))
"""The cells that are not empty."""


def _check(num_frames: int | None, poses: int) -> None:
    """Before anything is drawn."""
    check_whole(1, num_frames=num_frames)
    if num_frames is not None and num_frames > poses:
        raise ValueError(f"num_frames must be 1 to {poses}, got {num_frames}")


class _Sheets(Sequences):
    """Sets of poses, one a character, and what both kinds do with them."""

    num_classes: ClassVar[dict[str, int]] = dict.fromkeys(ATTRIBUTES, NUM_VALUES)
    frames: Tensor
    """uint8 ``(characters, poses, 3, size, size)``."""
    labels: dict[str, Tensor]
    """Long ``(characters,)`` of skin, trousers, tops and hair."""

    def __init__(
        self,
        frames: Tensor,
        characters: Tensor,
        split: str,
        num_frames: int | None,
        transform: Callable[[Tensor], Any] | None,
    ) -> None:
        labels = {name: characters[:, i].clone() for i, name in enumerate(ATTRIBUTES)}
        super().__init__(frames, labels, transform=transform)
        self.split, self.num_frames = split, num_frames

    def _read(self, index: int | Tensor) -> Tensor:
        if self.num_frames is None:
            return super()._read(index)
        rows = torch.as_tensor(index, device=self.frames.device).unsqueeze(-1)
        order = torch.rand(*rows.shape[:-1], self.frames.shape[1], device=self.frames.device)
        return self.frames[rows, order.argsort(-1)[..., : self.num_frames]]


class ProceduralSheets(_Sheets):
    """The 72 poses of each procedural character, drawn by code.

    Args:
        split: ``"train"`` (1000 characters) or ``"test"`` (the other 296); to choose settings, those of
            ``"train"`` as ``"learn"`` (900) and ``"validation"`` (100).
        size: height and width of a frame in pixels, a multiple of 16.
        num_frames: so many poses are drawn at random each time an item is read; all in order if None.
        transform: called on each float tensor ``(num_frames, 3, size, size)``.
        seed: of the split.

    An item is ``(x, labels)``: ``x`` float32 in [0, 1], and the four attributes. Raises ``ValueError`` on
    another split, size or number of frames.
    """

    def __init__(
        self,
        split: str = "train",
        *,
        size: int = 32,
        num_frames: int | None = None,
        transform: Callable[[Tensor], Any] | None = None,
        seed: int = 0,
    ) -> None:
        _check(num_frames, len(ACTIONS) * NUM_FRAMES)
        frames = ProceduralSprites(split, size=size, seed=seed).frames
        frames = frames.unflatten(0, (-1, len(ACTIONS))).flatten(1, 2)
        super().__init__(frames, split_characters(split, seed), split, num_frames, transform)


class Sheets(_Sheets):
    """The 178 poses of each LPC character, from a folder of layers of sprite sheets.

    Composed once and kept, as :class:`~pyro_dsae.data.Sprites`, whose ``root``, ``split``, ``size``,
    ``download``, ``seed`` and ``cache_dir`` these are, and whose errors.

    Args:
        num_frames: so many poses are drawn at random each time an item is read; all in order if None.
        transform: called on each float tensor ``(num_frames, 3, size, size)``.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        *,
        size: int = CELL,
        num_frames: int | None = None,
        download: bool = False,
        transform: Callable[[Tensor], Any] | None = None,
        seed: int = 0,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        _check(num_frames, len(POSES))
        characters = split_characters(split, seed)
        name = f"sheets-{split}-{size}-{seed}"
        frames = composed(
            root, characters, POSES, name, size=size, download=download, cache_dir=cache_dir
        )
        super().__init__(frames, characters, split, num_frames, transform)
