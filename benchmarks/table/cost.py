"""What things take: objectives, training steps, patches, growth."""

from __future__ import annotations

import re

from .cells import code, percent
from .results import Rows, result, table


@table
def objectives() -> Rows:
    times = {
        name: scores["over_the_elbo"]
        for name, scores in result("objectives").items()
        if name != "run"
    }
    cheap = ("MutualInformation", "TotalCorrelation", "Grouped")
    fewest, most = (f(times[name] for name in cheap) for f in (min, max))
    passes = {
        "`CDSVAE`, both views": ("CDSVAE", "0 and 2"),
        "`LatentInformation`": ("LatentInformation", "1 and 1, and a draw from the prior"),
        "`SwapConsistency`": ("SwapConsistency", "1 and 1"),
        "`SPYL`": ("SPYL", "2 and 2, and 1 and 1 without gradients; draws from the prior"),
    }
    guides = ("SingleFrame", "Pooled")
    return [
        ["", "times the ELBO", "passes of the decoder and of the encoder beside its own"],
        [", ".join(code(cheap)), f"{fewest:.2f} to {most:.2f}", "none: they take the ELBO's"],
        *([shown, f"{times[name]:.2f}", what] for shown, (name, what) in passes.items()),
        [f"guides {', '.join(code(guides))}", ", ".join(f"{times[g]:.2f}" for g in guides), ""],
    ]


@table
def training_step() -> Rows:
    head = ["", "`fit`", "hand-written", "`SVI`", "`fit`, times as fast as hand-written", "`SVI`"]
    rows = [[*head, "memory, `fit` and hand-written"]]
    for name, case in result("training_step")["cases"].items():
        seconds, ratios = case["seconds"], case["ratios"]
        memory = [f"{case['peak_bytes'][way] / 1e6:.0f}" for way in ("fit", "hand-written")]
        rows.append(
            [
                f"`{name}`",
                *(f"{1000 * seconds[way]:.0f} ms" for way in ("fit", "hand-written", "svi")),
                *(f"{ratios[way]:.2f}" for way in ("fit", "svi")),
                f"{', '.join(memory)} MB",
            ]
        )
    return rows


@table
def peers() -> Rows:
    digits = (1, 2), (2, 1)  # of their seconds; of the ratio with their layers
    rows = [["", "their step", "`fit`, our networks", "`fit`, their layers"]]
    for (name, peer), (places, fine) in zip(
        result("training_step")["peers"].items(), digits, strict=True
    ):
        ours, theirs = peer["our layers"], peer["its layers"]
        step = sorted(layers["seconds"]["peer"] for layers in (ours, theirs))
        rows.append(
            [
                f"[{name}](https://github.com/{name})",
                " to ".join(f"{taken:.{places}f}" for taken in step) + " s",
                f"{ours['ratio']:.1f} times" + " as fast" * (len(rows) == 1),
                f"{theirs['ratio']:.{fine}f} times",
            ]
        )
    return rows


@table
def growth() -> Rows:
    run = result("scaling")
    shown = {
        "frames": "frames T",
        "batch": "batch",
        "side": "side of a frame, in pixels (2 is the area)",
        "pairs": "pairs of frames, T (T - 1), with the pairwise guide",
        "particles": "particles of the ELBO, vectorised (`Factorised` alone)",
    }
    return [
        ["", "from, to", "time", "memory"],
        *(
            [
                what,
                f"{run['points'][key][-3]['size']:,}, {run['points'][key][-1]['size']:,}",
                f"{run['time_exponent'][key]:.2f}",
                f"{run['memory_exponent'][key]:.2f}",
            ]
            for key, what in shown.items()
        ),
    ]


@table
def patches() -> Rows:
    rows = [["frames", "patch", "a step", "times that of patch 1", "memory"]]
    for case, scores in result("patches").items():
        if found := re.fullmatch(r"(\d+)x(\d+), patch (\d+)", case):
            height, width, patch = found.groups()
            rows.append(
                [
                    f"{height} x {width}" if patch == "1" else "",
                    patch,
                    f"{scores['ms']:.0f} ms",
                    "1" if patch == "1" else f"{scores['over_the_first']:.2f}",
                    f"{scores['memory_bytes'] / 1e6:.0f} MB",
                ]
            )
    return rows


@table
def patches_equal_time() -> Rows:
    """After as many seconds of training each."""
    rows = [["frames", "patch", "steps", "ELBO", "swap: attributes", "action"]]
    both = {**result("patches_equal_time"), **result("patches_equal_time_128")}
    for case, scores in both.items():
        if found := re.fullmatch(r"(\d+)x(\d+), patch (\w+)", case):
            height, width, patch = found.groups()
            frames = f"{height} x {width}" if patch == "1" else ""
            shares = (percent(scores[key]) for key in ("static", "action"))
            rows.append([frames, patch, f"{scores['steps']}", f"{scores['elbo']:.0f}", *shares])
    return rows
