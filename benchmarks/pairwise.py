"""Time and memory of the pairwise summary against the number of frames N.

    python benchmarks/pairwise.py --out benchmarks/results/pairwise.json

Forward and backward pass of :class:`pyro_dsae.nn.PairSummary`, and beside it the convolution over every
concatenated pair as the paper writes it, interleaved in one process; the median of several rounds. Memory is
what a pass keeps for its backward pass: what does not depend on the machine.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import record, take_turns, write
from torch import Tensor
from torch.nn import functional as F

from pyro_dsae.nn import PairSummary


def concatenated(summary: PairSummary, h: Tensor) -> Tensor:
    """The same result, pair by pair: a convolution over N (N - 1) concatenated pairs in one batch."""
    n, steps = h.shape[:2]
    i, j = torch.meshgrid(torch.arange(steps), torch.arange(steps), indexing="ij")
    keep = i != j
    pairs = torch.cat([h[:, i[keep]], h[:, j[keep]]], dim=2)
    weight = torch.cat(summary.halves.weight.chunk(2), dim=1)
    bias = sum(summary.halves.bias.chunk(2))
    maps = F.relu(F.conv2d(pairs.flatten(0, 1), weight, bias, padding="same"))
    g = F.relu(summary.conv(maps.unflatten(0, (n, -1)).mean(1)))
    return F.relu(summary.dense(g.flatten(1)))


def kept_bytes(forward: Callable[[], Tensor]) -> int:
    """Bytes of all tensors that a forward pass keeps for its backward pass."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(storages.values())


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--frames", type=int, nargs="+", default=[2, 4, 8, 16, 32])
    options.add_argument("--channels", type=int, default=128, help="of the frame's feature maps")
    options.add_argument("--side", type=int, default=2, help="of the feature maps")
    options.add_argument("--hidden", type=int, default=128)
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--out", type=Path)
    args = options.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    shape = (args.channels, args.side, args.side)
    whole, chunked = (PairSummary(shape, args.hidden, pairs_at_once=n) for n in (32 * 32, 4 * 32))
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "one chunk": whole,
        "chunks of 128 pairs": chunked,
        "concatenated pairs": lambda h: concatenated(whole, h),
    }
    results: dict[str, dict[str, dict[str, float]]] = {way: {} for way in ways}
    for steps in args.frames:
        h = torch.randn(args.batch, steps, *shape)
        passes = {
            way: lambda summarise=summarise, h=h: summarise(h).sum().backward()
            for way, summarise in ways.items()
        }
        times = take_turns(passes, args.rounds)
        for way, summarise in ways.items():
            kept = kept_bytes(lambda summarise=summarise, h=h: summarise(h))
            milliseconds = 1e3 * statistics.median(times[way])
            results[way][str(steps)] = {"milliseconds": milliseconds, "kept_bytes": kept}

    print(f"{'N':>4}" + "".join(f"{way:>32}" for way in ways))
    for steps in args.frames:
        cells = [results[way][str(steps)] for way in ways]
        print(
            f"{steps:4}"
            + "".join(
                f"{c['milliseconds']:18.1f} ms {c['kept_bytes'] / 1e6:8.1f} MB" for c in cells
            )
        )
    exponents = {
        way: float(
            np.polyfit(
                np.log(args.frames[-3:]),
                np.log([by_n[str(n)]["milliseconds"] for n in args.frames[-3:]]),
                1,
            )[0]
        )
        for way, by_n in results.items()
    }
    print("time grows as N to the power of", {way: round(e, 2) for way, e in exponents.items()})
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    write({"results": results, "exponents": exponents, "run": record(**settings)}, args.out)


if __name__ == "__main__":
    main()
