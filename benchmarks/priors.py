"""What each prior costs beside the LSTM's, and whether its draws stay.

    python benchmarks/priors.py --out benchmarks/results/priors.json

All take turns in one process. ``density`` is log p(z_1:T) of a batch and its gradient, ``draw`` one batch of
draws, ``step`` one of what ``examples/compare_priors.py`` trains on sprites. ``furthest`` is the largest
\\|z\\| within 2000 steps over 40 seeds of small priors, untrained, and trained on straight lines of 8 steps.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyro
import torch
from common import gradients, ratio, record, take_turns, write

import pyro_dsae
from pyro_dsae.priors import CONTENT_PRIORS, PRIORS, Prior, make_prior

BATCH, Z_DIM, HIDDEN = 32, 6, 128  # of the comparison on sprites
LSTM, NORMAL = "autoregressive", "normal"


def density(prior: Prior, z: torch.Tensor) -> Callable[[], None]:
    """log p of a batch, and its gradient."""

    def call() -> None:
        prior.zero_grad()
        prior(z.shape[1]).log_prob(z).sum().backward()

    return call


def step(prior: str, content_prior: str = "normal") -> Callable[[], None]:
    """A training step of the comparison on sprites, without the optimiser's."""
    torch.manual_seed(0)
    frame = (3, 32, 32)
    sizes = {"f_dim": 32, "z_dim": Z_DIM, "channels": 16, "hidden": HIDDEN}
    laws = {"prior": prior, "content_prior": content_prior}
    model = pyro_dsae.DSAE(frame, modulated=True, **laws, **sizes)
    guide = pyro_dsae.Factorised(frame, content_encoder=True, **sizes)
    return gradients(model, guide, torch.rand(BATCH, 8, *frame))


def furthest(name: str, seeds: int, steps: int = 2000) -> dict[str, float]:
    """The largest \\|z\\| that priors of z of 3 and 32 units draw, before and after training."""
    found = {"untrained": 0.0, "trained": 0.0}
    line = torch.arange(8.0).unsqueeze(-1)
    for seed in range(seeds):
        torch.manual_seed(seed)
        prior = make_prior(name, 3, hidden=32)
        optimiser = torch.optim.Adam(prior.parameters(), 1e-2)
        for kind in found:
            found[kind] = max(found[kind], float(prior(steps).sample((2,)).abs().max()))
            for _ in range(150 if kind == "untrained" else 0):
                z = torch.randn(32, 1, 3) * line + 0.1 * torch.randn(32, 8, 3)
                loss = -prior(8).log_prob(z).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return found


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--priors", nargs="+", choices=tuple(PRIORS), default=[*PRIORS])
    options.add_argument("--frames", type=int, nargs="+", default=[8, 100, 1000])
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--seeds", type=int, default=40)
    options.add_argument("--out", type=Path)
    args = options.parse_args()
    names = [LSTM, *(name for name in args.priors if name != LSTM)]
    contents = [NORMAL, *(name for name in CONTENT_PRIORS if name != NORMAL)]
    torch.manual_seed(0)
    priors = {name: make_prior(name, Z_DIM, hidden=HIDDEN) for name in names}
    results: dict[str, Any] = {name: {} for name in [*names, *(f"f: {c}" for c in contents)]}

    def measure(what: str, functions: dict[str, Callable[[], object]]) -> None:
        with pyro.validation_enabled(False):  # as in fit, after its first step
            taken = take_turns(functions, args.rounds)
        usual = next(iter(functions))
        for name in functions:
            milliseconds = 1e3 * statistics.median(taken[name])
            times = ratio(taken[name], taken[usual])
            results[name][what] = {"ms": milliseconds, "over_the_first": times}
            print(f"{what:15} {name:16} {milliseconds:9.2f} ms  {times:6.2f} times {usual}")

    for frames in args.frames:
        z = torch.randn(BATCH, frames, Z_DIM)
        measure(f"density, T {frames}", {n: density(p, z) for n, p in priors.items()})
        draws = {n: (lambda p=p, t=frames: p(t).sample((BATCH,))) for n, p in priors.items()}
        measure(f"draw, T {frames}", draws)
    measure("step", {name: step(name) for name in names})
    measure("step", {f"f: {name}": step(LSTM, name) for name in contents})
    for name in names if args.seeds else []:
        results[name]["furthest"] = furthest(name, args.seeds)
        print(f"furthest z of {name:16}", results[name]["furthest"])
    sizes = {"batch": BATCH, "z_dim": Z_DIM, "hidden": HIDDEN}
    results["run"] = record(rounds=args.rounds, seeds=args.seeds, seed=0, **sizes)
    write(results, args.out)


if __name__ == "__main__":
    main()
