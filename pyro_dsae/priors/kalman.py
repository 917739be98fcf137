r"""p(z_1:T) of the Kalman variational autoencoder (Fraccaro et al., NIPS 2017), section 3.

.. math:: s_t \sim \mathcal N(A_t s_{t-1}, Q),\quad z_t \sim \mathcal N(C_t s_t, R),\quad
          A_t = \sum_k \alpha_{tk}(z_{<t})\, A^{(k)},\quad C_t = \sum_k \alpha_{tk}(z_{<t})\, C^{(k)}

with s_0 Normal, every :math:`A^{(k)}` a contraction, and Q and R diagonal. Given z_<t the matrices are
known, so that each step is a Normal, which a Kalman filter gives.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .._numbers import check_whole
from ..nn import CausalLSTM, Contractions
from .base import CausalLaw, Prior
from .linear_gaussian import Noise

FLOOR = 0.01


class State(NamedTuple):
    """What is known of s_t, a Normal."""

    mean: Tensor  # (batch, state_dim, 1)
    factor: Tensor  # L of its covariance L L', (batch, state_dim, state_dim)


class Step(NamedTuple):
    """The law of (z_t, s_t), in this order, given s_t-1."""

    matrix: Tensor  # (batch, z_dim + state_dim, state_dim)
    noise: Tensor  # covariance, (batch, z_dim + state_dim, z_dim + state_dim)

    def ahead(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Mean of (z_t, s_t), lower Cholesky factor of its covariance, and where that failed."""
        spread = self.matrix @ state.factor
        covariance = torch.baddbmm(self.noise, spread, spread.mT)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        return self.matrix @ state.mean, factor, failed


class KalmanLaw(CausalLaw):
    r"""p(z_1:T) by a Kalman filter in square-root form: covariances stay positive by construction.

    One Cholesky factor of the covariance of (z_t, s_t) given z_<t holds all of a step: the factor of z_t's
    own, the gain, and the factor of what is then left to know of s_t. Draws carry no gradient.

    :param prior: the :class:`Kalman` that gives the matrices.
    :param num_frames: T.
    :param options: those of :class:`~pyro_dsae.priors.CausalLaw`.

    >>> law = KalmanLaw(Kalman(4, hidden=16), 8)
    >>> law.prefix_condition(torch.zeros(3, 4)).sample().shape
    torch.Size([5, 4])
    """

    def __init__(self, prior: Kalman, num_frames: int, **options: Any) -> None:
        self.prior = prior
        super().__init__(num_frames, prior.z_dim, **options)

    def _like(self) -> Tensor:
        return self.prior.start

    def _log_steps(self, z: Tensor) -> Tensor:
        weights, _ = self.prior.weights(torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], dim=1))
        return self._filter(z, weights)[0]

    def _filter(self, z: Tensor, weights: Tensor) -> tuple[Tensor, State]:
        """log p(z_t | z_<t), ``(batch, time)``, and what is known of the last state."""
        whites, scales, failures = [], [], []
        d = self.z_dim
        with torch.autocast(z.device.type, enabled=False):
            state = self.prior.first(len(z))
            for z_t, step in zip(z.unsqueeze(-1).unbind(1), self.prior.steps(weights), strict=True):
                mean, factor, failed = step.ahead(state)
                own = factor[:, :d, :d]
                white = torch.linalg.solve_triangular(own, z_t - mean[:, :d], upper=False)
                state = State(
                    torch.baddbmm(mean[:, d:], factor[:, d:, :d], white), factor[:, d:, d:]
                )
                whites.append(white)
                scales.append(own.diagonal(dim1=-2, dim2=-1))
                failures.append(failed)
        self._check(failures)
        white, scale = torch.stack(whites, 1).squeeze(-1), torch.stack(scales, 1)
        log_prob = -0.5 * white.square() - scale.log() - 0.5 * math.log(2 * math.pi)
        return log_prob.sum(-1), state

    def _draw(self, past: Tensor) -> Tensor:
        inputs = torch.cat([past.new_zeros(len(past), 1, self.z_dim), past], dim=1)
        weights, memory = self.prior.weights(inputs)
        state, d = self.prior.first(len(past)), self.z_dim
        if past.shape[1]:
            state = self._filter(past, weights[:, :-1])[1]
        draws: list[Tensor] = []
        failures: list[Tensor] = []
        for t in range(self.num_frames):
            if t:
                weights, memory = self.prior.weights(draws[-1].mT, memory)
            with torch.autocast(past.device.type, enabled=False):
                (step,) = self.prior.steps(weights[:, -1:])
                mean, factor, failed = step.ahead(state)
                white = torch.randn_like(mean[:, :d])
                ahead = torch.baddbmm(mean, factor[:, :, :d], white)
            draws.append(ahead[:, :d])
            state = State(ahead[:, d:], factor[:, d:, d:])
            failures.append(failed)
        self._check(failures)
        return torch.stack(draws, 1).squeeze(-1)

    def _check(self, failures: list[Tensor]) -> None:
        failed = torch.stack(failures).any(-1)
        if failed.any():
            raise ValueError(
                f"{type(self).__name__} has a covariance that is not positive definite at step "
                f"{int(failed.nonzero()[0])}: its weights, or z, are too large or not finite"
            )


class Kalman(CausalLSTM, Prior):
    """Linear dynamics whose matrices an LSTM mixes anew at each step, from what was seen before.

    Stable by construction: matrices of the state are contractions, see
    :class:`~pyro_dsae.nn.Contractions`. Standard deviations of all noise are at least 0.01: below that
    float32 does not hold what a long sequence says of the state.

    :param z_dim: size of z_t.
    :param hidden: units of the LSTM and of the dense layer before it.
    :param state_dim: size of the hidden state, default ``2 * z_dim``.
    :param matrices: K, of the state and of what is seen of it.

    >>> law = Kalman(4, hidden=16)(8)
    >>> law.log_prob(law.sample((5,))).shape
    torch.Size([5])
    """

    def __init__(
        self, z_dim: int, hidden: int = 256, *, state_dim: int | None = None, matrices: int = 8
    ) -> None:
        check_whole(1, z_dim=z_dim, hidden=hidden, state_dim=state_dim, matrices=matrices)
        super().__init__(z_dim, hidden)
        n = self.state_dim = state_dim or 2 * z_dim
        self.which = nn.Linear(2 * hidden, matrices)
        self.transitions = Contractions(matrices, n)
        self.observations = nn.Parameter(torch.randn(matrices, z_dim, n) / n**0.5)
        self.start = nn.Parameter(torch.zeros(n))
        self.start_noise = Noise(n, 1.0, FLOOR)
        self.state_noise = Noise(n, 0.2, FLOOR)
        self.noise = Noise(z_dim, 0.5, FLOOR)

    def weights(self, z: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """alpha of the step after each of z, ``(batch, time, K)``, and the LSTM's state."""
        h, state = self.features(z, state)
        return self.which(h).softmax(-1).to(self.start), state

    def first(self, batch: int) -> State:
        """s_0."""
        mean, factor = self.start.unsqueeze(-1), self.start_noise().diag()
        return State(mean.expand(batch, -1, -1), factor.expand(batch, -1, -1))

    def steps(self, weights: Tensor) -> list[Step]:
        """The steps that weights ``(batch, time, K)`` make."""
        a = torch.einsum("btk,kij->btij", weights, self.transitions())
        c = torch.einsum("btk,kij->btij", weights, self.observations)
        eye = torch.eye(self.state_dim, device=c.device, dtype=c.dtype)
        seen = torch.cat([c, eye.expand(*c.shape[:2], -1, -1)], dim=-2)  # (z_t, s_t) from s_t
        own = torch.cat([self.noise().square(), torch.zeros_like(self.start)])
        noise = (seen * self.state_noise().square()) @ seen.mT + own.diag()
        return [*map(Step, (seen @ a).unbind(1), noise.unbind(1))]

    def forward(self, num_frames: int) -> KalmanLaw:
        """p(z_1:T), of event shape ``(num_frames, z_dim)``."""
        return KalmanLaw(self, num_frames)
