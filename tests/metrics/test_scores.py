"""Scores against cases worked out by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_dsae.metrics.scores import (
    accuracy,
    action_accuracies,
    disagreement,
    entropy,
    inception_score,
    kl,
    marginal,
    static_accuracies,
)


def log(*rows):
    return torch.tensor(rows, dtype=torch.float64).log()


def test_kl_by_hand():
    found = kl(log([0.5, 0.5], [0.25, 0.75]), log([0.25, 0.75], [0.25, 0.75]))
    expected = 0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75)
    assert found.tolist() == pytest.approx([expected, 0.0])


def test_kl_where_probabilities_vanish():
    sure, other = log([1.0, 0.0]), log([0.0, 1.0])
    assert kl(sure, sure).item() == 0.0
    assert kl(sure, other).item() == math.inf
    tiny = torch.tensor([[0.0, -2000.0]])  # exp(-2000) is 0 in any float
    assert kl(tiny, tiny.flip(-1)).item() == pytest.approx(2000.0)
    assert kl(log([0.5, 0.5]), tiny).item() == pytest.approx(1000.0 - math.log(2))


def test_entropy_by_hand():
    found = entropy(log([0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.5, 0.25, 0.25]))
    assert found.tolist() == pytest.approx([math.log(2), 0.0, 1.5 * math.log(2)])


def test_marginal_by_hand():
    assert marginal(log([0.9, 0.1], [0.3, 0.7])).exp().tolist() == pytest.approx([0.6, 0.4])


def test_inception_score_limits():
    one_of_each = torch.eye(9, dtype=torch.float64).log()
    assert inception_score(one_of_each) == pytest.approx(9.0)
    assert inception_score(one_of_each.repeat(5, 1)) == pytest.approx(9.0)
    assert inception_score(log([0.2, 0.3, 0.5]).expand(7, -1)) == pytest.approx(1.0)


def test_inception_score_by_hand():
    # p(y) = (0.5, 0.5); each KL is 0.9 log 1.8 + 0.1 log 0.2.
    expected = math.exp(0.9 * math.log(1.8) + 0.1 * math.log(0.2))
    assert inception_score(log([0.9, 0.1], [0.1, 0.9])) == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(2, 9), st.floats(0.0, 50.0), st.integers(0, 1000))
def test_inception_score_is_entropy_gained(n, classes, sharpness, seed):
    logits = torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))
    log_p = (sharpness * logits).double().log_softmax(-1)
    gained = entropy(marginal(log_p)) - entropy(log_p).mean()
    score = inception_score(log_p)
    assert score == pytest.approx(gained.exp().item(), rel=1e-9)
    assert 1 - 1e-9 <= score <= min(n, classes) + 1e-9
    order = torch.randperm(n)
    assert inception_score(log_p[order]) == pytest.approx(score)


def test_disagreement_and_accuracy_by_hand():
    p = log([0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3])
    q = log([0.6, 0.4], [0.7, 0.3], [0.1, 0.9], [0.8, 0.2])
    assert disagreement(p, q) == 0.25
    assert accuracy(p, torch.tensor([0, 0, 1, 1])) == 0.5


def test_static_accuracies_are_averaged():
    right = torch.eye(6).log()
    labels = {name: torch.arange(6) for name in ("skin", "trousers", "tops", "hair")}
    log_p = dict.fromkeys(labels, right)
    log_p["hair"] = right.roll(1, 0)
    log_p["tops"] = torch.cat([right[:3], right[3:].roll(1, 0)])
    assert static_accuracies(log_p, labels) == {
        "static_accuracy": 0.625,
        "skin": 1.0,
        "trousers": 1.0,
        "tops": 0.0 + 0.5,
        "hair": 0.0,
    }


def test_action_is_type_and_direction():
    truth = torch.tensor([0, 4, 8, 3])
    # Right; right type only (5 = 3 + 2); right direction only (2); both wrong (7 = 6 + 1).
    named = torch.nn.functional.one_hot(torch.tensor([0, 5, 2, 7]), 9).double().log()
    assert action_accuracies(named, truth) == {
        "action": 0.25,
        "action_type": 0.5,
        "direction": 0.5,
    }
