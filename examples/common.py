"""What all examples share: options, the run's figures, what is printed last."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pyro_dsae"


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """The options that every example has."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    options.add_argument("--preset", choices=("quick", "paper"), default="quick")
    options.add_argument("--device", help="cpu, cuda, ... (default: the accelerator, if any)")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--steps", type=int, help="optimiser steps (default: the preset's)")
    options.add_argument("--epochs", type=int, help="passes over the data, in place of --steps")
    options.add_argument("--batch-size", type=int, help="sequences a step (default: the preset's)")
    options.add_argument("--out", type=Path, default=Path("runs") / name, help="folder of results")
    options.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    options.add_argument(
        "--evaluate", type=Path, metavar="MODEL", help="a saved model; no training"
    )
    return options


class Run:
    """The clock and the folder of one run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.start = options, time.perf_counter()
        self.out: Path = options.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.checkpoints = self.out / "checkpoints"
        if not options.resume and options.evaluate is None:
            shutil.rmtree(self.checkpoints, ignore_errors=True)

    @property
    def device(self) -> torch.device:
        """Where the models of a finished training, or of ``--evaluate``, are used."""
        name = self.options.device or ("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(name)

    def say(self, text: str) -> None:
        """One line of progress, with the time since the start."""
        print(f"[{time.perf_counter() - self.start:5.0f} s] {text}", flush=True)

    def figures(
        self, steps: int, sequences_per_second: float, *modules: nn.Module
    ) -> dict[str, Any]:
        """The ``run`` entry of ``metrics.json``."""
        if self.device.type == "cuda":
            memory = torch.cuda.max_memory_allocated()
            device = torch.cuda.get_device_name()
        else:
            unit = 1 if sys.platform == "darwin" else 1024
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
            device = f"cpu, {torch.get_num_threads()} threads"
        return {
            "seconds": time.perf_counter() - self.start,
            "sequences_per_second": sequences_per_second,
            "peak_memory_bytes": memory,
            "device": device,
            "seed": self.options.seed,
            "steps": steps,
            "parameters": sum(p.numel() for module in modules for p in module.parameters()),
            "torch": torch.__version__,
            "command": " ".join(["python", *sys.argv]),
        }

    def finish(self, metrics: dict[str, Any], table: str) -> None:
        """Write ``metrics.json``; print the table, and last the folder."""
        path = self.out / "metrics.json"
        path.write_text(json.dumps(metrics, indent=2) + "\n")
        print(table)
        print(f"\nFigures, pictures and the model are in {self.out.resolve()}")
