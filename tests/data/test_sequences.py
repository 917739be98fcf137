"""Sequences: in memory, memory-mapped, in batches."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import pyro_dsae
from pyro_dsae.data import MovingDigits, ProceduralSheets, ProceduralSprites, Sequences

CPU = {"device": "cpu", "progress": False}


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 4, 1, 16, 16), np.uint8)


@pytest.fixture
def path(frames, tmp_path):
    np.save(tmp_path / "frames.npy", frames)
    return tmp_path / "frames.npy"


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_transform_in_place_leaves_the_frames(frames, kind):
    for given in (frames.astype(kind), torch.from_numpy(frames.astype(kind))):
        data = Sequences(given, transform=lambda x: x.mul_(0.5))
        once = data[2][0].clone()
        assert torch.equal(data[2][0], once)


def test_tensor_array_and_file_give_the_same(frames, path):
    expected = torch.from_numpy(frames).float() / 255
    index = torch.tensor([5, 0, 5])
    labels = {"who": torch.arange(7) * 10}
    for source in (torch.from_numpy(frames), frames, path, str(path)):
        data = Sequences(source, labels)
        x, label = data[3]
        assert len(data) == 7 and x.dtype == torch.float32 and label == {"who": 30}
        torch.testing.assert_close(x, expected[3])
        many, of_many = data.batch(index)
        torch.testing.assert_close(many, expected[index])
        assert of_many["who"].tolist() == [50, 0, 50]
        torch.testing.assert_close(data.batch(index[:1])[0], expected[[5]])


def test_floats_are_read_as_they_are(frames):
    spectra = torch.randn(5, 6, 20, dtype=torch.float16)
    x, _ = Sequences(spectra).batch(torch.arange(5))
    assert x.dtype == torch.float32
    torch.testing.assert_close(x, spectra.float())


def test_reading_does_not_change_what_is_kept(frames):
    kept = torch.rand(3, 4, 5)
    data = Sequences(kept.clone())
    data.batch(torch.tensor([1]))[0].zero_()
    assert data.frames.equal(kept)


def test_transform_is_of_items_alone(path):
    data = Sequences(path, transform=lambda x: x[:2])
    assert data[0][0].shape == (2, 1, 16, 16)
    assert data.batch(torch.arange(2))[0].shape == (2, 4, 1, 16, 16)


def test_lists_of_sequences_and_labels(frames):
    expected = Sequences(frames, {"who": torch.arange(7)})
    for source in ([*frames], [*torch.from_numpy(frames)], tuple((frames / 255).tolist())):
        data = Sequences(source, {"who": [*range(7)]})
        torch.testing.assert_close(data[3][0], expected[3][0])
        assert data[3][1] == {"who": 3}
    labels = Sequences(frames, {"who": np.arange(7), "smiles": [True] * 7}).batch(torch.arange(2))[
        1
    ]
    assert labels["who"].tolist() == [0, 1] and labels["smiles"].all()


def test_an_npz_of_one_array(frames, tmp_path):
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "one.npz", frames)
        assert Sequences(tmp_path / "one.npz")[2][0].equal(Sequences(frames)[2][0])


def test_files_of_other_kinds(frames, tmp_path):
    np.savez(tmp_path / "two.npz", x=frames, y=frames)
    with pytest.raises(TypeError, match=r"two.npz must hold one array, got x, y: pass that of"):
        Sequences(tmp_path / "two.npz")
    torch.save(torch.from_numpy(frames), tmp_path / "x.pt")
    message = r"x.pt must be a .npy or .npz file; .* torch.load\(path, weights_only=True\)"
    with pytest.raises(ValueError, match=message):
        Sequences(tmp_path / "x.pt")
    for name, length in (("one.npz", 300), ("empty.npy", 0), ("empty.npz", 0)):
        np.savez_compressed(tmp_path / "one.npz", frames)
        whole = (tmp_path / "one.npz").read_bytes()
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(ValueError, match=f"{name} is not a whole .np. file"):
            Sequences(tmp_path / name)


@pytest.mark.parametrize(
    ("frames", "labels", "message"),
    [
        (object(), None, "frames must be a tensor, an array, a list or a path, got object"),
        (torch.rand(3, 0, 5), None, r"frames must be \(sequences, time, .* got \(3, 0, 5\)"),
        (np.zeros((3, 4, 5), ">f4"), None, r"frames must be .* of uint8 or floats, .* of >f4"),
        (
            [torch.rand(4, 5), torch.rand(3, 5)],
            None,
            r"\(4, 5\) .* in sequence 0 and \(3, 5\) .* 1",
        ),
        ([], None, r"frames must be \(sequences, time, .* got \(0,\)"),
        ([torch.rand(4, 5), "x"], None, "sequence 1 must be a tensor or an array, got str"),
        ([[1, 2], [3, 4]], None, r"sequence 0 must be \(time, .* got \(2,\) of torch.int64"),
        (torch.rand(3, 4, 5), [0, 1, 2], r"labels must be a dict of \(3,\) by name, got list"),
        (torch.rand(3, 4, 5), {"a": [0, 1]}, r"labels\['a'\] must be \(3,\), got \(2,\)"),
        (torch.rand(3, 4, 5), {"a": ["x"] * 3}, r"labels\['a'\] must be whole numbers \(3,\)"),
        (torch.rand(3, 4, 5), {"a": [0.5] * 3}, r"labels\['a'\] .* numbers, got torch.float32"),
    ],
)
def test_what_is_refused(frames, labels, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Sequences(frames, labels)


def test_errors(frames, path, tmp_path):
    with pytest.raises(ValueError, match=r"frames must be .* got \(3, 4\) of torch.float32"):
        Sequences(torch.rand(3, 4))
    with pytest.raises(ValueError, match=r"frames must be .* uint8 or floats, got .* of int64"):
        Sequences(frames.astype(np.int64))
    with pytest.raises(ValueError, match=r"labels\['who'\] must be \(7,\), got \(6,\)"):
        Sequences(frames, {"who": torch.arange(6)})
    with pytest.raises(FileNotFoundError, match=r"no file of frames: .*missing.npy"):
        Sequences(tmp_path / "missing.npy")
    os.truncate(path, path.stat().st_size - 100)
    with pytest.raises(ValueError, match=r"frames.npy is not a whole .npy file"):
        Sequences(path)
    (tmp_path / "text.npy").write_text("not an array")
    with pytest.raises(ValueError, match=r"text.npy is not a whole .npy file"):
        Sequences(tmp_path / "text.npy")


@pytest.mark.parametrize(
    "data",
    [
        ProceduralSprites("test", size=16),
        ProceduralSheets("test", size=16),
        ProceduralSheets("test", size=16, num_frames=3),
    ],
    ids=str,
)
def test_a_batch_holds_the_items(data):
    index = torch.tensor([4, 200])
    x, labels = data.batch(index)
    for i, row in enumerate(index.tolist()):
        item, label = data[row]
        assert {name: int(values[i]) for name, values in labels.items()} == label
        if getattr(data, "num_frames", None) is None:
            assert x[i].equal(item)
        else:  # drawn anew: each is a frame of the set
            whole = data.frames[row].float() / 255
            for frame in x[i]:
                assert (whole == frame).flatten(1).all(1).any()


def test_digits_in_batches(data_root):
    data = MovingDigits(data_root / "mnist", num_sequences=5, num_frames=3, num_digits=2, size=32)
    x, labels = data.batch(torch.tensor([3, 1]))
    item, label = data[3]
    assert x[0].equal(item)
    assert {name: int(values[0]) for name, values in labels.items()} == label


def test_fit_sees_the_same_through_a_file_and_through_workers(make_pair, path):
    losses = [
        pyro_dsae.fit(
            *make_pair((1, 16, 16)), data, steps=4, batch_size=3, num_workers=workers, **CPU
        ).losses
        for data, workers in ((Sequences(path), 0), (Sequences(path), 1), (read(path), 0))
    ]
    assert losses[0] == losses[1] == losses[2]


def read(path) -> torch.Tensor:
    return torch.from_numpy(np.load(path)).float() / 255


LIMITED = """
import resource, sys
import numpy as np, torch
import pyro_dsae
from pyro_dsae.data import Sequences

path, allowed = sys.argv[1], int(sys.argv[2])
pair = [make((4096,), f_dim=2, z_dim=2, channels=1, hidden=8)
        for make in (pyro_dsae.DSAE, pyro_dsae.Factorised)]
options = dict(batch_size=32, device="cpu", progress=False)
pyro_dsae.fit(*pair, torch.rand(32, 4, 4096), steps=2, **options)
held = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status")
            if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (held + allowed,) * 2)
try:
    np.load(path)
except MemoryError:
    print("too large")
data = Sequences(path)
losses = pyro_dsae.fit(*pair, data, epochs=1, **options).losses
print(len(losses) * 32 == len(data), losses[-1] < losses[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to limit the memory")
def test_a_file_four_times_the_allowed_memory(tmp_path):
    allowed = 64 * 2**20
    shape = (4 * allowed // (4 * 4096), 4, 4096)
    array = np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.uint8, shape)
    array[:] = np.random.default_rng(0).integers(0, 256, (1, *shape[1:]), np.uint8)
    del array
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "large.npy"), str(allowed)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n")[:2] == ["too large", "True True"]
