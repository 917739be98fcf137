"""Lengths and gaps: a padded batch is its sequences one by one, and absent frames change nothing."""

from __future__ import annotations

import pyro
import pytest
import torch
from conftest import SIZES, every_pair
from pyro import poutine
from pyro.infer import Trace_ELBO
from torch.nn.utils.rnn import pad_sequence

import pyro_dsae
from pyro_dsae.handlers import PosteriorMean, latent_sites
from pyro_dsae.priors import PRIORS, LinearGaussian
from pyro_dsae.views import FewFrames, Recolour, ShuffleStrips

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


@pytest.mark.parametrize("gaps", [False, True], ids=["lengths", "gaps"])
@pytest.mark.parametrize("prior", PRIORS)
def test_every_prior_one_by_one(prior, gaps):
    model = pyro_dsae.DSAE(FRAME, prior=prior, **SIZES)
    guide = pyro_dsae.Full(FRAME, **SIZES)
    assert_one_by_one(model.double().eval(), guide.double().eval(), gaps)


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_what_stands_in_absent_frames_changes_nothing(names):
    """While training too, where draws are made: the same seed, the same loss, and no gradient from there."""
    model, guide = PAIRS[names](FRAME)
    x, mask = batch(gaps=True, dtype=torch.float32)
    others = [torch.full_like(x, torch.nan), torch.rand_like(x), torch.full_like(x, 1e30)]
    losses = []
    for other in others:
        seen = torch.where(mask.view(4, -1, 1, 1, 1), x, other).requires_grad_()
        pyro.set_rng_seed(0)
        losses.append(Trace_ELBO()(model, guide)(seen, mask=mask))
        (gradient,) = torch.autograd.grad(losses[-1], seen)
        assert gradient[mask].any() and not gradient[~mask].any() and gradient.isfinite().all()
    assert losses[0].isfinite() and losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_a_mask_of_all_frames_is_none(names):
    model, guide = PAIRS[names](FRAME)
    x = torch.rand(3, 4, *FRAME)
    mask = torch.ones(3, 4, dtype=torch.bool)
    torch.testing.assert_close(bounds(model, guide, x, mask=mask), bounds(model, guide, x))


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_z_is_drawn_up_to_the_end_and_then_0(names):
    model, guide = PAIRS[names](FRAME)
    x, mask = batch(gaps=True, dtype=torch.float32)
    elbo = Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1)
    assert torch.isfinite(elbo.differentiable_loss(model, guide, x, mask=mask))
    within = torch.arange(6) < torch.tensor(LENGTHS).unsqueeze(1)
    for program in (model, guide):
        z = poutine.trace(program).get_trace(x, mask=mask).nodes.get("z", {}).get("value")
        if z is not None and z.dim() == 3:
            assert (z != 0).all(-1).equal(within)


@pytest.mark.parametrize("guide_type", [pyro_dsae.Full, pyro_dsae.Pairwise])
def test_views_see_present_frames_alone(guide_type):
    view = torch.nn.Sequential(FewFrames(4), ShuffleStrips(2))
    options = {"content_view": view, "dynamics_view": Recolour()}
    model, guide = pyro_dsae.DSAE(FRAME, **SIZES), guide_type(FRAME, **SIZES, **options)
    x, mask = batch(gaps=True, dtype=torch.float32)
    losses = []
    for fill in (0.0, 0.7, torch.nan):
        pyro.set_rng_seed(0)
        seen = x.masked_fill(~mask.view(4, -1, 1, 1, 1), fill)
        losses.append(Trace_ELBO()(model, guide)(seen, mask=mask))
    assert losses[0].isfinite() and losses[0] == losses[1] == losses[2]


def test_few_frames_are_of_those_present():
    x = torch.arange(6.0).view(1, 6, 1).expand(500, 6, 1)
    mask = torch.tensor([0, 1, 1, 0, 1, 0], dtype=torch.bool).expand(500, 6)
    few, present = FewFrames(2).of_present(x, mask)
    assert few.shape == (500, 2, 1) and present.all()
    assert few.unique().tolist() == [1, 2, 4] and (few[:, 0] != few[:, 1]).all()
    few, present = FewFrames(4).of_present(x, mask)
    assert present.equal(torch.tensor([True, True, True, False]).expand(500, 4))
    assert (
        few[:, :3].sort(1).values.equal(torch.tensor([1.0, 2, 4]).view(1, 3, 1).expand(500, 3, 1))
    )


def test_what_cannot_honour_a_mask_says_so():
    class Half(torch.nn.Module):
        def forward(self, x):
            return x[:, ::2]

    class Whole(LinearGaussian):
        def forward(self, num_frames):
            return pyro.distributions.Delta(torch.zeros(num_frames, 3), event_dim=2)

    x, mask = batch(dtype=torch.float32)
    model, guide = pyro_dsae.DSAE(FRAME, **SIZES), pyro_dsae.Full(FRAME, **SIZES)
    own = pyro_dsae.DSAE(FRAME, prior=Whole(3), **SIZES)
    with pytest.raises(ValueError, match="needs a law of z with log_prefix, .* got Delta"):
        own(x, mask=mask)
    viewed = pyro_dsae.Full(FRAME, **SIZES, content_view=Half())
    with pytest.raises(
        ValueError, match=r"must keep all frames .*: Half made \(4, 3\) of \(4, 6\)"
    ):
        viewed(x, mask=mask)
    with pytest.raises(ValueError, match="which frames of x are present, got no x"):
        model(mask=mask)
    bad = [
        (mask.int(), r"mask must be bools \(batch, time\) of \(4, 6\), got .* of torch.int32"),
        (mask[:, 1:], r"mask must be bools \(batch, time\) of \(4, 6\), got \(4, 5\)"),
        (mask & (torch.arange(4) != 2).unsqueeze(1), r"none present in sequences \[2\]"),
    ]
    for wrong, message in bad:
        for call in (
            lambda wrong=wrong: model(x, mask=wrong),
            lambda wrong=wrong: guide(x, mask=wrong),
            lambda wrong=wrong: pyro_dsae.infer(guide, x, mask=wrong),
            lambda wrong=wrong: pyro_dsae.to_arviz(model, guide, x, mask=wrong),
        ):
            with pytest.raises(ValueError, match=message):
                call()


def test_an_exact_posterior_of_gaps_and_lengths():
    """Linear dynamics, of which some are measured: log Z is the evidence of what was measured."""
    prior = LinearGaussian(2).double()
    with torch.no_grad():
        for weight in prior.parameters():
            weight.normal_(0, 0.5)
    m, scale = torch.randn(4, 6, 2, dtype=torch.float64), torch.full((4, 6, 2), 0.3).double()
    _, mask = batch(gaps=True)
    law, log_normalizer = prior(6).conjugate_update(
        pyro.distributions.Normal(m, scale).to_event(2), mask
    )
    z = law.sample((3,))
    seen = pyro.distributions.Normal(z, scale).log_prob(m).sum(-1).where(mask, 0).sum(-1)
    joint = prior(6).log_prob(z) + seen
    torch.testing.assert_close(joint - law.log_prob(z), log_normalizer.expand(3, 4))
    whole = prior(6).conjugate_update(pyro.distributions.Normal(m, scale).to_event(2))
    masked = prior(6).conjugate_update(
        pyro.distributions.Normal(m, scale).to_event(2), torch.ones_like(mask)
    )
    torch.testing.assert_close(masked[0].log_prob(z), whole[0].log_prob(z))
    torch.testing.assert_close(masked[0].mean, whole[0].mean)
    torch.testing.assert_close(masked[1], whole[1])
