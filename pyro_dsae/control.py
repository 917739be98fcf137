"""Everyday names for conditioning: reconstruct, impute, swap, generate, forecast.

Each function conditions a model with :func:`pyro.poutine.condition`; none adds a mechanism of its own.
Latents are ``f``, ``(N, f_dim)``, and ``z``, ``(N, T, z_dim)``, where a model does not say otherwise; frames
are ``(N, T, *frame)``, floats or bytes, on any device. A model names its sites of content and of dynamics,
see :class:`~pyro_dsae.program.Program`.
Where sequences of a batch differ in length, or frames are missing, a mask ``(N, T)`` is True where a frame is
present: a sequence ends with its last. After that z, and what comes out, is 0.
Control is evaluation: no function tracks gradients or looks through training views, whatever mode the
modules are in, and all leave that mode as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pyro import poutine
from torch import Tensor

from ._numbers import check_whole
from .checks import as_frames, as_mask, check_latents, check_pair, latents_of, shown
from .handlers import PosteriorMean, latent_sites
from .models.base import SequenceModel
from .nn import check_mask, hidden, lengths_of, within_lengths
from .priors.bridges import alike, bridged, stretches
from .program import device_of, evaluating, sites_of, unwrapped

Program = Callable[..., Tensor]


def _latents(guide: Callable, x: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
    trace = poutine.trace(guide).get_trace(x, **({} if mask is None else {"mask": mask}))
    nodes: dict[str, Any] = trace.nodes
    return {name: nodes[name]["value"] for name in latent_sites(trace)}


def infer(
    guide: Callable,
    x: Tensor,
    *,
    sample: bool = False,
    model: Program | None = None,
    mask: Tensor | None = None,
) -> dict[str, Tensor]:
    """The latents of ``x`` by site: the means of f, and of z given f; or one draw if ``sample``.

    :param model: the frames must be such as its likelihood takes.
    :param mask: ``(N, T)``, True where a frame is present; what stands elsewhere is not looked at.
    :raises ValueError: if ``x`` is of other frames, not finite, or out of range.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> {site: tuple(value.shape) for site, value in infer(guide, x).items()}
    {'f': (4, 8), 'z': (4, 8, 4)}
    """
    with evaluating(guide):
        mask = as_mask(mask, x, guide)
        x = as_frames(guide, shown(x, mask), model)
        return _latents(guide if sample else PosteriorMean()(guide), x, mask)


def infer_long(
    guide: Callable,
    x: Any,
    *,
    window: int = 64,
    overlap: int = 16,
    batch_size: int = 8,
    model: Program | None = None,
    mask: Tensor | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """The means of the latents of recordings of any length, by windows that overlap; and where these start.

    Latents with an axis of time are joined, ``(N, T, z_dim)``: each frame's are those of the window in which
    it is furthest from an end. All others are by window, ``(N, windows, f_dim)``: where f changes, so does
    the content. They are on the CPU, and memory is needed for ``batch_size`` windows at a time.

    :param x: ``(N, T, *frame)``, a tensor or an array, which may be memory-mapped.
    :param window: frames; about as many as the guide has learned from.
    :param overlap: frames that a window shares with the next, the last with more.
    :param model: as of :func:`infer`.
    :param mask: ``(N, T)``, True where a frame is present. z is 0 past the end of a recording; NaN is what no
        window tells: f of one without a present frame, and z in a gap that ends in none.
    :returns: the latents by site, and the first frame of each window, ``(windows,)``.
    :raises ValueError: if a recording has no present frame.
    """
    check_whole(1, window=window, batch_size=batch_size)
    if not 0 <= overlap < window:
        raise ValueError(
            f"overlap must be at least 0 and less than window, {window}, got {overlap}"
        )
    n, steps = x.shape[:2]
    if not steps:
        raise ValueError(f"x must hold frames, got {tuple(x.shape)}")
    window = min(window, steps)
    starts = [*range(0, steps - window, max(1, window - overlap)), steps - window]
    present = (
        torch.ones(n, steps, dtype=torch.bool) if mask is None else torch.as_tensor(mask).cpu()
    )
    if mask is not None:
        check_mask(present, x)
    parts_of = present.unfold(1, window, 1)[:, starts]  # (N, windows, window)
    inward = torch.arange(window).minimum(torch.arange(window).flip(0))  # frames to the nearer end
    nearest = torch.full((n, steps), -1)  # of the frame in the window that its latents are from
    joined: dict[str, Tensor] = {}
    places = parts_of.any(-1).nonzero().tolist()
    for first in range(0, len(places), batch_size):
        some = places[first : first + batch_size]
        parts = [x[row, starts[w] : starts[w] + window] for row, w in some]
        seen = torch.stack(
            [torch.as_tensor(p if isinstance(p, Tensor) else np.array(p)) for p in parts]
        )
        known = None if mask is None else torch.stack([parts_of[row, w] for row, w in some])
        latents = infer(guide, seen, model=model, mask=known)
        for site, values in latents.items():
            if site not in joined:
                moves = _moves(guide, site, values)
                shape = (n, steps if moves else len(starts), *values.shape[1 + moves :])
                joined[site] = torch.full(shape, torch.nan, dtype=values.dtype)
        for k, (row, w) in enumerate(some):
            here = slice(starts[w], starts[w] + window)
            better = (inward >= nearest[row, here]) & within_lengths(parts_of[row, w][None])[0]
            nearest[row, here][better] = inward[better]
            for site, values in latents.items():
                value = values[k].cpu()
                if _moves(guide, site, values):
                    joined[site][row, here][better] = value[better]
                else:
                    joined[site][row, w] = value
    for site, values in joined.items():
        if _moves(guide, site, values):
            values[~within_lengths(present)] = 0
    return joined, torch.tensor(starts)


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


def _moves(program: Callable, site: str, value: Tensor) -> bool:
    """Whether a latent has an axis of time."""
    known = latents_of(program)
    return None in known[site] if site in known else value.dim() == 3


def reconstruct(
    model: Program,
    guide: Callable,
    x: Tensor,
    *,
    sample: bool = False,
    mask: Tensor | None = None,
) -> Tensor:
    """Mean frames of the model at the latents of ``x``, absent ones too.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> reconstruct(model, guide, x).shape
    torch.Size([4, 8, 3, 16, 16])
    """
    check_pair(model, guide)
    latents: dict[str, Any] = infer(guide, x, sample=sample, model=model, mask=mask)
    return _ended(generate(model, num_frames=x.shape[1], **latents), mask)


def _ended(frames: Tensor, mask: Tensor | None) -> Tensor:
    """With zeros past the last frame present."""
    if mask is None:
        return frames
    return hidden(frames, within_lengths(torch.as_tensor(mask, device=frames.device)))


def impute(
    model: Program,
    guide: Callable,
    x: Tensor,
    mask: Tensor,
    *,
    sample: bool = False,
    paths: int | None = None,
) -> Tensor:
    """``x`` with the frames that are missing, filled in from those before and after them.

    They are the model's, at the latents of what is present. A sequence ends with its last frame present; how
    it might go on says :func:`forecast`. By default z in a gap is the guide's, which tells it as well as it
    has learned of gaps: train it with masks. With ``paths`` it is the prior's: of so many that go on from
    the frames before, the one that those after make likeliest, see :mod:`pyro_dsae.priors.bridges`. z of the
    present frames is then inferred twice, in one go and stretch by stretch, where no gap pulls at the ends
    but a guide may see too little; the model says which goes better with the frames present.

    :param mask: ``(N, T)``, True where a frame is present.
    :param sample: latents are drawn, in place of means; of ``paths`` one by its weight.
    :param paths: drawn from the prior of z for each gap of a sequence, some hundreds.
    :raises ValueError: with ``paths``, if z of the model has no prior that can go on from its past.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x, mask = torch.rand(4, 8, 3, 16, 16), torch.ones(4, 8, dtype=torch.bool)
    >>> mask[:, 3:5] = False
    >>> impute(model, guide, x, mask, paths=50).shape
    torch.Size([4, 8, 3, 16, 16])
    """
    check_whole(1, paths=paths)
    check_pair(model, guide)
    latents: dict[str, Any] = infer(guide, x, sample=sample, model=model, mask=mask)
    present = torch.as_tensor(mask, device=device_of(model))
    frames = as_frames(model, shown(x, present), model)
    if paths is not None:
        root = unwrapped(model)
        if not isinstance(root, SequenceModel) or latents["z"].dim() != 3:
            raise ValueError(
                f"paths are of models with a z for each frame, such as DSAE, got {type(root).__name__}"
            )
        apart = _apart(guide, frames, latents, present, sample=sample)
        with evaluating(model):
            both = [
                latents | {"z": bridged(root.p_z, latents["f"], z, present, paths, sample=sample)}
                for z in (latents["z"], apart)
            ]
            at_once, by_stretch = (_log_joint(model, frames, present, some) for some in both)
        better = (by_stretch > at_once).reshape(-1, 1, 1)
        latents["z"] = both[1]["z"].where(better, both[0]["z"])
    filled = _ended(generate(model, num_frames=x.shape[1], **latents), mask)
    return torch.where(present.view(*present.shape, *[1] * (frames.dim() - 2)), frames, filled)


def _apart(
    guide: Callable, x: Tensor, latents: dict[str, Tensor], mask: Tensor, *, sample: bool
) -> Tensor:
    """z of each stretch of present frames, given f, as if there were no other frames: ``(N, T, z_dim)``."""
    z = latents["z"].clone()
    with evaluating(guide):
        for pattern, rows in alike(mask):
            given = poutine.condition(guide, data={"f": latents["f"][rows]})
            for a, b in stretches(pattern):
                seen = _latents(given if sample else PosteriorMean()(given), x[rows, a:b], None)
                z[rows, a:b] = seen["z"]
    return z


def _log_joint(model: Callable, x: Tensor, mask: Tensor, latents: dict[str, Tensor]) -> Tensor:
    """log p(x, z, f) of the frames present, ``(N,)``."""
    trace = poutine.trace(poutine.condition(model, data=latents)).get_trace(x, mask=mask)
    trace.compute_log_prob()
    nodes: dict[str, Any] = trace.nodes
    return sum(nodes[site]["log_prob"] for site in trace.observation_nodes)


def swap(
    model: Program,
    guide: Callable,
    content: Tensor,
    dynamics: Tensor,
    *,
    sample: bool = False,
    content_mask: Tensor | None = None,
    dynamics_mask: Tensor | None = None,
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
        infer(guide, x, sample=sample, model=model, mask=mask)
        for x, mask in ((content, content_mask), (dynamics, dynamics_mask))
    )
    latents: dict[str, Any] = {name: of_content[name] for name in sites_of(model, "content")}
    latents |= {name: of_dynamics[name] for name in sites_of(model, "dynamics")}
    return _ended(generate(model, num_frames=dynamics.shape[1], **latents), dynamics_mask)


def forecast(
    model: Program,
    guide: Callable,
    x: Tensor,
    num_frames: int,
    *,
    num_futures: int = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """Futures of ``x``: ``(num_futures, N, num_frames, *frame)``, the frames after those seen.

    f and z_1:t are drawn from the guide, anew for each future; the prior of z goes on from there, see
    :func:`generate`. Where z is one vector a sequence, the model just runs on.

    :param mask: ``(N, T)``, True where a frame is present: each sequence goes on after its last.

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
    x, mask = torch.as_tensor(x), as_mask(mask, x, guide)
    n = len(x)
    if mask is None:
        ends = {x.shape[1]: torch.arange(n)}
    else:
        lengths = lengths_of(mask).cpu()
        ends = {int(end): (lengths == end).nonzero().flatten() for end in lengths.unique()}
    parts = []
    for end, rows in ends.items():
        many = x[rows.to(x.device), :end].repeat(num_futures, *[1] * (x.dim() - 1))
        known = None if mask is None else mask[rows.to(mask.device), :end].repeat(num_futures, 1)
        latents: dict[str, Any] = infer(guide, many, sample=True, model=model, mask=known)
        frames = generate(model, num_frames=end + num_frames, **latents)[:, end:]
        parts.append(frames.unflatten(0, (num_futures, len(rows))))
    order = torch.cat([*ends.values()]).argsort()
    return torch.cat(parts, dim=1)[:, order.to(parts[0].device)]
