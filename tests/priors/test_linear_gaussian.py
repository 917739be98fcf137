"""The linear dynamical system against its joint Normal."""

from __future__ import annotations

import pytest
import torch
from pyro import distributions as dist

from pyro_dsae.nn import Contractions
from pyro_dsae.priors import LinearGaussian, LinearGaussianLaw

Z_DIM, STATE, T = 3, 4, 6


@pytest.fixture
def prior():
    made = LinearGaussian(Z_DIM, state_dim=STATE)
    for weight in (made.start, made.observation.bias, made.noise.raw, made.start_noise.raw):
        torch.nn.init.normal_(weight)
    return made


def joint_normal(prior, num_frames=T):
    """p(z_1:T), flat: mean and covariance by a loop over time."""
    a, c = prior.transition()[0].double(), prior.observation.weight.double()
    q, r = (noise().double().square().diag() for noise in (prior.state_noise, prior.noise))
    mean, cov = prior.start.double(), prior.start_noise().double().square().diag()
    means, states = [], []
    for _ in range(num_frames):
        mean, cov = mean @ a, a.T @ cov @ a + q
        means.append(c @ mean + prior.observation.bias.double())
        states.append(cov)
    whole = torch.zeros(num_frames, Z_DIM, num_frames, Z_DIM).double()
    for i in range(num_frames):
        ahead = states[i]
        for j in range(i, num_frames):
            whole[i, :, j] = c @ ahead @ c.T + (r if i == j else 0)
            whole[j, :, i] = whole[i, :, j].clone().T
            ahead = ahead @ a
    return dist.MultivariateNormal(torch.cat(means), whole.reshape(2 * (num_frames * Z_DIM,)))


def product(prior, loc, scale):
    """The joint Normal times Normals of each step: its mean, covariance and log Z."""
    p, v = joint_normal(prior), scale.double().square().flatten(1)
    sum_cov = p.covariance_matrix + v.diag_embed()
    gain = torch.linalg.solve(sum_cov, p.covariance_matrix.expand_as(sum_cov)).mT
    delta = loc.double().flatten(1) - p.loc
    mean = p.loc + (gain @ delta.unsqueeze(-1)).squeeze(-1)
    log_z = dist.MultivariateNormal(p.loc, sum_cov).log_prob(loc.double().flatten(1))
    return mean, p.covariance_matrix - gain @ p.covariance_matrix, log_z


@pytest.fixture
def potentials():
    loc, scale = torch.randn(5, T, Z_DIM), torch.rand(5, T, Z_DIM) + 0.2
    return dist.Normal(loc, scale).to_event(2)


@pytest.mark.parametrize("num_frames", [1, 2, T, 13])
def test_log_prob_and_mean_are_those_of_the_joint_normal(prior, num_frames):
    z = torch.randn(7, num_frames, Z_DIM)
    joint, law = joint_normal(prior, num_frames), prior(num_frames)
    expected = joint.log_prob(z.double().flatten(1)).float()
    torch.testing.assert_close(law.log_prob(z), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(law.mean.flatten(), joint.loc.float(), atol=1e-5, rtol=1e-5)


def test_draws_have_the_moments_of_the_joint_normal(prior):
    joint, z = joint_normal(prior), prior(T).sample((20_000,)).double().flatten(1)
    white = torch.linalg.solve_triangular(joint.scale_tril, (z - joint.loc).T, upper=False)
    assert white.mean(1).abs().max() < 0.04
    torch.testing.assert_close(white.cov(), torch.eye(T * Z_DIM).double(), atol=0.06, rtol=0)


def test_the_law_goes_on_as_pyros_own(prior):
    z = torch.randn(4, T, Z_DIM)
    law = prior(T).prefix_condition(z[:, :2])
    assert isinstance(law, LinearGaussianLaw)
    assert isinstance(law.expand([3, 4]), LinearGaussianLaw)
    assert law.expand([3, 4]).mean.shape == (3, 4, T - 2, Z_DIM)
    joint, past = joint_normal(prior), 2 * Z_DIM
    cov = joint.covariance_matrix
    gain = torch.linalg.solve(cov[:past, :past], cov[:past, past:])
    expected = joint.loc[past:] + (z[:, :2].double().flatten(1) - joint.loc[:past]) @ gain
    torch.testing.assert_close(law.mean.flatten(1), expected.float(), atol=1e-4, rtol=1e-4)


class TestConjugateUpdate:
    def test_is_the_product_of_densities(self, prior, potentials):
        law, log_z = prior(T).conjugate_update(potentials)
        assert isinstance(law, LinearGaussianLaw) and law.batch_shape == (5,)
        mean, cov, expected = product(prior, potentials.base_dist.loc, potentials.base_dist.scale)
        torch.testing.assert_close(log_z, expected.float(), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(law.mean.flatten(1), mean.float(), atol=1e-4, rtol=1e-4)
        z = torch.randn(8, 5, T, Z_DIM)
        both = prior(T).log_prob(z) + potentials.log_prob(z)
        torch.testing.assert_close(law.log_prob(z) + log_z, both, atol=1e-4, rtol=1e-4)
        expected = dist.MultivariateNormal(mean, cov).log_prob(z.double().flatten(2))
        torch.testing.assert_close(law.log_prob(z), expected.float(), atol=1e-3, rtol=1e-4)

    def test_draws_have_its_moments(self, prior, potentials):
        law, _ = prior(T).conjugate_update(potentials)
        mean, cov, _ = product(prior, potentials.base_dist.loc, potentials.base_dist.scale)
        z = law.sample((4_000,))[:, 0].double().flatten(1)
        torch.testing.assert_close(z.mean(0), mean[0], atol=0.06, rtol=0)
        torch.testing.assert_close(z.T.cov(), cov[0], atol=0.08, rtol=0)

    def test_twice_is_once_with_the_product(self, prior, potentials):
        law, _ = prior(T).conjugate_update(potentials)
        twice, _ = law.conjugate_update(potentials)
        base = potentials.base_dist
        once, _ = prior(T).conjugate_update(dist.Normal(base.loc, base.scale / 2**0.5).to_event(2))
        z = torch.randn(5, T, Z_DIM)
        torch.testing.assert_close(twice.log_prob(z), once.log_prob(z), atol=1e-4, rtol=1e-4)

    def test_past_and_future_make_the_whole(self, prior, potentials):
        law, _ = prior(T).conjugate_update(potentials)
        mean, cov, _ = product(prior, potentials.base_dist.loc, potentials.base_dist.scale)
        z, past = torch.randn(5, T, Z_DIM), 2 * Z_DIM
        of_past = dist.MultivariateNormal(mean[:, :past], cov[:, :past, :past])
        future = law.prefix_condition(z[:, :2]).log_prob(z[:, 2:])
        whole = of_past.log_prob(z[:, :2].double().flatten(1)).float() + future
        torch.testing.assert_close(whole, law.log_prob(z), atol=1e-3, rtol=1e-4)

    def test_draws_pass_gradients_to_prior_and_potentials(self, prior):
        loc = torch.randn(5, T, Z_DIM, requires_grad=True)
        law, _ = prior(T).conjugate_update(dist.Normal(loc, 0.5).to_event(2))
        law.rsample().square().sum().backward()
        assert loc.grad.abs().min() > 0
        assert all(w.grad is not None and w.grad.abs().sum() > 0 for w in prior.parameters())

    def test_takes_normals_alone(self, prior):
        words = r"other must be independent Normals of event shape \(6, 3\), got Independent"
        for other in (
            dist.Normal(torch.zeros(5, Z_DIM), 1.0).to_event(2),
            dist.Laplace(torch.zeros(T, Z_DIM), 1.0).to_event(2),
        ):
            with pytest.raises(ValueError, match=words):
                prior(T).conjugate_update(other)


@pytest.mark.parametrize("decay", [3.9, 9.0])
def test_long_sequences_of_least_noise(decay):
    """T = 1000, all noise at its floor: where Pyro's in single precision is off by hundreds of nats."""
    prior = LinearGaussian(Z_DIM)
    with torch.no_grad():
        for noise in (prior.state_noise, prior.noise):
            noise.raw.fill_(-20.0)
        prior.transition.decay.fill_(decay)
        z = prior(1000).sample((2,))
        found = prior(1000).log_prob(z)
        # by a Kalman filter in its textbook form
        a, c = prior.transition()[0].double(), prior.observation.weight.double()
        mean, cov = prior.start.double().expand(2, -1), torch.eye(2 * Z_DIM).double()
        noises = [noise().double().square().diag() for noise in (prior.state_noise, prior.noise)]
        total = 0.0
        for z_t in z.double().unbind(1):
            mean, cov = mean @ a, a.T @ cov @ a + noises[0]
            seen = c @ cov @ c.T + noises[1]
            total = total + dist.MultivariateNormal(mean @ c.T, seen).log_prob(z_t)
            gain = torch.linalg.solve(seen, c @ cov)
            mean = mean + (z_t - mean @ c.T) @ gain
            left = torch.eye(2 * Z_DIM).double() - gain.T @ c
            cov = left @ cov @ left.T + gain.T @ noises[1] @ gain
    torch.testing.assert_close(found, total.float(), rtol=1e-4, atol=0.1)


def test_starts_with_cycles_of_4_to_16_frames():
    turns = torch.linalg.eigvals(Contractions(1, 12)()[0]).angle().abs()
    periods = (2 * torch.pi / turns).sort().values[::2]
    torch.testing.assert_close(periods[[0, -1]], torch.tensor([4.0, 16.0]), rtol=0.1, atol=0)


def test_contractions_never_make_a_vector_longer():
    made = Contractions(9, 5)
    torch.nn.init.normal_(made.skew, 0, 10)
    torch.nn.init.normal_(made.decay, 0, 5)
    norms = torch.linalg.matrix_norm(made(), 2)
    torch.testing.assert_close(norms, made.decay.sigmoid().amax(-1))
    assert norms.max() <= 1


def test_weights_that_are_not_finite_are_named(prior):
    with torch.no_grad():
        prior.noise.raw[0] = float("nan")
    with pytest.raises(ValueError, match="LinearGaussianLaw has a covariance .* not finite"):
        prior(3).log_prob(torch.zeros(3, Z_DIM))
    other = dist.Normal(torch.zeros(3, Z_DIM), 1.0).to_event(2)
    with pytest.raises(ValueError, match="LinearGaussianLaw has a covariance .* not finite"):
        prior(3).conjugate_update(other)


def test_bad_arguments():
    with pytest.raises(ValueError, match="state_dim must be at least 1, got 0"):
        LinearGaussian(3, state_dim=0)
