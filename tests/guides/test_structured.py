"""The structured posterior: exact where the decoder is linear, and one prior for model and guide."""

from __future__ import annotations

import pytest
import torch
from conftest import SIZES
from pyro import distributions as dist
from pyro import poutine
from pyro.infer import RenyiELBO, Trace_ELBO
from torch import nn

import pyro_dsae
from pyro_dsae.objectives import add_gradients
from pyro_dsae.priors import LinearGaussian, Mixture

BINS, T = 3, 5


@pytest.fixture
def pair():
    model = pyro_dsae.DSAE((BINS,), **SIZES, prior="linear_gaussian")
    return model, pyro_dsae.Structured((BINS,), **SIZES, prior=model.prior)


@pytest.fixture
def x():
    return torch.rand(4, T, BINS)


def log_evidence(prior, x, scale):
    """Of x_t = z_t + noise: the system with more noise on what is seen."""
    wide = LinearGaussian(BINS)
    wide.load_state_dict(prior.state_dict())
    seen = (prior.noise().square() + scale**2).sqrt()
    wide.noise.forward = lambda: seen
    return wide(x.shape[1]).log_prob(x)


def test_with_exact_potentials_the_bound_is_the_evidence(pair, x):
    """x_t = z_t + noise: then q(z | x) is the posterior, and every draw has the same weight."""
    model, guide = pair
    prior, scale = model.prior, 0.3
    draws = guide.law_of_z(x, torch.full_like(x, scale))
    z = draws.sample((20,))
    joint = prior(T).log_prob(z) + dist.Normal(z, scale).to_event(2).log_prob(x)
    weights = joint - draws.log_prob(z)
    expected = log_evidence(prior, x, scale).expand_as(weights)
    torch.testing.assert_close(weights, expected, atol=1e-3, rtol=1e-4)


def test_its_mean_is_that_of_many_draws(pair, x):
    _, guide = pair
    law = poutine.trace(guide).get_trace(x).nodes["z"]["fn"]
    z = law.sample((3_000,))
    assert ((z.mean(0) - law.mean).abs() < 5 * z.std(0) / 3_000**0.5).all()
    found = pyro_dsae.infer(guide.eval(), x)["z"]
    torch.testing.assert_close(found, law.mean)


def test_every_frame_moves_every_z(pair, x):
    _, guide = pair
    other = x.clone()
    other[:, 3] = torch.rand(4, BINS)
    z, moved = (pyro_dsae.infer(guide.eval(), each)["z"] for each in (x, other))
    assert ((z - moved).abs().amax((0, 2)) > 0).all()


def test_every_parameter_of_both_has_a_gradient(pair, x):
    Trace_ELBO()(*pair)(x).backward()
    for module in pair:
        for name, weight in module.named_parameters():
            assert weight.grad is not None and weight.grad.abs().sum() > 0, name


class TestOnePriorForBoth:
    def test_fit_trains_its_weights_once(self, pair, x):
        """A step of plain gradient descent is one step, not two."""
        model, guide = pair
        before = {name: weight.clone() for name, weight in model.prior.named_parameters()}
        torch.manual_seed(0)

        def descend(parameters):
            assert len({*map(id, parameters)}) == len([*parameters])
            return torch.optim.SGD(parameters, 0.01)

        options = {"batch_size": 4, "steps": 1, "schedule": "constant", "clip_norm": None}
        seen = {}
        handles = [
            weight.register_hook(lambda grad, name=name: seen.update({name: grad.clone()}))
            for name, weight in model.prior.named_parameters()
        ]
        pyro_dsae.fit(model, guide, x, optimizer=descend, device="cpu", **options)
        for handle in handles:
            handle.remove()
        for name, weight in model.prior.named_parameters():
            torch.testing.assert_close(weight, before[name] - 0.01 * seen[name], msg=name)

    def test_gradients_a_sequence_are_divided_once(self, pair, x):
        """By an objective that computes them by itself."""
        model, guide = pair
        elbo = RenyiELBO(alpha=0, num_particles=2)
        grads = []
        for summed in (True, False):
            torch.manual_seed(0)
            nn.ModuleList(pair).zero_grad()
            if summed:
                elbo.loss_and_grads(model, guide, x)
            else:
                add_gradients(elbo(model, guide), elbo, pair, x, {})
            grads.append({n: w.grad.clone() for n, w in nn.ModuleList(pair).named_parameters()})
        for name, total in grads[0].items():
            torch.testing.assert_close(grads[1][name] * len(x), total, msg=name)

    def test_a_saved_pair_shares_it_again(self, pair, x, tmp_path, recwarn):
        pyro_dsae.save(tmp_path, *pair)
        model, guide = pyro_dsae.load(tmp_path)
        assert guide.prior is model.prior and not recwarn.list
        expected, found = (
            pyro_dsae.reconstruct(*(program.eval() for program in each), x)
            for each in (pair, (model, guide))
        )
        torch.testing.assert_close(found, expected, rtol=0, atol=0)

    def test_one_of_your_own_goes_to_both(self, x, tmp_path):
        prior = LinearGaussian(3, state_dim=4)
        model = pyro_dsae.DSAE((BINS,), **SIZES, prior=prior)
        guide = pyro_dsae.Structured((BINS,), **SIZES, prior=prior)
        with pytest.warns(UserWarning, match="DSAE: prior .* pass prior=") as said:
            pyro_dsae.save(tmp_path, model, guide)
        assert len(said) == 1
        again = pyro_dsae.load(tmp_path, prior=LinearGaussian(3, state_dim=4))
        assert again[0].prior is again[1].prior
        z, found = (pyro_dsae.infer(each.eval(), x)["z"] for each in (guide, again[1]))
        torch.testing.assert_close(found, z)

    def test_a_prior_of_the_guides_own_is_not_saved_as_the_models(self, pair, tmp_path):
        guide = pyro_dsae.Structured((BINS,), **SIZES, prior=LinearGaussian(3))
        with pytest.raises(ValueError, match=r"guide.prior must be model.prior, got one of its"):
            pyro_dsae.save(tmp_path, pair[0], guide)
        assert not [*tmp_path.iterdir()]

    def test_the_guide_alone_has_to_be_given_it(self, pair, x, tmp_path):
        pair[1].save_pretrained(tmp_path)
        words = r"Structured was saved without prior \(.*LinearGaussian\): pass prior=\.\.\. to"
        with pytest.raises(ValueError, match=words):
            pyro_dsae.Structured.from_pretrained(tmp_path)
        alone = pyro_dsae.Structured.from_pretrained(tmp_path, prior=LinearGaussian(3))
        z, found = (pyro_dsae.infer(each.eval(), x)["z"] for each in (pair[1], alone))
        torch.testing.assert_close(found, z)

    def test_a_checkpoint_goes_on_as_it_was(self, pair, x, tmp_path):
        options = {"batch_size": 4, "device": "cpu", "checkpoint_dir": tmp_path, "resume": True}
        pyro_dsae.fit(*pair, x, steps=2, **options)
        model = pyro_dsae.DSAE((BINS,), **SIZES, prior="linear_gaussian")
        other = model, pyro_dsae.Structured((BINS,), **SIZES, prior=model.prior)
        pyro_dsae.fit(*other, x, steps=2, **options)
        for a, b in zip(*(nn.ModuleList(p).parameters() for p in (pair, other)), strict=True):
            assert torch.equal(a, b)


def test_bad_priors_are_named():
    with pytest.raises(ValueError, match="prior must be the model's, a Prior, got 'kalman'"):
        pyro_dsae.Structured((BINS,), prior="kalman")
    with pytest.raises(ValueError, match="prior has a z_dim of 3, the guide of 4"):
        pyro_dsae.Structured((BINS,), prior=LinearGaussian(3), z_dim=4)
    words = "prior must have a law with a conjugate_update, such as LinearGaussian, got Mixture"
    with pytest.raises(ValueError, match=words):
        pyro_dsae.Structured((BINS,), prior=Mixture(3, 8))
    assert pyro_dsae.Structured((BINS,), prior=LinearGaussian(3), hidden=8).z_dim == 3
