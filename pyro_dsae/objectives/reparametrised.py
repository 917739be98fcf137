r"""The objective of training.

.. math:: E_{q(f, z \mid x)} \left[\log p(x, f, z) - \log q(f, z \mid x)\right]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro.distributions.util import scale_and_mask
from pyro.infer import Trace_ELBO
from pyro.infer.util import is_identically_zero, is_validation_enabled
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor


class ReparametrisedELBO(Trace_ELBO):
    """:class:`pyro.infer.Trace_ELBO` where every latent is reparametrised, as those of our guides are.

    Value and gradient are the same. Pyro's reads each term back from the device, to tell the value of the
    bound from its surrogate; here the two are one, and nothing waits for the accelerator. With Pyro's
    validation on, or several particles, it goes by Pyro's traces and their checks; else it adds up
    log-probabilities as they come.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> pyro.set_rng_seed(0)
    >>> ours = ReparametrisedELBO().loss(model, guide, x)
    >>> pyro.set_rng_seed(0)
    >>> abs(ours / pyro.infer.Trace_ELBO().loss(model, guide, x) - 1) < 1e-5
    True
    """

    def differentiable_loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        """The negative bound in nats, summed over the sequences.

        :raises ValueError: if a latent has no ``rsample``.
        """
        if is_validation_enabled() or self.num_particles > 1:
            return self._by_traces(model, guide, *args, **kwargs)
        with LogProb() as q:
            guide(*args, **kwargs)
        for name, law in q.laws.items():
            _check_rsample(name, getattr(law, "has_rsample", False))
        with LogProb(q.values) as p:
            model(*args, **kwargs)
        return q.total - p.total

    def _by_traces(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        loss: Any = 0.0
        for p, q in self._get_traces(model, guide, args, kwargs):
            for name, site in q.nodes.items():
                if "score_parts" in site:
                    parts = site["score_parts"]
                    _check_rsample(name, is_identically_zero(parts.score_function))
            loss = loss + (q.log_prob_sum() - p.log_prob_sum()) / self.num_particles
        return loss


def _check_rsample(site: str, has_rsample: bool) -> None:
    if not has_rsample:
        raise ValueError(f"site {site!r} has no rsample: give fit elbo=Trace_ELBO()")


class LogProb(Messenger):
    """Add up the log-probabilities of all sites, at given values of the latents or as they are drawn.

    :param values: of latents, by site.
    """

    def __init__(self, values: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.values = dict(values or {})
        self.laws: dict[str, Any] = {}
        self.total: Any = 0.0

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.values and not msg["is_observed"]:
            msg["value"], msg["done"] = self.values[msg["name"]], True

    def _pyro_post_sample(self, msg: Any) -> None:
        if not msg["is_observed"]:
            self.values[msg["name"]] = msg["value"]
        if not site_is_subsample(msg):
            log_prob = msg["fn"].log_prob(msg["value"])
            self.total = self.total + scale_and_mask(log_prob, msg["scale"], msg["mask"]).sum()
            if not msg["is_observed"]:
                self.laws[msg["name"]] = msg["fn"]
