"""Frames a second and memory of reading videos, against a plain loop over PyAV.

    python benchmarks/clips.py --out benchmarks/results/clips.json

Writes a clip of each length at 640 x 360, H.264 with a key frame every 10 s at most, and reads it at 64 x 64:
all frames once, and windows of 16 from anywhere. The plain loop decodes from the start, makes an array of
each frame and resizes it by torchvision. Each way has a process of its own, whose peak memory is that
above what all imports take.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from common import apart, peak_bytes, record, write
from torch import Tensor
from torchvision.transforms.v2 import functional

from pyro_dsae.data import Clips
from pyro_dsae.data.videos import write_video

RATE, HEIGHT, WIDTH, SIDE, WINDOW = 25, 360, 640, 64, 16


def pictures(seconds: int) -> Iterator[np.ndarray]:
    """A disc that goes round in front of a landscape of noise that drifts."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT // 20, WIDTH // 20 + 20, 3), np.uint8)
    far = noise.repeat(20, 0).repeat(20, 1)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for t in range(seconds * RATE):
        frame = far[:, t % 400 : t % 400 + WIDTH].copy()
        turn = t / 20
        disc = (y - 180 - 90 * np.sin(turn)) ** 2 + (x - 320 - 200 * np.cos(turn)) ** 2 < 1600
        frame[disc] = (250, 40, 40)
        yield frame


def plain(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
    """Frames ``start`` to ``stop`` by a loop over PyAV."""
    with av.open(str(path)) as container:
        for t, frame in enumerate(container.decode(video=0)):
            if stop is not None and t >= stop:
                return
            if t >= start:
                x = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
                small = functional.resize(x, [SIDE], antialias=True)
                yield functional.center_crop(small, [SIDE])


def measured(way: str, path: Path, windows: int, cache: Path) -> dict[str, float]:
    """Frames a second of a way, and its peak memory."""
    before, start = peak_bytes("cpu"), time.perf_counter()
    total = int(sum(1 for _ in av.open(str(path)).demux(video=0))) - 1
    frames = 0
    starts = np.random.default_rng(0).integers(0, total - WINDOW + 1, windows)
    if way == "all frames, plain loop":
        start = time.perf_counter()
        frames = sum(1 for _ in plain(path))
    elif way == "all frames, made on disk":
        start = time.perf_counter()
        frames = Clips(path, size=SIDE, cache_dir=cache).lengths[0]
    else:
        kind = way.removeprefix("windows, ")
        keep: Any = {"sought": "none", "from disk": "disk"}.get(kind)
        data = Clips(path, size=SIDE, keep=keep, cache_dir=cache) if keep else None
        start = time.perf_counter()
        for first in starts.tolist():
            if data is None:
                frames += len(torch.stack([*plain(path, first, first + WINDOW)]))
            else:
                frames += len(data.read(0, np.arange(first, first + WINDOW)))
    seconds = time.perf_counter() - start
    return {"frames_per_second": frames / seconds, "bytes": peak_bytes("cpu") - before}


WAYS = [
    "all frames, plain loop",
    "all frames, made on disk",
    "windows, plain loop",
    "windows, sought",
    "windows, from disk",
]


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, nargs="+", default=[10, 600], help="of the clips")
    options.add_argument("--windows", type=int, default=10, help="read of each clip")
    options.add_argument("--out", type=Path)
    args = options.parse_args()
    results: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seconds in args.seconds:
            path = Path(folder) / f"{seconds}.mp4"
            write_video(path, pictures(seconds), RATE, options={"preset": "veryfast"})
            found = results[f"{seconds} s"] = {}
            print(f"{seconds} s, {path.stat().st_size / 1e6:.1f} MB")
            for way in WAYS:
                found[way] = apart(measured, way, path, args.windows, Path(folder) / "cache")
                rate, memory = found[way]["frames_per_second"], found[way]["bytes"]
                print(f"  {way:28}{rate:10.0f} frames a second{memory / 1e6:8.0f} MB")
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    write({"results": results, "run": record(**settings)}, args.out)


if __name__ == "__main__":
    main()
