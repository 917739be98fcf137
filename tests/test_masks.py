"""Lengths and gaps: a padded batch is its sequences one by one, and absent frames change nothing."""

from __future__ import annotations

import pytest
import torch
from conftest import every_pair
from pyro import poutine
from torch.nn.utils.rnn import pad_sequence

from pyro_dsae.handlers import PosteriorMean, latent_sites

FRAME = (1, 8, 8)
LENGTHS = (6, 3, 1, 5)
PAIRS = every_pair()


def batch(frame=FRAME, gaps=False, dtype=torch.float64):
    """Four sequences of their own lengths, padded with NaN, and with frames missing inside."""
    x = pad_sequence([torch.rand(n, *frame, dtype=dtype) for n in LENGTHS], batch_first=True)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS).unsqueeze(1)
    if gaps:
        mask[0, [0, 3]] = mask[1, 1] = mask[3, 1:4] = False
    return x.masked_fill(~mask.view(4, -1, *[1] * len(frame)), torch.nan), mask


def bounds(model, guide, x, **given):
    """The ELBO of each sequence at its posterior means, ``(N,)``: what it takes of chance is the same."""
    q = poutine.trace(PosteriorMean()(guide)).get_trace(x, **given)
    p = poutine.trace(poutine.replay(model, trace=q)).get_trace(x, **given)
    q.compute_log_prob(), p.compute_log_prob()
    sites = latent_sites(q)
    total = p.nodes["x"]["log_prob"]
    return total + sum(p.nodes[s]["log_prob"] - q.nodes[s]["log_prob"] for s in sites)


def gradients(model, guide, loss):
    weights = [*torch.nn.ModuleList([model, guide]).parameters()]
    return [*torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)]


def assert_one_by_one(model, guide, gaps):
    x, mask = batch(model.frame_shape, gaps)
    together = bounds(model, guide, x, mask=mask)
    parts = []
    for n, length in enumerate(LENGTHS):
        given = {"mask": mask[n : n + 1, :length]} if gaps else {}
        parts.append(bounds(model, guide, x[n : n + 1, :length], **given))
    alone = torch.cat(parts)
    assert alone.isfinite().all()
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    got, expected = (gradients(model, guide, loss.sum()) for loss in (together, alone))
    assert sum(bool(g.any()) for g in got) > len(got) // 2
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * max(1.0, float(b.abs().max())))


@pytest.mark.parametrize("gaps", [False, True], ids=["lengths", "gaps"])
@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_a_padded_batch_is_its_sequences_one_by_one(names, gaps):
    model, guide = PAIRS[names](FRAME)
    assert_one_by_one(model.double().eval(), guide.double().eval(), gaps)
