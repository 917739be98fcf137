"""What folding p x p pixels into channels costs, and what it brings: patch 1, 2 and 4.

    python benchmarks/patches.py --out benchmarks/results/patches.json

What ``examples/compare_priors.py`` trains on procedural sprites, at other sizes. ``ms`` is a training
step without the optimiser's, all patches taking turns in one process; ``memory_bytes`` the most that a
process holds for such steps alone. With ``--seconds`` each is then trained as there, for as many
steps as it takes in that time, and the judge says how well it swaps. ``wide`` among the patches is the
decoder of the preset ``lpc``, whose outer levels are wide and whose patches are twice the encoders'.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyro
import torch
from common import apart, gradients, peak_bytes, ratio, record, take_turns, write
from torch import nn

import pyro_dsae
from pyro_dsae import metrics, views
from pyro_dsae.data import ProceduralSprites, cache_dir

CASES = ("1", "2", "4", "wide")
BATCH, LR = 32, 4e-3  # of the comparisons of sprites
SIZES = {"f_dim": 32, "z_dim": 6, "channels": 16, "hidden": 128}
WIDE = {"channels": (64, 64, 128, 128), "dense": (256, 256)}


def make_pair(size: int, patch: str) -> tuple[nn.Module, nn.Module]:
    """Model and guide of the comparisons of sprites; ``wide``: with the decoder of ``lpc``."""
    torch.manual_seed(0)
    folds = max(1, size // 32) if patch == "wide" else int(patch)  # 2 at 64 x 64
    frame, sizes = (3, size, size), {**SIZES, "patch": folds}
    laws = {"prior": "mixture", "content_prior": "flow"}
    decoder = {**WIDE, "patch": 2 * folds} if patch == "wide" else {}
    model = pyro_dsae.DSAE(frame, modulated=True, **laws, **{**sizes, **decoder})
    return model, pyro_dsae.Factorised(
        frame,
        content_encoder=True,
        content_view=nn.Sequential(views.FewFrames(2), views.ShuffleStrips(size // 16)),
        dynamics_view=views.Recolour(),
        **sizes,
    )


def step(size: int, patch: str) -> Callable[[], None]:
    """A training step, without the optimiser's."""
    return gradients(*make_pair(size, patch), torch.rand(BATCH, 8, 3, size, size))


def memory(size: int, patch: str) -> int:
    """The most that three steps hold, and all that has been imported."""
    call = step(size, patch)
    for _ in range(3):
        call()
    return peak_bytes("cpu")


def figures(size: int, patch: str, steps: int) -> dict[str, float]:
    """After training: the ELBO of test sequences, nats, and the swap."""
    train, test = (ProceduralSprites(split, size=size) for split in ("train", "test"))
    judge = metrics.load_or_train_judge(train, test, cache_dir=cache_dir(), device="cpu")
    model, guide = make_pair(size, patch)
    rising = pyro_dsae.piecewise_linear((int(0.15 * steps), 1.0), (int(0.4 * steps) + 1, 5.0))
    pyro_dsae.fit(
        model,
        guide,
        train,
        steps=steps,
        batch_size=BATCH,
        lr=LR,
        kl_weights={"z": rising},
        device="cpu",
    )
    swapped = metrics.swap(model, guide, judge, test, num_sequences=900)
    elbo = pyro_dsae.evaluate_elbo(model, guide, test.frames[::4])["elbo"]
    return {"static": swapped["static_accuracy"], "action": swapped["action"], "elbo": elbo}


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sizes", nargs="+", type=int, default=[64, 128])
    options.add_argument("--patches", nargs="+", choices=CASES, default=CASES[:3])
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--seconds", type=float, help="of training each (default: none)")
    options.add_argument("--out", type=Path)
    args = options.parse_args()
    results: dict[str, Any] = {}
    for size in args.sizes:
        steps = {patch: step(size, patch) for patch in args.patches}
        with pyro.validation_enabled(False):  # as in fit, after its first step
            taken = take_turns(steps, args.rounds)
        for patch in args.patches:
            mine = taken[patch]
            row: dict[str, Any] = {
                "ms": 1e3 * statistics.median(mine),
                "over_the_first": ratio(mine, taken[args.patches[0]]),
                "memory_bytes": apart(memory, size, patch),
            }
            if args.seconds:
                row["steps"] = max(1, int(1e3 * args.seconds / row["ms"]))
                row |= figures(size, patch, row["steps"])
            results[f"{size}x{size}, patch {patch}"] = row
            print(f"{size} x {size}, patch {patch}:", row, flush=True)
    write({**results, "run": record(rounds=args.rounds, seconds=args.seconds, seed=0)}, args.out)


if __name__ == "__main__":
    main()
