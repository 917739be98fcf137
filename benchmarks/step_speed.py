"""What Pyro costs: a training step through it against a hand-written loop, and one site against T.

Both sides of each pair use the same networks and the same batch, take turns in one process, and are
compared by the median of their ratio.

    python benchmarks/step_speed.py --out benchmarks/results/step_speed.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyro
import torch
from pyro import distributions as dist
from pyro.infer import Trace_ELBO
from torch import Tensor, nn
from torch.nn import functional as F

import pyro_dsae
from pyro_dsae.nn import LSTMTransition

SIZES = {"f_dim": 32, "z_dim": 6, "channels": 16, "hidden": 128}


def hand_written_loss(model: nn.Module, guide: nn.Module, x: Tensor) -> Tensor:
    """The negative ELBO in plain torch, on the networks of the pair."""
    h = guide.encoder(x)
    f_loc, f_scale = guide.f_head(guide.summary(h))
    z_loc, z_scale = guide.z_head(h)
    f_noise, z_noise = torch.randn_like(f_loc), torch.randn_like(z_loc)
    f, z = f_loc + f_scale * f_noise, z_loc + z_scale * z_noise
    p_loc, p_scale, _ = model.prior(F.pad(z[:, :-1], (0, 0, 1, 0)))
    logits = model.decoder(torch.cat([f.unsqueeze(1).expand(-1, z.shape[1], -1), z], dim=-1))
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl_f = (0.5 * (f**2 - f_noise**2) - f_scale.log()).sum()
    p_noise = (z - p_loc) / p_scale
    kl_z = (0.5 * (p_noise**2 - z_noise**2) + p_scale.log() - z_scale.log()).sum()
    return reconstruction + kl_f + kl_z


def take_turns(first: Callable, second: Callable, rounds: int) -> dict[str, float]:
    """Median seconds of both and the median of second / first, turn by turn."""
    for _ in range(3):
        first(), second()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for function, seconds in zip((first, second), times, strict=True):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    ratios = [b / a for a, b in zip(*times, strict=True)]
    return {
        "first_seconds": statistics.median(times[0]),
        "second_seconds": statistics.median(times[1]),
        "second_over_first": statistics.median(ratios),
        "rounds": rounds,
    }


def step_of(loss: Callable[[], Tensor], parameters: list[nn.Parameter]) -> Callable[[], None]:
    """One optimiser step on a loss."""
    adam = torch.optim.Adam(parameters, 1e-3)

    def step() -> None:
        adam.zero_grad()
        loss().backward()
        adam.step()

    return step


def through_pyro(batch: int, frames: int, rounds: int) -> dict[str, float]:
    """``Trace_ELBO`` (first) against the hand-written loss (second)."""
    x = torch.rand(batch, frames, 3, 32, 32)
    frame = (3, 32, 32)
    model, guide = pyro_dsae.DSAE(frame, **SIZES), pyro_dsae.Factorised(frame, **SIZES)
    elbo = Trace_ELBO()(model, guide)
    torch.manual_seed(0)
    ours = elbo(x).item()
    torch.manual_seed(0)
    theirs = hand_written_loss(model, guide, x).item()
    assert abs(ours - theirs) < 1e-4 * abs(theirs), (ours, theirs)
    parameters = [*model.parameters(), *guide.parameters()]
    return take_turns(
        step_of(lambda: elbo(x), parameters),
        step_of(lambda: hand_written_loss(model, guide, x), parameters),
        rounds,
    )


def one_site(batch: int, frames: int, rounds: int) -> dict[str, float]:
    """One ``AutoregressiveNormal`` site (first) against T Normal sites (second), latents alone."""
    z_dim = SIZES["z_dim"]
    transition = LSTMTransition(z_dim, SIZES["hidden"])
    guide_loc = nn.Parameter(torch.randn(batch, frames, z_dim))
    scale = torch.ones(())

    def joint_model() -> None:
        with pyro.plate("sequences", batch, dim=-1):
            pyro.sample("z", pyro_dsae.AutoregressiveNormal(transition, frames, z_dim))

    def joint_guide() -> None:
        with pyro.plate("sequences", batch, dim=-1):
            pyro.sample("z", dist.Normal(guide_loc, scale).to_event(2))

    def looped_model() -> None:
        state, z = None, torch.zeros(batch, 1, z_dim)
        with pyro.plate("sequences", batch, dim=-1):
            for t in pyro.markov(range(frames)):
                loc, spread, state = transition(z, state)
                step = dist.Normal(loc[:, 0], spread[:, 0]).to_event(1)
                z = pyro.sample(f"z_{t}", step).unsqueeze(1)

    def looped_guide() -> None:
        with pyro.plate("sequences", batch, dim=-1):
            for t in pyro.markov(range(frames)):
                pyro.sample(f"z_{t}", dist.Normal(guide_loc[:, t], scale).to_event(1))

    elbo, parameters = Trace_ELBO(), [guide_loc, *transition.parameters()]
    return take_turns(
        step_of(lambda: elbo.differentiable_loss(joint_model, joint_guide), parameters),
        step_of(lambda: elbo.differentiable_loss(looped_model, looped_guide), parameters),
        rounds,
    )


def main() -> None:
    """Run both and write the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, default=Path("step_speed.json"))
    options.add_argument("--rounds", type=int, default=30)
    args = options.parse_args()
    torch.manual_seed(0)
    results: dict = {"hand_written_over_pyro": {}, "T_sites_over_one": {}}
    with pyro.validation_enabled(False):  # as in fit, after its first step
        for batch in (8, 32):
            result = through_pyro(batch, 8, args.rounds)
            results["hand_written_over_pyro"][f"batch {batch}, T 8"] = result
        for frames in (8, 20):
            result = one_site(32, frames, args.rounds)
            results["T_sites_over_one"][f"batch 32, T {frames}"] = result
    results["run"] = {
        "command": " ".join(["python", *sys.argv]),
        "seed": 0,
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "hardware": f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
    }
    args.out.write_text(json.dumps(results, indent=2) + "\n")
    for comparison, sizes in results.items():
        for size, result in sizes.items() if comparison != "run" else ():
            print(f"{comparison:24} {size:18} {result['second_over_first']:.2f}")


if __name__ == "__main__":
    main()
