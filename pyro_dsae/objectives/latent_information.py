r"""What is drawn shows: the mutual information of InfoGAN (Chen et al., NIPS 2016), for a VAE.

.. math:: I(f, z; \hat x) \ge H(f, z) + E_{p(f, z)} \log q(f, z \mid \hat x(f, z)),\quad
          R = -E_{p(f, z)} \log q(f, z \mid \hat x(f, z))

The guide is their auxiliary network Q. It is asked about mean frames of latents that the prior has drawn:
the sleep phase of a wake-sleep algorithm, but here the decoder learns too. The prior does not, or it would
draw what is easily told.
Knows nothing of the data.
"""

from __future__ import annotations

from torch import Tensor

from .base import Regularised, Seen


class LatentInformation(Regularised):
    """No part of f or z is without effect on the frames.

    :param weight: InfoGAN's lambda, 1 there for a GAN; a frame has thousands of pixels and z few numbers, so
        the ELBO outweighs it.
    """

    def penalty(self, seen: Seen) -> Tensor:
        frames, drawn = seen.decode({})
        latents = {site: value for site, value in drawn.values.items() if site != "x"}
        again = seen.encode(frames, latents)  # a law of z given f is asked at the f that was drawn
        f, z = (
            again.laws[site].log_prob(drawn.values[site]) for site in (seen.content, seen.dynamics)
        )
        return -(f + z).mean()
