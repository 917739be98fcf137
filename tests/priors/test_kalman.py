"""The Kalman filter with matrices that change over time, against joint Normals and Pyro's."""

from __future__ import annotations

import pytest
import torch
from pyro import distributions as dist

from pyro_dsae.priors import Kalman

Z_DIM, STATE = 3, 4


@pytest.fixture
def prior():
    return Kalman(Z_DIM, hidden=8, state_dim=STATE, matrices=5).double()


def mixed(prior, z):
    """A_t and C_t of each step of one sequence."""
    alpha, _ = prior.weights(torch.cat([torch.zeros(1, Z_DIM).to(z), z[:-1]])[None])
    each = prior.transitions(), prior.observations
    return [sum(alpha[0, :, k, None, None] * m[k] for k in range(len(m))) for m in each]


def joint_normal(prior, z):
    """p(z_1:T) given its own matrices, by what each z_t is of s_0 and of all noise."""
    a, c = mixed(prior, z)
    start, q, r = prior.start_noise(), prior.state_noise(), prior.noise()
    steps = len(z)
    inputs = STATE + steps * (STATE + Z_DIM)
    state, mean = torch.zeros(STATE, inputs).double(), prior.start
    state[:, :STATE] = start.diag()
    rows, means = [], []
    for t in range(steps):
        at = STATE + t * (STATE + Z_DIM)
        state, mean = a[t] @ state, a[t] @ mean
        state[:, at : at + STATE] += q.diag()
        row = c[t] @ state
        row[:, at + STATE : at + STATE + Z_DIM] += r.diag()
        rows.append(row)
        means.append(c[t] @ mean)
    rows = torch.cat(rows)
    return dist.MultivariateNormal(torch.cat(means), rows @ rows.mT)


def test_log_prob_is_that_of_the_joint_normal(prior):
    torch.nn.init.normal_(prior.start)
    z = torch.randn(6, Z_DIM).double()
    torch.testing.assert_close(prior(6).log_prob(z), joint_normal(prior, z).log_prob(z.flatten()))


def test_log_prob_is_that_of_pyros_with_matrices_of_each_step(prior):
    z = torch.randn(9, Z_DIM).double()
    a, c = mixed(prior, z)

    def normal(scale):
        return dist.Normal(torch.zeros_like(scale), scale).to_event(1)

    law = dist.GaussianHMM(
        normal(prior.start_noise()),
        a.mT,
        normal(prior.state_noise()),
        c.mT,
        normal(prior.noise()),
        duration=9,
    )
    torch.testing.assert_close(prior(9).log_prob(z), law.log_prob(z))


def test_single_precision_holds_where_noise_is_least():
    """T = 1000, all noise at its floor, states that hardly decay: off by a ten-thousandth of a nat a step."""
    prior = Kalman(Z_DIM, hidden=8)
    with torch.no_grad():
        for noise in (prior.state_noise, prior.noise):
            noise.raw.fill_(-20.0)
        prior.transitions.decay.fill_(9.0)
        z = prior(1000).sample((2,))
        single = prior(1000).log_prob(z)
        assert ((prior.double()(1000).log_prob(z.double()) - single) / 1000).abs().max() < 1e-4


def test_mixtures_of_its_matrices_are_contractions(prior):
    weights = torch.rand(7, 5).double().softmax(-1)
    mixtures = torch.einsum("mk,kij->mij", weights, prior.transitions())
    assert torch.linalg.matrix_norm(mixtures, 2).max() < 1


def test_weights_that_are_not_finite_are_named(prior):
    with torch.no_grad():
        prior.noise.raw[0] = float("nan")
    with pytest.raises(ValueError, match="KalmanLaw has a covariance .* at step 0: its weights"):
        prior(3).log_prob(torch.zeros(3, Z_DIM).double())
    with pytest.raises(ValueError, match="not positive definite at step 0"):
        prior(3).sample()


def test_bad_arguments():
    with pytest.raises(ValueError, match="matrices must be at least 1, got 0"):
        Kalman(3, matrices=0)
    with pytest.raises(ValueError, match="state_dim must be at least 1, got 0"):
        Kalman(3, state_dim=0)
