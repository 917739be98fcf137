r"""The disentangled sequential autoencoder of Li & Mandt (ICML 2018), section 2.

.. math:: p(x_{1:T}, z_{1:T}, f) = p(f) \prod_{t=1}^T p(z_t \mid z_{<t})\, p(x_t \mid z_t, f)
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..nn import LSTMTransition
from ..priors import AutoregressiveNormal
from .base import SequenceModel


class DSAE(SequenceModel):
    """Ordered frames: the dynamics z_1:T have an LSTM prior and do not depend on f.

    :param residual: let the prior's mean be a step from z_t-1, :class:`~pyro_dsae.nn.LSTMTransition`.
    :param options: those of :class:`~pyro_dsae.models.base.SequenceModel`; ``prior`` is the transition
        p(z_t | z_<t), see :class:`~pyro_dsae.priors.AutoregressiveNormal`.
    """

    def __init__(
        self, frame_shape: tuple[int, ...] = (3, 64, 64), *, residual: bool = False, **options: Any
    ) -> None:
        self.residual = residual
        super().__init__(frame_shape, **options)

    def default_prior(self, f_dim: int, z_dim: int, hidden: int) -> nn.Module:
        return LSTMTransition(z_dim, hidden, residual=self.residual)

    def p_z(self, f: Tensor, num_frames: int) -> AutoregressiveNormal:
        return AutoregressiveNormal(self.prior, num_frames, self.z_dim)
