r"""Scores of a classifier's answers, from log-probabilities: finite where probabilities underflow.

With p(y | x) the classifier's probabilities, the inception score is

.. math:: \mathrm{IS} = \exp E_x \mathrm{KL}(p(y \mid x) \,\|\, p(y)) = \exp(H(y) - H(y \mid x)),
          \quad p(y) = E_x\, p(y \mid x)
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .judge import ATTRIBUTES

_DIRECTIONS = 3


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) in nats over the last axis, from log-probabilities ``(*, classes)``: ``(*,)``.

    >>> p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    >>> round(float(kl(p.log(), q.log())), 4)
    0.1438
    """
    log_p, log_q = log_p.double(), log_q.double()
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), 0.0).sum(-1)


def entropy(log_p: Tensor) -> Tensor:
    """Entropy in nats over the last axis, from log-probabilities ``(*, classes)``: ``(*,)``.

    >>> round(float(entropy(torch.full((9,), 1 / 9).log())), 3)
    2.197
    """
    log_p = log_p.double()
    p = log_p.exp()
    return torch.where(p > 0, -p * log_p, 0.0).sum(-1)


def marginal(log_p: Tensor) -> Tensor:
    """log of the mean of p over the first axis: ``(N, classes)`` to ``(classes,)``.

    >>> marginal(torch.eye(2).log()).exp().tolist()
    [0.5, 0.5]
    """
    return log_p.double().logsumexp(0) - math.log(len(log_p))


def inception_score(log_p: Tensor) -> float:
    """exp E KL(p(y|x) || p(y)), 1 to the number of classes, from log p(y|x) ``(N, classes)``.

    >>> round(inception_score(torch.eye(9).log()), 9)  # sure of each, and of all alike
    9.0
    """
    return float(kl(log_p, marginal(log_p)).mean().exp())


def disagreement(log_p: Tensor, log_q: Tensor) -> float:
    """Share of rows of ``(N, classes)`` whose likeliest classes differ.

    >>> disagreement(torch.eye(4).log(), torch.eye(4).flip(0).log())
    1.0
    """
    return float((log_p.argmax(-1) != log_q.argmax(-1)).double().mean())


def accuracy(log_p: Tensor, labels: Tensor) -> float:
    """Share of rows of ``(N, classes)`` whose likeliest class is the label's, ``(N,)``."""
    return float((log_p.argmax(-1) == labels).double().mean())


def static_accuracies(
    log_p: Mapping[str, Tensor], labels: Mapping[str, Tensor]
) -> dict[str, float]:
    """Accuracy of each attribute, and their mean as ``static_accuracy``."""
    each = {name: accuracy(log_p[name], labels[name]) for name in ATTRIBUTES}
    return {"static_accuracy": sum(each.values()) / len(each), **each}


def action_accuracies(log_p: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy of the 9-way action, and of type and direction of the likeliest action."""
    named = log_p.argmax(-1)
    parts = {
        "action": (named, labels),
        "action_type": (named // _DIRECTIONS, labels // _DIRECTIONS),
        "direction": (named % _DIRECTIONS, labels % _DIRECTIONS),
    }
    return {name: float((a == b).double().mean()) for name, (a, b) in parts.items()}
