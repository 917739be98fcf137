"""Batches of sequences with one label."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pyro_dsae
from pyro_dsae.data import Groups, Sequences, Series
from pyro_dsae.objectives import Grouped

WHO = torch.tensor([5, 2, 5, 9, 2, 5, 5])


@pytest.fixture
def data() -> Sequences:
    x = torch.arange(7.0).reshape(7, 1, 1).expand(7, 4, 20) / 7
    return Sequences(x, {"who": WHO})


def test_others_of_the_same_label_follow_each(data):
    groups = Groups(data, "who", 3)
    found = set()
    for _ in range(30):
        x, labels = groups.batch(torch.tensor([0, 3, 4]))
        index = (x[:, 0, 0] * 7).round().long().reshape(3, 3)
        assert index[:, 0].tolist() == [0, 3, 4]
        assert (WHO[index] == WHO[index[:, :1]]).all()
        assert torch.equal(labels["who"], WHO[index].flatten())
        assert index[1].tolist() == [3, 3, 3] and index[2, 1:].tolist() == [1, 1]  # no other
        found |= {*index[0, 1:].tolist()}
    assert found == {2, 5, 6}  # never itself
    assert len(groups) == 7 and groups[4][1] == {"who": 2}


@pytest.mark.parametrize("chosen", [{}, {"draws": 3}, {"windows": "tiled"}])
def test_groups_of_windows_are_by_the_recording_of_each(chosen):
    """Whichever recordings have been selected, in whichever order, however often."""
    who = torch.tensor([0, 0, 1, 1])
    series = Series([np.zeros((9 + i, 2)) + i for i in range(4)], num_frames=4, labels={"who": who})
    groups = Groups(series.select([3, 0, 2, 1], **chosen), "who", 2)
    _, labels = groups.batch(torch.arange(len(groups)))
    pairs = labels["who"].reshape(-1, 2)
    assert torch.equal(pairs[:, 0], pairs[:, 1]) and {*pairs[:, 0].tolist()} == {0, 1}
    assert torch.equal(labels["who"], who[labels["series"]])


def test_fit_takes_groups(data, make_pair):
    history = pyro_dsae.fit(
        *make_pair((20,)),
        Groups(data, "who", 3),
        steps=4,
        batch_size=3,
        elbo=Grouped("who"),
        device="cpu",
        progress=False,
    )
    assert len(history.losses) == 4


def test_workers_would_read_no_groups(data, make_pair):
    options = {"steps": 1, "batch_size": 3, "device": "cpu", "progress": False, "num_workers": 1}
    with pytest.raises(ValueError, match="num_workers must be 0: groups are read by batches"):
        pyro_dsae.fit(*make_pair((20,)), Groups(data, "who", 3), **options)


def test_bad_groups(data):
    with pytest.raises(ValueError, match="by must be one of who, got speaker"):
        Groups(data, "speaker")
    with pytest.raises(ValueError, match="by must be one of no labels, got who"):
        Groups(Sequences(torch.zeros(3, 2, 4)), "who")
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        Groups(data, "who", 0)
    with pytest.raises(ValueError, match="data must have no transform, got <"):
        Groups(Sequences(torch.zeros(3, 2, 4), {"who": [0, 0, 1]}, transform=lambda x: x), "who")
