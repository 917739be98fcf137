"""What a cell of a table says: shares, means and how far they may be off."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any


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
    """``mean (least to greatest)``, or the mean alone where they do not differ."""
    scaled = [scale * value for value in values]
    found = min(scaled), statistics.fmean(scaled), max(scaled)
    low, mean, high = (f"{value:.{digits}f}" for value in found)
    return f"{mean}{unit}" + (f" ({low} to {high})" if low != high else "")


def how_many(runs: list[Any]) -> str:
    """Seeds, for the head of a column; nothing of one."""
    return f"{len(runs)} seeds" if len(runs) > 1 else ""


def averaged(runs: list[Any]) -> Any:
    """The mean of every figure of runs that are laid out alike; of what is no number, the first's."""
    first = runs[0]
    if isinstance(first, dict):
        return {key: averaged([run[key] for run in runs]) for key in first}
    return statistics.fmean(runs) if isinstance(first, (int, float)) else first


def code(names: Iterable[str]) -> list[str]:
    """In backticks."""
    return [f"`{name}`" for name in names]
