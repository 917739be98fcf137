"""Swaps judged frame by frame, of a pair that gives back what it has seen."""

from __future__ import annotations

import pyro
import pytest
import torch
from pyro import distributions as dist
from torch import nn

from pyro_dsae.data import ProceduralSprites
from pyro_dsae.metrics import Judge, single_frames, swap_by_frame, train_judge


@pytest.fixture(scope="module")
def data() -> ProceduralSprites:
    return ProceduralSprites("test", size=16, changing=True)


@pytest.fixture(scope="module")
def frame_judge(data) -> Judge:
    frames = single_frames(data, 4000)
    return train_judge(frames, single_frames(data, 500, seed=1), steps=150, batch_size=64)


class Eye(nn.Module):
    """z is the frames, f their mean over time."""

    def forward(self, x, **_):
        with pyro.plate("sequences", len(x)):
            f = pyro.sample("f", dist.Normal(x.mean(1).flatten(1), 1e-3).to_event(1))
            pyro.sample("z", dist.Normal(x.flatten(2), 1e-3).to_event(2))
        return f


class Hand(nn.Module):
    """Frames are z as it is."""

    def forward(self, x=None, *, batch_size=None, num_frames=None):
        size = 3 * 16 * 16
        with pyro.plate("sequences", batch_size):
            pyro.sample("f", dist.Normal(torch.zeros(size), 1.0).to_event(1))
            z = pyro.sample("z", dist.Normal(torch.zeros(num_frames, size), 1.0).to_event(2))
        return z.unflatten(-1, (3, 16, 16)).clamp(0, 1)


def test_single_frames_and_their_labels(data):
    frames = single_frames(data, 50, seed=3)
    order = torch.randperm(8 * len(data), generator=torch.Generator().manual_seed(3))[:50]
    assert frames.frames.shape == (50, 1, 3, 16, 16)
    for i, place in enumerate(order.tolist()):
        n, t = divmod(place, 8)
        assert torch.equal(frames.frames[i, 0], data.frames[n, t])
        assert all(frames.labels[k][i] == data.frame_labels[k][n, t] for k in frames.labels)
    assert len(single_frames(data)) == 8 * len(data)


def test_whose_each_frame_is(data, frame_judge):
    """The frames are those of the dynamics: all of it is theirs, and the content's as chance has it."""
    found = swap_by_frame(Hand(), Eye(), frame_judge, data, num_sequences=200)
    assert [*found] == ["skin", "trousers", "tops", "hair", "action_type", "direction"]
    for name, share in found.items():
        assert share["dynamics"] >= 0.9, name
        classes = {"action_type": 3, "direction": 3}.get(name, 6)
        assert share["content"] == pytest.approx(1 / classes, abs=0.1), name
    with pytest.raises(ValueError, match="num_sequences must be 2 to 2664, got 1"):
        swap_by_frame(Hand(), Eye(), frame_judge, data, num_sequences=1)
