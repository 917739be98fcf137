"""The factorised hierarchical VAE: its own sites, the same training and control."""

from __future__ import annotations

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from torch.distributions import Normal
from torch.nn import functional as F
from torch.utils.data import Dataset

import pyro_dsae
from pyro_dsae import FHVAE, FHVAEGuide

SIZES = {"z1_dim": 3, "z2_dim": 4, "channels": 4, "hidden": 16}
UTTERANCES = 7


@pytest.fixture
def pair() -> tuple[FHVAE, FHVAEGuide]:
    return FHVAE((20,), **SIZES), FHVAEGuide((20,), utterances=UTTERANCES, **SIZES)


@pytest.fixture
def segments() -> dict[str, torch.Tensor]:
    """12 segments of 5 frames, and where they come from."""
    utterance = torch.arange(12) % UTTERANCES
    return {"x": torch.randn(12, 5, 20), "utterance": utterance, "segments": torch.full((12,), 9)}


class Hums(Dataset):
    """Segments about the mean of their utterance."""

    def __len__(self) -> int:
        return 70

    def __getitem__(self, i: int) -> tuple[torch.Tensor, dict[str, int]]:
        level = float(i % UTTERANCES)
        return level + 0.1 * torch.randn(5, 20), {"utterance": i % UTTERANCES, "segments": 10}


def test_sites_and_gradients(pair, segments):
    model, guide = pair
    trace = poutine.trace(guide).get_trace(**segments)
    replayed = poutine.trace(poutine.replay(model, trace=trace)).get_trace(**segments)
    for name, event in (("mu2", (4,)), ("z2", (4,)), ("z1", (3,)), ("x", (5, 20))):
        fn = replayed.nodes[name]["fn"]
        assert (fn.batch_shape, fn.event_shape) == ((12,), event)
    p_z2 = replayed.nodes["z2"]["fn"]
    torch.testing.assert_close(p_z2.mean, trace.nodes["mu2"]["value"])
    torch.testing.assert_close(p_z2.stddev, torch.full((12, 4), 0.5))
    Trace_ELBO()(model, guide)(**segments).backward()
    for module in pair:
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_segment_bears_its_share_of_the_utterances_prior(pair, segments):
    model, guide = pair
    terms = pyro_dsae.elbo_terms(model, guide, **segments)
    mu2 = guide.mu2(segments["utterance"])
    torch.testing.assert_close(terms["kl_mu2"], -Normal(0, 1).log_prob(mu2).sum(1) / 9)


@pytest.mark.parametrize("elbo", [Trace_ELBO, TraceMeanField_ELBO])
def test_so_it_does_in_an_elbo_of_closed_forms(pair, segments, elbo):
    """Their KL takes the scale of the guide's site."""
    losses = []
    for count in (1, 9):
        pyro.set_rng_seed(0)
        given = {**segments, "segments": torch.full((12,), count)}
        losses.append(elbo().loss(*pair, **given))
    mu2 = pair[1].mu2(segments["utterance"])
    whole = -float(Normal(0, 1).log_prob(mu2).sum())
    assert losses[0] - losses[1] == pytest.approx(whole * 8 / 9, rel=1e-3)


def test_the_discriminative_term(pair, segments):
    model, guide = pair
    losses = []
    for alpha in (0.0, 10.0):
        guide.discriminative = alpha
        pyro.set_rng_seed(1)
        losses.append(Trace_ELBO()(model, guide)(**segments))
    z2 = poutine.trace(guide).get_trace(**segments).nodes["z2"]["fn"].mean
    logits = torch.stack(
        [Normal(mu, 0.5).log_prob(z2).sum(1) for mu in guide.mu2.weight], dim=1
    )  # the Normals' constants do not matter to a softmax
    log_p = F.log_softmax(logits, 1)[torch.arange(12), segments["utterance"]]
    torch.testing.assert_close(losses[0] - losses[1], 10 * log_p.sum(), rtol=1e-3, atol=1e-2)


def test_mu2_of_a_segment_alone_is_the_likeliest(pair, segments):
    _, guide = pair
    latents = pyro_dsae.infer(guide, segments["x"])
    mu2 = latents["mu2"].clone().requires_grad_()
    (Normal(0, 1).log_prob(mu2) + Normal(mu2, 0.5).log_prob(latents["z2"])).sum().backward()
    torch.testing.assert_close(mu2.grad, torch.zeros_like(mu2), atol=1e-4, rtol=0)


def test_control(pair, segments):
    model, guide = (module.eval() for module in pair)
    x = segments["x"]
    content, dynamics = x[:6], x[6:]
    kept, moved = pyro_dsae.infer(guide, content), pyro_dsae.infer(guide, dynamics)
    by_hand = pyro_dsae.generate(
        model, z2=kept["z2"], mu2=kept["mu2"], z1=moved["z1"], num_frames=5
    )
    torch.testing.assert_close(pyro_dsae.swap(model, guide, content, dynamics), by_hand)
    assert pyro_dsae.reconstruct(model, guide, x).shape == x.shape
    assert pyro_dsae.generate(model, batch_size=2, num_frames=30).shape == (2, 30, 20)
    assert pyro_dsae.generate(model).shape == (1, 20, 20)


def test_fit_hands_it_the_labels(pair):
    model, guide = pair
    options = {"steps": 300, "batch_size": 14, "lr": 1e-2, "device": "cpu"}
    history = pyro_dsae.fit(model, guide, Hums(), labels=("utterance", "segments"), **options)
    assert sum(history.losses[-10:]) < 0.5 * sum(history.losses[:10])
    x = torch.stack([Hums()[i][0] for i in range(70)])
    z2 = pyro_dsae.infer(guide.eval(), x)["z2"]
    nearest = torch.cdist(z2, guide.mu2.weight).argmin(1)
    assert (nearest == torch.arange(70) % UTTERANCES).float().mean() > 0.6  # by chance a seventh
    with pytest.raises(
        ValueError, match="FHVAE takes .*utterance, segments, mask beside x, got speaker"
    ):
        pyro_dsae.fit(model, guide, Hums(), labels=("speaker",), **options)
    with pytest.raises(ValueError, match=r"labels must be among \[\], got \['utterance'\]"):
        pyro_dsae.fit(model, guide, x, labels=("utterance",), **options)


def test_is_saved_with_its_table(pair, segments, tmp_path):
    pyro_dsae.save(tmp_path, *pair)
    model, guide = pyro_dsae.load(tmp_path)
    assert guide.discriminative == 10.0
    torch.testing.assert_close(guide.mu2.weight, pair[1].mu2.weight)
    x = segments["x"]
    before = pyro_dsae.reconstruct(*(module.eval() for module in pair), x)
    torch.testing.assert_close(pyro_dsae.reconstruct(model, guide, x), before)


def test_errors():
    with pytest.raises(ValueError, match="utterances must be at least 1 .*got 0 and 10"):
        FHVAEGuide((20,), utterances=0, **SIZES)


def test_utterances_that_are_not_among_those_to_learn_from(pair, segments):
    _, guide = pair
    for wrong in (UTTERANCES, -1):
        utterance = segments["utterance"].clone()
        utterance[3] = wrong
        with pytest.raises(
            ValueError, match="utterance must be 0 to 6, one of those to learn from"
        ):
            guide(segments["x"], utterance=utterance)
    with pytest.raises(TypeError, match="utterances must be a whole number, got 2.5"):
        FHVAEGuide((20,), utterances=2.5, **SIZES)
    with pytest.raises(ValueError, match="z2_scale must be positive, got -1"):
        FHVAEGuide((20,), utterances=7, z2_scale=-1.0, **SIZES)
    with pytest.raises(ValueError, match="not negative, got 7 and nan"):
        FHVAEGuide((20,), utterances=7, discriminative=float("nan"), **SIZES)


def test_one_scale_of_z2_for_both(segments):
    pair = FHVAE((20,), z2_scale=2.0, **SIZES), FHVAEGuide((20,), utterances=7, **SIZES)
    with pytest.raises(ValueError, match="z2_scale is 2.0 and 0.5"):
        pyro_dsae.evaluate_elbo(*pair, segments["x"])
