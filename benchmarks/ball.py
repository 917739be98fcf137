"""The bouncing ball without a model: what the figures of examples/bouncing_ball.py are to be held against.

Its own test sequences and measures, of three forecasts that nothing is trained for: black frames, the last
frame held, and the last step again and again.

    python benchmarks/ball.py --out FILE
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from common import record, write
from torch import Tensor

from pyro_dsae import metrics
from pyro_dsae.data import BouncingBall
from pyro_dsae.metrics.bouncing_ball import Forecast

SEEN, LONG = 10, 100  # frames, as in the example


def black(seen: Tensor, num_frames: int, /, *, num_futures: int = 1) -> Tensor:
    """No ball at all."""
    return metrics.hold_last(torch.zeros_like(seen), num_frames, num_futures=num_futures)


FORECASTS: dict[str, Forecast] = {
    "black": black,
    "hold": metrics.hold_last,
    "constant_velocity": metrics.constant_velocity,
}


def main() -> None:
    """Judge each."""
    options = argparse.ArgumentParser(description="A bouncing ball, forecast without a model.")
    options.add_argument("--judged", type=int, default=50, metavar="N", help="sequences to predict")
    options.add_argument("--out", type=Path, metavar="FILE", help="write JSON")
    args = options.parse_args()
    data = BouncingBall("test", num_sequences=args.judged)  # the first of all
    x = data.frames.float() / 255
    speed = data.velocities[:, SEEN].norm(dim=-1)
    results: dict[str, object] = {"run": record(seed=0, judged=args.judged)}
    for name, forecast in FORECASTS.items():
        errors = metrics.prediction_errors(forecast, x)
        rollouts = forecast(x[:, :SEEN], LONG - SEEN, num_futures=1)[0]
        results[name] = {
            "prediction": {str(missing): scores for missing, scores in errors.items()},
            "physics": metrics.physics(rollouts, speed=speed),
        }
        shares = "".join(f"{100 * scores['mean']:7.2f}" for scores in errors.values())
        print(f"{name:20}{shares}")
    write(results, args.out)


if __name__ == "__main__":
    main()
