"""What the benchmarks share: taking turns in one process, and the record of a run."""

from __future__ import annotations

import json
import multiprocessing
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyro
import torch
from torch import nn


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


def gradients(model: nn.Module, guide: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """A training step of the pair on ``x`` without the optimiser's part."""
    elbo = pyro.infer.Trace_ELBO()

    def call() -> None:
        nn.Module.zero_grad(model), nn.Module.zero_grad(guide)
        elbo.differentiable_loss(model, guide, x).backward()

    return call


def ratio(slower: list[float], faster: list[float]) -> float:
    """The median, over the turns, of how many times as long the first takes."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


def peak_bytes(device: torch.device | str) -> int:
    """The most memory that this process has held so far; on a GPU, that torch has given out."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a process of its own returns, forked off one that has imported all and run nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "pyro_dsae"])
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()


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
