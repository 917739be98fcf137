"""Everyday names for conditioning: reconstruct, swap, generate, forecast.

Each function conditions a model with :func:`pyro.poutine.condition`; none adds a mechanism of its own.
Latents are ``f``, ``(N, f_dim)``, and ``z``, ``(N, T, z_dim)``; frames are ``(N, T, *frame)``.
Put modules into evaluation mode first (``model.eval()``); no function tracks gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from .handlers import PosteriorMean

Program = Callable[..., Tensor]


def _latents(guide: Callable, x: Tensor) -> dict[str, Tensor]:
    nodes: dict[str, Any] = poutine.trace(guide).get_trace(x).nodes
    return {name: nodes[name]["value"] for name in ("f", "z")}


@torch.no_grad()
def infer(guide: Callable, x: Tensor, *, sample: bool = False) -> dict[str, Tensor]:
    """The latents of ``x``: the means of f, and of z given f; or one draw if ``sample``."""
    if not sample:
        guide = PosteriorMean()(guide)
    return _latents(guide, x)


@torch.no_grad()
def generate(
    model: Program,
    *,
    f: Tensor | None = None,
    z: Tensor | None = None,
    batch_size: int | None = None,
    num_frames: int | None = None,
) -> Tensor:
    """Mean frames, ``(N, T, *frame)``, of the model with f, z, both or neither fixed.

    What is not given is drawn from the prior: ``f`` alone gives one content fresh dynamics of any
    length, ``z`` alone gives one motion fresh contents.

    :raises ValueError: if ``f`` and ``z`` or the sizes asked for do not agree.
    """
    sizes = {"f": None if f is None else f.shape[0], "z": None if z is None else z.shape[0]}
    for name, size in sizes.items():
        if size is not None and batch_size not in (None, size):
            raise ValueError(f"{name} holds {size} sequences, expected {batch_size}")
        batch_size = batch_size if size is None else size
    if z is not None:
        if num_frames not in (None, z.shape[1]):
            raise ValueError(f"z holds {z.shape[1]} frames, expected {num_frames}")
        num_frames = z.shape[1]
    fixed = {name: value for name, value in (("f", f), ("z", z)) if value is not None}
    return poutine.condition(model, data=fixed)(batch_size=batch_size, num_frames=num_frames)


def reconstruct(model: Program, guide: Callable, x: Tensor, *, sample: bool = False) -> Tensor:
    """Mean frames of the model at the latents of ``x``."""
    latents = infer(guide, x, sample=sample)
    return generate(model, f=latents["f"], z=latents["z"])


def swap(
    model: Program, guide: Callable, content: Tensor, dynamics: Tensor, *, sample: bool = False
) -> Tensor:
    """The content of one batch of sequences in the dynamics of another."""
    f = infer(guide, content, sample=sample)["f"]
    z = infer(guide, dynamics, sample=sample)["z"]
    return generate(model, f=f, z=z)


@torch.no_grad()
def forecast(
    model: Program, guide: Callable, x: Tensor, num_frames: int, *, num_futures: int = 1
) -> Tensor:
    """Futures of ``x``: ``(num_futures, N, num_frames, *frame)``, the frames after those seen.

    f and z_1:t are drawn from the guide, anew for each future; the prior of z goes on from there by
    :meth:`~pyro_dsae.distributions.AutoregressiveNormal.prefix_condition`.
    """
    if num_frames < 1 or num_futures < 1:
        raise ValueError(
            f"num_frames and num_futures must be at least 1, got {num_frames} and {num_futures}"
        )
    n, seen = x.shape[:2]
    latents = _latents(guide, x.repeat(num_futures, *[1] * (x.dim() - 1)))
    f, z_past = latents["f"], latents["z"]
    prior = poutine.trace(poutine.condition(model, data={"f": f})).get_trace(
        batch_size=num_futures * n, num_frames=seen + num_frames
    )
    p_z: Any = prior.nodes["z"]["fn"]
    z = p_z.prefix_condition(z_past).sample()
    frames = generate(model, f=f, z=torch.cat([z_past, z], dim=1))[:, seen:]
    return frames.reshape(num_futures, n, *frames.shape[1:])
