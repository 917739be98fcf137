r"""What an encoding costs: the two sides of the ELBO as rate and distortion.

.. math:: -\mathrm{ELBO} = \underbrace{\mathrm{KL}_f + \mathrm{KL}_{z_{1:T}}}_{R}
          + \underbrace{-E_q \log p(x \mid f, z_{1:T})}_{D}

(Alemi et al., ICML 2018). R is what bits-back coding (Hinton & van Camp, COLT 1993; Townsend et al., ICLR
2019) sends of the latents. f is paid once, so that its share of each frame falls with T: the "efficient
encoding" of Li & Mandt (ICML 2018). D is the rest of a lossless code only where the likelihood is a law of
what is sent: not that of densities, nor of ``bernoulli`` on intensities. There compare D of one likelihood
with itself alone.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.utils.data import Dataset

from ..program import sites_of
from ..training.evaluation import in_bits, mean_terms


def rates(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset | Tensor,
    *,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, float]:
    """Rate and distortion, means over ``data`` of one draw each; bits a frame, or as the names say.

    ``f_bits_per_frame`` is that of all sites of the model's content, ``z_bits_per_frame`` of its dynamics;
    ``bits_per_frame`` is the rate, both together.

    :param data: as of :func:`~pyro_dsae.evaluate_elbo`; frames are those present.
    :returns: also ``f_bits``, a sequence, ``distortion_bits_per_frame``, ``distortion_bits_per_dim`` and
        ``bits_per_dim``, which is -ELBO.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> rates(model, guide, x)["bits_per_frame"] > 0
    True
    """
    if not len(data):  # type: ignore[arg-type]
        raise ValueError("data must hold at least 1 sequence, got 0")
    means = mean_terms(model, guide, data, batch_size, seed)
    num_frames, bit = means["frames"], math.log(2)

    def nats(sites: tuple[str, ...]) -> float:
        return sum(means.get(f"kl_{site}", 0.0) for site in sites)

    f_nats = nats(sites_of(model, "content"))
    z_nats = nats(sites_of(model, "dynamics"))
    distortion = -means["log_likelihood"]
    return {
        "f_bits": f_nats / bit,
        "f_bits_per_frame": f_nats / (num_frames * bit),
        "z_bits_per_frame": z_nats / (num_frames * bit),
        "bits_per_frame": (f_nats + z_nats) / (num_frames * bit),
        "distortion_bits_per_frame": distortion / (num_frames * bit),
        "distortion_bits_per_dim": distortion / (means["dims"] * bit),
        "bits_per_dim": in_bits(means)["bits_per_dim"],
    }
