r"""z in a gap, given the steps before and after it, by the prior alone.

K paths are drawn from the prior, which has seen what comes before the gap, :math:`z_{<a}`, and weighted by
what it says of what comes after, up to the next gap:

.. math:: z_{a:b}^{(k)} \sim p(z_{a:b} \mid z_{<a}, f), \qquad
          w_k \propto p(z_{b:e} \mid z_{<a}, z_{a:b}^{(k)}, f)

A path drawn by weight is, for many paths, one of p(z_a:b | z_<a, z_b:e, f): sampling importance resampling
(Rubin, Bayesian Statistics 3, 1988).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

_AT_ONCE = 8192  # paths, so that memory does not grow with the batch


def bridged(
    p_z: Callable[[Tensor, int], TorchDistribution],
    f: Tensor,
    z: Tensor,
    mask: Tensor,
    paths: int,
    *,
    sample: bool = False,
) -> Tensor:
    """``z``, ``(N, T, z_dim)``, with every gap bridged; what stands in it is not looked at.

    :param p_z: p(z_1:T | f) from f and T, as :meth:`~pyro_dsae.models.base.SequenceModel.p_z`.
    :param f: ``(N, f_dim)``.
    :param mask: ``(N, T)``, True where a step is known. Steps after the last that is are left alone.
    :param paths: K, of each gap of a sequence.
    :param sample: a path is drawn by its weight, in place of the one with the largest.
    """
    z, together = z.clone(), max(1, _AT_ONCE // paths)
    for known, rows in alike(mask):
        seen = stretches(known)
        gaps = [
            (a, b, end)
            for a, (b, end) in zip([0, *(end for _, end in seen)], seen, strict=False)
            if a < b
        ]
        for some in rows.split(together) if gaps else ():
            z[some] = _bridged(p_z, f[some], z[some], gaps, paths, sample)
    return z


def _bridged(
    p_z: Callable[[Tensor, int], TorchDistribution],
    f: Tensor,
    z: Tensor,
    gaps: list[tuple[int, int, int]],
    paths: int,
    sample: bool,
) -> Tensor:
    """``z`` of sequences with the same ``gaps``: where each begins and ends, and what follows ends."""
    f_k, z_k = f.repeat(paths, 1), z.repeat(paths, 1, 1)
    for a, b, end in gaps:
        law = p_z(f_k, b).expand([len(f_k)])
        path = (law.prefix_condition(z_k[:, :a]) if a else law).sample()
        after = p_z(f_k, end).expand([len(f_k)])
        after = after.prefix_condition(torch.cat([z_k[:, :a], path], 1))
        log_w = after.log_prob(z_k[:, b:end]).unflatten(0, (paths, -1))
        law_k = torch.distributions.Categorical(logits=log_w.T)
        k = law_k.sample() if sample else log_w.argmax(0)
        chosen = path.unflatten(0, (paths, -1))[k, torch.arange(len(z), device=k.device)]
        z_k[:, a:b] = chosen.repeat(paths, 1, 1)
    return z_k[: len(z)]


def alike(mask: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Each row ``(T,)`` of a mask that there is, and which sequences have it."""
    patterns, which = mask.unique(dim=0, return_inverse=True)
    return [(row, (which == i).nonzero().flatten()) for i, row in enumerate(patterns)]


def stretches(known: Tensor) -> list[tuple[int, int]]:
    """Where ``(T,)`` is True without a break: the first step of each stretch, and the one after its last.

    >>> stretches(torch.tensor([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edges = torch.cat([known.new_zeros(1), known, known.new_zeros(1)]).int().diff()
    starts, ends = ((edges == sign).nonzero().flatten().tolist() for sign in (1, -1))
    return list(zip(starts, ends, strict=True))
