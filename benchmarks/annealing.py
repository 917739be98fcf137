"""How far are the ELBO and the importance-weighted bound from log p(x)? By annealing, with more and more
temperatures, and from both sides on sequences that the model makes.

    python benchmarks/annealing.py --out benchmarks/results/annealing.json
    python benchmarks/annealing.py --pair pretrained/lpc-sprites-64 --root DIR

Without ``--pair``, of procedural sprites and a pair trained as those of ``examples/compare_guides.py``
are: with views, and without weights of the KL terms.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from common import record, write
from torch import nn

import pyro_dsae
from pyro_dsae import metrics, views
from pyro_dsae.data import ProceduralSprites, Sprites


def trained(data: ProceduralSprites, size: int, steps: int, seed: int) -> tuple[nn.Module, ...]:
    """Model and guide."""
    torch.manual_seed(seed)
    frame = (3, size, size)
    sizes = {"f_dim": 32, "z_dim": 6, "channels": 16, "hidden": 128}
    model = pyro_dsae.DSAE(frame, modulated=True, **sizes)
    guide = pyro_dsae.Factorised(
        frame,
        content_encoder=True,
        content_view=nn.Sequential(views.FewFrames(2), views.ShuffleStrips(size // 16)),
        dynamics_view=views.Recolour(),
        **sizes,
    )
    options = {"batch_size": 32, "lr": 4e-3, "device": "cpu", "seed": seed, "progress": False}
    pyro_dsae.fit(model, guide, data, steps=steps, **options)
    return model, guide


def main() -> None:
    """Train or load, anneal, print, write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--pair", type=Path, help="folder of a pair, in place of training one")
    options.add_argument("--root", type=Path, help="of the LPC sprites, for a pair of 64 x 64")
    options.add_argument("--size", type=int, default=32, help="pixels of a pair that it trains")
    options.add_argument("--steps", type=int, default=700)
    options.add_argument("--sequences", type=int, default=9)
    options.add_argument("--samples", type=int, default=1000, help="of the bound without annealing")
    options.add_argument("--chains", type=int, default=16)
    options.add_argument("--temperatures", type=int, nargs="+", default=[100, 300, 1000])
    options.add_argument("--leapfrog", type=int, default=5)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    args = options.parse_args()
    if args.pair:
        model, guide = pyro_dsae.load(args.pair)
        size = model.frame_shape[-1]
        test: Any = Sprites(args.root, "test", size=size) if args.root else None
        test = test or ProceduralSprites("test", size=size)
    else:
        data, test = (ProceduralSprites(split, size=args.size) for split in ("train", "test"))
        model, guide = trained(data, args.size, args.steps, args.seed)
    rows = metrics.balanced_subset(test.labels["action"], args.sequences, seed=args.seed)
    x = test.frames[rows].float() / 255
    settings = {name: value for name, value in vars(args).items() if name not in ("out", "root")}
    settings["pair"] = args.pair and args.pair.name
    results: dict[str, Any] = {"evidence": {}, "both_sides": {}, "run": record(**settings)}
    chains = {"num_chains": args.chains, "num_leapfrog": args.leapfrog, "seed": args.seed}
    for number in args.temperatures:
        start = time.perf_counter()
        found = metrics.evidence(
            model,
            guide,
            x,
            method="ais",
            num_samples=args.samples,
            num_temperatures=number,
            **chains,
        )
        results["evidence"][str(number)] = {**found, "seconds": time.perf_counter() - start}
        write(results, args.out)
        ends = "[{ais_chains_low:.1f}, {ais_chains_high:.1f}]".format(**found)
        print(
            f"{number:5} temperatures: ELBO {found['elbo']:.1f}, IW bound {found['iw_bound']:.1f}, "
            f"AIS bound {found['ais_bound']:.1f} {ends} over chains, "
            f"log weights spread {found['ais_spread']:.1f}, accepted {found['ais_acceptance']:.2f}",
            flush=True,
        )
    for number in args.temperatures:
        start = time.perf_counter()
        sides = metrics.bidirectional(
            model, guide, num_sequences=len(x), num_temperatures=number, **chains
        )
        results["both_sides"][str(number)] = {**sides, "seconds": time.perf_counter() - start}
        write(results, args.out)
        ends = "{lower:.1f} to {upper:.1f}".format(**sides)
        print(f"{number:5} temperatures: log p of the model's own sequences {ends}", flush=True)


if __name__ == "__main__":
    main()
