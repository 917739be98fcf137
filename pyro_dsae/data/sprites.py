"""LPC Sprites: Liberated Pixel Cup characters, composed from layers of sprite sheets.

A layer with colour c and opacity a (in [0, 1]) goes over what lies below it as

    frame <- (1 - a) * frame + a * c,

in the order body, bottomwear, topwear, hair, shoes, over black (Li & Mandt, 2018, section 4.1).
The sheets are 13 x 21 cells of 64 x 64 pixels.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from .._numbers import check_whole
from .cache import cache_dir as default_cache_dir
from .cache import kept
from .characters import (
    ACTION_TYPES,
    DIRECTIONS,
    NUM_FRAMES,
    NUM_VALUES,
    Characters,
    split_characters,
)

Array = npt.NDArray[np.floating[Any]]
Bytes = npt.NDArray[np.uint8]

LAYERS = ("body", "bottomwear", "topwear", "hair")
SHEETS = (*(f"{layer}/{v}.png" for layer in LAYERS for v in range(NUM_VALUES)), "shoes/1.png")
CELL, COLUMNS, ROWS = 64, 13, 21
FIRST_CELL = {
    "walk": {"front": 130, "left": 117, "right": 143},
    "spellcard": {"front": 26, "left": 13, "right": 39},
    "slash": {"front": 182, "left": 169, "right": 195},
}
CELLS = {
    "walk": (8, 1, 2, 3, 4, 5, 6, 7),
    "spellcard": (0, 1, 2, 3, 4, 5, 4, 6),
    "slash": (0, 1, 2, 3, 4, 5, 4, 0),
}
SEQUENCES = tuple(
    FIRST_CELL[kind][direction] + step
    for kind in ACTION_TYPES
    for direction in DIRECTIONS
    for step in CELLS[kind]
)
"""The cells of the nine sequences, one after another."""

_COMMIT = "3ce4048c5227802bd8f1888e293fd3afdba91c0c"
URL = f"https://github.com/YingzhenLi/Sprites/archive/{_COMMIT}.zip"
SHA256 = "7dac881ef1c4b3adf3b0a632f97d97ee8460f363f12436d24d3f12ae6427c92d"
"""Of the 25 sheets at that commit, in the order of ``SHEETS``. The archive itself is made anew by
its host on each request, with bytes that are not promised to stay, so the sheets are what is
checked."""


def _read(root: Path) -> dict[str, bytes]:
    """The 25 files; raises ``FileNotFoundError`` naming the folder or the first missing file."""
    hint = f"expected a folder with {SHEETS[0]} to {SHEETS[-1]} (download=True fetches them)"
    if not root.is_dir():
        raise FileNotFoundError(f"root is not a folder: {root}; {hint}")
    for name in SHEETS:
        if not (root / name).is_file():
            raise FileNotFoundError(f"root lacks the sheet {root / name}; {hint}")
    return {name: (root / name).read_bytes() for name in SHEETS}


def _digest(files: dict[str, bytes]) -> str:
    return hashlib.sha256(b"".join(files[name] for name in SHEETS)).hexdigest()


def _poses(path: Path, data: bytes, index: Sequence[int] = SEQUENCES) -> Array:
    """The cells ``index`` of a sheet: RGBA (n, 4, 64, 64), 0 to 255."""
    from PIL import Image

    expected = (COLUMNS * CELL, ROWS * CELL)
    try:
        with Image.open(BytesIO(data)) as image:
            if image.size != expected:
                raise ValueError(f"{path} must be {expected} pixels, got {image.size}")
            if not image.has_transparency_data:
                raise ValueError(f"{path} must have transparency, got mode {image.mode}")
            sheet = np.asarray(image.convert("RGBA"))
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path} must be a whole PNG, got {len(data)} bytes: {error}") from error
    cells = sheet.reshape(ROWS, CELL, COLUMNS, CELL, 4).transpose(0, 2, 4, 1, 3)
    return cells.reshape(-1, 4, CELL, CELL)[np.array(index)].astype(np.float32)


def _resize(frames: Array, size: int) -> Array:
    """Frames (n, 3, 64, 64) to (n, 3, size, size), antialiased: block means where they fit."""
    if size == CELL:
        return frames
    x = torch.from_numpy(frames)
    if CELL % size == 0:
        return functional.avg_pool2d(x, CELL // size).numpy()
    return functional.interpolate(x, size=(size, size), mode="bilinear", antialias=True).numpy()


def _compose(
    characters: Tensor, root: Path, files: dict[str, bytes], size: int, index: Sequence[int]
) -> Iterator[Bytes]:
    """Characters (n, 4) one by one: uint8 (cells, 3, size, size), rounded once, at the end."""
    poses = {name: _poses(root / name, data, index) for name, data in files.items()}
    keep = {name: 1 - rgba[:, 3:] / 255 for name, rgba in poses.items()}
    colour = {name: rgba[:, :3] * (rgba[:, 3:] / 255) for name, rgba in poses.items()}
    del poses
    shoes = SHEETS[-1]
    for name in SHEETS[
        -1 - NUM_VALUES : -1
    ]:  # hair and the shoes over it, as one layer; 0.5 to round
        colour[name] = colour[name] * keep[shoes] + colour[shoes] + np.float32(0.5)
        keep[name] = keep[name] * keep[shoes]
    dressed, frames = np.empty_like(colour[shoes]), np.empty_like(colour[shoes])
    wearing: list[int] = []
    for values in characters.tolist():
        body, trousers, top, hair = (f"{n}/{v}.png" for n, v in zip(LAYERS, values, strict=True))
        if wearing != values[:3]:
            dressed[:] = colour[body]
            for name in (trousers, top):
                dressed *= keep[name]
                dressed += colour[name]
            wearing = values[:3]
        np.multiply(dressed, keep[hair], out=frames)
        np.add(frames, colour[hair], out=frames)
        yield _resize(frames, size).astype(np.uint8)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small steps on a busy machine: threads that wait for one another cost 50 times the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _cached(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """The frames in a cache file, memory-mapped; ``None`` if it is absent or not what it says."""
    if not path.is_file():
        return None
    try:
        frames = np.load(path, mmap_mode="c", allow_pickle=False)
    except (EOFError, OSError, ValueError) as error:
        warnings.warn(f"composing again, the cache {path} is damaged: {error}", stacklevel=3)
        return None
    if frames.dtype != np.uint8 or frames.shape != shape:
        got = f"{frames.dtype} {frames.shape}, expected uint8 {shape}"
        warnings.warn(f"composing again, the cache {path} holds {got}", stacklevel=3)
        return None
    return torch.from_numpy(np.asarray(frames))


def _write(path: Path, shape: tuple[int, ...], chunks: Iterator[Bytes]) -> None:
    """An .npy file made of ``chunks``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    needed, free = int(np.prod(shape)), shutil.disk_usage(path.parent).free
    if free < needed:
        raise OSError(
            f"cache_dir must have {needed / 1e6:.0f} MB free, {path.parent} has {free / 1e6:.0f} MB"
        )
    with kept(path) as partial, partial.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(chunk.data)


def _intact(root: Path) -> bool:
    try:
        for name, data in _read(root).items():
            _poses(root / name, data)
    except (FileNotFoundError, ValueError):
        return False
    return True


def _download(root: Path) -> None:
    """Fetch the sheets into ``root``, by way of a temporary folder: all of them or none."""
    from torchvision.datasets.utils import download_and_extract_archive

    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as folder:
        try:
            download_and_extract_archive(URL, folder, filename="sprites.zip")
            source = next(Path(folder).glob("*/body")).parent
            files = _read(source)
        except StopIteration:
            raise RuntimeError(
                f"the archive {URL} must hold a folder with body/, got none"
            ) from None
        except Exception as error:
            raise RuntimeError(f"download of {URL} failed: {error}") from error
        if (got := _digest(files)) != SHA256:
            raise RuntimeError(f"the sheets of {URL} must have SHA-256 {SHA256}, got {got}")
        for file in [*(source / name for name in SHEETS), *source.glob("*LICENSE*")]:
            target = root / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def composed(
    root: str | os.PathLike[str],
    characters: Tensor,
    index: Sequence[int],
    name: str,
    *,
    size: int,
    download: bool,
    cache_dir: str | os.PathLike[str] | None,
) -> Tensor:
    """Frames of all characters (n, 4) in the cells ``index``: uint8 (n, cells, 3, size, size).

    From the cache file ``name``, or composed and kept there; memory-mapped.
    """
    check_whole(1, size=size)
    root = Path(root)
    if download and not _intact(root):
        _download(root)
    files = _read(root)
    folder = default_cache_dir() if cache_dir is None else Path(cache_dir)
    path = folder / f"{name}-{_digest(files)[:16]}.npy"
    shape = (len(characters), len(index), 3, size, size)
    frames = _cached(path, shape)
    if frames is None:
        with _one_thread():
            _write(path, shape, _compose(characters, root, files, size, index))
        frames = _cached(path, shape)
        assert frames is not None
    return frames


class Sprites(Characters):
    """LPC characters in nine actions, from a folder of layers of sprite sheets.

    The frames are composed once for each split, size and seed, and kept as a uint8 .npy file that
    is memory-mapped from then on; its name holds a digest of the sheets. The sheets are under CC-BY-SA 3.0
    and GPL 3.0.

    Args:
        root: folder with ``body/0.png`` to ``body/5.png``, likewise ``bottomwear``, ``topwear``
            and ``hair``, and ``shoes/1.png``, each 832 x 1344 pixels with transparency.
        split: ``"train"`` (1000 characters) or ``"test"`` (the other 296); to choose settings, those of
            ``"train"`` as ``"learn"`` (900) and ``"validation"`` (100).
        size: height and width of a frame in pixels; drawn at 64, else resized with antialiasing.
        download: fetch the sheets into ``root`` unless they are there, each one whole.
        transform: called on each float tensor ``(8, 3, size, size)``.
        seed: of the split.
        cache_dir: folder of the composed frames, up to 1 GB a split (default:
            :func:`~pyro_dsae.data.cache_dir`). ``root`` itself is only read, but for ``download``.

    Raises ``ValueError`` on another split or size, and on a sheet that is damaged or of another
    size; ``FileNotFoundError`` on a missing folder or sheet; ``RuntimeError`` if a download fails
    or brings other sheets than those of the paper.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        *,
        size: int = CELL,
        download: bool = False,
        transform: Callable[[Tensor], Any] | None = None,
        seed: int = 0,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        characters = split_characters(split, seed)
        self.root = Path(root)
        frames = composed(
            root,
            characters,
            SEQUENCES,
            f"sprites-{split}-{size}-{seed}",
            size=size,
            download=download,
            cache_dir=cache_dir,
        )
        frames = frames.view(-1, NUM_FRAMES, *frames.shape[2:])
        super().__init__(frames, characters, split=split, transform=transform)
