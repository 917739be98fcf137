"""Sprites: procedural and LPC, beside the papers' figures."""

from __future__ import annotations

from typing import Any

from .cells import over_seeds, percent
from .results import Rows, recorded, result, table


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


@table
def lpc() -> Rows:
    runs = recorded(*(f"sprites_lpc_64_seed{seed}" for seed in range(3)))

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
