"""What the priors share: a module whose call gives one distribution, and laws that follow their own past."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints

Shape = torch.Size | list[int] | tuple[int, ...]


class Prior(nn.Module):
    """A law of z_1:T with its network: ``prior(T)`` is one distribution over ``(T, z_dim)``.

    That distribution has ``log_prob``, ``sample`` and ``prefix_condition``, and for sequences of different
    lengths ``log_prefix(z, within)``, log p(z_1:n) of each. One of your own is a subclass.

    >>> class Walk(Prior):
    ...     z_dim = 2
    ...
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.register_buffer("zero", torch.zeros(2))  # goes where the model goes
    ...
    ...     def forward(self, num_frames):
    ...         eye, zero = torch.eye(2, device=self.zero.device), self.zero
    ...         step = pyro.distributions.Normal(zero, 0.1).to_event(1)
    ...         return pyro.distributions.GaussianHMM(step, eye, step, eye, step, duration=num_frames)
    >>> Walk()(8).sample().shape
    torch.Size([8, 2])
    """

    z_dim: int

    @abstractmethod
    def forward(self, num_frames: int) -> TorchDistribution:
        """p(z_1:T) for T = ``num_frames``, of event shape ``(num_frames, z_dim)``."""


class ContentPrior(nn.Module):
    """A law of f with its network: ``prior()`` is one distribution over ``(f_dim,)``.

    >>> class Wide(ContentPrior):
    ...     f_dim = 8
    ...
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.register_buffer("centre", torch.zeros(8))
    ...
    ...     def forward(self):
    ...         return pyro.distributions.Normal(self.centre, 2.0).to_event(1)
    >>> model = pyro_dsae.DSAE((200,), f_dim=8, z_dim=4, hidden=16, content_prior=Wide())
    """

    f_dim: int

    @abstractmethod
    def forward(self) -> TorchDistribution:
        """p(f), of event shape ``(f_dim,)``."""


def check_past(z_past: Tensor, num_frames: int, z_dim: int) -> None:
    """ValueError unless it is ``(*batch, t, z_dim)`` with 0 < t < ``num_frames``."""
    if z_past.dim() < 2 or z_past.shape[-1] != z_dim:
        raise ValueError(f"z_past must be (*batch, time, {z_dim}), got {tuple(z_past.shape)}")
    if not 0 < z_past.shape[-2] < num_frames:
        raise ValueError(
            f"z_past must have between 1 and {num_frames - 1} steps "
            f"(the law has {num_frames}), got {z_past.shape[-2]}"
        )


class CausalLaw(TorchDistribution):
    r"""p(z_1:T) = \prod_t p(z_t | z_<t), of event shape ``(num_frames, z_dim)``; a subclass gives the steps.

    :param num_frames: T, the number of steps of the event.
    :param z_dim: size of one step.
    :param past: ``(*batch_shape, t, z_dim)``, steps already known, which the event follows.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 (torch's own convention)
    support = constraints.independent(constraints.real, 2)

    def __init__(
        self,
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
        self.num_frames, self.z_dim, self.past = num_frames, z_dim, past
        super().__init__(
            torch.Size(batch_shape), torch.Size((num_frames, z_dim)), validate_args=validate_args
        )

    @abstractmethod
    def _log_steps(self, z: Tensor) -> Tensor:
        """log p(z_s | z_<s) of all steps s of z, ``(batch, t + T, z_dim)``: ``(batch, t + T)``."""

    @abstractmethod
    def _draw(self, past: Tensor) -> Tensor:
        """T steps, ``(batch, T, z_dim)``, that follow ``past``, ``(batch, t, z_dim)``; t may be 0."""

    @abstractmethod
    def _like(self) -> Tensor:
        """A tensor of the dtype and on the device in which samples are drawn."""

    def _with(self, num_frames: int, past: Tensor | None, batch_shape: Shape) -> Any:
        """This law for another past, T and batch."""
        law = copy.copy(self)
        CausalLaw.__init__(
            law,
            num_frames,
            self.z_dim,
            past=past,
            batch_shape=batch_shape,
            validate_args=self._validate_args,
        )
        return law

    def _past(self, shape: torch.Size, like: Tensor) -> Tensor:
        """The known past, as ``(prod(shape), t, z_dim)``."""
        if self.past is None:
            return like.new_empty(shape.numel(), 0, self.z_dim)
        past = self.past.expand(*shape, *self.past.shape[-2:])
        return past.reshape(-1, *past.shape[-2:]).to(like)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        past = self.past
        if past is not None:
            past = past.expand(*batch_shape, *past.shape[-2:])
        return self._with(self.num_frames, past, batch_shape)

    def log_steps(self, value: Tensor) -> Tensor:
        """log p(z_t | z_<t) of each step, ``(*broadcast(value.shape[:-2], batch_shape), T)``."""
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape[:-2], self.batch_shape)
        z = value.expand(shape + self.event_shape).reshape(-1, *self.event_shape)
        steps = self._log_steps(torch.cat([self._past(shape, z), z], dim=1))
        return steps[:, -self.num_frames :].reshape(*shape, self.num_frames)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z_1:T), of shape ``broadcast(value.shape[:-2], batch_shape)``."""
        return self.log_steps(value).sum(-1)

    def log_prefix(self, value: Tensor, within: Tensor) -> Tensor:
        """log p(z_1:n) for lengths n, up to which ``within``, ``(*batch, T)``, is True."""
        return self.log_steps(value).where(within, 0.0).sum(-1)

    def _sample(self, sample_shape: Shape) -> Tensor:
        shape = torch.Size(sample_shape) + self.batch_shape
        z = self._draw(self._past(shape, self._like()))
        if not torch.isfinite(z).all():
            step = int((~z.isfinite()).any(-1).any(0).nonzero()[0])
            raise ValueError(f"{type(self).__name__} drew a z that is not finite, from step {step}")
        return z.reshape(shape + self.event_shape)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw ``(*sample_shape, *batch_shape, T, z_dim)`` step by step.

        :raises ValueError: if a draw is not finite.
        """
        with torch.no_grad():
            return self._sample(sample_shape)

    def prefix_condition(self, z_past: Tensor) -> Any:
        """The law of the steps after ``z_past``, ``(*batch, t, z_dim)`` with t < ``num_frames``.

        Named after :meth:`pyro.distributions.GaussianHMM.prefix_condition`: the result has
        ``num_frames - t`` steps, and ``p(z_past) * p(future | z_past) = p(z_1:T)``.
        """
        check_past(z_past, self.num_frames, self.z_dim)
        shape = torch.broadcast_shapes(z_past.shape[:-2], self.batch_shape)
        past = z_past.expand(*shape, *z_past.shape[-2:])
        if self.past is not None:
            past = torch.cat([self.past.expand(*shape, *self.past.shape[-2:]), past], dim=-2)
        return self._with(self.num_frames - z_past.shape[-2], past, shape)
