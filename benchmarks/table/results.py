"""The committed figures, and the tables that are made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"

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


def recorded(*names: str) -> list[dict[str, Any]]:
    """The figures of those of the files that are there."""
    return [result(name) for name in names if (RESULTS / f"{name}.json").exists()]


def matching(pattern: str) -> list[dict[str, Any]]:
    """The figures of all files whose names fit, in order of name."""
    return [result(path.stem) for path in sorted(RESULTS.glob(f"{pattern}.json"))]
