"""What disentangles: what examples/compare_guides.py trains, with the LSTM prior and N(0, I), and one
ingredient left out, or alone.

python benchmarks/ablation.py --steps 1000 --out benchmarks/results/ablation.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from common import record, write
from torch import nn

import pyro_dsae
from pyro_dsae import metrics, views
from pyro_dsae.data import ProceduralSprites

FRAME = (3, 32, 32)
SIZES = {"f_dim": 32, "z_dim": 6, "channels": 16, "hidden": 128}
FULL = {"modulated", "content_encoder", "content_view", "dynamics_view", "weights"}
VARIANTS: dict[str, set[str]] = {
    "recipe": FULL,
    **{f"without {name}": FULL - {name} for name in sorted(FULL)},
    "without views": FULL - {"content_view", "dynamics_view"},
    "without views and weights": {"modulated", "content_encoder"},
    "plain ELBO": set(),
    **{f"{name} alone": {name} for name in sorted(FULL)},
}


def train(parts: set[str], data: ProceduralSprites, steps: int, seed: int, guide_type: Any) -> Any:
    """A pair trained with these ingredients."""
    torch.manual_seed(seed)
    model = pyro_dsae.DSAE(FRAME, modulated="modulated" in parts, **SIZES)
    shuffled = nn.Sequential(views.FewFrames(2), views.ShuffleStrips(2))
    guide = guide_type(
        FRAME,
        content_encoder="content_encoder" in parts,
        content_view=shuffled if "content_view" in parts else None,
        dynamics_view=views.Recolour() if "dynamics_view" in parts else None,
        **SIZES,
    )
    start, end = int(0.15 * steps), int(0.4 * steps)
    weights = {
        "f": pyro_dsae.piecewise_linear((start, 1.0), (end, 4.0)),
        "z": pyro_dsae.piecewise_linear((start, 1.0), (end, 3.0)),
    }
    pyro_dsae.fit(
        model,
        guide,
        data,
        steps=steps,
        batch_size=32,
        lr=3e-3,
        kl_weights=weights if "weights" in parts else None,
        device="cpu",
        seed=seed,
    )
    return model.eval(), guide.eval()


def main() -> None:
    """Train every variant and write what the judge says."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--steps", type=int, default=1000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--variants", nargs="*", choices=VARIANTS, default=[*VARIANTS])
    options.add_argument("--guide", choices=("Factorised", "Full"), default="Factorised")
    options.add_argument("--out", type=Path, default=Path("ablation.json"))
    args = options.parse_args()
    data, test = ProceduralSprites("train"), ProceduralSprites("test")
    judge = metrics.load_or_train_judge(data, test, cache_dir=Path("runs"))
    guide_type = getattr(pyro_dsae, args.guide)
    results: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {}
    settings = {"seed": args.seed, "steps": args.steps, "guide": args.guide}
    for key, value in settings.items():
        if "run" in results and results["run"][key] != value:
            options.error(
                f"--out {args.out} holds variants of {key} {results['run'][key]}: name another"
            )
    results["judge"] = judge.accuracy
    for name in args.variants:
        if name in results:
            continue
        model, guide = train(VARIANTS[name], data, args.steps, args.seed, guide_type)
        options_ = {"num_sequences": 900, "seed": args.seed}
        results[name] = {
            "swap": metrics.swap(model, guide, judge, test, **options_),
            "protocol_b": metrics.protocol_b(model, guide, judge, test, **options_),
            "protocol_b_reverse": metrics.protocol_b_reverse(model, guide, judge, test, **options_),
            "elbo": pyro_dsae.evaluate_elbo(model, guide, test),
        }
        swap = results[name]["swap"]
        score = results[name]["protocol_b"]["inception_score"]
        print(
            f"{name:26} swap: static {swap['static_accuracy']:.3f}, action {swap['action']:.3f}, "
            f"direction {swap['direction']:.3f}; IS {score:.2f}",
            flush=True,
        )
        results["run"] = record(**settings)
        write(results, args.out)


if __name__ == "__main__":
    main()
