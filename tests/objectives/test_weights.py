"""Weights of the KL terms."""

from __future__ import annotations

import pyro
import pytest
from pyro.infer import Trace_ELBO

from pyro_dsae import KLWeights, elbo_terms, piecewise_linear


def test_kl_weights_scale_the_kl_terms_of_the_loss(make_pair, x):
    model, guide = make_pair()
    pyro.set_rng_seed(3)
    terms = {name: float(value.sum()) for name, value in elbo_terms(model, guide, x).items()}
    pyro.set_rng_seed(3)
    with KLWeights({"f": 2.5, "z": 0.25}):
        loss = Trace_ELBO()(model, guide)(x)
    expected = -terms["log_likelihood"] + 2.5 * terms["kl_f"] + 0.25 * terms["kl_z"]
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_kl_weight_must_not_be_negative():
    with pytest.raises(ValueError, match=r"must not be negative, got \{'z': -1\}"):
        KLWeights({"f": 1, "z": -1})


def test_piecewise_linear():
    weight = piecewise_linear((100, 10.0), (200, 2.0), (300, 2.0), (400, 0.0))
    steps = [0, 100, 150, 200, 250, 375, 1000]
    assert [weight(s) for s in steps] == [10.0, 10.0, 6.0, 2.0, 2.0, 0.5, 0.0]
    with pytest.raises(ValueError, match="increasing steps"):
        piecewise_linear((5, 1.0), (5, 2.0))
