"""Weights on the KL terms of an ELBO: a beta-VAE, or annealing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample


class KLWeights(Messenger):
    r"""Scale the log-probabilities of latent sites, in model and guide alike.

    Around an ELBO this weights its KL terms:
    :math:`E_q \log p(x \mid f, z) - \beta_f \mathrm{KL}_f - \beta_z \mathrm{KL}_z`,
    a beta-VAE when a weight is constant, annealing when it changes with the step.

    :param weights: site name to weight, at least 0; sites that are not named keep weight 1.

    >>> model = pyro_dsae.DSAE((3, 16, 16), f_dim=8, z_dim=4, channels=4, hidden=16)
    >>> with KLWeights({"z": 5.0}):
    ...     trace = pyro.poutine.trace(model).get_trace(batch_size=2)
    >>> trace.nodes["z"]["scale"], trace.nodes["f"]["scale"]
    (5.0, 1.0)
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        negative = {name: weight for name, weight in weights.items() if weight < 0}
        if negative:
            raise ValueError(f"KL weights must not be negative, got {negative}")
        self.weights = dict(weights)
        self.latents: list[str] = []  # that have come by

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] or site_is_subsample(msg):
            return
        if msg["name"] not in self.latents:
            self.latents.append(msg["name"])
        if msg["name"] in self.weights:
            msg["scale"] = msg["scale"] * self.weights[msg["name"]]

    def check(self) -> None:
        """ValueError if a weight is of no latent that has come by."""
        unknown = [name for name in self.weights if name not in self.latents]
        if unknown:
            raise ValueError(
                f"kl_weights must name some of {', '.join(self.latents)}, got {', '.join(unknown)}"
            )


def piecewise_linear(*points: tuple[int, float]) -> Callable[[int], float]:
    """A weight as a function of the step, through ``(step, weight)`` points and constant beyond.

    >>> weight = piecewise_linear((100, 1.0), (200, 5.0))
    >>> weight(0), weight(150), weight(1000)
    (1.0, 3.0, 5.0)
    """
    steps, weights = [step for step, _ in points], [weight for _, weight in points]
    if not points or steps != sorted(set(steps)):
        raise ValueError(f"points must be (step, weight) with increasing steps, got {points}")
    return lambda step: float(np.interp(step, steps, weights))
