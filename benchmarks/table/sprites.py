"""Sprites: procedural and LPC, beside the papers' figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .cells import over_seeds, percent
from .results import Rows, recorded, result, table


def over(runs: list[Any]) -> Callable[..., str]:
    """Writes the figures of all seeds."""

    def cell(group: str, key: str, **how: Any) -> str:
        return over_seeds((run[group][key] for run in runs), **how)

    return cell


@table
def sprites() -> Rows:
    runs = recorded(*(f"sprites_procedural_quick_seed{seed}" for seed in range(5)))
    mean, nats = over(runs), {"scale": 1, "unit": ""}
    real = runs[0]["real"]  # of one judge and the same sequences in all
    score, doubt = (real["action"][key] for key in ("inception_score", "h_y_given_x"))

    def rarest(samples: Any) -> float:
        return min(scores["rarest"] for scores in samples["attributes"].values())

    kept, drawn = "protocol_b_reverse", "protocol_b"
    shares = [
        ("swap: the four attributes are those of the content", "swap", "static_accuracy"),
        ("swap: the action (of nine) is that of the dynamics", "swap", "action"),
        ("f kept, z drawn: the four attributes", drawn, "static_accuracy"),
        ("z kept, f drawn: the action", kept, "action"),
    ]
    rows = [[title, mean(*path, digits=2), "100%"] for title, *path in shares]
    for group, title in ((drawn, "f kept, z drawn"), (kept, "z kept, f drawn")):
        rows += [
            [
                f"{title}: inception score, at most 9",
                mean(group, "inception_score", digits=2, **nats),
                f"{score:.2f}",
            ],
            [
                f"{title}: H(y given x), nats",
                mean(group, "h_y_given_x", digits=4, **nats),
                f"{doubt:.4f}",
            ],
        ]
    return [
        ["", f"ours, {len(runs)} seeds", "real sequences"],
        *rows,
        [
            "both drawn: the judge's doubt about an attribute, nats",
            mean("samples", "h_y_given_x", digits=2, **nats),
            f"{real['h_y_given_x']:.3f}",
        ],
        [
            "both drawn: the rarest value of any attribute",
            over_seeds(rarest(run["samples"]) for run in runs),
            percent(rarest(real)),
        ],
    ]


@table
def lpc() -> Rows:
    runs = recorded(*(f"sprites_lpc_64_seed{seed}" for seed in range(3)))
    mean = over(runs)

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
    parts = {
        "content_view": "view of f",
        "dynamics_view": "view of z",
        "weights": "KL weights",
        "content_encoder": "encoder of its own for f",
        "modulated": "modulated decoder",
    }
    names = {
        "recipe": "recipe",
        **{f"without {name}": f"without {shown}" for name, shown in parts.items()},
        "without views": "without both views",
        "without views and weights": "bare ELBO, these networks",
        "plain ELBO": "bare ELBO, plain networks",
        **{f"{name} alone": f"{shown} alone" for name, shown in parts.items()},
    }
    head = ["", "swap: static", "action", "direction", "IS", "reverse: action"]
    rows = [[*head, "KL of f", "of z"]]
    found = result("ablation")
    for name, shown in names.items():
        run = found[name]
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
            "procedural, 1200 steps, seed 0",
            "LPC at 64 x 64, seed 0",
        ],
        *(
            [
                head,
                theirs,
                cell("sprites_procedural_quick_seed0", head, 2),
                cell("sprites_lpc_64_seed0", head, 2),
            ]
            for head, theirs in paper.items()
        ),
    ]


@table
def protocols() -> Rows:
    """One pair under protocols of different strictness; empty without results."""
    results = recorded("protocols_lpc_64")
    if not results:
        return []

    def share(scores: dict[str, float], key: str) -> str:
        return percent(scores[key], 2) if key in scores else ""

    return [
        ["", "attributes", "action", "inception score"],
        *(
            [
                name,
                share(scores, "static_accuracy"),
                share(scores, "action"),
                f"{scores['inception_score']:.3f}" if "inception_score" in scores else "",
            ]
            for name, scores in results[0]["rows"].items()
        ),
    ]
