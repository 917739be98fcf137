"""Pictures: contact sheets, animations, swaps, maps and timelines of z, trajectories, the loss, speech.

Frames are float in [0, 1] or uint8, grey ``(1, H, W)`` or colour ``(3, H, W)``; small ones are enlarged by
a whole factor, without smoothing. Every function writes a file and returns its path, and draws on
objects of its own: no state of pyplot is read or changed.

The suffix of ``path`` says what is written: ``.png`` (where there is none) or ``.jpg``, of curves also
``.svg`` or ``.pdf``, of films ``.gif`` (where there is none) or ``.mp4``. Folders are made where they are
missing. An argument that does not fit is a ``ValueError``, before anything is written.
"""

from .arviz_plots import (
    compare_weights,
    comparison_figure,
    khat_figure,
    latent_forest,
    predictive_check,
)
from .curves import error_curves, loss_curve, rate_distortion, trajectory_figure
from .frames import animate, grid, swap_figure
from .latents import latent_map, timeline
from .speech import det_figure, spectrograms

__all__ = [
    "animate",
    "compare_weights",
    "comparison_figure",
    "det_figure",
    "error_curves",
    "grid",
    "khat_figure",
    "latent_forest",
    "latent_map",
    "loss_curve",
    "predictive_check",
    "rate_distortion",
    "spectrograms",
    "swap_figure",
    "timeline",
    "trajectory_figure",
]
