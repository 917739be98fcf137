"""Objectives with further terms: values by hand, gradients, and where each is the ELBO."""

from __future__ import annotations

import math

import pyro
import pytest
import torch
from conftest import every_pair
from pyro import distributions as dist
from pyro import poutine
from pyro.infer import SVI
from torch import nn
from torch.distributions import kl_divergence

import pyro_dsae
from pyro_dsae import DSAE, guides, views
from pyro_dsae.data import Sequences
from pyro_dsae.objectives import (
    CDSVAE,
    SPYL,
    Grouped,
    Joined,
    KLWeights,
    LatentInformation,
    MutualInformation,
    ReparametrisedELBO,
    SwapConsistency,
    TotalCorrelation,
)
from pyro_dsae.objectives.base import Seen, Sites
from pyro_dsae.objectives.cdsvae import agreement

PAIRS = {"-".join(names): make for names, make in every_pair().items()}
OBJECTIVES = {
    "MutualInformation": lambda weight=1.0: MutualInformation(weight, size=100),
    "TotalCorrelation": TotalCorrelation,
    "CDSVAE": lambda weight=1.0: CDSVAE(views.FewFrames(2), torch.flipud, weight=weight),
    "SPYL": lambda weight=1.0: SPYL(weight, bank=4),
    "SwapConsistency": SwapConsistency,
    "LatentInformation": LatentInformation,
}
GROUPS = torch.tensor([7, 3, 7, 3, 7, 1])


def normal(loc, scale):
    return dist.Normal(torch.tensor(loc), torch.tensor(scale))


F_LAW, F = ([[0.0], [1.0]], [[1.0], [0.5]]), [[0.3], [0.8]]
Z_LAW = ([[[0.0], [2.0]], [[-1.0], [2.0]]], [[[0.5], [1.0]], [[1.0], [1.0]]])
Z = [[[0.1], [1.5]], [[-0.5], [2.2]]]


@pytest.fixture
def batch(seen):
    """Two sequences of two frames, f and z_t of one number each."""
    laws = [tuple(torch.tensor(part) for part in law) for law in (F_LAW, Z_LAW)]
    return seen(laws[0], torch.tensor(F), laws[1], torch.tensor(Z))


def density(law, index, value):
    """q(value | x) of a number, and of the sequence and frame that ``index`` names."""
    loc, scale = law
    for i in index:
        loc, scale = loc[i], scale[i]
    return math.exp(-0.5 * ((value - loc[0]) / scale[0]) ** 2) / (scale[0] * math.sqrt(2 * math.pi))


@pytest.mark.parametrize("size", [1, 50])
def test_mutual_information_by_hand(batch, size):
    total = 0.0
    for i in range(2):
        for t in range(2):
            f = [density(F_LAW, (j,), F[i][0]) for j in range(2)]
            z = [density(Z_LAW, (j, t), Z[i][t][0]) for j in range(2)]
            joint = sum(a * b for a, b in zip(f, z, strict=True))
            total += max(0.0, math.log(joint * 2 * size / (sum(f) * sum(z)))) / 4
    found = MutualInformation(size=size).penalty(batch)
    assert float(found) == pytest.approx(total, rel=1e-5) and total > 0


def test_total_correlation_by_hand(seen):
    """Of f = (a, a), which two sequences tell apart, less than log 2; of an f whose halves are apart, 0."""
    loc, scale = torch.tensor([[-3.0, -3.0], [3.0, 3.0]]), torch.ones(2, 2)
    z = (torch.zeros(2, 2, 1), torch.ones(2, 2, 1))
    value = torch.tensor([[-2.5, -3.0], [3.5, 2.0]])
    found = TotalCorrelation().penalty(seen((loc, scale), value, z, torch.zeros(2, 2, 1)))
    expected = 0.0
    for i in range(2):
        p = [
            [normal(loc[j, d].item(), 1.0).log_prob(value[i, d]).exp() for j in (0, 1)]
            for d in (0, 1)
        ]
        joint = sum(p[0][j] * p[1][j] for j in (0, 1)) / 2
        expected += float((joint / ((sum(p[0]) / 2) * (sum(p[1]) / 2))).log()) / 2
    assert float(found) == pytest.approx(expected, rel=1e-4)
    assert 0.6 < float(found) < math.log(2)
    shifted = TotalCorrelation(size=30).penalty(seen((loc, scale), value, z, torch.zeros(2, 2, 1)))
    assert float(shifted - found) == pytest.approx(math.log(30), rel=1e-4)


@pytest.mark.parametrize("objective", [MutualInformation(size=9), TotalCorrelation()])
def test_gradients_of_densities(seen, objective):
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 2), (3, 2, 2))
    values = [torch.randn(shape, generator=generator, dtype=torch.double) for shape in shapes]
    means = [torch.randn(v.shape, generator=generator, dtype=torch.double) for v in values]
    means = [mean.requires_grad_() for mean in means]

    def penalty(f_loc, z_loc):
        laws = [(loc, torch.full_like(loc, 0.8)) for loc in (f_loc, z_loc)]
        return objective.penalty(seen(laws[0], values[0], laws[1], values[1]))

    assert torch.autograd.gradcheck(penalty, means)


def test_agreement_by_hand():
    a, b = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 3.0], [0.0, 1.0]])
    half = 1 / math.sqrt(2)  # cosine of a_1 and b_1, of b_1 and a_2, of b_1 and b_2
    by_pair = {
        "a1": (half, (half, 0.0, 0.0)),
        "a2": (1.0, (1.0, half, 0.0)),
        "b1": (half, (half, half, half)),
        "b2": (1.0, (1.0, half, 0.0)),
    }
    expected = [
        -math.log(math.exp(own / 0.5) / sum(math.exp(c / 0.5) for c in others))
        for own, others in by_pair.values()
    ]
    assert float(agreement(a, b, 0.5)) == pytest.approx(sum(expected) / 4, rel=1e-5)
    assert float(agreement(a[:1], b[:1], 0.5)) == 0.0  # nothing else to be taken for


def test_cdsvae_asks_for_the_means_of_views(make_pair, x):
    """A view under which nothing changes, and one that leaves nothing."""
    pair = make_pair()
    same = CDSVAE(torch.clone, temperature=0.1)
    blank = CDSVAE(torch.zeros_like, temperature=0.1)
    plain = ReparametrisedELBO()(*pair)
    losses = []
    for elbo in (plain, same(*pair), blank(*pair)):
        pyro.set_rng_seed(1)
        losses.append(float(elbo(x).detach()) / len(x))
    f = pyro_dsae.infer(pair[1], x)["f"]
    assert losses[1] - losses[0] == pytest.approx(float(agreement(f, f, 0.1)), abs=2e-3)
    assert losses[2] > losses[1] + 0.5
    # Both terms are the sum of each alone.
    pyro.set_rng_seed(1)
    both = float(CDSVAE(torch.clone, torch.clone, temperature=0.1)(*pair)(x).detach()) / len(x)
    z = pyro_dsae.infer(pair[1], x)["z"].flatten(1)
    assert both - losses[1] == pytest.approx(float(agreement(z, z, 0.1)), abs=2e-3)


def test_spyl_contrasts_with_what_is_farthest():
    own = normal([[1.0, 0.0]], [[0.1, 1.0]])
    positive = normal([[1.0, 1.0]], [[1.0, 1.0]])
    # By KL the second is farther than the first, which is farther by the mean alone; the third is farthest.
    others = normal(
        [[3.0, 0.0], [-1.0, 0.0], [0.0, -9.0], [1.0, 0.0]],
        [[9.0, 1.0], [0.3, 1.0], [1.0, 1.0], [0.1, 1.0]],
    )
    distances = kl_divergence(normal([1.0, 0.0], [0.1, 1.0]), others).sum(-1)
    assert distances.argsort().tolist() == [3, 0, 1, 2]
    positive_cosine, negatives = 1 / math.sqrt(2), (0.0, -1.0)
    weights = [math.exp(c / 0.5) for c in (positive_cosine, *negatives)]
    expected = -math.log(weights[0] / sum(weights))
    assert float(SPYL(temperature=0.5).contrast(own, positive, others)) == pytest.approx(expected)


class Mirror(torch.nn.Module):
    """Posteriors that are read off the first two numbers of each frame, (f, z_t)."""

    def __init__(self, mix: float = 0.0):
        super().__init__()
        self.mix = torch.nn.Parameter(torch.tensor(mix))

    def forward(self, x, **_):
        with pyro.plate("sequences", len(x), dim=-1):
            loc = (x[..., :1] + self.mix * x[..., 1:]).mean(1)
            f = pyro.sample("f", dist.Normal(loc, 0.1).to_event(1))
            pyro.sample("z", dist.Normal(x[..., 1:], 0.1).to_event(2))
        return f


class Frame(torch.nn.Module):
    """Frames (f, z_t)."""

    def forward(self, x=None, *, batch_size=None, num_frames=None):
        size, steps = x.shape[:2] if x is not None else (batch_size, num_frames)
        with pyro.plate("sequences", size, dim=-1):
            f = pyro.sample("f", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            z = pyro.sample("z", dist.Normal(torch.zeros(steps, 1), 1.0).to_event(2))
            mean = torch.cat([f.unsqueeze(1).expand(-1, steps, -1), z], dim=-1)
            pyro.sample("x", dist.Normal(mean, 1.0).to_event(2), obs=x)
        return mean


def term(objective, model, guide, x, seed=0):
    """What an objective adds to the ELBO, nats a sequence."""
    losses = []
    for elbo in (ReparametrisedELBO(), objective):
        pyro.set_rng_seed(seed)
        losses.append(elbo.differentiable_loss(model, guide, x))
    return (losses[1] - losses[0]) / len(x)


def test_a_swap_comes_back_where_f_knows_of_f_alone():
    """Value and gradient: what is to come back stands still."""
    x = torch.randn(64, 5, 2)
    x[..., 0] = x[:, :1, 0]  # content stays
    for share in (0.0, 0.5):
        guide, mix = Mirror(share), torch.tensor(share, requires_grad=True)
        pyro.set_rng_seed(0)
        f, z = x[:, 0, :1] + mix * x[..., 1:].mean(1), x[..., 1:]
        drawn_f, drawn_z = f + 0.1 * torch.randn(64, 1), z + 0.1 * torch.randn(64, 5, 1)
        moved = drawn_z.roll(-1, 0)
        off_f = f.detach() - (drawn_f + mix * moved.mean(1))
        expected = (off_f.square().sum() + (z.roll(-1, 0) - moved).square().sum()) / 0.02 / 64
        found = term(SwapConsistency(), Frame(), guide, x)
        assert found.item() == pytest.approx(expected.item(), rel=1e-3)
        expected.backward(), found.backward()
        assert guide.mix.grad.item() == pytest.approx(mix.grad.item(), rel=1e-2, abs=0.1)
    assert guide.mix.grad > 1  # to use less of z for f


def test_latent_information_by_hand():
    """A guide that reads latents off the frames finds them to within its scale."""
    x = torch.randn(200, 5, 2)
    found = term(LatentInformation(), Frame(), Mirror(), x)
    at_the_mean = 6 * float(normal(0.0, 0.1).log_prob(torch.tensor(0.0)))
    assert float(found.detach()) == pytest.approx(-at_the_mean, rel=1e-4)
    mixed = term(LatentInformation(), Frame(), Mirror(1.0), x)  # off by the mean of 5 draws of z
    assert float((mixed - found).detach()) == pytest.approx(0.5 * (1 / 5) / 0.1**2, rel=0.2)


@pytest.mark.parametrize("name", ["Full", "Pairwise", "Pooled"])
def test_latent_information_of_a_guide_whose_z_depends_on_f(name):
    """It is asked for the z that was drawn at the f that was drawn, not at another of its own."""
    sizes = {"f_dim": 5, "z_dim": 3, "hidden": 8}
    model, guide = DSAE((12,), **sizes), getattr(guides, name)((12,), **sizes)
    for head in (guide.f_head, guide.z_head[-1] if name != "Full" else guide.z_head):
        nn.init.constant_(head.dense.bias[len(head.dense.bias) // 2 :], 0.5)
    seen = Seen(model, guide, torch.rand(64, 6, 12), Sites())
    pyro.set_rng_seed(0)
    found = LatentInformation().penalty(seen)
    pyro.set_rng_seed(0)
    frames, drawn = seen.decode({})
    latents = {site: drawn.values[site] for site in ("f", "z")}
    trace = poutine.trace(poutine.condition(guide, data=latents)).get_trace(frames)
    trace.compute_log_prob()
    expected = -sum(trace.nodes[site]["log_prob"] for site in ("f", "z")).mean()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_in_double_precision(name, make_pair, x):
    model, guide = (program.double() for program in make_pair())
    assert pyro_dsae.reconstruct(model, guide, x).dtype == torch.float64
    loss = OBJECTIVES[name]().differentiable_loss(model, guide, x.double())
    assert loss.dtype == torch.float64 and loss.isfinite()


def test_the_prior_is_not_taught_to_draw_what_is_easily_told(make_pair, x):
    model, guide = make_pair()
    term(LatentInformation(), model, guide, x).backward()
    assert all(p.grad is None or not p.grad.abs().sum() > 1e-2 for p in model.prior.parameters())
    assert all(p.grad.abs().sum() > 0 for p in model.decoder.parameters())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_without_weight_it_is_the_elbo(make_pair, x, name):
    assert term(OBJECTIVES[name](0.0), *make_pair(), x).item() == 0.0
    assert term(OBJECTIVES[name](), *make_pair(), x).item() != 0.0


def test_one_sequence_has_no_mutual_information(make_pair, x):
    pair = make_pair()
    assert term(MutualInformation(), *pair, x[:1]).item() == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("pair", PAIRS)
def test_every_objective_takes_a_step_with_every_pair(pair):
    torch.manual_seed(0)
    x, objectives = torch.rand(6, 3, 20), {**OBJECTIVES, "Grouped": lambda: Grouped("who")}
    for name, make in objectives.items():
        model, guide = PAIRS[pair]((20,))
        given = {"who": GROUPS} if name == "Grouped" else {}
        elbo = make()
        svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-2}), elbo)
        before = [p.clone() for p in guide.parameters()]
        assert math.isfinite(svi.step(x, **given)) and math.isfinite(svi.evaluate_loss(x, **given))
        changed = [not torch.equal(a, b) for a, b in zip(before, guide.parameters(), strict=True)]
        assert sum(changed) >= len(changed) - 1, name  # FHVAE's table needs to know the utterances


@pytest.mark.parametrize("checked", [True, False])
def test_fit_and_svi_see_one_loss(make_pair, x, checked):
    objective = MutualInformation(3.0) + SwapConsistency(0.5)
    values = []
    for part in (objective, MutualInformation(3.0), SwapConsistency(0.5)):
        with pyro.validation_enabled(checked):
            values.append(float(term(part, *make_pair(), x).detach()))
    assert values[0] == pytest.approx(values[1] + values[2], abs=2e-3)

    model, guide = make_pair()
    history = pyro_dsae.fit(
        model, guide, x, steps=1, batch_size=12, elbo=objective, device="cpu", progress=False
    )
    model, guide = make_pair()
    pyro.set_rng_seed(0)
    order = torch.tensor([*torch.utils.data.DistributedSampler(x, 1, 0, seed=0)])
    svi = SVI(model.train(), guide.train(), pyro.optim.Adam({"lr": 1e-3}), objective)
    assert history.losses == [pytest.approx(svi.step(x[order]) / 12, rel=1e-5)]


def test_grouped_by_hand():
    """Two sequences share a product of Normals, one draw of which counts once; one is alone."""
    x = torch.tensor([[[0.0, 1.0]], [[3.0, 2.0]], [[5.0, 0.0]]])
    group = torch.tensor([4, 4, 2])
    pyro.set_rng_seed(0)
    noise = torch.randn(2, 1)  # of the groups 2 and 4
    z = x[..., 1:] + 0.1 * torch.randn(3, 1, 1)
    half = 0.1 / math.sqrt(2)
    f = torch.stack([1.5 + half * noise[1], 1.5 + half * noise[1], 5.0 + 0.1 * noise[0]])

    def log_prob(law, value):
        return float(law.log_prob(value).sum())

    q = log_prob(normal(1.5, half), f[0]) + log_prob(normal(5.0, 0.1), f[2])
    q += log_prob(dist.Normal(x[..., 1:], 0.1), z)
    p = log_prob(normal(0.0, 1.0), torch.cat([f[0], f[2]])) + log_prob(normal(0.0, 1.0), z)
    p += log_prob(dist.Normal(torch.cat([f.unsqueeze(1), z], dim=-1), 1.0), x)
    for checked in (True, False):
        pyro.set_rng_seed(0)
        with pyro.validation_enabled(checked):
            found = Grouped("who").differentiable_loss(Frame(), Mirror(), x, who=group)
        assert float(found.detach()) == pytest.approx(q - p, rel=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_weights_of_the_kl_do_not_reach_the_term(make_pair, x, name):
    pair = make_pair()
    plain = float(term(OBJECTIVES[name](), *pair, x).detach())
    with KLWeights({"f": 3.0, "z": 0.0}) as weighted:
        found = float(term(OBJECTIVES[name](), *pair, x).detach())
    assert found == pytest.approx(plain, abs=2e-3)
    assert {*weighted.latents} == {"f", "z"}


def test_groups_of_one_are_the_elbo(make_pair, x):
    pair = make_pair()
    found = Grouped("who").differentiable_loss(*pair, x, who=torch.arange(12))
    draws = []
    for _ in range(30):
        pyro.set_rng_seed(len(draws))
        draws.append(float(ReparametrisedELBO().differentiable_loss(*pair, x)))
    spread = torch.tensor(draws).std()
    assert abs(float(found.detach()) - sum(draws) / 30) < 5 * spread


def test_fit_hands_the_label_to_the_objective_alone(make_pair, x):
    data = Sequences(x, {"who": torch.arange(12) // 3})
    options = {"steps": 2, "batch_size": 6, "device": "cpu", "progress": False}
    for labels in ((), ("who",)):
        joint = Grouped("who") + MutualInformation()
        history = pyro_dsae.fit(*make_pair(), data, elbo=joint, labels=labels, **options)
        assert len(history.losses) == 2
    with pytest.raises(ValueError, match=r"labels must be among \['who'\], got \['speaker'\]"):
        pyro_dsae.fit(*make_pair(), data, elbo=Grouped("speaker"), **options)


def test_absent_frames(make_pair, x):
    """Their terms would see padding; a group does not."""
    mask = torch.ones(12, 4, dtype=torch.bool)
    mask[:, 2:] = False
    for name, make in OBJECTIVES.items():
        message = f"{name} takes sequences of one length whose frames are all present, got a mask"
        with pytest.raises(ValueError, match=message):
            (make() + Grouped("who")).loss(*make_pair(), x, who=torch.arange(12), mask=mask)
    losses = []
    for padding in (0.0, 1.0):
        pyro.set_rng_seed(0)
        padded = torch.where(mask[..., None, None, None], x, padding)
        losses.append(Grouped("who").loss(*make_pair(), padded, who=torch.arange(12), mask=mask))
    assert losses[0] == losses[1]


BAD = {
    "weight must be at least 0 and finite, got -1": lambda: MutualInformation(-1),
    "weight must be at least 0 and finite, got nan": lambda: SwapConsistency(math.nan),
    "size must be at least 1, got 0": lambda: MutualInformation(size=0),
    "size must be a whole number, got 2.5": lambda: TotalCorrelation(size=2.5),
    "content_view or dynamics_view must be given, got neither": CDSVAE,
    "temperature must be above 0, got 0": lambda: CDSVAE(torch.clone, temperature=0),
    "temperature must be above 0, got -1": lambda: SPYL(temperature=-1),
    "bank must be at least 2, got 1": lambda: SPYL(bank=1),
    r"\+ joins objectives with terms of their own, got 3": lambda: SPYL() + 3,
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments(message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}$"):
        BAD[message]()


def test_a_label_that_is_missing(make_pair, x):
    with pytest.raises(ValueError, match="Grouped needs the label 'who', got none"):
        Grouped("who").loss(*make_pair(), x)
    with pytest.raises(ValueError, match="Joined needs the label 'who', got none"):
        Joined(Grouped("who"), SwapConsistency()).loss(*make_pair(), x)
