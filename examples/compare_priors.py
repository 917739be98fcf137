"""One model, several priors of its dynamics: which imagines best, and what does it cost?

Trains the same model once with each prior of z_1:T, from the same seeds and for as many steps or seconds, on
characters that act and on a ball that bounces. Sets side by side how near each comes to the evidence, what a
judge says of what it draws and how its ball moves on, and what a step and a drawn frame take. The guide is
the factorised one throughout, and f has the preset's prior.

    python examples/compare_priors.py                              # all priors, on both data sets
    python examples/compare_priors.py --data ball --priors autoregressive mixture --seeds 1
    python examples/compare_priors.py --data sprites --budget 120s

Samples of sprites are judged, so their KL terms are weighted as in sprites.py, for a prior to sample from;
the bounds are those of the ELBO itself, of a model that was trained for another one. The ball has the plain
ELBO.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import bouncing_ball
import sprites
import torch
from bouncing_ball import LONG, SEEN
from common import CACHE, Pair, Run
from comparison import (
    Comparison,
    Row,
    add_options,
    check_sizes,
    folder,
    over_seeds,
    read,
    some_of_each,
    table,
    write_rows,
)
from options import Distinct, at_least, parser
from torch import nn

import pyro_dsae
from pyro_dsae import metrics, plotting
from pyro_dsae.data import BouncingBall, ProceduralSprites
from pyro_dsae.priors import PRIORS
from pyro_dsae.training import NonFiniteLossError

BREAKS_DOWN = (ValueError, NonFiniteLossError, torch.linalg.LinAlgError)
"""What a prior raises whose numbers do: draws or weights that are not finite, covariances not positive."""
UNDEFINED = {
    "speed_error": "no ball goes from frame to frame away from walls",
    "k_hat_median": "infinite",
}
EVIDENCE = {"elbo": "ELBO", "iw_bound": "IW bound", "kl_z": "KL z"}
COST = {"seconds_per_step": "s a step", "ms_per_frame": "ms a drawn frame"}
SPRITES = (
    EVIDENCE,
    {
        "inception_score": "IS",
        "h_y_given_x": "H(y|x)",
        "first_frame": "first frame",
        "last_frame": "last frame",
        "attributes": "attributes",
    },
    {
        "reverse_action": "reverse: action",
        "swap_static": "swap: static",
        "swap_action": "swap: action",
        **COST,
    },
)
BALL = (
    EVIDENCE,
    {f"missing_{n}": f"pixels, -{n}" for n in metrics.bouncing_ball.MISSING},
    {"speed_error": f"speed, T = {LONG}", "one_ball": f"one ball, T = {LONG}", **COST},
)
Figures = dict[str, float | None]
Protocols = Mapping[str, Callable[[], Figures]]


class OnSprites:
    """Procedural sprites: a judge looks at what is drawn."""

    columns = SPRITES

    def __init__(self, run: Run, args: argparse.Namespace) -> None:
        self.run, self.args, self.preset = run, args, sprites.COMPARED[args.preset]
        size = self.preset.size
        self.train, self.test = (ProceduralSprites(split, size=size) for split in ("train", "test"))
        self.judged = args.judged or 450
        check_sizes(run, len(self.test), sequences=args.sequences, judged=self.judged)

    def prepare(self) -> None:
        """The judge, trained once and kept."""
        self.run.say("sprites: the judge, trained once and kept")
        with self.run.first():
            self.judge = metrics.load_or_train_judge(
                self.train, self.test, cache_dir=CACHE, device=self.run.device
            )

    def make_pair(self, prior: str) -> Pair:
        return sprites.make_pair(replace(self.preset, prior=prior), "factorised")

    def kl_weights(self, steps: int) -> dict[str, Any]:
        return sprites.weights(steps, self.preset)

    def protocols(self, pair: Pair) -> Protocols:
        args = self.args

        def ask(protocol: Callable[..., dict[str, Any]]) -> dict[str, Any]:
            return protocol(*pair, self.judge, self.test, num_sequences=self.judged, seed=args.seed)

        def kept() -> Figures:
            found = ask(metrics.protocol_b)
            return {name: found[name] for name in ("inception_score", "h_y_given_x", "h_y")}

        def samples() -> Figures:
            found = ask(metrics.prior_samples)
            frames = {name: found[name] for name in ("first_frame", "last_frame")}
            return {**frames, "attributes": found["h_y_given_x"]}

        def swap() -> Figures:
            found = ask(metrics.swap)
            return {"swap_static": found["static_accuracy"], "swap_action": found["action"]}

        x = some_of_each(self.run, self.test, args)
        return {
            "evidence": lambda: metrics.evidence(
                *pair, x, num_samples=args.samples, seed=args.seed
            ),
            "f kept": kept,
            "samples": samples,
            "reverse": lambda: {"reverse_action": ask(metrics.protocol_b_reverse)["action"]},
            "swap": swap,
        }


class OnBall:
    """A bouncing ball: how it goes on."""

    columns = BALL

    def __init__(self, run: Run, args: argparse.Namespace) -> None:
        self.run, self.args, self.preset = run, args, bouncing_ball.PRESETS[args.preset]
        size = self.preset.size
        with run.reading():
            self.train, self.test = (
                BouncingBall(split, size=size, root=CACHE) for split in ("train", "test")
            )
        self.judged = args.judged or 50
        check_sizes(run, len(self.test), sequences=args.sequences, judged=self.judged)

    def prepare(self) -> None:
        """Nothing: the true paths are known."""

    def make_pair(self, prior: str) -> Pair:
        return bouncing_ball.make_pair(self.preset, "stochastic", "factorised", prior=prior)

    @staticmethod
    def kl_weights(steps: int) -> dict[str, Any]:
        """The ELBO itself."""
        return {}

    def protocols(self, pair: Pair) -> Protocols:
        args, judged = self.args, self.judged
        size = max(200, args.sequences, judged)
        x = self.test.frames[:size].to(self.run.device).float() / 255
        speed = self.test.velocities[:judged, SEEN].norm(dim=-1)

        def futures() -> Figures:
            found = bouncing_ball.judge(self.run, *pair, x, speed, judged)
            errors = {
                f"missing_{n}{end}": scores[key]
                for n, scores in found["prediction"].items()
                for key, end in (("mean", ""), ("low", "_low"), ("high", "_high"))
            }
            moves = {name: found["physics"][name] for name in ("speed_error", "one_ball")}
            return {"reconstruction": found["reconstruction"], **errors, **moves}

        return {
            "evidence": lambda: metrics.evidence(
                *pair, x[: args.sequences], num_samples=args.samples, seed=args.seed
            ),
            "futures": futures,
        }


TASKS = {"sprites": OnSprites, "ball": OnBall}


@torch.no_grad()
def drawing_time(prior: nn.Module, turns: int = 5) -> Figures:
    """Milliseconds a frame of one z of ``LONG`` frames, the best of a few turns."""
    taken = []
    for _ in range(turns):
        start = time.perf_counter()
        prior(LONG).sample((1,)).cpu()
        taken.append(time.perf_counter() - start)
    return {"ms_per_frame": 1000 * min(taken) / LONG}


def measured(protocols: Protocols) -> Row:
    """Figures of all protocols; the ``reason`` why some are missing or null, or None."""
    found: Figures = {}
    reasons = []
    for name, protocol in protocols.items():
        try:
            found |= protocol()
        except BREAKS_DOWN as error:
            reasons.append(f"{name}: {error}")
    reasons += [f"{key}: {UNDEFINED[key]}" for key, value in found.items() if value is None]
    return {**found, "reason": "; ".join(reasons) or None}


def draw(run: Run, models: Mapping[str, nn.Module], num_frames: int, name: str) -> None:
    """Fresh samples, a row a prior: three as a picture, as long as in training; six as a film, twice that."""
    films, pictures, rows = [], [], []
    for prior, model in models.items():
        torch.manual_seed(run.options.seed)
        try:
            drawn = pyro_dsae.generate(model, batch_size=6, num_frames=2 * num_frames)
        except BREAKS_DOWN as error:
            run.say(f"{name}, no samples of {prior}: {error}")
            continue
        shown = drawn[:3, : num_frames : max(1, num_frames // 8)][:, :8]
        gap = torch.ones_like(shown[:, :1])
        films.append(drawn)
        pictures.append(torch.cat([shown, gap], dim=1).flatten(0, 1)[:-1])
        rows.append(prior)
    if rows:
        run.say(f"samples_{name}, from the top: {', '.join(rows)}")
        plotting.grid(pictures, run.out / f"samples_{name}")
        plotting.animate(torch.cat(films), run.out / f"samples_{name}", columns=6)


def main() -> None:
    """Train, judge and draw each prior on each data set for each seed."""
    options = parser("compare_priors", "One model, several priors of its dynamics.")
    for name, choices, of in (("data", TASKS, "data sets"), ("priors", PRIORS, "priors of z")):
        options.add_argument(
            f"--{name}",
            nargs="+",
            choices=tuple(choices),
            default=[*choices],
            action=Distinct,
            metavar="NAME",
            help=f"{of}: {', '.join(choices)} (default: all)",
        )
    add_options(options, None)
    options.add_argument(
        "--judged",
        type=at_least(9),
        metavar="N",
        help="sequences to judge, 9 or more (default: 450 of sprites, 50 of the ball)",
    )
    args = read(options)
    seeds = range(args.seed, args.seed + args.seeds)
    grid = [
        {"data": data, "prior": prior, "seed": seed}
        for data in args.data
        for seed in seeds
        for prior in args.priors
    ]
    run = Run(options, args, [folder(row) for row in grid])
    tasks: dict[str, OnSprites | OnBall] = {data: TASKS[data](run, args) for data in args.data}
    for task in tasks.values():
        task.prepare()

    comparison = Comparison(run)
    first: dict[str, dict[str, nn.Module]] = {data: {} for data in tasks}
    for row in grid:
        task, prior = tasks[row["data"]], row["prior"]

        def judge(part: Run, pair: Pair, task: OnSprites | OnBall = task) -> Row:
            drawing = {"drawing": lambda: drawing_time(pair[0].prior)}
            return measured({**task.protocols(pair), **drawing})

        try:
            model, _ = comparison.pair(
                row,
                partial(task.make_pair, prior),
                task.train,
                task.preset,
                judge,
                kl_weights=task.kl_weights,
            )
        except BREAKS_DOWN as error:
            run.say(f"no figures: {error}")
            comparison.rows.append({**row, "reason": f"training: {error}"})
            continue
        if row["seed"] == args.seed:
            first[row["data"]][prior] = model

    run.alone()
    found, tables = {}, []
    for data, task in tasks.items():
        draw(run, first[data], task.test.frames.shape[1], data)
        found[data] = over_seeds([r for r in comparison.rows if r["data"] == data], "prior")
        tables.append(f"{data}\n{table(found[data], 'prior', *task.columns)}")
    write_rows(comparison.rows, run.out / "runs.csv")
    figures = {**found, "runs": comparison.rows, "run": run.figures()}
    run.finish(figures, "\n\n".join(tables))


if __name__ == "__main__":
    main()
