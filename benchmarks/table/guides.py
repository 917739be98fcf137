"""One model under several guides, and what f and z cost at which rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .cells import code, percent, spread
from .results import Rows, result, table

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
def annealing() -> Rows:
    found = result("annealing_16")
    rows = [["temperatures", "ELBO", "IW bound", "AIS bound", "the model's own: from below, above"]]
    for number, scores in found["evidence"].items():
        low, high = scores["ais_chains_low"], scores["ais_chains_high"]
        sides = found["both_sides"].get(number)
        rows.append(
            [
                number,
                f"{scores['elbo']:.1f}",
                f"{scores['iw_bound']:.1f}",
                f"{scores['ais_bound']:.1f} [{low:.1f}, {high:.1f}]",
                "{lower:.1f}, {upper:.1f}".format(**sides) if sides else "",
            ]
        )
    return rows


@table
def rates() -> Rows:
    """With the views."""
    return _rates(result("compare_guides_rates")["rates"])


@table
def rates_without_views() -> Rows:
    """Of the bare ELBO."""
    return _rates(result("compare_guides_rates_no_views")["rates"])


def _rates(by_kind: dict[str, Any]) -> Rows:
    whole, single = (by_kind[key] for key in ("sequences", "frames"))

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
