"""The objective of training is Trace_ELBO's, value and gradient."""

from __future__ import annotations

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro.infer import Trace_ELBO

import pyro_dsae
from pyro_dsae.elbo import ReparametrisedELBO
from pyro_dsae.handlers import KLWeights


@pytest.mark.parametrize("guide", [pyro_dsae.Factorised, pyro_dsae.Full])
@pytest.mark.parametrize("particles", [1, 3])
def test_same_value_and_gradient_as_pyros(make_pair, x, guide, particles):
    found = []
    for elbo in (Trace_ELBO, ReparametrisedELBO):
        pair = elbo(num_particles=particles)(*make_pair(guide=guide))
        pyro.set_rng_seed(3)
        with KLWeights({"f": 0.5, "z": 0.0}):
            loss = pair(x)
        loss.backward()
        found.append((loss.detach(), [p.grad for p in pair.parameters()]))
    (value, gradients), (own, own_gradients) = found
    torch.testing.assert_close(own, value, rtol=1e-5, atol=0.0)
    for gradient, ours in zip(gradients, own_gradients, strict=True):
        torch.testing.assert_close(ours, gradient, rtol=1e-3, atol=1e-4)


def test_a_latent_that_cannot_be_reparametrised():
    def program(observed=None):
        with pyro.plate("sequences", 2):
            k = pyro.sample("k", dist.Bernoulli(torch.tensor([0.3, 0.6])))
            pyro.sample("x", dist.Normal(k, 1.0), obs=observed)

    def guide(observed=None):
        with pyro.plate("sequences", 2):
            pyro.sample("k", dist.Bernoulli(torch.tensor([0.5, 0.5])))

    with pytest.raises(ValueError, match=r"site 'k' has no rsample: give fit elbo=Trace_ELBO\(\)"):
        ReparametrisedELBO().differentiable_loss(program, guide, torch.zeros(2))


def test_nothing_is_read_back_from_the_device(make_pair, x):
    """On the meta device there are no values: reading one would raise."""
    pair = [module.to("meta") for module in make_pair()]
    with pyro.validation_enabled(False):
        assert ReparametrisedELBO()(*pair)(x.to("meta")).is_meta
        with pytest.raises(RuntimeError, match="meta"):
            Trace_ELBO()(*pair)(x.to("meta"))
