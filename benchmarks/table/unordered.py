"""Frames in no order: digits, sheets, faces, and what pairs cost."""

from __future__ import annotations

from .cells import averaged, how_many, over_seeds, percent
from .results import Rows, matching, result, table


@table
def unordered() -> Rows:
    digits, faces = matching("moving_mnist_quick*"), matching("faces_orl_people*")
    four = [run["static_accuracy"]["4"] for run in matching("sheets_procedural_guides*")]
    return [
        ["", "", "target"],
        [
            "moving digits: frames over the grid of z that keep the digit",
            over_seeds(run["grid"]["digit_consistency"] for run in digits),
            "90%",
        ],
        [
            "moving digits: R² of z on the true position",
            over_seeds((run["position"]["r2"] for run in digits), 2, 1, ""),
            "0.9",
        ],
        [
            "sheets: attributes right, f from 4 poses, z from others'",
            over_seeds(four, 2),
            "95%",
        ],
        *(
            [
                f"faces{how}: nearest half is of the same person, by {name}",
                over_seeds(run[key][feature] for run in faces),
                target,
            ]
            for how, key in (("", "nearest"), (", moved and lit", "nearest_moved"))
            for name, feature, target in (("f", "f", "above pixels"), ("raw pixels", "pixels", ""))
        ),
    ]


@table
def moving_digits() -> Rows:
    runs = matching("moving_mnist_quick*")

    def place(key: str) -> str:
        return over_seeds((run["position"][key] for run in runs), 3, 1, "")

    return [
        ["", how_many(runs), "target"],
        [
            "frames over the grid that show the digit of the source",
            over_seeds(run["grid"]["digit_consistency"] for run in runs),
            "90%",
        ],
        ["R² of z on position, cubic", place("r2"), "0.9"],
        ["R² of z on position, linear", place("r2_linear"), ""],
        ["R² of position on z, cubic", place("inverse_r2"), ""],
    ]


@table
def digits_by_frames() -> Rows:
    """Frames over the grid that keep the digit, by guide and the number of frames f is inferred from."""
    guides = {"Pairwise": "moving_mnist_quick*", "Pooled": "moving_mnist_pooled*"}
    seen = [*matching(guides["Pairwise"])[0]["by_frames"]]

    def kept(pattern: str) -> list[str]:
        runs = matching(pattern)
        found = [[run["by_frames"][n] for run in runs] for n in seen]
        found.append([run["grid"] for run in runs])
        return [over_seeds(grid["digit_consistency"] for grid in grids) for grids in found]

    return [
        ["f from N frames", *seen, "20"],
        *([f"`{guide}`", *kept(pattern)] for guide, pattern in guides.items()),
    ]


@table
def two_digits() -> Rows:
    run = result("moving_mnist_two_digits")
    grid, place = run["grid"], run["position"]
    return [
        ["two digits", "", "chance"],
        [
            "both digits are named right in frames of fresh z",
            percent(grid["digit_consistency"]),
            "1.8%",
        ],
        ["the same of real frames of these sequences", percent(grid["source_accuracy"]), ""],
        [
            "R² of both positions on z, matched",
            f"{place['inverse_r2']:.2f}",
            f"{place['chance']:.2f}",
        ],
    ]


@table
def sheets() -> Rows:
    runs = averaged([run["guides"] for run in matching("sheets_procedural_guides*")])
    guides = {**runs, "pooled": averaged(matching("sheets_procedural_pooled*"))}
    frames = guides["pairwise"]["static_accuracy"]
    return [
        ["f from N frames", *frames],
        *(
            [f"`{name.title()}`", *(percent(guides[name]["static_accuracy"][n], 2) for n in frames)]
            for name in ("pairwise", "pooled", "factorised", "full")
        ),
    ]


FACES = {
    "halves, f": ("nearest", False, "f"),
    "halves, raw pixels": ("nearest", False, "pixels"),
    "single, f": ("nearest", True, "f"),
    "single, raw pixels": ("nearest", True, "pixels"),
    "halves, moved and lit in their own ways, f": ("nearest_moved", False, "f"),
    "halves, moved and lit, raw pixels": ("nearest_moved", False, "pixels"),
}


@table
def faces_by_people() -> Rows:
    """Whose is the nearest half, or single picture, by the number of people learnt from: means over seeds."""
    by = averaged([run["by_people"] for run in matching("faces_orl_people*")])
    rows = [["nearest is of the same person; people to learn from", *by]]
    for shown, (key, single, feature) in FACES.items():
        shares = [found[key]["single"] if single else found[key] for found in by.values()]
        rows.append([shown, *(percent(share[feature]) for share in shares)])
    return rows


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
