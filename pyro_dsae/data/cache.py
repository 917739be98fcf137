"""The cache folder: what is made once and kept, and may be deleted at any time.

One rule for all data sets: a folder that the user names as data is only read, but for ``download=True``.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

_LARGE = 100e6  # bytes, from which on the size is said


def cache_dir() -> Path:
    """``$XDG_CACHE_HOME/pyro_dsae``, or ``~/.cache/pyro_dsae``. :func:`clear_cache` empties it.

    >>> cache_dir().name
    'pyro_dsae'
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyro_dsae"


def clear_cache() -> int:
    """Delete all that is in :func:`cache_dir`, to be made anew when it is needed; returns its bytes."""
    folder = cache_dir()
    size = _size(folder)
    for path in [*folder.iterdir()] if folder.is_dir() else []:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return size


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Another name for a file or folder to be made at ``path``, which takes its own once it is whole."""
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        try:
            partial.replace(path)
        except OSError:
            if not path.is_dir():  # or another process has been faster
                raise
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        partial.unlink(missing_ok=True)


@contextmanager
def kept(path: Path) -> Iterator[Path]:
    """:func:`whole`; the size of a large one is said, once."""
    with whole(path) as partial:
        yield partial
    say_if_large(_size(path), path, stacklevel=7)  # the line that makes the data set


def say_if_large(size: int, path: Path, *, stacklevel: int) -> None:
    """Warn that so many bytes are kept at ``path``, if they are many."""
    if size >= _LARGE:
        hint = ": pyro_dsae.data.clear_cache()" if path.is_relative_to(cache_dir()) else ""
        warnings.warn(
            f"{size / 1e6:.0f} MB are kept in {path}, which may be deleted at any time{hint}",
            stacklevel=stacklevel,
        )


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
