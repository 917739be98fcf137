"""Faces: who it is, apart from how they look into the camera, learned from pictures in no order.

A folder of pictures a person, as in Aff-Wild (Helminger et al., AABI 2018) or in albums of your own. Trains
on some people and asks of others, never seen: does the content f of some of their pictures lie nearest to
that of their other pictures?

    python examples/faces.py                       # ORL faces, where they are at hand
    python examples/faces.py --root DIR            # DIR/PERSON/PICTURE.jpg, or a video a person
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from common import APPENDIX, GUIDES, Pair, Run, SetPreset, draw_sets, find_data, held_out
from options import parser, share
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Subset

import pyro_dsae
from pyro_dsae import metrics, plotting, views
from pyro_dsae.data import FrameFolders

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
    faces = FrameFolders(root, num_frames=preset.frames, size=preset.size, grey=not args.colour)
    train, test = held_out(len(faces), args.held_out, args.seed, f"people in {root}")
    for i in test:
        if faces.lengths[i] < 4:
            raise ValueError(
                f"{root / faces.names[i]} must hold at least 4 pictures to test on, got {faces.lengths[i]}"
            )
    return Subset(faces, train), Subset(faces, test)


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
    options.add_argument("--guide", choices=tuple(GUIDES), default="pairwise")
    options.add_argument("--held-out", type=share, default=0.25, help="share of people to test on")
    args = options.parse_args()
    root = args.root or find_data("orl-faces")
    if root is None:
        options.error(
            "no faces at hand: --root DIR with a folder of pictures a person (for instance the ORL "
            "faces, cam-orl.co.uk/facedatabase.html), or PYRO_DSAE_DATA/orl-faces"
        )
    run = Run(options, args)
    preset = run.preset(PRESETS)
    with run.reading():
        train, test = load(root, preset, args)
    run.say(f"{root.name}: {len(train)} people to learn from, {len(test)} others to test on")
    if args.root is None:
        run.say("for Aff-Wild or pictures of your own: --root DIR")

    # Few people make short epochs: each is drawn from often enough to fill a batch.
    often = ConcatDataset([train] * max(1, -(-8 * preset.batch_size // len(train))))
    channels = 3 if args.colour else 1
    model, guide = run.trained(
        lambda: make_pair(preset, channels, args.guide), often, preset, kl_weights=weights
    )
    run.alone()
    run.say("evaluation on people not trained on")
    people = [test.dataset.sequence(i) for i in test.indices]
    figures: dict[str, Any] = {
        "nearest": metrics.identity(guide, people, repeats=50, seed=args.seed)
    }
    torch.manual_seed(args.seed)
    figures["elbo"] = run.elbo(model, guide, train, test)
    run.say("pictures")
    torch.manual_seed(args.seed)
    draw(run, model, guide, people)
    figures["run"] = run.figures(model, guide)
    run.finish(figures)


if __name__ == "__main__":
    main()
