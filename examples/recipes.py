"""Recipes for disentangling: an objective, a guide, its views, weights, and what each knows of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyro.infer import ELBO
from torch import nn

import pyro_dsae
from pyro_dsae import piecewise_linear
from pyro_dsae.objectives import (
    CDSVAE,
    SPYL,
    Grouped,
    LatentInformation,
    MutualInformation,
    SwapConsistency,
    TotalCorrelation,
)
from pyro_dsae.views import FewFrames, View

ONE_FRAME = "what stays shows in any one frame"
ANY_FRAMES = "what stays shows in frames of any number and order"
VIEWS = "which map keeps content, and which motion"


@dataclass(frozen=True)
class Known:
    """What there is to know of a data set, for recipes that ask."""

    num_frames: int
    size: int
    """Sequences to learn from."""
    views: tuple[View, View] | None = None
    """One under which content stays, and one under which motion does."""
    group: str | None = None
    """The label of sequences that share their content."""
    share: float = 1.0
    """Of a recording with one content: what a step sees of it, some frames or a window."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; everything else is the same for all."""

    knows: str = "nothing"
    guide: type[nn.Module] = pyro_dsae.Factorised
    options: Callable[[Known], dict[str, Any]] = lambda known: {}
    """Of the guide."""
    elbo: Callable[[Known], ELBO | None] = lambda known: None
    kl_weights: Callable[[int], Mapping[str, Any]] = lambda steps: {}
    """By the number of steps; see :meth:`weights`."""
    needs: str | None = None
    """What must be known of the data, ``views`` or ``group``."""
    recording: bool = False
    """Whether f is paid once for a whole recording, and not for each part of it that a step sees."""

    def weights(self, known: Known, steps: int) -> Mapping[str, Any]:
        """Of the KL terms, by the number of steps, as ``fit`` takes them."""
        weights, share = self.kl_weights(steps), known.share
        if not self.recording or share == 1:
            return weights
        f = weights.get("f", 1.0)
        return {**weights, "f": (lambda step: share * (f(step) if callable(f) else f))}


def one_frame(known: Known) -> dict[str, Any]:
    """q(f | .) sees one frame, drawn at random."""
    return {"content_view": FewFrames(1)}


def any_frames(known: Known) -> dict[str, Any]:
    """q(f | .) sees some frames, as many as chance has it, in random order."""
    return {"content_view": FewFrames((1, known.num_frames))}


def both_views(known: Known) -> dict[str, Any]:
    """Each posterior sees what the other does not need."""
    content, dynamics = known.views or (None, None)
    return {"content_view": content, "dynamics_view": dynamics}


def cheap_z(steps: int) -> dict[str, float]:
    """What f says costs, so that it says nothing that z must say anyway."""
    return {"f": 5.0, "z": 0.5}


def turning(
    steps: int, *, f: float, f_done: float, z_done: float
) -> dict[str, Callable[[int], float]]:
    """f is dear and z cheap for 15% of the run; then z pays more, and gives back what stays.

    :param f: the first weight of f, which is 1 at the share ``f_done`` of the steps; that of z goes from 0.5
        to 3 at ``z_done``.
    """
    start = max(1, int(0.15 * steps))

    def end(share: float) -> int:
        return max(start + 1, int(share * steps))

    return {
        "f": piecewise_linear((start, f), (end(f_done), 1.0)),
        "z": piecewise_linear((start, 0.5), (end(z_done), 3.0)),
    }


dynamics_first = partial(turning, f=100.0, f_done=0.15, z_done=0.4)
"""f is silent until z has learned what moves."""
settling = partial(turning, f=5.0, f_done=0.6, z_done=0.6)
"""f is dear and z cheap until each has found its part."""

RECIPES = {
    "elbo": Recipe(),
    "weights": Recipe(kl_weights=cheap_z),
    "dynamics_first": Recipe("that motion saves more than content", kl_weights=dynamics_first),
    "one_frame": Recipe(ONE_FRAME, options=one_frame),
    "one_frame_weights": Recipe(ONE_FRAME, options=one_frame, kl_weights=cheap_z),
    "one_frame_dynamics_first": Recipe(
        f"{ONE_FRAME}, and motion saves more", options=one_frame, kl_weights=dynamics_first
    ),
    "settling": Recipe("that motion saves more than content", kl_weights=settling),
    "one_frame_settling": Recipe(
        f"{ONE_FRAME}, and motion saves more", options=one_frame, kl_weights=settling
    ),
    "any_frames_settling": Recipe(
        f"{ANY_FRAMES}, and motion saves more",
        options=any_frames,
        kl_weights=partial(turning, f=10.0, f_done=0.6, z_done=0.6),
        recording=True,
    ),
    "mutual_information": Recipe(elbo=lambda known: MutualInformation(size=known.size)),
    "total_correlation": Recipe(elbo=lambda known: TotalCorrelation(5.0, size=known.size)),
    "swap_consistency": Recipe(
        "any content goes with any motion", elbo=lambda _: SwapConsistency()
    ),
    "infogan": Recipe(elbo=lambda _: LatentInformation()),
    "spyl": Recipe(
        "content and motion can be drawn apart",
        elbo=lambda known: MutualInformation(0.1, size=known.size) + SPYL(0.1),
        # As published: 10 on the reconstruction, 5 and 1 on the KL terms, 1 on each further term.
        kl_weights=lambda steps: {"f": 0.5, "z": 0.1},
    ),
    "dbse": Recipe("what stays shows in the first frame", pyro_dsae.SingleFrame),
    "pairwise": Recipe("frames come in no order", pyro_dsae.Pairwise),
    "pooled": Recipe("frames come in no order", pyro_dsae.Pooled),
    "cdsvae_order": Recipe(
        "the order of frames is motion",
        elbo=lambda known: (
            MutualInformation(size=known.size)
            + CDSVAE(content_view=FewFrames(known.num_frames), weight=10.0)
        ),
    ),
    "cdsvae": Recipe(
        VIEWS,
        elbo=lambda known: (
            MutualInformation(size=known.size) + CDSVAE(*(known.views or ()), weight=10.0)
        ),
        needs="views",
    ),
    "views": Recipe(VIEWS, options=both_views, needs="views"),
    "grouped": Recipe(
        "which sequences share their content",
        elbo=lambda known: Grouped(known.group or ""),
        needs="group",
    ),
}
"""By name; weights of the published methods are those of their sources."""
