"""Pictures: contact sheets, animations, swaps, maps and timelines of z, trajectories, the loss, speech.

Frames are float in [0, 1], grey ``(1, H, W)`` or colour ``(3, H, W)``; small ones are enlarged by a
whole factor, without smoothing. Every function writes a file and returns its path, and draws on
objects of its own: no state of pyplot is read or changed.
"""

from .arviz_plots import compare_weights, comparison_figure, khat_figure, predictive_check
from .curves import error_curves, loss_curve, rate_distortion, trajectory_figure
from .frames import animate, grid, swap_figure
from .latents import latent_forest, latent_map, timeline
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
