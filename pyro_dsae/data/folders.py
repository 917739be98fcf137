"""Frames in no order: a folder of images a sequence, or a video, as in Aff-Wild or in albums of your own."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .._numbers import check_whole
from .recordings import Keep, Recordings, Size
from .sequences import as_float

_LEAST = 2  # frames, of which a sequence is made


class UnorderedFrames(Dataset[tuple[Any, dict[str, int]]]):
    """Frames in no order, of each folder of images in ``root`` and of each video: for a model of sets.

    :class:`~pyro_dsae.data.Clips` gives them in order, and describes the arguments that are not here.

    Args:
        num_frames: so many frames are drawn at random each time an item is read; all in order if None.
            Sequences of different lengths make batches only with it.
        transform: called on each float tensor ``(num_frames, C, H, W)``.

    An item is ``(x, labels)``: ``x`` float32 ``(num_frames, C, H, W)`` in [0, 1], and which ``sequence`` it
    is.

    >>> from PIL import Image
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     for t in range(5):
    ...         Path(root, "anna").mkdir(exist_ok=True)
    ...         Image.new("RGB", (40, 40)).save(Path(root, "anna", f"{t}.png"))
    ...     x, labels = UnorderedFrames(root, size=16)[0]
    >>> x.shape
    torch.Size([5, 3, 16, 16])
    """

    names: list[str]
    """Of the sequences."""
    lengths: list[int]
    """Frames in each sequence."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        num_frames: int | None = None,
        size: Size = 64,
        grey: bool = False,
        keep: Keep = "disk",
        cache_dir: str | os.PathLike[str] | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        mixed_sizes: bool = False,
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        check_whole(1, num_frames=num_frames)
        self.num_frames, self.transform = num_frames, transform
        self._recordings = Recordings(
            root,
            size=size,
            grey=grey,
            keep=keep,
            cache_dir=cache_dir,
            on_error=on_error,
            mixed_sizes=mixed_sizes,
            check=self._check,
        )
        self.names, self.lengths = self._recordings.names, self._recordings.lengths

    @property
    def item_lengths(self) -> list[int] | None:
        """Frames of each item where these differ."""
        return self.lengths if self.num_frames is None else None

    def _check(self, path: Path, length: int, times: np.ndarray | None) -> None:
        least = max(_LEAST, self.num_frames or 0)
        if length < least:
            raise ValueError(f"{path} must hold at least {least} frames, got {length}")

    def sequence(self, i: int) -> Tensor:
        """All frames of one sequence in order, float32 ``(T, C, H, W)`` in [0, 1]."""
        return as_float(self._recordings.read(i, torch.arange(self.lengths[i])))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[Any, dict[str, int]]:
        if not 0 <= i < len(self):
            raise IndexError(f"index must be 0 to {len(self) - 1}, got {i}")
        order = torch.arange(self.lengths[i])
        if self.num_frames is not None:
            order = torch.randperm(self.lengths[i])[: self.num_frames]
        x = as_float(self._recordings.read(i, order))
        return (x if self.transform is None else self.transform(x)), {"sequence": i}


class FrameFolders(UnorderedFrames):
    """The former name of :class:`UnorderedFrames`, with ``in_memory`` for ``keep``."""

    def __init__(
        self, root: str | os.PathLike[str], *, in_memory: bool = True, **options: Any
    ) -> None:
        warnings.warn(
            "FrameFolders is UnorderedFrames now; for frames in order there is Clips",
            DeprecationWarning,
            stacklevel=2,
        )
        super().__init__(root, keep="memory" if in_memory else "none", **options)
