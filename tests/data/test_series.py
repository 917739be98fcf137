"""Series of several channels, on files that the tests write."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyro_dsae import load_data, save
from pyro_dsae.data import Series


@pytest.fixture
def root(tmp_path):
    """Series of 10 and 6 moments and 2 channels, of means and deviations far from 0 and 1; one is still."""
    generator = np.random.default_rng(0)
    long = generator.normal((50, -3), (8, 0.1), (10, 2)).astype(np.float32)
    short = generator.normal((50, -3), (8, 0.1), (6, 2))
    np.save(tmp_path / "a10.npy", long)
    np.savetxt(tmp_path / "a2.csv", short, delimiter=",", header="knee,hip", comments="")
    return tmp_path


def test_files_are_read_scaled_and_restored(root):
    data = Series(root, num_frames=None)
    assert data.names == ["a2", "a10"] and data.lengths == [6, 10]
    assert data.channels == ["knee", "hip"]
    every = torch.cat([data.sequence(i) for i in range(2)])
    torch.testing.assert_close(every.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(every.std(0, correction=0), torch.ones(2), atol=1e-4, rtol=0)
    x, labels = data[1]
    assert x.dtype == torch.float32 and labels == {"series": 1, "start": 0}
    given = torch.from_numpy(np.load(root / "a10.npy"))
    torch.testing.assert_close(data.restore(x), given, atol=1e-4, rtol=1e-5)


def test_windows(root):
    train = Series(root / "a10.npy", num_frames=4, stride=2, draws=3)
    assert len(train) == 3 and train[0][0].shape == (4, 2)
    assert {train[0][1]["start"] for _ in range(50)} == {0, 1, 2, 3}
    tiled = Series(root, num_frames=4, windows="tiled", pad=True, scaling=train.scaling)
    x, labels = tiled.batch(torch.arange(len(tiled)))
    assert x.shape == (5, 4, 2) and labels["mask"].sum(1).tolist() == [4, 2, 4, 4, 2]
    assert labels["series"].tolist() == [0, 0, 1, 1, 1] and x[1, 2:].count_nonzero() == 0
    torch.testing.assert_close(x[2], tiled.sequence(1)[:4])


def test_arrays_labels_and_a_channel_that_never_changes():
    series = [np.array([[1, 7], [2, 7], [3, 7]]), np.array([[4, 7], [5, 7]])]
    data = Series(series, num_frames=2, windows="tiled", labels={"kind": [3, 5]})
    assert data.names == ["0", "1"] and data.channels == ["0", "1"]
    assert data[1][1] == {"series": 1, "start": 0, "kind": 5}
    assert data[0][0][:, 1].tolist() == [0, 0] and data.scaling.scale[1] == 1
    assert data.restore(data[1][0]).tolist() == [[4, 7], [5, 7]]
    assert Series({"walk": series[0]}, num_frames=2).names == ["walk"]


def test_a_channel_far_from_0_is_scaled_and_restored_to_its_last_digit(tmp_path, make_pair):
    times = 1.7e9 + 0.02 * np.arange(200)[:, None]
    data = Series([times], num_frames=None)
    x, _ = data[0]
    assert x.dtype == torch.float32 and abs(x.mean()) < 1e-5
    np.testing.assert_allclose(data.restore(x.double()).numpy(), times, rtol=0, atol=1e-5)
    assert data.restore(x).dtype == torch.float32
    save(tmp_path / "model", *make_pair((1,)), data=data)
    again = load_data(tmp_path / "model", [times])
    torch.testing.assert_close(again[0][0], x)


def test_channels_in_another_order_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n0,100\n1,101\n")
    (tmp_path / "b.csv").write_text("y,x\n100,0\n101,1\n")
    with pytest.raises(
        ValueError, match=r"b.csv must have the channels x, y, .* as .*a.csv, got y, x"
    ):
        Series(tmp_path, num_frames=2)


def test_new_series_have_the_channels_that_were_learnt_from(tmp_path, make_pair):
    for folder, header in (("old", "x,y"), ("same", "x,y"), ("other", "y,x")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text(f"{header}\n0,100\n1,101\n")
    learnt = Series(tmp_path / "old", num_frames=2)
    save(tmp_path / "model", *make_pair((2,)), data=learnt)
    again = load_data(tmp_path / "model", tmp_path / "same")
    assert again.channels == ["x", "y"] and again.settings["channels"] == ["x", "y"]
    assert load_data(tmp_path / "model", [np.zeros((3, 2))]).channels == ["x", "y"]
    with pytest.raises(
        ValueError, match="a.csv must have the channels x, y, .* as before, got y, x"
    ):
        load_data(tmp_path / "model", tmp_path / "other")
    with pytest.raises(ValueError, match="channels must be 2 names, got x"):
        Series([np.zeros((3, 2))], num_frames=2, channels=["x"])


def test_headers_that_are_none(tmp_path):
    (tmp_path / "a.csv").write_text("x\n0,100\n1,101\n")  # without a name of the first column
    assert Series(tmp_path, num_frames=2).channels == ["0", "1"]
    (tmp_path / "b.csv").write_bytes("gr\xf6sse\n".encode("latin-1"))
    with pytest.raises(ValueError, match="b.csv must be a series in numbers: .*utf-8"):
        Series(tmp_path, num_frames=2)


def test_two_files_of_one_stem(tmp_path):
    (tmp_path / "a.csv").write_text("0,100\n1,101\n")
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    np.save(tmp_path / "b.npy", np.ones((4, 2)))
    data = Series(tmp_path, num_frames=2)
    assert dict(zip(data.names, data.lengths, strict=True)) == {"a.csv": 2, "a.npy": 3, "b": 4}


@pytest.mark.parametrize(
    ("series", "options", "words"),
    [
        ([], {}, "series must hold at least 1, got 0"),
        ([np.zeros(5)], {}, r"series 0 must be \(time, channels\) of numbers, got \(5,\)"),
        ([np.array([["a"]])], {}, "series 0 must be .* of numbers"),
        ([np.full((5, 2), np.nan)], {}, "series 0 must be finite, got NaN"),
        ([np.zeros((5, 2)), np.zeros((5, 3))], {}, "1 must have 2 channels, as series 0, got 3"),
        ({"b": np.zeros((1, 2))}, {}, "series b must hold at least 2 frames, got 1"),
        ([np.zeros((5, 2))], {"labels": {"a": [1, 2]}}, r"labels\['a'\] must be whole numbers \(1,\)"),
        ([np.zeros((5, 2))], {"labels": {"a": [0.5]}}, r"labels\['a'\] must be whole numbers"),
    ],
)  # fmt: skip
def test_bad_series(series, options, words):
    with pytest.raises(ValueError, match=words):
        Series(series, num_frames=2, **options)


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no series at .*nowhere"):
        Series(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="must hold .csv or .npy files, got none"):
        Series(tmp_path)
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,?\n")
    with pytest.raises(ValueError, match=r"a.csv must be a series in numbers"):
        Series(tmp_path)
    (tmp_path / "a.csv").write_text("1,2\n3\n")
    with pytest.raises(ValueError, match=r"a.csv must be a series in numbers"):
        Series(tmp_path)
    (tmp_path / "b.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match=r"b.npy must be a series in numbers"):
        Series(tmp_path / "b.npy")
    other = Series([np.zeros((5, 3))], num_frames=2).scaling
    with pytest.raises(ValueError, match=r"scaling must be of 2 channels, got \(3,\)"):
        Series([np.zeros((5, 2))], num_frames=2, scaling=other)
