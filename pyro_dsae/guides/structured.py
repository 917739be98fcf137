r"""The posterior of the structured variational autoencoder (Johnson et al., NIPS 2016), section 4.

.. math:: q(f, z_{1:T} \mid x_{1:T}) = q(f \mid x_{1:T})\, q(z_{1:T} \mid x_{1:T}),\quad
          q(z_{1:T} \mid x_{1:T}) \propto p(z_{1:T}) \prod_{t=1}^T \mathcal N\big(z_t; m(x_t), s^2(x_t)\big)
"""

from __future__ import annotations

from typing import Any

from pyro import distributions as dist
from torch import Tensor, nn

from ..priors import Prior
from .factorised import Factorised


class Structured(Factorised):
    """f as in :class:`~pyro_dsae.guides.Factorised`; z by exact inference in the prior, where the network
    says of each frame what a measurement would: a mean and how far it is to be trusted.

    :param frame_shape: ``(channels, height, width)``, sides of 8 and more, or ``(bins,)``.
    :param prior: the model's own, ``model.prior``, shared with it. Its law must have a
        ``conjugate_update`` with Normals, as that of :class:`~pyro_dsae.priors.LinearGaussian` has.
        :func:`pyro_dsae.load` gives the guide that of the model; ``from_pretrained`` has to be given it.
    :param options: the other arguments of :class:`~pyro_dsae.guides.base.SequenceGuide`; ``z_dim`` is the
        prior's.
    :raises ValueError: if the prior is none, has no such law, or another ``z_dim``.
    """

    of_the_model = frozenset({"prior"})

    def __init__(
        self, frame_shape: tuple[int, ...] = (3, 64, 64), *, prior: nn.Module, **options: Any
    ) -> None:
        if not isinstance(prior, Prior):
            raise ValueError(f"prior must be the model's, a Prior, got {prior!r}")
        z_dim = options.setdefault("z_dim", prior.z_dim)
        if z_dim != prior.z_dim:
            raise ValueError(f"prior has a z_dim of {prior.z_dim}, the guide of {z_dim}")
        super().__init__(frame_shape, **options)
        self.prior = prior
        if type(prior(1)).conjugate_update is dist.TorchDistribution.conjugate_update:
            raise ValueError(
                "prior must have a law with a conjugate_update, such as LinearGaussian, "
                f"got {type(prior).__name__}"
            )

    def law_of_z(
        self, loc: Tensor, scale: Tensor, mask: Tensor | None = None
    ) -> dist.TorchDistribution:
        seen = super().law_of_z(loc, scale)
        law = self.prior(loc.shape[-2])
        return (law.conjugate_update(seen) if mask is None else law.conjugate_update(seen, mask))[0]
