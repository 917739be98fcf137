r"""The bouncing ball: how many pixels are wrong, and does the ball stay one?

A pixel is incorrect when it lies on the other side of the threshold; the error of a future
:math:`\hat x_{t+1:T}` of :math:`x_{1:t}` is the share of such pixels over the T - t predicted frames,

.. math:: e = \frac{1}{(T - t) H W} \sum_{s>t} \sum_{hw} \big[[\hat x_{shw} > 1/2] \neq [x_{shw} > 1/2]\big]

(Li & Mandt, 2018, section 4.3). Where a point prediction is out of reach the ball can still be right. By the
area A and the covariance :math:`\Sigma` of its pixels' places, it is a disc of radius :math:`\sqrt{A / \pi}`
if its roundness :math:`A / (2 \pi \operatorname{tr} \Sigma)` is 1; no shape has more.

Three yardsticks for a ball of radius 3 on 32 x 32: a black frame has e = 0.028, a ball at a place that has
nothing to do with the true one 0.05, and :func:`physics` gives true frames a speed error of 0.004.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, pi
from typing import Any, Protocol

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from ..data.bouncing_ball import POLYGON, inside, render, wall_distance
from ._evaluation import evaluation, interval

MISSING = (5, 10, 15, 20, 25)

_ROUNDNESS = 0.9  # at least: pixels of whole discs have 0.95 or more at radius 3, 0.90 at 2
_ELONGATION = 1.35  # at most: they have up to 1.2 and 1.37
_FRAMES_AT_ONCE = 8192


class Forecast(Protocol):
    """What :func:`prediction_errors` judges; ``partial(control.forecast, model, guide)`` is one."""

    def __call__(self, seen: Tensor, num_frames: int, /, *, num_futures: int) -> Tensor: ...


def incorrect_pixels(predicted: Tensor, x: Tensor, threshold: float = 0.5) -> Tensor:
    """Share of pixels that differ after thresholding: ``(*, T)``, of frames ``(*, T, C, H, W)``.

    :param x: of the shape of ``predicted``, or of its last axes: one truth for many futures.
    :raises ValueError: if the shapes do not agree.

    >>> incorrect_pixels(torch.ones(2, 5, 1, 8, 8), torch.zeros(2, 5, 1, 8, 8)).mean()
    tensor(1.)
    """
    if x.dim() < 4 or predicted.shape[predicted.dim() - x.dim() :] != x.shape:
        raise ValueError(
            "predicted and x must be (*, time, channels, height, width), the same but for futures "
            f"before them, got {tuple(predicted.shape)} and {tuple(x.shape)}"
        )
    wrong = (predicted > threshold) != (x.to(predicted.device) > threshold)
    return wrong.flatten(-3).sum(-1, dtype=torch.int32) / wrong.shape[-3:].numel()


def prediction_errors(
    forecast: Forecast,
    x: Tensor,
    missing: Sequence[int] = MISSING,
    *,
    num_futures: int = 20,
    threshold: float = 0.5,
    batch_size: int = 32,
    resamples: int = 1000,
    device: str | torch.device = "cpu",
    seed: int = 0,
) -> dict[int, dict[str, float]]:
    """Incorrect pixels where the last 5, 10, ... frames are missing and predicted from those before.

    The error of a future is the share over the frames that are predicted, none of those seen. Intervals
    are of 95%, from a percentile bootstrap over sequences; with one seed all forecasts are resampled
    alike. Put the model and the guide into evaluation mode first.

    :param forecast: called as ``forecast(seen, num_frames, num_futures=...)`` with ``seen``
        ``(n, t, *frame)``; gives ``(num_futures, n, num_frames, *frame)``.
    :param x: true sequences, ``(N, T, C, H, W)``.
    :param missing: numbers of frames, each at least 1 and less than T.
    :param device: where ``seen`` is put.
    :returns: for each number, ``mean`` over futures and sequences with its interval ``low``, ``high``; and
        the mean over sequences of the best future of each, ``best_of_20`` (after ``num_futures``), with
        ``best_of_20_low`` and ``best_of_20_high``.
    :raises ValueError: if ``x``, ``missing`` or ``num_futures`` is not as described, or the forecast gives
        another shape.

    >>> def stays(seen, num_frames, num_futures):
    ...     return seen[:, -1:].expand(num_futures, -1, num_frames, -1, -1, -1)
    >>> x = torch.zeros(4, 10, 1, 16, 16)
    >>> prediction_errors(stays, x, missing=[5], num_futures=2)[5]["mean"]
    0.0
    """
    if x.dim() != 5 or not len(x):
        raise ValueError(f"x must be (batch, time, channels, height, width), got {tuple(x.shape)}")
    if num_futures < 1:
        raise ValueError(f"num_futures must be at least 1, got {num_futures}")
    for number in missing:
        if not 1 <= number < x.shape[1]:
            raise ValueError(f"missing must be 1 to {x.shape[1] - 1} of {x.shape[1]}, got {number}")
    device, best = torch.device(device), f"best_of_{num_futures}"
    found: dict[int, dict[str, float]] = {}
    for number in missing:
        errors = torch.empty(num_futures, len(x))
        with evaluation(seed, device):
            for part, out in zip(x.split(batch_size), errors.split(batch_size, 1), strict=True):
                part = part.to(device)
                seen, truth = part[:, :-number], part[:, -number:]
                futures = forecast(seen, number, num_futures=num_futures).to(device)
                if futures.shape != (num_futures, *truth.shape):
                    raise ValueError(
                        f"forecast must give {(num_futures, *truth.shape)}, got {tuple(futures.shape)}"
                    )
                out.copy_(incorrect_pixels(futures, truth, threshold).mean(-1))
        mean, least = errors.mean(0), errors.amin(0)
        found[number] = {
            "mean": float(mean.mean()),
            **interval(mean, resamples=resamples, seed=seed),
            best: float(least.mean()),
            **interval(least, best, resamples=resamples, seed=seed),
        }
    return found


def hold_last(seen: Tensor, num_frames: int, /, *, num_futures: int = 1) -> Tensor:
    """A forecast that learns nothing: the last frame ``num_frames`` times, in each future.

    >>> hold_last(torch.rand(4, 10, 1, 16, 16), 5, num_futures=2).shape
    torch.Size([2, 4, 5, 1, 16, 16])
    """
    return seen[:, -1:].expand(num_futures, -1, num_frames, -1, -1, -1)


def constant_velocity(
    seen: Tensor, num_frames: int, /, *, num_futures: int = 1, radius: float = 3.0
) -> Tensor:
    """A forecast that knows a ball and no wall: the step between the last two frames, again and again.

    :param seen: ``(n, t, 1, size, size)``, a ball in each of the last two frames.
    :param radius: of the ball drawn, in pixels.
    :raises ValueError: if there are not two frames.

    >>> constant_velocity(torch.ones(4, 10, 1, 16, 16), 5, num_futures=2).shape
    torch.Size([2, 4, 5, 1, 16, 16])
    """
    _check(seen)
    if seen.shape[1] < 2:
        raise ValueError(f"seen must be at least 2 frames of each sequence, got {seen.shape[1]}")
    before, last = _centres(seen[:, -2:].cpu(), 0.5).unsqueeze(2).unbind(1)
    ahead = torch.arange(1, num_frames + 1).unsqueeze(-1)
    frames = render(last + ahead * (last - before), radius, seen.shape[-1]).to(seen) / 255
    return frames.expand(num_futures, *frames.shape)


def continuation_nll(
    forecast: Forecast,
    x: Tensor,
    seen: int = 10,
    *,
    num_futures: int = 20,
    batch_size: int = 32,
    device: str | torch.device = "cpu",
    seed: int = 0,
) -> dict[str, float]:
    r"""Negative log-likelihood of the frames after the first ``seen``, nats a sequence.

    .. math:: -\log \frac1K \sum_{k=1}^K p(x_{t+1:T} \mid \hat x^k_{t+1:T}),

    over K futures, a mean over sequences: an upper bound in expectation, the tighter the more futures.
    For the Bernoulli likelihood, whose mean frames say all of it.

    :param forecast: as for :func:`prediction_errors`.
    :param x: true sequences, ``(N, T, C, H, W)``.
    :returns: ``nll``, and ``bits_per_dim`` of the frames predicted.
    :raises ValueError: if there are no such frames.

    >>> def grey(seen, num_frames, num_futures):
    ...     return torch.full((num_futures, len(seen), num_frames, 1, 16, 16), 0.5)
    >>> round(continuation_nll(grey, torch.zeros(4, 12, 1, 16, 16), num_futures=2)["bits_per_dim"], 3)
    1.0
    """
    if x.dim() != 5 or not 1 <= seen < x.shape[1]:
        raise ValueError(f"x must have more than {seen} frames, at least 1, got {tuple(x.shape)}")
    device, total = torch.device(device), 0.0
    with evaluation(seed, device):
        for part in x.to(torch.float32).split(batch_size):
            part = part.to(device)
            truth = part[:, seen:]
            futures = forecast(part[:, :seen], truth.shape[1], num_futures=num_futures).to(device)
            nll = functional.binary_cross_entropy(
                futures, truth.expand_as(futures), reduction="none"
            )
            log_p = -nll.flatten(2).double().sum(-1)
            total -= float((log_p.logsumexp(0) - log(num_futures)).sum())
    nats = total / len(x)
    return {"nll": nats, "bits_per_dim": nats / (x[0, seen:].numel() * log(2))}


def _check(frames: Tensor) -> None:
    if frames.dim() != 5 or frames.shape[2] != 1 or not frames.numel():
        raise ValueError(
            f"frames must be (batch, time, 1, height, width), got {tuple(frames.shape)}"
        )
    if not frames.is_floating_point():
        raise ValueError(f"frames must be float in [0, 1], got {frames.dtype}")


def _components(mask: Tensor) -> Tensor:
    """Numbers of connected parts of masks ``(M, H, W)``, ``(M,)``; pixels touch along an edge."""
    edges = ndimage.generate_binary_structure(2, 1)
    none = np.zeros_like(edges)
    volume = mask.cpu().numpy()
    labels, count = ndimage.label(volume, np.stack([none, edges, none]))
    frame_of = np.zeros(count + 1, np.int64)
    frame_of[labels[volume]] = volume.nonzero()[0]
    return torch.from_numpy(np.bincount(frame_of[1:], minlength=len(volume)))


def _moments(weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mass ``(M,)``, centroid (x, y) ``(M, 2)`` and covariance ``(M, 2, 2)`` of ``(M, H, W)``."""
    weights = weights.double()
    rows, columns = (torch.arange(float(n)).to(weights) for n in weights.shape[1:])
    mass = weights.sum((1, 2))
    across, down = weights.sum(1), weights.sum(2)
    centroid = torch.stack([across @ columns, down @ rows], -1) / mass.unsqueeze(-1)
    xx, yy = across @ columns.square(), down @ rows.square()
    xy = (weights @ columns) @ rows
    second = torch.stack([xx, xy, xy, yy], -1).unflatten(-1, (2, 2)) / mass[:, None, None]
    return mass, centroid, second - centroid.unsqueeze(-1) * centroid.unsqueeze(-2)


def _is_ball(
    mask: Tensor, radius: float, polygon: Tensor, tolerance: float, slack: float
) -> Tensor:
    area, centroid, covariance = _moments(mask)
    covariance = covariance + torch.eye(2).to(covariance) / 12  # a pixel is a square, not a point
    trace = covariance.diagonal(dim1=1, dim2=2).sum(-1)
    xx, xy, _, yy = covariance.flatten(1).unbind(1)
    split = ((xx - yy).square() + 4 * xy.square()).sqrt()
    elongation = ((trace + split) / (trace - split)).sqrt()
    right_size = ((area / pi).sqrt() - radius).abs() <= tolerance * radius
    is_round = (area / (2 * pi * trace) >= _ROUNDNESS) & (elongation <= _ELONGATION)
    in_walls = inside(centroid, radius - slack, polygon)
    alone = _components(mask).to(mask.device) == 1
    return alone & right_size & is_round & in_walls


def one_ball(
    frames: Tensor,
    *,
    radius: float = 3.0,
    polygon: Tensor = POLYGON,
    tolerance: float = 0.12,
    slack: float = 0.5,
    threshold: float = 0.5,
) -> Tensor:
    """Which frames hold exactly one ball, of the right size, round, and inside: bool ``(N, T)``.

    Asked of the pixels above the threshold: they hang together, and not one is elsewhere; their area is
    that of a disc of this radius; roundness is at least 0.9 and elongation at most 1.35; and their
    centroid is far enough from the walls. For balls of radius 2 and more.

    :param frames: ``(N, T, 1, H, W)`` in [0, 1].
    :param radius: in pixels of these frames, as :attr:`BouncingBall.radius` is; so is ``polygon``.
    :param tolerance: of the radius that the area tells, as a share of the true one.
    :param slack: pixels by which the ball may reach into a wall.
    :raises ValueError: if the frames are not as described.

    >>> one_ball(torch.zeros(2, 5, 1, 32, 32)).any()  # none in the dark
    tensor(False)
    """
    _check(frames)
    masks = (frames > threshold).flatten(0, 2)
    found = [_is_ball(m, radius, polygon, tolerance, slack) for m in masks.split(_FRAMES_AT_ONCE)]
    return torch.cat(found).view(frames.shape[:2])


def physics(
    frames: Tensor,
    *,
    radius: float = 3.0,
    polygon: Tensor = POLYGON,
    tolerance: float = 0.12,
    slack: float = 0.5,
    threshold: float = 0.5,
    speed: Tensor | None = None,
) -> dict[str, Any]:
    """How long a ball keeps its shape, its speed and, between bounces, its direction.

    Steps lead from a frame that :func:`one_ball` accepts to the next such frame. Away from the walls, where
    no bounce can lie between the two, their length is the speed and they go straight on.

    :param frames: ``(N, T, 1, H, W)`` in [0, 1], T at least 2; other arguments as in :func:`one_ball`.
    :param speed: ``(N,)`` in pixels a frame, that of the ball in the frames that were seen; by default each
        sequence's own median.
    :returns: ``one_ball``, the share of frames, ``one_ball_last``, of the last ones, and
        ``one_ball_by_frame``; ``speed_error``, the mean of \\|length / speed - 1\\| over free steps, and
        ``speed_error_by_frame``, by step; ``speed``, their mean length; ``turn``, the mean angle in radians
        between free steps in a row; and ``free_steps``, their share of all. ``None`` where there are none.
    :raises ValueError: if the frames or speeds are not as described.
    """
    _check(frames)
    if frames.shape[1] < 2:
        raise ValueError(f"frames must be at least 2 of each sequence, got {frames.shape[1]}")
    valid = one_ball(
        frames,
        radius=radius,
        polygon=polygon,
        tolerance=tolerance,
        slack=slack,
        threshold=threshold,
    )
    if speed is not None and speed.shape != frames.shape[:1]:
        raise ValueError(
            f"speed must be ({len(frames)},), one a sequence, got {tuple(speed.shape)}"
        )
    centre = _centres(frames, threshold)
    steps = centre[:, 1:] - centre[:, :-1]
    length = steps.norm(dim=-1)
    both = valid[:, 1:] & valid[:, :-1]
    usual = _median(length, both) if speed is None else speed.to(length).unsqueeze(1)
    # The way to a wall and back would be longer than a step.
    room = wall_distance(centre, polygon) - radius
    free = both & (room[:, 1:] + room[:, :-1] > 1.25 * usual)
    if speed is None:
        usual = _median(length, free)
    error = (length / usual.clamp(min=1e-3) - 1).abs()  # 1 for a ball that stands still
    straight = free[:, 1:] & free[:, :-1]
    a, b = steps[:, 1:], steps[:, :-1]
    cross = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    angle = torch.atan2(cross.abs(), (a * b).sum(-1))
    return {
        "one_ball": float(valid.double().mean()),
        "one_ball_last": float(valid[:, -1].double().mean()),
        "one_ball_by_frame": valid.double().mean(0).tolist(),
        "speed_error": _mean(error, free),
        "speed_error_by_frame": [
            _mean(e, at) for e, at in zip(error.unbind(1), free.unbind(1), strict=True)
        ],
        "speed": _mean(length, free),
        "turn": _mean(angle, straight),
        "free_steps": float(free.double().mean()),
    }


def _centres(frames: Tensor, threshold: float) -> Tensor:
    """Centroids (x, y) of the light above the threshold and next to it: float64 ``(N, T, 2)``."""
    found = []
    for part in frames.flatten(0, 1).split(_FRAMES_AT_ONCE):
        near = functional.pad(part.squeeze(1) > threshold, (1, 1, 1, 1))
        near = near[..., :-2] | near[..., 1:-1] | near[..., 2:]
        near = near[:, :-2] | near[:, 1:-1] | near[:, 2:]
        found.append(_moments(part.squeeze(1) * near)[1])
    return torch.cat(found).view(*frames.shape[:2], 2)


def _median(values: Tensor, where: Tensor) -> Tensor:
    """Of each row, ``(N, 1)``; NaN where there are none."""
    return values.masked_fill(~where, float("nan")).nanmedian(1, keepdim=True).values


def _mean(values: Tensor, where: Tensor) -> float | None:
    return float(values[where].mean()) if where.any() else None
