r"""Chains of Gaussian factors, each of two states that follow each other.

.. math:: \phi(s_{0:T}) = \prod_{t=1}^T \phi_t(s_{t-1}, s_t)

As :class:`pyro.ops.gaussian.Gaussian`, whose last batch axis is time.
"""

from __future__ import annotations

import math

import torch
from pyro.ops.gaussian import Gaussian, gaussian_tensordot
from torch import Tensor


def along_time(part: Tensor, event: int, num_frames: int) -> Tensor:
    """With an axis of time before the last ``event`` axes, where others stay as they are."""
    batch = torch.broadcast_shapes(part.shape[: part.dim() - event], (num_frames,))
    return part.expand(*batch, *part.shape[part.dim() - event :])


def as_chain(steps: Gaussian, num_frames: int) -> tuple[Gaussian, Gaussian]:
    """p(s_t | s_t-1) of the chain that has ``steps`` as its factors, and all that they say of s_0.

    Backwards through time: what lies ahead of s_t is a factor of s_t alone.
    """
    n = steps.dim() // 2
    steps = steps.expand(torch.broadcast_shapes(steps.batch_shape, (num_frames,)))
    precision, info = steps.precision, steps.info_vec.unsqueeze(-1)
    # blocks of the precision, each with its part of the information vector as its last column
    before = torch.cat([precision[..., :n, :n], info[..., :n, :]], dim=-1)
    across = torch.cat([precision[..., n:, :n], info[..., n:, :]], dim=-1)
    own = precision[..., n:, n:]
    ahead, backwards = torch.zeros_like(before[..., 0, :, :]), []
    for from_before, to_before, of_own in zip(
        *(part.unbind(-3)[::-1] for part in (before, across, own)), strict=True
    ):
        lower = torch.linalg.cholesky(of_own + ahead[..., :n])
        right = torch.cat([to_before[..., :n], to_before[..., n:] + ahead[..., n:]], dim=-1)
        solved = torch.linalg.solve_triangular(lower, right, upper=False)
        known = solved[..., :n].mT @ solved
        ahead = from_before - known
        backwards.append((lower, right, solved[..., n:], known))
    lower, right, solved, known = (torch.stack(p[::-1], -3) for p in zip(*backwards, strict=True))
    log_normalizer = lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    log_normalizer = log_normalizer - 0.5 * (
        n * math.log(2 * math.pi) + solved.square().sum((-2, -1))
    )
    upper_rows = torch.cat([known[..., :n], right[..., :n].mT], dim=-1)
    lower_rows = torch.cat([right[..., :n], lower @ lower.mT], dim=-1)
    chain = Gaussian(
        log_normalizer,
        torch.cat([known[..., n], right[..., n]], dim=-1),
        torch.cat([upper_rows, lower_rows], dim=-2),
    )
    left = (steps.log_normalizer - log_normalizer).sum(-1)
    return chain, Gaussian(left, ahead[..., n], ahead[..., :n])


def integrated(steps: Gaussian, num_frames: int) -> Gaussian:
    """All steps multiplied, with the states between them integrated out, in log T rounds.

    As :func:`pyro.ops.gaussian.sequential_gaussian_tensordot`, but precisions that all sequences of a batch
    share, as they do where the law does not depend on the sequence, are computed once.
    """
    dims = steps.dim() // 2
    parts = enumerate((steps.log_normalizer, steps.info_vec, steps.precision))
    steps = Gaussian(*(along_time(part, event, num_frames) for event, part in parts))
    rest = None
    while num_frames > 1:
        if num_frames % 2:
            last = steps[..., num_frames - 1]
            rest = last if rest is None else gaussian_tensordot(last, rest, dims)
        pairs = num_frames - num_frames % 2
        steps = gaussian_tensordot(steps[..., 0:pairs:2], steps[..., 1:pairs:2], dims)
        num_frames = pairs // 2
    first = steps[..., 0]
    return first if rest is None else gaussian_tensordot(first, rest, dims)
