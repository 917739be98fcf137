"""How much a protocol flatters: one pair, asked as strictly as we do and as published protocols do.

python benchmarks/protocols.py pretrained/lpc-sprites-64 --root DIR --out protocols.json

Strict: content and motion of two test sequences of different characters, draws of both posteriors, the action
with its direction, a judge that has seen none of the test characters. Each other row relaxes one of these.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import torch
from common import record, write

import pyro_dsae
from pyro_dsae import metrics
from pyro_dsae.data import ProceduralSprites, Sprites, cache_dir

SHOWN = ("static_accuracy", "action", "inception_score")


def everyone(train: Any, test: Any) -> Any:
    """The characters of both, for a judge that knows them all."""
    both = copy.copy(train)
    both.frames = torch.cat([train.frames, test.frames])
    both.labels = {name: torch.cat([train.labels[name], test.labels[name]]) for name in test.labels}
    return both


def main() -> None:
    """Ask, and write what is said."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("pair", help="folder or hub id of a saved pair")
    options.add_argument("--root", type=Path, help="of the LPC layers (default: procedural)")
    options.add_argument("--sequences", type=int, default=900, help="of the test set to judge")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    args = options.parse_args()
    model, guide = pyro_dsae.load(args.pair)
    size = guide.frame_shape[-1]
    train, test = (
        Sprites(args.root, split, size=size) if args.root else ProceduralSprites(split, size=size)
        for split in ("train", "test")
    )
    judges = {
        name: metrics.load_or_train_judge(data, test, cache_dir=cache_dir(), seed=args.seed)
        for name, data in (("strangers", train), ("known", everyone(train, test)))
    }

    def asked(protocol: Any, judge: str = "strangers", *, sample: bool = True) -> dict[str, float]:
        return protocol(
            *(model, guide, judges[judge], test),
            num_sequences=args.sequences,
            sample=sample,
            seed=args.seed,
        )

    strict = asked(metrics.swap)
    rows = {
        "strict": strict,
        "means of posteriors": asked(metrics.swap, sample=False),
        "direction not asked": {**strict, "action": strict["action_type"]},
        "judge that knows the characters": asked(metrics.swap, "known"),
        "content drawn from the prior": asked(metrics.protocol_b_reverse),
        "motion drawn from the prior": asked(metrics.protocol_b),
    }
    relaxed = {
        **asked(metrics.protocol_b_reverse, "known", sample=False),
        "static_accuracy": asked(metrics.protocol_b, "known", sample=False)["static_accuracy"],
    }
    rows["all of these"] = {**relaxed, "action": relaxed["action_type"]}
    for name, scores in rows.items():
        print(f"{name:34}" + "".join(f"  {k} {scores[k]:.4f}" for k in SHOWN if k in scores))
    accuracy = {name: judge.accuracy for name, judge in judges.items()}
    settings = record(sequences=args.sequences, seed=args.seed)
    write({"rows": rows, "judges": accuracy, "run": settings}, args.out)


if __name__ == "__main__":
    main()
