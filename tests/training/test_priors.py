"""The laws of f and z, trained alone on what a guide infers."""

from __future__ import annotations

import copy

import pytest
import torch

import pyro_dsae
from pyro_dsae.priors import CONTENT_PRIORS, PRIORS
from pyro_dsae.training import NonFiniteLossError, fit_priors

SIZES = {"f_dim": 5, "z_dim": 3, "channels": 4, "hidden": 16}
FRAME = (1, 8, 8)


def make_pair(prior="mixture", content_prior="flow", guide=pyro_dsae.Factorised):
    torch.manual_seed(0)
    model = pyro_dsae.DSAE(FRAME, prior=prior, content_prior=content_prior, **SIZES)
    return model, guide(FRAME, **SIZES)


def changed(before, after):
    """The parts whose weights are not what they were."""
    old = before.state_dict()
    return {name.split(".")[0] for name, w in after.state_dict().items() if not w.equal(old[name])}


@pytest.mark.parametrize("content_prior", CONTENT_PRIORS)
@pytest.mark.parametrize("prior", PRIORS)
def test_the_bound_rises_by_the_priors_alone(prior, content_prior):
    model, guide = make_pair(prior, content_prior, pyro_dsae.Full)
    before, other, x = copy.deepcopy(model), copy.deepcopy(guide), torch.rand(12, 6, *FRAME)
    old = pyro_dsae.evaluate_elbo(model, guide, x)
    losses = fit_priors(model, guide, x, steps=15, batch_size=32, lr=2e-2, progress=False)
    new = pyro_dsae.evaluate_elbo(model, guide, x)
    assert len(losses) == 15 and losses[-1] < losses[0] - 1
    assert new["kl_f"] + new["kl_z"] < old["kl_f"] + old["kl_z"] - 1
    assert new["log_likelihood"] == old["log_likelihood"]
    learnt = {"prior"} if content_prior == "normal" else {"prior", "content_prior"}
    assert changed(before, model) == learnt and not changed(other, guide)
    assert not model.training
    assert all(w.grad is None for w in model.parameters())


def test_p_of_z_given_f():
    torch.manual_seed(0)
    model = pyro_dsae.Unordered(FRAME, **SIZES)
    guide, x = pyro_dsae.Pairwise(FRAME, **SIZES), torch.rand(12, 4, *FRAME)
    losses = fit_priors(model, guide, x, steps=15, batch_size=32, lr=2e-2, progress=False)
    assert losses[-1] < losses[0] - 1


def test_a_z_without_time():
    torch.manual_seed(0)
    model = pyro_dsae.LSTMf(FRAME, content_prior="flow", **SIZES)
    guide, before = pyro_dsae.LSTMGuide(FRAME, **SIZES), copy.deepcopy(model)
    losses = fit_priors(
        model, guide, torch.rand(12, 6, *FRAME), steps=15, batch_size=32, lr=2e-2, progress=False
    )
    assert losses[-1] < losses[0] - 1 and changed(before, model) == {"content_prior"}


def test_padding_is_not_learnt():
    """z ends with each sequence: a law of 0 after that would pay more and more for what is."""
    lengths = (2, 3, 7) * 4
    x = [torch.rand(n, *FRAME) for n in lengths]
    model, guide = make_pair("autoregressive", "normal")
    together = fit_priors(model, guide, x, steps=1, batch_size=4096, progress=False)
    model, guide = make_pair("autoregressive", "normal")
    alone = [
        fit_priors(copy.deepcopy(model), guide, [s], steps=1, batch_size=4096, progress=False)[0]
        for s in x
    ]
    assert together[0] == pytest.approx(sum(alone) / len(alone), rel=0.02)


def test_the_same_seed_gives_the_same_and_leaves_the_generator():
    x, losses = torch.rand(6, 4, *FRAME), []
    for seed in (1, 1, 2):
        model, guide = make_pair()
        state = torch.get_rng_state()
        losses.append(fit_priors(model, guide, x, steps=3, seed=seed, progress=False))
        assert torch.get_rng_state().equal(state)
    assert losses[0] == losses[1] != losses[2]


def test_frozen_weights_stay():
    model, guide = make_pair()
    model.content_prior.requires_grad_(False)
    before = copy.deepcopy(model)
    fit_priors(model, guide, torch.rand(6, 4, *FRAME), steps=2, progress=False)
    assert changed(before, model) == {"prior"}


@pytest.mark.parametrize("frozen", [False, True])
def test_components_that_have_died_begin_anew(frozen):
    model, guide = make_pair()
    which = model.prior.which
    with torch.no_grad():
        which.weight[1:], which.bias[1:] = 0.0, -1e4
    model.prior.requires_grad_(not frozen)
    fit_priors(model, guide, torch.rand(6, 4, *FRAME), steps=2, progress=False)
    assert bool((which.bias > -10).all()) is not frozen


def test_laws_without_weights():
    torch.manual_seed(0)
    model, guide = pyro_dsae.LSTMc(FRAME, **SIZES), pyro_dsae.LSTMGuide(FRAME, **SIZES)
    with pytest.raises(ValueError, match="weights to train, got LSTMc with NormalContent"):
        fit_priors(model, guide, torch.rand(6, 4, *FRAME), progress=False)


def test_a_guide_that_infers_by_the_prior():
    model, _ = make_pair("linear_gaussian")
    guide = pyro_dsae.Structured(FRAME, prior=model.prior, **SIZES)
    with pytest.raises(ValueError, match="guide must have weights of its own, got Structured"):
        fit_priors(model, guide, torch.rand(6, 4, *FRAME), progress=False)


def test_a_model_of_other_sites():
    sizes = {"z1_dim": 3, "z2_dim": 5, "channels": 4, "hidden": 16}
    model = pyro_dsae.FHVAE(FRAME, **sizes)
    guide = pyro_dsae.FHVAEGuide(FRAME, utterances=5, **sizes)
    with pytest.raises(TypeError, match="must be a SequenceModel, got FHVAE"):
        fit_priors(model, guide, torch.rand(6, 4, *FRAME), progress=False)


@pytest.mark.parametrize("law", ["prior", "content_prior"])
def test_a_loss_that_is_not_finite(law):
    model, guide = make_pair()
    with torch.no_grad():
        next(getattr(model, law).parameters()).fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match="priors' loss is nan at step 0"):
        fit_priors(model, guide, torch.rand(6, 4, *FRAME), progress=False)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 0}, {"num_samples": 0}, {"lr": -1}])
def test_numbers_that_do_not_fit(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} must be"):
        fit_priors(*make_pair(), torch.rand(6, 4, *FRAME), **wrong)
