"""Averages of weights: their profile, what fit keeps and validates, going on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pyro_dsae
from pyro_dsae import fit
from pyro_dsae.training.averages import Averages

RUN = {"steps": 6, "batch_size": 4, "schedule": "constant", "device": "cpu", "progress": False}


def weights(*modules):
    return torch.cat([p.detach().flatten() for m in modules for p in m.parameters()])


def after_each_step(pair, x, **options):
    """The weights that ``fit`` ends with, and the raw ones of every step."""
    seen = []
    fit(*pair, x, callback=lambda history: seen.append(weights(*pair)), **{**RUN, **options})
    return weights(*pair), torch.stack(seen)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_the_share_of_each_step(share):
    """(s^a - (s-1)^a) / t^a with a = 1 / share; a share of 1 is the mean."""
    module = nn.Linear(1, 1, bias=False)
    averages, values = Averages(module, nn.Identity(), share), torch.randn(7)
    for value in values:
        module.weight.data.fill_(value)
        averages.see(module, nn.Identity())
    steps = torch.arange(8.0) ** (1 / share)
    expected = (steps.diff() / steps[-1] * values).sum()
    assert averages.pair[0].weight.item() == pytest.approx(expected.item(), rel=1e-5)
    if share == 1:
        assert expected == pytest.approx(values.mean().item())


def test_fit_keeps_the_average_and_trains_as_without(make_pair, x):
    torch.manual_seed(0)
    kept, raw = after_each_step(make_pair(), x, average=1.0)
    torch.manual_seed(0)
    last, plain = after_each_step(make_pair(), x)
    assert torch.equal(raw, plain) and torch.equal(last, plain[-1])
    assert torch.allclose(kept, raw.mean(0), atol=1e-6)
    assert not torch.allclose(kept, last, atol=1e-4)


def test_validation_asks_the_average(make_pair, x):
    pair = make_pair()
    options = {**RUN, "average": 0.5, "validation": x, "validate_every": 6}
    history = fit(*pair, x, **options)
    expected = pyro_dsae.evaluate_elbo(*pair, x, batch_size=4)["elbo"]
    assert history.validation[-1]["elbo"] == pytest.approx(expected, rel=1e-6)


def test_a_run_goes_on_to_the_same_average(make_pair, x, tmp_path):
    torch.manual_seed(0)
    whole, _ = after_each_step(make_pair(), x, average=0.5)

    def stop(history):
        if history.step == 3:
            raise RuntimeError

    options = {**RUN, "average": 0.5, "checkpoint_dir": tmp_path, "checkpoint_every": 3}
    torch.manual_seed(0)
    with pytest.raises(RuntimeError):
        fit(*make_pair(), x, callback=stop, **{**options, "checkpoint_every": 2})
    pair = make_pair()
    fit(*pair, x, resume=True, **options)
    assert torch.allclose(weights(*pair), whole, atol=1e-6)
    again = make_pair()  # the run has ended: its average is there all the same
    fit(*again, x, resume=True, **options)
    assert torch.equal(weights(*again), weights(*pair))


@pytest.mark.parametrize(("before", "now"), [(None, 0.5), (0.5, None)])
def test_going_on_with_another_kind_of_run(make_pair, x, tmp_path, before, now):
    fit(*make_pair(), x, average=before, checkpoint_dir=tmp_path, **RUN)
    with pytest.raises(ValueError, match="go on with the same `average`"):
        fit(*make_pair(), x, average=now, checkpoint_dir=tmp_path, resume=True, **RUN)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("nan")])
def test_shares_that_are_none(make_pair, x, share):
    with pytest.raises(ValueError, match="average must be a share of the run"):
        fit(*make_pair(), x, average=share, **RUN)


def test_a_prior_that_model_and_guide_share_stays_shared(x):
    sizes = {"f_dim": 4, "z_dim": 3, "channels": 2, "hidden": 8}
    model = pyro_dsae.DSAE(x.shape[2:], prior="linear_gaussian", **sizes)
    guide = pyro_dsae.Structured(x.shape[2:], prior=model.prior, **sizes)
    averaged, its_guide = Averages(model, guide, 0.5).pair
    assert averaged.prior is its_guide.prior
    fit(model, guide, x, average=0.5, **RUN)
    assert model.prior is guide.prior
