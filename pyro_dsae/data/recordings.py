"""Recordings below a folder, videos and folders of images, as bytes of one size."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .._numbers import check_whole
from . import images, videos
from .cache import cache_dir as default_cache_dir
from .cache import say_if_large, whole
from .images import Pictures
from .videos import Video

Keep = Literal["disk", "memory", "none"]
Size = int | tuple[int, int]
_FORM = 2  # of the files on disk


def sides(size: Size) -> tuple[int, int]:
    """Height and width of frames, of both or of one number."""
    both = size if isinstance(size, (tuple, list)) else (size, size)
    if len(both) != 2:
        raise ValueError(f"size must be a number or (height, width), got {size!r}")
    for side in both:
        check_whole(1, size=side)
    return int(both[0]), int(both[1])


def find(root: Path) -> dict[str, tuple[Path, list[Path]]]:
    """Path and files of the recordings in ``root``, at any depth, by name: ``CLASS/clip`` of CLASS/clip.mp4.

    Videos, and folders of images, in natural order; a folder of neither is a recording of no files. Images
    beside videos or folders of images belong to none, which is said. ``root`` may itself be a recording.

    :raises FileNotFoundError: if it is not there, or holds none.
    """
    if root.is_file():
        return {root.stem: (root, [root])}
    if not root.is_dir():
        raise FileNotFoundError(f"root is not a folder: {root}")
    beside: list[Path] = []
    found = _below(root, (), beside)
    if not any(files for _, files in found):
        raise FileNotFoundError(
            f"root must hold a folder of images a sequence, or videos, got none: {root}"
        )
    if beside:
        warnings.warn(
            f"{len(beside)} images are passed over, which lie beside videos or folders of images: "
            f"{', '.join(map(str, beside[:4]))}{', ...' if len(beside) > 4 else ''}",
            stacklevel=4,
        )
    names = [path.relative_to(root) if path != root else Path(root.name) for path, _ in found]
    stems = [
        (name if path.is_dir() else name.with_suffix("")).as_posix()
        for name, (path, _) in zip(names, found, strict=True)
    ]
    return {  # clip.mp4 and clip.avi keep their suffixes
        stem if stems.count(stem) == 1 else name.as_posix(): recording
        for stem, name, recording in zip(stems, names, found, strict=True)
    }


def _below(
    folder: Path, above: tuple[Path, ...], beside: list[Path]
) -> list[tuple[Path, list[Path]]]:
    """Recordings in a folder, a hidden one or a link to one ``above`` apart; images that are none's."""
    here = folder.resolve()
    if here in above:
        return []
    inside = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=images.natural)
    found: list[tuple[Path, list[Path]]] = []
    for path in inside:
        if path.is_dir():
            found += _below(path, (*above, here), beside)
        elif path.suffix.lower() in videos.SUFFIXES:
            found.append((path, [path]))
    pictures = [path for path in inside if path.suffix.lower() in images.SUFFIXES]
    if found:
        beside += pictures
        return found
    return [(folder, pictures)] if pictures or above else []


class Recordings:
    """The frames of recordings, resized so that they cover ``size`` and cut to its centre.

    Args:
        root: a folder, see :func:`find`, or one video.
        size: height and width of a frame in pixels, or one number for both.
        grey: one channel in place of three.
        keep: frames on ``"disk"``, decoded once, with a progress bar, and mapped from there: a run that is
            killed goes on with the recording that it was at; in ``"memory"``; or ``"none"``, decoded when
            they are asked for, of a video from the last key frame before them on.
        cache_dir: folder of the frames on disk (default: ``clips`` in :func:`~pyro_dsae.data.cache_dir`).
        on_error: a recording that cannot be read or that ``check`` refuses is left out with a warning that
            names it, if ``"skip"``, or an error, if ``"raise"``.
        mixed_sizes: allow images of different sizes in one folder.
        check: called with the path, the number of frames and their times, raises ValueError.
    """

    names: list[str]
    """Paths from ``root``, without suffix."""
    lengths: list[int]
    """Frames of each."""
    times: list[np.ndarray | None]
    """Seconds of each frame from the first; None of a folder of images."""
    sizes: list[tuple[int, int]]
    """Height and width as recorded."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        size: Size,
        grey: bool,
        keep: Keep,
        cache_dir: str | os.PathLike[str] | None,
        on_error: Literal["raise", "skip"],
        mixed_sizes: bool,
        check: Callable[[Path, int, np.ndarray | None], None],
    ) -> None:
        if keep not in ("disk", "memory", "none"):
            raise ValueError(f"keep must be 'disk', 'memory' or 'none', got {keep!r}")
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
        self.size, self.grey, self.keep = sides(size), bool(grey), keep
        self.shape = (1 if grey else 3, *self.size)
        self._cache = default_cache_dir() / "clips" if cache_dir is None else Path(cache_dir)
        self.names, self.lengths, self.times, self.sizes = [], [], [], []
        self._read: list[Callable[[np.ndarray], Tensor]] = []
        found = find(Path(root))
        refused: list[str] = []
        self._bytes = 0  # written now
        for name, (path, files) in tqdm(found.items(), "clips", disable=None, leave=False):
            try:
                if not files:
                    raise ValueError(f"{path} must hold images or videos, got none")
                size_, times, length, read = self._open(path, files, mixed_sizes)
                check(path, length, times)
            except (OSError, ValueError) as error:
                if on_error == "raise":
                    raise
                refused.append(str(error))
                continue
            self.names.append(name)
            self.sizes.append(size_)
            self.times.append(times)
            self.lengths.append(length)
            self._read.append(read)
        if refused:
            more = f"; and {len(refused) - 8} more" if len(refused) > 8 else ""
            warnings.warn(
                f"{len(refused)} of {len(found)} clips are left out: {'; '.join(refused[:8])}{more}",
                stacklevel=3,
            )
        if not self.names:
            raise ValueError(f"{root} must hold a clip that can be used, got none")
        say_if_large(self._bytes, self._cache, stacklevel=4)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, i: int, order: Sequence[int] | np.ndarray | Tensor) -> Tensor:
        """Frames ``order`` of recording ``i``: uint8 ``(n, C, *size)``."""
        return self._read[i](np.asarray(order, np.int64))

    def folders(self) -> list[str] | None:
        """The top folder of each name, ``CLASS`` of ``CLASS/clip``; None if any stands in none."""
        parts = [name.split("/") for name in self.names]
        return [part[0] for part in parts] if all(len(part) > 1 for part in parts) else None

    def _open(
        self, path: Path, files: list[Path], mixed_sizes: bool
    ) -> tuple[tuple[int, int], np.ndarray | None, int, Callable[[np.ndarray], Tensor]]:
        """Size and times of a recording, its length, and what reads its frames."""

        def source() -> Pictures | Video:
            return Pictures(path, files, mixed_sizes=mixed_sizes) if path.is_dir() else Video(path)

        if self.keep == "disk":
            folder = self._cache / self._key(files, mixed_sizes)
            if not folder.is_dir():
                self._write(source(), folder)
            with np.load(folder / "about.npz") as about:
                size, length = tuple(about["size"].tolist()), int(about["length"])
                times = about.get("times")
            return size, times, length, _Mapped(folder / "frames", (length, *self.shape))
        opened = source()
        if self.keep == "memory":
            decoded = [*opened.read(self.size, self.grey)]
            if not decoded:
                raise ValueError(f"{path} must hold frames, got 0")
            times = None if opened.times is None else np.array([time for time, _ in decoded])
            frames = torch.from_numpy(np.stack([frame for _, frame in decoded]))
            return opened.size, times, len(frames), _Held(frames)
        return opened.size, opened.times, len(opened), _Decoded(opened, self.size, self.grey)

    def _write(self, source: Pictures | Video, folder: Path) -> None:
        """Decode all frames into a folder."""
        with whole(folder) as partial:
            partial.mkdir()
            times = []
            with (partial / "frames").open("wb") as file:
                for time, frame in source.read(self.size, self.grey):
                    times.append(time)
                    self._bytes += file.write(frame.tobytes())
            known: dict[str, Any] = {} if source.times is None else {"times": np.array(times)}
            np.savez(partial / "about.npz", size=source.size, length=len(times), **known)

    def _key(self, files: list[Path], mixed_sizes: bool) -> str:
        """Of the files as they are and of what is done to them."""
        stats = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
        parts = json.dumps([_FORM, self.shape, mixed_sizes, stats])
        return hashlib.sha256(parts.encode()).hexdigest()[:24]


class _Held:
    """Frames in memory."""

    def __init__(self, frames: Tensor) -> None:
        self.frames = frames

    def __call__(self, order: np.ndarray) -> Tensor:
        return self.frames[torch.from_numpy(order)]


class _Mapped:
    """Frames in a file, which is open only while it is read: there may be more files than may be open."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape = path, shape

    def __call__(self, order: np.ndarray) -> Tensor:
        return torch.from_numpy(np.memmap(self.path, np.uint8, "r", shape=self.shape)[order])


class _Decoded:
    """Frames as they are asked for."""

    def __init__(self, source: Pictures | Video, size: tuple[int, int], grey: bool) -> None:
        self.source, self.size, self.grey = source, size, grey

    def __call__(self, order: np.ndarray) -> Tensor:
        read = self.source.read(self.size, self.grey, order.tolist())
        return torch.from_numpy(np.stack([frame for _, frame in read]))
