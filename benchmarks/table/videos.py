"""Clips: what f and z tell of moving shapes, and how fast videos are read."""

from __future__ import annotations

from .cells import percent
from .results import Rows, result, table


@table
def videos() -> Rows:
    """A label a row; what should not tell it may know chance and ten points."""
    found = result("videos_shapes_quick")["probe"]
    rows = [
        ["a linear probe reads, in unseen clips", "from f", "from z", "chance", "aims, f and z"]
    ]
    for label, scores in found.items():
        leak = f"at most {percent(scores['chance'] + 0.1)}"
        aims = (leak, "95%") if label == "path" else ("95%", leak)
        shown = (percent(scores[key]) for key in ("f", "z", "chance"))
        rows.append([label, *shown, ", ".join(aims)])
    return rows


@table
def clips() -> Rows:
    """A way of reading a row, a length of clip a column; memory of the longest."""
    lengths = result("clips")["results"]
    shortest, longest = (lengths[length] for length in lengths)
    rows = [["frames a second", *(f"of {length}" for length in lengths), "memory"]]
    for way in shortest:
        rates = (f"{each[way]['frames_per_second']:,.0f}" for each in (shortest, longest))
        rows.append([way, *rates, f"{longest[way]['bytes'] / 1e6:.0f} MB"])
    return rows
