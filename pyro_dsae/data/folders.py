"""Folders of frames: a folder of images a sequence, or a video, as in Aff-Wild or in albums of your own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as transforms

IMAGES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
VIDEOS = {".avi", ".mkv", ".mov", ".mp4", ".webm"}
_LEAST = 2  # frames, of which a sequence is made


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key that puts frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _visible(folder: Path) -> list[Path]:
    return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=_natural)


def _image(path: Path) -> Image.Image:
    """An image with its header read; ValueError naming the file that is none."""
    try:
        return Image.open(path)
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"{path} must be an image, got one that cannot be read: {error}"
        ) from error


def _decoded(path: Path, mode: str) -> Tensor:
    """uint8 ``(C, H, W)``."""
    with _image(path) as image:
        try:
            return transforms.pil_to_tensor(image.convert(mode))
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{path} must be a whole image, got a damaged one: {error}") from error


def _video(path: Path, grey: bool) -> Tensor:
    """All frames of a video, uint8 ``(T, C, H, W)``."""
    try:
        import av
    except ImportError as error:
        raise ImportError(
            f'{path} is a video, and reading it needs PyAV: pip install "pyro-dsae[video]"'
        ) from error
    try:
        with av.open(str(path)) as container:
            frames = [
                torch.from_numpy(frame.to_ndarray(format="gray" if grey else "rgb24"))
                for frame in container.decode(video=0)
            ]
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} must be a video, got one that cannot be read: {error}") from error
    if not frames:
        raise ValueError(f"{path} must be a video, got one without frames")
    stacked = torch.stack(frames)
    return stacked.unsqueeze(1) if grey else stacked.permute(0, 3, 1, 2)


class FrameFolders(Dataset[tuple[Any, dict[str, int]]]):
    """One sequence for each folder of images in ``root``, and for each video.

    Frames are in natural order of their names (frame2 before frame10); hidden files and those of other
    kinds are passed over. A frame's shorter side is resized to ``size``, with antialiasing, and its
    centre kept.

    Args:
        root: the folder of the folders.
        num_frames: so many frames are drawn at random each time an item is read; all in order if None.
            Sequences of different lengths make batches only with it.
        size: height and width of a frame in pixels.
        grey: one channel in place of three.
        in_memory: decode every sequence once and keep it, as uint8; else read what is asked for. A video
            is always read as a whole.
        mixed_sizes: allow images of different sizes in one folder.
        transform: called on each float tensor ``(num_frames, C, size, size)``.

    An item is ``(x, labels)``: ``x`` float32 ``(num_frames, C, size, size)`` in [0, 1], and which
    ``sequence`` it is. Raises ``FileNotFoundError`` if ``root`` is no folder or has no sequences;
    ``ValueError`` naming a folder with too few frames, an image that cannot be read or is of another size,
    or a damaged video.
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
        size: int = 64,
        grey: bool = False,
        in_memory: bool = True,
        mixed_sizes: bool = False,
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        for name, number in (("num_frames", num_frames), ("size", size)):
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        root = Path(root)
        if not root.is_dir():
            raise FileNotFoundError(f"root is not a folder: {root}")
        self.num_frames, self.size, self.grey, self.transform = num_frames, size, grey, transform
        self.names, self.lengths = [], []
        self._files: list[list[Path] | Path] = []
        self._kept: dict[int, Tensor] = {}
        for path in _visible(root):
            if path.is_dir():
                files = [file for file in _visible(path) if file.suffix.lower() in IMAGES]
                self._add(path, files, len(files))
                if not mixed_sizes:
                    _check_sizes(files)
            elif path.suffix.lower() in VIDEOS:
                frames = self._resized(_video(path, grey))
                if in_memory:
                    self._kept[len(self.names)] = frames
                self._add(path, path, len(frames))
        if not self.names:
            raise FileNotFoundError(
                f"root must hold a folder of images a sequence, got none: {root}"
            )
        if in_memory:
            for i in range(len(self)):
                self._kept[i] = self._read(i, torch.arange(self.lengths[i]))

    def _add(self, path: Path, files: list[Path] | Path, length: int) -> None:
        least = max(_LEAST, self.num_frames or 0)
        if length < least:
            raise ValueError(f"{path} must hold at least {least} frames, got {length}")
        self.names.append(path.stem if path.is_file() else path.name)
        self.lengths.append(length)
        self._files.append(files)

    def _resized(self, frames: Tensor) -> Tensor:
        """The centre of frames ``(..., C, H, W)``, square."""
        height, width = frames.shape[-2:]
        scale = self.size / min(height, width)
        sides = [max(self.size, round(side * scale)) for side in (height, width)]
        return transforms.center_crop(transforms.resize(frames, sides, antialias=True), [self.size])

    def _read(self, i: int, order: Tensor) -> Tensor:
        """Frames ``order`` of sequence ``i``, uint8."""
        if i in self._kept:
            return self._kept[i][order]
        files = self._files[i]
        if isinstance(files, Path):
            return self._resized(_video(files, self.grey))[order]
        mode = "L" if self.grey else "RGB"
        return torch.stack([self._resized(_decoded(files[t], mode)) for t in order.tolist()])

    def sequence(self, i: int) -> Tensor:
        """All frames of one sequence in order, float32 ``(T, C, size, size)`` in [0, 1]."""
        return self._read(i, torch.arange(self.lengths[i])).float().div_(255)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[Any, dict[str, int]]:
        if not 0 <= i < len(self):
            raise IndexError(f"index must be 0 to {len(self) - 1}, got {i}")
        order = torch.arange(self.lengths[i])
        if self.num_frames is not None:
            order = torch.randperm(self.lengths[i])[: self.num_frames]
        x = self._read(i, order).float().div_(255)
        return (x if self.transform is None else self.transform(x)), {"sequence": i}


def _check_sizes(files: list[Path]) -> None:
    """ValueError naming the first image whose size is not that of the first of all."""
    first = None
    for path in files:
        with _image(path) as image:
            first = first or image.size
            if image.size != first:
                raise ValueError(
                    f"{path} must be {first[0]} x {first[1]} pixels, as {files[0].name}, got "
                    f"{image.size[0]} x {image.size[1]} (mixed_sizes=True allows it)"
                )
