r"""The model of unordered frames of Helminger et al. (AABI 2018).

.. math:: p(x_{1:T}, z_{1:T}, f) = p(f) \prod_{i=1}^T p(z_i \mid f)\, p(x_i \mid z_i, f)
"""

from __future__ import annotations

from torch import Tensor, nn

from ..nn import MLP, GaussianHead
from ..priors import ExchangeableNormal
from .base import SequenceModel


class Unordered(SequenceModel):
    """A set of frames, exchangeable given f: what a thing is says how it may look, not when.

    Any subset of the frames follows the same model, so it may train on a few of many.

    The arguments are those of :class:`~pyro_dsae.models.base.SequenceModel`; ``prior`` maps f,
    ``(N, f_dim)``, to the mean and the scale of every z_i, both ``(N, z_dim)``.

    >>> model = Unordered((1, 16, 16), f_dim=8, z_dim=2, channels=4, hidden=16)
    >>> model(batch_size=3, num_frames=10).shape
    torch.Size([3, 10, 1, 16, 16])
    """

    def default_prior(self, f_dim: int, z_dim: int, hidden: int) -> nn.Module:
        return nn.Sequential(
            MLP(f_dim, hidden, hidden), nn.ReLU(), GaussianHead(hidden, z_dim, scale=1.0)
        )

    def p_z(self, f: Tensor, num_frames: int) -> ExchangeableNormal:
        loc, scale = self.prior(f)
        return ExchangeableNormal(loc, scale, num_frames)
