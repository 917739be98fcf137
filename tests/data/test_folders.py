"""Folders of frames, on files that the tests write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_dsae.data import FrameFolders, UnorderedFrames


def write(path: Path, value: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = value if mode == "L" else (value, 0, 255 - value)
    Image.new(mode, size, colour).save(path)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


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


class TestUnorderedFrames:
    @pytest.mark.parametrize("keep", ["disk", "memory", "none"])
    def test_sequences_are_in_natural_order(self, root, keep):
        data = UnorderedFrames(root, size=16, keep=keep)
        assert data.names == ["person 9", "person 10"]
        assert data.lengths == [12, 3]
        x, labels = data[0]
        assert x.shape == (12, 3, 16, 16) and x.dtype == torch.float32
        torch.testing.assert_close(255 * x[:, 0, 5, 5], torch.arange(0.0, 120.0, 10.0))
        assert labels == {"sequence": 0}
        torch.testing.assert_close(data.sequence(0), x)

    def test_natural_order_of_odd_names(self, tmp_path):
        names = ["2", "²", "02", "10", "a1b10", "a1b9", "a"]
        for name in names:
            for t in range(2):
                write(tmp_path / name / f"{t}.png", 0)
        expected = ["02", "2", "10", "a", "a1b9", "a1b10", "²"]
        assert UnorderedFrames(tmp_path, size=4).names == expected

    @pytest.mark.parametrize("keep", ["disk", "memory", "none"])
    def test_draws_frames_anew_each_time(self, root, keep):
        data = UnorderedFrames(root, size=16, num_frames=3, keep=keep)
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
        data = UnorderedFrames(tmp_path, size=10, grey=True)
        x = data.sequence(0)
        assert x.shape == (2, 1, 10, 10)
        torch.testing.assert_close(x[..., 2:-2], torch.full((2, 1, 10, 6), 200 / 255))
        assert UnorderedFrames(tmp_path, size=10).sequence(0).shape == (2, 3, 10, 10)

    def test_a_transform_sees_the_float_frames(self, root):
        data = UnorderedFrames(root, size=16, num_frames=2, transform=lambda x: x.sum((1, 2, 3)))
        assert data[1][0].shape == (2,)

    def test_faces(self, data_root):
        data = UnorderedFrames(data_root / "orl-faces", size=32, grey=True)
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
        for keep in ("disk", "memory", "none"):
            data = UnorderedFrames(tmp_path, size=16, keep=keep)
            assert (data.names, data.lengths) == (["clip"], [5])
            levels = 255 * data[0][0].mean((1, 2, 3))
            torch.testing.assert_close(levels, 40.0 * torch.arange(5), atol=6, rtol=0)
            few = UnorderedFrames(tmp_path, size=16, keep=keep, num_frames=2)
            draws = {tuple((few[0][0].mean((1, 2, 3)) * 255 / 40).tolist()) for _ in range(20)}
            rounded = {tuple(round(level) for level in draw) for draw in draws}
            assert all(len({*draw}) == 2 and {*draw} <= {*range(5)} for draw in rounded)
            assert len(rounded) > 5
            with pytest.raises(ValueError, match="clip.mp4 must hold at least 6 frames, got 5"):
                UnorderedFrames(tmp_path, num_frames=6, keep=keep)
        assert UnorderedFrames(tmp_path, size=16, grey=True).sequence(0).shape == (5, 1, 16, 16)
        (tmp_path / "other.avi").write_bytes(b"no video")
        for keep in ("disk", "memory", "none"):
            with pytest.raises(ValueError, match="other.avi must be a video"):
                UnorderedFrames(tmp_path, keep=keep)

    def test_sound_alone_is_no_video(self, tmp_path):
        av = pytest.importorskip("av")
        with av.open(str(tmp_path / "song.mp4"), "w") as container:
            stream = container.add_stream("aac", rate=8000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
            sound.rate = 8000
            for packet in [*stream.encode(sound), *stream.encode()]:
                container.mux(packet)
        with pytest.raises(ValueError, match="song.mp4 must be a video"):
            UnorderedFrames(tmp_path)

    def test_videos_without_pyav_say_what_to_install(self, tmp_path, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "av", None)
        (tmp_path / "clip.mp4").write_bytes(b"anything")
        with pytest.raises(ImportError, match=r"clip.mp4 is a video.*pyro-dsae\[video\]"):
            UnorderedFrames(tmp_path)


class TestBadFolders:
    def test_folders_that_are_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="root is not a folder: .*nowhere"):
            UnorderedFrames(tmp_path / "nowhere")
        with pytest.raises(FileNotFoundError, match="root must hold a folder of images a sequence"):
            UnorderedFrames(tmp_path)

    def test_too_few_frames(self, root):
        with pytest.raises(ValueError, match="person 10 must hold at least 4 frames, got 3"):
            UnorderedFrames(root, num_frames=4)
        write(root / "lone" / "a.png", 1)
        with pytest.raises(ValueError, match="lone must hold at least 2 frames, got 1"):
            UnorderedFrames(root)

    @pytest.mark.parametrize("length", [0, 30, 70])
    def test_unreadable_images(self, root, length):
        path = root / "person 9" / "frame5.png"
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(ValueError, match="frame5.png must be a"):
            UnorderedFrames(root)
        if length < 70:  # seen in the header
            for mixed_sizes in (True, False):
                with pytest.raises(ValueError, match="frame5.png must be an image"):
                    UnorderedFrames(root, keep="none", mixed_sizes=mixed_sizes)
        else:
            data = UnorderedFrames(root, keep="none")
            with pytest.raises(ValueError, match="frame5.png must be a whole image"):
                data.sequence(0)

    @pytest.mark.parametrize("data", [b"P5", b"P5\n40 3x\n255\n", b"P2\n2 1\n255\n7 x\n"])
    def test_damaged_pgm(self, tmp_path, data):
        write(tmp_path / "one" / "a.pgm", 0, mode="L")
        (tmp_path / "one" / "b.pgm").write_bytes(data)
        with pytest.raises(ValueError, match="b.pgm must be a"):
            UnorderedFrames(tmp_path, mixed_sizes=True)

    def test_more_than_sixteen_bits(self, root):
        deep = Image.fromarray(np.full((30, 40), 0.5, np.float32))
        deep.save(root / "person 9" / "frame2.tif")
        with pytest.raises(
            ValueError, match="frame2.tif must have 8 or 16 bits a channel, got mode F"
        ):
            UnorderedFrames(root)

    def test_images_of_different_sizes(self, root):
        write(root / "person 9" / "frame7.png", 1, size=(41, 30))
        with pytest.raises(
            ValueError, match="frame7.png must be 40 x 30 .* frame0.png, got 41 x 30"
        ):
            UnorderedFrames(root)
        assert UnorderedFrames(root, size=16, mixed_sizes=True)[0][0].shape == (12, 3, 16, 16)

    def test_bad_arguments(self, root):
        with pytest.raises(ValueError, match="size must be at least 1, got 0"):
            UnorderedFrames(root, size=0)
        with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
            UnorderedFrames(root, num_frames=0)
        with pytest.raises(IndexError, match="index must be 0 to 1, got 2"):
            UnorderedFrames(root)[2]

    def test_a_rectangle(self, root):
        assert UnorderedFrames(root, size=(32, 48))[0][0].shape == (12, 3, 32, 48)

    def test_a_clip_a_class_down(self, tmp_path):
        for name in ("walk", "run"):
            for t in range(3):
                write(tmp_path / name / "first" / f"{t}.png", 10)
        assert UnorderedFrames(tmp_path, size=8).names == ["run/first", "walk/first"]

    def test_a_bad_one_is_left_out_if_asked(self, root):
        write(root / "lone" / "a.png", 1)
        with pytest.warns(UserWarning, match="1 of 3 clips are left out: .*lone must hold") as said:
            data = UnorderedFrames(root, on_error="skip")
        assert data.names == ["person 9", "person 10"] and said[0].filename == __file__

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_the_former_name(self, root, in_memory):
        with pytest.warns(DeprecationWarning, match="FrameFolders is UnorderedFrames now") as said:
            data = FrameFolders(root, size=16, num_frames=2, in_memory=in_memory)
        assert said[0].filename == __file__ and data[0][0].shape == (2, 3, 16, 16)
