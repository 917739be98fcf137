"""Clips: windows of videos and of folders of images, in order."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from .recordings import Keep, Recordings, Size
from .windows import Grid, Which, Windows


class Clips(Windows):
    """Windows, in order, of every video and every folder of images in ``root``, however deep.

    Frames are turned upright as their file says, stand on black where they are transparent, become 8 bits
    a channel, are resized so that they cover ``size``, and cut to its centre.

    Args:
        root: a folder, such as ``ROOT/clip.mp4``, ``ROOT/CLASS/clip.mp4`` or ``ROOT/clip/frame.png``; or one
            video. Hidden files are passed over.
        num_frames: T, frames of a window; None gives whole clips.
        stride: every so many-th frame.
        rate: in place of ``stride``, frames a second, whatever the file's own, even if that varies: those
            nearest in time. Images have no times.
        windows: ``"random"``, where they begin is drawn each time an item is read; or ``"tiled"``, one after
            another from the first frame on, the same each time. What is left at the end is padded or left
            out.
        draws: random windows of each clip an epoch.
        pad: shorter clips, the end of a tiling, and whole clips shorter than the longest end in zeros; the
            label ``mask``, bools ``(T,)``, says which frames there are.
        size: height and width of a frame in pixels, or one number for both.
        grey: one channel in place of three.
        keep: decoded frames: ``"disk"``, made once with a progress bar, as bytes, and mapped from there, so
            that memory does not grow with the clips; ``"memory"``; or ``"none"``, decoded when asked for,
            from the last key frame before them on.
        cache_dir: where ``"disk"`` is (default: ``clips`` in :func:`~pyro_dsae.data.cache_dir`). ``root``
            itself is only read.
        on_error: what a clip is that cannot be read, is damaged, or shorter than a window: an error, if
            ``"raise"``; if ``"skip"``, left out, with a warning that names it.
        mixed_sizes: allow images of different sizes in one folder.
        transform: called on each float tensor ``(T, C, H, W)``.

    An item is ``(x, labels)``: ``x`` float32 ``(T, C, H, W)`` in [0, 1]; the number of the ``clip``, the
    ``start`` of the window in its frames, with classes the number of its ``class``, and with ``pad`` the
    ``mask``.
    :meth:`select` gives the same frames in other windows, or some of the clips: for training and test.

    Raises ``FileNotFoundError`` if there is no ``root`` or no clip in it, ``ValueError`` naming what is bad,
    and ``ImportError`` on a video without PyAV.
    """

    unit = "clip"
    names: list[str]
    """Paths from ``root`` without suffix."""
    rates: list[float | None]
    """Frames a second of each file, on average; None of images and of a single frame."""
    sizes: list[tuple[int, int]]
    """Height and width of each as recorded."""
    classes: list[str]
    """Names, in the order of the label ``class``; empty if a clip lies in ``root`` itself."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        num_frames: int | None = 16,
        stride: int = 1,
        rate: float | None = None,
        windows: Which = "random",
        draws: int = 1,
        pad: bool = False,
        size: Size = 64,
        grey: bool = False,
        keep: Keep = "disk",
        cache_dir: str | os.PathLike[str] | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        mixed_sizes: bool = False,
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        grid = Grid(num_frames, stride, rate, pad)
        self._recordings = Recordings(
            root,
            size=size,
            grey=grey,
            keep=keep,
            cache_dir=cache_dir,
            on_error=on_error,
            mixed_sizes=mixed_sizes,
            check=grid.check,
        )
        known = self._recordings
        self.names, self.sizes = known.names, known.sizes
        self.rates = [
            None if t is None or len(t) < 2 else float((len(t) - 1) / t[-1]) for t in known.times
        ]
        folders = known.folders() or []
        self.classes = sorted({*folders})
        numbers = [self.classes.index(folder) for folder in folders]
        self.labels = {"class": torch.tensor(numbers)} if numbers else {}
        super().__init__(
            grid, known.lengths, known.times, windows=windows, draws=draws, transform=transform
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What is done to clips on the way in: see :func:`pyro_dsae.load_data`."""
        known = self._recordings
        return {**self._grid.settings, "size": [*known.size], "grey": known.grey}

    def read(self, i: int, frames: np.ndarray) -> Tensor:
        """Frames of clip ``i``, uint8 ``(n, C, H, W)``."""
        return self._recordings.read(i, frames)
