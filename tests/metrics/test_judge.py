"""The judge: what it learns, what it says, and how it is kept."""

import pytest
import torch

from pyro_dsae.metrics import HEADS, Judge, judge_accuracy, load_or_train_judge, train_judge
from pyro_dsae.metrics import judge as module


def as_float(dataset):
    return dataset.frames.float() / 255


def test_recognises_what_it_has_learnt(judge, sprites):
    assert set(judge.accuracy) == set(HEADS)
    assert min(judge.accuracy.values()) > 0.99
    assert judge.unreliable == []
    assert not judge.training
    assert judge_accuracy(judge, sprites, batch_size=50) == judge.accuracy


def test_stands_blur(judge, sprites):
    x = as_float(sprites)
    blurred = torch.nn.functional.avg_pool2d(x.flatten(0, 1), 3, 1, 1, count_include_pad=False)
    with torch.no_grad():
        log_p = judge(torch.lerp(x, blurred.view_as(x), 0.5))
    for name in HEADS:
        assert (log_p[name].argmax(-1) == sprites.labels[name]).float().mean() > 0.97


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 32, 32), (3, 48, 80), (3, 64, 64)])
def test_gives_log_probabilities_at_any_size(shape):
    x = torch.rand(2, 5, *shape)
    judge = Judge(shape).eval()
    for name, log_p in judge(x).items():
        assert log_p.shape == (2, HEADS[name])
        assert torch.allclose(log_p.exp().sum(-1), torch.ones(2))
    for name, log_p in judge.per_frame(x).items():
        assert log_p.shape == (2, 5, HEADS[name])
        assert torch.allclose(log_p.exp().sum(-1), torch.ones(2, 5))


@torch.no_grad()
def test_attributes_ignore_the_order_of_frames_and_the_action_does_not(judge, sprites):
    x = as_float(sprites)[:18]
    shuffled = x[:, [3, 0, 6, 1, 7, 4, 2, 5]]
    forwards, jumbled = judge(x), judge(shuffled)
    for name in ("skin", "trousers", "tops", "hair"):
        assert torch.allclose(forwards[name], jumbled[name], atol=1e-3)
    assert (forwards["action"] - jumbled["action"]).abs().max() > 0.1


@torch.no_grad()
def test_attributes_of_a_frame_depend_on_that_frame_alone(judge, sprites):
    x = as_float(sprites)[:4].clone()
    before = judge.per_frame(x)
    x[:, 7] = 0
    after = judge.per_frame(x)
    assert torch.allclose(before["hair"][:, :7], after["hair"][:, :7], atol=1e-4)
    assert not torch.allclose(before["hair"][:, 7], after["hair"][:, 7], atol=1e-4)
    assert torch.allclose(before["action"][:, :5], after["action"][:, :5], atol=1e-4)
    assert not torch.allclose(before["action"][:, 5], after["action"][:, 5], atol=1e-4)


def test_training_is_determined_by_the_seed_and_leaves_the_global_one(sprites):
    some = sprites.take(torch.arange(45))
    state = torch.get_rng_state()
    first, again, other = (
        train_judge(some, some, steps=2, batch_size=8, seed=seed).state_dict() for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_judge_may_learn_from_copies_that_are_as_bright_as_the_sequences(sprites):
    x = as_float(sprites)[:32]
    light, shades = x.mean((1, 2, 3, 4)), []
    for dimmed in (True, False):
        torch.manual_seed(0)
        shades.append(module.augment(x, dimmed=dimmed).mean((1, 2, 3, 4)) / light - 1)
    assert shades[0].abs().max() > 0.08 and shades[0].abs().max() < 0.12
    assert shades[1].abs().max() < 0.02

    some = sprites.take(torch.arange(45))
    first, second = (
        train_judge(some, some, steps=2, batch_size=8, dimmed=dimmed).state_dict()
        for dimmed in (True, False)
    )
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_names_the_heads_that_are_not_reliable(sprites):
    some = sprites.take(torch.arange(45))
    judge = train_judge(some, some, steps=2, batch_size=8)
    assert "action" in judge.unreliable
    judge.accuracy = {**dict.fromkeys(HEADS, 1.0), "skin": 0.99}
    assert judge.unreliable == ["skin"]
    assert Judge().unreliable == list(HEADS)


def test_is_trained_once_a_data_set(sprites, tmp_path, monkeypatch):
    calls = []

    def counted(*args, **kwargs):
        calls.append(args)
        return train_judge(*args, **kwargs)

    monkeypatch.setattr(module, "train_judge", counted)
    some = sprites.take(torch.arange(45))

    def get(train=some, test=some, **kwargs):
        kwargs = {"cache_dir": tmp_path / "judges", "steps": 2, **kwargs}
        return load_or_train_judge(train, test, **kwargs)

    first = get()
    again = get()
    assert len(calls) == 1
    assert again.accuracy == first.accuracy
    assert not again.training
    x = as_float(some)
    with torch.no_grad():
        assert torch.equal(first(x)["action"], again(x)["action"])
    assert [path.suffix for path in (tmp_path / "judges").iterdir()] == [".safetensors"]

    get(seed=1)
    get(steps=3)
    get(dimmed=False)
    get(patch=2)
    get(train=sprites.take(torch.arange(90)))
    darker = sprites.take(torch.arange(45))
    darker.frames = darker.frames // 2
    get(test=darker)
    relabelled = sprites.take(torch.arange(45))
    relabelled.labels["hair"] = (relabelled.labels["hair"] + 1) % 6
    get(train=relabelled)
    assert len(calls) == 8
    get()
    get(dimmed=False)
    folded = get(patch=2)
    assert folded(x)["action"].shape == (45, 9)
    assert len(calls) == 8
    get(cache_dir=None)
    assert len(calls) == 9


def test_a_broken_file_is_made_anew(sprites, tmp_path):
    some = sprites.take(torch.arange(45))
    first = load_or_train_judge(some, some, cache_dir=tmp_path, steps=2)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    with pytest.warns(UserWarning, match="training anew: .* is not a judge"):
        again = load_or_train_judge(some, some, cache_dir=tmp_path, steps=2)
    assert path.read_bytes() == whole
    assert again.accuracy == first.accuracy


def test_has_a_head_for_each_label(sprites, tmp_path):
    unordered = sprites.take(torch.arange(45))
    for name in ("action", "action_type", "direction", "hair"):
        del unordered.labels[name]
    judge = load_or_train_judge(unordered, unordered, cache_dir=tmp_path, steps=2)
    named = ["skin", "trousers", "tops"]
    assert [*judge.heads] == [*judge.accuracy] == named
    assert set(judge.unreliable) <= set(named)
    assert Judge(heads=("tops", "skin")).unreliable == ["skin", "tops"]
    assert [*judge(as_float(unordered))] == named
    kept = load_or_train_judge(unordered, unordered, cache_dir=tmp_path, steps=2)
    assert kept.accuracy == judge.accuracy
    assert judge_accuracy(kept, unordered) == kept.accuracy
    whole = sprites.take(torch.arange(45))
    load_or_train_judge(whole, whole, cache_dir=tmp_path, steps=2)
    assert len([*tmp_path.iterdir()]) == 2


def test_says_what_is_wrong_with_its_heads(sprites):
    with pytest.raises(ValueError, match=r"heads must be some of skin, .* got \('hat',\)"):
        Judge(heads=("hat",))
    with pytest.raises(ValueError, match=r"heads must be some of skin, .* got \(\)"):
        Judge(heads=())
    some = sprites.take(torch.arange(45))
    nothing = sprites.take(torch.arange(45))
    nothing.labels = {"hat": nothing.labels["hair"]}
    with pytest.raises(ValueError, match="labels must have at least one of skin, .* got hat"):
        train_judge(nothing, some)


@pytest.mark.parametrize(("patch", "said"), [(0, "patch must be"), (3, "patch must divide")])
def test_says_what_is_wrong_with_its_patch(patch, said):
    with pytest.raises(ValueError, match=said):
        Judge((3, 16, 16), patch=patch)


def test_says_what_is_wrong_with_its_input(sprites):
    some = sprites.take(torch.arange(45))
    with pytest.raises(
        ValueError, match=r"x must be \(batch, time, 3, 32, 32\), got \(2, 3, 32, 32"
    ):
        Judge()(torch.zeros(2, 3, 32, 32))
    floats = sprites.take(torch.arange(45))
    floats.frames = floats.frames.float()
    with pytest.raises(ValueError, match="frames must be uint8 .* got torch.float32"):
        train_judge(floats, some)
    missing = sprites.take(torch.arange(45))
    del missing.labels["hair"]
    with pytest.raises(ValueError, match="labels must have skin, trousers, tops, hair, action"):
        train_judge(some, missing)
    wrong = sprites.take(torch.arange(45))
    wrong.labels["action"] = wrong.labels["action"] + 1
    with pytest.raises(ValueError, match=r"labels\['action'\] must be \(45,\) with values 0 to 8"):
        train_judge(wrong, some)
