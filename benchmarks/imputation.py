"""Frames that are missing, filled in from both sides: against a forecast, and against no model.

Of a bouncing ball frames 10 to 19 of 30 are missing, and of a sprite frames 2 to 6 of 8. A pair learns each
from sequences in which spans are missing at random, and is asked of test sequences: the ball for incorrect
pixels, the sprite for squared errors and whether a judge sees the action that it was.

    python benchmarks/imputation.py --out benchmarks/results/imputation.json

Checkpoints are in ``--checkpoints``; ``--resume`` goes on from them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from common import record, write
from torch import Tensor, nn

import pyro_dsae
from pyro_dsae import metrics, views
from pyro_dsae.data import BouncingBall, ProceduralSprites, Sequences
from pyro_dsae.metrics.judge import Judge

Fill = Callable[[Tensor], Tensor]
"""Whole sequences ``(N, T, C, H, W)`` with their gap filled: what stands in the gap is not looked at."""


@dataclass(frozen=True)
class Part:
    """What is learnt and asked: the quick preset of an example, by the bare ELBO, with spans missing."""

    first: int
    last: int  # the frame after the gap
    longest: int  # span missing in training
    steps: int
    batch_size: int
    lr: float
    draws: int  # of what is drawn, a mean is taken over so many


BALL = Part(10, 20, longest=12, steps=5000, batch_size=16, lr=3e-3, draws=20)
SPRITES = Part(2, 7, longest=6, steps=2000, batch_size=32, lr=4e-3, draws=5)
PATHS = 300


class Gapped(Sequences):
    """Sequences in which a span is missing, drawn each time they are read: the label ``mask``."""

    def __init__(self, frames: Tensor, longest: int) -> None:
        super().__init__(frames)
        self.longest = longest

    def batch(
        self, index: Tensor, device: torch.device | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sequences ``index`` and their masks, ``(n, T)``."""
        x, labels = super().batch(index, device)
        return x, {**labels, "mask": gaps(*x.shape[:2], self.longest)}


def gaps(n: int, num_frames: int, longest: int) -> Tensor:
    """Masks ``(n, T)``: each lacks 0 to ``longest`` frames in a row, never the first nor the last."""
    length = torch.randint(longest + 1, (n, 1))
    start = 1 + (torch.rand(n, 1) * (num_frames - 1 - length)).long()
    t = torch.arange(num_frames)
    return (t < start) | (t >= start + length)


def pair_of_the_ball() -> tuple[nn.Module, nn.Module]:
    """As examples/bouncing_ball.py has it, with a posterior that looks along the whole sequence."""
    frame = (1, 32, 32)
    sizes = {"f_dim": 4, "z_dim": 16, "channels": 4, "hidden": 128}
    return pyro_dsae.DSAE(frame, residual=True, **sizes), pyro_dsae.Full(frame, **sizes)


def pair_of_sprites() -> tuple[nn.Module, nn.Module]:
    """As examples/sprites.py has it, with the same posterior."""
    frame = (3, 32, 32)
    sizes = {"f_dim": 32, "z_dim": 6, "channels": 16, "hidden": 128}
    model = pyro_dsae.DSAE(frame, modulated=True, prior="mixture", content_prior="flow", **sizes)
    return model, pyro_dsae.Full(
        frame,
        content_encoder=True,
        content_view=nn.Sequential(views.FewFrames(2), views.ShuffleStrips(2)),
        dynamics_view=views.Recolour(),
        **sizes,
    )


def train(
    make: Callable[[], tuple[nn.Module, nn.Module]],
    frames: Tensor,
    part: Part,
    folder: Path,
    args: argparse.Namespace,
) -> tuple[nn.Module, nn.Module]:
    """A pair that has learnt of gaps."""
    torch.manual_seed(args.seed)
    model, guide = make()
    steps = args.steps or part.steps
    pyro_dsae.fit(
        model,
        guide,
        Gapped(frames, part.longest),
        steps=steps,
        batch_size=part.batch_size,
        lr=part.lr,
        checkpoint_dir=folder / f"{steps}_steps_seed_{args.seed}",
        resume=args.resume,
        device="cpu",
        seed=args.seed,
    )
    return model, guide


def ways(model: nn.Module, guide: nn.Module, part: Part) -> dict[str, tuple[Fill, int]]:
    """What fills the gap, and how often it is to be asked: once where nothing is drawn."""
    first, last = part.first, part.last

    def imputed(x: Tensor, **how: Any) -> Tensor:
        mask = torch.ones(x.shape[:2], dtype=torch.bool)
        mask[:, first:last] = False
        return pyro_dsae.impute(model, guide, x, mask, **how)

    def ahead(x: Tensor) -> Tensor:
        return pyro_dsae.forecast(model, guide, x[:, :first], last - first)[0]

    return {
        "impute": (imputed, 1),
        "impute_drawn": (lambda x: imputed(x, sample=True), part.draws),
        "impute_paths": (lambda x: imputed(x, paths=PATHS), 1),
        "forecast": (between(part, ahead), part.draws),
        "hold": (between(part, lambda x: x[:, first - 1 : first].expand_as(x[:, first:last])), 1),
        "rebuilt": (lambda x: pyro_dsae.reconstruct(model, guide, x), 1),
    }


def between(part: Part, make: Fill) -> Fill:
    """Sequences with what ``make`` gives, ``(N, gap, C, H, W)``, in the gap."""
    return lambda x: torch.cat([x[:, : part.first], make(x), x[:, part.last :]], 1)


def straight_on(x: Tensor, part: Part) -> Tensor:
    """The last step before the gap, again and again."""
    seen, steps = x[:, : part.first], part.last - part.first
    return metrics.constant_velocity(seen, steps)[0]


def from_both_ends(x: Tensor, part: Part) -> Tensor:
    """Straight on from either end, up to the middle of the gap."""
    half = (part.last - part.first) // 2
    ahead = straight_on(x, part)[:, :half]
    back = metrics.constant_velocity(x[:, part.last :].flip(1), part.last - part.first - half)[0]
    return torch.cat([ahead, back.flip(1)], 1)


def mean_and_interval(values: Tensor, name: str) -> dict[str, float]:
    """The mean of ``(N,)`` and 95% of it, by the deviation over sequences."""
    mean, error = float(values.mean()), float(values.std() / len(values) ** 0.5)
    return {name: mean, f"{name}_low": mean - 1.96 * error, f"{name}_high": mean + 1.96 * error}


def ball(args: argparse.Namespace) -> dict[str, Any]:
    """Incorrect pixels over the gap, and frame by frame."""
    part = BALL
    model, guide = train(
        pair_of_the_ball, BouncingBall("train").frames, part, args.checkpoints / "ball", args
    )
    x = BouncingBall("test").frames[: args.judged].float() / 255
    fills = ways(model, guide, part) | {
        "constant_velocity": (between(part, lambda x: straight_on(x, part)), 1),
        "constant_velocity_from_both_ends": (between(part, lambda x: from_both_ends(x, part)), 1),
    }
    gap = slice(part.first, part.last)
    found = {}
    for name, (fill, draws) in fills.items():
        torch.manual_seed(args.seed)
        errors = torch.stack(
            [metrics.incorrect_pixels(fill(x)[:, gap], x[:, gap]) for _ in range(draws)]
        )
        found[name] = mean_and_interval(errors.mean((0, 2)), "incorrect_pixels") | {
            "best_draw": float(errors.mean(2).amin(0).mean()),
            "draws": draws,
            "by_frame": errors.mean((0, 1)).tolist(),
        }
        print(f"  {name:34}{100 * found[name]['incorrect_pixels']:8.2f}%", flush=True)
    return about(part, args, x) | {"ways": found}


def sprites(args: argparse.Namespace) -> dict[str, Any]:
    """Squared error over the gap, and the judge's action of the whole."""
    part, data, test = SPRITES, ProceduralSprites("train"), ProceduralSprites("test")
    judge = metrics.load_or_train_judge(data, test, cache_dir=args.checkpoints)
    model, guide = train(pair_of_sprites, data.frames, part, args.checkpoints / "sprites", args)
    index = torch.linspace(0, len(test) - 1, min(len(test), 9 * args.judged // 2)).long()
    x, action = test.frames[index].float() / 255, test.labels["action"][index]
    fills = ways(model, guide, part) | {"line": (between(part, lambda x: line(x, part)), 1)}
    gap = slice(part.first, part.last)
    found = {}
    for name, (fill, draws) in fills.items():
        torch.manual_seed(args.seed)
        errors, right, inside = [], [], []
        for _ in range(draws):
            filled = fill(x)
            errors.append((filled[:, gap] - x[:, gap]).square().flatten(1).mean(1))
            right.append(action_seen(judge, filled) == action)
            inside.append(action_seen(judge, filled, gap) == action)
        found[name] = mean_and_interval(torch.stack(errors).mean(0), "squared_error") | {
            "action": float(torch.stack(right).float().mean()),
            "action_of_the_gap": float(torch.stack(inside).float().mean()),
            "draws": draws,
        }
        scores = found[name]
        print(
            f"  {name:34}{scores['squared_error']:8.5f}{100 * scores['action']:8.1f}%"
            f"{100 * scores['action_of_the_gap']:8.1f}%",
            flush=True,
        )
    truth = action_seen(judge, x, gap) == action
    return about(part, args, x) | {
        "ways": found,
        "judge": judge.accuracy,
        "judge_of_the_gap": float(truth.float().mean()),
    }


@torch.no_grad()
def action_seen(judge: Judge, x: Tensor, gap: slice = slice(None)) -> Tensor:
    """The action that the judge sees in ``x``, or about the frames of the gap, ``(N,)``."""
    return judge.logits(x)["action"][:, gap].mean(1).argmax(-1)


def line(x: Tensor, part: Part) -> Tensor:
    """From the last frame before the gap to the first after it, pixel by pixel."""
    before, after = x[:, part.first - 1, None], x[:, part.last, None]
    share = torch.arange(1, part.last - part.first + 1) / (part.last - part.first + 1)
    return torch.lerp(before, after, share.view(-1, 1, 1, 1))


def about(part: Part, args: argparse.Namespace, x: Tensor) -> dict[str, Any]:
    """What was learnt and asked."""
    return {
        "missing": [part.first, part.last],
        "frames": x.shape[1],
        "sequences": len(x),
        "steps": args.steps or part.steps,
    }


PARTS = {"ball": ball, "sprites": sprites}


def main() -> None:
    """Train, fill, judge."""
    options = argparse.ArgumentParser(description="Frames that are missing, filled in.")
    options.add_argument(
        "--steps", type=int, help=f"default: {BALL.steps} of the ball, {SPRITES.steps} of sprites"
    )
    options.add_argument("--seed", type=int, default=0)
    options.add_argument(
        "--judged", type=int, default=200, metavar="N", help="balls, and 9 sprites to 2 of them"
    )
    options.add_argument(
        "--checkpoints", type=Path, default=Path("runs") / "imputation", metavar="DIR"
    )
    options.add_argument("--resume", action="store_true", help="go on from the checkpoints")
    options.add_argument("--out", type=Path, metavar="FILE", help="write JSON")
    args = options.parse_args()
    if args.judged < 2:
        options.error(f"--judged must be at least 2, got {args.judged}")
    results: dict[str, Any] = {}
    for name, part in PARTS.items():
        print(name, flush=True)
        try:
            results[name] = part(args)
        except ValueError as error:  # such as checkpoints of an earlier run, without --resume
            options.error(str(error))
        results["run"] = record(seed=args.seed, steps=args.steps, judged=args.judged)
        write(results, args.out)


if __name__ == "__main__":
    main()
