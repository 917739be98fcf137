"""The figures of :func:`~pyro_dsae.metrics.evaluate_sprites` as a table, beside published ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .judge import HEADS, RELIABLE

# LPC sprites at 64 x 64. Protocol A: Li & Mandt, table 1. Protocol B: as later papers report it, whose
# accuracy is that of the action, of samples with their motion kept and their content drawn.
PUBLISHED_A: dict[str, tuple[float, float, float]] = {
    "skin": (0.0398, 0.7847, 8.8859),
    "trousers": (0.0182, 0.3565, 8.9293),
    "tops": (0.0034, 0.0647, 8.9173),
    "hair": (0.0006, 0.0126, 8.9566),
    "action": (0.0811, 0.9027, 13.7510),
}
"""Disagreement, KL-recon and KL-random of Li & Mandt (2018)."""
PUBLISHED_B: dict[str, tuple[float, float]] = {
    "action": (0.9073, 1.0),
    "inception_score": (8.384, 8.999),
    "h_y_given_x": (0.072, 0.0),
    "h_y": (2.192, 2.197),
}
"""Li & Mandt's model, and the best of later ones (SKD)."""

_NAMES = {
    "static_accuracy": "static accuracy",
    "inception_score": "inception score",
    "h_y_given_x": "H(y|x)",
    "h_y": "H(y)",
    "action_type": "action type",
    "mse": "mean squared error",
}
_IN_NATS = {"h_y_given_x", "h_y"}


def format_table(metrics: Mapping[str, Mapping[str, Any]], *, published: bool = False) -> str:
    """Plain aligned text.

    :param metrics: what :func:`~pyro_dsae.metrics.evaluate_sprites` returned, and that of
        :func:`~pyro_dsae.metrics.swap_against_truth` under its name, if it is there.
    :param published: with the figures of the literature beside ours; they are for LPC sprites.
    """
    judge = metrics["judge"]
    lines = _section("Judge, on real sequences", ["accuracy"])
    lines += [_row(name, _percent(judge[name])) for name in HEADS]
    if "real" in metrics:
        action = metrics["real"]["action"]
        lines += [
            _row(f"{_NAMES['inception_score']}, of actions", _number(action["inception_score"])),
            _row(f"{_NAMES['h_y_given_x']}, nats", _number(action["h_y_given_x"])),
        ]
    if not judge["reliable"]:
        lines.append(
            f"  UNRELIABLE: the judge does not exceed {RELIABLE:.0%} in "
            f"{', '.join(judge['unreliable'])}; what rests on it means nothing"
        )

    measures: list[tuple[str, str, Callable[[float], str]]] = [
        ("disagreement", "disagreement", _percent),
        ("kl_recon", "KL-recon", _number),
        ("kl_random", "KL-random", _number),
    ]
    heading = [part for _, title, _ in measures for part in (title, "[L]")[: 1 + published]]
    lines += _section("Protocol A: reconstructions", heading)
    for name in HEADS:
        cells = []
        for (key, _, write), known in zip(measures, PUBLISHED_A[name], strict=True):
            cells.append(write(metrics["protocol_a"][name][key]))
            if published:
                cells.append(write(known))
        lines.append(_row(name, *cells))

    for key, title in (
        ("protocol_b_reverse", "Motion kept, content drawn"),
        ("protocol_b", "Content kept, motion drawn"),
        ("swap", "Swap: f of one, z of another"),
        ("swap_against_truth", "Swap, against the truth"),
    ):
        if key not in metrics:
            continue
        beside = published and key == "protocol_b_reverse"
        lines += _section(title, ["ours", "[L]", "best"] if beside else ["ours"])
        for name, value in metrics[key].items():
            known_b = PUBLISHED_B.get(name, ()) if beside else ()
            write = _number if name in _IN_NATS or name in ("inception_score", "mse") else _percent
            label = _NAMES.get(name, name) + (", nats" if name in _IN_NATS else "")
            lines.append(_row(label, write(value), *map(write, known_b)))
    lines += _section("Samples: f and z drawn", ["H(y|x)", "H(y)", "rarest"])
    samples = metrics["samples"]
    for name, found in samples["attributes"].items():
        doubt, spread = _number(found["h_y_given_x"]), _number(found["h_y"])
        lines.append(_row(name, doubt, spread, _percent(found["rarest"])))
    action = samples["action"]
    lines.append(_row("action", _number(action["h_y_given_x"]), _number(action["h_y"])))
    for name in ("first_frame", "last_frame"):
        lines.append(_row(f"action, {name.replace('_', ' ')}", _number(samples[name])))
    if published:
        lines += ["", "[L] Li & Mandt 2018, LPC sprites at 64 x 64; best: SKD, as reported"]
    return "\n".join(lines[1:])


def _section(title: str, columns: Sequence[str]) -> list[str]:
    return ["", f"{title:30}" + "".join(f"{column:>14}" for column in columns)]


def _row(label: str, *cells: str) -> str:
    return f"  {label:28}" + "".join(f"{cell:>14}" for cell in cells)


def _percent(value: float) -> str:
    return f"{value:.2%}"


def _number(value: float) -> str:
    return f"{value:.4f}"
