r"""An ELBO with further terms: what the methods for disentangling add to it.

.. math:: -\mathrm{ELBO} + \sum_k w_k R_k

in nats a sequence. A term R sees the laws and the draws of the ELBO's own pass through guide and model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyro import distributions as dist
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from ..program import sites_of
from .reparametrised import ReparametrisedELBO


class Sites(Messenger):
    """Keeps the law and the value of every site that comes by."""

    def __init__(self) -> None:
        super().__init__()
        self.laws: dict[str, Any] = {}
        self.values: dict[str, Tensor] = {}

    def _pyro_post_sample(self, msg: Any) -> None:
        if not site_is_subsample(msg):
            self.laws[msg["name"]], self.values[msg["name"]] = msg["fn"], msg["value"]


class _Imagined(Messenger):
    """Latents that are not given are drawn without a gradient; frames are their mean."""

    def _pyro_sample(self, msg: Any) -> None:
        if not (msg["is_observed"] or site_is_subsample(msg)):
            law = msg["fn"]
            msg["value"] = law.mean if msg["name"] == "x" else law.sample()
            msg["done"] = True


@dataclass(frozen=True)
class Seen:
    """What a term sees of one step: the programs, ``x`` ``(N, T, *frame)``, the sites of the guide."""

    model: Callable[..., Tensor]
    guide: Callable
    x: Tensor
    q: Sites

    @property
    def content(self) -> str:
        """The site of what stays: ``"f"``, where a model does not say otherwise."""
        return sites_of(self.model, "content")[-1]

    @property
    def dynamics(self) -> str:
        """The site of what moves: ``"z"``."""
        return sites_of(self.model, "dynamics")[-1]

    def part(self, which: str) -> dict[str, Tensor]:
        """Draws from the guide of all sites of ``"content"``, or of ``"dynamics"``."""
        return {name: self.q.values[name] for name in sites_of(self.model, which)}

    def encode(self, x: Tensor, latents: Mapping[str, Tensor] | None = None) -> Sites:
        """The guide's sites for other sequences; what stands around the ELBO does not see the pass.

        :param latents: in place of the guide's own draws, by site.
        """
        guide = poutine.condition(self.guide, data=dict(latents or {}))
        with poutine.block(), Sites() as sites:
            guide(x)
        return sites

    def decode(
        self, latents: Mapping[str, Tensor], size: int | None = None
    ) -> tuple[Tensor, Sites]:
        """Mean frames ``(size, T, *frame)`` of these latents, and all sites; others come from the prior.

        Gradients reach the decoder and what is given, never the prior.
        """
        given = poutine.condition(self.model, data=dict(latents))
        with poutine.block(), Sites() as sites, _Imagined():
            frames = given(batch_size=size or len(self.x), num_frames=self.x.shape[1])
        return frames, sites


class Regularised(ReparametrisedELBO):
    """An ELBO with one further term; ``+`` joins the terms of two such objectives.

    It goes where any of Pyro's ELBO objects goes, ``fit(elbo=...)`` and :class:`pyro.infer.SVI`. With a
    ``weight`` of 0 it is the ELBO. Of the bound there is one draw a step.

    :param weight: of the term, at least 0.
    """

    labels: tuple[str, ...] = ()
    """Of the data, that it needs: ``fit`` passes them on, and so do ``SVI.step(x, speaker=...)``."""

    takes_mask = False
    """Whether frames may be absent: a further pass, or densities of pairs, know nothing of a mask."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise ValueError(f"weight must be at least 0 and finite, got {weight}")
        self.weight = weight

    @property
    def terms(self) -> tuple[Regularised, ...]:
        return (self,)

    def __add__(self, other: Regularised) -> Joined:
        return Joined(self, other)

    def penalty(self, seen: Seen) -> Tensor:
        """The term R, nats a sequence: a number."""
        raise NotImplementedError

    def around(
        self, model: Callable, guide: Callable, given: Mapping[str, Tensor]
    ) -> tuple[Callable, Callable]:
        """The programs as the ELBO is to see them, under handlers perhaps; ``given`` holds its labels."""
        return model, guide

    def differentiable_loss(self, model: Any, guide: Any, x: Tensor, **given: Tensor) -> Tensor:
        """The negative bound with its terms, in nats, summed over the sequences."""
        q, programs = Sites(), (model, guide)
        for name in self.labels:
            if name not in given:
                raise ValueError(f"{type(self).__name__} needs the label {name!r}, got none")
        for term in self.terms:
            if given.get("mask") is not None and term.weight and not term.takes_mask:
                raise ValueError(
                    f"{type(term).__name__} takes sequences of one length whose frames are all present, got "
                    "a mask"
                )
        own = {name: given.pop(name) for name in dict.fromkeys(self.labels)}
        for term in self.terms:
            if term.weight:
                programs = term.around(*programs, own)
        loss = super().differentiable_loss(programs[0], q(programs[1]), x, **given)
        seen = Seen(model, guide, x, q)
        for term in self.terms:
            if term.weight:
                loss = loss + len(x) * term.weight * term.penalty(seen)
        return loss

    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """The number alone, as :class:`pyro.infer.SVI` asks for it."""
        with torch.no_grad():
            return float(self.differentiable_loss(model, guide, *args, **kwargs))

    def loss_and_grads(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """The number, once its gradients are added to those of the parameters."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        loss.backward()
        return float(loss.detach())


class Joined(Regularised):
    """An ELBO with the terms of several objectives: what ``+`` gives."""

    def __init__(self, *parts: Regularised) -> None:
        super().__init__()
        for part in parts:
            if not isinstance(part, Regularised):
                raise TypeError(f"+ joins objectives with terms of their own, got {part!r}")
        self.parts = parts
        self.labels = tuple(name for term in self.terms for name in term.labels)

    @property
    def terms(self) -> tuple[Regularised, ...]:
        return tuple(term for part in self.parts for term in part.terms)


def as_normal(law: Any) -> dist.Normal:
    """Mean and standard deviation of each number of a site; 1 where a law does not tell the latter."""
    loc = law.mean
    try:
        scale = law.stddev
    except NotImplementedError:
        scale = torch.ones_like(loc)
    return dist.Normal(loc, scale, validate_args=False)


def all_pairs(law: Any, value: Tensor) -> Tensor:
    """log q(v_i | x_j), ``(N, N, T, dim)`` for independent Normals, else ``(N, N, 1, 1)``.

    T is 1 where a site has no axis of time.
    """
    base = getattr(law, "base_dist", None)
    if not isinstance(base, torch.distributions.Normal):
        return law.log_prob(value.unsqueeze(1))[..., None, None]
    loc, scale = base.loc, base.scale
    if value.dim() == 2:
        value, loc, scale = (part.unsqueeze(1) for part in (value, loc, scale))
    return dist.Normal(loc, scale, validate_args=False).log_prob(value.unsqueeze(1))
