"""What may be done to a sequence when it is read."""

from __future__ import annotations

import pytest
import torch

from pyro_dsae.data import RandomFrames


def test_random_frames_are_some_of_the_sequence_each_once_and_in_any_order():
    x = torch.arange(10.0).reshape(10, 1, 1, 1)
    drawn = [RandomFrames(4)(x).flatten().tolist() for _ in range(50)]
    assert all(len(set(frames)) == 4 for frames in drawn)
    assert {frame for frames in drawn for frame in frames} == set(range(10))
    assert any(frames != sorted(frames) for frames in drawn)
    torch.testing.assert_close(RandomFrames(10)(x).sort(0).values, x)


def test_bad_numbers_are_named():
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        RandomFrames(0)
    with pytest.raises(ValueError, match="x must have at least 4 frames, got 3"):
        RandomFrames(4)(torch.zeros(3, 1, 8, 8))
