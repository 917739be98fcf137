r"""p(z_1:T) whose every step is a Normal that follows from all earlier ones, as one Pyro distribution.

.. math:: p(z_{1:T}) = \prod_{t=1}^{T} \mathcal N\big(z_t \mid \mu_t(z_{<t}), \sigma_t^2(z_{<t})\big)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from ..nn import LSTMTransition
from .base import CausalLaw, Prior, Shape

Transition = Callable[..., tuple[Any, ...]]


class AutoregressiveNormal(CausalLaw):
    r"""p(z_1:T), diagonal Normals whose parameters a network computes from all earlier steps.

    ``transition(z, state=None) -> (loc, scale, state)`` maps inputs of shape ``(batch, time, z_dim)``
    to the parameters of the step *after* each input, both ``(batch, time, z_dim)``. It must be causal;
    ``state`` is whatever lets it go on from the last input. The first input is z_0 = 0.

    ``log_prob`` calls the network once, on the shifted sequence; only ``rsample`` steps through time.

    :param transition: the network, usually a :class:`pyro_dsae.nn.LSTMTransition`.
    :param num_frames: T, the number of steps of the event.
    :param z_dim: size of one step. The event shape is ``(num_frames, z_dim)``.
    :param past: ``(*batch_shape, t, z_dim)``, steps already known, which the event follows.

    >>> law = AutoregressiveNormal(LSTMTransition(4, 16), num_frames=8, z_dim=4)
    >>> z = law.rsample((5,))
    >>> law.log_prob(z).shape, law.prefix_condition(z[:, :3]).sample().shape
    (torch.Size([5]), torch.Size([5, 5, 4]))
    """

    has_rsample = True

    def __init__(
        self,
        transition: Transition,
        num_frames: int,
        z_dim: int,
        *,
        past: Tensor | None = None,
        batch_shape: Shape = (),
        validate_args: bool | None = None,
    ) -> None:
        self.transition = transition
        super().__init__(
            num_frames, z_dim, past=past, batch_shape=batch_shape, validate_args=validate_args
        )

    def _step(self, *parameters: Tensor) -> Distribution:
        """p(z_t | z_<t) from what the transition gives: loc and scale, ``(batch, time, z_dim)``."""
        loc, scale = parameters
        return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)

    def _like(self) -> Tensor:
        if self.past is not None:
            return self.past
        owner = getattr(self.transition, "__self__", self.transition)
        parameters = getattr(owner, "parameters", None)
        first = next(parameters(), None) if parameters is not None else None
        return torch.empty(0) if first is None else first

    def _log_steps(self, z: Tensor) -> Tensor:
        *parameters, _ = self.transition(torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], dim=1))
        return self._step(*parameters).log_prob(z)

    def _draw(self, past: Tensor) -> Tensor:
        inputs = torch.cat([past.new_zeros(len(past), 1, self.z_dim), past], dim=1)
        state, steps = None, []
        for _ in range(self.num_frames):
            *parameters, state = self.transition(inputs, state)
            step = self._step(*(part[:, -1:] for part in parameters))
            inputs = step.rsample() if self.has_rsample else step.sample()
            steps.append(inputs)
        return torch.cat(steps, dim=1)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw ``(*sample_shape, *batch_shape, T, z_dim)`` step by step, differentiably.

        :raises ValueError: if a draw is not finite.
        """
        return self._sample(sample_shape)


class Autoregressive(LSTMTransition, Prior):
    """The prior of Li & Mandt: an LSTM gives the mean and the scale of each next step.

    :param z_dim: size of z_t.
    :param hidden: units of the LSTM and of its dense layers.
    :param residual: the mean is a step from z_t-1, for dynamics that move on a little at a time.

    >>> law = Autoregressive(4, hidden=16)(8)
    >>> law.event_shape, law.sample((5,)).shape
    (torch.Size([8, 4]), torch.Size([5, 8, 4]))
    """

    def transition(self, z: Tensor, state: Any = None) -> tuple[Tensor, Tensor, Any]:
        """Mean and scale of the step after each of z, ``(batch, time, z_dim)``, and the LSTM's state."""
        return super().forward(z, state)

    def forward(self, num_frames: int) -> AutoregressiveNormal:  # type: ignore[override]
        """p(z_1:T), of event shape ``(num_frames, z_dim)``."""
        return AutoregressiveNormal(self.transition, num_frames, self.z_dim)
