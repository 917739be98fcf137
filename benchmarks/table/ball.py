"""The bouncing ball: what comes next, with a model and without."""

from __future__ import annotations

import math
from typing import Any

from .cells import averaged, over_seeds, percent
from .results import Rows, matching, result, table

BALLS = {"stochastic": "stochastic", "lstm_f": "LSTM-f", "lstm_c": "LSTM-c"}
NO_MODEL = {
    "constant_velocity": "constant velocity, no walls",
    "hold": "the last frame held",
    "black": "black frames",
}


def seeds(name: str) -> list[dict[str, Any]]:
    """What the runs that have trained a model say of it."""
    kinds = ("reconstruction", "prediction", "physics", "models")
    runs = [run for run in matching("bouncing_ball_long*") if name in run["models"]]
    return [{kind: run[kind][name] for kind in kinds} for run in runs]


def missing(scores: dict[str, Any], *numbers: str) -> list[str]:
    """Incorrect pixels in %."""
    return [f"{100 * scores[number]['mean']:.2f}" for number in numbers]


def motion(physics: dict[str, Any]) -> list[str]:
    """Frames with one ball; by how much its free steps are off."""
    steps = physics["speed_error"]
    return [percent(physics["one_ball"], 1), "" if steps is None else percent(steps, 0)]


@table
def ball() -> Rows:
    alone = result("bouncing_ball_baselines")
    names = {
        "stochastic": "`DSAE`, dynamics drawn at every step",
        "lstm_f": "`LSTMf`, from one z at the start",
        "lstm_c": "`LSTMc`, from one z at every step",
    }
    rows = [["", "rebuilt", "5 missing", "15", "25", "frames with one ball, T = 100"]]
    rows[0].append("its steps are off by")

    def row(shown: str, runs: list[dict[str, Any]], rebuilt: str = "") -> None:
        errors = [
            over_seeds((run["prediction"][number]["mean"] for run in runs), 2)
            for number in ("5", "15", "25")
        ]
        steps = [run["physics"]["speed_error"] for run in runs]
        known = [step for step in steps if step is not None]
        moves = [over_seeds((run["physics"]["one_ball"] for run in runs), 0)]
        rows.append([shown, rebuilt, *errors, *moves, over_seeds(known, 0) if known else ""])

    for name, shown in names.items():
        runs = seeds(name)
        row(shown, runs, over_seeds((run["reconstruction"] for run in runs), 2))
    for name, shown in NO_MODEL.items():
        row(shown, [alone[name]])
    return rows


@table
def ball_all() -> Rows:
    """Means over seeds."""
    alone = result("bouncing_ball_baselines")
    numbers = ("5", "10", "15", "20", "25")
    rows = [["", "rebuilt", *numbers[:-1], "25 missing", "best of 20, 25 missing"]]
    rows[0] += ["one ball, T = 100", "its steps are off by"]

    def row(shown: str, rebuilt: str, errors: dict[str, Any], physics: dict[str, Any]) -> None:
        best = f"{100 * errors['25']['best_of_20']:.2f}"
        rows.append([shown, rebuilt, *missing(errors, *numbers), best, *motion(physics)])

    for name, shown in BALLS.items():
        run = averaged(seeds(name))
        rebuilt = f"{100 * run['reconstruction']:.2f}"
        row(shown, rebuilt, run["prediction"], run["physics"])
    for name, shown in NO_MODEL.items():
        row(shown, "", alone[name]["prediction"], alone[name]["physics"])
    return rows


@table
def paper_ball() -> Rows:
    alone = result("bouncing_ball_baselines")
    numbers = ("5", "15", "25")
    rows = [["", *numbers]]
    for name, shown in {**BALLS, "stochastic": "stochastic (`DSAE`)"}.items():
        rows.append([shown, *missing(averaged(seeds(name))["prediction"], *numbers)])
    for name, shown in NO_MODEL.items():
        rows.append([shown, *missing(alone[name]["prediction"], *numbers)])
    return rows


@table
def ball_rates() -> Rows:
    """Bits a frame, of 30: what the latents cost, and what is then left of the frames."""
    bit = 30 * math.log(2)
    rows = [["", "rate: bits a frame", "of it z", "distortion"]]
    for name, shown in BALLS.items():
        elbo = averaged(seeds(name))["models"]["elbo"]
        rate = elbo["kl_f"] + elbo["kl_z"]
        cells = (rate / bit, elbo["kl_z"] / bit, (-elbo["test"] - rate) / bit)
        rows.append([shown, *(f"{bits:.1f}" for bits in cells)])
    return rows
