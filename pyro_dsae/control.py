"""Everyday names for conditioning: reconstruct, swap, generate, forecast.

Each function conditions a model with :func:`pyro.poutine.condition`; none adds a mechanism of its own.
Latents are ``f``, ``(N, f_dim)``, and ``z``, ``(N, T, z_dim)``, where a model does not say otherwise; frames
are ``(N, T, *frame)``. A model names its sites of content and of dynamics, see
:class:`~pyro_dsae.program.Program`.
Put modules into evaluation mode first (``model.eval()``); no function tracks gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from .handlers import PosteriorMean, latent_sites

Program = Callable[..., Tensor]


def _latents(guide: Callable, x: Tensor) -> dict[str, Tensor]:
    trace = poutine.trace(guide).get_trace(x)
    nodes: dict[str, Any] = trace.nodes
    return {name: nodes[name]["value"] for name in latent_sites(trace)}


@torch.no_grad()
def infer(guide: Callable, x: Tensor, *, sample: bool = False) -> dict[str, Tensor]:
    """The latents of ``x`` by site: the means of f, and of z given f; or one draw if ``sample``."""
    if not sample:
        guide = PosteriorMean()(guide)
    return _latents(guide, x)


@torch.no_grad()
def generate(
    model: Program,
    *,
    batch_size: int | None = None,
    num_frames: int | None = None,
    **latents: Any,
) -> Tensor:
    """Mean frames, ``(N, T, *frame)``, of the model with some of its latents fixed, or none.

    What is not given is drawn from the prior: ``f`` alone gives one content fresh dynamics of any
    length, ``z`` alone gives one motion fresh contents.

    :param latents: tensors by site, such as ``f`` and ``z``; one of shape ``(N, T, dim)`` sets T.
    :raises ValueError: if latents or the sizes asked for do not agree.
    """
    fixed = {name: value for name, value in latents.items() if value is not None}
    for name, value in fixed.items():
        if batch_size not in (None, len(value)):
            raise ValueError(f"{name} holds {len(value)} sequences, expected {batch_size}")
        batch_size = len(value)
        if value.dim() == 3:
            if num_frames not in (None, value.shape[1]):
                raise ValueError(f"{name} holds {value.shape[1]} frames, expected {num_frames}")
            num_frames = value.shape[1]
    return poutine.condition(model, data=fixed)(batch_size=batch_size, num_frames=num_frames)


def reconstruct(model: Program, guide: Callable, x: Tensor, *, sample: bool = False) -> Tensor:
    """Mean frames of the model at the latents of ``x``."""
    latents: dict[str, Any] = infer(guide, x, sample=sample)
    return generate(model, num_frames=x.shape[1], **latents)


def swap(
    model: Program, guide: Callable, content: Tensor, dynamics: Tensor, *, sample: bool = False
) -> Tensor:
    """The content of one batch of sequences in the dynamics of another."""
    of_content, of_dynamics = (infer(guide, x, sample=sample) for x in (content, dynamics))
    latents: dict[str, Any] = {name: of_content[name] for name in getattr(model, "content", ("f",))}
    latents |= {name: of_dynamics[name] for name in getattr(model, "dynamics", ("z",))}
    return generate(model, num_frames=dynamics.shape[1], **latents)


@torch.no_grad()
def forecast(
    model: Program, guide: Callable, x: Tensor, num_frames: int, *, num_futures: int = 1
) -> Tensor:
    """Futures of ``x``: ``(num_futures, N, num_frames, *frame)``, the frames after those seen.

    f and z_1:t are drawn from the guide, anew for each future; the prior of z goes on from there by
    :meth:`~pyro_dsae.priors.AutoregressiveNormal.prefix_condition`. Where z is one vector a
    sequence, the model just runs on.
    """
    if num_frames < 1 or num_futures < 1:
        raise ValueError(
            f"num_frames and num_futures must be at least 1, got {num_frames} and {num_futures}"
        )
    n, seen = x.shape[:2]
    latents = _latents(guide, x.repeat(num_futures, *[1] * (x.dim() - 1)))
    past = {name: z for name, z in latents.items() if z.dim() == 3}
    fixed: dict[str, Any] = {name: v for name, v in latents.items() if name not in past}
    prior = poutine.trace(poutine.condition(model, data=fixed)).get_trace(
        batch_size=num_futures * n, num_frames=seen + num_frames
    )
    nodes: dict[str, Any] = prior.nodes
    for name, z_past in past.items():
        z = nodes[name]["fn"].prefix_condition(z_past).sample()
        fixed[name] = torch.cat([z_past, z], dim=1)
    frames = generate(model, num_frames=seen + num_frames, **fixed)[:, seen:]
    return frames.reshape(num_futures, n, *frames.shape[1:])
