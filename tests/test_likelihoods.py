"""Likelihoods of frames."""

from __future__ import annotations

import pytest
import torch
from pyro import distributions as dist

from pyro_dsae.likelihoods import Bernoulli, Normal


@pytest.mark.parametrize("events", [None, 0, 1, 3])
def test_bernoulli_is_torchs_on_intensities(events):
    logits = 5 * torch.randn(4, 3, 6, 6, requires_grad=True)
    value = torch.rand(2, 4, 3, 6, 6)
    ours = Bernoulli()(logits).to_event(events)
    theirs = dist.Bernoulli(logits=logits, validate_args=False).to_event(events)
    assert (ours.batch_shape, ours.event_shape) == (theirs.batch_shape, theirs.event_shape)
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value))
    gradients = [
        torch.autograd.grad(law.log_prob(value).sum(), logits, retain_graph=True)[0]
        for law in (ours, theirs)
    ]
    torch.testing.assert_close(*gradients)
    wider, narrower = (law.expand((7, *law.batch_shape)) for law in (ours, theirs))
    assert wider.batch_shape == narrower.batch_shape
    torch.testing.assert_close(wider.log_prob(value[0]), narrower.log_prob(value[0]))


@pytest.mark.parametrize("learn_scale", [True, False])
def test_a_normal_starts_with_the_scale_it_is_given(learn_scale):
    likelihood = Normal(0.3, learn_scale)
    law = likelihood(torch.zeros(2))
    torch.testing.assert_close(law.stddev, torch.full((2,), 0.3), rtol=0, atol=1e-3)
    assert [p.requires_grad for p in likelihood.parameters()] == [learn_scale]


@pytest.mark.parametrize("scale", [1e-3, 0.5, 1, 100.0, 1e6])
def test_the_scale_is_what_was_asked_for(scale):
    law = Normal(scale)(torch.zeros(3))
    assert law.scale[0].item() == pytest.approx(scale + 1e-4, rel=1e-4)
