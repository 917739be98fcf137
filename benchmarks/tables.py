"""The tables of README and docs, from ``benchmarks/results``: no figure in them is typed.

A table stands between ``<!-- table: NAME -->`` and ``<!-- /table -->``; NAME is a function of this file.

    python benchmarks/tables.py            # writes them
    python benchmarks/tables.py --check    # names the pages that would change, and fails
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from recipe_table import recipe_rows

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted(ROOT.glob("docs/*.md"))]
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- /table -->)", re.DOTALL)

Rows = list[list[str]]
TABLES: dict[str, Callable[[], Rows]] = {}


def table(function: Callable[[], Rows]) -> Callable[[], Rows]:
    """Its name may stand in a marker; it gives the cells, the head first."""
    TABLES[function.__name__] = function
    return function


@cache
def result(name: str) -> dict[str, Any]:
    """The figures of ``benchmarks/results/NAME.json``."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def render(rows: Rows) -> str:
    """As Markdown."""
    lines = ["|" + "".join(f" {cell} |" if cell else " |" for cell in row) for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def filled(text: str) -> str:
    """A page with each of its tables made anew; one without rows leaves its markers alone."""

    def made(found: re.Match[str]) -> str:
        rows = TABLES[found[2]]()
        return f"{found[1]}\n{render(rows)}\n\n{found[3]}" if rows else found[1] + found[3]

    return MARKED.sub(made, text)


# Cells


def percent(share: float, digits: int = 1) -> str:
    """All and nothing without decimals."""
    return f"{100 * share:.{0 if share in (0, 1) else digits}f}%"


def interval(scores: dict[str, float], key: str, digits: int = 1, scale: float = 1) -> str:
    """``value [low, high]``."""
    value, low, high = (scale * scores[k] for k in (key, f"{key}_low", f"{key}_high"))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def error_rate(scores: dict[str, float]) -> str:
    """An equal error rate with its interval."""
    low, high = 100 * scores["low"], 100 * scores["high"]
    return f"{percent(scores['eer'])} [{low:.1f}, {high:.1f}]"


def spread(scores: dict[str, float], digits: int = 1, scale: float = 1) -> str:
    """``mean ± standard error``, over seeds."""
    return " ± ".join(f"{scale * scores[k]:.{digits}f}" for k in ("mean", "standard_error"))


def over_seeds(
    values: Iterable[float], digits: int = 1, scale: float = 100, unit: str = "%"
) -> str:
    """``mean (least to greatest)``, or the value where there is one seed."""
    scaled = [scale * value for value in values]
    low, mean, high = min(scaled), statistics.fmean(scaled), max(scaled)
    if len(scaled) == 1:
        return f"{mean:.{digits}f}{unit}"
    return f"{mean:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"


def code(names: Iterable[str]) -> list[str]:
    """In backticks."""
    return [f"`{name}`" for name in names]


# Sprites


@table
def sprites() -> Rows:
    run = result("sprites_procedural_quick")
    b, reverse, drawn = run["protocol_b"], run["protocol_b_reverse"], run["samples"]
    rarest = min(scores["rarest"] for scores in drawn["attributes"].values())
    return [
        ["", "ours", "the most there can be"],
        [
            "swap: the four attributes are those of the content",
            percent(run["swap"]["static_accuracy"], 2),
            "100%",
        ],
        [
            "swap: the action (of nine) is that of the dynamics",
            percent(run["swap"]["action"], 2),
            "100%",
        ],
        ["f kept, z drawn: the four attributes", percent(b["static_accuracy"], 2), "100%"],
        ["f kept, z drawn: inception score", f"{b['inception_score']:.2f}", "9"],
        ["H(y given x), H(y), nats", f"{b['h_y_given_x']:.4f}, {b['h_y']:.3f}", "0, 2.197"],
        [
            "z kept, f drawn: the action; inception score",
            f"{percent(reverse['action'], 2)}; {reverse['inception_score']:.2f}",
            "100%; 9",
        ],
        [
            "both drawn: the judge's doubt about an attribute, nats; the rarest value of any",
            f"{drawn['h_y_given_x']:.2f}; {percent(rarest, 2)}",
            "0; 16.67%",
        ],
    ]


def lpc_runs() -> list[Any]:
    """LPC sprites at 64 x 64, a seed each."""
    names = [f"sprites_lpc_64_seed{seed}" for seed in range(3)]
    return [result(name) for name in names if (RESULTS / f"{name}.json").exists()]


@table
def lpc() -> Rows:
    runs = lpc_runs()

    def mean(group: str, key: str, **how: Any) -> str:
        return over_seeds((run[group][key] for run in runs), **how)

    def score(group: str, key: str, digits: int) -> str:
        return mean(group, key, digits=digits, scale=1, unit="")

    def judged(head: str) -> str:
        return over_seeds(run["protocol_a"][head]["disagreement"] for run in runs)

    kept, drawn, truth = "protocol_b_reverse", "protocol_b", "swap_against_truth"
    rows = [
        ["motion kept, content drawn: action", mean(kept, "action"), "99%"],
        ["the same: inception score, at most 9", score(kept, "inception_score", 2), "8.9"],
        ["the same: H(y given x), nats", score(kept, "h_y_given_x", 4), "0.01"],
        ["content kept, motion drawn: attributes", mean(drawn, "static_accuracy"), "99%"],
        ["the same: inception score", score(drawn, "inception_score", 2), "8.8"],
        ["the same: H(y given x), nats", score(drawn, "h_y_given_x", 4), "0.02"],
        ["swap: attributes", mean("swap", "static_accuracy"), "99%"],
        ["swap: action", mean("swap", "action"), "99.5%"],
        ["swap: attributes, by the nearest as drawn", mean(truth, "static_accuracy"), ""],
        *(
            [f"reconstructions judged otherwise: {head}", judged(head), aim]
            for head, aim in (
                ("skin", "3.98%"),
                ("trousers", "1.82%"),
                ("tops", "0.34%"),
                ("hair", "0.06%"),
                ("action", "8.11%"),
            )
        ),
    ]
    published = [
        ["90.73%", "99.99%", "100%", "100%"],
        ["8.384", "8.871", "8.942", "8.999"],
        ["0.072", "0.014", "0.006", "0.000"],
    ]
    seeds = f"ours, {len(runs)} seed{'s' * (len(runs) > 1)}"
    return [
        ["", seeds, "aim", "DSVAE", "C-DSVAE", "SPYL", "SKD"],
        *(row + theirs for row, theirs in zip(rows, published, strict=False)),
        *([*row, "", "", "", ""] for row in rows[len(published) :]),
    ]


@table
def ablation() -> Rows:
    names = {
        "recipe": "recipe",
        "without dynamics_view": "without dynamics view",
        "without content_view": "without content view",
        "plain ELBO": "plain ELBO, plain networks",
    }
    head = ["", "swap: static", "action", "direction", "IS", "reverse: action"]
    rows = [[*head, "KL of f", "of z"]]
    for name, shown in names.items():
        run = result("ablation")[name]
        shares = [run["swap"][key] for key in ("static_accuracy", "action", "direction")]
        rows.append(
            [
                shown,
                *(f"{share:.3f}" for share in shares),
                f"{run['protocol_b']['inception_score']:.2f}",
                f"{run['protocol_b_reverse']['action']:.3f}",
                f"{run['elbo']['kl_f']:.0f}",
                f"{run['elbo']['kl_z']:.0f}",
            ]
        )
    return rows


@table
def paper_sprites() -> Rows:
    paper = {
        "skin": "3.98%, 0.785",
        "trousers": "1.82%, 0.357",
        "tops": "0.34%, 0.065",
        "hair": "0.06%, 0.013",
        "action": "8.11%, 0.903",
    }

    def cell(name: str, head: str, digits: int) -> str:
        scores = result(name)["protocol_a"][head]
        return f"{percent(scores['disagreement'], digits)}, {scores['kl_recon']:.3f}"

    return [
        [
            "disagreement, KL-recon",
            "paper",
            "procedural, 2600 steps",
            "LPC at 64 x 64, seed 0",
        ],
        *(
            [
                head,
                theirs,
                cell("sprites_procedural_quick", head, 2),
                cell("sprites_lpc_64_seed0", head, 2),
            ]
            for head, theirs in paper.items()
        ),
    ]


# Frames in no order


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


# Speech


@table
def speech() -> Rows:
    run = result("speech_an4_quick")
    scores, moved = run["verification"], run["conversion"]
    ours = scores["factorised_64"]
    return [
        ["", "", "target"],
        ["speaker verification by f, equal error rate", error_rate(ours["f"]), "8%"],
        ["the same by z, which should not know", error_rate(ours["z"]), "above 30%"],
        [
            "the same by mean and covariance of MFCCs",
            error_rate(scores["baseline"]["mfcc"]),
            "",
        ],
        [
            "pitch of converted voices, share of the way from source to target",
            f"{percent(moved['pitch_moved'], 0)}, median of {moved['pairs']}",
            "above 50%",
        ],
    ]


def verification() -> dict[str, Any]:
    """Of all models, which two runs have trained."""
    return {
        **result("speech_an4_dsae")["verification"],
        **result("speech_an4_fhvae")["verification"],
    }


@table
def speakers() -> Rows:
    rows = [["model", "static feature", "EER", "dynamic feature", "EER"]]
    names = {"f": "f", "z": "z", "mu2": "mu_2", "z1": "z_1"}
    order = ("factorised_64", "factorised_16", "full_64", "full_16", "fhvae_10", "fhvae_0")
    for model in order:
        features = verification()[model].items()
        cells = [cell for key, scores in features for cell in (names[key], error_rate(scores))]
        rows.append([f"`{model}`", *cells])
    mfcc = error_rate(verification()["baseline"]["mfcc"])
    return [*rows, ["mean and covariance of MFCCs", "", mfcc, "", ""]]


@table
def paper_speakers() -> Rows:
    paper = {
        "factorised_16": ("factorised, 16", "4.78%", "17.84%"),
        "factorised_64": ("factorised, 64", "4.94%", "17.49%"),
        "full_16": ("full, 16", "5.64%", "19.20%"),
        "full_64": ("full, 64", "4.82%", "18.89%"),
        "fhvae_10": ("FHVAE, alpha 10", "2.38%", "22.47%"),
        "fhvae_0": ("FHVAE, alpha 0", "5.06%", ""),
    }
    rows = [["", "f, paper", "z, paper", "f, AN4", "z, AN4"]]
    for model, theirs in paper.items():
        static, dynamic = verification()[model].values()
        rows.append([*theirs, error_rate(static), percent(dynamic["eer"])])
    mfcc = error_rate(verification()["baseline"]["mfcc"])
    return [*rows, ["i-vector", "9.82%", "", f"{mfcc} by MFCCs", ""]]


# The ball


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
    run, alone = result("bouncing_ball_quick"), result("bouncing_ball_baselines")
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
    run, alone = result("bouncing_ball_quick"), result("bouncing_ball_baselines")
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
    run, alone = result("bouncing_ball_quick"), result("bouncing_ball_baselines")
    numbers = ("5", "15", "25")
    rows = [["", *numbers]]
    for name, shown in {**BALLS, "stochastic": "stochastic (`DSAE`)"}.items():
        rows.append([shown, *missing(run["prediction"][name], *numbers)])
    for name, shown in NO_MODEL.items():
        rows.append([shown, *missing(alone[name]["prediction"], *numbers)])
    return rows


# Guides and priors


GUIDES = ("factorised", "full", "pairwise")


@table
def guides() -> Rows:
    found = result("compare_guides_procedural")["guides"]
    head = ["", "ELBO, nats", "importance-weighted bound", "swap: attributes", "swap: action"]
    rows = [head]
    for name in GUIDES:
        bounds = [spread(found[name][key], 0) for key in ("elbo", "iw_bound")]
        shares = [percent(found[name][key]["mean"]) for key in ("swap_static", "swap_action")]
        rows.append([f"`{name.title()}`", *bounds, *shares])
    return rows


def guide_rows(columns: Iterable[dict[str, Any]], *left_out: str) -> Rows:
    """A row a measure."""
    measures: dict[str, tuple[str, int, float]] = {
        "ELBO": ("elbo", 1, 1),
        "IW bound, K = 1000": ("iw_bound", 1, 1),
        "gap": ("gap", 1, 1),
        "k < 0.7": ("k_hat_below_0_7", 0, 100),
        "KL f": ("kl_f", 1, 1),
        "KL z": ("kl_z", 1, 1),
        "active units of f, of 32": ("active_f", 1, 1),
        "of z, of 6": ("active_z", 1, 1),
        "I(f; x)": ("information_f_x", 2, 1),
        "I(f; z_t)": ("information_f_z", 2, 1),
        "swap: attributes, %": ("swap_static", 1, 100),
        "swap: action, %": ("swap_action", 1, 100),
        "seconds a step": ("seconds_per_step", 3, 1),
    }
    return [
        [shown, *(spread(column[key], digits, scale) for column in columns)]
        for shown, (key, digits, scale) in measures.items()
        if key not in left_out
    ]


@table
def guides_all() -> Rows:
    found = result("compare_guides_procedural")["guides"]
    columns = [found[name] for name in GUIDES]
    return [["", *code(name.title() for name in GUIDES)], *guide_rows(columns)]


@table
def guides_frozen() -> Rows:
    found = result("compare_guides_frozen")["guides"]
    columns = [found[name] for name in ("joint", *GUIDES)]
    refitted = [f"`{name.title()}`, refitted" for name in GUIDES]
    information = ("information_f_x", "information_f_z", "active_f", "active_z")
    return [
        ["", "trained with the model (`Factorised`)", *refitted],
        *guide_rows(columns, "k_hat_below_0_7", *information, "seconds_per_step"),
    ]


@table
def rates() -> Rows:
    whole, single = (
        result("compare_guides_rates")["rates"][key] for key in ("sequences", "frames")
    )

    def cells(scores: dict[str, float]) -> list[str]:
        bits = [scores[f"{key}bits_per_frame"] for key in ("", "f_", "z_")]
        rate = "{:.1f} (f {:.1f}, z {:.1f})".format(*bits)
        return [rate, f"{scores['distortion_bits_per_frame']:.0f}"]

    return [
        [
            "weight of the KL terms",
            "sequences: bits a frame",
            "distortion",
            "frame by frame: bits a frame",
            "distortion",
        ],
        *([weight, *cells(whole[weight]), *cells(single[weight])] for weight in whole),
    ]


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
    } | {"a training step of the quick preset": "step"}
    first, *others = (result("priors")[name] for name in PRIORS)
    rows = [
        [shown, f"{first[key]['ms']:.1f} ms"]
        + [f"{other[key]['over_the_first']:.2f}" for other in others]
        for shown, key in what.items()
    ]
    return [["", *code(PRIORS)], *rows]


# What things cost


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
def recipes() -> Rows:
    """Empty as long as there are no results."""
    names = sorted(path.stem for path in RESULTS.glob("compare_recipes*.json"))
    return recipe_rows(map(result, names), over_seeds)


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
                f"{run['points'][key][0]['size']:,}, {run['points'][key][-1]['size']:,}",
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


def main() -> int:
    """Write, or check."""
    options = argparse.ArgumentParser(description="The tables of README and docs.")
    options.add_argument("--check", action="store_true", help="write nothing; fail if one differs")
    check, stale = options.parse_args().check, list[Path]()
    for page in PAGES:
        text = page.read_text()
        if filled(text) != text:
            stale.append(page)
            print(f"{page.relative_to(ROOT)}: {'differs' if check else 'written'}")
            if not check:
                page.write_text(filled(text))
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
