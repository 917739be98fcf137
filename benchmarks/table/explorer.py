"""The explorer: how soon it answers."""

from __future__ import annotations

from .results import Rows, result, table


@table
def explorer() -> Rows:
    """First page, a swap's click, and memory over many."""
    found = result("explorer")
    ms, held = found["click_ms"], [f"{size / 1e6:.0f}" for size in found["memory_bytes"]]
    return [
        ["", "", "aim"],
        ["from the command to the first page", f"{found['first_page_s']:.1f} s", "5 s"],
        [
            f"from a click to the swap, median and worst of {len(ms['each'])}",
            f"{ms['median']:.0f} and {ms['worst']:.0f} ms",
            "200 ms",
        ],
        [
            f"memory of the server, five times over {found['clicks']} clicks",
            f"{', '.join(held)} MB",
            "does not grow",
        ],
    ]
