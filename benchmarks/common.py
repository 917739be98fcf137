"""What the benchmarks share: taking turns in one process, and the record of a run."""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyro
import torch


def synchronise() -> None:
    """Wait until the accelerator has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(function: Callable[[], object]) -> float:
    """How long one call takes."""
    synchronise()
    start = time.perf_counter()
    function()
    synchronise()
    return time.perf_counter() - start


def take_turns(
    functions: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each call, turn by turn, after three turns to warm up."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(-3, rounds):
        for name, function in functions.items():
            taken = seconds(function)
            if turn >= 0:
                times[name].append(taken)
    return times


def ratio(slower: list[float], faster: list[float]) -> float:
    """The median, over the turns, of how many times as long the first takes."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


def record(**settings: Any) -> dict[str, Any]:
    """The ``run`` entry of a result: command, versions, hardware."""
    hardware = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        hardware = torch.cuda.get_device_name()
    return {
        "command": " ".join(["python", *sys.argv]),
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "hardware": hardware,
        **settings,
    }


def write(results: Mapping[str, Any], path: Path | None) -> None:
    """As JSON, if there is a path."""
    if path is not None:
        path.write_text(json.dumps(results, indent=2) + "\n")
