r"""p(z_1:T) whose every step follows from all earlier ones, as one Pyro distribution.

.. math:: p(z_{1:T}) = \prod_{t=1}^{T} \mathcal N\big(z_t \mid \mu_t(z_{<t}), \sigma_t^2(z_{<t})\big)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Normal, constraints

Shape = torch.Size | list[int] | tuple[int, ...]
Transition = Callable[..., tuple[Tensor, Tensor, Any]]


class AutoregressiveNormal(TorchDistribution):
    r"""p(z_1:T), diagonal Normals whose parameters a network computes from all earlier steps.

    ``transition(z, state=None) -> (loc, scale, state)`` maps inputs of shape ``(batch, time, z_dim)``
    to the parameters of the step *after* each input, both ``(batch, time, z_dim)``. It must be causal;
    ``state`` is whatever lets it go on from the last input. The first input is z_0 = 0.

    ``log_prob`` calls the network once, on the shifted sequence; only ``rsample`` steps through time.

    :param transition: the network, usually a :class:`pyro_dsae.nn.LSTMTransition`.
    :param num_frames: T, the number of steps of the event.
    :param z_dim: size of one step. The event shape is ``(num_frames, z_dim)``.
    :param past: ``(*batch_shape, t, z_dim)``, steps already known, which the event follows.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 (torch's own convention)
    support = constraints.independent(constraints.real, 2)
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
        if num_frames < 1:
            raise ValueError(f"num_frames must be at least 1, got {num_frames}")
        if past is not None:
            if past.dim() < 2 or past.shape[-1] != z_dim:
                raise ValueError(f"past must be (*batch, t, {z_dim}), got {tuple(past.shape)}")
            batch_shape = torch.broadcast_shapes(tuple(batch_shape), past.shape[:-2])
        self.transition = transition
        self.num_frames = num_frames
        self.z_dim = z_dim
        self.past = past
        super().__init__(
            torch.Size(batch_shape), torch.Size((num_frames, z_dim)), validate_args=validate_args
        )

    def expand(self, batch_shape: Shape, _instance: Any = None) -> AutoregressiveNormal:
        past = self.past
        if past is not None:
            past = past.expand(*batch_shape, *past.shape[-2:])
        return AutoregressiveNormal(
            self.transition,
            self.num_frames,
            self.z_dim,
            past=past,
            batch_shape=batch_shape,
            validate_args=self._validate_args,
        )

    def _inputs(self, shape: torch.Size, like: Tensor) -> Tensor:
        """z_0 = 0 and the known past, as ``(prod(shape), 1 + t, z_dim)``."""
        start = like.new_zeros(shape.numel(), 1, self.z_dim)
        if self.past is None:
            return start
        past = self.past.expand(*shape, *self.past.shape[-2:]).reshape(-1, *self.past.shape[-2:])
        return torch.cat([start, past.to(like)], dim=1)

    def _like(self) -> Tensor:
        """A tensor of the dtype and on the device in which samples are drawn."""
        if self.past is not None:
            return self.past
        parameters = getattr(self.transition, "parameters", None)
        first = next(parameters(), None) if parameters is not None else None
        return torch.empty(0) if first is None else first

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw ``(*sample_shape, *batch_shape, T, z_dim)`` step by step, differentiably."""
        shape = torch.Size(sample_shape) + self.batch_shape
        inputs, state, steps = self._inputs(shape, self._like()), None, []
        noise = inputs.new_empty(self.num_frames, len(inputs), 1, self.z_dim).normal_()
        for step in noise:
            loc, scale, state = self.transition(inputs, state)
            inputs = loc[:, -1:] + scale[:, -1:] * step
            steps.append(inputs)
        return torch.cat(steps, dim=1).reshape(shape + self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z_1:T), of shape ``broadcast(value.shape[:-2], batch_shape)``; one network call."""
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape[:-2], self.batch_shape)
        z = value.expand(shape + self.event_shape).reshape(-1, *self.event_shape)
        inputs = torch.cat([self._inputs(shape, z), z[:, :-1]], dim=1)
        loc, scale, _ = self.transition(inputs)
        loc, scale = loc[:, -self.num_frames :], scale[:, -self.num_frames :]
        steps = Normal(loc, scale, validate_args=False).log_prob(z)
        return steps.sum((-2, -1)).reshape(shape)

    def prefix_condition(self, z_past: Tensor) -> AutoregressiveNormal:
        """The law of the steps after ``z_past``, ``(*batch, t, z_dim)`` with t < ``num_frames``.

        Named after :meth:`pyro.distributions.GaussianHMM.prefix_condition`: the result has
        ``num_frames - t`` steps, and ``p(z_past) * p(future | z_past) = p(z_1:T)``.
        """
        if z_past.dim() < 2 or z_past.shape[-1] != self.z_dim:
            raise ValueError(
                f"z_past must be (*batch, time, {self.z_dim}), got {tuple(z_past.shape)}"
            )
        if not 0 < z_past.shape[-2] < self.num_frames:
            raise ValueError(
                f"z_past must have between 1 and {self.num_frames - 1} steps "
                f"(the law has {self.num_frames}), got {z_past.shape[-2]}"
            )
        shape = torch.broadcast_shapes(z_past.shape[:-2], self.batch_shape)
        past = z_past.expand(*shape, *z_past.shape[-2:])
        if self.past is not None:
            past = torch.cat([self.past.expand(*shape, *self.past.shape[-2:]), past], dim=-2)
        return AutoregressiveNormal(
            self.transition,
            self.num_frames - z_past.shape[-2],
            self.z_dim,
            past=past,
            batch_shape=shape,
            validate_args=self._validate_args,
        )
