"""Weights are announced to Pyro's handlers, except where nobody asks for them."""

from __future__ import annotations

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from torch import nn

import pyro_dsae
from pyro_dsae.program import Program, unannounced


def announced(program, x) -> set[str]:
    return set(poutine.trace(program, param_only=True).get_trace(x).nodes)


def test_every_weight_is_announced_by_default(make_pair, x):
    for program in make_pair(guide=pyro_dsae.Full):
        weights = {id(p) for p in program.parameters()}
        sites = poutine.trace(program, param_only=True).get_trace(x).nodes.values()
        assert {id(site["value"].unconstrained()) for site in sites if "value" in site} == weights


def test_svi_trains_a_weight_that_no_network_holds():
    class Scaled(Program):
        def __init__(self):
            super().__init__()
            self.loc = nn.Parameter(torch.tensor(3.0))

        def forward(self, x):
            with pyro.plate("sequences", len(x)):
                pyro.sample("x", dist.Normal(self.loc, 1.0), obs=x)

    program = Scaled()
    svi = SVI(program, lambda x: None, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO())
    svi.step(torch.zeros(4))
    assert float(program.loc.detach()) == pytest.approx(2.9, abs=1e-4)


def test_none_within_unannounced(make_pair, x):
    model, guide = make_pair()
    with unannounced():
        assert announced(model, x) == announced(guide, x) == set()
    assert announced(model, x)


def test_fit_announces_nothing_and_then_all_again(make_pair, x):
    seen = []
    model, guide = make_pair()

    class Listener(poutine.messenger.Messenger):
        def _pyro_param(self, msg):
            seen.append(msg["name"])

    with Listener():
        pyro_dsae.fit(model, guide, x, steps=2, batch_size=4, device="cpu", progress=False)
    assert not seen
    assert announced(guide, x)
