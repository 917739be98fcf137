"""How far are the ELBO and the importance-weighted bound from log p(x)? By annealing, with more and more
temperatures, and from both sides on sequences that the model makes.

    python benchmarks/annealing.py --out benchmarks/results/annealing.json
    python benchmarks/annealing.py --pair pretrained/lpc-sprites-64 --root DIR

Without ``--pair``, of procedural sprites at 32 x 32 and a pair trained as that of ``compare_guides`` is:
``Factorised``, with views and without weights of the KL terms.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ablation import VARIANTS, train
from common import record, seconds, write

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
    chains = {"num_chains": args.chains, "num_leapfrog": args.leapfrog, "seed": args.seed}
    results: dict[str, Any] = {"evidence": {}, "both_sides": {}}
    found: dict[str, Any] = {}

    def of_data(number: int) -> None:
        found["data"] = metrics.evidence(
            model,
            guide,
            x,
            method="ais",
            num_samples=args.samples,
            num_temperatures=number,
            **chains,
        )

    def of_the_model(number: int) -> None:
        found["model"] = metrics.bidirectional(
            model, guide, num_sequences=len(x), num_temperatures=number, **chains
        )

    for number in args.temperatures:
        taken = seconds(lambda number=number: of_data(number))
        results["evidence"][str(number)] = scores = {**found["data"], "seconds": taken}
        print(
            f"{number:5} temperatures, {taken:4.0f} s: ELBO {scores['elbo']:.1f}, "
            f"IW {scores['iw_bound']:.1f}, AIS {scores['ais_bound']:.1f} "
            f"[{scores['ais_chains_low']:.1f}, {scores['ais_chains_high']:.1f}] over chains",
            flush=True,
        )
        taken = seconds(lambda number=number: of_the_model(number))
        results["both_sides"][str(number)] = sides = {**found["model"], "seconds": taken}
        print(
            f"{'':18}{taken:4.0f} s: the model's own {sides['lower']:.1f} to {sides['upper']:.1f}"
        )
        settings = {name: value for name, value in vars(args).items() if name != "out"}
        results["run"] = record(
            **{k: str(v) if k in ("pair", "root") else v for k, v in settings.items()}
        )
        write(results, args.out)


if __name__ == "__main__":
    main()
