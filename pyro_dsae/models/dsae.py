r"""The disentangled sequential autoencoder of Li & Mandt (ICML 2018), section 2.

.. math:: p(x_{1:T}, z_{1:T}, f) = p(f) \prod_{t=1}^T p(z_t \mid z_{<t})\, p(x_t \mid z_t, f)
"""

from __future__ import annotations

from typing import Any

from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from ..priors import AutoregressiveNormal, Choice, Prior, make_prior
from .base import SequenceModel


class DSAE(SequenceModel):
    """Ordered frames: the dynamics z_1:T have a prior of their own and do not depend on f.

    :param prior: p(z_1:T): a name of :data:`~pyro_dsae.priors.PRIORS`, a dict of a name and options, or a
        :class:`~pyro_dsae.priors.Prior`; default ``"autoregressive"``. A module that is none is taken as the
        transition p(z_t | z_<t) of an :class:`~pyro_dsae.priors.AutoregressiveNormal`.
    :param residual: let the prior's mean be a step from z_t-1, for priors that have such an option.
    :param options: those of :class:`~pyro_dsae.models.base.SequenceModel`.

    >>> model = DSAE((3, 16, 16), f_dim=8, z_dim=4, channels=4, hidden=16, prior="mixture")
    >>> model(batch_size=5, num_frames=20).shape
    torch.Size([5, 20, 3, 16, 16])
    >>> pyro.condition(model, data={"f": torch.zeros(5, 8)})(batch_size=5).shape
    torch.Size([5, 8, 3, 16, 16])
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...] = (3, 64, 64),
        *,
        prior: Choice | None = None,
        residual: bool = False,
        **options: Any,
    ) -> None:
        self.residual = residual
        self.chosen: dict[str, Any] = {"name": "autoregressive"}
        if residual:
            self.chosen["residual"] = True
        if isinstance(prior, nn.Module):
            if residual:
                raise ValueError("residual is of priors by name: give it to the one of your own")
            options["prior"] = prior
        elif prior is not None:
            self.chosen |= {"name": prior} if isinstance(prior, str) else prior
        super().__init__(frame_shape, **options)

    def default_prior(self, f_dim: int, z_dim: int, hidden: int) -> nn.Module:
        return make_prior(self.chosen, z_dim, hidden=hidden)

    def p_z(self, f: Tensor, num_frames: int) -> TorchDistribution:
        if isinstance(self.prior, Prior):
            return self.prior(num_frames)
        return AutoregressiveNormal(self.prior, num_frames, self.z_dim)
