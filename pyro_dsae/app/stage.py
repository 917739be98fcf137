"""What the tabs show, from the choices of one session."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from . import pictures
from .directions import Directions
from .entries import Entry, check_shown
from .films import MILLISECONDS, Shown, beside, crossed, grid
from .pictures import looped
from .snippets import snippet

TABS = ("Swap", "Walk", "Directions", "Fresh", "Forecast", "Matrix")
COMPARE = "Compare"  # a tab more, where there is a second pair
MOTIONS, CONTENTS = "motions for this content", "contents for this motion"
DRAWS = 4
MOST_ROWS = 6  # and columns of the matrix


@dataclass(frozen=True)
class Choice:
    """What a session has chosen.

    :param tab: one of :data:`TABS`, or :data:`COMPARE`.
    :param content: number of an entry, those of one's own after all others.
    :param motion: the same.
    :param own: what was uploaded.
    :param rows: contents of the matrix.
    :param columns: its motions.
    """

    tab: str = "Swap"
    content: int = 0
    motion: int = 1
    own: tuple[Entry, ...] = ()
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    def picked(
        self, *, tab: str | None = None, content: int | None = None, motion: int | None = None
    ) -> Choice:
        """With another tab, content or motion; in the matrix they are added as rows and columns."""
        new = replace(
            self,
            tab=tab or self.tab,
            content=self.content if content is None else content,
            motion=self.motion if motion is None else motion,
        )
        if new.tab != "Matrix":
            return new
        rows, columns = _grown(new.rows, new.content), _grown(new.columns, new.motion)
        return replace(new, rows=rows, columns=columns)

    def cleared(self) -> Choice:
        """With a matrix of one cell."""
        return replace(self, rows=(self.content,), columns=(self.motion,))


def _grown(chosen: tuple[int, ...], new: int) -> tuple[int, ...]:
    """With one more at the end, where it is not there yet; the oldest falls out."""
    return chosen if new in chosen else (*chosen, new)[-MOST_ROWS:]


class Stage:
    """What the tabs show, as HTML and lines of Pyro, from the choices of one session.

    :param pair: folder or id of the pair, as the lines name it.
    :param against: a second pair, of the same frames, and its folder or id.
    :param pace: ``stride`` or ``rate`` of videos that are brought, see :func:`~.entries.read_data`.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        entries: Sequence[Entry],
        pair: str,
        against: tuple[nn.Module, nn.Module, str] | None = None,
        pace: Mapping[str, Any] | None = None,
    ) -> None:
        check_shown(model, guide)
        if against is not None:
            check_shown(*against[:2])
            shapes = [tuple(cast(Any, one).frame_shape) for one in (model, against[0])]
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"pairs to compare must be of the same frames, got {shapes[0]} and {shapes[1]}"
                )
        if len(entries) < 2:
            raise ValueError(f"the explorer needs at least 2 sequences, got {len(entries)}")
        self.model, self.guide, self.entries, self.pair = model, guide, [*entries], pair
        self.directions = Directions.of(entries)
        self.against, self.pace = against, pace
        self.tabs = TABS if against is None else (*TABS, COMPARE)

    def draw(self, choice: Choice, values: Mapping[str, Any]) -> Shown:
        """The tab's film.

        :param values: of its controls by name: ``content`` and ``motion`` (shares), ``f 1``, ``z 1``, ...
            (standard deviations), ``what`` (is fresh), ``steps``, ``seen`` and ``ahead`` (frames).
        """
        known = [*self.entries, *choice.own]
        a, b = known[choice.content], known[choice.motion]
        if choice.tab == "Swap":
            return self.swap(a, b)
        if choice.tab == "Walk":
            return self.walk(a, b, values["content"], values["motion"])
        if choice.tab == "Directions":
            f, z = (
                [float(values[f"{site} {i + 1}"]) for i in range(len(axes))]
                for site, axes in (("f", self.directions.f), ("z", self.directions.z))
            )
            return self.move(a, b, f, z)
        if choice.tab == "Fresh":
            return self.fresh(a, b, values["what"], int(values["steps"]))
        if choice.tab == "Forecast":
            return self.forecast(b, int(values["seen"]), int(values["ahead"]))
        if choice.tab == "Matrix":
            rows, columns = ([known[i] for i in some] for some in (choice.rows, choice.columns))
            return self.matrix(rows, columns)
        if choice.tab == COMPARE and self.against is not None:
            return self.compare(a, b, *self.against)
        raise ValueError(f"tab must be one of {', '.join(self.tabs)}, got {choice.tab!r}")

    def swap(self, a: Entry, b: Entry) -> Shown:
        shown = pictures.swap(self.model, a, b)
        captions = ["content", "motion", "content in motion"]
        return beside(shown, captions, "swap", snippet("Swap", self.pair))

    def walk(self, a: Entry, b: Entry, content: float, motion: float) -> Shown:
        between = pictures.mixed(self.model, a, b, content, motion)[0]
        shown = torch.stack([looped(a.x, len(b.x)), between, b.x])
        lines = snippet("Walk", self.pair, content_share=content, motion_share=motion)
        return beside(shown, ["from", "between", "to"], "walk", lines, _now())

    def move(self, a: Entry, b: Entry, f: Sequence[float], z: Sequence[float]) -> Shown:
        shown = pictures.moved(self.model, a, b, self.directions, f, z)
        values = {"f_moves": f, "z_moves": z, "f_count": len(f), "z_count": len(z)}
        lines = snippet("Directions", self.pair, **values)
        return beside(shown, ["as it is", "moved"], "directions", lines, _now())

    def fresh(self, a: Entry, b: Entry, what: str, steps: int) -> Shown:
        if what == MOTIONS:
            kind, shown = "Fresh motions", pictures.fresh_dynamics(self.model, a, steps, DRAWS)
        else:
            kind, shown = "Fresh contents", pictures.fresh_contents(self.model, b, steps, DRAWS)
        captions = [f"draw {i + 1}" for i in range(DRAWS)]
        return beside(shown, captions, "fresh", snippet(kind, self.pair, draws=DRAWS, steps=steps))

    def forecast(self, b: Entry, seen: int, ahead: int) -> Shown:
        seen, futures = min(seen, len(b.x)), DRAWS - 1
        shown = pictures.forecasts(self.model, self.guide, b, seen, ahead, futures)
        captions = ["as it went on", *(f"future {i + 1}" for i in range(futures))]
        lines = snippet("Forecast", self.pair, seen=seen, ahead=ahead, futures=futures)
        return beside(shown, captions, "forecast", lines)

    def compare(self, a: Entry, b: Entry, model: nn.Module, guide: nn.Module, other: str) -> Shown:
        pairs = [(self.model, self.guide), (model, guide)]
        shown = pictures.compared(pairs, a, b)
        errors = (shown[:2, 1:] - shown[:2, :1]).square().transpose(0, 1).flatten(1).mean(1)
        captions = ["as it is"]
        for pair, folder, error in zip(pairs, (self.pair, other), errors.tolist(), strict=True):
            names = " with ".join(type(program).__name__ for program in pair)
            captions.append(f"{Path(folder).name}\n{names}\nsquared error {error:.3g}")
        rows = ["content", "motion", "content in motion"]
        lines = snippet("Compare", self.pair, other=other)
        return grid(shown, rows, captions, "compare", lines)

    def matrix(self, contents: Sequence[Entry], motions: Sequence[Entry]) -> Shown:
        cells = pictures.matrix(self.model, contents, motions)
        steps = cells.shape[2]
        rows, columns = (
            torch.stack([looped(entry.x, steps) for entry in some]) for some in (contents, motions)
        )
        lines = snippet("Matrix", self.pair, steps=steps)
        return crossed(rows, columns, cells, [], "matrix", lines)


def _now() -> int:
    """The frame that the clock is at, where a film that takes another's place goes on."""
    return int(1000 * time.monotonic() / MILLISECONDS)
