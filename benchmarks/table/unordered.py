"""Frames in no order: digits, sheets, faces, and what pairs cost."""

from __future__ import annotations

from .cells import percent
from .results import Rows, result, table


@table
def unordered() -> Rows:
    digits, faces = result("moving_mnist_quick"), result("faces_orl_quick")["nearest"]
    sheets = result("sheets_procedural_guides")["static_accuracy"]
    return [
        ["", "", "target"],
        [
            "moving digits: frames over the grid of z that keep the digit",
            percent(digits["grid"]["digit_consistency"]),
            "90%",
        ],
        [
            "moving digits: R² of z on the true position",
            f"{digits['position']['r2']:.2f}",
            "0.9",
        ],
        [
            "sheets: attributes right, f from 4 poses, z from others'",
            percent(sheets["4"], 2),
            "95%",
        ],
        [
            "faces: nearest half is of the same person, f (raw pixels)",
            f"{percent(faces['f'])} ({percent(faces['pixels'])})",
            "above pixels",
        ],
    ]


@table
def moving_digits() -> Rows:
    run = result("moving_mnist_quick")
    place = run["position"]
    return [
        ["", "", "target"],
        [
            "frames over the grid that show the digit of the source",
            percent(run["grid"]["digit_consistency"]),
            "90%",
        ],
        [
            "R² of z on position, cubic (linear)",
            f"{place['r2']:.3f} ({place['r2_linear']:.3f})",
            "0.9",
        ],
        ["R² of position on z, cubic", f"{place['inverse_r2']:.3f}", ""],
    ]


@table
def sheets() -> Rows:
    guides = result("sheets_procedural_guides")["guides"]
    frames = guides["pairwise"]["static_accuracy"]
    return [
        ["f from N frames", *frames],
        *(
            [f"`{name.title()}`", *(percent(guides[name]["static_accuracy"][n], 2) for n in frames)]
            for name in ("pairwise", "factorised", "full")
        ),
    ]


@table
def faces() -> Rows:
    halves = result("faces_orl_quick")["nearest"]
    return [
        ["nearest half is of the same person", "f", "raw pixels"],
        ["halves of five pictures", *(percent(halves[key]) for key in ("f", "pixels"))],
        ["single pictures", *(percent(halves["single"][key]) for key in ("f", "pixels"))],
    ]


@table
def pairs() -> Rows:
    ways = result("pairwise")["results"]

    def cell(way: str, n: str) -> str:
        ms, kept = ways[way][n]["milliseconds"], ways[way][n]["kept_bytes"] / 1e6
        return f"{ms:.{0 if ms >= 100 else 1}f} ms, {kept:.0f} MB"

    return [
        ["N", "ours", "ours, chunks of 128 pairs", "every concatenated pair"],
        *([n, *(cell(way, n) for way in ways)] for n in ("4", "8", "16", "32")),
    ]
