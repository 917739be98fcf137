"""Sequences in one array: in memory, or of any size in a file that is read as it is needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from copy import copy
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset


class Sequences(Dataset[tuple[Any, dict[str, int]]]):
    """Frames ``(N, T, *frame)`` of N sequences, with labels if there are any.

    Args:
        frames: a tensor or an array, or the path of a ``.npy`` file, which is memory-mapped: of a file
            larger than memory, no more is read than a batch needs. Whole numbers are uint8, and read as
            0 to 1; others are read as they are.
        labels: tensors ``(N,)`` by name.
        transform: called on each float tensor ``(T, *frame)``.

    An item is ``(x, labels)``: ``x`` float32 ``(T, *frame)``, and a dict of ints. :meth:`batch` reads many
    at once, which is how ``fit`` does it where there is no transform. Raises ``ValueError`` naming the
    argument, or the file that is not whole.
    """

    split: str | None = None

    def __init__(
        self,
        frames: Tensor | np.ndarray | str | os.PathLike[str],
        labels: Mapping[str, Tensor] | None = None,
        *,
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        if isinstance(frames, (str, os.PathLike)):
            frames = _mapped(Path(frames))
        known = frames.dtype in (torch.uint8, np.uint8) or _is_float(frames)
        if frames.ndim < 3 or not known:
            raise ValueError(
                f"frames must be (sequences, time, *frame) of uint8 or floats, got "
                f"{tuple(frames.shape)} of {frames.dtype}"
            )
        self.frames: Any = frames
        self.labels: dict[str, Tensor] = dict(labels or {})
        self.transform = transform
        for name, values in self.labels.items():
            if values.shape != (len(frames),):
                raise ValueError(
                    f"labels[{name!r}] must be ({len(frames)},), got {tuple(values.shape)}"
                )

    def to(self, device: torch.device) -> Sequences:
        """The same sequences, all of them on a device."""
        there = copy(self)
        there.frames = torch.as_tensor(self.frames, device=device)
        return there

    def batch(
        self, index: Tensor, device: torch.device | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sequences ``index``, ``(n,)``: x float32 ``(n, T, *frame)`` on ``device``, labels ``(n,)``.

        uint8 crosses to the device as it is and becomes floats there. No transform is called.
        """
        x = self._read(index)
        if device is not None and device.type != x.device.type:
            x = (x.pin_memory() if device.type == "cuda" else x).to(device, non_blocking=True)
        return _as_float(x), {name: values[index] for name, values in self.labels.items()}

    def _read(self, index: int | Tensor) -> Tensor:
        """Frames as they are kept, of one sequence or of many."""
        if isinstance(self.frames, Tensor):
            return self.frames[index]
        rows = self.frames[index.numpy() if isinstance(index, Tensor) else index]
        return torch.from_numpy(np.array(rows))

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[Any, dict[str, int]]:
        x = _as_float(self._read(index))
        labels = {name: int(values[index]) for name, values in self.labels.items()}
        return (x if self.transform is None else self.transform(x)), labels

    def __repr__(self) -> str:
        split = "" if self.split is None else f"split={self.split!r}, "
        return f"{type(self).__name__}({split}frames={tuple(self.frames.shape)})"


def _is_float(frames: Tensor | np.ndarray) -> bool:
    if isinstance(frames, Tensor):
        return frames.is_floating_point()
    return np.issubdtype(frames.dtype, np.floating)


def _as_float(x: Tensor) -> Tensor:
    """float32 of its own, bytes as 0 to 1."""
    return x.float().div_(255) if x.dtype == torch.uint8 else x.float()


def _mapped(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"no file of frames: {path}")
    try:
        return cast(np.ndarray, np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError as error:
        raise ValueError(f"{path} is not a whole .npy file: {error}") from error
