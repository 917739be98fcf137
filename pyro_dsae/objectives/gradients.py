"""One way to loss and gradient for all of Pyro's ELBO objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pyro.infer import (
    ELBO,
    JitTrace_ELBO,
    JitTraceEnum_ELBO,
    JitTraceGraph_ELBO,
    JitTraceMeanField_ELBO,
)
from torch import Tensor, nn

from ..program import unannounced

_JIT = (JitTrace_ELBO, JitTraceEnum_ELBO, JitTraceGraph_ELBO, JitTraceMeanField_ELBO)


def descends_by_itself(elbo: Any) -> bool:
    """Whether an objective has no differentiable loss, and computes its gradients in its own way.

    :raises ValueError: if it is no ELBO object, or one of those for ``torch.jit``.

    >>> descends_by_itself(pyro.infer.ReweightedWakeSleep()), descends_by_itself(pyro.infer.Trace_ELBO())
    (True, False)
    """
    if not isinstance(elbo, ELBO):
        raise ValueError(f"elbo must be one of Pyro's ELBO objects, got {elbo!r}")
    if isinstance(elbo, _JIT):
        raise ValueError(
            f"elbo must not be {type(elbo).__name__}, which looks for weights in the global parameter "
            "store: use Trace_ELBO, and torch.compile on the networks"
        )
    return not hasattr(elbo, "differentiable_loss")


def add_gradients(
    pair: Callable[..., Tensor],
    elbo: ELBO,
    programs: Sequence[nn.Module],
    x: Tensor,
    given: dict[str, Tensor],
) -> Tensor:
    """The loss in nats a sequence, detached, once its gradients are added to those of the parameters.

    :param pair: ``elbo(*programs)``, perhaps prepared for several processes.
    :param x: ``(N, T, *frame)``; ``given`` goes to both programs too.
    """
    if not descends_by_itself(elbo):
        with unannounced():
            loss = pair(x, **given) / len(x)
        loss.backward()
        return loss.detach()
    # RenyiELBO, TraceGraph_ELBO, ReweightedWakeSleep: gradients of the sum over the sequences.
    value = elbo.loss_and_grads(  # type: ignore[attr-defined]
        *programs, x, **given
    )
    for weight in nn.ModuleList(programs).parameters():  # once those that programs share
        if weight.grad is not None:
            weight.grad /= len(x)
    value = value[0] if isinstance(value, tuple) else value
    return torch.as_tensor(value, dtype=torch.float32, device=x.device) / len(x)
