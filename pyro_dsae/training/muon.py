"""Muon for networks with matrices, Adam for the rest: one optimiser for a model and its guide."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .._numbers import check_whole

_QUINTIC = (3.4445, -4.7750, 2.0315)  # of Jordan: to within 0.7 and 1.2 of 1 in five steps
_MOMENTUM, _STEPS, _TINY = 0.95, 5, 1e-7


def orthogonalised(m: Tensor, steps: int = _STEPS) -> Tensor:
    r"""About :math:`U V^\top` of :math:`M = U S V^\top`, ``(rows, columns)``: every direction as large.

    Newton-Schulz: :math:`X \leftarrow a X + (b A + c A A) X, A = X X^\top`, from :math:`M / \|M\|`.
    """
    check_whole(1, steps=steps)
    tall = m.shape[0] > m.shape[1]
    x = m.T if tall else m
    x = x / (x.norm() + _TINY)
    a, b, c = _QUINTIC
    for _ in range(steps):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.Adam):
    r"""Adam for all ``params`` but the ``matrices`` among them, whose steps have no small direction.

    .. math:: M \leftarrow \mu M + (1 - \mu) G, \quad
              W \leftarrow W - \eta \sqrt{\max(1, \text{rows} / \text{columns})}\,
              \operatorname{orth}\big((1 - \mu) G + \mu M\big)

    (Jordan et al., *Muon*, 2024; :math:`\mu` = 0.95.) What saves little, such as the difference of two nearly
    equal colours, is a small singular direction of the gradient, which Adam follows slowly. Kernels of
    convolutions are matrices too: the first axis by all others; vectors among the ``matrices`` keep Adam.
    ``torch.optim.Muon`` takes matrices alone, in bf16, and nothing beside them.

    :param params: all that is trained, as ``fit`` gives them to its ``optimizer``.
    :param lr: Adam's rate.
    :param matrices: such as ``model.decoder.parameters()``; None: all that is trained, but a table of
        vectors, such as FHVAE's of utterances, is none: give the others then.
    :param rate: :math:`\eta`.
    :raises ValueError: if none of the ``matrices`` is among ``params``, or a rate is not positive.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        *,
        matrices: Iterable[nn.Parameter] | None = None,
        rate: float = 0.02,
    ) -> None:
        params = [*params]
        named = {id(p) for p in (params if matrices is None else matrices) if p.ndim > 1}
        turned = [p for p in params if id(p) in named]
        others = [p for p in params if id(p) not in named]
        for name, value in (("lr", lr), ("rate", rate)):
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} must be positive, got {value}")
        if not turned:
            raise ValueError(
                "matrices must be among params, of two axes and more, got none that is"
            )
        groups = [{"params": others, "lr": lr}, {"params": turned, "lr": rate}]
        super().__init__(groups, lr, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both."""
        groups = self.param_groups
        self.param_groups = groups[:1]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = groups
        for w in groups[1]["params"]:
            if w.grad is not None:
                self._turn(w, w.grad, groups[1]["lr"])
        return loss

    def _turn(self, w: Tensor, grad: Tensor, rate: float) -> None:
        state = self.state[w]
        if not state:
            state["step"], state["momentum"] = torch.zeros(()), torch.zeros_like(w)
        state["step"] += 1  # which Adam's __setstate__ looks for
        m = state["momentum"].lerp_(grad, 1 - _MOMENTUM)
        ahead = grad.lerp(m, _MOMENTUM).flatten(1)
        rows, columns = ahead.shape
        w.sub_(orthogonalised(ahead).view(w.shape), alpha=rate * max(1.0, rows / columns) ** 0.5)
