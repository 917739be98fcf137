"""What a GPU makes of the presets that are for one: a step's time, kernels and memory, and what is kept.

    python benchmarks/accelerator.py --out benchmarks/results/accelerator.json
    python benchmarks/accelerator.py --cases "large, bf16" "large, bf16, compiled"
    python benchmarks/accelerator.py --device cpu --cases "large, float32" --steps 2 --batch-size 2

Each case has a process of its own: the sprites of ``examples/sprites.py`` in its preset, on noise. ``ms`` is
a step of ``fit`` in the mean, without the first ten, ``kernels`` what torch's profiler counts in one, on the
accelerator or, without one, of operators that do not call others. ``kept``: a run that is stopped in the
middle and goes on from its checkpoint, and a pair that is saved and loaded, have the weights of one that was
neither.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from common import apart, peak_bytes, record, synchronise, write
from torch import nn
from torch.profiler import profile

import pyro_dsae

HERE = Path(__file__).parent
CASES = {
    f"{preset}, {precision}{', compiled' * compiled}": (preset, precision, compiled)
    for preset in ("large", "paper")
    for precision, compiled in (("float32", False), ("bf16", False), ("bf16", True))
}
WARM_UP = 10


class Case:
    """A preset of ``examples/sprites.py`` and its noise."""

    def __init__(self, name: str, device: str | None, batch_size: int | None) -> None:
        sys.path.insert(0, str(HERE.parent / "examples"))
        for module in ("common", "options"):  # those of benchmarks/ have the same names
            sys.modules.pop(module, None)
        import sprites

        preset, precision, self.compiled = CASES[name]
        self.sprites, self.plain = sprites, preset == "paper"
        self.preset = sprites.PRESETS[preset]
        self.preset = replace(self.preset, batch_size=batch_size or self.preset.batch_size)
        size = self.preset.size
        self.x = torch.randint(256, (2 * self.preset.batch_size, 8, 3, size, size)).byte()
        self.options = {
            "batch_size": self.preset.batch_size,
            "lr": self.preset.lr,
            "device": device,
            "precision": {"float32": "no"}.get(precision, precision),
            "progress": False,
        }

    def pair(self) -> tuple[nn.Module, nn.Module]:
        torch.manual_seed(0)
        return self.sprites.make_pair(self.preset, "factorised", plain=self.plain)

    def fit(self, pair: tuple[nn.Module, nn.Module], steps: int, **options: Any) -> Any:
        """With a rate that does not depend on how many steps there are."""
        options = {**self.options, "optimizer": self.preset.optimizer(*pair), **options}
        return pyro_dsae.fit(*pair, self.x, steps=steps, schedule="constant", **options)


def kernels(case: Case, pair: tuple[nn.Module, nn.Module]) -> int:
    """Of the last of two steps, as the difference of what two steps and one launch."""
    counts = []
    for steps in (1, 2):
        with profile() as found:  # of all activities that there are
            case.fit(pair, steps)
        events = found.events()
        on_gpu = [e for e in events if e.device_type == torch.autograd.DeviceType.CUDA]
        leaves = [e for e in events if e.name.startswith("aten::") and not e.cpu_children]
        counts.append(len(on_gpu or leaves))
    return counts[1] - counts[0]


def kept(case: Case) -> bool:
    """Whether a stop in the middle, and saving, change no weight."""
    # Or two runs differ by the order of their sums.
    torch.use_deterministic_algorithms(True, warn_only=True)

    def weights(pair: tuple[nn.Module, nn.Module]) -> list[torch.Tensor]:
        return [w.cpu() for module in pair for w in module.state_dict().values()]

    class StoppedError(Exception):
        """In the middle."""

    def stop(history: Any) -> None:
        if history.step == 3:
            raise StoppedError

    whole, again = case.pair(), case.pair()
    with TemporaryDirectory() as folder:
        options = {"checkpoint_dir": folder, "checkpoint_every": 2}
        case.fit(whole, 4)
        try:
            case.fit(case.pair(), 4, callback=stop, **options)
        except StoppedError:
            case.fit(again, 4, resume=True, **options)
        pyro_dsae.save(Path(folder, "pair"), *whole)
        loaded = pyro_dsae.load(Path(folder, "pair"))
    expected = weights(whole)
    return all(
        torch.equal(a, b)
        for pair in (again, loaded)
        for a, b in zip(weights(pair), expected, strict=True)
    )


def measured(name: str, device: str | None, batch_size: int | None, steps: int) -> dict[str, Any]:
    """All of one case; what went wrong where something did."""
    try:
        case = Case(name, device, batch_size)
        found: dict[str, Any] = {"batch_size": case.preset.batch_size}
        pair = case.pair()
        found["parameters"] = sum(p.numel() for module in pair for p in module.parameters())
        if case.compiled:
            for network in (pair[0].decoder, pair[1].encoder, pair[0].content_prior):
                network.compile()
        marks: list[float] = []

        def mark(history: Any) -> None:
            if history.step in (1, WARM_UP, WARM_UP + steps):
                synchronise()
                marks.append(time.perf_counter())

        start = time.perf_counter()
        history = case.fit(pair, WARM_UP + steps, callback=mark)
        found |= {
            "first_step_s": marks[0] - start,
            "ms": 1000 * (marks[2] - marks[1]) / steps,
            "sequences_per_second": steps * case.preset.batch_size / (marks[2] - marks[1]),
            "memory_bytes": peak_bytes(device or ("cuda" if torch.cuda.is_available() else "cpu")),
            "losses": [history.losses[0], history.losses[-1]],
            "kernels": kernels(case, pair),
        }
        if not case.compiled:
            found["kept"] = kept(case)
    except Exception:
        return {"error": traceback.format_exc(limit=3).splitlines()}
    return found


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    options.add_argument("--steps", type=int, default=50)
    options.add_argument("--batch-size", type=int, help="in place of the preset's")
    options.add_argument("--device", help="as of fit (default: an accelerator where there is one)")
    options.add_argument("--out", type=Path, help="write the figures to this file")
    args = options.parse_args()
    results: dict[str, Any] = {}
    for name in args.cases:
        results[name] = apart(measured, name, args.device, args.batch_size, args.steps)
        print(name, {k: v for k, v in results[name].items() if k != "losses"}, flush=True)
        write({"results": results, "run": record(steps=args.steps)}, args.out)
    if any("error" in found for found in results.values()):
        sys.exit("some cases could not be measured")


if __name__ == "__main__":
    main()
