"""Posterior means in place of draws."""

from __future__ import annotations

import torch
from pyro import poutine

import pyro_dsae
from pyro_dsae.handlers import PosteriorMean


def test_posterior_mean_leaves_no_randomness(make_pair, x):
    _, guide = make_pair()
    first, second = (PosteriorMean()(guide)(x) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    many = x[:1].expand(4000, *x.shape[1:])
    draws = pyro_dsae.infer(guide, many, sample=True)["f"]
    assert (draws.mean(0) - first[0][0]).abs().max() < 0.1


def test_posterior_mean_keeps_what_is_given(make_pair, x):
    _, guide = make_pair()
    f = torch.randn(12, 5)
    assert torch.equal(PosteriorMean()(poutine.condition(guide, data={"f": f}))(x)[0], f)
