"""Sheets: who a character is, from its poses in no order.

All poses of a character are one unordered set (Helminger et al., AABI 2018). Trains the model of exchangeable
frames, decodes the content f of a few random poses in the poses of other characters, and has a judge say
whose colours and hair it sees.

    python examples/sheets.py                                      # minutes on a laptop, nothing to download
    python examples/sheets.py --guides pairwise factorised full    # one model, three posteriors, one table
    python examples/sheets.py --data lpc --root DIR --download --preset paper      # for a GPU
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from common import APPENDIX, CACHE, GUIDES, Pair, Run, SetPreset, draw_sets
from options import Distinct, at_least, parser, refuse_root

import pyro_dsae
from pyro_dsae import metrics, views
from pyro_dsae.data import ProceduralSheets, RandomFrames, Sheets

PRESETS = {
    "quick": SetPreset(
        32, f_dim=32, z_dim=6, channels=16, hidden=128, batch_size=32, steps=3500, lr=3e-3
    ),
    "paper": replace(APPENDIX, z_dim=16),
}


def make_pair(preset: SetPreset, guide: str) -> Pair:
    """Model and guide. q(z | .) sees colours mixed at random, so that f must know them."""
    frame = (3, preset.size, preset.size)
    return pyro_dsae.Unordered(frame, modulated=True, **preset.networks), GUIDES[guide](
        frame, content_encoder=True, dynamics_view=views.Recolour(), **preset.networks
    )


def weights(steps: int) -> dict[str, Any]:
    """KL weights: f is cheap until the decoder has learnt to listen to it."""
    return {"f": pyro_dsae.piecewise_linear((int(0.6 * steps), 0.3), (steps, 1.0))}


def table(by_guide: dict[str, dict[str, Any]]) -> str:
    """Static accuracy by the number of frames that f has seen, a guide a row."""
    counts = [*next(iter(by_guide.values()))]
    rows = [f"{'static accuracy, f from':24}" + "".join(f"{n:>9}" for n in counts) + "  frames"]
    for guide, by_count in by_guide.items():
        cells = (f"{by_count[n]['static_accuracy']:9.2%}" for n in counts)
        rows.append(f"  {guide:22}" + "".join(cells))
    return "\n".join(rows)


def main() -> None:
    """Train, evaluate, draw."""
    options = parser("sheets", "Sheets: who a character is, from its poses in no order.")
    options.add_argument("--data", choices=("procedural", "lpc"), default="procedural")
    options.add_argument("--root", type=Path, help="folder of the LPC layers")
    options.add_argument("--download", action="store_true", help="fetch the LPC layers into --root")
    options.add_argument(
        "--size", type=int, choices=(32, 64), help="pixels (default: the preset's)"
    )
    options.add_argument(
        "--guides", nargs="+", choices=tuple(GUIDES), default=["pairwise"], action=Distinct
    )
    options.add_argument("--repeats", type=at_least(1), default=1, help="draws of poses to judge")
    args = options.parse_args()
    if args.data == "lpc" and args.root is None:
        options.error("--data lpc needs --root, the folder of its layers (--download fetches them)")
    refuse_root(options, args, args.data)
    several = args.guides if len(args.guides) > 1 else []
    run = Run(options, args, several)
    preset = run.preset(PRESETS)
    preset = replace(preset, size=args.size or preset.size)

    run.say(f"sheets of {args.data} sprites, {preset.size} x {preset.size}")
    sizes = {"size": preset.size, "num_frames": preset.frames}
    if args.data == "lpc":
        with run.reading():
            train, test = (
                Sheets(args.root, split, download=args.download, **sizes)
                for split in ("train", "test")
            )
    else:
        run.say("drawn on the spot; for the LPC characters: --data lpc --root DIR --download")
        with run.usage():
            train, test = (ProceduralSheets(split, **sizes) for split in ("train", "test"))

    found: dict[str, dict[str, Any]] = {}
    for guide_name in args.guides:
        part = run.part(guide_name) if several else run
        model, guide = part.trained(
            lambda name=guide_name: make_pair(preset, name), train, preset, kl_weights=weights
        )
        if not run.is_first:
            continue
        run.say("the judge: a classifier of real poses, trained once and kept")
        judge = metrics.load_or_train_judge(
            metrics.sheet_sequences(train),
            metrics.sheet_sequences(test),
            cache_dir=CACHE,
            device=run.device,
        )
        run.say("evaluation on test characters")
        by_count = metrics.static_accuracy_by_frames(
            model, guide, judge, test, repeats=args.repeats, seed=args.seed
        )
        torch.manual_seed(args.seed)
        found[guide_name] = {
            "static_accuracy": {n: scores["static_accuracy"] for n, scores in by_count.items()},
            "by_frames": by_count,
            "judge": judge.accuracy,
            "elbo": run.elbo(model, guide, train, test),
            "run": part.figures(model, guide),
        }
        torch.manual_seed(args.seed)
        x = torch.stack([RandomFrames(8)(test.frames[i]) for i in range(0, len(test), 50)])
        draw_sets(part, model, guide, x.to(run.device).float() / 255)
    run.alone()
    first = found[args.guides[0]]
    others = {"guides": found} if len(found) > 1 else {}
    run.finish({**first, **others}, table({name: f["by_frames"] for name, f in found.items()}))


if __name__ == "__main__":
    main()
