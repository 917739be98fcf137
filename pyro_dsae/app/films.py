"""Frames as films for a page: bytes of a file, and HTML that holds them, so that no file is left anywhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from torch import Tensor

from ..plotting import animate, swap_figure

MILLISECONDS = 125  # a frame
_TYPES = {"gif": "image/gif", "mp4": "video/mp4"}


def film(
    sequences: Tensor, kind: Literal["gif", "mp4"], *, columns: int | None = None, scale: int = 1
) -> bytes:
    """Sequences ``(N, T, channels, height, width)`` side by side, see :func:`pyro_dsae.plotting.animate`."""
    with TemporaryDirectory() as folder:
        path = Path(folder, f"film.{kind}")
        animate(sequences, path, columns=columns, milliseconds=MILLISECONDS, scale=scale)
        return path.read_bytes()


def swap_film(
    content: Tensor, motion: Tensor, swapped: Tensor, kind: Literal["gif", "mp4"]
) -> bytes:
    """The matrix of swaps, see :func:`pyro_dsae.plotting.swap_figure`."""
    with TemporaryDirectory() as folder:
        path = Path(folder, f"film.{kind}")
        swap_figure(content, motion, swapped, path, milliseconds=MILLISECONDS)
        return path.read_bytes()


def kinds() -> tuple[Literal["gif", "mp4"], ...]:
    """The kinds of films that can be written here: MP4 needs PyAV."""
    return ("gif", "mp4") if find_spec("av") else ("gif",)


def address(data: bytes, kind: str) -> str:
    """The bytes of a film as a ``data:`` address."""
    return f"data:{_TYPES[kind]};base64,{b64encode(data).decode()}"


def figure(films: dict[str, bytes], captions: Sequence[str], name: str, width: str = "auto") -> str:
    """HTML of a GIF with captions below its columns, and links that save each film as ``name``."""
    links = " ".join(
        f'<a download="{escape(name)}.{kind}" href="{address(data, kind)}">{kind.upper()}</a>'
        for kind, data in films.items()
    )
    below = "".join(f"<span>{escape(caption)}</span>" for caption in captions)
    image = f'<img alt="{escape(", ".join(captions))}" src="{address(films["gif"], "gif")}">'
    return (
        f'<figure class="film" style="width: {width}">{image}<figcaption>{below}</figcaption>'
        f"<p>Take it home: {links}</p></figure>"
    )


def card(
    sequences: Tensor, captions: Sequence[str], name: str, *, columns: int | None = None
) -> str:
    """HTML of sequences ``(N, T, channels, height, width)`` that play side by side.

    :param captions: below the columns, one each.
    :param name: of the files to save.
    """
    columns = columns or len(sequences)
    films = {kind: film(sequences, kind, columns=columns) for kind in kinds()}
    return figure(films, captions, name, f"min(100%, {columns * 13}rem)")
