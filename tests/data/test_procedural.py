"""Procedural figures: they move, they can be told apart, and the split is what it says."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_dsae.data import ProceduralSprites
from pyro_dsae.data.figures import FIXED, MATERIALS
from pyro_dsae.data.procedural import PALETTE, _compose, _weights

ATTRIBUTES = ("skin", "trousers", "tops", "hair")


@pytest.fixture(scope="module")
def test_set() -> ProceduralSprites:
    return ProceduralSprites("test", size=32)


def figures(values: list[list[int]], size: int = 32) -> Tensor:
    """Frames of a few characters: float (n, 9, 8, 3, size, size), 0 to 255."""
    frames = _compose(torch.tensor(values), size)
    return frames.reshape(-1, 9, 8, 3, size, size).float()


def test_item(test_set: ProceduralSprites) -> None:
    x, labels = test_set[17]
    assert x.shape == (8, 3, 32, 32) and x.dtype == torch.float32
    assert 0 <= x.min() and 0.9 < x.max() <= 1
    assert torch.equal(x, test_set.frames[17].float() / 255)
    assert list(labels) == [*ATTRIBUTES, "action", "action_type", "direction"]
    assert all(type(value) is int for value in labels.values())


def test_labels(test_set: ProceduralSprites) -> None:
    labels = test_set.labels
    assert len(test_set) == len(test_set.frames) == 296 * 9
    for name, number in test_set.num_classes.items():
        assert labels[name].dtype == torch.long
        assert labels[name].unique().tolist() == list(range(number))
    assert torch.equal(labels["action"], 3 * labels["action_type"] + labels["direction"])
    assert test_set.actions[4] == "spellcard left" and len(test_set.actions) == 9
    characters = torch.stack([labels[name] for name in ATTRIBUTES], 1).reshape(296, 9, 4)
    assert (characters == characters[:, :1]).all()
    assert len(characters[:, 0].unique(dim=0)) == 296


def test_labels_describe_the_frames(test_set: ProceduralSprites) -> None:
    for i in (0, 1000, 2663):
        _, labels = test_set[i]
        expected = _compose(torch.tensor([[labels[name] for name in ATTRIBUTES]]), 32)
        assert torch.equal(test_set.frames[i], expected[labels["action"]])


def test_split_is_disjoint_and_complete() -> None:
    train, test = (ProceduralSprites(split, size=16) for split in ("train", "test"))
    seen = [
        {tuple(row) for row in torch.stack([d.labels[n] for n in ATTRIBUTES], 1).tolist()}
        for d in (train, test)
    ]
    assert [len(s) for s in seen] == [1000, 296]
    assert not seen[0] & seen[1]
    assert len(train) == 9000


def test_seed() -> None:
    first, again, other = (ProceduralSprites("test", size=16, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.frames, again.frames)
    assert not torch.equal(first.labels["hair"], other.labels["hair"])


def test_every_step_moves() -> None:
    frames = figures([[0, 1, 2, 0], [3, 4, 5, 4]])
    change = (frames - frames.roll(-1, 2)).abs().amax(3).gt(40).sum((-1, -2))
    assert change.min() >= 20, change  # pixels out of 1024, the step from last to first included


def test_actions_differ_at_every_frame() -> None:
    frames = figures([[0, 1, 2, 0], [1, 5, 3, 1]])
    for a, b in itertools.combinations(range(9), 2):
        apart = (frames[:, a] - frames[:, b]).abs().amax(2).gt(40).float().mean((-1, -2))
        assert apart.min() > 0.04, (a, b, apart)


def test_left_and_right_mirror_each_other() -> None:
    frames = figures([[2, 3, 4, 5]])
    assert torch.equal(frames[:, 1::3], frames[:, 2::3].flip(-1))
    assert not torch.equal(frames[:, 0::3], frames[:, 0::3].flip(-1))


@pytest.mark.parametrize("attribute", range(4))
def test_values_differ_in_every_frame(attribute: int) -> None:
    values = torch.tensor([1, 4, 3, 0]).repeat(6, 1)
    values[:, attribute] = torch.arange(6)
    frames = figures(values.tolist())
    for a, b in itertools.combinations(range(6), 2):
        apart = (frames[a] - frames[b]).abs().amax(2).gt(40).sum((-1, -2))
        assert apart.min() >= 15, (ATTRIBUTES[attribute], a, b, apart.min())


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_palette(name: str) -> None:
    colours = torch.tensor(PALETTE[name], dtype=torch.float)
    assert colours.shape == (6, 3) and 0 <= colours.min() and colours.max() <= 255
    assert torch.pdist(colours).min() > 95


def test_weights_are_a_mixture() -> None:
    weights = torch.from_numpy(_weights(32))
    assert weights.min() >= 0 and weights[:, 0].max() == 0
    assert weights.sum(1).max() <= 1 + 1e-6
    for name in ATTRIBUTES:
        visible = weights[:, MATERIALS.index(name)].sum((-1, -2))
        assert visible.min() > 20, name  # pixels out of 1024


def test_frame_is_the_sum_of_weighted_colours() -> None:
    values = dict(zip(ATTRIBUTES, (4, 2, 0, 3), strict=True))
    weights = torch.from_numpy(_weights(16))[3].double()
    expected = torch.zeros(9, 8, 3, 16, 16, dtype=torch.double)
    for m, name in enumerate(MATERIALS[1:], 1):
        rgb = FIXED[name] if name in FIXED else PALETTE[name][values[name]]
        expected += weights[m, :, :, None] * torch.tensor(rgb).view(3, 1, 1)
    assert (figures([list(values.values())], 16)[0] - expected).abs().max() <= 0.5 + 1e-3


def test_figure_fills_the_frame() -> None:
    drawn = figures([[0, 0, 0, 0]])[0].amax(2) > 20
    assert drawn.any(-1).sum(-1).min() >= 28
    assert drawn.any(-2).sum(-1).min() >= 14


def test_size_is_only_a_matter_of_sampling() -> None:
    small, large = figures([[0, 1, 2, 3]], 32), figures([[0, 1, 2, 3]], 64)
    halved = torch.nn.functional.avg_pool2d(large.flatten(0, 2), 2).view_as(small)
    assert (small - halved).abs().mean() < 2


def test_transform_and_loader() -> None:
    data = ProceduralSprites("test", size=16, transform=lambda x: 1 - x)
    assert torch.equal(data[0][0], 1 - data.frames[0].float().div(255))
    x, labels = next(iter(DataLoader(data, batch_size=5)))
    assert x.shape == (5, 8, 3, 16, 16)
    assert labels["action"].tolist() == [0, 1, 2, 3, 4]


def test_repr_is_short(test_set: ProceduralSprites) -> None:
    assert repr(test_set) == "ProceduralSprites(split='test', frames=(2664, 8, 3, 32, 32))"


@pytest.mark.parametrize("size", [0, -16, 24, 33])
def test_bad_size(size: int) -> None:
    with pytest.raises(ValueError, match=f"size must be .* 16, got {size}"):
        ProceduralSprites(size=size)


def test_bad_split() -> None:
    with pytest.raises(ValueError, match="split must be one of train, test, .*, got 'valid'"):
        ProceduralSprites("valid")


def test_index_out_of_range(test_set: ProceduralSprites) -> None:
    with pytest.raises(IndexError):
        test_set[len(test_set)]


@pytest.fixture(scope="module")
def changing() -> ProceduralSprites:
    return ProceduralSprites("test", size=32, changing=True)


def test_colours_and_direction_change_and_the_rest_stays(
    changing: ProceduralSprites, test_set: ProceduralSprites
) -> None:
    assert [*changing.labels] == ["hair", "action_type"]
    for name, values in changing.labels.items():
        assert torch.equal(values, test_set.labels[name])
    known = changing.frame_labels
    assert set(known) == set(test_set.frame_labels)
    for name, values in known.items():
        assert values.shape == (len(changing), 8)
        stays = name in ("hair", "action_type")
        changes = (values[:, 1:] != values[:, :-1]).double().mean()
        chance = 1 - 1 / changing.num_classes[name]
        if name != "action":
            assert abs(changes - (0 if stays else chance)) < 0.03, name
    assert torch.equal(known["action"], 3 * known["action_type"] + known["direction"])


def test_each_changing_frame_is_that_of_its_labels(changing: ProceduralSprites) -> None:
    for n, t in ((0, 0), (700, 3), (2663, 7)):
        now = {name: int(values[n, t]) for name, values in changing.frame_labels.items()}
        expected = _compose(torch.tensor([[now[name] for name in ATTRIBUTES]]), 32)
        assert torch.equal(changing.frames[n, t], expected[now["action"], t])


def test_changes_of_each_split_and_seed() -> None:
    made = [
        ProceduralSprites(split, size=16, seed=seed, changing=True).frame_labels["skin"][:99]
        for split, seed in (("test", 0), ("test", 0), ("test", 1), ("train", 0))
    ]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2]) and not torch.equal(made[0], made[3])


def test_frame_labels_of_sequences_that_stay(test_set: ProceduralSprites) -> None:
    for name, values in test_set.frame_labels.items():
        assert torch.equal(values, test_set.labels[name][:, None].expand(-1, 8))
