r"""Sequences known to share their content share f: the multi-level VAE (Bouchacourt et al., AAAI 2018).

.. math:: q(f \mid x_1, ..., x_n) \propto \prod_{i=1}^n q(f \mid x_i)

for the n sequences of a batch with one label, such as a speaker. One draw of it explains all of them, and
the KL of f is paid once. At test time no label is needed: each sequence has its own q(f | x).
Knows which sequences share their content, and nothing else: the weakest supervision there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pyro import distributions as dist
from pyro.poutine.messenger import Messenger
from torch import Tensor

from ..program import sites_of
from .base import Regularised, Seen


class _Scaled(Messenger):
    """Each sequence's share of its group, on one site."""

    def __init__(self, site: str, share: Tensor) -> None:
        super().__init__()
        self.site, self.share = site, share

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] == self.site:
            msg["scale"] = msg["scale"] * self.share


class _Product(_Scaled):
    """One law and one draw of the site for all sequences of each of so many groups, ``group`` ``(N,)``."""

    def __init__(self, site: str, share: Tensor, group: Tensor, groups: int) -> None:
        super().__init__(site, share)
        self.group, self.groups = group, groups

    def _pyro_sample(self, msg: Any) -> None:
        super()._pyro_sample(msg)
        if msg["name"] != self.site:
            return
        base = getattr(msg["fn"], "base_dist", None)
        if not isinstance(base, torch.distributions.Normal):
            raise ValueError(f"Grouped multiplies Normals, got {msg['fn']} for {self.site!r}")
        precision, group = base.scale.square().reciprocal(), self.group

        def total(values: Tensor) -> Tensor:
            """Sums over the groups, ``(groups, dim)``."""
            zero = values.new_zeros(self.groups, values.shape[1])
            return zero.index_add(0, group, values)

        whole = total(precision)
        loc, scale = total(precision * base.loc) / whole, whole.rsqrt()
        drawn = loc + scale * torch.randn_like(loc)
        msg["fn"] = dist.Normal(loc[group], scale[group], validate_args=False).to_event(1)
        msg["value"], msg["done"] = drawn[group], True


class Grouped(Regularised):
    """One f for all sequences of a batch that have a label in common; no further term.

    A batch should hold several of each: :class:`pyro_dsae.data.Groups` sees to it. With a label of its own
    for each sequence it is the ELBO.

    Sequences may have lengths of their own.

    :param by: the label, such as ``"speaker"``, of the data: ``fit(elbo=Grouped("speaker"))``.
    """

    takes_mask = True

    def __init__(self, by: str) -> None:
        super().__init__()
        self.by, self.labels = by, (by,)

    def around(
        self, model: Callable, guide: Callable, given: Mapping[str, Tensor]
    ) -> tuple[Callable, Callable]:
        _, group, sizes = given[self.by].unique(return_inverse=True, return_counts=True)
        site = sites_of(model, "content")[-1]
        share = sizes[group].float().reciprocal()
        return _Scaled(site, share)(model), _Product(site, share, group, len(sizes))(guide)

    def penalty(self, seen: Seen) -> Tensor:
        return torch.zeros((), device=seen.x.device)
