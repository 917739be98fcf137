"""Everyday names for conditioning: reconstruct, swap, generate, forecast.

Each function conditions a model with :func:`pyro.poutine.condition`; none adds a mechanism of its own.
Latents are ``f``, ``(N, f_dim)``, and ``z``, ``(N, T, z_dim)``, where a model does not say otherwise; frames
are ``(N, T, *frame)``, floats or bytes, on any device. A model names its sites of content and of dynamics,
see :class:`~pyro_dsae.program.Program`.
Control is evaluation: no function tracks gradients or looks through training views, whatever mode the
modules are in, and all leave that mode as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from ._numbers import check_whole
from .checks import as_frames, check_latents, check_pair, latents_of
from .handlers import PosteriorMean, latent_sites
from .program import device_of, evaluating, unwrapped

Program = Callable[..., Tensor]


def _latents(guide: Callable, x: Tensor) -> dict[str, Tensor]:
    trace = poutine.trace(guide).get_trace(x)
    nodes: dict[str, Any] = trace.nodes
    return {name: nodes[name]["value"] for name in latent_sites(trace)}


def infer(
    guide: Callable, x: Tensor, *, sample: bool = False, model: Program | None = None
) -> dict[str, Tensor]:
    """The latents of ``x`` by site: the means of f, and of z given f; or one draw if ``sample``.

    :param model: the frames must be such as its likelihood takes.
    :raises ValueError: if ``x`` is of other frames, not finite, or out of range.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> {site: tuple(value.shape) for site, value in infer(guide, x).items()}
    {'f': (4, 8), 'z': (4, 8, 4)}
    """
    with evaluating(guide):
        x = as_frames(guide, x, model)
        return _latents(guide if sample else PosteriorMean()(guide), x)


def generate(
    model: Program,
    *,
    batch_size: int | None = None,
    num_frames: int | None = None,
    **latents: Any,
) -> Tensor:
    """Mean frames, ``(N, T, *frame)``, of the model with some of its latents fixed, or none.

    What is not given is drawn from the prior: ``f`` alone gives one content fresh dynamics of any
    length, ``z`` alone gives one motion fresh contents, and a z of fewer than ``num_frames`` steps goes on
    as its prior does, by :meth:`~pyro_dsae.priors.AutoregressiveNormal.prefix_condition`.

    :param latents: tensors by site, such as ``f`` and ``z``; one of shape ``(N, T, dim)`` sets T.
    :raises ValueError: if the model has no such latents, or latents and sizes do not agree.

    >>> model = pyro_dsae.DSAE((3, 16, 16), f_dim=8, z_dim=4, channels=4, hidden=16)
    >>> generate(model, f=torch.zeros(2, 8), num_frames=50).shape
    torch.Size([2, 50, 3, 16, 16])
    >>> generate(model, z=torch.zeros(2, 3, 4), num_frames=10).shape  # three steps, and on
    torch.Size([2, 10, 3, 16, 16])
    """
    check_whole(1, batch_size=batch_size, num_frames=num_frames)
    fixed = {name: value for name, value in latents.items() if value is not None}
    check_latents(model, fixed)
    for name, value in fixed.items():
        if batch_size not in (None, len(value)):
            raise ValueError(f"{name} holds {len(value)} sequences, expected {batch_size}")
        batch_size = len(value)
    seen = {name: z.shape[1] for name, z in fixed.items() if _moves(model, name, z)}
    longest = max(seen.values(), default=None)
    num_frames = num_frames or longest
    for name, steps in seen.items():
        if num_frames is not None and steps > num_frames:
            raise ValueError(f"{name} holds {steps} frames, expected {num_frames}")
    with evaluating(model):
        fixed = {name: value.to(device_of(model)) for name, value in fixed.items()}
        pasts = {name: fixed.pop(name) for name, steps in seen.items() if steps != num_frames}
        sizes = {"batch_size": batch_size, "num_frames": num_frames}
        if pasts:
            prior: Any = poutine.trace(poutine.condition(model, data=fixed)).get_trace(**sizes)
            # The laws of what follows may depend on latents that were just drawn, such as f.
            for name in latent_sites(prior):
                if name != "x" and name not in pasts:
                    fixed[name] = prior.nodes[name]["value"]
            for name, past in pasts.items():
                future = prior.nodes[name]["fn"].prefix_condition(past).sample()
                fixed[name] = torch.cat([past, future], dim=1)
        return poutine.condition(model, data=fixed)(**sizes)


def _moves(model: Program, site: str, value: Tensor) -> bool:
    """Whether a latent has an axis of time."""
    known = latents_of(model)
    return None in known[site] if site in known else value.dim() == 3


def reconstruct(model: Program, guide: Callable, x: Tensor, *, sample: bool = False) -> Tensor:
    """Mean frames of the model at the latents of ``x``.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> reconstruct(model, guide, x).shape
    torch.Size([4, 8, 3, 16, 16])
    """
    check_pair(model, guide)
    latents: dict[str, Any] = infer(guide, x, sample=sample, model=model)
    return generate(model, num_frames=x.shape[1], **latents)


def swap(
    model: Program, guide: Callable, content: Tensor, dynamics: Tensor, *, sample: bool = False
) -> Tensor:
    """The content of one batch of sequences in the dynamics of another, as many sequences.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> swap(model, guide, x[:2], x[2:]).shape
    torch.Size([2, 8, 3, 16, 16])
    """
    check_pair(model, guide)
    if len(content) != len(dynamics):
        raise ValueError(
            "content and dynamics must hold equally many sequences, "
            f"got {len(content)} and {len(dynamics)}"
        )
    of_content, of_dynamics = (
        infer(guide, x, sample=sample, model=model) for x in (content, dynamics)
    )
    root = unwrapped(model)
    latents: dict[str, Any] = {name: of_content[name] for name in getattr(root, "content", ("f",))}
    latents |= {name: of_dynamics[name] for name in getattr(root, "dynamics", ("z",))}
    return generate(model, num_frames=dynamics.shape[1], **latents)


def forecast(
    model: Program, guide: Callable, x: Tensor, num_frames: int, *, num_futures: int = 1
) -> Tensor:
    """Futures of ``x``: ``(num_futures, N, num_frames, *frame)``, the frames after those seen.

    f and z_1:t are drawn from the guide, anew for each future; the prior of z goes on from there, see
    :func:`generate`. Where z is one vector a sequence, the model just runs on.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> forecast(model, guide, x, 5, num_futures=3).shape
    torch.Size([3, 4, 5, 3, 16, 16])
    """
    if num_frames < 1 or num_futures < 1:
        raise ValueError(
            f"num_frames and num_futures must be at least 1, got {num_frames} and {num_futures}"
        )
    check_pair(model, guide)
    n, seen = x.shape[:2]
    many = torch.as_tensor(x).repeat(num_futures, *[1] * (x.ndim - 1))
    latents: dict[str, Any] = infer(guide, many, sample=True, model=model)
    frames = generate(model, num_frames=seen + num_frames, **latents)[:, seen:]
    return frames.reshape(num_futures, n, *frames.shape[1:])
