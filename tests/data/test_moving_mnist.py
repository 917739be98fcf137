"""Moving MNIST: our generator against its own claims, and the published set's format."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_dsae.data import MovingDigits, MovingMNIST

PARTS = ("digit_images", "digit_labels")
SPLITS = ("train", "test", "learn", "validation")


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
    data = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_mnist(root: Path, stem: str, count: int, suffix: str = "", seed: int = 0) -> None:
    root.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    images = generator.integers(1, 256, (count, 28, 28))
    write_idx(root / f"{stem}-images-idx3-ubyte{suffix}", images)
    write_idx(root / f"{stem}-labels-idx1-ubyte{suffix}", generator.integers(0, 10, count))


@pytest.fixture
def root(tmp_path) -> Path:
    write_mnist(tmp_path, "train", 50)
    write_mnist(tmp_path, "t10k", 20, ".gz", seed=1)
    return tmp_path


class TestMovingDigits:
    def test_a_frame_is_the_digit_at_its_place_on_black(self, root):
        data = MovingDigits(root, num_sequences=30)
        assert len(data) == 30
        x = (255 * data.sequences(slice(None))).round().byte()
        assert x.shape == (30, 20, 1, 64, 64)
        corners = (64 * data.positions[:, :, 0] - 14).round().long()
        for n, t in [(0, 0), (7, 19), (29, 11)]:
            column, row = corners[n, t].tolist()
            digit = x[n, t, 0, row : row + 28, column : column + 28]
            match = (data.digit_images == digit).flatten(1).all(1).nonzero().item()
            assert data.digit_labels[match] == data.digits[n, 0]
            assert x[n, t].sum() == digit.sum()

    def test_digits_go_straight_and_bounce_at_the_borders(self, root):
        data = MovingDigits(root, num_sequences=50, num_frames=100, size=640)
        free = 640 - 280
        corners = 640 * data.positions[:, :, 0].double() - 140
        assert corners.min() >= 0 and corners.max() <= free
        steps = corners.diff(dim=1) / free
        inside = ((corners[:, 1:-1] > 40) & (corners[:, 1:-1] < free - 40)).all(-1)
        speed = steps[:, 1:][inside].norm(dim=-1)
        torch.testing.assert_close(speed, torch.full_like(speed, 0.1), atol=0.004, rtol=0)
        turns = (steps[:, 1:] - steps[:, :-1]).abs().amax(-1)
        assert turns[inside].max() < 0.007  # rounding to whole pixels
        assert (corners.amin((0, 1)) < 20).all() and (corners.amax((0, 1)) > free - 20).all()

    def test_several_digits_are_combined_by_their_maximum(self, root):
        data = MovingDigits(root, num_digits=3, num_sequences=5, num_frames=4)
        x = data.sequences(slice(None))
        assert data.digits.shape == (5, 3) and data.positions.shape == (5, 4, 3, 2)
        alone = torch.zeros_like(x)
        for n in range(5):
            for t in range(4):
                for k in range(3):
                    column, row = data.corners[n, t, k].tolist()
                    view = alone[n, t, 0, row : row + 28, column : column + 28]
                    torch.maximum(view, data.digit_images[data.index[n, k]] / 255, out=view)
        torch.testing.assert_close(x, alone)

    def test_an_item_is_one_of_the_sequences(self, root):
        seen = []
        data = MovingDigits(root, num_digits=2, transform=lambda x: seen.append(x) or x[:3])
        x, labels = data[5]
        torch.testing.assert_close(seen[0], data.sequences(torch.tensor([5]))[0])
        assert x.shape == (3, 1, 64, 64) and x.dtype == torch.float32
        assert labels == {f"digit_{k}": int(data.digits[5, k]) for k in (0, 1)}
        assert torch.equal(data[-1][0], data[len(data) - 1][0])
        with pytest.raises(IndexError):
            data[len(data)]

    def test_other_sizes_are_resized_digits(self, root):
        data = MovingDigits(root, size=32, num_sequences=4)
        assert data.digit_images.shape == (50, 14, 14)
        full = MovingDigits(root).digit_images.float().mean((1, 2))
        torch.testing.assert_close(data.digit_images.float().mean((1, 2)), full, atol=3, rtol=0)
        assert data.sequences(slice(None)).shape == (4, 20, 1, 32, 32)
        assert MovingDigits(root, size=32, digit_size=20).digit_images.shape == (50, 20, 20)

    def test_seed_and_split_say_which_sequences(self, root):
        def frames(split="train", seed=0):
            return MovingDigits(root, split, seed=seed, num_sequences=3).sequences(slice(None))

        assert torch.equal(frames(), frames())
        assert not torch.equal(frames(), frames(seed=1))
        train, test = MovingDigits(root), MovingDigits(root, "test")
        assert (len(train.digit_images), len(test.digit_images)) == (50, 20)
        assert not torch.equal(train.positions, test.positions)
        assert "50 train digits" in train.source

    def test_digits_of_the_training_set_to_choose_settings_on(self, root):
        train, learn, validation = (
            MovingDigits(root, split, num_sequences=9) for split in ("train", "learn", "validation")
        )
        assert (len(learn.digit_images), len(validation.digit_images)) == (42, 8)
        both = [torch.cat([getattr(data, name) for data in (learn, validation)]) for name in PARTS]
        assert all(
            torch.equal(parts, getattr(train, name))
            for parts, name in zip(both, PARTS, strict=True)
        )
        assert validation.source == "the last 8 of MNIST's 50 train digits"
        places = [MovingDigits(root, split, num_sequences=9).positions for split in SPLITS]
        assert len({float(at.sum()) for at in places}) == len(SPLITS)

    def test_too_few_to_hold_any_out(self, tmp_path):
        write_mnist(tmp_path, "train", 5)
        for split in ("learn", "validation"):
            with pytest.raises(ValueError, match="root must hold 6 training digits or more.*got 5"):
                MovingDigits(tmp_path, split)

    def test_torchvisions_layout(self, tmp_path):
        write_mnist(tmp_path / "MNIST" / "raw", "train", 30)
        assert len(MovingDigits(tmp_path).digit_images) == 30

    def test_real_digits_where_there_are_test_digits_only(self, data_root):
        train, test = (MovingDigits(data_root / "mnist", split) for split in ("train", "test"))
        assert (len(train.digit_images), len(test.digit_images)) == (9000, 1000)
        assert "no training digits" in train.source and "no training digits" in test.source
        x = test.sequences(slice(0, 40))
        mass = x[:, :, 0] / x.sum((2, 3, 4))[..., None, None]
        centres = torch.arange(64) + 0.5
        found = torch.stack([(mass.sum(2) * centres).sum(-1), (mass.sum(3) * centres).sum(-1)], -1)
        # MNIST's digits have their centre of mass in the middle of the image.
        assert (found / 64 - test.positions[:40, :, 0]).abs().max() < 1.5 / 64


class TestBadMNIST:
    def test_files_that_are_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="root is not a folder: .*nowhere"):
            MovingDigits(tmp_path / "nowhere")
        with pytest.raises(FileNotFoundError, match="t10k-images-idx3-ubyte.gz and .* got .*"):
            MovingDigits(tmp_path)
        write_mnist(tmp_path, "t10k", 20)
        for split in ("train", "test"):
            with pytest.raises(ValueError, match="ubyte must hold more than 1000 digits.*got 20"):
                MovingDigits(tmp_path, split)

    def test_damaged_files_are_named(self, root):
        images, labels = (root / f"train-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1"))
        data = images.read_bytes()
        images.write_bytes(data[:-9])
        with pytest.raises(ValueError, match="images-idx3-ubyte must hold 39200 values, got 39191"):
            MovingDigits(root)
        images.write_bytes(b"\x00\x00\x0d\x03" + data[4:])
        with pytest.raises(ValueError, match="images-idx3-ubyte must be an IDX file of bytes"):
            MovingDigits(root)
        images.write_bytes(data)
        write_idx(labels, np.zeros(49))
        with pytest.raises(ValueError, match="labels-idx1-ubyte must hold 50 labels, .* got 49"):
            MovingDigits(root)
        packed = root / "t10k-images-idx3-ubyte.gz"
        packed.write_bytes(packed.read_bytes()[:100])
        with pytest.raises(ValueError, match="images-idx3-ubyte.gz must be a whole gzip file"):
            MovingDigits(root, "test")

    def test_bad_arguments_are_named(self, root):
        for arguments, message in [
            (
                {"split": "valid"},
                "split must be one of train, test, learn, validation, got 'valid'",
            ),
            ({"num_digits": 0}, "num_digits must be at least 1, got 0"),
            ({"num_frames": 0}, "num_frames must be at least 1, got 0"),
            ({"num_sequences": 0}, "num_sequences must be at least 1, got 0"),
            ({"size": 0}, "size must be at least 1, got 0"),
            ({"digit_size": 0}, "digit_size must be at least 1, got 0"),
            ({"seed": -1}, "seed must be at least 0, got -1"),
            ({"size": 7}, "digits must be of 4 pixels at least .*, got 3 in 7"),
            ({"size": 32, "digit_size": 32}, "and smaller than frames, got 32 in 32"),
        ]:
            with pytest.raises(ValueError, match=message):
                MovingDigits(root, **arguments)


def test_the_published_sequences(tmp_path):
    published = np.random.default_rng(0).integers(0, 256, (20, 6, 64, 64)).astype(np.uint8)
    (tmp_path / "MovingMNIST").mkdir()
    np.save(tmp_path / "MovingMNIST" / "mnist_test_seq.npy", published)
    data = MovingMNIST(tmp_path, transform=lambda x: x.flip(0))
    assert len(data) == 6
    x, labels = data[4]
    assert labels == {}
    expected = torch.from_numpy(published[:, 4]).unsqueeze(1) / 255
    torch.testing.assert_close(x.flip(0), expected)
    with pytest.raises(RuntimeError, match="not found"):
        MovingMNIST(tmp_path / "elsewhere")
