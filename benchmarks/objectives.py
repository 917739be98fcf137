"""What a step costs with the terms of each objective, beside the plain ELBO.

    python benchmarks/objectives.py --out benchmarks/results/objectives.json

All take turns in one process, on the networks that ``examples/compare_recipes.py`` trains on sprites, with
the LSTM prior, N(0, I) and no views of the guide: a training step without the optimiser's part. A ratio is
the median over the turns.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyro
import torch
from common import ratio, record, take_turns, write
from pyro.infer import ELBO
from torch import nn

import pyro_dsae
from pyro_dsae import guides, objectives, views

BATCH, FRAME = 32, (3, 32, 32)
SIZES = {"f_dim": 32, "z_dim": 6, "channels": 16, "hidden": 128}
PLAIN = "ELBO"
TERMS: dict[str, Callable[[], ELBO]] = {
    PLAIN: objectives.ReparametrisedELBO,
    "MutualInformation": objectives.MutualInformation,
    "TotalCorrelation": objectives.TotalCorrelation,
    "CDSVAE": lambda: objectives.CDSVAE(views.FewFrames(8), views.Recolour()),
    "SPYL": objectives.SPYL,
    "SwapConsistency": objectives.SwapConsistency,
    "LatentInformation": objectives.LatentInformation,
    "Grouped": lambda: objectives.Grouped("who"),
}
GUIDES = ("Pooled", "SingleFrame")  # under the plain ELBO, beside Factorised


def step(elbo: ELBO, guide: type[nn.Module] = guides.Factorised) -> Callable[[], None]:
    """A training step, without the optimiser's."""
    torch.manual_seed(0)
    model = pyro_dsae.DSAE(FRAME, modulated=True, **SIZES)
    pair = elbo(model, guide(FRAME, content_encoder=True, **SIZES))
    x, who = torch.rand(BATCH, 8, *FRAME), torch.arange(BATCH) // 4
    given = dict.fromkeys(getattr(elbo, "labels", ()), who)

    def call() -> None:
        pair.zero_grad()
        pair(x, **given).backward()

    return call


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--objectives", nargs="+", choices=tuple(TERMS), default=[*TERMS])
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--out", type=Path)
    args = options.parse_args()
    names = [PLAIN, *(name for name in args.objectives if name != PLAIN)]
    steps = {name: step(TERMS[name]()) for name in names}
    steps |= {name: step(TERMS[PLAIN](), getattr(guides, name)) for name in GUIDES}
    with pyro.validation_enabled(False):  # as in fit, after its first step
        taken = take_turns(steps, args.rounds)
    results: dict[str, Any] = {}
    for name, times in taken.items():
        over = ratio(times, taken[PLAIN])
        results[name] = {"ms": 1e3 * statistics.median(times), "over_the_elbo": over}
        print(f"{name:20} {results[name]['ms']:9.1f} ms  {over:6.2f} times the ELBO")
    results["run"] = record(rounds=args.rounds, seed=0, batch=BATCH, **SIZES)
    write(results, args.out)


if __name__ == "__main__":
    main()
