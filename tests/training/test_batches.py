"""What fit and evaluate_elbo take as data, what they say of all else; what items draw in workers."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from pyro_dsae import evaluate_elbo, fit
from pyro_dsae.training.batches import Batches, _on_cpu, as_dataset, in_order

CPU = {"device": "cpu", "progress": False}


class Items(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.rand(4, 4, 3, 16, 16))


class Endless(Dataset):
    def __getitem__(self, i):
        return torch.rand(4, 3, 16, 16)


def losses(pair, data):
    history = fit(*pair, data, steps=4, batch_size=5, validation=data, **CPU)
    return history.losses, history.validation


@pytest.mark.parametrize(
    "as_given",
    [
        lambda frames: frames,
        lambda frames: frames.numpy(),
        lambda frames: frames.double() / 255,
        lambda frames: (frames.double() / 255).numpy(),
        lambda frames: [*frames],
        lambda frames: [*(frames.numpy() / 255)],
        lambda frames: [(x, {"who": i}) for i, x in enumerate(frames)],
        lambda frames: Items(frames),
        lambda frames: Items(frames.double() / 255),
        lambda frames: Items([(x.numpy(), 3) for x in frames]),
        lambda frames: TensorDataset(frames),
        lambda frames: Items((frames / 255).tolist()),
    ],
    ids=[
        *("bytes", "array of bytes", "float64", "array of float64", "list", "list of arrays"),
        *("list of pairs", "items of bytes", "items of float64", "items of arrays"),
        *("tensor data set", "items of nested lists"),
    ],
)
def test_what_is_plain_gives_the_same_losses(make_pair, as_given):
    frames = (255 * torch.rand(12, 4, 3, 16, 16)).byte()
    expected = losses(make_pair(), frames / 255)
    got = losses(make_pair(), as_given(frames))
    assert got[0] == pytest.approx(expected[0], rel=1e-5)
    assert got[1][-1] == pytest.approx(expected[1][-1], rel=1e-4)


X = torch.rand(6, 4, 3, 16, 16)
REFUSED = {
    "loader": (
        DataLoader(X),
        "data must be sequences .* got DataLoader: pass its data set, loader.dataset",
    ),
    "stream": (Stream(), "data must be sequences .* got Stream: pass a data set with a length"),
    "dict": (
        {"x": X},
        r"data must be sequences .* got dict: pass pyro_dsae.data.Sequences\(x, labels\)",
    ),
    "pair": (
        (X, {}),
        r"data must be sequences .* got tuple: pass pyro_dsae.data.Sequences\(x, labels\)",
    ),
    "path": ("x.npy", r"data must be sequences .* got str: pass pyro_dsae.data.Sequences\(path\)"),
    "generator": (iter(X), r"data must be sequences \(N, T, \*frame\), or a data set .* got"),
    "none": (None, r"data must be sequences \(N, T, \*frame\), or .* got NoneType"),
    "endless": (Endless(), r"data must be sequences \(N, T, \*frame\), or .* got Endless"),
    "picture": (X[0, 0, 0], r"frames must be \(sequences, time, \*frame\) of .* got \(16, 16\)"),
    "integers": (X.long(), "frames must be .* of uint8 or floats, got .* of torch.int64"),
    "no sequences": (X[:0], "data must hold at least 1 sequences, got 0"),
    "no items": (Items([]), "data must hold at least 1 sequences, got 0"),
    "no list": ([], "data must hold at least 1 sequences, got 0"),
    "dict items": (
        Items([{"x": x} for x in X]),
        r"must be x or \(x, labels\), got a dict of \['x'\]",
    ),
    "integer items": (
        Items(X.long()),
        r"must be \(time, \*frame\) of uint8 or floats, got .*int64",
    ),
    "words": (["a", "b"], "sequence [01] must be a tensor or an array, got str"),
    "numbers": (Items([1.0, 2.0]), r"must be \(time, \*frame\) of uint8 or floats, got \(\) of"),
    "no frames": (Items(X[:, :0]), r"must be \(time, \*frame\) .* got \(0, 3, 16, 16\)"),
    "no label": (
        Items([(X[0], {"a": 1}), (X[1], {"a": 1, "b": 2})]),
        r"must have the same labels, got \[.*\] of sequence [01] and \[.*\] of sequence [01]",
    ),
    "label of none": (
        Items([(X[0], {"a": None})] * 2),
        "labels must be whole numbers, got {'a': None}",
    ),
    "bytes and floats": (
        [X[0], X[1].byte()],
        r"of one shape and type, got .* of torch.(uint8|float32) in sequence [01] and",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_all_else_is_refused_in_one_line(make_pair, name):
    data, message = REFUSED[name]
    pair = make_pair()
    for call in (
        lambda: fit(*pair, data, steps=2, **CPU),
        lambda: evaluate_elbo(*pair, data),
    ):
        with pytest.raises((TypeError, ValueError), match=message) as error:
            call()
        assert "\n" not in str(error.value)


def test_words_that_come_with_a_sequence_are_no_labels(x):
    data = Items([(frames, {"name": "anna", "who": i}) for i, frames in enumerate(x)])
    _, labels = next(in_order(data, 4, torch.device("cpu")))
    assert [*labels] == ["who"] and labels["who"].tolist() == [0, 1, 2, 3]


def test_validation_is_named(make_pair, x):
    with pytest.raises(ValueError, match="validation must hold at least 1 sequences, got 0"):
        fit(*make_pair(), x, steps=1, validation=x[:0], **CPU)


@pytest.mark.parametrize("workers", [0, 1])
def test_frames_of_different_sizes(make_pair, x, workers):
    data = [*x[:5], x[5, :, :, :, :3], *x[6:]]
    message = (
        r"frames of a batch must be of one shape and type, got \(4, 3, 16, (\d+)\) of torch.float32 "
        r"in sequence (\d+) and \(4, 3, 16, (\d+)\) of torch.float32 in sequence (\d+)$"
    )
    with pytest.raises(ValueError, match=message) as error:
        fit(*make_pair(), data, steps=3, batch_size=12, num_workers=workers, **CPU)
    first, i, second, j = map(int, re.search(message, str(error.value)).groups())
    assert {first, second} == {3, 16} and (i, j)[(first, second).index(3)] == 5
    with pytest.raises(ValueError, match=r"16\) .* in sequence 0 and .* 3\) .* in sequence 5"):
        evaluate_elbo(*make_pair(), data)


def test_resume_within_an_epoch_of_items(make_pair, x, tmp_path):
    data = Items([(frames, {"who": i}) for i, frames in enumerate((255 * x).byte())])
    options = {"steps": 6, "batch_size": 3, "checkpoint_every": 2, "log_every": 2, **CPU}
    whole = fit(*make_pair(), data, **options)
    fit(*make_pair(), data, checkpoint_dir=tmp_path, **options)
    newest = max(tmp_path.glob("step-*"))
    newest.rename(tmp_path / "later")
    resumed = fit(*make_pair(), data, checkpoint_dir=tmp_path, resume=True, **options)
    assert resumed.losses == whole.losses


def test_nothing_is_copied_beforehand(x):
    assert as_dataset(x).frames is x
    array, sequences = x.numpy(), [*x]
    assert as_dataset(array).frames is array
    assert as_dataset(sequences) is sequences


class Draws(Dataset):
    """Twelve sequences of one frame of three numbers: one of each generator."""

    def __len__(self):
        return 12

    def __getitem__(self, i):
        drawn = [float(torch.rand(())), np.random.rand(), random.random()]  # noqa: NPY002
        return torch.tensor([drawn])


def read(workers, start=0, seed=0):
    batches = Batches(Draws(), 3, Accelerator(cpu=True), workers, seed)
    return torch.cat([x for x, _ in batches.from_step(start, 8)])


def test_seed_epoch_and_index_determine_what_an_item_draws_in_a_worker():
    two = read(workers=2)
    assert len(two.flatten().unique()) == 2 * 12 * 3  # anew in the second epoch
    assert torch.equal(read(workers=1), two)
    assert torch.equal(read(workers=2, start=2), two[2 * 3 :])
    assert torch.equal(read(workers=2, start=5), two[5 * 3 :])
    assert not torch.isin(read(workers=2, seed=1), two).any()


def test_only_what_lies_on_the_cpu_is_pinned():
    there = torch.zeros(2, 3, device="meta")
    assert _on_cpu([torch.zeros(2, 3)]) and _on_cpu([(np.zeros((2, 3)), {"a": 1})])
    assert not _on_cpu([there])
    assert not _on_cpu([(torch.zeros(2, 3), {"mask": there})])
