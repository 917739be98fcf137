"""Prefixes: what fit sees of them, their lengths, their errors."""

from __future__ import annotations

import pytest
import torch

from pyro_dsae import evaluate_elbo, fit, piecewise_linear
from pyro_dsae.data import Sequences
from pyro_dsae.training import random_prefixes

CPU = {"device": "cpu", "progress": False, "batch_size": 4}


def test_lengths_are_even_and_grow():
    length = random_prefixes(2, 5, seed=3)
    counts = torch.tensor([length(step) for step in range(2000)]).bincount()
    assert counts[:2].sum() == 0
    assert all(430 < count < 570 for count in counts[2:])
    assert [length(step) for step in range(50)] == [
        random_prefixes(2, 5, seed=3)(s) for s in range(50)
    ]
    assert [length(step) for step in range(50)] != [
        random_prefixes(2, 5, seed=4)(s) for s in range(50)
    ]

    growing = random_prefixes(2, piecewise_linear((0, 2), (100, 30)))
    assert max(growing(step) for step in range(50)) <= 16
    assert max(growing(step) for step in range(100, 300)) == 30

    often = random_prefixes(2, 5, whole=0.5, seed=3)
    counts = torch.tensor([often(step) for step in range(2000)]).bincount()
    assert all(190 < count < 310 for count in counts[2:5]) and 1130 < counts[5] < 1370
    always = random_prefixes(2, piecewise_linear((0, 2), (100, 30)), whole=1.0)
    assert [always(step) for step in (0, 50, 200)] == [2, 16, 30]


def test_a_step_sees_the_first_frames_alone(make_pair, x):
    """Other frames after them, other numbers after them: the same losses; other frames among them are not."""
    seen = {}
    for name, frames in (("past", slice(3, None)), ("first", slice(0, 3)), ("as it is", None)):
        changed = x.clone()
        if frames is not None:
            changed[:, frames] = 1 - changed[:, frames]
        seen[name] = fit(*make_pair(), changed, steps=3, num_frames=3, **CPU).losses
    cut = fit(*make_pair(), x[:, :3], steps=3, **CPU).losses
    assert seen["past"] == seen["as it is"] == cut
    assert seen["first"] != seen["as it is"]


def test_a_function_of_the_step_and_masks(make_pair, x):
    """Lengths by step, cut from the mask as from x."""
    lengths = []

    def growing(step):
        lengths.append(step + 2)
        return step + 2

    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    mask[:, 2] = False
    data = Sequences(x, {"mask": mask})
    model, guide = make_pair()
    fit(model, guide, data, steps=3, num_frames=growing, **CPU)
    assert lengths == [2, 3, 4]
    assert evaluate_elbo(model, guide, data)["elbo"] < 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: random_prefixes(0, 3), "shortest must be at least 1, got 0"),
        (lambda: random_prefixes(4, 3), "longest must be at least 4, got 3"),
        (lambda: random_prefixes(4, 5, whole=1.5), "whole must be a share, 0 to 1, got 1.5"),
        (
            lambda: random_prefixes(4, lambda step: 3.9)(7),
            "longest must be at least shortest, 4, got 3 at step 7",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_errors_of_fit(make_pair, x):
    for wrong in (0, lambda step: 0):
        with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
            fit(*make_pair(), x, steps=1, num_frames=wrong, **CPU)
    with pytest.raises(TypeError, match=r"num_frames must be a whole number, got 2\.5"):
        fit(*make_pair(), x, steps=1, num_frames=2.5, **CPU)
