"""Folders of frames: a folder of images a sequence, or a video, as in Aff-Wild or in albums of your own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .._numbers import check_whole

IMAGES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
VIDEOS = {".avi", ".mkv", ".mov", ".mp4", ".webm"}
_LEAST = 2  # frames, of which a sequence is made


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """A key that puts frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


def _visible(folder: Path) -> list[Path]:
    return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=_natural)


def _images(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.suffix.lower() in IMAGES]


def _image(path: Path) -> Any:
    """An image with its header read; ValueError naming the file that is none."""
    from PIL import Image

    try:
        image = Image.open(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{path} must be an image, got one that cannot be read: {error}"
        ) from error
    if image.mode.startswith(("I", "F")):
        image.close()
        raise ValueError(f"{path} must have 8 bits a channel, got mode {image.mode}")
    return image


def _transforms() -> ModuleType:
    """torchvision's, which take a second to import."""
    from torchvision.transforms.v2 import functional

    return functional


def _decoded(path: Path, mode: str) -> Tensor:
    """uint8 ``(C, H, W)``."""
    with _image(path) as image:
        try:
            return _transforms().pil_to_tensor(image.convert(mode))
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"{path} must be a whole image, got a damaged one: {error}") from error


def _video(path: Path) -> Iterator[Any]:
    """The frames of a video one after another, as PyAV has them."""
    try:
        import av
    except ImportError as error:
        raise ImportError(
            f'{path} is a video, and reading it needs PyAV: pip install "pyro-dsae[video]"'
        ) from error
    try:
        with av.open(str(path)) as container:
            yield from container.decode(video=0)
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} must be a video, got one that cannot be read: {error}") from error


def _pixels(frame: Any, grey: bool) -> Tensor:
    """A frame of a video, uint8 ``(C, H, W)``."""
    x = torch.from_numpy(frame.to_ndarray(format="gray" if grey else "rgb24"))
    return x.unsqueeze(0) if grey else x.permute(2, 0, 1)


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
            is always decoded from its start, and one frame of it held at a time.
        mixed_sizes: allow images of different sizes in one folder.
        transform: called on each float tensor ``(num_frames, C, size, size)``.

    An item is ``(x, labels)``: ``x`` float32 ``(num_frames, C, size, size)`` in [0, 1], and which
    ``sequence`` it is. Raises ``FileNotFoundError`` if ``root`` is no folder or has no sequences;
    ``ValueError`` naming a folder with too few frames, an image that cannot be read or is of another size
    or depth than 8 bits, or a damaged video; ``ImportError`` on a video without PyAV.

    >>> from PIL import Image
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     for t in range(5):
    ...         Path(root, "anna").mkdir(exist_ok=True)
    ...         Image.new("RGB", (40, 40)).save(Path(root, "anna", f"{t}.png"))
    ...     x, labels = FrameFolders(root, size=16)[0]
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
        size: int = 64,
        grey: bool = False,
        in_memory: bool = True,
        mixed_sizes: bool = False,
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        check_whole(1, num_frames=num_frames, size=size)
        root = Path(root)
        if not root.is_dir():
            raise FileNotFoundError(f"root is not a folder: {root}")
        self.num_frames, self.size, self.grey, self.transform = num_frames, size, grey, transform
        paths = [p for p in _visible(root) if p.is_dir() or p.suffix.lower() in VIDEOS]
        if not paths:
            raise FileNotFoundError(
                f"root must hold a folder of images a sequence, got none: {root}"
            )
        self.names = [path.name if path.is_dir() else path.stem for path in paths]
        self._files = [_images(path) if path.is_dir() else path for path in paths]
        for path, files in zip(paths, self._files, strict=True):
            if isinstance(files, list):
                self._check_length(path, len(files))
                _check_headers(files, mixed_sizes)
        self.lengths, self._kept = [], []
        for i, (path, files) in enumerate(zip(paths, self._files, strict=True)):
            frames = self._decode(i) if in_memory else []
            if in_memory:
                length = len(frames)
            else:
                length = len(files) if isinstance(files, list) else sum(1 for _ in _video(files))
            self._check_length(path, length)
            self.lengths.append(length)
            if in_memory:
                self._kept.append(torch.stack(frames))

    def _check_length(self, path: Path, length: int) -> None:
        least = max(_LEAST, self.num_frames or 0)
        if length < least:
            raise ValueError(f"{path} must hold at least {least} frames, got {length}")

    def _resized(self, frames: Tensor) -> Tensor:
        """The centre of frames ``(..., C, H, W)``, square."""
        height, width = frames.shape[-2:]
        scale = self.size / min(height, width)
        sides = [max(self.size, round(side * scale)) for side in (height, width)]
        transforms = _transforms()
        return transforms.center_crop(transforms.resize(frames, sides, antialias=True), [self.size])

    def _decode(self, i: int, order: list[int] | None = None) -> list[Tensor]:
        """Frames ``order`` of sequence ``i``, or all, from their files: uint8 ``(C, size, size)`` each."""
        files = self._files[i]
        if isinstance(files, Path):
            wanted = None if order is None else set(order)
            last = None if order is None else max(order) + 1
            frames = {
                t: self._resized(_pixels(frame, self.grey))
                for t, frame in enumerate(islice(_video(files), last))
                if wanted is None or t in wanted
            }
            return [frames[t] for t in (frames if order is None else order)]
        mode = "L" if self.grey else "RGB"
        chosen = files if order is None else [files[t] for t in order]
        return [self._resized(_decoded(file, mode)) for file in chosen]

    def _read(self, i: int, order: Tensor) -> Tensor:
        """Frames ``order`` of sequence ``i``, uint8 ``(T, C, size, size)``."""
        return self._kept[i][order] if self._kept else torch.stack(self._decode(i, order.tolist()))

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


def _check_headers(files: list[Path], mixed_sizes: bool) -> None:
    """ValueError naming the first file that is no image, or whose size is not that of the first of all."""
    first = None
    for path in files:
        with _image(path) as image:
            first = first or image.size
            if image.size != first and not mixed_sizes:
                raise ValueError(
                    f"{path} must be {first[0]} x {first[1]} pixels, as {files[0].name}, got "
                    f"{image.size[0]} x {image.size[1]} (mixed_sizes=True allows it)"
                )
