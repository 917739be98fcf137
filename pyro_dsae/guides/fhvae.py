r"""The posterior of the factorised hierarchical VAE (Hsu, Zhang & Glass, NeurIPS 2017).

.. math:: q(z_1, z_2, \mu_2 \mid x_{1:T}) = q(z_2 \mid x_{1:T})\, q(z_1 \mid x_{1:T}, z_2)\,
          \delta(\mu_2 - \tilde\mu_2^{(i)})

with :math:`\tilde\mu_2^{(i)}` learned for each training utterance i, and the discriminative term

.. math:: \alpha \log p(i \mid z_2),\quad p(i \mid z_2) \propto \exp\big(-|\bar z_2 - \tilde\mu_2^{(i)}|^2
          / (2 \sigma^2)\big)
"""

from __future__ import annotations

import pyro
import torch
from pyro import distributions as dist
from pyro import poutine
from torch import Tensor, nn
from torch.nn import functional as F

from .._numbers import check_whole
from ..nn import (
    Channels,
    GaussianHead,
    along_time,
    beside,
    check_frame_shape,
    check_mask,
    check_sequences,
    filled,
    frame_encoder,
    hidden,
    last_step,
    lengths_of,
)
from ..program import Latents, Program


class FHVAEGuide(Program):
    """For :class:`~pyro_dsae.models.FHVAE`: z_2 and z_1 from the last state of an LSTM each.

    A segment of none of the training utterances has for mu_2 what is likeliest given its own z_2,
    :math:`\\bar z_2 / (1 + \\sigma^2)`.

    :param utterances: how many the training data have, each with its own mu_2.
    :param discriminative: alpha, the weight of telling utterances apart by z_2.
    :param frame_shape: as for the model, and so are ``z1_dim``, ``z2_dim``, ``z2_scale`` (sigma)
        and ``hidden``.
    :param channels: width of the encoder for images, see :func:`~pyro_dsae.nn.frame_encoder`.

    >>> guide = FHVAEGuide((200,), utterances=30, hidden=16)
    >>> {site: tuple(value.shape) for site, value in guide(torch.rand(5, 20, 200)).items()}
    {'mu2': (5, 16), 'z2': (5, 16), 'z1': (5, 16)}
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...] = (200,),
        *,
        utterances: int,
        discriminative: float = 10.0,
        z1_dim: int = 16,
        z2_dim: int = 16,
        z2_scale: float = 0.5,
        channels: Channels = 32,
        hidden: int = 256,
    ) -> None:
        super().__init__()
        if not (utterances >= 1 and 0 <= discriminative < float("inf")):
            raise ValueError(
                "utterances must be at least 1 and discriminative not negative, "
                f"got {utterances} and {discriminative}"
            )
        check_whole(1, utterances=utterances)
        if not 0 < z2_scale < float("inf"):
            raise ValueError(f"z2_scale must be positive, got {z2_scale}")
        self.frame_shape = check_frame_shape(frame_shape)
        check_whole(1, z1_dim=z1_dim, z2_dim=z2_dim, hidden=hidden)
        self.discriminative, self.z2_scale = discriminative, z2_scale
        self.encoder = frame_encoder(self.frame_shape, hidden, channels)
        self.z2_lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.z1_lstm = nn.LSTM(hidden + z2_dim, hidden, batch_first=True)
        self.z2_head, self.z1_head = GaussianHead(hidden, z2_dim), GaussianHead(hidden, z1_dim)
        self.mu2 = nn.Embedding(utterances, z2_dim)
        nn.init.normal_(self.mu2.weight, 0.0, 0.1)

    @property
    def latents(self) -> Latents:
        z1, z2 = (head.dense.out_features // 2 for head in (self.z1_head, self.z2_head))
        return {"mu2": (z2,), "z2": (z2,), "z1": (z1,)}

    def forward(
        self,
        x: Tensor,
        *,
        batch_size: int | None = None,
        num_frames: int | None = None,
        utterance: Tensor | None = None,
        segments: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Sample ``mu2``, ``z2`` and ``z1``, one vector a segment each, given ``x``, ``(N, T, *frame)``.

        :param utterance: which of the training utterances each is of, ``(N,)``; None: of none.
        :param segments: n, how many its utterance has, ``(N,)`` (default 1).
        :param mask: ``(N, T)``, True where a frame is present.
        """
        check_sequences(x, self.frame_shape)
        if utterance is not None and utterance.device.type == "cpu" and len(utterance):
            low, high = (int(end) for end in utterance.aminmax())
            if low < 0 or high >= len(self.mu2.weight):
                raise ValueError(
                    f"utterance must be 0 to {len(self.mu2.weight) - 1}, one of those to learn from, "
                    f"got {low} to {high}"
                )
        lengths, share = None, 1.0 if segments is None else segments.reciprocal()
        if mask is None:
            h = self.encoder(x)
        else:
            check_mask(mask, x)
            h, lengths = filled(self.encoder(hidden(x, mask)), mask), lengths_of(mask)
        with pyro.plate("sequences", len(x), dim=-1):
            loc, scale = self.z2_head(last_step(self.z2_lstm(h)[0], lengths))
            mu2 = loc / (1 + self.z2_scale**2) if utterance is None else self.mu2(utterance)
            # Scaled as in the model: a KL in closed form takes the guide's.
            with poutine.scale(scale=share):
                mu2 = pyro.sample("mu2", dist.Delta(mu2, event_dim=1))
            z2 = pyro.sample("z2", dist.Normal(loc, scale).to_event(1))
            last = last_step(along_time(self.z1_lstm, beside(h, z2.unsqueeze(-2))), lengths)
            z1 = pyro.sample("z1", dist.Normal(*self.z1_head(last)).to_event(1))
            if utterance is not None and self.discriminative:
                distance = torch.cdist(loc, self.mu2.weight).square()
                log_p = -F.cross_entropy(
                    -distance / (2 * self.z2_scale**2), utterance, reduction="none"
                )
                # The ELBO subtracts what the guide adds.
                pyro.factor("discriminative", -self.discriminative * log_p, has_rsample=True)
        return {"mu2": mu2, "z2": z2, "z1": z1}
