"""One model, several guides: which posterior fits best, and which disentangles best?

Trains the same model once with each guide, from the same seeds and for as many steps or seconds, and sets
side by side how near each comes to the evidence, what its latents spend, and what a judge says of its swaps.

    python examples/compare_guides.py                              # three guides, two seeds, on a laptop
    python examples/compare_guides.py --guides factorised full --budget 120s
    python examples/compare_guides.py --freeze-model               # one model, the guides fitted to it
    python examples/compare_guides.py --freeze-model --anneal 500 # and how far each is from log p(x)
    python examples/compare_guides.py --prior linear_gaussian --guides factorised structured
    python examples/compare_guides.py --rates 0.5 1 2 4            # what an encoding costs, too
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import CACHE, GUIDES, Pair, Preset, Run
from comparison import (
    Comparison,
    add_options,
    check_sizes,
    folder,
    over_seeds,
    read,
    some_of_each,
    table,
    write_rows,
)
from options import Distinct, at_least, non_negative, parser, refuse_root
from sprites import COMPARED, make_pair
from torch import Tensor, nn

import pyro_dsae
from pyro_dsae import metrics, plotting
from pyro_dsae.data import ProceduralSprites, RandomFrames, Sprites
from pyro_dsae.priors import PRIORS

MODELS = {"dsae": pyro_dsae.DSAE, "unordered": pyro_dsae.Unordered}
WEIGHTS = {"f": 1.0, "z": 1.0}  # the ELBO itself: other weights would favour other posteriors
SHOWN = {
    "elbo": "ELBO",
    "iw_bound": "IW bound",
    "ais_bound": "AIS bound",
    "k_hat_below_0_7": "k < 0.7",
    "kl_f": "KL f",
    "kl_z": "KL z",
    "swap_static": "swap: static",
    "swap_action": "swap: action",
    "seconds_per_step": "s a step",
}


def judge(
    run: Run, pair: Pair, test: Any, judges: nn.Module, args: argparse.Namespace
) -> dict[str, float]:
    """Figures of one pair on test characters."""
    model, guide = pair
    x = some_of_each(run, test, args)
    swapped = metrics.swap(*pair, judges, test, num_sequences=args.judged, seed=args.seed)
    return {
        **metrics.evidence(
            model,
            guide,
            x,
            num_samples=args.samples,
            seed=args.seed,
            method="ais" if args.anneal else "iw",
            num_temperatures=args.anneal or 1,
        ),
        "information_f_x": metrics.mutual_information(
            guide, test, num_sequences=args.judged, seed=args.seed
        ),
        "information_f_z": metrics.content_dynamics_information(
            guide, test, num_sequences=args.judged, seed=args.seed
        ),
        **{f"active_{site}": n for site, n in metrics.active_units(guide, x).items()},
        "swap_static": swapped["static_accuracy"],
        "swap_action": swapped["action"],
    }


def draw(run: Run, pair: Pair, test: Any, seed: int) -> None:
    """The same swap under each guide."""
    picks = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))[:8]
    content, dynamics = (test.frames[picks].to(run.device).float() / 255).chunk(2)
    rows, columns = (i.flatten() for i in torch.meshgrid(*[torch.arange(4)] * 2, indexing="ij"))
    swapped = pyro_dsae.swap(*pair, content[rows], dynamics[columns]).unflatten(0, (4, 4))
    plotting.swap_figure(content, dynamics, swapped, run.out / "swap")


def compression(
    run: Run,
    preset: Preset,
    make: Callable[[str], Pair],
    args: argparse.Namespace,
    train: Any,
    test: Any,
) -> dict[str, Any]:
    """Rate and distortion over weights of the KL terms: of sequences, and of one frame after the other.

    Frame by frame the same networks encode each frame as a sequence of its own, which pays for f every time.
    A step sees as many frames either way.
    """
    frames = copy.copy(train)
    frames.transform = RandomFrames(1)
    whole = test.frames[:: max(1, len(test) // args.judged)].float() / 255
    single = whole.flatten(0, 1).unsqueeze(1)
    found: dict[str, Any] = {}
    steps = args.budget[0]
    batch_size = args.batch_size or preset.batch_size
    for kind, data, x, batch in (
        ("sequences", train, whole, batch_size),
        ("frames", frames, single, batch_size * whole.shape[1]),
    ):
        for weight in args.rates:
            part = run.part(f"rates/{kind}_{weight:g}")
            part.options.steps, part.options.batch_size = steps, batch
            run.say(f"{kind}, KL weighted {weight:g}")
            model, guide = part.trained(
                lambda: make(args.guides[0]),
                data,
                preset,
                kl_weights=lambda _, weight=weight: {"f": weight, "z": weight},
            )
            if not run.is_first:
                continue
            torch.manual_seed(args.seed)
            point = metrics.rates(model, guide, x.to(run.device))
            found.setdefault(kind, {})[f"{weight:g}"] = point
    return found


def draw_fits(run: Run, pairs: dict[str, Pair], x: Tensor, samples: int, seed: int) -> None:
    """ArviZ's pictures of how well each guide fits the sequences ``x``, of so many ``samples`` each."""
    torch.manual_seed(seed)
    containers = {
        name: pyro_dsae.to_arviz(*pair, x, num_samples=samples, predictive=None)
        for name, pair in pairs.items()
    }
    for name, pair in pairs.items():
        plotting.khat_figure(containers[name], run.out / f"k_hat_{name}")
        predicted = pyro_dsae.to_arviz(*pair, x, num_samples=20, predictive="mean")
        plotting.predictive_check(predicted, run.out / f"predictive_check_{name}")
    if len(containers) > 1:
        plotting.comparison_figure(containers, run.out / "comparison")


def main() -> None:
    """Train, judge and draw each guide for each seed."""
    options = parser("compare_guides", "One model, several guides.")
    options.add_argument("--data", choices=("procedural", "lpc"), default="procedural")
    options.add_argument("--root", type=Path, help="folder of the LPC layers")
    options.add_argument(
        "--size", type=int, choices=(32, 64), help="pixels (default: the preset's)"
    )
    options.add_argument("--model", choices=tuple(MODELS), default="dsae")
    options.add_argument(
        "--guides",
        nargs="+",
        choices=(*GUIDES, "structured"),
        default=["factorised", "full", "pairwise"],
        action=Distinct,
    )
    options.add_argument(
        "--prior",
        choices=tuple(PRIORS),
        default="autoregressive",
        help="of z; the guide 'structured' goes with linear_gaussian",
    )
    add_options(options, "700")
    options.add_argument(
        "--freeze-model",
        action="store_true",
        help="train the model with the first guide (the row 'joint'), then fit each guide to it as it is",
    )
    options.add_argument(
        "--anneal",
        type=at_least(1),
        metavar="TEMPERATURES",
        help="also: the evidence by annealed importance sampling; 500 take 2500 gradients a chain",
    )
    options.add_argument(
        "--rates",
        nargs="+",
        type=non_negative,
        metavar="WEIGHT",
        default=[],
        action=Distinct,
        help="also: rate and distortion at these weights of the KL terms, against frame by frame",
    )
    options.add_argument(
        "--no-views",
        dest="views",
        action="store_false",
        help="guides see sequences as they are: the bare ELBO with our networks",
    )
    options.add_argument(
        "--judged",
        type=at_least(34),
        default=450,
        metavar="N",
        help="sequences to swap, 34 or more",
    )
    args = read(options)
    if args.data == "lpc" and args.root is None:
        options.error("--data lpc needs --root, the folder of its layers")
    refuse_root(options, args, args.data)
    if args.rates and args.budget[0] is None:
        options.error("--rates goes with a --budget of steps")
    if "structured" in args.guides and (args.prior, args.model) != ("linear_gaussian", "dsae"):
        options.error(
            "--guides structured goes with --prior linear_gaussian and --model dsae alone"
        )
    if args.model == "unordered" and args.prior != "autoregressive":
        options.error("--prior is of --model dsae: unordered frames have one of their own")
    names = ["joint", *args.guides] if args.freeze_model else args.guides
    seeds = range(args.seed, args.seed + args.seeds)
    grid = [{"guide": name, "seed": seed} for seed in seeds for name in names]
    parts = [folder(row) for row in grid]
    parts += [
        f"rates/{kind}_{weight:g}" for kind in ("sequences", "frames") for weight in args.rates
    ]
    run, preset = Run(options, args, parts), COMPARED[args.preset]
    size = args.size or preset.size
    preset = replace(preset, size=size, prior=args.prior, content_prior="normal")
    if args.data == "lpc":
        with run.reading():
            train, test = (
                Sprites(args.root, split, size=preset.size) for split in ("train", "test")
            )
    else:
        train, test = (ProceduralSprites(split, size=preset.size) for split in ("train", "test"))
    check_sizes(run, len(test), sequences=args.sequences, judged=args.judged)
    run.say(f"{args.data} sprites, {preset.size} x {preset.size}; the judge, trained once and kept")
    with run.first():
        judges = metrics.load_or_train_judge(train, test, cache_dir=CACHE, device=run.device)

    def judged(part: Run, pair: Pair) -> dict[str, float | None]:
        figures = judge(part, pair, test, judges, args)
        draw(part, pair, test, args.seed)
        return figures

    make = partial(make_pair, preset, model=MODELS[args.model], viewed=args.views)
    comparison = Comparison(run, {"joint_with": args.guides[0]} if args.freeze_model else {})
    first: dict[str, Pair] = {}
    joint: nn.Module | None = None
    for row in grid:
        name = row["guide"]
        joint = None if name == "joint" else joint  # each seed has a model of its own

        def pair(name: str = name, joint: nn.Module | None = joint) -> Pair:
            guide_name = args.guides[0] if name == "joint" else name
            model, guide = make(guide_name)
            if joint is not None:
                model.load_state_dict(joint.state_dict())
                model.requires_grad_(False)
            return model, guide

        trained = comparison.pair(row, pair, train, preset, judged, kl_weights=lambda _: WEIGHTS)
        joint = trained[0] if name == "joint" else joint
        if row["seed"] == args.seed:
            first[name] = trained

    rates = compression(run, preset, make, args, train, test) if args.rates else {}
    run.alone()
    draw_fits(run, first, some_of_each(run, test, args), min(args.samples, 200), args.seed)
    write_rows(comparison.rows, run.out / "runs.csv")
    found = over_seeds(comparison.rows, "guide")
    figures: dict[str, Any] = {"guides": found, "runs": comparison.rows}
    if rates:
        figures["rates"] = rates
        curves = {kind: [*points.values()] for kind, points in rates.items()}
        plotting.rate_distortion(curves, run.out / "rates")
    shown = {key: title for key, title in SHOWN.items() if args.anneal or key != "ais_bound"}
    run.finish({**figures, "run": run.figures()}, table(found, "guide", shown))


if __name__ == "__main__":
    main()
