"""Sequences in one array: in memory, or of any size in a file that is read as it is needed."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate


class Sequences(Dataset[tuple[Any, dict[str, Any]]]):
    """Frames ``(N, T, *frame)`` of N sequences, with labels if there are any.

    Args:
        frames: a tensor, an array or a list of sequences; or the path of a ``.npy`` file, which is
            memory-mapped: of a file larger than memory, no more is read than a batch needs. A ``.npz``
            file of one array is read at once. Whole numbers are uint8, and read as 0 to 1; others are
            read as they are.
        labels: whole numbers ``(N,)`` by name: tensors, arrays or lists. One named ``mask``, bools
            ``(N, T)``, is True where a frame is present.
        transform: called on each float tensor ``(T, *frame)``.

    An item is ``(x, labels)``: ``x`` float32 ``(T, *frame)``, and a dict of ints. :meth:`batch` reads many
    at once, which is how ``fit`` does it where there is no transform. Raises ``ValueError`` naming the
    argument, or the file that is not whole.

    >>> frames = torch.randint(256, (5, 8, 3, 16, 16), dtype=torch.uint8)
    >>> x, labels = Sequences(frames, {"person": [0, 0, 1, 1, 2]})[3]
    >>> x.shape, x.dtype, labels
    (torch.Size([8, 3, 16, 16]), torch.float32, {'person': 1})
    """

    split: str | None = None

    def __init__(
        self,
        frames: Tensor | np.ndarray | Sequence[Any] | str | os.PathLike[str],
        labels: Mapping[str, Tensor | np.ndarray | Sequence[int]] | None = None,
        *,
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        if isinstance(frames, (str, os.PathLike)):
            frames = _of_file(Path(frames))
        elif isinstance(frames, (list, tuple)):
            frames = stacked(enumerate(frames)) if frames else torch.empty(0)
        elif not isinstance(frames, (Tensor, np.ndarray)):
            raise TypeError(
                f"frames must be a tensor, an array, a list or a path, got {type(frames).__name__}"
            )
        if frames.ndim < 3 or 0 in frames.shape[1:] or frames.dtype not in _DTYPES:
            raise ValueError(
                f"frames must be (sequences, time, *frame) of uint8 or floats, got "
                f"{tuple(frames.shape)} of {frames.dtype}"
            )
        if labels is not None and not isinstance(labels, Mapping):
            raise TypeError(
                f"labels must be a dict of ({len(frames)},) by name, got {type(labels).__name__}"
            )
        self.frames: Any = frames
        self.labels = {
            name: _mask(v, frames.shape[:2]) if name == "mask" else _whole(name, v, len(frames))
            for name, v in (labels or {}).items()
        }
        self.transform = transform

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
        return as_float(x), {name: values[index] for name, values in self.labels.items()}

    def _read(self, index: int | Tensor) -> Tensor:
        """Frames as they are kept, of one sequence or of many."""
        if isinstance(self.frames, Tensor):
            if not (isinstance(index, Tensor) and index.dim() == 1):
                return self.frames[index]
            # Of bytes five times as fast as frames[index].
            return self.frames.index_select(0, index.to(self.frames.device))
        rows = self.frames[index.numpy() if isinstance(index, Tensor) else index]
        return torch.from_numpy(np.array(rows))

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[Any, dict[str, Any]]:
        kept = self._read(index)
        x = as_float(kept)
        labels = {n: v[index] if n == "mask" else int(v[index]) for n, v in self.labels.items()}
        if self.transform is not None:  # which may work in place: not on what others read again
            x = self.transform(x.clone() if x is kept and isinstance(self.frames, Tensor) else x)
        return x, labels

    def __repr__(self) -> str:
        split = "" if self.split is None else f"split={self.split!r}, "
        return f"{type(self).__name__}({split}frames={tuple(self.frames.shape)})"


_DTYPES = (
    *(torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(np.uint8, np.float16, np.float32, np.float64),
)


def as_float(x: Tensor) -> Tensor:
    """float32, bytes as 0 to 1."""
    return x.float().div_(255) if x.dtype == torch.uint8 else x.float()


def stacked(numbered: Iterable[tuple[int, Any]]) -> Tensor:
    """Sequences ``(T, *frame)``, each with its number, as one tensor ``(n, T, *frame)`` as they are kept.

    :raises ValueError: naming the sequence that is none, or two that differ in shape or type.
    """
    return default_collate(alike(numbered))


def alike(numbered: Iterable[tuple[int, Any]], *, any_length: bool = False) -> list[Tensor]:
    """Sequences ``(T, *frame)``, each with its number, as tensors of one type and shape.

    :param any_length: only their frames must be of one shape.
    """
    what = "frames" if any_length else "sequences"
    sequences: list[Tensor] = []
    for number, given in numbered:
        try:
            x = torch.as_tensor(given)
        except (RuntimeError, TypeError, ValueError) as error:
            raise TypeError(
                f"sequence {number} must be a tensor or an array, got {type(given).__name__}"
            ) from error
        if x.dim() < 2 or not x.numel() or x.dtype not in _DTYPES:
            raise ValueError(
                f"sequence {number} must be (time, *frame) of uint8 or floats, got {_kind(x)}"
            )
        if not sequences:
            first = number
        elif (
            x.dtype != sequences[0].dtype or x.shape[any_length:] != sequences[0].shape[any_length:]
        ):
            raise ValueError(
                f"{what} of a batch must be of one shape and type, got {_kind(sequences[0])} in "
                f"sequence {first} and {_kind(x)} in sequence {number}"
            )
        sequences.append(x)
    return sequences


def _kind(x: Tensor) -> str:
    return f"{tuple(x.shape)} of {x.dtype}"


def _whole(name: str, values: Tensor | np.ndarray | Sequence[int], size: int) -> Tensor:
    """Labels ``(size,)``."""
    try:
        labels = torch.as_tensor(values)
    except (RuntimeError, TypeError, ValueError) as error:
        raise TypeError(f"labels[{name!r}] must be whole numbers ({size},): {error}") from error
    if labels.shape != (size,):
        raise ValueError(f"labels[{name!r}] must be ({size},), got {tuple(labels.shape)}")
    if size and (labels.is_floating_point() or labels.is_complex()):
        raise ValueError(f"labels[{name!r}] must be whole numbers, got {labels.dtype}")
    return labels


def _mask(values: Any, shape: tuple[int, ...]) -> Tensor:
    """Bools ``(N, T)``."""
    mask = torch.as_tensor(values)
    if mask.dtype != torch.bool or mask.shape != tuple(shape):
        raise ValueError(
            f"labels['mask'] must be bools {tuple(shape)}, got {tuple(mask.shape)} of {mask.dtype}"
        )
    return mask


def _of_file(path: Path) -> np.ndarray:
    """The array of a ``.npy`` file, memory-mapped, or the one in a ``.npz`` file."""
    if not path.is_file():
        raise FileNotFoundError(f"no file of frames: {path}")
    if path.suffix not in (".npy", ".npz"):
        raise ValueError(
            f"{path} must be a .npy or .npz file; of any other, pass what it holds, such as "
            f"torch.load(path, weights_only=True)"
        )
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            if len(loaded.files) != 1:
                names = ", ".join(loaded.files) or "none"
                raise TypeError(f"{path} must hold one array, got {names}: pass that of the frames")
            return loaded[loaded.files[0]]
    except (EOFError, OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a whole {path.suffix} file: {error}") from error
