r"""Moving MNIST: digits that go straight on and bounce off the borders of the frame.

A coordinate of a digit, as a share of its free range, is a triangle wave of time,

.. math:: u_t = 1 - |1 - (u_0 + v t) \bmod 2|, \quad |v| = 0.1 \text{ in two dimensions},

as in the script of Srivastava, Mansimov & Salakhutdinov (ICML 2015) that made the published sequences. There
too several digits are combined by their maximum; but a digit stops at a border for a frame where here it is
reflected, and corners are rounded down to whole pixels where here they are rounded.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from math import pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from .._numbers import check_whole
from .sequences import Sequences

DIGIT, FRAME = 28, 64  # pixels of a digit in a frame, as published
SPEED = 0.1  # of the free range, a frame
_FILES = {"train": "train", "test": "t10k"}
_HELD_OUT = 1000  # of the 10,000 test digits, where there are no others
_SPLITS = ("train", "test", "learn", "validation")
_VALIDATION = 6  # one in so many training digits, as is usual: 10,000 of 60,000


def _find(root: Path, name: str) -> Path | None:
    """An IDX file, packed or not, in a folder or in torchvision's layout."""
    for folder in (root, root / "MNIST" / "raw"):
        for suffix in ("", ".gz"):
            if (path := folder / (name + suffix)).is_file():
                return path
    return None


def _read_idx(path: Path, axes: int) -> Tensor:
    """The bytes of an IDX file, packed or not; ValueError naming the file that is no such thing."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} must be a whole gzip file: {error}") from error
    start = 4 + 4 * axes
    if len(data) < start or data[:4] != bytes([0, 0, 8, axes]):
        raise ValueError(
            f"{path} must be an IDX file of bytes with {axes} axes, got one that starts with {data[:4]!r}"
        )
    shape = np.frombuffer(data, ">i4", axes, 4)
    if len(data) - start != shape.prod():
        raise ValueError(f"{path} must hold {shape.prod()} values, got {len(data) - start}")
    return torch.from_numpy(np.frombuffer(data, np.uint8, -1, start).reshape(shape).copy())


def _read(images: Path, labels: Path) -> tuple[Tensor, Tensor]:
    """Digits uint8 (M, 28, 28) and labels long (M,)."""
    digits, values = _read_idx(images, 3), _read_idx(labels, 1).long()
    if len(digits) != len(values):
        raise ValueError(f"{labels} must hold {len(digits)} labels, as {images}, got {len(values)}")
    return digits, values


def _digits(root: Path, split: str) -> tuple[Tensor, Tensor, str]:
    """The split's digits, their labels, and which they are."""
    if split in ("learn", "validation"):
        digits, values, source = _digits(root, "train")
        rest = len(digits) - len(digits) // _VALIDATION
        if rest == len(digits):
            raise ValueError(
                f"root must hold {_VALIDATION} training digits or more, for one to validate on, "
                f"got {rest}: {root}"
            )
        part = slice(rest) if split == "learn" else slice(rest, None)
        which = f"the {'first' if split == 'learn' else 'last'} {len(digits[part])} of {source}"
        return digits[part], values[part], which
    paths = {
        part: [_find(root, f"{stem}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
        for part, stem in _FILES.items()
    }
    both = all(paths["train"])
    images, labels = paths[split if both else "test"]
    if not (images and labels):
        raise FileNotFoundError(
            f"root must hold MNIST's IDX files, such as {_FILES['test']}-images-idx3-ubyte.gz and "
            f"{_FILES['test']}-labels-idx1-ubyte.gz (download=True fetches them), got {root}"
        )
    digits, values = _read(images, labels)
    if both:
        return digits, values, f"MNIST's {len(digits)} {split} digits"
    rest = len(digits) - _HELD_OUT
    if rest < 1:
        raise ValueError(
            f"{images} must hold more than {_HELD_OUT} digits, as {root} has none for training, "
            f"got {len(digits)}"
        )
    lacking = f"(no training digits in {root})"
    if split == "train":
        return digits[:rest], values[:rest], f"MNIST's first {rest} test digits {lacking}"
    return digits[rest:], values[rest:], f"MNIST's last {_HELD_OUT} test digits {lacking}"


class MovingDigits(Dataset[tuple[Any, dict[str, int]]]):
    """Sequences of moving digits, any number of them: drawn when they are read.

    Several digits are combined by their maximum. Where ``root`` has MNIST's test digits only, the last 1,000
    are for testing and the others for training.

    Args:
        root: folder of MNIST's IDX files, packed or not, or one in torchvision's layout.
        split: ``"train"`` or ``"test"``: of the digits. Sequences of the two differ. To choose settings, the
            digits of ``"train"`` as ``"learn"`` and ``"validation"``, the last sixth of them.
        num_digits: in a frame.
        num_sequences: N. Of another N the sequences are others, not the first of them.
        num_frames: T.
        size: height and width of a frame in pixels.
        digit_size: height and width of a digit (default: 28/64 of the frame, as published).
        seed: of digits, places and directions.
        download: fetch MNIST into ``root`` through torchvision.
        transform: called on each float tensor ``(T, 1, size, size)``.

    An item is ``(x, labels)``: x float32 ``(T, 1, size, size)`` in [0, 1], and the digits, ``digit_0``
    and so on. Raises ``ValueError`` on other arguments and on a damaged file, ``FileNotFoundError`` where
    there are no files.

    >>> data = MovingDigits("mnist", size=32, download=True)  # doctest: +SKIP
    >>> data[0][0].shape  # doctest: +SKIP
    torch.Size([20, 1, 32, 32])
    """

    digits: Tensor
    """Long ``(N, num_digits)``."""
    positions: Tensor
    """Float ``(N, T, num_digits, 2)``: (x, y) of each digit's centre, as a share of the frame."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        *,
        num_digits: int = 1,
        num_sequences: int = 10_000,
        num_frames: int = 20,
        size: int = FRAME,
        digit_size: int | None = None,
        seed: int = 0,
        download: bool = False,
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        if split not in _SPLITS:
            raise ValueError(f"split must be one of {', '.join(_SPLITS)}, got {split!r}")
        check_whole(1, num_digits=num_digits, num_sequences=num_sequences, num_frames=num_frames)
        check_whole(1, size=size, digit_size=digit_size)
        check_whole(0, seed=seed)
        side = round(size * DIGIT / FRAME) if digit_size is None else digit_size
        if not 4 <= side < size:
            raise ValueError(
                f"digits must be of 4 pixels at least and smaller than frames, got {side} in {size}"
            )
        if download:
            from torchvision import datasets

            datasets.MNIST(str(root), download=True)
        if not Path(root).is_dir():
            raise FileNotFoundError(f"root is not a folder: {root} (download=True makes it)")
        images, self.digit_labels, self.source = _digits(Path(root), split)
        self.split, self.size, self.transform = split, size, transform
        if side != DIGIT:
            images = functional.interpolate(
                images.unsqueeze(1).float(), size=(side, side), mode="bilinear", antialias=True
            )
            images = images.squeeze(1).round().byte()
        self.digit_images = images

        part = 2 * seed + (split in ("test", "validation"))
        generator = torch.Generator().manual_seed(part if split in _FILES else -1 - part)
        shape = (num_sequences, num_digits)
        self.index = torch.randint(len(images), shape, generator=generator)
        self.digits = self.digit_labels[self.index]
        start = 2 * torch.rand(num_sequences, 1, num_digits, 2, generator=generator)
        angle = 2 * pi * torch.rand(num_sequences, 1, num_digits, generator=generator)
        velocity = SPEED * torch.stack([angle.cos(), angle.sin()], dim=-1)
        wave = start + velocity * torch.arange(num_frames).view(1, -1, 1, 1)
        free = size - side
        self.corners = (free * (1 - (1 - wave.remainder(2)).abs())).round().to(torch.int16)
        self.positions = (self.corners + side / 2) / size

    def sequences(self, index: Tensor | slice) -> Tensor:
        """Sequences ``index``, float32 ``(n, T, 1, size, size)`` in [0, 1]."""
        corners, chosen = self.corners[index].long(), self.index[index]
        n, steps, digits = corners.shape[:3]
        side = self.digit_images.shape[-1]
        images = self.digit_images[chosen].unsqueeze(1).expand(n, steps, digits, side, side)
        offsets = torch.arange(side)
        rows = corners[..., 1, None, None] + offsets.view(-1, 1)
        pixels = rows * self.size + corners[..., 0, None, None] + offsets
        x = torch.zeros(n, steps, self.size**2, dtype=torch.uint8)
        x.scatter_reduce_(2, pixels.flatten(2), images.flatten(2), "amax")
        return x.view(n, steps, 1, self.size, self.size).float().div_(255)

    def batch(
        self, index: Tensor, device: torch.device | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sequences ``index`` on ``device``, and their labels; see :meth:`Sequences.batch`."""
        labels = {f"digit_{k}": digit for k, digit in enumerate(self.digits[index].unbind(1))}
        return self.sequences(index).to(device or "cpu"), labels

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> tuple[Any, dict[str, int]]:
        (x,), batch = self.batch(torch.tensor([i]))
        labels = {name: int(digit) for name, digit in batch.items()}
        return (x if self.transform is None else self.transform(x)), labels


class MovingMNIST(Sequences):
    """The 10,000 published test sequences: two digits, T = 20, 64 x 64; through torchvision.

    Args:
        root: folder that holds ``MovingMNIST/mnist_test_seq.npy``.
        download: fetch the sequences into ``root``.
        transform: called on each float tensor ``(20, 1, 64, 64)``.

    An item is ``(x, {})``: which digits they are was not published.

    >>> data = MovingMNIST("mnist", download=True)  # doctest: +SKIP
    >>> data[0][0].shape  # doctest: +SKIP
    torch.Size([20, 1, 64, 64])
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        download: bool = False,
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        from torchvision import datasets

        frames = datasets.MovingMNIST(str(root), download=download).data
        super().__init__(frames, transform=transform)
