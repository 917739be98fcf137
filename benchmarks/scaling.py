"""How a training step grows: time and peak memory against the size of everything.

    python benchmarks/scaling.py --out benchmarks/results/scaling.json

A step is ``Trace_ELBO()(model, guide)``, its backward pass and Adam, validation off as in ``fit``. Every
point is measured in a process of its own: the median time, and how far the peak of memory lies above that
of a step on a single frame (the resident set; on a GPU what torch has allocated). Exponents are those of a
line in log-log through the three largest sizes.

Axes: ``frames`` T, ``batch`` N, ``side`` of a frame in pixels, ``pairs`` of frames in the pairwise guide,
T (T - 1), and ``particles`` of the ELBO, vectorised. Beside them: what ``frames_at_once`` saves at T = 512,
and how long a draw from the prior takes against its ``log_prob``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from common import apart, peak_bytes, ratio, record, seconds, take_turns, write
from pyro.infer import Trace_ELBO
from torch import Tensor

import pyro_dsae
from pyro_dsae.nn import LSTMTransition

SIZES = {"f_dim": 32, "z_dim": 8, "channels": 8, "hidden": 64}
DEFAULTS = {"f_dim": 256, "z_dim": 32, "channels": 32, "hidden": 256}  # the package's
AXES: dict[str, list[dict[str, Any]]] = {
    "frames": [{"frames": 2**i, "batch": 4} for i in range(3, 10)],
    "batch": [{"batch": 2**i} for i in range(3, 9)],
    "side": [{"side": 2**i} for i in range(4, 8)],
    "pairs": [{"frames": 2**i, "pairwise": True} for i in range(3, 8)],
    "particles": [{"particles": 2**i} for i in range(6)],
}
LONG = {"frames": 512, "side": 64, "batch": 4, **DEFAULTS}


def size_of(axis: str, point: dict[str, Any]) -> int:
    """Where a point lies on its axis."""
    return point["frames"] * (point["frames"] - 1) if axis == "pairs" else point[axis]


def train(
    device: str,
    *,
    batch: int = 8,
    frames: int = 8,
    side: int = 32,
    particles: int = 1,
    pairwise: bool = False,
    **options: Any,
) -> dict[str, float]:
    """Seconds and bytes of a step; ``options`` are those of model and guide."""
    kinds = (
        (pyro_dsae.Unordered, pyro_dsae.Pairwise)
        if pairwise
        else (pyro_dsae.DSAE, pyro_dsae.Factorised)
    )
    frame = (3, side, side)
    model, guide = (kind(frame, **{**SIZES, **options}).to(device) for kind in kinds)
    elbo = Trace_ELBO(particles, max_plate_nesting=1, vectorize_particles=particles > 1)
    loss = elbo(model, guide)
    adam = torch.optim.Adam(loss.parameters(), 1e-3)

    def step(x: Tensor) -> None:
        adam.zero_grad()
        loss(x).backward()
        adam.step()

    step(torch.rand(1, 1, *frame, device=device))
    before = peak_bytes(device)
    x = torch.rand(batch, frames, *frame, device=device)
    rounds = max(2, min(15, int(3 / seconds(lambda: step(x)))))
    times = [seconds(lambda: step(x)) for _ in range(rounds)]
    return {"seconds": statistics.median(times), "bytes": peak_bytes(device) - before}


@torch.no_grad()
def rollout(
    device: str, *, batch: int = 4096, frames: int = 100, z_dim: int = 16, hidden: int = 128
) -> dict[str, float]:
    """A draw from the prior, step by step, against ``log_prob``, the teacher-forced pass, turn by turn."""
    law = pyro_dsae.AutoregressiveNormal(LSTMTransition(z_dim, hidden).to(device), frames, z_dim)
    law = law.expand([batch])
    z = law.rsample()
    times = take_turns({"rsample": law.rsample, "log_prob": lambda: law.log_prob(z)}, rounds=3)
    found = {f"{name}_seconds": statistics.median(taken) for name, taken in times.items()}
    return {**found, "ratio": ratio(times["rsample"], times["log_prob"])}


def measure(
    function: Callable[..., dict[str, float]], threads: int, device: str, point: dict[str, Any]
) -> dict[str, float]:
    """What a process of its own does."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with pyro.validation_enabled(False):
        return function(device, **point)


def exponent(sizes: list[int], values: list[float]) -> float:
    """The slope in log-log through the three largest sizes."""
    return float(np.polyfit(np.log(sizes[-3:]), np.log(values[-3:]), 1)[0])


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--out", type=Path)
    args = options.parse_args()
    torch.set_num_threads(args.threads)

    def run(function: Callable[..., dict[str, float]], **point: Any) -> dict[str, float]:
        return apart(measure, function, args.threads, args.device, point)

    start = time.perf_counter()
    results: dict[str, Any] = {"time_exponent": {}, "memory_exponent": {}, "points": {}}
    for axis, points in AXES.items():
        found = [{"size": size_of(axis, point), **run(train, **point)} for point in points]
        results["points"][axis] = found
        sizes = [point["size"] for point in found]
        for kind, figure in (("time_exponent", "seconds"), ("memory_exponent", "bytes")):
            results[kind][axis] = exponent(sizes, [point[figure] for point in found])
        print(
            f"\n{axis}: time grows with the power {results['time_exponent'][axis]:.2f}, "
            f"memory {results['memory_exponent'][axis]:.2f}"
        )
        for point in found:
            print(
                f"{point['size']:8} {1e3 * point['seconds']:10.1f} ms {point['bytes'] / 1e6:10.1f} MB"
            )

    print(f"\nframes_at_once, T = {LONG['frames']} of {LONG['side']} x {LONG['side']}")
    results["frames_at_once"] = {}
    for at_once in (None, 64):
        found = run(train, frames_at_once=at_once, **LONG)
        found["bytes_per_sequence"] = found["bytes"] / LONG["batch"]
        found["batch_in_16_GB"] = 16e9 // found["bytes_per_sequence"]
        results["frames_at_once"][str(at_once)] = found
        print(
            f"{at_once!s:>8} {found['seconds']:10.2f} s {found['bytes'] / 1e6:11.1f} MB, "
            f"a batch of {found['batch_in_16_GB']:.0f} in 16 GB"
        )

    results["rollout"] = run(rollout)
    print(
        "\na draw from the prior takes {ratio:.2f} times its log_prob".format(**results["rollout"])
    )
    results["run"] = record(seconds=time.perf_counter() - start, seed=0)
    write(results, args.out)


if __name__ == "__main__":
    main()
