"""A bouncing ball: are its dynamics better drawn at every step, or laid down at the start?

Trains the stochastic model of Li & Mandt (ICML 2018), section 4.3, and two with deterministic dynamics, on a
ball in an irregular polygon. Paths that begin alike part at the corners: no model can say for long where the
ball will be, but each may say what a ball does.

    python examples/bouncing_ball.py                          # minutes on a laptop
    python examples/bouncing_ball.py --preset long            # until the deterministic ones see the ball, too
    python examples/bouncing_ball.py --preset paper           # for a GPU
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from common import CACHE, GUIDES, Pair, Preset, Run, some
from options import Distinct, at_least, parser
from torch import Tensor, nn

import pyro_dsae
from pyro_dsae import metrics, plotting
from pyro_dsae.data import BouncingBall
from pyro_dsae.priors import PRIORS
from pyro_dsae.training import random_prefixes

_QUICK = Preset(32, f_dim=4, z_dim=16, channels=4, hidden=128, batch_size=16, steps=1200, lr=3e-3)
PRESETS = {
    "quick": _QUICK,
    "long": replace(_QUICK, batch_size=32, steps=10_000),
    "paper": Preset(
        32,
        f_dim=16,
        z_dim=16,
        channels=32,
        hidden=512,
        batch_size=128,
        steps=20_000,
        lr=1e-3,
        schedule="warmup_cosine",
    ),
}
MODELS = {"stochastic": pyro_dsae.DSAE, "lstm_f": pyro_dsae.LSTMf, "lstm_c": pyro_dsae.LSTMc}
LSTM_Z, LSTM_HIDDEN = 64, 256  # z of a whole sequence in place of one a frame; at least
NUM_FRAMES, SHORTEST = 30, 4  # of a sequence, and of a prefix in training
SEEN, LONG = 10, 100  # frames: of a sequence, and to judge what goes on after them
LENGTHS = (5, 10, 20, 30)  # of which rate and distortion are taken


def make_pair(preset: Preset, name: str, guide: str, *, prior: str | None = None) -> Pair:
    """Model and guide: the same networks for all three. ``prior`` is for the stochastic one.

    The ball moves on a little at a time: a prior that has such an option gives the step from z_t-1.
    """
    frame, sizes = (1, preset.size, preset.size), preset.networks
    if name != "stochastic":
        sizes |= {"z_dim": LSTM_Z, "hidden": max(LSTM_HIDDEN, preset.hidden)}
        return MODELS[name](frame, **sizes), pyro_dsae.LSTMGuide(frame, **sizes)
    residual = "residual" in inspect.signature(PRIORS[prior or "autoregressive"]).parameters
    model = MODELS[name](frame, prior=prior, residual=residual, **sizes)
    return model, GUIDES[guide](frame, **sizes)


def prefixes(steps: int, name: str) -> Callable[[int], int]:
    """Sequences that grow for much of a run: a path is learnt from its beginning on, and a guide that is
    asked with few frames has seen few. What has one z for all of them sees every second one whole: its last
    frames are as much as it has to learn."""
    grown, whole = (0.7, 0.0) if name == "stochastic" else (0.5, 0.5)
    longest = pyro_dsae.piecewise_linear((0, SHORTEST + 1), (int(grown * steps) + 1, NUM_FRAMES))
    return random_prefixes(SHORTEST, longest, whole=whole)


def judge(
    run: Run, model: nn.Module, guide: nn.Module, x: Tensor, speed: Tensor, judged: int
) -> dict[str, Any]:
    """Figures of one model on test sequences ``x``, whose balls have the given ``speed``, ``(judged,)``."""
    forecast = partial(pyro_dsae.forecast, model, guide)
    torch.manual_seed(run.options.seed)
    reconstructed = torch.cat([pyro_dsae.reconstruct(model, guide, part) for part in x.split(64)])
    errors = metrics.prediction_errors(
        forecast, x[:judged].cpu(), device=run.device, seed=run.options.seed
    )
    rollouts = forecast(x[:judged, :SEEN], LONG - SEEN)[0]
    return {
        "reconstruction": float(metrics.incorrect_pixels(reconstructed, x).mean()),
        "prediction": {str(missing): scores for missing, scores in errors.items()},
        "continuation_nll": metrics.continuation_nll(
            forecast, x[:judged].cpu(), device=run.device, seed=run.options.seed
        ),
        "physics": metrics.physics(rollouts.cpu(), speed=speed),
        "rates": {
            str(length): metrics.rates(model, guide, x[:, :length], seed=run.options.seed)
            for length in LENGTHS
        },
    }


def draw(run: Run, models: dict[str, Pair], x: Tensor) -> None:
    """The true sequence and what each model makes of it, a row each: seen whole, and seen in part."""
    torch.manual_seed(run.options.seed)
    truth = [x[:1]]
    whole = [pyro_dsae.reconstruct(*pair, x[:1]) for pair in models.values()]
    part = [
        torch.cat([x[:1, :SEEN], pyro_dsae.forecast(*pair, x[:1, :SEEN], x.shape[1] - SEEN)[0]], 1)
        for pair in models.values()
    ]
    plotting.grid(torch.cat(truth + whole)[:, ::2], run.out / "reconstructions")
    plotting.grid(torch.cat(truth + part)[:, ::2], run.out / "predictions")
    for name, pair in models.items():
        futures = pyro_dsae.forecast(*pair, x[:4, :SEEN], LONG - SEEN)[0]
        plotting.animate(torch.cat([x[:4, :SEEN], futures], 1), run.out / f"future_{name}")
    plotting.animate(torch.cat(truth + part), run.out / "predictions")


def table(figures: dict[str, Any]) -> str:
    """A row a model: incorrect pixels in %, and the share of frames with one ball."""
    missing = [*next(iter(figures["prediction"].values()))]
    head = "".join(f"{'-' + number:>9}" for number in missing)
    lines = [
        f"Incorrect pixels, %  rebuilt{head}   best of 20, -{missing[-1]}   one ball, T = {LONG}"
    ]
    for name, error in figures["reconstruction"].items():
        scores = figures["prediction"][name]
        cells = "".join(f"{100 * scores[number]['mean']:9.2f}" for number in missing)
        best = 100 * scores[missing[-1]]["best_of_20"]
        ball = figures["one_ball"][name]
        lines.append(f"  {name:16}{100 * error:10.2f}{cells}{best:19.2f}{100 * ball:18.1f}%")
    return "\n".join(lines)


def main() -> None:
    """Train the three, judge, draw."""
    words = "A bouncing ball: stochastic against deterministic dynamics."
    options = parser("bouncing_ball", words, [*PRESETS])
    options.add_argument(
        "--models", nargs="+", choices=tuple(MODELS), default=[*MODELS], action=Distinct
    )
    options.add_argument(
        "--guide", choices=tuple(GUIDES), default="factorised", help="of the stochastic model"
    )
    options.add_argument(
        "--judged", type=at_least(1), default=50, metavar="N", help="sequences to predict"
    )
    args = options.parse_args()
    if args.guide != "factorised" and "stochastic" not in args.models:
        options.error("--guide is of the stochastic model: the others have one of their own")
    several = args.models if len(args.models) > 1 else []
    run = Run(options, args, several)
    run.expect(args.models[0], MODELS[args.models[0]])
    preset = run.preset(PRESETS)
    with run.reading():
        train, test = (
            BouncingBall(split, size=preset.size, root=CACHE) for split in ("train", "test")
        )
    run.say(f"{len(train)} sequences of a ball in a polygon, {preset.size} x {preset.size}")
    if args.judged > len(test):
        options.error(
            f"--judged must be at most {len(test)}, the test sequences, got {args.judged}"
        )

    x = test.frames[: max(200, args.judged)].to(run.device).float() / 255
    speed = test.velocities[: args.judged, SEEN].norm(dim=-1)
    pairs, found, parts = {}, {}, {}
    for name in args.models:
        part = run.part(name) if several else run
        run.say(name)
        pairs[name] = part.trained(
            lambda name=name: make_pair(preset, name, args.guide),
            train,
            preset,
            num_frames=partial(prefixes, name=name),
        )
        if not run.is_first:
            continue
        run.say(f"{name}: evaluation")
        found[name] = judge(run, *pairs[name], x, speed, args.judged)
        parts[name] = {
            "elbo": part.elbo(*pairs[name], some(train, 512), some(test, 512)),
            "run": part.figures(*pairs[name]),
        }
    run.alone()
    run.say("pictures")
    draw(run, pairs, x)
    figures: dict[str, Any] = {
        key: {name: scores[key] for name, scores in found.items()}
        for key in ("reconstruction", "prediction", "continuation_nll", "physics", "rates")
    }
    figures["one_ball"] = {name: scores["physics"]["one_ball"] for name, scores in found.items()}
    plotting.error_curves(figures["prediction"], run.out / "missing")
    figures |= {**parts[args.models[0]], "models": parts}
    figures["run"] = {**figures["run"], "seconds": run.figures()["seconds"]}
    run.finish(figures, table(figures))


if __name__ == "__main__":
    main()
