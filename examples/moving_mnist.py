"""Moving MNIST: which digit it is, apart from where it stands, learned from frames in no order.

Trains the model of Helminger et al. (AABI 2018), in which the frames of a sequence are a set, with its
pairwise posterior. A latent z of two numbers then is a chart of the frame, and a classifier of real digits
says whether moving over it leaves the digit what it is.

    python examples/moving_mnist.py                            # minutes on a laptop
    python examples/moving_mnist.py --digits 2
    python examples/moving_mnist.py --preset paper             # for a GPU
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import (
    APPENDIX,
    CACHE,
    GUIDES,
    Pair,
    Run,
    SetPreset,
    draw_sets,
    find_data,
    parts_of,
)
from options import at_least, parser
from torch import Tensor, nn

import pyro_dsae
from pyro_dsae import metrics, models, plotting
from pyro_dsae.data import MovingDigits, MovingMNIST, RandomFrames


@dataclass(frozen=True)
class Moving(SetPreset):
    """Also how large the digits are, and which networks see them.

    ``pooled`` networks learn sooner than the paper's: a content encoder that pools over places and a
    decoder whose channels f scales and shifts.
    """

    digit_size: int | None = None
    pooled: bool = False


PRESETS = {
    "quick": Moving(
        32,
        f_dim=32,
        z_dim=2,
        channels=16,
        hidden=128,
        batch_size=32,
        steps=5000,
        lr=3e-3,
        muon_rate=0.02,
        muon_for="all",
        digit_size=20,
        pooled=True,
    ),
    "paper": Moving(**{**vars(APPENDIX), "steps": 60_000}),
}


SEEN = (2, 4, 8)  # frames from which f is inferred, beside all of them


def make_pair(preset: Moving, model: str, guide: str) -> Pair:
    """Model and guide. f comes from features that are the same wherever the digit stands."""
    frame, sizes = (1, preset.size, preset.size), preset.networks
    content = "pooled" if preset.pooled else False
    return (
        getattr(models, model)(frame, modulated=preset.pooled, **sizes),
        GUIDES[guide](frame, content_encoder=content, **sizes),
    )


def weights(steps: int) -> dict[str, Any]:
    """KL weights: f is paid once for 20 frames, of which a step of ``quick`` sees 2."""
    return {"f": 0.1}


def draw(run: Run, model: nn.Module, guide: nn.Module, x: Tensor) -> None:
    """The paper's figures, of the test sequences ``x``."""
    latents = draw_sets(run, model, guide, x)
    f, z = latents["f"], latents["z"]
    plotting.timeline(z[0], x[0], run.out / "timeline")
    if z.shape[-1] == 2:
        points = 8
        charts = metrics.latent_grid(model, f, points=points)
        frames = pyro_dsae.generate(model, f=f, z=charts)
        plotting.latent_map(frames.unflatten(1, (points, points)), run.out / "grid")


def main() -> None:
    """Train, evaluate, draw."""
    options = parser("moving_mnist", "Moving MNIST: which digit, apart from where it stands.")
    options.add_argument("--root", type=Path, help="folder of MNIST (default: found or fetched)")
    options.add_argument(
        "--digits",
        type=at_least(1),
        default=1,
        help="in a frame; of several z_dim is 8, and they are as large as published",
    )
    options.add_argument("--model", choices=("Unordered", "DSAE"), default="Unordered")
    options.add_argument("--guide", choices=tuple(GUIDES), default="pairwise")
    options.add_argument(
        "--judged", type=at_least(4), default=500, metavar="N", help="test sequences, 4 or more"
    )
    options.add_argument(
        "--published",
        type=Path,
        metavar="ROOT",
        help="also score the 10,000 published sequences of two digits: with --preset paper --digits 2",
    )
    options.add_argument(
        "--validate",
        action="store_true",
        help="learn from five sixths of the training digits, and evaluate on the others in place of the test "
        "digits: to choose settings by",
    )
    args = options.parse_args()
    run = Run(options, args)
    preset = run.preset(PRESETS)
    if args.digits > 1:
        preset = replace(preset, z_dim=8, digit_size=None)
    if args.published and (preset.size, args.digits) != (64, 2):
        options.error(
            "--published sequences are 64 x 64, of two digits: they go with --preset paper --digits 2"
        )

    root = args.root or find_data("mnist")
    drawn = RandomFrames(preset.frames) if args.model == "Unordered" else None
    splits = ("learn", "validation") if args.validate else ("train", "test")
    with run.reading():
        train, test = (
            MovingDigits(
                root or CACHE / "mnist",
                split,
                num_digits=args.digits,
                num_sequences=number,
                size=preset.size,
                digit_size=preset.digit_size,
                download=root is None,
                transform=some,
                seed=args.seed,
            )
            for split, number, some in zip(
                splits, (20_000, args.judged), (drawn, None), strict=True
            )
        )
        published = MovingMNIST(args.published) if args.published else None
    run.learns("mnist", *map(parts_of, splits))
    run.say(f"{args.digits} moving digits, {preset.size} x {preset.size}: {train.source}")
    model, guide = run.trained(
        lambda: make_pair(preset, args.model, args.guide), train, preset, kl_weights=weights
    )
    run.alone()

    figures = {}
    x = test.sequences(torch.arange(len(test))).to(run.device)
    run.say("a classifier of real digits, trained once and kept")
    classifier = metrics.load_or_train_digit_classifier(
        train.digit_images,
        train.digit_labels,
        test.digit_images,
        test.digit_labels,
        size=preset.size,
        num_digits=args.digits,
        steps=1200 * args.digits,
        cache_dir=CACHE,
        device=run.device,
    )
    figures["classifier"] = classifier.accuracy
    run.say(f"evaluation on {test.split} digits")
    digits, places, held = test.digits, test.positions, metrics.matched_position_r2
    if args.digits == 1:
        digits, places, held = digits[:, 0], places[:, :, 0], metrics.position_r2
    kept = partial(metrics.grid_consistency, model, guide, classifier, seed=args.seed)
    figures["grid"] = kept(x, digits=digits)
    figures["by_frames"] = {str(n): kept(x[:, :n], digits=digits) for n in SEEN if n < x.shape[1]}
    figures["position"] = held(guide, x, places)
    figures["split"] = test.split
    figures["elbo"] = run.elbo(model, guide, train.sequences(torch.arange(len(test))), x)
    if published is not None:
        figures["elbo"]["published"] = pyro_dsae.evaluate_elbo(model, guide, published)["elbo"]

    run.say("pictures")
    torch.manual_seed(args.seed)
    first = [int((test.digits[:, 0] == digit).nonzero()[0]) for digit in test.digits[:, 0].unique()]
    draw(run, model, guide, x[first[:6]])
    figures["run"] = run.figures(model, guide)
    run.finish(figures)


if __name__ == "__main__":
    main()
