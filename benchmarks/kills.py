"""Training runs that are ended, in several ways and at any moment: is anything lost?

    python benchmarks/kills.py --out benchmarks/results/kills.json

A small pair trains on random frames, with a checkpoint every 7 steps. It is ended at random moments, by
SIGKILL and by SIGTERM (sent as ``timeout`` does: to the process, and to its group with two workers), and each
time resumed until it is done; once the disk is full; once a file of the newest checkpoint is cut in half, any
of them. The final weights must be those of a run that nothing disturbed, bit by bit.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyro
import torch
from common import record, write
from torch import Tensor

import pyro_dsae
from pyro_dsae.data import RandomFrames, Sequences

EVERY = 7  # steps from checkpoint to checkpoint
STEPS = 100

# Each run is forked off a process that has imported all and run nothing.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["torch", "pyro_dsae"])


def train(folder: Path, ready: Any, workers: int, callback: Callable[..., None] | None) -> None:
    """What a process does: go on with the run of ``folder``, and leave its weights there."""
    os.setpgrp()
    multiprocessing.set_start_method("fork", force=True)  # for the workers, not the server's
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, sys.stderr.fileno())
    torch.set_num_threads(1)
    pyro.set_rng_seed(0)
    sizes = {"f_dim": 5, "z_dim": 3, "channels": 4, "hidden": 16}
    pair = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    data = Sequences(torch.rand(12, 6, 3, 16, 16), transform=RandomFrames(4))
    options = {"batch_size": 3, "num_workers": workers, "device": "cpu", "callback": callback}
    ready.set()
    pyro_dsae.fit(
        *pair,
        data,
        steps=STEPS,
        checkpoint_dir=folder / "checkpoints",
        checkpoint_every=EVERY,
        resume=True,
        **options,
    )
    torch.save([p.detach() for module in pair for p in module.parameters()], folder / "weights.pt")


def start(folder: Path, workers: int = 0, callback: Callable[..., None] | None = None) -> Any:
    """A process that is about to train."""
    folder.mkdir(exist_ok=True, parents=True)
    ready = context.Event()
    process = context.Process(target=train, args=(folder, ready, workers, callback))
    process.start()
    if not ready.wait(timeout=60):
        raise RuntimeError(f"no training after 60 s: {(folder / 'log').read_text()}")
    return process


def finish(folder: Path, workers: int = 0) -> list[Tensor]:
    """The weights at the end of a run that is left alone from now on."""
    return end(start(folder, workers), folder)


def end(process: Any, folder: Path) -> list[Tensor]:
    """The weights that a process leaves."""
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"status {process.exitcode}: {(folder / 'log').read_text()}")
    return torch.load(folder / "weights.pt")


def equal(weights: list[Tensor], others: list[Tensor]) -> bool:
    """Bit by bit."""
    return all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))


def sigkill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def sigterm(pid: int) -> None:
    """As ``timeout`` sends it."""
    os.kill(pid, signal.SIGTERM)
    os.killpg(pid, signal.SIGTERM)


# Until a worker has left the group, some milliseconds after its start, a signal to the group ends it, and
# the run with an error.
_WORKER = "is killed by signal: Terminated"


def killed(
    folder: Path, kill: Callable[[int], None], kills: int, seed: int, workers: int = 0
) -> dict[str, Any]:
    """Runs that are killed and resumed, until there have been so many kills and the last run is done."""
    moments = random.Random(seed)
    process = start(folder / "whole", workers)
    begin = time.perf_counter()
    whole = end(process, folder / "whole")
    seconds = time.perf_counter() - begin
    statuses: Counter[int] = Counter()
    runs = lost = writing = 0
    while statuses.total() < kills:
        run = folder / f"{runs}"
        runs += 1
        while statuses.total() < kills:
            process = start(run, workers)
            process.join(moments.uniform(0, seconds))
            if process.exitcode is None:
                kill(process.pid)
                process.join(60)
            if process.exitcode == 0:
                break
            said = (run / "log").read_text()
            if process.exitcode is None or (process.exitcode == 1 and _WORKER not in said):
                process.kill()
                raise RuntimeError(f"status {process.exitcode} after a signal: {said}")
            statuses[process.exitcode] += 1
            writing += any((run / "checkpoints").glob(".step-*"))
        lost += not equal(finish(run, workers), whole)
    return {
        "kills": statuses.total(),
        "statuses": dict(statuses),
        "while_writing": writing,
        "runs": runs,
        "lost": lost,
    }


def fill(disk: Path, left: int, history: pyro_dsae.History) -> None:
    """Between two checkpoints, all but ``left`` bytes of a disk."""
    if history.step == 5 * EVERY - 3:
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - left))


def limit(left: int, history: pyro_dsae.History) -> None:
    """Between two checkpoints, the size of any file to be written, to ``left`` bytes."""
    if history.step == 5 * EVERY - 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (left, left))


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """A tmpfs of ``size`` bytes there, if this user may mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def full_disk(folder: Path) -> dict[str, Any]:
    """A disk that is full when a checkpoint is half written, and is given room again."""
    whole = finish(folder / "whole")
    newest = max((folder / "whole" / "checkpoints").iterdir())
    size = sum(file.stat().st_size for file in newest.iterdir())
    with small_disk(folder / "disk", 5 * size) as mounted:
        run = folder / "disk" / "run"
        half = functools.partial(limit, (newest / "pytorch_model.bin").stat().st_size // 2)
        process = start(
            run, callback=functools.partial(fill, run.parent, size // 2) if mounted else half
        )
        process.join()
        error = (run / "log").read_text().splitlines()[-1]
        kept = sorted(path.name for path in (run / "checkpoints").iterdir())
        (run.parent / "ballast").unlink(missing_ok=True)
        lost = not equal(finish(run), whole)
    return {
        "disk": f"tmpfs of {5 * size} bytes" if mounted else "RLIMIT_FSIZE",
        "status": process.exitcode,
        "error": error.replace(f"{run}/", ""),
        "kept": kept,
        "lost": int(lost),
    }


def cut_in_half(folder: Path) -> dict[str, Any]:
    """Which checkpoint serves after each file of the newest was cut in half, and what is said."""
    whole = finish(folder / "whole")
    before, newest = sorted((folder / "whole" / "checkpoints").iterdir())
    said, lost = {}, 0
    for name in sorted(file.name for file in newest.iterdir()):
        run = folder / name
        shutil.copytree(folder / "whole" / "checkpoints", run / "checkpoints")
        os.truncate(run / "checkpoints" / newest.name / name, (newest / name).stat().st_size // 2)
        lost += not equal(finish(run), whole)
        warning = next(line for line in (run / "log").read_text().splitlines() if name in line)
        said[name] = warning.partition("UserWarning: ")[2].replace(f"{run}/checkpoints/", "")
        lost += not said[name].endswith(f"going on from {before.name}")
    return {"files": len(said), "said": said, "lost": lost}


def main() -> None:
    """Kill, print, write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=50, help="of each signal")
    options.add_argument("--seed", type=int, default=0, help="of the moments")
    options.add_argument("--out", type=Path)
    args = options.parse_args()
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        results = {
            "sigkill": killed(folder / "sigkill", sigkill, args.kills, args.seed),
            "sigterm": killed(folder / "sigterm", sigterm, args.kills, args.seed, workers=2),
            "full_disk": full_disk(folder / "full"),
            "cut_in_half": cut_in_half(folder / "cut"),
        }
    for name, found in results.items():
        print(f"{name:>12}: " + ", ".join(f"{key} {value}" for key, value in found.items()))
    run = record(
        kills=args.kills,
        seed=args.seed,
        steps=STEPS,
        checkpoint_every=EVERY,
        seconds=round(time.perf_counter() - begin),
    )
    write({"results": results, "run": run}, args.out)
    if any(found["lost"] for found in results.values()):
        sys.exit("something is lost")


if __name__ == "__main__":
    main()
