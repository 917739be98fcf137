"""Sheets: accuracy by the number of frames, on pairs that need as many as is known."""

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro.nn import PyroModule
from torch.nn import functional as F

import pyro_dsae
from pyro_dsae import metrics
from pyro_dsae.metrics import Judge
from pyro_dsae.metrics.judge import ATTRIBUTES


@pytest.fixture(scope="module")
def sheets(sprites):
    """24 characters in 72 poses, in place of nine sequences each."""
    frames = sprites.frames.unflatten(0, (24, 9)).flatten(1, 2)
    labels = {name: sprites.labels[name][::9] for name in ATTRIBUTES}
    return type(sprites)(frames, labels)


class OracleModel(PyroModule):
    """f holds the character and z_i the pose; ``all_in_z``: z_i both."""

    def __init__(self, sheets, all_in_z=False):
        super().__init__()
        self.frames, self.all_in_z = sheets.frames.float() / 255, all_in_z

    def forward(self, x=None, *, batch_size=None, num_frames=None):
        characters, poses = self.frames.shape[:2]
        n, steps = x.shape[:2] if x is not None else (batch_size, num_frames)
        with pyro.plate("sequences", n, dim=-1):
            f = pyro.sample("f", dist.Normal(torch.zeros(characters), 1.0).to_event(1))
            z = pyro.sample(
                "z", dist.Normal(torch.zeros(steps, characters + poses), 1.0).to_event(2)
            )
            who = f.argmax(-1, keepdim=True)
            if self.all_in_z:
                who = z[..., :characters].argmax(-1)
            mean = self.frames[who, z[..., characters:].argmax(-1)]
            pyro.sample("x", dist.Normal(mean, 0.1).to_event(4), obs=x)
        return mean


class OracleGuide(PyroModule):
    """Finds each frame among the sheets; with fewer than ``needs`` it takes the next character."""

    def __init__(self, sheets, needs=1):
        super().__init__()
        self.shape, self.needs = sheets.frames.shape[:2], needs
        self.flat = sheets.frames.flatten(0, 1).flatten(1).float() / 255
        self.seen = []

    def forward(self, x, **_):
        self.seen.append(tuple(x.shape[:2]))
        found = torch.cdist(x.flatten(2).flatten(0, 1), self.flat).argmin(-1).view(x.shape[:2])
        who, pose = found // self.shape[1], found % self.shape[1]
        shown = who[:, 0] + (x.shape[1] < self.needs)
        with pyro.plate("sequences", len(x), dim=-1):
            f = F.one_hot(shown % self.shape[0], self.shape[0]).float()
            z = torch.cat(
                [F.one_hot(k, d) for k, d in zip((who, pose), self.shape, strict=True)], -1
            ).float()
            pyro.sample("f", dist.Normal(f, 0.1).to_event(1))
            pyro.sample("z", dist.Normal(z, 0.1).to_event(2))


def test_sheet_sequences_are_poses_of_their_character(sheets):
    made = metrics.sheet_sequences(sheets, num=5, draws=3, seed=1)
    assert made.frames.shape == (72, 5, 3, 16, 16)
    assert made.frames.dtype == torch.uint8
    for i in (0, 1, 40, 71):
        own = sheets.frames[i // 3].flatten(1)
        where = (made.frames[i].flatten(1)[:, None] == own).all(-1)
        assert where.any(1).all()
        assert {name: int(v[i]) for name, v in made.labels.items()} == {
            name: int(v[i // 3]) for name, v in sheets.labels.items()
        }
    assert not torch.equal(made.frames[0], made.frames[1])
    assert torch.equal(made.frames, metrics.sheet_sequences(sheets, 5, 3, seed=1).frames)
    assert not torch.equal(made.frames, metrics.sheet_sequences(sheets, 5, 3, seed=2).frames)
    every = metrics.sheet_sequences(sheets, num=72, draws=1).frames[7]
    mine = sheets.frames[7]
    assert torch.equal(every.flatten(1).sum(1).sort().values, mine.flatten(1).sum(1).sort().values)


def test_a_judge_learns_from_them(sheets):
    made = metrics.sheet_sequences(sheets, num=4, draws=2)
    judge = metrics.train_judge(made, made, steps=60, batch_size=16)
    assert [*judge.heads] == [*ATTRIBUTES]
    assert set(judge.accuracy) == set(ATTRIBUTES)
    assert min(judge.accuracy.values()) > 0.8


def test_f_of_the_first_with_z_of_another_shows_the_first(judge, sheets):
    guide = OracleGuide(sheets)
    found = metrics.static_accuracy_by_frames(
        OracleModel(sheets), guide, judge, sheets, counts=(1, 4), num_targets=6, batch_size=10
    )
    assert [*found] == ["1", "4"]
    for scores in found.values():
        assert set(scores) == {"static_accuracy", "single_frames", *ATTRIBUTES}
        assert scores["static_accuracy"] == 1.0
        assert scores["single_frames"] > 0.95
    assert guide.seen == [(n, steps) for n in (10, 10, 4) for steps in (6, 1, 4)]


def test_z_that_holds_the_character_shows_the_other(judge, sheets):
    pair = OracleModel(sheets, all_in_z=True), OracleGuide(sheets)
    found = metrics.static_accuracy_by_frames(*pair, judge, sheets, counts=(2,))
    assert found["2"]["static_accuracy"] < 0.4
    assert found["2"]["single_frames"] < 0.4


def test_accuracy_rises_where_enough_frames_are_seen(judge, sheets):
    pair = OracleModel(sheets), OracleGuide(sheets, needs=4)
    found = metrics.static_accuracy_by_frames(*pair, judge, sheets, num_targets=4, repeats=2)
    assert [*found] == ["1", "2", "4", "8", "16"]
    assert max(found[n]["static_accuracy"] for n in ("1", "2")) < 0.5
    assert min(found[n]["static_accuracy"] for n in ("4", "8", "16")) == 1.0


@pytest.mark.parametrize("name", ["Pairwise", "Factorised", "Full"])
def test_real_pair(judge, sheets, name):
    sizes = {"f_dim": 5, "z_dim": 3, "channels": 4, "hidden": 16}
    model = pyro_dsae.Unordered((3, 16, 16), **sizes)
    guide = getattr(pyro_dsae, name)((3, 16, 16), **sizes)
    options = {"counts": (1, 2, 4), "num_targets": 3, "seed": 4}
    state = torch.get_rng_state()
    found = metrics.static_accuracy_by_frames(model, guide, judge, sheets, **options)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training and guide.training
    assert found == metrics.static_accuracy_by_frames(model, guide, judge, sheets, **options)
    assert found["4"]["static_accuracy"] < 0.6


def test_says_what_is_wrong_with_its_input(judge, sheets):
    pair = OracleModel(sheets), OracleGuide(sheets)

    def accuracy(judge=judge, sheets=sheets, **options):
        metrics.static_accuracy_by_frames(*pair, judge, sheets, **options)

    with pytest.raises(ValueError, match="counts must be 1 to 72, the number of poses, got 4, 73"):
        accuracy(counts=(4, 73))
    with pytest.raises(ValueError, match="counts must be 1 to 72, .* got none"):
        accuracy(counts=())
    with pytest.raises(ValueError, match="num_targets must be 1 to 72, .* got 0"):
        accuracy(num_targets=0)
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        accuracy(repeats=0)
    with pytest.raises(ValueError, match="judge must have heads skin, .* got action"):
        accuracy(judge=Judge((3, 16, 16), heads=("action",)))
    bald = type(sheets)(sheets.frames, {k: v for k, v in sheets.labels.items() if k != "hair"})
    with pytest.raises(ValueError, match="labels must have skin, trousers, tops, hair, got skin, "):
        accuracy(sheets=bald)
    with pytest.raises(ValueError, match="num must be 1 to 72, the number of poses, got 73"):
        metrics.sheet_sequences(sheets, num=73)
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        metrics.sheet_sequences(sheets, draws=0)
    with pytest.raises(ValueError, match="labels must have at least one of skin, .* got none"):
        metrics.sheet_sequences(type(sheets)(sheets.frames, {}))
