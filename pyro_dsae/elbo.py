r"""The objective of training.

.. math:: E_{q(f, z \mid x)} \left[\log p(x, f, z) - \log q(f, z \mid x)\right]
"""

from __future__ import annotations

from typing import Any

from pyro.infer import Trace_ELBO
from pyro.infer.util import is_identically_zero
from torch import Tensor


class ReparametrisedELBO(Trace_ELBO):
    """:class:`pyro.infer.Trace_ELBO` where every latent is reparametrised, as those of our guides are.

    Value and gradient are the same. Pyro's reads each term back from the device, to tell the value of the
    bound from its surrogate; here the two are one, and nothing waits for the accelerator.
    """

    def differentiable_loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        """The negative bound in nats, summed over the sequences.

        :raises ValueError: if a latent has no ``rsample``.
        """
        loss: Any = 0.0
        for p, q in self._get_traces(model, guide, args, kwargs):
            for name, site in q.nodes.items():
                parts = site.get("score_parts")
                if parts is not None and not is_identically_zero(parts.score_function):
                    raise ValueError(f"site {name!r} has no rsample: give fit elbo=Trace_ELBO()")
            loss = loss + (q.log_prob_sum() - p.log_prob_sum()) / self.num_particles
        return loss
