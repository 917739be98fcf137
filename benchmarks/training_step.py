"""What Pyro costs: one training step by ``fit``, by ``pyro.infer.SVI`` and by a hand-written loop.

    python benchmarks/training_step.py --out benchmarks/results/training_step.json
    python benchmarks/training_step.py --peer DIR      # a checkout of another implementation, see peers.py
    python benchmarks/training_step.py --cases wide    # for an accelerator: 256 filters, batch 128

All take turns in one process, on the same data and on networks of their own of the same sizes. A ratio is the
median over the turns of the other's time over ours: above 1, ours is the faster.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import peers
import pyro
import torch
from common import apart, peak_bytes, ratio, record, seconds, synchronise, write
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import pyro_dsae

Pair = tuple[nn.Module, nn.Module]
Step = Callable[[], object]
WARM_UP = 5


@dataclass(frozen=True)
class Case:
    """Sizes of the networks and of the data."""

    side: int
    batch: int
    num_frames: int
    f_dim: int
    z_dim: int
    channels: int | tuple[int, ...]
    hidden: int

    def data(self, device: torch.device) -> Tensor:
        """Sequences of noise, eight batches of them."""
        generator = torch.Generator().manual_seed(0)
        shape = (8 * self.batch, self.num_frames, 3, self.side, self.side)
        return torch.rand(shape, generator=generator).to(device)

    def pair(
        self, guide: str = "Factorised", networks: tuple[nn.Module, nn.Module] | None = None
    ) -> Pair:
        """Model and guide, with an encoder and a decoder of their own if given ``networks``."""
        torch.manual_seed(0)
        frame, names = (3, self.side, self.side), ("f_dim", "z_dim", "channels", "hidden")
        sizes = {name: getattr(self, name) for name in names}
        encoder, decoder = networks or (None, None)
        likelihood = "normal" if networks else "bernoulli"
        return (
            pyro_dsae.DSAE(frame, decoder=decoder, likelihood=likelihood, **sizes),
            getattr(pyro_dsae, guide)(frame, encoder=encoder, **sizes),
        )


DEFAULTS = {"f_dim": 256, "z_dim": 32, "channels": 32, "hidden": 256}  # the package's
CASES = {
    "conv64": Case(64, batch=8, num_frames=8, **DEFAULTS),
    "quick": Case(32, batch=32, num_frames=8, f_dim=32, z_dim=6, channels=16, hidden=128),
    "overhead": Case(16, batch=4, num_frames=20, **DEFAULTS),
    "wide": Case(64, batch=128, num_frames=8, f_dim=256, z_dim=32, channels=(256,) * 4, hidden=512),
    "tiny": Case(16, batch=4, num_frames=20, f_dim=16, z_dim=4, channels=8, hidden=32),
}


def negative_elbo(model: nn.Module, guide: nn.Module, x: Tensor) -> Tensor:
    """In plain torch, on the networks of a pair."""
    h = guide.encoder(x)
    f_loc, f_scale = guide.f_head(guide.summary(h))
    z_loc, z_scale = guide.z_head(h)
    f_noise, z_noise = torch.randn_like(f_loc), torch.randn_like(z_loc)
    f, z = f_loc + f_scale * f_noise, z_loc + z_scale * z_noise
    p_loc, p_scale, _ = model.prior.transition(F.pad(z[:, :-1], (0, 0, 1, 0)))
    logits = model.decoder(torch.cat([f.unsqueeze(1).expand(-1, z.shape[1], -1), z], dim=-1))
    reconstruction = F.binary_cross_entropy_with_logits(logits.float(), x, reduction="sum")
    kl_f = (0.5 * (f**2 - f_noise**2) - f_scale.log()).sum()
    p_noise = (z - p_loc) / p_scale
    kl_z = (0.5 * (p_noise**2 - z_noise**2) + p_scale.log() - z_scale.log()).sum()
    return reconstruction + kl_f + kl_z


def hand_written(pair: Pair, data: Tensor, batch: int, steps: int) -> Step:
    """As ``fit`` in a loop of one's own: shuffled batches, clipped gradients, fused Adam, a cosine."""
    model, guide = pair
    parameters = [*model.parameters(), *guide.parameters()]
    adam = torch.optim.Adam(parameters, 1e-3, fused=True)
    autocast = torch.autocast(data.device.type, torch.bfloat16, enabled=data.is_cuda)
    order, done = torch.randperm(len(data)), 0

    def step() -> None:
        nonlocal order, done
        start = done * batch % len(data)
        if start == 0:
            order = torch.randperm(len(data))
        x = data[order[start : start + batch]]
        with autocast:
            loss = negative_elbo(model, guide, x) / batch
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 10.0)
        adam.param_groups[0]["lr"] = 0.5e-3 * (1 + math.cos(math.pi * done / steps))
        adam.step()
        adam.zero_grad()
        done += 1

    return step


def svi(pair: Pair, data: Tensor, batch: int) -> Step:
    """Pyro's own: an optimiser a parameter, no clipping, in the order of the data."""
    trainer = SVI(*pair, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO())
    done = 0

    def step() -> None:
        nonlocal done
        start = done * batch % len(data)
        with pyro.validation_enabled(False):
            trainer.step(data[start : start + batch])
        done += 1

    return step


def run_fit(
    pair: Pair, data: Tensor, batch: int, steps: int, callback: Callable | None = None
) -> None:
    """So many steps of ``fit``."""
    pyro_dsae.fit(
        *pair,
        data,
        steps=steps,
        batch_size=batch,
        device=data.device.type if data.device.type == "cpu" else None,
        progress=False,
        callback=callback,
    )


def others(case: Case, data: Tensor, steps: int) -> dict[str, Step]:
    """The steps that ``fit`` is measured against, each with a pair of its own."""
    pairs = [[module.to(data.device) for module in case.pair()] for _ in range(2)]
    return {
        "hand-written": hand_written(pairs[0], data, case.batch, steps),
        "svi": svi(pairs[1], data, case.batch),
    }


def take_turns_with_fit(
    pair: Pair, data: Tensor, batch: int, steps: Mapping[str, Step], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each step: the others take their turns between two steps of ``fit``."""
    taken: dict[str, list[float]] = {name: [] for name in ("fit", *steps)}
    started = 0.0

    def turn(history: pyro_dsae.History) -> None:
        nonlocal started
        synchronise()
        taken["fit"].append(time.perf_counter() - started)
        for name, step in steps.items():
            taken[name].append(seconds(step))
        started = time.perf_counter()

    run_fit(pair, data, batch, rounds + WARM_UP, turn)
    return {name: values[WARM_UP:] for name, values in taken.items()}


def peak_memory(case: Case, name: str, device: torch.device) -> int:
    """Bytes that five steps of one way need above what the process held before."""
    before, data = peak_bytes(device), case.data(device)
    if name == "fit":
        run_fit(case.pair(), data, case.batch, 5)
    else:
        step = others(case, data, 5)[name]
        for _ in range(5):
            step()
    return peak_bytes(device) - before


def matrix_rate(device: torch.device) -> float:
    """Floating-point operations a second of a large matrix product, in the precision of ``fit``."""
    side, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (2048, torch.float32)
    a = torch.randn(side, side, device=device, dtype=dtype)
    return 2 * side**3 / min(seconds(lambda: a @ a) for _ in range(6))


def operations(case: Case, data: Tensor) -> int:
    """Floating-point operations of one step, counted by torch: products of matrices and convolutions."""
    step = others(case, data, 1)["hand-written"]
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def measure(case: Case, rounds: int, device: torch.device, compiled: bool) -> dict[str, Any]:
    """Seconds and bytes of each way, and the ratios to the hand-written loop."""
    data, pair = case.data(device), case.pair()
    if compiled:
        for network in (pair[0].decoder, pair[1].encoder):
            network.compile()
    steps = others(case, data, rounds)
    taken = take_turns_with_fit(pair, data, case.batch, steps, rounds)
    bytes_of = {name: apart(peak_memory, case, name, device) for name in taken}
    count, fit_seconds = operations(case, data), statistics.median(taken["fit"])
    return {
        "operations": count,
        "share_of_matrix_rate": count / fit_seconds / matrix_rate(device),
        "ratios": {name: ratio(taken["hand-written"], taken[name]) for name in ("fit", "svi")},
        "seconds": {name: statistics.median(values) for name, values in taken.items()},
        "peak_bytes": bytes_of,
        "sizes": asdict(case),
    }


def against(path: Path, batch: int | None, rounds: int, device: torch.device) -> dict[str, Any]:
    """``fit`` beside another implementation: on our networks of its sizes, and on its own layers."""
    peer = peers.load(path)
    case = Case(**{**peer.sizes, **({"batch": batch} if batch else {})})
    data = case.data(device)
    result: dict[str, Any] = {"sizes": asdict(case), "guide": peer.guide}
    for layers, networks in (("our layers", None), ("its layers", peer.networks())):
        step = {"peer": peer.make_step(data[: case.batch], device)}
        pair = case.pair(peer.guide, networks)
        taken = take_turns_with_fit(pair, data, case.batch, step, rounds)
        result[layers] = {
            "ratio": ratio(taken["peer"], taken["fit"]),
            "seconds": {name: statistics.median(values) for name, values in taken.items()},
        }
    return {peer.name: result}


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument(
        "--cases", nargs="+", choices=CASES, default=["conv64", "quick", "overhead", "tiny"]
    )
    options.add_argument("--rounds", type=int, default=60)
    options.add_argument("--compile", action="store_true", help="the networks of fit, by torch")
    options.add_argument("--peer", type=Path, action="append", default=[], metavar="DIR")
    options.add_argument("--peer-batch", type=int, help="sequences a step (default: the peer's)")
    options.add_argument("--peer-rounds", type=int, default=10)
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--out", type=Path)
    args = options.parse_args()
    device = torch.device(args.device)

    print(f"{'':28}{'milliseconds':>14}{'times as fast as':>26}{'MB':>8}")
    results: dict[str, Any] = {"ratios": {}, "cases": {}, "peers": {}}
    for name in args.cases:
        result = measure(CASES[name], args.rounds, device, args.compile)
        results["cases"][name], results["ratios"][name] = result, result["ratios"]
        for way, taken in result["seconds"].items():
            faster = f"{result['ratios'][way]:.2f} hand-written" if way in result["ratios"] else ""
            used = result["peak_bytes"][way] / 1e6
            print(f"{name:14}{way:14}{1e3 * taken:14.1f}{faster:>26}{used:8.0f}")
        print(
            f"{name:14}{100 * result['share_of_matrix_rate']:.0f}% of the rate of a matrix product"
        )
    for path in args.peer:
        results["peers"] |= against(path, args.peer_batch, args.peer_rounds, device)
    for name, result in results["peers"].items():
        for layers in ("our layers", "its layers"):
            taken, times = result[layers]["seconds"], result[layers]["ratio"]
            print(f"{name}: {1e3 * taken['peer']:.0f} ms")
            print(f"  fit, {layers}: {1e3 * taken['fit']:.0f} ms, {times:.2f} times as fast")
    results["run"] = record(rounds=args.rounds, seed=0)
    write(results, args.out)


if __name__ == "__main__":
    main()
