"""One model under several priors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .cells import code, interval
from .results import Rows, result, table

PRIORS = ("autoregressive", "mixture", "linear_gaussian", "kalman", "hidden_markov")


def means(found: dict[str, Any], name: str) -> dict[str, float]:
    """Of one prior, without the standard error that one seed has not."""
    return {key: scores["mean"] for key, scores in found[name].items()}


def prior_table(found: dict[str, Any], cells: dict[str, Callable[[dict[str, float]], str]]) -> Rows:
    """A row a measure, a column a prior; the bounds first."""
    bounds: dict[str, Callable[[dict[str, float]], str]] = {
        "ELBO": lambda m: interval(m, "elbo"),
        "IW bound, K = 1000": lambda m: interval(m, "iw_bound"),
        "KL z": lambda m: f"{m['kl_z']:.1f}",
    }
    columns = [means(found, name) for name in PRIORS]
    rows = [[shown, *map(cell, columns)] for shown, cell in {**bounds, **cells}.items()]
    return [["", *code(PRIORS)], *rows]


@table
def priors_sprites() -> Rows:
    return prior_table(
        result("compare_priors_sprites")["sprites"],
        {
            "f kept, z drawn: IS, of 9": lambda m: f"{m['inception_score']:.2f}",
            "H(y given x)": lambda m: f"{m['h_y_given_x']:.4f}",
            "doubt about the action, first frame, last": lambda m: (
                f"{m['first_frame']:.3f}, {m['last_frame']:.3f}"
            ),
            "z kept, f drawn: action, %": lambda m: f"{100 * m['reverse_action']:.1f}",
            "swap: attributes, action, %": lambda m: (
                f"{100 * m['swap_static']:.1f}, {100 * m['swap_action']:.1f}"
            ),
            "ms a drawn frame": lambda m: f"{m['ms_per_frame']:.2f}",
        },
    )


@table
def priors_ball() -> Rows:
    return prior_table(
        result("compare_priors_ball")["ball"],
        {
            f"incorrect pixels, {n} missing, %": lambda m, n=n: f"{100 * m[f'missing_{n}']:.2f}"
            for n in (5, 10, 15, 20, 25)
        }
        | {
            "steps off, T = 100, %": lambda m: f"{100 * m['speed_error']:.0f}",
            "one ball, T = 100, %": lambda m: f"{100 * m['one_ball']:.0f}",
        },
    )


@table
def priors_cost() -> Rows:
    what = {
        f"{shown}, T = {t}": f"{key}, T {t}"
        for shown, key in {"log p and gradient": "density", "draw": "draw"}.items()
        for t in (8, 100, 1000)
    } | {"a training step on sprites": "step"}
    first, *others = (result("priors")[name] for name in PRIORS)
    rows = [
        [shown, f"{first[key]['ms']:.1f} ms"]
        + [f"{other[key]['over_the_first']:.2f}" for other in others]
        for shown, key in what.items()
    ]
    return [["", *code(PRIORS)], *rows]
