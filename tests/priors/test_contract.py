"""What every prior of z_1:T keeps, whatever its law: shapes, the chain rule, draws that stay."""

from __future__ import annotations

import pytest
import torch
from conftest import GUIDES, SIZES
from pyro import poutine
from pyro.infer import Trace_ELBO
from torch import nn

import pyro_dsae
from pyro_dsae import priors
from pyro_dsae.nn import LSTMTransition
from pyro_dsae.priors import CONTENT_PRIORS, PRIORS, Prior, make_prior

Z = 3


@pytest.fixture(params=PRIORS)
def prior(request) -> Prior:
    return make_prior(request.param, Z, hidden=16)


def test_one_call_gives_one_law(prior):
    for steps in (1, 5, 40):
        law = prior(steps)
        assert (law.batch_shape, law.event_shape) == ((), (steps, Z))
        z = law.sample((4,))
        assert z.shape == (4, steps, Z) and not z.requires_grad
        assert law.log_prob(z).shape == (4,)


def test_a_batch_and_particles(prior):
    law = prior(5).expand((4,))
    assert (law.batch_shape, law.event_shape) == ((4,), (5, Z))
    z = law.sample((2,))
    assert z.shape == (2, 4, 5, Z)
    together = law.log_prob(z)
    assert together.shape == (2, 4)
    alone = torch.stack([prior(5).log_prob(part) for part in z.flatten(0, 1)])
    torch.testing.assert_close(together.flatten(), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("split", [1, 3, 5])
def test_past_and_future_make_the_whole(prior, split):
    """p(past) p(future | past) = p(all)."""
    whole = prior(6)
    z = whole.sample((4,))
    past = prior(split).log_prob(z[:, :split])
    law = whole.prefix_condition(z[:, :split])
    assert law.event_shape == (6 - split, Z)
    future = law.log_prob(z[:, split:])
    torch.testing.assert_close(past + future, whole.log_prob(z), rtol=1e-4, atol=1e-4)
    assert law.sample((2,)).shape == (2, 4, 6 - split, Z)


@pytest.mark.parametrize("name", PRIORS)
def test_draws_that_follow_a_past_have_its_density(name):
    """A z of one number: the density of the next step, integrated on a grid, against draws of it."""
    whole = make_prior(name, 1, hidden=16)(3)
    past = whole.sample()[:2]
    law = whole.prefix_condition(past)
    drawn = law.sample((20_000,)).flatten().sort().values
    grid = torch.linspace(float(drawn[0]) - 3, float(drawn[-1]) + 3, 20_001)
    with torch.no_grad():
        p = law.log_prob(grid[:, None, None]).exp() * (grid[1] - grid[0])
    assert float(p.sum()) == pytest.approx(1, abs=1e-3)
    below = torch.searchsorted(drawn, grid) / len(drawn)
    assert (below - p.cumsum(0)).abs().max() < 0.02  # Kolmogorov-Smirnov: 0.0115 at 1%


def test_bad_pasts(prior):
    law = prior(4)
    with pytest.raises(ValueError, match=r"z_past must be \(\*batch, time, 3\), got \(2, 2, 5\)"):
        law.prefix_condition(torch.zeros(2, 2, 5))
    with pytest.raises(ValueError, match=r"between 1 and 3 steps .*the law has 4.*, got 4"):
        law.prefix_condition(torch.zeros(2, 4, Z))
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        prior(0)


def test_gradients_reach_every_weight(prior):
    z = torch.randn(6, 5, Z, requires_grad=True)
    prior(5).log_prob(z).sum().backward()
    assert z.grad is not None and z.grad.abs().sum() > 0
    for name, weight in prior.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_double_precision(prior):
    z = torch.randn(2, 4, Z)
    single = prior(4).log_prob(z)
    double = prior.double()(4)
    assert double.sample().dtype == torch.float64
    torch.testing.assert_close(double.log_prob(z.double()).float(), single, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PRIORS)
def test_learns_a_cycle(name):
    """Four points in turn, with some noise: every law comes near them, and goes round by itself."""
    torch.manual_seed(0)
    corners = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
    start = torch.randint(4, (64, 1))
    z = corners[(start + torch.arange(8)) % 4] + 0.1 * torch.randn(64, 8, Z)
    prior = make_prior(name, Z, hidden=16)
    optimiser = torch.optim.Adam(prior.parameters(), 2e-2)
    losses = []
    for _ in range(120):
        loss = -prior(8).log_prob(z).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    independent = -torch.distributions.Normal(z.mean((0, 1)), z.std((0, 1))).log_prob(z)
    assert losses[-1] < independent.sum((1, 2)).mean() - 3
    drawn = prior(12).prefix_condition(z[:, :6]).sample()
    truth = corners[(start + torch.arange(6, 12)) % 4]
    assert (drawn - truth).norm(dim=-1).median() < 0.8


def furthest(prior: Prior, steps: int = 2000) -> float:
    return float(prior(steps).sample((2,)).abs().max())


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("name", ["autoregressive", "mixture"])
def test_a_step_is_never_far_from_what_the_network_sees(name, residual):
    """However large z is, what follows is bounded by the network: no loop can run away."""
    prior = make_prior({"name": name, "residual": residual}, Z, hidden=16)
    with torch.no_grad():
        near, far = (prior.transition(size * torch.ones(1, 1, Z))[-3] for size in (1e1, 1e30))
    assert far.abs().max() < 20 * near.abs().max() + 200


@pytest.mark.slow
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("name", PRIORS)
def test_draws_of_2000_steps_stay(name, trained):
    """Untrained, and trained on straight lines of 8 steps, which invite to go on for ever."""
    for seed in range(8):
        torch.manual_seed(seed)
        prior = make_prior(name, Z, hidden=32)
        if trained:
            line = torch.arange(8.0).unsqueeze(-1)
            optimiser = torch.optim.Adam(prior.parameters(), 1e-2)
            for _ in range(150):
                z = torch.randn(32, 1, Z) * line + 0.1 * torch.randn(32, 8, Z)
                loss = -prior(8).log_prob(z).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        assert furthest(prior) < 1000


@pytest.mark.parametrize("guide_type", GUIDES)
@pytest.mark.parametrize("name", PRIORS)
def test_every_prior_with_every_guide(name, guide_type, x, tmp_path):
    """Trains, generates, goes on, is saved and found again."""
    model = pyro_dsae.DSAE((3, 16, 16), prior=name, **SIZES)
    guide = guide_type((3, 16, 16), **SIZES)
    history = pyro_dsae.fit(
        model, guide, x, steps=12, batch_size=6, lr=3e-3, device="cpu", progress=False
    )
    assert sum(history.losses[-3:]) < sum(history.losses[:3])
    assert pyro_dsae.generate(model, batch_size=2, num_frames=9).shape == (2, 9, 3, 16, 16)
    assert pyro_dsae.forecast(model, guide, x[:2], 3, num_futures=2).shape == (2, 2, 3, 3, 16, 16)
    elbo = Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1)
    assert torch.isfinite(elbo.differentiable_loss(model, guide, x))

    pyro_dsae.save(tmp_path, model, guide)
    again, _ = pyro_dsae.load(tmp_path)
    assert type(again.prior) is type(model.prior)
    z = torch.randn(2, 4, Z)
    assert torch.equal(again.prior(4).log_prob(z), model.prior(4).log_prob(z))


def test_options_by_name_are_kept(tmp_path):
    prior = {"name": "mixture", "components": 3, "residual": True}
    model = pyro_dsae.DSAE((3, 16, 16), prior=prior, **SIZES)
    assert (model.prior.components, model.prior.residual) == (3, True)
    pyro_dsae.save(tmp_path, model, pyro_dsae.Factorised((3, 16, 16), **SIZES))
    again, _ = pyro_dsae.load(tmp_path)
    assert (again.prior.components, again.prior.residual) == (3, True)


class Walk(Prior):
    """A prior of one's own, in Pyro's words."""

    def __init__(self, z_dim):
        super().__init__()
        self.z_dim, self.scale = z_dim, nn.Parameter(torch.ones(()))

    def forward(self, num_frames):
        eye = torch.eye(self.z_dim)
        noise = torch.distributions.Normal(torch.zeros(self.z_dim), self.scale)
        noise = torch.distributions.Independent(noise, 1)
        return priors.LinearGaussianLaw(noise, eye, noise, eye, noise, duration=num_frames)


def test_one_of_your_own(x, tmp_path):
    model = pyro_dsae.DSAE((3, 16, 16), prior=Walk(Z), **SIZES)
    guide = pyro_dsae.Factorised((3, 16, 16), **SIZES)
    pyro_dsae.fit(model, guide, x, steps=4, batch_size=6, device="cpu", progress=False)
    assert float(model.prior.scale.detach()) != 1
    with pytest.warns(UserWarning, match="pass prior=... to load"):
        pyro_dsae.save(tmp_path, model, guide)
    again, _ = pyro_dsae.load(tmp_path, prior=Walk(Z))
    assert torch.equal(again.prior.scale, model.prior.scale)


def test_a_bare_transition_and_weights_of_before(tmp_path):
    """Models of before had their transition where the prior is now: its weights have the same names."""
    bare = pyro_dsae.DSAE((3, 16, 16), prior=LSTMTransition(Z, 16), **SIZES)
    named = pyro_dsae.DSAE((3, 16, 16), **SIZES)
    assert bare.state_dict().keys() == named.state_dict().keys()
    named.load_state_dict(bare.state_dict())
    z = torch.randn(2, 4, Z)
    laws = [
        poutine.trace(model).get_trace(batch_size=2, num_frames=4).nodes["z"]["fn"]
        for model in (bare, named)
    ]
    assert torch.equal(laws[0].log_prob(z), laws[1].log_prob(z))


@pytest.mark.parametrize(
    ("prior", "error", "words"),
    [
        ("lstm", ValueError, "prior must be a module or one of autoregressive, .*, got 'lstm'"),
        ({"components": 3}, TypeError, "'autoregressive' takes hidden, residual, got components"),
        ({"name": "mixture", "k": 3}, TypeError, "'mixture' takes hidden, .*, got k"),
        ({"name": "mixture", "components": 0}, ValueError, "components must be at least 1, got 0"),
        (priors.Autoregressive(4, 16), ValueError, "prior has a z_dim of 4, the model of 3"),
        (LSTMTransition(4, 16), ValueError, "prior has a z_dim of 4, the model of 3"),
    ],
)
def test_bad_choices(prior, error, words):
    with pytest.raises(error, match=words):
        pyro_dsae.DSAE((3, 16, 16), prior=prior, **SIZES)


def test_other_models_take_modules_alone():
    with pytest.raises(TypeError, match="prior must be a module, got 'mixture'"):
        pyro_dsae.Unordered((3, 16, 16), prior="mixture", **SIZES)


def test_a_draw_that_is_not_finite_is_an_error():
    class Runaway(nn.Module):
        def forward(self, z, state=None):
            return 1e30 * (z + 1), torch.ones_like(z), state

    with pytest.raises(ValueError, match="AutoregressiveNormal drew a z that is not finite, .* 1$"):
        priors.AutoregressiveNormal(Runaway(), 5, Z).sample((2,))
    model = pyro_dsae.DSAE((3, 16, 16), prior=Runaway(), **SIZES)
    with pytest.raises(ValueError, match="drew a z that is not finite"):
        pyro_dsae.generate(model, batch_size=2, num_frames=5)


@pytest.mark.parametrize("name", CONTENT_PRIORS)
def test_content_priors_give_one_law(name):
    prior = priors.make_content_prior(name, 5)
    law = prior()
    assert (law.batch_shape, law.event_shape) == ((), (5,))
    assert law.sample((3,)).shape == (3, 5)
    assert law.log_prob(torch.randn(2, 3, 5)).shape == (2, 3)
