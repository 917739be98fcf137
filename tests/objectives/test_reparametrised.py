"""The objective of training is Trace_ELBO's, value and gradient."""

from __future__ import annotations

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro import poutine
from pyro.infer import Trace_ELBO

import pyro_dsae
from pyro_dsae.objectives import KLWeights, ReparametrisedELBO


@pytest.mark.parametrize("guide", [pyro_dsae.Factorised, pyro_dsae.Full])
@pytest.mark.parametrize("particles", [1, 2])
@pytest.mark.parametrize("checked", [True, False])
def test_same_value_and_gradient_as_pyros(make_pair, x, guide, particles, checked):
    found = []
    for elbo in (Trace_ELBO, ReparametrisedELBO):
        pair = elbo(num_particles=particles)(*make_pair(guide=guide))
        pyro.set_rng_seed(3)
        with KLWeights({"f": 0.5, "z": 0.0}), pyro.validation_enabled(checked):
            loss = pair(x)
        loss.backward()
        found.append((loss.detach(), [p.grad for p in pair.parameters()]))
    (value, gradients), (own, own_gradients) = found
    torch.testing.assert_close(own, value, rtol=1e-5, atol=0.0)
    for gradient, ours in zip(gradients, own_gradients, strict=True):
        torch.testing.assert_close(ours, gradient, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("checked", [True, False])
def test_scales_masks_and_auxiliary_sites_count_as_in_pyro(checked):
    mask = torch.tensor([True, False, True])

    def program(x):
        with pyro.plate("sequences", 6, subsample_size=3) as rows, poutine.mask(mask=mask):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            with poutine.scale(scale=2.0):
                pyro.sample("x", dist.Normal(z, 1.0), obs=x[rows])

    def guide(x):
        with pyro.plate("sequences", 6, subsample_size=3) as rows, poutine.mask(mask=mask):
            shift = pyro.sample("shift", dist.Normal(x[rows], 0.5), infer={"is_auxiliary": True})
            pyro.sample("z", dist.Normal(shift, 0.3))

    found = []
    for elbo in (Trace_ELBO(), ReparametrisedELBO()):
        pyro.set_rng_seed(1)
        with pyro.validation_enabled(checked):
            found.append(elbo.differentiable_loss(program, guide, torch.randn(6)))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("checked", [True, False])
def test_a_latent_that_cannot_be_reparametrised(checked):
    def program(observed=None):
        with pyro.plate("sequences", 2):
            k = pyro.sample("k", dist.Bernoulli(torch.tensor([0.3, 0.6])))
            pyro.sample("x", dist.Normal(k, 1.0), obs=observed)

    def guide(observed=None):
        with pyro.plate("sequences", 2):
            pyro.sample("k", dist.Bernoulli(torch.tensor([0.5, 0.5])))

    message = r"site 'k' has no rsample: give fit elbo=Trace_ELBO\(\)"
    with pytest.raises(ValueError, match=message), pyro.validation_enabled(checked):
        ReparametrisedELBO().differentiable_loss(program, guide, torch.zeros(2))


def test_nothing_is_read_back_from_the_device(make_pair, x):
    """On the meta device there are no values: reading one would raise."""
    pair = [module.to("meta") for module in make_pair()]
    with pyro.validation_enabled(False):
        assert ReparametrisedELBO()(*pair)(x.to("meta")).is_meta
        with pytest.raises(RuntimeError, match="meta"):
            Trace_ELBO()(*pair)(x.to("meta"))
