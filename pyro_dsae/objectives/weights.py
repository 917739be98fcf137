"""Weights on the KL terms of an ELBO: a beta-VAE, or annealing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pyro.poutine.messenger import Messenger


class KLWeights(Messenger):
    r"""Scale the log-probabilities of latent sites, in model and guide alike.

    Around an ELBO this weights its KL terms:
    :math:`E_q \log p(x \mid f, z) - \beta_f \mathrm{KL}_f - \beta_z \mathrm{KL}_z`,
    a beta-VAE when a weight is constant, annealing when it changes with the step.

    :param weights: site name to weight, at least 0; sites that are not named keep weight 1.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        negative = {name: weight for name, weight in weights.items() if weight < 0}
        if negative:
            raise ValueError(f"KL weights must not be negative, got {negative}")
        self.weights = dict(weights)

    def _pyro_sample(self, msg: Any) -> None:
        if not msg["is_observed"] and msg["name"] in self.weights:
            msg["scale"] = msg["scale"] * self.weights[msg["name"]]


def piecewise_linear(*points: tuple[int, float]) -> Callable[[int], float]:
    """A weight as a function of the step, through ``(step, weight)`` points and constant beyond."""
    steps, weights = [step for step, _ in points], [weight for _, weight in points]
    if not points or steps != sorted(set(steps)):
        raise ValueError(f"points must be (step, weight) with increasing steps, got {points}")
    return lambda step: float(np.interp(step, steps, weights))
