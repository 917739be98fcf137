r"""p(z_1:T) as what one sees of a linear dynamical system (the prior of Johnson et al., NIPS 2016).

.. math:: s_0 \sim \mathcal N(m, P),\quad s_t \sim \mathcal N(s_{t-1} A, Q),\quad
          z_t \sim \mathcal N(s_t C + d, R)

with A a contraction and P, Q and R diagonal. Rows are vectors, as in :class:`pyro.distributions.GaussianHMM`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pyro import distributions as dist
from pyro.ops.gaussian import (
    AffineNormal,
    Gaussian,
    gaussian_tensordot,
)
from torch import Tensor, nn
from torch.nn import functional as F

from .._numbers import check_whole
from ..nn import Contractions
from .base import Prior, Shape, check_past
from .chains import along_time, as_chain, integrated

FLOOR = 1e-3
Noises = Callable[[Tensor], Tensor]


class Noise(nn.Module):
    """Standard deviations, ``(size,)``, learned from ``scale`` on and never below ``floor``."""

    def __init__(self, size: int, scale: float, floor: float = FLOOR) -> None:
        super().__init__()
        self.floor = floor
        self.raw = nn.Parameter(torch.full((size,), math.log(math.expm1(scale - floor))))

    def forward(self) -> Tensor:
        return F.softplus(self.raw) + self.floor


class LinearGaussianLaw(dist.GaussianHMM):
    """A :class:`pyro.distributions.GaussianHMM` with a ``mean``, exact where single precision is not.

    Pyro computes with precisions, inverse covariances, whose products lose all digits of a float32 in long
    sequences of little noise: log-probabilities at T = 1000 are off by up to thousands of nats, and nothing
    fails. Here all is computed in double precision; values come and go in ``dtype``.

    >>> law = LinearGaussian(4)(8)
    >>> law.prefix_condition(torch.zeros(3, 4)).sample().shape
    torch.Size([5, 4])
    """

    def __init__(
        self,
        initial_dist: dist.TorchDistribution,
        transition_matrix: Tensor,
        transition_dist: dist.TorchDistribution,
        observation_matrix: Tensor,
        observation_dist: dist.TorchDistribution,
        validate_args: bool | None = None,
        *,
        duration: int,
    ) -> None:
        check_whole(1, num_frames=duration)
        self.dtype = transition_matrix.dtype
        self._product: tuple[LinearGaussianLaw, dist.TorchDistribution, Tensor] | None = None
        laws = (_double(law) for law in (initial_dist, transition_dist, observation_dist))
        initial_dist, transition_dist, observation_dist = laws
        super().__init__(
            initial_dist,
            transition_matrix.double(),
            transition_dist,
            observation_matrix.double(),
            observation_dist,
            validate_args,
            duration,
        )

    def _get_checked_instance(self, cls: Any, _instance: Any = None) -> LinearGaussianLaw:
        """What Pyro fills in where a law gives another one."""
        new = type(self).__new__(type(self)) if _instance is None else _instance
        new.dtype, new._product = self.dtype, None
        return new

    def expand(self, batch_shape: Shape, _instance: Any = None) -> LinearGaussianLaw:
        new = super().expand(batch_shape, _instance)
        new._product = self._product
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z_1:T), of shape ``broadcast(value.shape[:-2], batch_shape)``.

        :raises ValueError: if a covariance is not positive definite, as with weights that are not finite.
        """
        if self._validate_args:
            self._validate_sample(value)
        z = value.double()
        if self._product is not None:  # whose precisions do not depend on the sequence
            prior, other, log_normalizer = self._product
            log_prob = prior.log_prob(z) + other.log_prob(z) - log_normalizer
        else:
            steps = self._obs.condition(z).event_pad(left=self.hidden_dim)
            log_prob = self._integrate(self._trans + steps)
        shape = torch.broadcast_shapes(z.shape[:-2], self.batch_shape)
        return log_prob.to(value.dtype).expand(shape)

    def log_prefix(self, value: Tensor, within: Tensor) -> Tensor:
        """log p(z_1:n) for lengths n, up to which ``within``, ``(*batch, T)``, is True."""
        seen = _where(within, self._obs.condition(value.double()))
        log_prob = self._integrate(self._trans + seen.event_pad(left=self.hidden_dim))
        shape = torch.broadcast_shapes(value.shape[:-2], self.batch_shape)
        return log_prob.to(value.dtype).expand(shape)

    def _integrate(self, steps: Gaussian) -> Tensor:
        """log of the integral over all states of p(s_0) and of factors of each s_t-1 and s_t."""
        with _positive(self):
            whole = gaussian_tensordot(
                self._init, integrated(steps, self.duration), self.hidden_dim
            )
            return whole.event_logsumexp()

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw ``(*sample_shape, *batch_shape, T, z_dim)``, differentiably."""
        return self._draw(torch.Size(sample_shape)).to(self.dtype)

    @property
    def mean(self) -> Tensor:
        """Of the joint law, ``(*batch_shape, T, z_dim)``."""
        return self._draw(torch.Size(), torch.zeros_like).to(self.dtype)

    def _draw(self, sample_shape: torch.Size, noise: Noises = torch.randn_like) -> Tensor:
        """A path of the states and what is seen of it, both with such noise."""
        shape = torch.Size(sample_shape) + self.batch_shape
        with _positive(self):
            white = noise(self._init.info_vec.expand(*shape, -1))
            state, states = self._init.rsample(sample_shape, noise=white).unsqueeze(-1), []
            matrix, loc, factor = (along_time(part, 2, self.duration) for part in self._dynamics())
            moves = (loc + factor @ noise(loc.expand(*shape, -1, -1, -1))).unbind(-3)
            for move, by in zip(moves, matrix.unbind(-3), strict=True):
                state = by @ state + move
                states.append(state)
        law = self._obs.left_condition(torch.stack(states, -3).squeeze(-1))
        return law.loc + law.scale * noise(law.loc)

    def _dynamics(self) -> tuple[Tensor, Tensor, Tensor]:
        """Matrix, mean and factor of the covariance of s_t given s_t-1, columns."""
        if isinstance(self._trans, AffineNormal):
            matrix, loc, scale = self._trans.matrix, self._trans.loc, self._trans.scale
            return matrix.mT, loc.unsqueeze(-1), scale.diag_embed()
        n, precision = self.hidden_dim, self._trans.precision
        right = torch.cat([-precision[..., n:, :n], self._trans.info_vec[..., n:, None]], dim=-1)
        lower = torch.linalg.cholesky(precision[..., n:, n:])
        right = torch.cholesky_solve(right, lower)
        eye = torch.eye(n, device=lower.device, dtype=lower.dtype)
        return (
            right[..., :n],
            right[..., n:],
            torch.linalg.solve_triangular(lower.mT, eye, upper=True),
        )

    def prefix_condition(self, z_past: Tensor) -> LinearGaussianLaw:
        """The law of the steps after ``z_past``, ``(*batch, t, z_dim)`` with t < ``num_frames``."""
        check_past(z_past, self.duration, self.obs_dim)
        return super().prefix_condition(z_past.double())

    def conjugate_update(
        self, other: dist.TorchDistribution, mask: Tensor | None = None
    ) -> tuple[LinearGaussianLaw, Tensor]:
        r"""The law :math:`\propto p(z_{1:T}) \prod_t \mathcal N(z_t; m_t, v_t)`, and its log Z.

        Of z_t that is what m_t, seen with noise :math:`R + v_t`, says of s_t; and given s_t, a Normal again.

        :param other: the Normals as one distribution of event shape ``(num_frames, z_dim)``.
        :param mask: of these t alone, ``(*batch, num_frames)``; the others follow from those around them.
        :raises ValueError: if it is anything else.

        >>> law = LinearGaussian(4)(8)
        >>> seen = dist.Normal(torch.zeros(5, 8, 4), 0.1).to_event(2)
        >>> posterior, log_z = law.conjugate_update(seen)
        >>> posterior.sample().shape, log_z.shape
        (torch.Size([5, 8, 4]), torch.Size([5]))
        """
        base = getattr(other, "base_dist", None)
        if (
            not isinstance(base, torch.distributions.Normal)
            or other.event_shape != self.event_shape
        ):
            raise ValueError(
                f"other must be independent Normals of event shape {tuple(self.event_shape)}, "
                f"got {other}"
            )
        m, v = base.loc.double(), base.scale.double().square()
        matrix, loc, variance = self._obs.matrix, self._obs.loc, self._obs.scale.square()
        gain, left = variance / (variance + v), v / (variance + v)
        scale = (variance + v).sqrt()
        wide = AffineNormal(matrix.expand(*scale.shape[:-1], -1, -1), loc.expand_as(scale), scale)
        seen = wide.condition(m)
        if mask is not None:
            seen, absent = _where(mask, seen), ~mask.unsqueeze(-1)
            gain, left = gain.masked_fill(absent, 0.0), left.masked_fill(absent, 1.0)
        factors = self._trans + seen.event_pad(left=self.hidden_dim)
        new = self._get_checked_instance(dist.GaussianHMM)
        new.hidden_dim, new.obs_dim = self.hidden_dim, self.obs_dim
        with _positive(self):
            new._trans, ahead = as_chain(factors, self.duration)
            new._init = self._init + ahead
            log_normalizer = new._init.event_logsumexp()
        new._init = new._init - log_normalizer
        new._product = None if mask is not None else (self, _double(other), log_normalizer)
        new._obs = AffineNormal(
            matrix * left.unsqueeze(-2), loc + gain * (m - loc), (variance * left).sqrt()
        )
        super(dist.GaussianHMM, new).__init__(
            self.duration, log_normalizer.shape, self.event_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new, log_normalizer.to(self.dtype)


@contextmanager
def _positive(law: LinearGaussianLaw) -> Iterator[None]:
    """ValueError in place of what torch says of a covariance that is not positive definite."""
    try:
        yield
    except torch.linalg.LinAlgError as error:
        raise ValueError(
            f"{type(law).__name__} has a covariance that is not positive definite: "
            "its weights are too large, or not finite"
        ) from error


def _where(mask: Tensor, steps: Gaussian) -> Gaussian:
    """Factors ``(*batch, T)`` where the mask is True, else 1."""
    m = mask.double()
    return Gaussian(
        steps.log_normalizer * m,
        steps.info_vec * m.unsqueeze(-1),
        steps.precision * m[..., None, None],
    )


def _double(law: Any) -> Any:
    """Independent Normals in double precision."""
    base = law.base_dist
    wide = dist.Normal(base.loc.double(), base.scale.double(), validate_args=False)
    return wide.to_event(law.reinterpreted_batch_ndims)


class LinearGaussian(Prior):
    """A linear dynamical system: turns and decays of a hidden state, of which z_t is a noisy view.

    Stable by construction: its matrix is a contraction, see :class:`~pyro_dsae.nn.Contractions`. Standard
    deviations of all noise are at least 1e-3.

    :param z_dim: size of z_t.
    :param state_dim: size of the hidden state, default ``2 * z_dim``.

    >>> law = LinearGaussian(4)(8)
    >>> law.mean.shape, law.sample((5,)).shape
    (torch.Size([8, 4]), torch.Size([5, 8, 4]))
    """

    def __init__(self, z_dim: int, *, state_dim: int | None = None) -> None:
        super().__init__()
        check_whole(1, z_dim=z_dim, state_dim=state_dim)
        self.z_dim = z_dim
        self.state_dim = state_dim or 2 * z_dim
        self.transition = Contractions(1, self.state_dim)
        self.observation = nn.Linear(self.state_dim, z_dim)
        nn.init.normal_(self.observation.weight, 0.0, self.state_dim**-0.5)
        nn.init.zeros_(self.observation.bias)
        self.start = nn.Parameter(torch.zeros(self.state_dim))
        self.start_noise = Noise(self.state_dim, 1.0)
        self.state_noise = Noise(self.state_dim, 0.2)
        self.noise = Noise(z_dim, 0.5)

    def forward(self, num_frames: int) -> LinearGaussianLaw:
        """p(z_1:T), of event shape ``(num_frames, z_dim)``."""

        def normal(loc: Tensor, scale: Tensor) -> dist.TorchDistribution:
            return dist.Normal(loc, scale, validate_args=False).to_event(1)

        state_noise = self.state_noise()
        return LinearGaussianLaw(
            normal(self.start, self.start_noise()),
            self.transition()[0],
            normal(torch.zeros_like(state_noise), state_noise),
            self.observation.weight.mT,
            normal(self.observation.bias, self.noise()),
            duration=num_frames,
        )
