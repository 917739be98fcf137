"""A video as a recording, by PyAV: upright, opaque, 8 bits a channel, read from any frame on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from .images import fitted

SUFFIXES = {
    *(".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".ogv", ".webm", ".wmv"),
}
_LONG = 500  # frames, from which on all cores decode
_PROMISED = 0.9  # share of the duration in its header that a whole video has at least


class Video:
    """A video file, whose frames are known by their times before any is decoded.

    :raises ImportError: without PyAV.
    :raises ValueError: naming the file that is no video, or is damaged or cut off as far as can be told
        without decoding.
    """

    times: np.ndarray
    """Of the frames, seconds from the first, ``(T,)``."""
    size: tuple[int, int]
    """Height and width."""

    def __init__(self, path: Path) -> None:
        self.path, self.files = path, [path]
        with _opened(path) as (container, stream):
            shown = [
                packet.pts
                for packet in _packets(path, container, stream)
                if packet.size and not packet.is_discard
            ]
            unit = float(stream.time_base or 0)
            self.size = (stream.height, stream.width)
            # AVI tells no times: those of packets are in the order of decoding, which B-frames change.
            avi = container.format.name == "avi"
            self._counted = avi and stream.codec_context.has_b_frames
        self._pts: np.ndarray | None = None  # without, frames are counted from the start
        if None not in shown and len({*shown}) == len(shown) and not self._counted:
            self._pts = np.sort(np.array(shown, np.int64))
            self.times = (self._pts - self._pts[:1]) * unit
        else:
            self.times = np.array([time for time, _ in self._all(lambda frame: None)])

    def __len__(self) -> int:
        return len(self.times)

    def read(
        self, size: tuple[int, int], grey: bool, order: Iterable[int] | None = None
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Frames ``order``, or all as they come: the time of each, and uint8 ``(C, *size)``.

        Decoding starts at the last key frame before the first of them.
        """
        picture = _Picture(size, grey)
        if order is None:
            yield from self._all(picture)
            return
        order = [*order]
        found = self._some(order, picture, seek=True) or self._some(order, picture, seek=False)
        for t in order:
            if t not in found:
                raise ValueError(
                    f"{self.path} must be a whole video, got one whose frame {t} cannot be decoded"
                )
            yield float(self.times[t]), found[t]

    def _all(self, picture: Callable[[Any], Any]) -> Iterator[tuple[float, Any]]:
        """The time of each frame, and what ``picture`` makes of it."""
        number, start = count(), None
        threads = self._pts is not None and len(self._pts) >= _LONG
        with _opened(self.path, threads=threads) as (container, stream):
            step = 1 / float(stream.average_rate or 25)
            for packet in _packets(self.path, container, stream):
                for frame in packet.decode():
                    t = next(number)
                    time = t * step if frame.time is None or self._counted else frame.time
                    start = time if start is None else start
                    yield time - start, picture(frame)

    def _some(
        self, order: list[int], picture: Callable[[Any], Any], *, seek: bool
    ) -> dict[int, Any]:
        """Frames by number: sought, or counted from the start. None if seeking leads past the first."""
        if self._pts is None and seek:
            return {}
        pts = np.empty(0) if self._pts is None else self._pts
        wanted, last = {*order}, max(order)
        found: dict[int, Any] = {}
        with _opened(self.path) as (container, stream):
            if seek:
                container.seek(int(pts[min(order)]), stream=stream)
            for number, frame in enumerate(container.decode(stream)):
                t = int(np.searchsorted(pts, frame.pts)) if seek else number
                if number == 0 and t > min(order):
                    break
                if t in wanted:
                    found[t] = picture(frame)
                if t >= last:
                    break
        return found


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    rate: float | Fraction,
    *,
    codec: str = "h264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> None:
    """A video file of frames, uint8 ``(H, W, 3)``: by default H.264, which wants even sides.

    :param rate: frames a second.
    :param options: of the encoder, such as ``{"g": "10"}`` for a key frame every ten.
    :raises ImportError: without PyAV.
    """
    av = _av(path, "writing")
    with av.open(str(Path(path).absolute()), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
        stream.pix_fmt, stream.options = pix_fmt, options or {}
        for number, frame in enumerate(frames):
            if number == 0:
                stream.height, stream.width = frame.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _av(path: str | os.PathLike[str], what: str) -> Any:
    try:
        import av
    except ImportError as error:
        raise ImportError(
            f'{path} is a video, and {what} it needs PyAV: pip install "pyro-dsae[video]"'
        ) from error
    return av


@contextmanager
def _opened(path: Path, *, threads: bool = False) -> Iterator[tuple[Any, Any]]:
    """The container and its first stream of pictures; errors name the file.

    :param threads: decode on all cores. To start them takes longer than to decode a window.
    """
    av = _av(path, "reading")
    try:
        with av.open(str(path.absolute())) as container:
            if not container.streams.video:
                raise ValueError(f"{path} must be a video, got one without pictures")
            stream = container.streams.video[0]
            if threads:
                stream.thread_type = "AUTO"
            else:
                stream.thread_count = 1
            yield container, stream
    except av.error.FFmpegError as error:
        raise ValueError(f"{path} must be a video, got one that cannot be read: {error}") from error


def _packets(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    """All packets of a stream; ValueError if one is damaged, or they end before the header says."""
    first, end = float("inf"), float("-inf")
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise ValueError(f"{path} must be a whole video, got a damaged one")
        if packet.pts is not None:
            first, end = min(first, packet.pts), max(end, packet.pts + (packet.duration or 0))
        yield packet
    if stream.duration:
        promised = float(stream.duration * stream.time_base)
    else:  # of the longest stream
        alone = len(container.streams) == 1 and container.duration
        promised = container.duration / 1e6 if alone else 0.0
    got = (end - first) * float(stream.time_base) if end > first else promised
    if got < _PROMISED * promised:
        raise ValueError(
            f"{path} must be a whole video, got {got:.2f} s of the {promised:.2f} s in its header"
        )


class _Picture:
    """Makes uint8 ``(C, *size)`` of a frame as :func:`~.images.fitted` does of an image, but faster."""

    def __init__(self, size: tuple[int, int], grey: bool) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        self.size, self.grey = size, grey
        # It keeps what it has set up from frame to frame. Since PyAV 17 it would start threads for that,
        # which takes longer than a window.
        options: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
        self._reformat: Callable[..., Any] = partial(VideoReformatter().reformat, **options)

    def __call__(self, frame: Any) -> np.ndarray:
        turns = round(frame.rotation / 90) % 4
        height, width = self.size[::-1] if turns % 2 else self.size
        if frame.format.has_palette or any(part.is_alpha for part in frame.format.components):
            from PIL import Image

            seen = self._reformat(frame, format="rgba").to_ndarray()
            pixels = fitted(Image.fromarray(seen), (height, width), self.grey)
        else:
            scale = max(height / frame.height, width / frame.width)
            tall, wide = (
                max(side, round(scale * given))
                for side, given in ((height, frame.height), (width, frame.width))
            )
            pixels = self._reformat(
                frame,
                width=wide,
                height=tall,
                format="gray" if self.grey else "rgb24",
                interpolation="BILINEAR",
            ).to_ndarray()
            top, left = (tall - height) // 2, (wide - width) // 2
            pixels = pixels[top : top + height, left : left + width]
            pixels = pixels[None] if self.grey else pixels.transpose(2, 0, 1)
        return np.rot90(pixels, turns, axes=(1, 2))
