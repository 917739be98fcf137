"""Mixtures whose components have died, and begin anew."""

from __future__ import annotations

import copy

import pytest
import torch

from pyro_dsae.priors import Mixture


def fixed(*means: float) -> Mixture:
    """A prior of one number a step, whatever came before: around each of the means with the same chance."""
    prior = Mixture(1, hidden=4, components=len(means))
    with torch.no_grad():
        for weight in (prior.which.weight, prior.which.bias, prior.head.dense.weight):
            weight.zero_()
        prior.head.dense.bias[: len(means)] = torch.tensor(means)
    return prior


def only_the_first(prior: Mixture) -> Mixture:
    with torch.no_grad():
        prior.which.weight[1:], prior.which.bias[1:] = 0.0, -1e4
    return prior


def trained(prior: Mixture, z: torch.Tensor) -> float:
    """-log p(z) a sequence, after 200 steps."""
    optim = torch.optim.Adam(prior.parameters(), 1e-2)
    for _ in range(200):
        loss = -prior(z.shape[1]).log_prob(z).mean()
        optim.zero_grad()
        loss.backward()
        optim.step()
    return loss.item()


@pytest.mark.parametrize("residual", [False, True])
def test_a_broad_component_parts_into_what_it_covers(residual):
    """z stays where it begins, at one of three places; between them there is nothing."""
    torch.manual_seed(0)
    places = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    z = places.repeat(100, 1).unsqueeze(1) + 0.05 * torch.randn(300, 3, 2)
    before = only_the_first(Mixture(2, hidden=16, components=8, residual=residual))
    trained(before, z)
    after = copy.deepcopy(before)
    assert after.revive(z) == 7
    assert trained(after, z) < trained(before, z) - 2

    def between(prior):
        """The share of first steps that are drawn at none of the places."""
        first = prior(1).sample((2000,))
        return float((torch.cdist(first, places.expand(2000, -1, -1)) > 0.3).all(-1).float().mean())

    assert between(before) > 0.5
    assert between(after) < 0.1


def test_what_is_followed_stays_and_shares_its_weight():
    torch.manual_seed(0)
    prior = Mixture(3, hidden=16, components=5)
    with torch.no_grad():
        prior.which.weight[2:], prior.which.bias[2:] = 0.0, -1e4
    before, z = copy.deepcopy(prior), prior(6).sample((200,))
    assert prior.revive(z) == 3
    old, loc, scale, _ = before.transition(z)
    new, new_loc, new_scale, _ = prior.transition(z)
    assert new_loc[..., :2, :].equal(loc[..., :2, :])
    assert new_scale[..., :2, :].equal(scale[..., :2, :])
    chances = torch.zeros_like(old.softmax(-1)[..., :2])
    for k, chance in enumerate(new.softmax(-1).unbind(-1)):
        parent = int(prior.which.weight[k].equal(before.which.weight[1]))
        assert k < 2 or (new_scale[..., k, :] < scale[..., parent, :]).all()
        chances[..., parent] += chance
    torch.testing.assert_close(chances, old.softmax(-1)[..., :2])


def test_what_is_too_broad_has_the_new_ones():
    """Two live, each of half of the steps: one as wide as the two places that it covers, one as its own."""
    prior = fixed(0.0, 20.0, *[-1e3] * 8)
    with torch.no_grad():
        prior.head.dense.bias[10:12] = torch.tensor([2.0, -6.0])
    z = torch.tensor([-2.0, 2.0, 20.0, 20.0]).repeat(50).view(-1, 1, 1)
    assert prior.revive(z) == 8
    means = prior.head.dense.bias[2:10]
    assert set(means.tolist()) <= {-2.0, 2.0, 20.0} and {-2.0, 2.0} <= set(means.tolist())
    assert (means == 20.0).sum() <= 3


def test_nothing_dead_nothing_changed():
    prior = fixed(0.0, 5.0)
    before = copy.deepcopy(prior.state_dict())
    assert prior.revive(torch.tensor([0.0, 5.0, 0.0]).view(1, 3, 1)) == 0
    assert all(w.equal(before[name]) for name, w in prior.state_dict().items())


def test_what_follows_an_end_is_not_followed():
    z = torch.tensor([[0.0, 0.0, 50.0], [0.0, 0.0, 0.0]]).unsqueeze(-1)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert fixed(0.0, 50.0).revive(z) == 0
    assert fixed(0.0, 50.0).revive(z, mask) == 1


def test_a_component_of_one_step_is_not_dead():
    """Its share of all steps is one in a thousand, that of its own step is all."""
    z = torch.zeros(3, 2000, 1)
    z[:, 7] = 50.0
    assert fixed(0.0, 50.0).revive(z) == 0
    assert fixed(0.0, 90.0).revive(z) == 0  # no other is nearer to it
    assert fixed(0.0, 50.0, 90.0).revive(z) == 1


def test_of_many_alike_none_is_dead():
    """Each has less than the least share of every step."""
    assert fixed(*[0.0] * 2000).revive(torch.zeros(3, 4, 1)) == 0
    assert fixed(*[0.0] * 2000, 900.0).revive(torch.zeros(3, 4, 1)) == 1
