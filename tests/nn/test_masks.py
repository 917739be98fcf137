"""Lengths, gaps, and what networks make of them."""

from __future__ import annotations

import pytest
import torch

from pyro_dsae.nn import (
    PairSummary,
    SequenceSummary,
    along_time,
    filled,
    last_step,
    lengths_of,
    mean_of_present,
    within_lengths,
)

MASK = torch.tensor([[1, 1, 0, 1, 0], [0, 0, 1, 0, 1], [0, 1, 0, 0, 0]]).bool()


def test_a_sequence_ends_with_its_last_present_frame():
    assert lengths_of(MASK).tolist() == [4, 5, 2]
    assert within_lengths(MASK).int().tolist() == [
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
        [1, 1, 0, 0, 0],
    ]


def test_gaps_lie_on_the_line_between_their_neighbours():
    h = torch.tensor([[0.0, 2, 9, 4, 9], [9, 9, 1, 9, 3], [9, 5, 9, 9, 9]]).unsqueeze(-1)
    assert filled(h, MASK).squeeze(-1).tolist() == [
        [0, 2, 3, 4, 4],
        [1, 1, 1, 2, 3],
        [5, 5, 5, 5, 5],
    ]
    wide = torch.tensor([[0.0, 9, 9, 9, 4]]).view(1, 5, 1, 1).expand(1, 5, 2, 3)
    ends = torch.tensor([[True, False, False, False, True]])
    torch.testing.assert_close(filled(wide, ends)[0, :, 1, 2], torch.arange(5.0))


def test_means_are_of_present_frames():
    h = torch.randn(3, 5, 2)
    by_hand = torch.stack([row[mask].mean(0) for row, mask in zip(h, MASK, strict=True)])
    torch.testing.assert_close(mean_of_present(h, MASK), by_hand)


def test_recurrent_networks_stop_at_the_length():
    h, lengths = torch.randn(2, 3, 5, 4), torch.tensor([4, 5, 2])
    lstm = torch.nn.LSTM(4, 3, batch_first=True, bidirectional=True)
    out = along_time(lstm, h, lengths)
    for n, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(out[:, n, :length], along_time(lstm, h[:, n, :length]))
        assert not out[:, n, length:].any()
        assert last_step(h, lengths)[:, n].equal(h[:, n, length - 1])


def test_summary_of_a_sequence_is_that_of_its_frames():
    summary, h = SequenceSummary(4, 3), torch.randn(3, 5, 4)
    mask = within_lengths(MASK)
    alone = [summary(h[n : n + 1, :length]) for n, length in enumerate([4, 5, 2])]
    torch.testing.assert_close(summary(h, mask), torch.cat(alone))


@pytest.mark.parametrize("pairs_at_once", [1, 100])
def test_pairs_are_of_present_frames(pairs_at_once):
    summary = PairSummary((3, 2, 2), 8, pairs_at_once=pairs_at_once)
    h = torch.randn(3, 5, 3, 2, 2, requires_grad=True)
    alone = torch.cat([summary(h[n : n + 1, mask]) for n, mask in enumerate(MASK)])
    together = summary(h, MASK)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    (expected,), (found,) = (torch.autograd.grad(g.square().sum(), h) for g in (alone, together))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
