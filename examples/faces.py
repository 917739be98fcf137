"""Faces: who it is, apart from how they look into the camera, learned from pictures in no order.

A folder of pictures a person, as in Aff-Wild (Helminger et al., AABI 2018) or in albums of your own. Trains
on some people and asks of others, never seen: does the content f of some of their pictures lie nearest to
that of their other pictures?

    python examples/faces.py                       # ORL faces, where they are at hand
    python examples/faces.py --root DIR            # DIR/PERSON/PICTURE.jpg, or a video a person
    python examples/faces.py --people 5 10 20 30   # how many people does it take?
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import APPENDIX, GUIDES, Pair, Run, SetPreset, draw_sets, find_data, held_out
from options import Distinct, at_least, parser, share
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Subset

import pyro_dsae
from pyro_dsae import metrics, plotting, views
from pyro_dsae.data import UnorderedFrames

PRESETS = {
    "quick": SetPreset(
        32, f_dim=32, z_dim=8, channels=16, hidden=128, batch_size=30, steps=1000, lr=2e-3
    ),
    "paper": APPENDIX,
}


def make_pair(preset: SetPreset, channels: int, guide: str) -> Pair:
    """Model and guide. q(f | .) sees pictures shifted a little and under other light."""
    frame = (channels, preset.size, preset.size)
    return pyro_dsae.Unordered(frame, modulated=True, **preset.networks), GUIDES[guide](
        frame, content_encoder=True, content_view=views.Jitter(preset.size // 16), **preset.networks
    )


def weights(steps: int) -> dict[str, Any]:
    """KL weights: there are few people, and what tells them apart is worth some nats."""
    return {"f": 0.3}


def load(root: Path, preset: SetPreset, args: argparse.Namespace) -> tuple[Subset, Subset]:
    """People to learn from, and others to test on, of whom there must be pictures for two halves."""
    try:
        faces = UnorderedFrames(
            root,
            num_frames=preset.frames,
            size=preset.size,
            grey=not args.colour,
            mixed_sizes=args.mixed_sizes,
        )
    except ValueError as error:
        raise ValueError(str(error).replace("mixed_sizes=True", "--mixed-sizes")) from error
    train, test = held_out(len(faces), args.held_out, args.seed, f"people in {root}")
    for i in test:
        if faces.lengths[i] < 4:
            raise ValueError(
                f"{root / faces.names[i]} must hold at least 4 pictures to test on, got {faces.lengths[i]}"
            )
    return Subset(faces, train), Subset(faces, test)


def asked(guide: nn.Module, people: list[Tensor], preset: SetPreset, seed: int) -> dict[str, Any]:
    """Whose is the nearest half, of the pictures as they are and of each moved and lit in its own way."""
    torch.manual_seed(seed)
    moves = views.Jitter(preset.size // 8, contrast=0.4)  # twice as far as in training
    moved = [moves(pictures.unsqueeze(0)).squeeze(0) for pictures in people]
    identity = partial(metrics.identity, guide, repeats=50, seed=seed)
    return {"nearest": identity(people), "nearest_moved": identity(moved)}


def draw(run: Run, model: nn.Module, guide: nn.Module, people: list[Tensor]) -> None:
    """Pictures of people not trained on: theirs, reconstructed, in the poses of others, and new."""
    shown = min(6, *(len(pictures) for pictures in people))
    x = torch.stack([pictures[:shown] for pictures in people[:6]]).to(run.device)
    latents = draw_sets(run, model, guide, x)
    f, z = latents["f"], latents["z"]
    plotting.timeline(z[0, :, :2], x[0], run.out / "timeline", extremes=min(3, shown // 2))
    if z.shape[-1] == 2:
        frames = pyro_dsae.generate(model, f=f, z=metrics.latent_grid(model, f))
        plotting.latent_map(frames.unflatten(1, (8, 8)), run.out / "grid")


def main() -> None:
    """Train, evaluate, draw."""
    options = parser("faces", "Faces: who it is, apart from how they look.")
    options.add_argument("--root", type=Path, help="a folder of folders of pictures, one a person")
    options.add_argument("--colour", action="store_true", help="three channels (default: grey)")
    options.add_argument(
        "--mixed-sizes", action="store_true", help="allow pictures of different sizes of one person"
    )
    options.add_argument("--guide", choices=tuple(GUIDES), default="pairwise")
    options.add_argument("--held-out", type=share, default=0.25, help="share of people to test on")
    options.add_argument(
        "--people",
        nargs="+",
        type=at_least(1),
        action=Distinct,
        metavar="N",
        help="learn from so many of the others, a model for each N (default: one, from all)",
    )
    args = options.parse_args()
    root = args.root or find_data("orl-faces")
    if root is None:
        options.error(
            "no faces at hand: --root DIR with a folder of pictures a person (for instance the ORL "
            "faces, cam-orl.co.uk/facedatabase.html), or PYRO_DSAE_DATA/orl-faces"
        )
    several = [f"people_{n}" for n in args.people or () if len(args.people) > 1]
    run = Run(options, args, several)
    preset = run.preset(PRESETS)
    with run.reading():
        train, test = load(root, preset, args)
    names = train.dataset.names
    run.learns(root, *([names[i] for i in part.indices] for part in (train, test)))
    counts = args.people or [len(train)]
    if max(counts) > len(train):
        options.error(
            f"--people must be at most {len(train)}, those to learn from, got {max(counts)}"
        )
    run.say(f"{root.name}: {len(train)} people to learn from, {len(test)} others to test on")
    if args.root is None:
        run.say("for Aff-Wild or pictures of your own: --root DIR")

    channels = 3 if args.colour else 1
    people = [test.dataset.sequence(i) for i in test.indices]
    found: dict[int, dict[str, Any]] = {}
    for count in counts:
        part = run.part(f"people_{count}") if several else run
        some = Subset(train, range(count))
        # Few people make short epochs: each is drawn from often enough to fill a batch.
        often = ConcatDataset([some] * max(1, -(-8 * preset.batch_size // count)))
        model, guide = part.trained(
            lambda: make_pair(preset, channels, args.guide), often, preset, kl_weights=weights
        )
        if not run.is_first:
            continue
        run.say(f"evaluation on people not trained on, by a model of {count}")
        figures = asked(guide, people, preset, args.seed)
        torch.manual_seed(args.seed)
        figures["elbo"] = run.elbo(model, guide, some, test)
        run.say("pictures")
        torch.manual_seed(args.seed)
        draw(part, model, guide, people)
        found[count] = {**figures, "run": part.figures(model, guide)}
    run.alone()
    most = found[max(found)]
    run.finish({**most, **({"by_people": found} if several else {})})


if __name__ == "__main__":
    main()
