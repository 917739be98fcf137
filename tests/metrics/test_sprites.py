"""The protocols, on pairs of model and guide whose disentanglement is known.

An oracle's decoder looks its frames up among real ones: which sequence is shown is a function of two
keys, one held by f and one by z. What each key knows is the oracle's disentanglement.
"""

import inspect
import json
import math
from dataclasses import replace

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro.nn import PyroModule
from torch.nn import functional as F

import pyro_dsae
from pyro_dsae import metrics
from pyro_dsae.metrics import HEADS, Judge
from pyro_dsae.metrics.report import PUBLISHED_A

# (key of f, key of z) of a sequence, and back; sequence = 9 character + 3 action type + direction.
SPLITS = {
    "disentangled": (lambda i: (i // 9, i % 9), lambda f, z: 9 * f + z),
    "direction in f": (
        lambda i: (3 * (i // 9) + i % 3, i % 9 // 3),
        lambda f, z: 9 * (f // 3) + 3 * z + f % 3,
    ),
    "all in f": (lambda i: (i, 0 * i), lambda f, z: f),
    "all in z": (lambda i: (0 * i, i), lambda f, z: z),
}


class OracleModel(PyroModule):
    """f and z hold a key each, as the largest coordinate (of the mean over time, for z)."""

    def __init__(self, sprites, split):
        super().__init__()
        self.key, self.join = SPLITS[split]
        self.frames = sprites.frames.float() / 255
        n = len(sprites.frames)
        keys = self.key(torch.arange(n))
        self.f_dim, self.z_dim = (int(key.max()) + 1 for key in keys)

    def forward(self, x=None, *, batch_size=None, num_frames=None):
        n, steps = x.shape[:2] if x is not None else (batch_size, num_frames)
        with pyro.plate("sequences", n, dim=-1):
            f = pyro.sample("f", dist.Normal(torch.zeros(self.f_dim), 1.0).to_event(1))
            z = pyro.sample("z", dist.Normal(torch.zeros(steps, self.z_dim), 1.0).to_event(2))
            mean = self.frames[self.join(f.argmax(-1), z.mean(1).argmax(-1)), :steps]
            pyro.sample("x", dist.Normal(mean, 0.1).to_event(4), obs=x)
        return mean


class OracleGuide(PyroModule):
    """Finds the sequence among the real ones."""

    def __init__(self, model, scale=0.1):
        super().__init__()
        self.scale = scale
        self.key, self.sizes = model.key, (model.f_dim, model.z_dim)
        self.flat = model.frames.flatten(1)

    def forward(self, x, **_):
        keys = self.key(torch.cdist(x.flatten(1), self.flat).argmin(-1))
        f, z = (8.0 * F.one_hot(k, d) for k, d in zip(keys, self.sizes, strict=True))
        with pyro.plate("sequences", len(x), dim=-1):
            f = pyro.sample("f", dist.Normal(f, self.scale).to_event(1))
            z = z.unsqueeze(1).expand(-1, x.shape[1], -1)
            pyro.sample("z", dist.Normal(z, self.scale).to_event(2))


@pytest.fixture
def oracle(sprites):
    def make(split):
        model = OracleModel(sprites, split)
        return model, OracleGuide(model)

    return make


def test_disentangled_oracle_is_perfect(oracle, judge, sprites):
    found = metrics.evaluate_sprites(*oracle("disentangled"), judge, sprites)
    for name in HEADS:
        assert found["protocol_a"][name]["disagreement"] == 0.0
        assert found["protocol_a"][name]["kl_recon"] == pytest.approx(0.0, abs=1e-6)
        assert found["protocol_a"][name]["kl_random"] > 1.0
    assert found["swap"] == dict.fromkeys(found["swap"], 1.0)
    reverse = found["protocol_b_reverse"]
    assert {reverse[name] for name in ("action", "action_type", "direction")} == {1.0}
    assert reverse["inception_score"] > 8.5 and reverse["h_y_given_x"] < 0.05
    b = found["protocol_b"]
    assert b["static_accuracy"] == b["skin"] == b["hair"] == 1.0
    assert b["inception_score"] > 8.3
    assert b["inception_score"] == pytest.approx(math.exp(b["h_y"] - b["h_y_given_x"]))
    assert b["h_y_given_x"] < 0.05
    assert b["h_y"] > 2.1


def test_draws_of_the_posterior_may_hide_what_its_mean_shows(oracle, judge, sprites):
    model, _ = oracle("disentangled")
    pair = model, OracleGuide(model, scale=30.0)
    protocols = (
        (metrics.swap, "static_accuracy"),
        (metrics.protocol_b, "static_accuracy"),
        (metrics.protocol_b_reverse, "action"),
    )
    for protocol, key in protocols:
        assert protocol(*pair, judge, sprites)[key] == 1.0
        assert protocol(*pair, judge, sprites, sample=True)[key] < 0.7
    drawn = metrics.protocol_a(*pair, judge, sprites, sample=True)
    assert drawn["action"]["disagreement"] > 0.3
    assert metrics.swap(*oracle("disentangled"), judge, sprites, sample=True)["action"] == 1.0


def test_direction_in_f_shows_in_the_swap_and_the_reverse(oracle, judge, sprites):
    pair = oracle("direction in f")
    for found in (
        metrics.swap(*pair, judge, sprites),
        metrics.protocol_b_reverse(*pair, judge, sprites),
    ):
        assert found["action_type"] == 1.0
        assert found["direction"] == pytest.approx(1 / 3, abs=0.12)
        assert found["action"] == pytest.approx(1 / 3, abs=0.12)
    assert metrics.swap(*pair, judge, sprites)["static_accuracy"] == 1.0


def test_all_in_f_keeps_attributes_and_loses_the_action(oracle, judge, sprites):
    pair = oracle("all in f")
    found = metrics.swap(*pair, judge, sprites)
    assert found["static_accuracy"] == 1.0
    assert found["action"] < 0.25
    assert metrics.protocol_b_reverse(*pair, judge, sprites)["action"] < 0.25
    assert metrics.protocol_a(*pair, judge, sprites)["action"]["disagreement"] == 0.0


def test_all_in_z_keeps_the_action_and_loses_attributes(oracle, judge, sprites):
    pair = oracle("all in z")
    found = metrics.swap(*pair, judge, sprites)
    assert found["action"] == 1.0
    assert found["static_accuracy"] < 0.4
    assert metrics.protocol_b(*pair, judge, sprites)["static_accuracy"] < 0.4


def test_samples_of_real_sequences_leave_no_doubt_and_those_of_blends_do(oracle, judge, sprites):
    model, guide = oracle("disentangled")
    found = metrics.prior_samples(model, guide, judge, sprites)
    model.join = lambda f, z: torch.full_like(f, 40)
    one = metrics.prior_samples(model, guide, judge, sprites)
    truth = model.frames
    model.frames, model.join = (truth + truth.flip(0)) / 2, lambda f, z: 9 * f + z
    blended = metrics.prior_samples(model, guide, judge, sprites)
    for name in ("skin", "trousers", "tops", "hair"):
        scores = found["attributes"][name]
        assert scores["h_y_given_x"] < 0.1 < blended["attributes"][name]["h_y_given_x"]
        assert scores["h_y"] > 1.5 > 0.1 > one["attributes"][name]["h_y"]
        assert scores["rarest"] > 0 == one["attributes"][name]["rarest"]
    mean = sum(scores["h_y_given_x"] for scores in found["attributes"].values()) / 4
    assert found["h_y_given_x"] == pytest.approx(mean)
    action = found["action"]
    assert action["inception_score"] == pytest.approx(
        math.exp(action["h_y"] - action["h_y_given_x"])
    )


def test_real_sequences_bound_what_a_model_that_draws_them_is_said_to_be(oracle, judge, sprites):
    """Of a pair that swaps perfectly the figures are those of the real ones, whatever it draws by itself."""
    model, guide = oracle("disentangled")
    real = metrics.real_sequences(model, guide, judge, sprites)
    swapped = metrics.protocol_b_reverse(model, guide, judge, sprites)
    assert real["action"]["h_y_given_x"] == pytest.approx(swapped["h_y_given_x"], abs=0.01)
    model.join = lambda f, z: torch.full_like(f, 40)
    assert metrics.real_sequences(model, guide, judge, sprites) == real
    assert {score["rarest"] > 0 for score in real["attributes"].values()} == {True}


def test_a_blur_at_the_start_shows_in_the_first_frame_alone(oracle, judge, sprites):
    model, guide = oracle("disentangled")
    clear = metrics.prior_samples(model, guide, judge, sprites)
    of_two = (model.frames + model.frames.roll(4, 0)) / 2  # actions
    model.frames = torch.cat([of_two[:, :3], model.frames[:, 3:]], dim=1)
    found = metrics.prior_samples(model, guide, judge, sprites)
    assert found["first_frame"] > clear["first_frame"] + 0.1
    assert found["last_frame"] == pytest.approx(clear["last_frame"], abs=0.01)


def test_trajectories_show_what_is_fixed(oracle, judge, sprites):
    found = metrics.trajectories(*oracle("disentangled"), judge, sprites, num=30, index=40)
    truth = {name: int(sprites.labels[name][40]) for name in HEADS}
    for kind in ("fixed_f", "fixed_z"):
        for name, classes in HEADS.items():
            p = found[kind][name]
            assert p.shape == (30, 8, classes)
            assert torch.allclose(p.sum(-1), torch.ones(30, 8))
    for name in ("skin", "trousers", "tops", "hair"):
        assert found["fixed_f"][name][..., truth[name]].mean() > 0.9
        assert found["fixed_z"][name][..., truth[name]].mean() < 0.6
    assert found["fixed_z"]["action"][..., truth["action"]].mean() > 0.8
    assert found["fixed_f"]["action"][..., truth["action"]].mean() < 0.5


@pytest.mark.parametrize("guide_name", ["Factorised", "Full"])
def test_real_pair(make_pair, judge, sprites, guide_name):
    import pyro_dsae

    model, guide = make_pair(guide=getattr(pyro_dsae, guide_name))
    some = sprites.take(torch.arange(54))
    model.decoder.eval()  # a mixture of modes, to be found again
    modes = [module.training for module in (*model.modules(), *guide.modules())]
    state = torch.get_rng_state()
    judge.train()
    found = metrics.evaluate_sprites(model, guide, judge, some, seed=3)
    assert judge.training
    judge.eval()
    assert [module.training for module in (*model.modules(), *guide.modules())] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())

    again = metrics.evaluate_sprites(model, guide, judge, some, seed=3)
    assert json.loads(json.dumps(again)) == found  # what JSON can hold, and the same for a seed
    protocols = {"protocol_a", "protocol_b", "protocol_b_reverse", "swap", "samples", "real"}
    assert set(found) == {"judge", *protocols}
    assert {*HEADS, "reliable"} <= set(found["judge"])
    assert {"static_accuracy", "inception_score", "h_y_given_x", "h_y"} <= set(found["protocol_b"])
    assert {"static_accuracy", "action", "action_type", "direction"} <= set(found["swap"])
    # An untrained model shows everybody the same: chance, and no information in what is drawn.
    assert found["swap"]["action"] < 0.3
    assert found["protocol_b"]["inception_score"] < 2.0


def test_batches_bound_what_the_model_sees(make_pair, judge, sprites):
    model, guide = make_pair()
    sizes = []
    hook = model.decoder.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    for protocol in (
        metrics.protocol_a,
        metrics.protocol_b,
        metrics.protocol_b_reverse,
        metrics.swap,
        metrics.prior_samples,
    ):
        sizes.clear()
        protocol(model, guide, judge, sprites, batch_size=50)
        assert max(sizes) == 50
        assert sum(sizes) == len(sprites.frames)
        sizes.clear()
        protocol(model, guide, judge, sprites, batch_size=50, num_sequences=100)
        assert sum(sizes) == 99
    sizes.clear()
    metrics.trajectories(model, guide, judge, sprites, num=30, batch_size=20, num_frames=11)
    hook.remove()
    assert sizes == [20, 20, 10, 10]


def test_batch_size_does_not_change_what_needs_no_draws(make_pair, judge, sprites):
    model, guide = make_pair()
    one = metrics.swap(model, guide, judge, sprites, batch_size=216)
    many = metrics.swap(model, guide, judge, sprites, batch_size=17)
    assert one == pytest.approx(many, abs=0.02)


def test_partners_are_others(sprites):
    character = torch.stack([sprites.labels[k] for k in ("skin", "trousers", "tops", "hair")], 1)
    some = torch.randperm(216, generator=torch.Generator().manual_seed(1))[:100]
    for index in (torch.arange(216), some, torch.arange(18)):
        labels = sprites.take(index).labels
        partner = metrics.derangement(labels, seed=5)
        assert partner.sort().values.tolist() == list(range(len(index)))
        assert (character[index] != character[index][partner]).any(1).all()
        assert torch.equal(partner, metrics.derangement(labels, seed=5))
    assert not torch.equal(
        metrics.derangement(sprites.labels, seed=0), metrics.derangement(sprites.labels, seed=1)
    )
    # The partner's action is any, not the same one.
    action = sprites.labels["action"]
    same = (action == action[metrics.derangement(sprites.labels)]).float().mean()
    assert same == pytest.approx(1 / 9, abs=0.08)
    with pytest.raises(ValueError, match="other characters: one of them has 9 of 9 sequences"):
        metrics.derangement(sprites.take(torch.arange(9)).labels)


def test_subset_holds_as_many_of_each_action(sprites):
    action = sprites.labels["action"]
    index = metrics.balanced_subset(action, 50, seed=2)
    assert action[index].bincount().tolist() == [5] * 9
    assert index.unique().tolist() == index.tolist()
    assert not torch.equal(index, metrics.balanced_subset(action, 50, seed=3))
    assert torch.equal(metrics.balanced_subset(action, None), torch.arange(216))
    for num in (5, 217):
        with pytest.raises(ValueError, match=f"num_sequences must be 9 .* to 216, got {num}"):
            metrics.balanced_subset(action, num)
    rare = torch.tensor([0] * 10 + [1] * 2)
    assert rare[metrics.balanced_subset(rare, 5)].bincount().tolist() == [2, 2]
    with pytest.raises(
        ValueError, match="at most 4, as many of each action as there are of the rar"
    ):
        metrics.balanced_subset(rare, 8)


def test_models_with_one_z_a_sequence(judge, sprites):
    """As many frames as the data have, however many the model makes by itself."""
    longer = replace(sprites, frames=torch.cat([sprites.frames, sprites.frames[:, :4]], 1))
    sizes = {"f_dim": 5, "z_dim": 4, "channels": 4, "hidden": 16}
    pair = pyro_dsae.LSTMf((3, 16, 16), **sizes), pyro_dsae.LSTMGuide((3, 16, 16), **sizes)
    seen, judged = [], judge.forward
    judge.forward = lambda x: [seen.append(x.shape[1]), judged(x)][1]
    try:
        metrics.protocol_b_reverse(*pair, judge, longer, num_sequences=9)
    finally:
        del judge.forward
    assert {*seen} == {12}
    found = metrics.trajectories(*pair, judge, longer, num=3)
    assert found["fixed_z"]["action"].shape == found["fixed_f"]["action"].shape == (3, 12, 9)


def test_protocols_need_all_heads(make_pair, sprites):
    judge = Judge((3, 16, 16), heads=("skin", "hair"))
    for protocol in (metrics.protocol_a, metrics.swap, metrics.trajectories):
        with pytest.raises(ValueError, match="judge must have heads skin, .*, got skin, hair"):
            protocol(*make_pair(), judge, sprites)


def test_protocols_say_how_they_are_called():
    for protocol in (metrics.protocol_a, metrics.protocol_b, metrics.protocol_b_reverse):
        assert inspect.signature(protocol) == inspect.signature(metrics.swap)
        assert protocol.__name__ in metrics.__all__
        assert protocol.__doc__
    names = [*inspect.signature(metrics.swap).parameters]
    sizes = ["num_sequences", "sample", "batch_size", "seed"]
    assert names == ["model", "guide", "judge", "dataset", *sizes]


def test_bad_index(make_pair, judge, sprites):
    with pytest.raises(ValueError, match="index must be 0 to 215, got 216"):
        metrics.trajectories(*make_pair(), judge, sprites, index=216)


def test_table(oracle, judge, sprites):
    found = metrics.evaluate_sprites(*oracle("disentangled"), judge, sprites, num_sequences=90)
    text = metrics.format_table(found)
    assert "UNRELIABLE" not in text
    assert "8.384" not in text
    for words in ("skin", "disagreement", "inception score", "direction", "100.00%"):
        assert words in text
    beside = metrics.format_table(found, published=True)
    for words in ("8.3840", "90.73%", "13.7510", f"{PUBLISHED_A['skin'][0]:.2%}"):
        assert words in beside
    kept = beside[beside.index("Motion kept") : beside.index("Content kept")]
    assert "90.73%" in next(line for line in kept.splitlines() if line.startswith("  action  "))
    assert max(map(len, beside.splitlines())) <= 120


def test_unreliable_judge_says_so(oracle, sprites):
    judge = Judge((3, 16, 16))
    judge.accuracy = {**dict.fromkeys(HEADS, 1.0), "tops": 0.9, "action": 0.98}
    found = metrics.evaluate_sprites(*oracle("disentangled"), judge, sprites, num_sequences=90)
    assert found["judge"]["reliable"] is False
    assert found["judge"]["unreliable"] == ["tops", "action"]
    assert found["judge"]["tops"] == 0.9
    text = metrics.format_table(found)
    assert "UNRELIABLE: the judge does not exceed 99% in tops, action" in text


def test_sites_by_other_names(judge, sprites):
    """FHVAE's content is two sites, its dynamics a third."""
    sizes = {"z1_dim": 3, "z2_dim": 5, "channels": 4, "hidden": 16}
    pair = (
        pyro_dsae.FHVAE((3, 16, 16), **sizes),
        pyro_dsae.FHVAEGuide((3, 16, 16), utterances=5, **sizes),
    )
    options = {"num_sequences": 18}
    assert 0 <= metrics.protocol_b(*pair, judge, sprites, **options)["static_accuracy"] <= 1
    assert 0 <= metrics.protocol_b_reverse(*pair, judge, sprites, **options)["action"] <= 1
    assert metrics.trajectories(*pair, judge, sprites, num=3)["fixed_z"]["action"].shape == (
        3,
        8,
        9,
    )
