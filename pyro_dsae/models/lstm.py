r"""Deterministic dynamics, the baselines of Li & Mandt (ICML 2018), section 4.3.

.. math:: p(x_{1:T}, z, f) = p(f)\, p(z) \prod_{t=1}^T p(x_t \mid h_t, f)

z is one vector a sequence, ``(N, z_dim)``, without an axis of time: all that is to come is in it.
"""

from __future__ import annotations

import torch
from pyro import distributions as dist
from torch import Tensor, nn

from ..nn import LSTMRollout
from ..program import Latents
from .base import SequenceModel


class _Deterministic(SequenceModel):
    @property
    def latents(self) -> Latents:
        return {"f": (self.f_dim,), "z": (self.z_dim,)}

    def state_dim(self, z_dim: int, hidden: int) -> int:
        return hidden

    def states(self, z: Tensor, num_frames: int) -> Tensor:
        return self.prior(z, num_frames)

    def p_z(self, f: Tensor, num_frames: int) -> dist.TorchDistribution:
        zero = torch.zeros(self.z_dim, dtype=f.dtype, device=f.device)
        return dist.Normal(zero, torch.ones_like(zero)).to_event(1)


class LSTMf(_Deterministic):
    """z is where the dynamics start: h_0 from z, h_t = LSTM(h_t-1).

    The arguments are those of :class:`~pyro_dsae.models.base.SequenceModel`; ``prior`` maps z and the number
    of frames to h_1:T, ``(N, T, hidden)``, see :class:`~pyro_dsae.nn.LSTMRollout`.

    >>> model = LSTMf((1, 16, 16), f_dim=8, z_dim=4, channels=4, hidden=16)
    >>> pyro.condition(model, data={"z": torch.zeros(2, 4)})(batch_size=2, num_frames=30).shape
    torch.Size([2, 30, 1, 16, 16])
    """

    def default_prior(self, f_dim: int, z_dim: int, hidden: int) -> nn.Module:
        return LSTMRollout(z_dim, hidden, feed=False)


class LSTMc(_Deterministic):
    """z drives the dynamics: h_0 = 0, h_t = LSTM(h_t-1, z), as in FHVAE.

    The arguments are those of :class:`LSTMf`.

    >>> LSTMc((1, 16, 16), f_dim=8, z_dim=4, channels=4, hidden=16).latents
    {'f': (8,), 'z': (4,)}
    """

    def default_prior(self, f_dim: int, z_dim: int, hidden: int) -> nn.Module:
        return LSTMRollout(z_dim, hidden, feed=True)
