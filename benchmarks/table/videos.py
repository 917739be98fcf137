"""Clips of moving shapes: what f and z tell of them."""

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
