"""Laws of f against brute force, and every one of them with models and guides."""

from __future__ import annotations

import copy
import gc
import math
import weakref

import numpy as np
import pyro
import pytest
import torch
from conftest import GUIDES, MODELS, SIZES, kept_bytes
from pyro import distributions as dist
from pyro.infer import Predictive, Trace_ELBO, TraceMeanField_ELBO

import pyro_dsae
from pyro_dsae.metrics import evidence
from pyro_dsae.priors import (
    CONTENT_PRIORS,
    FlowContent,
    MixtureContent,
    make_content_prior,
)
from pyro_dsae.training import evaluate_elbo

FRAME = (3, 16, 16)
SMALL = {"mixture": {"components": 6}, "flow": {"layers": 3, "hidden": 8}}


def small(name, f_dim):
    return make_content_prior({"name": name, **SMALL.get(name, {})}, f_dim)


def moved(name, f_dim, by=0.5):
    """A prior that has learned something: its weights are away from where they start."""
    content = small(name, f_dim)
    with torch.no_grad():
        for weight in content.parameters():
            weight += by * torch.randn_like(weight)
    return content


@pytest.fixture(params=CONTENT_PRIORS)
def name(request):
    return request.param


@pytest.fixture
def make(name):
    """A model with each prior of f, and a guide."""

    def make(model=pyro_dsae.DSAE, guide=pyro_dsae.Factorised):
        prior = {"name": name, **SMALL.get(name, {})}
        return model(FRAME, **SIZES, content_prior=prior), guide(FRAME, **SIZES)

    return make


def grid(sides, reach=9.0, points=361):
    """Midpoints of the cells of a square around 0, ``(points ** sides, sides)``, and their volume."""
    step = 2 * reach / points
    axis = torch.arange(points) * step - reach + step / 2
    return torch.cartesian_prod(*[axis] * sides).view(-1, sides), step**sides


@pytest.mark.parametrize(
    ("name", "sides"), [("normal", 1), ("mixture", 1), ("mixture", 2), ("flow", 2)]
)
def test_the_density_integrates_to_one(name, sides):
    f, volume = grid(sides)
    with torch.no_grad():
        total = moved(name, sides, by=0.2)().log_prob(f).exp().sum() * volume
    assert total == pytest.approx(1.0, abs=1e-3)


def test_draws_have_the_law_of_the_density(name):
    """Counts of draws in squares of a side of 0.9, against integrals of the density over them."""
    f, volume = grid(2)
    law, draws, squares = moved(name, 2, by=0.2)(), 40_000, 20
    with torch.no_grad():
        p = law.log_prob(f).exp().view(361, 361)[:360, :360] * volume
    p = p.view(squares, 18, squares, 18).sum((1, 3))
    edges = np.linspace(-9, 9 - 18 / 361, squares + 1)
    counts, _, _ = np.histogram2d(*law.sample((draws,)).T.numpy(), bins=(edges, edges))
    error = torch.from_numpy(counts / draws) - p
    assert (error.abs() < 5 * (p / draws).sqrt() + 2e-4).all()
    assert p.sum() > 0.99


def test_a_mixture_has_the_density_of_torchs_in_single_precision():
    """Narrow components far out, where the squares are some 10,000 times their difference."""
    content = MixtureContent(256, components=64)
    with torch.no_grad():
        content.loc *= 5
        content.raw_scale.normal_(-4, 1)
        content.logits.normal_()
        law = content()
        f = law.sample((32,))
        parts = dist.Normal(law.loc.double(), law.scale.double()).to_event(1)
        whole = dist.MixtureSameFamily(dist.Categorical(logits=law.logits.double()), parts)
        torch.testing.assert_close(
            law.log_prob(f).double(), whole.log_prob(f.double()), rtol=1e-5, atol=0
        )


def test_a_mixture_keeps_no_tensor_of_batch_components_and_dimensions():
    law = MixtureContent(64, components=128)()
    f = torch.randn(32, 64, requires_grad=True)
    assert 4 * max(kept_bytes(lambda: law.log_prob(f))) < 4 * 32 * 64 * 128


def test_no_component_is_narrower_than_the_least():
    content = MixtureContent(2, components=3)
    torch.testing.assert_close(content().scale, torch.full((3, 2), content.start))
    torch.nn.init.constant_(content.raw_scale, -100.0)
    assert content().scale.min() == content.least


def test_a_flow_starts_near_the_normal():
    content, normal = FlowContent(7), dist.Normal(torch.zeros(7), 1.0).to_event(1)
    f = normal.sample((100,))
    torch.testing.assert_close(content().log_prob(f), normal.log_prob(f), atol=0.6, rtol=0)


def test_no_weights_make_a_flow_that_cannot_be_undone():
    content = moved("flow", 16, by=10.0)
    f = content().sample((500,))
    log_prob = content().log_prob(f)
    log_prob.sum().backward()
    assert f.isfinite().all() and log_prob.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in content.parameters())


@pytest.mark.parametrize("f_dim", [2, 3, 8])
def test_a_flow_of_two_couplings_bends_every_dimension(f_dim):
    content = FlowContent(f_dim, layers=2)
    u = torch.randn(50, f_dim)
    f = u
    for transform in content().transforms:
        f = transform(f)
    places = torch.arange(f_dim)
    for order in content.orders:
        places = places[order]  # of u, where they stand in f
    assert ((f - u[:, places]).abs().amax(0) > 1e-6).all()


def test_a_flow_has_the_density_of_the_weights_and_of_the_f_of_now():
    content, f = moved("flow", 4), torch.randn(3, 4)
    law = content()
    before = law.log_prob(f)
    with torch.no_grad():
        for weight in content.parameters():
            weight += 0.1
    assert not torch.allclose(law.log_prob(f), before)
    torch.testing.assert_close(law.log_prob(f), content().log_prob(f.clone()))
    f += 1
    torch.testing.assert_close(law.log_prob(f), content().log_prob(f.clone()))
    draw = law.sample((3,))
    draw += 1
    torch.testing.assert_close(law.log_prob(draw), content().log_prob(draw.clone()))


def test_a_flow_leaves_nothing_behind():
    content, f = moved("flow", 4), torch.randn(3, 4)
    gc.disable()
    try:
        law = content()
        loss = law.log_prob(f).sum()
        transform = weakref.ref(law.transforms[0])
        loss.backward()
        del law, loss
        assert transform() is None
    finally:
        gc.enable()
    twin = copy.deepcopy(content)
    torch.testing.assert_close(twin().log_prob(f), content().log_prob(f))
    assert not {p.data_ptr() for p in twin.parameters()} & {
        p.data_ptr() for p in content.parameters()
    }


def test_gradients_in_double_precision(name):
    content = moved(name, 3, by=0.2).double()
    f = content().sample((4,)).requires_grad_()
    weights = [*content.parameters()]

    def log_prob(f, *_):
        return content().log_prob(f)

    assert f.dtype == torch.float64
    assert torch.autograd.gradcheck(log_prob, (f, *weights), fast_mode=True)


def test_single_precision_is_enough_and_half_is_not_used(name):
    content = moved(name, 16, by=0.1)
    f = content().sample((64,))
    exact = copy.deepcopy(content).double()().log_prob(f.double())
    with torch.autocast("cpu", torch.bfloat16):
        found = content().log_prob(f)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, atol=1e-3, rtol=1e-4)


def test_shapes(name):
    law = small(name, 5)()
    assert (law.batch_shape, law.event_shape) == ((), (5,))
    f = law.sample((7, 2))
    assert f.shape == (7, 2, 5) and law.log_prob(f).shape == (7, 2)
    wide = law.expand((3, 2))
    assert (wide.batch_shape, wide.sample((4,)).shape) == ((3, 2), (4, 3, 2, 5))
    assert wide.log_prob(f[:3]).shape == wide.log_prob(f[0, 0]).shape == (3, 2)
    assert wide.log_prob(f[:, None]).shape == (7, 3, 2)
    torch.testing.assert_close(wide.log_prob(f[:3]), law.log_prob(f[:3]))


def test_values_that_are_no_numbers_are_named(name):
    with pyro.validation_enabled(True), pytest.raises(ValueError, match="support"):
        small(name, 5)().log_prob(torch.full((5,), math.nan))


@pytest.mark.parametrize("model_type", MODELS)
def test_a_few_steps_raise_the_bound_and_what_is_saved_is_the_same(make, x, tmp_path, model_type):
    model, guide = make(model_type)
    before = evaluate_elbo(model, guide, x)["elbo"]
    history = pyro_dsae.fit(model, guide, x, steps=8, batch_size=12, device="cpu", progress=False)
    assert np.isfinite(history.losses).all()
    assert evaluate_elbo(model, guide, x)["elbo"] > before
    pyro_dsae.save(tmp_path, model, guide)
    again, _ = pyro_dsae.load(tmp_path)
    f = torch.randn(4, 5)
    assert torch.equal(again.content_prior().log_prob(f), model.content_prior().log_prob(f))
    assert pyro_dsae.generate(again, batch_size=3, num_frames=2).shape == (3, 2, 3, 16, 16)
    assert pyro_dsae.swap(again, guide, x[:2], x[2:4]).shape == x[:2].shape


@pytest.mark.parametrize("guide_type", GUIDES)
def test_every_guide_gives_every_weight_a_gradient(make, x, guide_type):
    model, guide = make(guide=guide_type)
    Trace_ELBO()(model, guide)(x).backward()
    for weight, parameter in model.content_prior.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, weight


def test_the_rest_of_the_house_asks_for_no_normal(make, x):
    model, guide = make()
    particles = Trace_ELBO(num_particles=2, vectorize_particles=True, max_plate_nesting=1)
    for elbo in (particles, TraceMeanField_ELBO()):
        history = pyro_dsae.fit(model, guide, x, steps=1, elbo=elbo, device="cpu", progress=False)
        assert np.isfinite(history.losses).all()
    scores = evidence(model, guide, x[:3], num_samples=25)
    assert math.isfinite(scores["iw_bound"]) and math.isfinite(scores["kl_f"])
    found = pyro_dsae.to_arviz(model, guide, x[:3], num_samples=2)
    assert found["prior"]["f"].shape == (1, 2, 3, 5)
    many = Predictive(model, num_samples=4, parallel=True)(batch_size=2, num_frames=3)
    assert many["f"].shape == (4, 2, 5)


def test_bad_options():
    with pytest.raises(ValueError, match="components must be at least 1, got 0"):
        MixtureContent(4, components=0)
    with pytest.raises(ValueError, match="f_dim must be at least 2, got 1"):
        FlowContent(1)
    with pytest.raises(ValueError, match="layers must be at least 1, got 0"):
        FlowContent(4, layers=0)
    with pytest.raises(TypeError, match=r"hidden must be a whole number, got 0\.5"):
        FlowContent(4, hidden=0.5)
    with pytest.raises(TypeError, match="content_prior 'mixture' takes components, got layers"):
        pyro_dsae.DSAE(content_prior={"name": "mixture", "layers": 2})
    with pytest.raises(ValueError, match="one of normal, mixture, flow, got 'vamp'"):
        pyro_dsae.DSAE(content_prior="vamp")
    with pytest.raises(ValueError, match="content_prior has a f_dim of 4, the model of 5"):
        pyro_dsae.DSAE(f_dim=5, content_prior=MixtureContent(4))
