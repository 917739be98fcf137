r"""p(z_1:T) of a hidden Markov model: what happens is one of K things, which follow each other as they may.

.. math:: k_1 \sim \pi,\quad k_t \sim P_{k_{t-1}},\quad
          z_t \sim \mathcal N\big(m_{k_t} + A_{k_t} (z_{t-1} - m_{k_t}), \sigma_{k_t}^2\big)

with z_0 = 0. A is zero, or a contraction where it is a switching linear system: each state then draws z
towards a point of its own. The other example of Johnson et al. (NIPS 2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .._numbers import check_whole
from ..nn import Contractions
from ..nn.time import REACH
from .base import CausalLaw, Prior
from .linear_gaussian import Noise

FLOOR = 0.03


class HiddenMarkovLaw(CausalLaw):
    """p(z_1:T) by the forward algorithm, a product with the K x K matrix a step. Draws carry no gradient.

    :param prior: the :class:`HiddenMarkov` that gives the laws of states and of what is seen of them.
    :param num_frames: T.
    :param options: those of :class:`~pyro_dsae.priors.CausalLaw`.

    >>> HiddenMarkovLaw(HiddenMarkov(4, states=6), 8).prefix_condition(torch.zeros(3, 4)).sample().shape
    torch.Size([5, 4])
    """

    def __init__(self, prior: HiddenMarkov, num_frames: int, **options: Any) -> None:
        self.prior = prior
        super().__init__(num_frames, prior.z_dim, **options)

    def _like(self) -> Tensor:
        return self.prior.start

    def _log_steps(self, z: Tensor) -> Tensor:
        return self._forward(self.prior.log_seen(z)).logsumexp(-1)

    def _forward(self, log_seen: Tensor) -> Tensor:
        """log p(k_t, z_t | z_<t), from log p(z_t | k_t), both ``(batch, time, K)``."""
        with torch.autocast(log_seen.device.type, enabled=False):
            expected, joint = self.prior.start.log_softmax(-1), []
            following, tiny = self.prior.following.softmax(-1), torch.finfo(log_seen.dtype).tiny
            for seen in log_seen.unbind(1):
                joint.append(expected + seen)
                expected = (joint[-1].softmax(-1) @ following).clamp(min=tiny).log()
        return torch.stack(joint, dim=1)

    def states(self, z: Tensor) -> Tensor:
        """p(k_t | z_1:T) of all states, ``(*batch, T, K)``, for z ``(*batch, T, z_dim)``.

        They are the gradient of log p(z_1:T) by what each state says of each step.
        """
        shape = torch.broadcast_shapes(z.shape[:-2], self.batch_shape)
        flat = z.expand(shape + self.event_shape).reshape(-1, *self.event_shape)
        with torch.no_grad():
            log_seen = self.prior.log_seen(torch.cat([self._past(shape, flat), flat], dim=1))
        with torch.enable_grad():
            log_prob = self._forward(log_seen.requires_grad_()).logsumexp(-1).sum()
            (states,) = torch.autograd.grad(log_prob, log_seen)
        return states[:, -self.num_frames :].reshape(*shape, self.num_frames, -1)

    def _draw(self, past: Tensor) -> Tensor:
        following = self.prior.following.softmax(-1)
        chances = self.prior.start.softmax(-1).expand(len(past), -1)
        if past.shape[1]:
            chances = self._forward(self.prior.log_seen(past))[:, -1].softmax(-1) @ following
        draw = self.prior.drawing()
        z, draws = past[:, -1] if past.shape[1] else past.new_zeros(len(past), self.z_dim), []
        for _ in range(self.num_frames):
            k = torch.multinomial(chances, 1).squeeze(-1)
            chances, z = following[k], draw(k, z)
            draws.append(z)
        return torch.stack(draws, dim=1)


class HiddenMarkov(Prior):
    """K states, each with a Normal of its own for z_t.

    :param z_dim: size of z_t.
    :param states: K.
    :param switching: each state moves z_t on from z_t-1, by a contraction towards its own point. Nothing
        can run away: points are within a reach of 10.

    >>> law = HiddenMarkov(4, states=6)(8)
    >>> z = law.sample((5,))
    >>> law.states(z).shape
    torch.Size([5, 8, 6])
    """

    def __init__(self, z_dim: int, *, states: int = 64, switching: bool = False) -> None:
        super().__init__()
        check_whole(1, z_dim=z_dim, states=states)
        self.z_dim = z_dim
        self.start = nn.Parameter(torch.zeros(states))
        self.following = nn.Parameter(torch.randn(states, states))
        self.points = nn.Parameter(torch.randn(states, z_dim))
        self.noise = Noise(states * z_dim, 0.5, FLOOR)
        self.moves = Contractions(states, z_dim, decay=0.5) if switching else None

    def _parts(self) -> tuple[Tensor, Tensor]:
        """Points and standard deviations of all states, ``(K, z_dim)``."""
        points = REACH * (self.points / REACH).tanh()
        return points, self.noise().view_as(points)

    def log_seen(self, z: Tensor) -> Tensor:
        """log p(z_t | z_t-1, k_t) for all k_t, ``(batch, time, K)``, for z ``(batch, time, z_dim)``."""
        with torch.autocast(z.device.type, enabled=False):
            points, scale = self._parts()
            before = points
            if self.moves is not None:
                moves = self.moves()
                drawn = points - (moves @ points.unsqueeze(-1)).squeeze(-1)
                z_before = torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], dim=1)
                before = torch.einsum("kij,btj->btki", moves, z_before) + drawn
            white = (z.unsqueeze(-2) - before) / scale
            norm = scale.log().sum(-1) + 0.5 * self.z_dim * math.log(2 * math.pi)
            return -0.5 * white.square().sum(-1) - norm

    def drawing(self) -> Callable[[Tensor, Tensor], Tensor]:
        """A function that draws z_t of states k_t, ``(batch,)``, after z_t-1, ``(batch, z_dim)``."""
        points, scale = self._parts()
        moves = None if self.moves is None else self.moves()

        def draw(k: Tensor, z: Tensor) -> Tensor:
            loc = points[k]
            if moves is not None:
                loc = loc + (moves[k] @ (z - loc).unsqueeze(-1)).squeeze(-1)
            return loc + scale[k] * torch.randn_like(loc)

        return draw

    def forward(self, num_frames: int) -> HiddenMarkovLaw:
        """p(z_1:T), of event shape ``(num_frames, z_dim)``."""
        return HiddenMarkovLaw(self, num_frames)
