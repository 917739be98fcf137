"""Missing frames, filled in: what ``imputation.py`` has found, a way to fill them a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .cells import interval, percent
from .results import Rows, recorded, table

WAYS = {
    "impute": "`impute`",
    "impute_drawn": "`impute(sample=True)`",
    "impute_paths": "`impute(paths=300)`",
    "forecast": "`forecast` from the frames before",
    "hold": "the last frame before, held",
    "constant_velocity": "the last step before, again and again",
    "constant_velocity_from_both_ends": "the same from both ends, up to the middle",
    "line": "from the last frame before to the first after, pixel by pixel",
    "rebuilt": "nothing missing: `reconstruct`",
}


def filled_in(part: str, head: list[str], cells: Callable[[dict[str, Any]], list[str]]) -> Rows:
    """The rows of a part of the results; none as long as there are no results."""
    for found in recorded("imputation"):
        ways = found[part]["ways"]
        return [["", *head], *([WAYS[way], *cells(scores)] for way, scores in ways.items())]
    return []


@table
def imputation_ball() -> Rows:
    """Incorrect pixels: of the gap, of the best draw, of its first, middle and last frames."""

    def cells(scores: dict[str, Any]) -> list[str]:
        frames, draws = scores["by_frame"], scores["draws"]
        middle = frames[(len(frames) - 1) // 2 : len(frames) // 2 + 1]
        best = f"{100 * scores['best_draw']:.2f}, of {draws}" if draws > 1 else ""
        shown = (frames[0], sum(middle) / len(middle), frames[-1])
        return [
            interval(scores, "incorrect_pixels", 2, 100),
            best,
            *(f"{100 * share:.2f}" for share in shown),
        ]

    return filled_in(
        "ball", ["incorrect pixels, %", "best draw", "first frame", "middle", "last"], cells
    )


@table
def imputation_sprites() -> Rows:
    """Squared error of the gap, and the action that the judge sees."""

    def cells(scores: dict[str, Any]) -> list[str]:
        shares = (percent(scores[key]) for key in ("action", "action_of_the_gap"))
        return [interval(scores, "squared_error", 2, 1000), *shares]

    head = ["squared error, thousandths", "action, of the whole", "of the gap"]
    return filled_in("sprites", head, cells)
