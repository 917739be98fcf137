"""Sprites: who a character is, apart from how it moves.

Trains a disentangled sequential autoencoder (Li & Mandt, ICML 2018), swaps content and dynamics of test
sequences, and has a judge say how well that worked.

    python examples/sprites.py                                        # minutes, nothing to download
    python examples/sprites.py --preset lpc --download --root data    # the papers' characters, on a CPU
    python examples/sprites.py --preset paper --download --root data  # and networks, without views: a GPU
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import CACHE, GUIDES, SMALL, Pair, Preset, Run, parts_of, some
from options import at_least, parser, refuse_root
from torch import nn

import pyro_dsae
from pyro_dsae import metrics, plotting, views
from pyro_dsae.data import ProceduralSprites, Sprites
from pyro_dsae.priors import CONTENT_PRIORS, PRIORS

_LPC = replace(
    SMALL,
    size=64,
    patch=2,
    decoder={"patch": 4, "channels": (64, 64, 128, 128), "dense": (256, 256)},
    steps=4000,
    muon_rate=0.04,
    muon_for="frames",
    few_frames=1,
    content_encoder="sorted",
    kl={"f": ((0.05, 5.0), (0.1, 1.0)), "z": ((0.1, 1.0), (0.4, 5.0))},
)
PRESETS = {
    "quick": replace(
        _LPC,
        decoder={"patch": 4, "channels": (32, 32, 64, 128), "dense": (256, 256)},
        steps=1200,
        prior_steps=1200,
    ),
    "lpc": _LPC,
    "large": replace(
        _LPC,
        f_dim=64,
        z_dim=16,
        decoder={"patch": 4, "channels": (128,) * 4, "dense": (512, 512)},
        hidden=256,
        batch_size=128,
        steps=20_000,
        lr=2e-3,
    ),
    "paper": Preset(
        64,
        f_dim=256,
        z_dim=32,
        channels=(256,) * 4,
        hidden=512,
        batch_size=128,
        steps=14_000,
        lr=1e-3,
        schedule="warmup_cosine",
    ),
}
"""``quick`` and ``lpc`` are for a CPU; ``large`` is ``lpc``, wider, for a GPU; ``paper`` has
the sizes of Li & Mandt and is trained as they did, by the bare ELBO (batch, rate and steps are ours)."""
COMPARED = {**PRESETS, "quick": replace(SMALL, kl={"z": ((0.15, 1.0), (0.4, 5.0))})}
"""Of compare_guides.py, compare_priors.py and compare_recipes.py: at 32 x 32, by Adam."""
JUDGES = {("procedural", 64): {"patch": 2, "steps": 400}}
"""Of which data at which size they are not the default, which doubts real actions there by 0.02 nats."""


def resized(preset: Preset, size: int) -> Preset:
    """The preset for frames of another size, with patches as much larger: as many places as before."""

    def at(patch: int) -> int:
        return max(1, patch * size // preset.size)

    decoder = {k: at(v) if k == "patch" else v for k, v in preset.decoder.items()}
    return replace(preset, size=size, patch=at(preset.patch), decoder=decoder)


def make_pair(
    preset: Preset,
    guide: str,
    *,
    plain: bool = False,
    viewed: bool = True,
    model: type[nn.Module] = pyro_dsae.DSAE,
) -> Pair:
    """Model and guide. The views are what disentangles them: see docs/disentangling.md.

    ``plain`` has none of our networks either; not ``viewed`` is without views alone.
    """
    frame, sizes = (3, preset.size, preset.size), preset.networks
    if plain:
        return model(frame, **sizes), GUIDES[guide](frame, **sizes)
    laws = {"content_prior": preset.content_prior}
    if model is pyro_dsae.DSAE:
        laws["prior"] = preset.prior
    made = model(frame, modulated=True, **laws, **{**sizes, **preset.decoder})
    shared = {"prior": made.prior} if guide == "structured" else {}
    few, encoder = preset.few_frames, preset.content_encoder
    by_rows = encoder == "sorted"  # which hides places
    hides = views.PixelDropout() if by_rows else views.ShuffleStrips(preset.size // 16)
    looks = {
        "content_view": hides if few else nn.Sequential(views.FewFrames(2), hides),
        "dynamics_view": views.Recolour(),
    }
    return made, {**GUIDES, "structured": pyro_dsae.Structured}[guide](
        frame,
        content_encoder=encoder,
        few_frames=few,
        **(looks if viewed else {}),
        **shared,
        **sizes,
    )


def draw(run: Run, model: nn.Module, guide: nn.Module, x: torch.Tensor) -> None:
    """Pictures of what the model does with the first test sequences ``x``."""
    out = run.out
    content, dynamics = x[:6], x[6:12]
    pairs = [i.flatten() for i in torch.meshgrid(torch.arange(6), torch.arange(6), indexing="ij")]
    swapped = pyro_dsae.swap(model, guide, content[pairs[0]], dynamics[pairs[1]])
    swapped = swapped.unflatten(0, (6, 6))
    reconstructed = pyro_dsae.reconstruct(model, guide, x[:6])
    latents = pyro_dsae.infer(guide, x[:1])
    f, z = (latents[name].expand(6, *latents[name].shape[1:]) for name in ("f", "z"))

    plotting.swap_figure(content, dynamics, swapped, out / "swap")
    both = torch.stack([content, reconstructed], dim=1).flatten(0, 1)
    plotting.grid(both, out / "reconstructions")
    for name, frames in (
        ("fixed_f", pyro_dsae.generate(model, f=f, num_frames=x.shape[1])),
        ("fixed_z", pyro_dsae.generate(model, z=z)),
        ("samples", pyro_dsae.generate(model, batch_size=6, num_frames=2 * x.shape[1])),
        ("forecast", pyro_dsae.forecast(model, guide, x[:6, :4], 12)[0]),
    ):
        plotting.grid(frames, out / name)
        plotting.animate(frames, out / name)


def weights(steps: int, preset: Preset) -> dict[str, Any]:
    """KL weights that rise once the model has found its latents, for a prior to sample from.

    A flow learns whatever contents there are; N(0, I) has to be filled by them.
    """
    filled = {"f": ((0.15, 1.0), (0.4, 4.0))} if preset.content_prior == "normal" else {}
    return {
        site: pyro_dsae.piecewise_linear(
            *((int(share * steps) + i, weight) for i, (share, weight) in enumerate(points))
        )
        for site, points in {**filled, **preset.kl}.items()
    }


def main() -> None:
    """Train, evaluate, draw."""
    options = parser("sprites", "Sprites: who a character is, apart from how it moves.", [*PRESETS])
    options.add_argument(
        "--data", choices=("procedural", "lpc"), help="default: lpc where there is a --root"
    )
    options.add_argument("--root", type=Path, help="folder of the LPC layers")
    options.add_argument("--download", action="store_true", help="fetch the LPC layers into --root")
    options.add_argument(
        "--size", type=int, choices=(32, 64), help="pixels (default: the preset's)"
    )
    options.add_argument(
        "--patch",
        type=at_least(1),
        help="pixels folded into channels, p x p (default: the preset's, in proportion to --size)",
    )
    options.add_argument(
        "--filters",
        type=at_least(1),
        help="of every convolution, such as 256 (default: the preset's)",
    )
    options.add_argument("--guide", choices=tuple(GUIDES), default="factorised")
    options.add_argument("--prior", choices=tuple(PRIORS), help="of z (default: the preset's)")
    options.add_argument(
        "--content-prior", choices=tuple(CONTENT_PRIORS), help="of f (default: the preset's)"
    )
    options.add_argument(
        "--judged",
        type=at_least(9),
        metavar="N",
        help="sequences to judge, 9 or more (default: all)",
    )
    options.add_argument(
        "--validate",
        action="store_true",
        help="learn from 900 of the 1000 training characters, and evaluate on the other 100 in place of the "
        "test characters: to choose settings by",
    )
    options.add_argument(
        "--second-judge",
        action="store_true",
        help="also the figures by a judge that has learnt from no dimmed copies, under second_judge",
    )
    options.add_argument("--plain", action="store_true", help="no views, no weights: the bare ELBO")
    args = options.parse_args()
    if args.data is None:
        of_lpc = args.preset == "lpc" or args.root is not None or args.download
        args.data = "lpc" if of_lpc else "procedural"
    refuse_root(options, args, args.data)
    if args.data == "lpc" and args.root is None:
        options.error(
            "LPC sprites need --root, the folder of their layers (--download fetches them)"
        )
    args.plain = args.plain or args.preset == "paper"
    run = Run(options, args)
    preset = run.preset(PRESETS)
    laws = {"prior": args.prior, "content_prior": args.content_prior}
    laws = {name: law for name, law in laws.items() if law is not None}
    if args.plain and laws:
        options.error(
            "--plain, as --preset paper, is the paper's own model, with priors of its own"
        )
    preset = resized(preset, args.size or preset.size)
    given = {"patch": args.patch, "channels": args.filters and (args.filters,) * 4}
    given = {name: value for name, value in given.items() if value}
    preset = replace(preset, decoder={**preset.decoder, **given}, **given, **laws)
    if args.plain:
        preset = replace(preset, prior_steps=0)

    run.say(f"{args.data} sprites, {preset.size} x {preset.size}")
    splits = ("learn", "validation") if args.validate else ("train", "test")
    if args.data == "lpc":
        with run.reading():
            train, test = (
                Sprites(args.root, split, size=preset.size, download=args.download)
                for split in splits
            )
    else:
        run.say("drawn on the spot; for the LPC characters: --preset lpc --root DIR --download")
        with run.usage():
            train, test = (ProceduralSprites(split, size=preset.size) for split in splits)
    run.learns(args.data, *map(parts_of, splits))
    if (args.judged or 0) > len(test):
        options.error(
            f"--judged must be at most {len(test)}, the {test.split} sequences, got {args.judged}"
        )

    model, guide = run.trained(
        lambda: make_pair(preset, args.guide, plain=args.plain),
        train,
        preset,
        kl_weights=lambda steps: {} if args.plain else weights(steps, preset),
    )
    run.alone()

    run.say("the judge: a classifier of real sequences, trained once and kept")
    kind = JUDGES.get((args.data, preset.size), {})
    judges = partial(
        metrics.load_or_train_judge, train, test, cache_dir=CACHE, device=run.device, **kind
    )
    evaluate = partial(metrics.evaluate_sprites, num_sequences=args.judged, seed=args.seed)
    judge = judges()
    run.say(f"evaluation on {test.split} characters")
    figures: dict[str, Any] = evaluate(model, guide, judge, test)
    if test.split == "test":
        figures["swap_against_truth"] = metrics.swap_against_truth(
            model, guide, test, [train], num_sequences=args.judged, seed=args.seed
        )
    table = metrics.format_table(figures, published=args.data == "lpc")
    if args.second_judge:
        run.say("evaluation by a second judge, which has learnt from no dimmed copies")
        second = evaluate(model, guide, judges(dimmed=False), test)
        table += f"\n\nBy the second judge\n\n{metrics.format_table(second)}"
        figures["second_judge"] = second
    figures["split"] = test.split
    figures["elbo"] = run.elbo(
        model, guide, some(train, args.judged or 1024), some(test, args.judged or len(test))
    )

    run.say("pictures")
    picks = torch.randperm(len(test), generator=torch.Generator().manual_seed(args.seed))[:12]
    x = test.frames[picks].to(run.device).float() / 255
    torch.manual_seed(args.seed)
    draw(run, model, guide, x)
    plotting.trajectory_figure(
        metrics.trajectories(model, guide, judge, test, seed=args.seed),
        run.out / "trajectories",
        names={"action": test.actions},
    )
    plotting.latent_forest(
        pyro_dsae.to_arviz(model, guide, x[:4], predictive=None), run.out / "latents_arviz"
    )
    figures["run"] = run.figures(model, guide)
    run.finish(figures, table)


if __name__ == "__main__":
    main()
