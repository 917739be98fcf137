"""The bouncing ball: what comes next, with a model and without."""

from __future__ import annotations

import math
from typing import Any

from .cells import percent
from .results import Rows, result, table

BALLS = {"stochastic": "stochastic", "lstm_f": "LSTM-f", "lstm_c": "LSTM-c"}
NO_MODEL = {
    "constant_velocity": "constant velocity, no walls",
    "hold": "the last frame held",
    "black": "black frames",
}


def missing(scores: dict[str, Any], *numbers: str, unit: str = "") -> list[str]:
    """Incorrect pixels in %."""
    return [f"{100 * scores[number]['mean']:.2f}{unit}" for number in numbers]


def motion(physics: dict[str, Any], digits: int = 0) -> list[str]:
    """Frames with one ball; free steps that are off; how far a ball moves."""
    steps = physics["speed_error"]
    return [
        percent(physics["one_ball"], digits),
        "" if steps is None else percent(steps, 0),
    ]


@table
def ball() -> Rows:
    run, alone = result("bouncing_ball_long"), result("bouncing_ball_baselines")
    names = {
        "stochastic": "`DSAE`, dynamics drawn at every step",
        "lstm_f": "`LSTMf`, from one z at the start",
        "lstm_c": "`LSTMc`, from one z at every step",
    }
    rows = [["", "rebuilt", "5 missing", "15", "25", "frames with one ball, T = 100"]]
    rows[0].append("its steps are off by")
    for name, shown in names.items():
        errors = missing(run["prediction"][name], "5", "15", "25", unit="%")
        rebuilt = percent(run["reconstruction"][name], 2)
        rows.append([shown, rebuilt, *errors, *motion(run["physics"][name])])
    for name, shown in NO_MODEL.items():
        errors = missing(alone[name]["prediction"], "5", "15", "25", unit="%")
        rows.append([shown, "", *errors, *motion(alone[name]["physics"])])
    return rows


@table
def ball_all() -> Rows:
    run, alone = result("bouncing_ball_long"), result("bouncing_ball_baselines")
    numbers = ("5", "10", "15", "20", "25")
    rows = [["", "rebuilt", *numbers[:-1], "25 missing", "best of 20, 25 missing"]]
    rows[0] += ["one ball, T = 100", "its steps are off by"]

    def row(shown: str, rebuilt: str, errors: dict[str, Any], physics: dict[str, Any]) -> None:
        best = f"{100 * errors['25']['best_of_20']:.2f}"
        rows.append([shown, rebuilt, *missing(errors, *numbers), best, *motion(physics, 1)])

    for name, shown in BALLS.items():
        rebuilt = f"{100 * run['reconstruction'][name]:.2f}"
        row(shown, rebuilt, run["prediction"][name], run["physics"][name])
    for name, shown in NO_MODEL.items():
        row(shown, "", alone[name]["prediction"], alone[name]["physics"])
    return rows


@table
def paper_ball() -> Rows:
    run, alone = result("bouncing_ball_long"), result("bouncing_ball_baselines")
    numbers = ("5", "15", "25")
    rows = [["", *numbers]]
    for name, shown in {**BALLS, "stochastic": "stochastic (`DSAE`)"}.items():
        rows.append([shown, *missing(run["prediction"][name], *numbers)])
    for name, shown in NO_MODEL.items():
        rows.append([shown, *missing(alone[name]["prediction"], *numbers)])
    return rows


@table
def ball_rates() -> Rows:
    """Bits a frame, of 30: what the latents cost, and what is then left of the frames."""
    found = result("bouncing_ball_long")["models"]
    bit = 30 * math.log(2)
    rows = [["", "rate: bits a frame", "of it z", "distortion"]]
    for name, shown in BALLS.items():
        elbo = found[name]["elbo"]
        rate = elbo["kl_f"] + elbo["kl_z"]
        cells = (rate / bit, elbo["kl_z"] / bit, (-elbo["test"] - rate) / bit)
        rows.append([shown, *(f"{bits:.1f}" for bits in cells)])
    return rows
