"""How far are the ELBO and the importance-weighted bound from log p(x)? By annealing, with more and more
temperatures, and from both sides on sequences that the model makes.

    python benchmarks/annealing.py --out benchmarks/results/annealing.json
    python benchmarks/annealing.py --pair pretrained/lpc-sprites-64 --root DIR

Without ``--pair``, of procedural sprites at 32 x 32 and a pair trained as that of ``compare_guides`` is:
``Factorised``, with views and without weights of the KL terms.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from ablation import VARIANTS, train
from common import record, write

import pyro_dsae
from pyro_dsae import metrics
from pyro_dsae.data import ProceduralSprites, Sprites


def main() -> None:
    """Train or load, anneal, print, write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--pair", type=Path, help="folder of a pair, in place of training one")
    options.add_argument("--root", type=Path, help="of the LPC sprites, for a pair of 64 x 64")
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
        parts = VARIANTS["without weights"]
        data, test = ProceduralSprites("train"), ProceduralSprites("test")
        model, guide = train(parts, data, args.steps, args.seed, pyro_dsae.Factorised)
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
