"""Pictures: contact sheets, animations, swaps, maps and timelines of z, trajectories, the loss, speech.

Frames are float in [0, 1], grey ``(1, H, W)`` or colour ``(3, H, W)``; small ones are enlarged by a
whole factor, without smoothing. Every function writes a file and returns its path, and draws on
objects of its own: no state of pyplot is read or changed.
"""

from .curves import error_curves, loss_curve, trajectory_figure
from .frames import animate, grid, swap_figure
from .latents import latent_forest, latent_map, timeline
from .speech import det_figure, spectrograms

__all__ = [
    "animate",
    "det_figure",
    "error_curves",
    "grid",
    "latent_forest",
    "latent_map",
    "loss_curve",
    "spectrograms",
    "swap_figure",
    "timeline",
    "trajectory_figure",
]
