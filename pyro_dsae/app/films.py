"""Frames as films for a page: bytes of a file, and HTML that holds them, so that no file is left anywhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from torch import Tensor

from ..plotting import animate, swap_figure

MILLISECONDS = 125  # a frame
Kind = Literal["gif", "mp4"]
_TYPES: dict[str, str] = {"gif": "image/gif", "mp4": "video/mp4"}


def film(sequences: Tensor, kind: Kind, *, columns: int | None = None, scale: int = 1) -> bytes:
    """Sequences ``(N, T, channels, height, width)`` side by side, see :func:`pyro_dsae.plotting.animate`."""
    with TemporaryDirectory() as folder:
        path = Path(folder, f"film.{kind}")
        animate(sequences, path, columns=columns, milliseconds=MILLISECONDS, scale=scale)
        return path.read_bytes()


def swap_film(content: Tensor, motion: Tensor, swapped: Tensor, kind: Kind) -> bytes:
    """The matrix of swaps, see :func:`pyro_dsae.plotting.swap_figure`."""
    with TemporaryDirectory() as folder:
        path = Path(folder, f"film.{kind}")
        swap_figure(content, motion, swapped, path, milliseconds=MILLISECONDS)
        return path.read_bytes()


@dataclass(frozen=True)
class Shown:
    """A film on the page.

    :param film: writes it, as a kind of film.
    :param captions: below its columns.
    :param name: of the files to save.
    :param columns: how wide it may grow, in columns.
    :param lines: of Pyro, that make it.
    :param rows: said of its rows, on their left.
    """

    film: Callable[[Kind], bytes]
    captions: Sequence[str]
    name: str
    columns: float
    lines: str
    rows: Sequence[str] = ()

    def html(self) -> str:
        """A GIF that plays, with its captions, and a link that saves it."""
        gif = _address(self.film("gif"), "gif")
        below = "".join(f"<span>{escape(caption)}</span>" for caption in self.captions)
        said = escape(", ".join([*self.captions, *self.rows]) or self.name)
        image = f'<img alt="{said}" src="{gif}">'
        if self.rows:
            left = "".join(f"<span>{escape(row)}</span>" for row in self.rows)
            image = f'<div class="rows"><div>{left}</div>{image}</div>'
        return (
            f'<figure class="film {self.name}" style="width: min(100%, {13 * self.columns:g}rem)">'
            f"{image}<figcaption>{below}</figcaption>"
            f'<p><a download="{self.name}.gif" href="{gif}">Save as GIF</a></p></figure>'
        )

    def link(self, kind: Kind) -> str:
        """A link that saves the film as another kind."""
        address = _address(self.film(kind), kind)
        return f'<a download="{self.name}.{kind}" href="{address}">{self.name}.{kind}</a>'


def beside(
    sequences: Tensor, captions: Sequence[str], name: str, lines: str, begin: int = 0
) -> Shown:
    """Sequences ``(N, T, channels, height, width)`` that play side by side, each with its caption.

    :param begin: the frame at which a GIF begins, which plays for ever; others begin at 0, and end.
    """
    count = len(sequences)

    def write(kind: Kind) -> bytes:
        shown = sequences.roll(-begin, dims=1) if kind == "gif" else sequences
        return film(shown, kind, columns=count)

    return Shown(write, captions, name, count, lines)


def grid(
    sequences: Tensor, rows: Sequence[str], captions: Sequence[str], name: str, lines: str
) -> Shown:
    """Sequences ``(R, C, T, channels, height, width)`` in rows and columns, each with its caption."""
    columns = sequences.shape[1]
    write = partial(film, sequences.flatten(0, 1), columns=columns)
    return Shown(write, captions, name, columns, lines, rows)


def crossed(
    content: Tensor, motion: Tensor, swapped: Tensor, captions: Sequence[str], name: str, lines: str
) -> Shown:
    """The matrix of swaps, its contents ``(A, T, ...)`` and motions ``(B, T, ...)`` at the edges."""
    write = partial(swap_film, content, motion, swapped)
    return Shown(write, captions, name, 0.5 * (1 + len(motion)), lines)


def _address(data: bytes, kind: Kind) -> str:
    return f"data:{_TYPES[kind]};base64,{b64encode(data).decode()}"
