r"""What each posterior sees of the data while it trains.

A guide may look at the data through a random view v: q(f | v(x)) or q(z | v(x)). For every draw of v
this is a posterior like any other, so the bound

.. math:: \log p(x) \ge E_v\, E_{q(f, z \mid v(x))} \left[\log p(x, f, z) - \log q(f, z \mid v(x))\right]

holds as it stands: the objective remains the ELBO, only the family of posteriors is smaller. What a view
hides cannot pass through its latent variable. Views act in training mode alone.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn


class View(Protocol):
    """Maps sequences ``(N, T, *frame)`` to what a posterior sees of them, ``(N, T', *frame)``."""

    def __call__(self, x: Tensor) -> Tensor: ...


class Recolour(nn.Module):
    r"""Repaint each sequence: a random smooth map of colours, the same in all of its frames.

    .. math:: v(x) = \tfrac12 + \tfrac12 \sin(2 \pi (W x + b)),\quad
              W_{ij} \sim \mathcal N(0, s^2),\ b_i \sim \mathcal U(0, 1)

    Shape and motion stay visible, colour does not. Frames are ``(C, H, W)`` in [0, 1].

    :param strength: s, how fast the new colour changes with the old one.
    """

    def __init__(self, strength: float = 0.5) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, x: Tensor) -> Tensor:
        n, channels = x.shape[0], x.shape[2]
        weight = self.strength * torch.randn(n, channels, channels, device=x.device, dtype=x.dtype)
        offset = torch.rand(n, 1, channels, 1, 1, device=x.device, dtype=x.dtype)
        mixed = torch.einsum("nij,ntjhw->ntihw", weight, x) + offset
        return 0.5 + 0.5 * torch.sin(2 * torch.pi * mixed)


class FewFrames(nn.Module):
    """``num_frames`` frames of each sequence, drawn without replacement and in random order."""

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames

    def forward(self, x: Tensor) -> Tensor:
        n, steps = x.shape[:2]
        order = torch.rand(n, steps, device=x.device).argsort(dim=1)[:, : self.num_frames]
        return x[torch.arange(n, device=x.device).unsqueeze(1), order]


class Flip(nn.Module):
    """Mirror each frame, left to right, with probability one half."""

    def forward(self, x: Tensor) -> Tensor:
        mirrored = torch.rand(*x.shape[:2], 1, 1, 1, device=x.device) < 0.5
        return torch.where(mirrored, x.flip(-1), x)


def encode_views(
    encoder: nn.Module, x: Tensor, content_view: View | None, dynamics_view: View | None
) -> tuple[Tensor, Tensor]:
    """Frame features of both views, ``(N, T', features)`` each, in one pass of the encoder or two."""
    if content_view is None and dynamics_view is None:
        h = encoder(x)
        return h, h
    return (
        encoder(x if content_view is None else content_view(x)),
        encoder(x if dynamics_view is None else dynamics_view(x)),
    )
