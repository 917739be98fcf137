r"""Disentanglement, completeness, informativeness (Eastwood & Williams, ICLR 2018), section 2.

A classifier of each factor j from the codes c gives an importance R_ij to each number i of the code. With
:math:`P_{ij} = R_{ij} / \sum_k R_{ik}` and :math:`\tilde P_{ij} = R_{ij} / \sum_k R_{kj}`,

.. math:: D_i = 1 - H_K(P_{i \cdot}),\quad C_j = 1 - H_D(\tilde P_{\cdot j}),

entropies to the base of K factors and of D numbers. D is the mean of D_i weighted by importance, C that of
C_j, informativeness the accuracy on codes that were not learned from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from .verification import static_and_dynamic


def dci(
    codes: Tensor,
    factors: Mapping[str, Tensor],
    *,
    groups: Tensor | None = None,
    trees: int = 100,
    seed: int = 0,
) -> dict[str, Any]:
    """By random forests of scikit-learn, which learn from one half of the codes and are tested on the other.

    Their trees choose among all numbers at each split: of a few drawn at random, as is usual, some would have
    to split by what says nothing, and importance would leak.

    :param codes: ``(N, dim)``.
    :param factors: whole numbers ``(N,)`` by name.
    :param groups: whole numbers ``(N,)``, such as characters: all of a group lie in one half, or to know a
        character again would be to know its attributes.
    :returns: ``disentanglement``, ``completeness``, ``informativeness``, 0 to 1; ``accuracy`` of each factor;
        and ``importance``, of each factor ``(dim,)`` that sum to 1.
    :raises ValueError: if shapes do not agree, or there are fewer than 2 numbers, factors, or values of one.
    """
    forests = forests_()
    n = len(codes)
    if codes.dim() != 2 or codes.shape[1] < 2 or any(v.shape != (n,) for v in factors.values()):
        shapes = ", ".join(f"{name} {tuple(v.shape)}" for name, v in factors.items())
        raise ValueError(
            f"codes must be (N, dim), dim 2 or more, and factors (N,), got {tuple(codes.shape)}; {shapes}"
        )
    if len(factors) < 2:
        raise ValueError(f"factors must be 2 or more, got {', '.join(factors) or 'none'}")
    learn, test = _halves(n, groups, seed)
    x = codes.detach().cpu().numpy()
    importance, accuracy = {}, {}
    for name, values in factors.items():
        y = values.cpu().numpy()
        if len(np.unique(y[learn])) < 2:
            raise ValueError(f"{name} must have 2 values or more among those learnt from, got 1")
        forest = forests(trees, max_features=None, random_state=seed)
        forest.fit(x[learn], y[learn])
        importance[name] = torch.from_numpy(forest.feature_importances_)
        accuracy[name] = float(forest.score(x[test], y[test]))
    table = torch.stack([*importance.values()], 1)
    weight = table.sum(1) / table.sum().clamp(min=1e-12)
    return {
        "disentanglement": float((weight * _purity(table)).sum()),
        "completeness": float(_purity(table.T).mean()),
        "informativeness": sum(accuracy.values()) / len(accuracy),
        "accuracy": accuracy,
        "importance": importance,
    }


def forests_() -> Any:
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError as error:
        raise ImportError('dci needs scikit-learn: pip install "pyro-dsae[speech]"') from error
    return RandomForestClassifier


def _halves(n: int, groups: Tensor | None, seed: int) -> tuple[Tensor, Tensor]:
    """Which of n codes to learn from, and which to test on: of a group all, or none."""
    generator = torch.Generator().manual_seed(seed)
    if groups is None:
        order = torch.randperm(n, generator=generator)
        return order[: n // 2], order[n // 2 :]
    names = groups.cpu().unique()
    first = names[torch.randperm(len(names), generator=generator)[: len(names) // 2]]
    learnt = torch.isin(groups.cpu(), first)
    return learnt.nonzero().flatten(), (~learnt).nonzero().flatten()


def _purity(table: Tensor) -> Tensor:
    """1 less the entropy of each row ``(rows, columns)``, to the base of the columns: ``(rows,)``."""
    p = table / table.sum(1, keepdim=True).clamp(min=1e-12)
    return 1 - torch.special.entr(p).sum(1) / math.log(table.shape[1])


def latent_dci(
    guide: Callable,
    dataset: Dataset,
    factors: Sequence[str],
    *,
    sites: Sequence[str] = ("f", "z"),
    groups: Sequence[str] = (),
    num_sequences: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, Any]:
    """:func:`dci` of posterior means, [f, mean of z over time].

    :param dataset: of ``(x, labels)``, labels with all ``factors``.
    :param groups: labels that together name the groups of :func:`dci`, such as all attributes of a character.
    :param num_sequences: so many drawn by ``seed`` (default: all).
    :returns: that of :func:`dci`, with ``in_f`` in place of ``importance``: of each factor, what share of the
        importance lies in the first site.
    """
    forests_()
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))  # type: ignore[arg-type]
    part = Subset(dataset, order[:num_sequences].tolist())
    encode = static_and_dynamic(guide, sites)
    codes: dict[str, list[Tensor]] = {name: [] for name in sites}
    values: dict[str, list[Tensor]] = {name: [] for name in (*factors, *groups)}
    for x, labels in DataLoader(part, batch_size, generator=torch.Generator()):
        missing = [name for name in values if name not in labels]
        if missing:
            raise ValueError(f"factors must be among {', '.join(labels)}, got {', '.join(missing)}")
        for name, code in encode(x).items():
            codes[name].append(code.cpu())
        for name, parts in values.items():
            parts.append(labels[name])
    both = [torch.cat(codes[name]) for name in sites]
    known = {name: torch.cat(parts) for name, parts in values.items()}
    of = torch.stack([known[name] for name in groups], 1) if groups else None
    of = None if of is None else of.unique(dim=0, return_inverse=True)[1]
    found = dci(torch.cat(both, 1), {name: known[name] for name in factors}, groups=of, seed=seed)
    importance, dim = found.pop("importance"), both[0].shape[1]
    return {**found, "in_f": {name: float(rho[:dim].sum()) for name, rho in importance.items()}}
