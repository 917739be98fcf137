"""Folders of frames, on files that the tests write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_dsae.data import FrameFolders


def write(path: Path, value: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = value if mode == "L" else (value, 0, 255 - value)
    Image.new(mode, size, colour).save(path)


@pytest.fixture
def root(tmp_path) -> Path:
    """Two people; the red of a picture says when it was taken."""
    for person, frames in (("person 10", 3), ("person 9", 12)):
        for t in range(frames):
            write(tmp_path / person / f"frame{t}.png", 10 * t)
    write(tmp_path / "person 9" / ".hidden.png", 255)
    (tmp_path / "person 9" / "notes.txt").write_text("not an image")
    (tmp_path / "index.csv").write_text("1,2")
    return tmp_path


class TestFrameFolders:
    @pytest.mark.parametrize("in_memory", [True, False])
    def test_sequences_are_in_natural_order(self, root, in_memory):
        data = FrameFolders(root, size=16, in_memory=in_memory)
        assert data.names == ["person 9", "person 10"]
        assert data.lengths == [12, 3]
        x, labels = data[0]
        assert x.shape == (12, 3, 16, 16) and x.dtype == torch.float32
        torch.testing.assert_close(255 * x[:, 0, 5, 5], torch.arange(0.0, 120.0, 10.0))
        assert labels == {"sequence": 0}
        torch.testing.assert_close(data.sequence(0), x)

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_draws_frames_anew_each_time(self, root, in_memory):
        data = FrameFolders(root, size=16, num_frames=3, in_memory=in_memory)
        draws = [tuple((25.5 * data[0][0][:, 0, 0, 0]).round().int().tolist()) for _ in range(20)]
        assert all(len(set(draw)) == 3 for draw in draws)
        assert len(set(draws)) > 10
        assert any(draw != tuple(sorted(draw)) for draw in draws)

    def test_resizes_the_shorter_side_and_keeps_the_centre(self, tmp_path):
        picture = np.zeros((30, 60), np.uint8)
        picture[:, 15:45] = 200  # the middle square
        for name in "ab":
            path = tmp_path / "one" / f"{name}.pgm"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(picture).save(path)
        data = FrameFolders(tmp_path, size=10, grey=True)
        x = data.sequence(0)
        assert x.shape == (2, 1, 10, 10)
        torch.testing.assert_close(x[..., 2:-2], torch.full((2, 1, 10, 6), 200 / 255))
        assert FrameFolders(tmp_path, size=10).sequence(0).shape == (2, 3, 10, 10)

    def test_a_transform_sees_the_float_frames(self, root):
        data = FrameFolders(root, size=16, num_frames=2, transform=lambda x: x.sum((1, 2, 3)))
        assert data[1][0].shape == (2,)

    def test_faces(self, data_root):
        data = FrameFolders(data_root / "orl-faces", size=32, grey=True)
        assert len(data) == 40 and set(data.lengths) == {10}
        assert data.names[:3] == ["s1", "s2", "s3"]
        x = data.sequence(7)
        assert x.shape == (10, 1, 32, 32)
        assert 0.2 < x.mean() < 0.7

    def test_videos(self, tmp_path):
        av = pytest.importorskip("av")
        with av.open(str(tmp_path / "clip.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for t in range(5):
                picture = np.full((48, 64, 3), 40 * t, np.uint8)
                for packet in stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        for in_memory in (True, False):
            data = FrameFolders(tmp_path, size=16, in_memory=in_memory)
            assert (data.names, data.lengths) == (["clip"], [5])
            levels = 255 * data[0][0].mean((1, 2, 3))
            torch.testing.assert_close(levels, 40.0 * torch.arange(5), atol=6, rtol=0)
        assert FrameFolders(tmp_path, size=16, grey=True).sequence(0).shape == (5, 1, 16, 16)
        (tmp_path / "other.avi").write_bytes(b"no video")
        with pytest.raises(ValueError, match="other.avi must be a video"):
            FrameFolders(tmp_path)

    def test_videos_without_pyav_say_what_to_install(self, tmp_path, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "av", None)
        (tmp_path / "clip.mp4").write_bytes(b"anything")
        with pytest.raises(ImportError, match=r"clip.mp4 is a video.*pyro-dsae\[video\]"):
            FrameFolders(tmp_path)


class TestBadFolders:
    def test_folders_that_are_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="root is not a folder: .*nowhere"):
            FrameFolders(tmp_path / "nowhere")
        with pytest.raises(FileNotFoundError, match="root must hold a folder of images a sequence"):
            FrameFolders(tmp_path)

    def test_too_few_frames(self, root):
        with pytest.raises(ValueError, match="person 10 must hold at least 4 frames, got 3"):
            FrameFolders(root, num_frames=4)
        write(root / "lone" / "a.png", 1)
        with pytest.raises(ValueError, match="lone must hold at least 2 frames, got 1"):
            FrameFolders(root)

    @pytest.mark.parametrize("length", [0, 30, 70])
    def test_unreadable_images(self, root, length):
        path = root / "person 9" / "frame5.png"
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(ValueError, match="frame5.png must be a"):
            FrameFolders(root)

    def test_images_of_different_sizes(self, root):
        write(root / "person 9" / "frame7.png", 1, size=(41, 30))
        with pytest.raises(
            ValueError, match="frame7.png must be 40 x 30 .* frame0.png, got 41 x 30"
        ):
            FrameFolders(root)
        assert FrameFolders(root, size=16, mixed_sizes=True)[0][0].shape == (12, 3, 16, 16)

    def test_bad_arguments(self, root):
        with pytest.raises(ValueError, match="size must be at least 1, got 0"):
            FrameFolders(root, size=0)
        with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
            FrameFolders(root, num_frames=0)
        with pytest.raises(IndexError, match="index must be 0 to 1, got 2"):
            FrameFolders(root)[2]
