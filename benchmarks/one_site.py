"""p(z_1:T) as one Pyro site against T sites: a step of training on the latents alone.

python benchmarks/one_site.py --out benchmarks/results/one_site.json
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import pyro
import torch
from common import ratio, record, take_turns, write
from pyro import distributions as dist
from pyro.infer import Trace_ELBO
from torch import nn

import pyro_dsae
from pyro_dsae.nn import LSTMTransition

BATCH, Z_DIM, HIDDEN = 32, 6, 128


def steps(num_frames: int) -> dict[str, Callable[[], None]]:
    """A step by each way, on the same networks."""
    transition = LSTMTransition(Z_DIM, HIDDEN)
    guide_loc = nn.Parameter(torch.randn(BATCH, num_frames, Z_DIM))
    scale = torch.ones(())
    parameters = [guide_loc, *transition.parameters()]
    adam = torch.optim.Adam(parameters, 1e-3)

    def joint_model() -> None:
        with pyro.plate("sequences", BATCH, dim=-1):
            pyro.sample("z", pyro_dsae.AutoregressiveNormal(transition, num_frames, Z_DIM))

    def joint_guide() -> None:
        with pyro.plate("sequences", BATCH, dim=-1):
            pyro.sample("z", dist.Normal(guide_loc, scale).to_event(2))

    def looped_model() -> None:
        state, z = None, torch.zeros(BATCH, 1, Z_DIM)
        with pyro.plate("sequences", BATCH, dim=-1):
            for t in pyro.markov(range(num_frames)):
                loc, spread, state = transition(z, state)
                step = dist.Normal(loc[:, 0], spread[:, 0]).to_event(1)
                z = pyro.sample(f"z_{t}", step).unsqueeze(1)

    def looped_guide() -> None:
        with pyro.plate("sequences", BATCH, dim=-1):
            for t in pyro.markov(range(num_frames)):
                pyro.sample(f"z_{t}", dist.Normal(guide_loc[:, t], scale).to_event(1))

    def step(model: Callable, guide: Callable) -> None:
        adam.zero_grad()
        Trace_ELBO().differentiable_loss(model, guide).backward()
        adam.step()

    return {
        "one site": lambda: step(joint_model, joint_guide),
        "T sites": lambda: step(looped_model, looped_guide),
    }


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--frames", type=int, nargs="+", default=[8, 20, 100])
    options.add_argument("--rounds", type=int, default=30)
    options.add_argument("--out", type=Path)
    args = options.parse_args()
    torch.manual_seed(0)
    results: dict = {"T_sites_over_one": {}, "seconds": {}}
    for num_frames in args.frames:
        with pyro.validation_enabled(False):  # as in fit, after its first step
            taken = take_turns(steps(num_frames), args.rounds)
        times = ratio(taken["T sites"], taken["one site"])
        results["T_sites_over_one"][f"T {num_frames}"] = times
        results["seconds"][f"T {num_frames}"] = {
            name: statistics.median(values) for name, values in taken.items()
        }
        print(f"T = {num_frames:3}: one site is {times:.1f} times as fast as T sites")
    results["run"] = record(rounds=args.rounds, seed=0, batch=BATCH)
    write(results, args.out)


if __name__ == "__main__":
    main()
