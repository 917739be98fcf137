"""Clips in order, on files that the tests write."""

from __future__ import annotations

import os
import signal
import struct
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from pyro_dsae.data import Clips, images, videos
from pyro_dsae.data.videos import write_video

av = pytest.importorskip("av")
STEP = 6  # by which the level of a frame is above that of the one before


def level(t: int, height: int = 24, width: int = 32) -> np.ndarray:
    return np.full((height, width, 3), STEP * t, np.uint8)


def write(path: Path, frames: int = 10, rate: float = 10, **options) -> Path:
    """A video whose frame t has the level STEP t."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, map(level, range(frames)), rate, **options)
    return path


def write_images(folder: Path, frames: int, size: tuple[int, int] = (32, 24)) -> None:
    folder.mkdir(parents=True)
    for t in range(frames):
        Image.new("RGB", size, (STEP * t,) * 3).save(folder / f"frame{t}.png")


def seen(x: torch.Tensor) -> list[int]:
    """Which frames of a clip these are, by their levels: ``(T,)`` of ``(T, C, H, W)``."""
    return (255 * x.mean((1, 2, 3)) / STEP).round().int().tolist()


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """Videos of 10, 7 and 12 frames, and a folder of 9 images."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "clips"
    write(folder / "a.mp4", 10)
    write(folder / "b.mkv", 7)
    write(folder / "c.avi", 12, codec="mpeg4")
    write_images(folder / "d", 9)
    return folder


KEEP = ["disk", "memory", "none"]


class TestWindows:
    @pytest.mark.parametrize("keep", KEEP)
    def test_a_tiling_is_fixed_and_in_order(self, root, keep):
        data = Clips(root, num_frames=3, windows="tiled", size=(8, 12), keep=keep)
        assert data.names == ["a", "b", "c", "d"] and data.lengths == [10, 7, 12, 9]
        found = [
            (labels["clip"], labels["start"], seen(x)) for x, labels in (data[i] for i in range(12))
        ]
        assert found == [
            (clip, start, [start, start + 1, start + 2])
            for clip, length in enumerate(data.lengths)
            for start in range(0, length - 2, 3)
        ]
        x, _ = data[0]
        assert len(data) == 12 and x.shape == (3, 3, 8, 12) and x.dtype == torch.float32
        torch.testing.assert_close(data[0][0], data[0][0])
        assert seen(data.sequence(1)) == [*range(7)]
        grey = Clips(root, num_frames=3, size=8, grey=True, keep=keep)
        assert grey[0][0].shape == (3, 1, 8, 8)

    @pytest.mark.parametrize("keep", KEEP)
    def test_random_windows_are_drawn_anew_and_reach_both_ends(self, root, keep):
        data = Clips(root, num_frames=4, stride=2, size=8, keep=keep, draws=2)
        assert len(data) == 8
        starts: list[set[int]] = [set() for _ in range(4)]
        for _ in range(20):
            for i in range(8):
                x, labels = data[i]
                first = labels["start"]
                assert labels["clip"] == i % 4
                assert seen(x) == [first, first + 2, first + 4, first + 6]
                starts[i % 4].add(first)
        assert starts == [{*range(4)}, {0}, {*range(6)}, {*range(3)}]

    def test_select_shares_frames_and_changes_windows(self, root):
        data = Clips(root, num_frames=3, size=8, keep="memory")
        test = data.select([3, 1], windows="tiled")
        assert [test[i][1]["clip"] for i in range(len(test))] == [3, 3, 3, 1, 1]
        assert len(data) == 4 and len(data.select([0], draws=5)) == 5
        assert test._recordings is data._recordings
        with pytest.raises(IndexError, match="recordings must be 0 to 3, got 4"):
            data.select([4])
        with pytest.raises(ValueError, match="recordings must name at least one, got none"):
            data.select([])

    def test_whole_clips_and_padding(self, root):
        whole = Clips(root, num_frames=None, size=8)
        assert [len(whole[i][0]) for i in range(4)] == [10, 7, 12, 9]
        with pytest.raises(ValueError, match="of a batch must be of one shape.*pad=True"):
            whole.batch(torch.arange(4))
        padded = Clips(root, num_frames=None, size=8, pad=True)
        x, labels = padded.batch(torch.arange(4))
        assert x.shape == (4, 12, 3, 8, 8)
        assert labels["mask"].dtype == torch.bool
        assert labels["mask"].sum(1).tolist() == [10, 7, 12, 9]
        assert x[1, 7:].count_nonzero() == 0 and seen(x[1, :7]) == [*range(7)]

        tiled = Clips(root, num_frames=5, size=8, pad=True, windows="tiled")
        x, labels = tiled.batch(torch.arange(len(tiled)))
        assert labels["mask"].sum(1).tolist() == [5, 5, 5, 2, 5, 5, 2, 5, 4]
        assert not labels["mask"][3, 2:].any() and seen(x[3]) == [5, 6, 0, 0, 0]
        short = Clips(root, num_frames=11, size=8, pad=True)
        assert short[1][1]["mask"].sum() == 7 and len(short[1][0]) == 11

    def test_a_batch_is_its_items(self, root):
        data = Clips(root, num_frames=4, size=8, windows="tiled", pad=True)
        x, labels = data.batch(torch.tensor([3, 0]))
        for row, i in enumerate([3, 0]):
            one, its = data[i]
            torch.testing.assert_close(x[row], one)
            assert {name: values[row].tolist() for name, values in labels.items()} == {
                name: value.tolist() if name == "mask" else value for name, value in its.items()
            }

    def test_a_transform_sees_the_float_frames(self, root):
        data = Clips(root, num_frames=4, size=8, transform=lambda x: x.sum((1, 2, 3)))
        assert data[0][0].shape == (4,)

    def test_workers_read_it(self, root):
        data = Clips(root, num_frames=3, size=8)
        loader = torch.utils.data.DataLoader(data, 4, num_workers=1)
        ((x, labels),) = loader
        assert x.shape == (4, 3, 3, 8, 8) and labels["clip"].tolist() == [0, 1, 2, 3]

    def test_bad_arguments(self, root):
        for wrong, words in (
            ({"num_frames": 0}, "num_frames must be at least 1, got 0"),
            ({"stride": 0}, "stride must be at least 1, got 0"),
            ({"draws": 0}, "draws must be at least 1, got 0"),
            ({"rate": 0}, "rate must be positive.*got 0"),
            ({"rate": 5, "stride": 2}, "give one of stride and rate, got stride=2 and rate=5"),
            ({"windows": "all"}, "windows must be 'random' or 'tiled', got 'all'"),
            ({"keep": "ram"}, "keep must be 'disk', 'memory' or 'none', got 'ram'"),
            ({"on_error": "ignore"}, "on_error must be 'raise' or 'skip', got 'ignore'"),
            ({"size": (8, 0)}, "size must be at least 1, got 0"),
            ({"size": (8, 8, 3)}, r"size must be a number or \(height, width\), got \(8, 8, 3\)"),
        ):
            with pytest.raises(ValueError, match=words):
                Clips(root, **{"num_frames": 3, **wrong})
        with pytest.raises(TypeError, match="size must be a whole number, got 8.5"):
            Clips(root, size=8.5)
        with pytest.raises(IndexError, match="index must be 0 to 3, got 4"):
            Clips(root, num_frames=3)[4]


class TestRates:
    @pytest.mark.parametrize("keep", KEEP)
    def test_a_rate_holds_whatever_the_files_is(self, tmp_path, keep):
        write(tmp_path / "clips" / "slow.mp4", 10, rate=5)
        write(tmp_path / "clips" / "fast.mp4", 40, rate=20)
        options = {"size": 8, "keep": keep, "cache_dir": tmp_path / "cache"}
        data = Clips(tmp_path / "clips", num_frames=None, rate=5, **options)
        assert data.rates == pytest.approx([20, 5])
        assert seen(data[1][0]) == [*range(10)]
        assert seen(data[0][0]) == [*range(0, 40, 4)]
        double = Clips(tmp_path / "clips", num_frames=4, rate=10, windows="tiled", **options)
        slow = [double[i] for i in range(len(double)) if double[i][1]["clip"] == 1]
        assert seen(torch.cat([x for x, _ in slow]))[::2] == [0, 1, 2, 3, 4, 5, 6, 7]
        drawn = Clips(tmp_path / "clips", num_frames=10, rate=5, **options)
        assert {drawn[1][1]["start"] for _ in range(9)} == {0}
        starts = {drawn[0][1]["start"] for _ in range(60)}
        assert starts == {0, 1, 2, 3}

    @pytest.mark.parametrize("keep", KEEP)
    def test_a_variable_frame_rate(self, tmp_path, keep):
        """Ten frames in the first second, then one a second."""
        times = [t / 10 for t in range(10)] + [1.0, 2.0, 3.0]
        (tmp_path / "clips").mkdir()
        with av.open(str(tmp_path / "clips" / "vfr.mkv"), "w") as container:
            stream = container.add_stream("h264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
            stream.codec_context.time_base = Fraction(1, 1000)
            for t, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(level(t), "rgb24")
                frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        options = {"size": 8, "keep": keep, "cache_dir": tmp_path / "cache", "num_frames": None}
        assert seen(Clips(tmp_path / "clips", **options)[0][0]) == [*range(13)]
        steady = Clips(tmp_path / "clips", rate=2, **options)
        # At 0, 0.5, ..., 3 s; 1.5 and 2.5 lie between two frames.
        found = seen(steady[0][0])
        assert found[:3] == [0, 5, 10] and found[4::2] == [11, 12]
        assert found[3] in (10, 11) and found[5] in (11, 12)

    def test_images_have_no_rate(self, root):
        with pytest.raises(ValueError, match="clips/d must be a video where there is a rate"):
            Clips(root, rate=5, num_frames=2)

    @pytest.mark.parametrize("keep", KEEP)
    def test_an_avi_of_h264_whose_packets_tell_no_times(self, tmp_path, keep):
        """B-frames are decoded out of order, and AVI numbers packets in that order."""
        path = write(tmp_path / "clip.avi", 40, options={"g": "12", "bf": "2", "sc_threshold": "0"})
        data = Clips(path, num_frames=20, windows="tiled", rate=5, size=(24, 32), keep=keep)
        assert data.rates == pytest.approx([10])
        assert seen(data[0][0]) == [*range(0, 40, 2)]


class TestSeeking:
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("clip.mp4", {"options": {"g": "8", "bf": "2"}}),
            ("clip.mkv", {"options": {"g": "8", "bf": "2"}}),
            ("clip.mov", {"codec": "mpeg4", "options": {"g": "8"}}),
            ("clip.avi", {"codec": "mpeg4", "options": {"g": "8", "bf": "2"}}),
            ("clip.AVI", {"options": {"g": "8", "bf": "2", "sc_threshold": "0"}}),
            ("clip.MPG", {"codec": "mpeg1video", "rate": 25, "options": {"g": "8"}}),
            ("clip.webm", {"codec": "libvpx", "options": {"g": "8"}}),
            ("clip.gif", {"codec": "gif", "pix_fmt": "gray"}),
        ],
    )
    def test_sought_frames_are_those_of_a_plain_loop(self, tmp_path, name, options):
        """Frame by frame, from key frames anywhere: no frame is one off."""
        path = write(tmp_path / name, 40, **{"rate": 10, **options})
        with av.open(str(path)) as container:
            plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        x = torch.from_numpy(np.stack(plain)).permute(0, 3, 1, 2).float() / 255
        data = Clips(tmp_path, num_frames=3, size=(24, 32), keep="none")
        assert data.lengths == [40] == [len(plain)]
        for start in (0, 1, 7, 8, 9, 20, 33, 37):
            found = data.read(0, np.arange(start, start + 3)).float() / 255
            torch.testing.assert_close(found, x[start : start + 3], atol=0.03, rtol=0)
        assert seen(data.read(0, np.array([30, 4, 30])).float() / 255) == [30, 4, 30]

    def test_what_lies_before_the_window_is_not_decoded(self, tmp_path, monkeypatch):
        path = write(tmp_path / "clip.mp4", 40, options={"g": "10", "bf": "0"})
        with av.open(str(path)) as container:
            keys = [i for i, packet in enumerate(container.demux(video=0)) if packet.is_keyframe]
        video = videos.Video(path)
        decoded: list[int] = []

        def counted(*arguments, **options):
            """searchsorted, of which each frame asks its number."""
            decoded.append(int(numbered(*arguments, **options)))
            return decoded[-1]

        numbered = np.searchsorted
        monkeypatch.setattr(np, "searchsorted", counted)
        assert len([*video.read((8, 8), False, [28, 29])]) == 2
        assert decoded == [*range(max(key for key in keys if key <= 28), 30)]
        assert decoded[0] >= 20


class TestCache:
    def test_frames_are_decoded_once_and_are_bytes_on_disk(self, root, monkeypatch):
        data = Clips(root, num_frames=3, size=(8, 12))
        cache = Path(os.environ["XDG_CACHE_HOME"]) / "pyro_dsae" / "clips"
        sizes = sorted(path.stat().st_size for path in cache.glob("*/frames"))
        assert sizes == [length * 3 * 8 * 12 for length in sorted(data.lengths)]
        assert sorted(p.name for p in root.iterdir()) == ["a.mp4", "b.mkv", "c.avi", "d"]
        with monkeypatch.context() as patch:
            patch.setattr(videos, "_opened", None)  # so that nothing can be decoded
            again = Clips(root, num_frames=3, size=(8, 12), windows="tiled")
            assert seen(again[1][0]) == [3, 4, 5] and again.sizes == [(24, 32)] * 4
        write(root / "a.mp4", 11)  # another file under the name
        assert Clips(root, num_frames=3, size=(8, 12)).lengths == [11, 7, 12, 9]
        assert Clips(root, num_frames=3, size=8)[0][0].shape[-2:] == (8, 8)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
    def test_a_run_killed_in_the_middle_goes_on(self, root, monkeypatch):
        """By SIGKILL, in the third clip: two are there to stay, and nothing half is taken for whole."""
        child = os.fork()
        if child == 0:
            read = videos.Video.read

            def dying(video, *arguments):
                for t, frame in enumerate(read(video, *arguments)):
                    if video.path.name == "c.avi" and t == 5:
                        os.kill(os.getpid(), signal.SIGKILL)
                    yield frame

            videos.Video.read = dying
            Clips(root, num_frames=3, size=8)
            os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        cache = Path(os.environ["XDG_CACHE_HOME"]) / "pyro_dsae" / "clips"
        assert len([*cache.glob("[!.]*/about.npz")]) == 2
        opened: list[str] = []
        init = videos.Video.__init__
        monkeypatch.setattr(
            videos.Video, "__init__", lambda v, path: opened.append(path.name) or init(v, path)
        )
        data = Clips(root, num_frames=None, size=8)
        assert opened == ["c.avi"]
        assert [seen(data[i][0]) for i in range(4)] == [[*range(n)] for n in (10, 7, 12, 9)]

    def test_the_size_on_disk_is_said_once(self, root, monkeypatch):
        monkeypatch.setattr("pyro_dsae.data.cache._LARGE", 7_000)
        with pytest.warns(UserWarning, match="^0 MB are kept in .*clips, .*clear_cache") as said:
            Clips(root, num_frames=3, size=8)
        assert len(said) == 1 and said[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Clips(root, num_frames=3, size=8)


class TestNames:
    def test_classes_are_folders_of_clips(self, tmp_path):
        for name in ("walk/1.mp4", "walk/2.mp4", "run/1.mp4"):
            write(tmp_path / name, 3)
        write_images(tmp_path / "run" / "3", 3)
        data = Clips(tmp_path, num_frames=2, size=8, keep="memory")
        assert data.names == ["run/1", "run/3", "walk/1", "walk/2"]
        assert data.classes == ["run", "walk"]
        assert [data[i][1]["class"] for i in range(4)] == [0, 0, 1, 1]
        assert data.batch(torch.arange(4))[1]["class"].tolist() == [0, 0, 1, 1]
        write(tmp_path / "5.mp4", 3)
        assert Clips(tmp_path, num_frames=2, size=8, keep="memory").classes == []

    @pytest.mark.parametrize("name", ["clip.m4v", "clip.MPG", "clip.gif", "clip.MP4", "clip.wmv"])
    def test_no_kind_of_video_is_passed_over(self, tmp_path, name):
        kind = {".gif": ("gif", "gray"), ".mpg": ("mpeg1video", "yuv420p")}
        codec, pix_fmt = kind.get(Path(name).suffix.lower(), ("mpeg4", "yuv420p"))
        write(tmp_path / name, 4, rate=25, codec=codec, pix_fmt=pix_fmt)
        data = Clips(tmp_path, num_frames=4, size=8, keep="memory")
        assert seen(data[0][0]) == [0, 1, 2, 3]

    def test_odd_names_links_and_one_file(self, tmp_path, monkeypatch):
        folder = tmp_path / "Übung 一"
        path = write(folder / "höhe: 100% 🎈.mp4", 4)
        write(tmp_path / "elsewhere" / "linked.mp4", 5)
        write_images(tmp_path / "elsewhere" / "pictures", 3)
        (folder / "link.mp4").symlink_to(tmp_path / "elsewhere" / "linked.mp4")
        (folder / "pictures").symlink_to(tmp_path / "elsewhere" / "pictures")
        (folder / "round").symlink_to(folder)
        monkeypatch.chdir(folder)
        for where in (folder, "."):
            data = Clips(where, num_frames=3, size=8, keep="memory")
            assert data.names == ["höhe: 100% 🎈", "link", "pictures"]
            assert data.lengths == [4, 5, 3]
        assert Clips(path, num_frames=3, size=8, keep="memory").names == ["höhe: 100% 🎈"]
        write(tmp_path / "twice" / "clip.mp4", 3)
        write(tmp_path / "twice" / "clip.mkv", 3)
        data = Clips(tmp_path / "twice", num_frames=3, size=8, keep="memory")
        assert data.names == ["clip.mkv", "clip.mp4"]

    def test_a_folder_of_images_is_a_clip_itself(self, tmp_path):
        write_images(tmp_path / "frames", 3)
        data = Clips(tmp_path / "frames", num_frames=3, size=8, keep="memory")
        assert (data.names, data.rates) == (["frames"], [None])

    def test_images_beside_clips_are_said_to_be_passed_over(self, root):
        Image.new("RGB", (8, 8)).save(root / "poster.png")
        with pytest.warns(UserWarning, match="1 images are passed over.*poster.png") as said:
            Clips(root, num_frames=3, size=8)
        assert said[0].filename == __file__


def rotated(path: Path, degrees: int) -> None:
    """Write a turn into the display matrix of an MP4, as a telephone does."""
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    data = path.read_bytes()
    at = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    matrix = struct.pack(">9i", cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:at] + matrix + data[at + 36 :])


class TestPictures:
    """What of a file is seen."""

    def one(self, folder: Path, **options) -> torch.Tensor:
        return Clips(folder, **{"num_frames": None, "keep": "memory", **options})[0][0]

    @pytest.mark.parametrize("degrees", [90, 180, 270])
    def test_rotation_flags(self, tmp_path, degrees):
        picture = np.zeros((24, 32, 3), np.uint8)
        picture[:12, :16] = 255  # the top left
        path = tmp_path / "clip.mp4"
        write_video(path, [picture] * 3, 10)
        rotated(path, degrees)
        for keep in KEEP:
            x = self.one(path, size=(32, 32), keep=keep, cache_dir=tmp_path / "cache")
            # Clockwise, as the players turn it.
            expected = np.rot90(np.array([[1, 0], [0, 0]]), -degrees // 90)
            quarters = x[0, 0].unflatten(0, (2, 16)).unflatten(2, (2, 16)).mean((1, 3)).round()
            assert quarters.tolist() == expected.tolist()
        tall = self.one(path, size=(16, 12) if degrees % 180 else (12, 16))
        corners = tall[0, 0, :: tall.shape[-2] - 1, :: tall.shape[-1] - 1].round()
        assert corners.tolist() == expected.tolist()

    def test_rectangles_keep_the_centre(self, tmp_path):
        """32 x 24 to 48 wide and 32 high: scaled to 48 x 36, cut at the top and the bottom."""
        picture = np.zeros((24, 32, 3), np.uint8)
        picture[:, 16:] = 240
        write_video(tmp_path / "clip.mp4", [picture] * 2, 10)
        (tmp_path / "images").mkdir()
        for t in range(2):
            Image.fromarray(picture).save(tmp_path / "images" / f"{t}.png")
        data = Clips(tmp_path, num_frames=2, size=(32, 48), keep="memory")
        for i in range(2):
            x = data[i][0]
            assert x.shape == (2, 3, 32, 48)
            torch.testing.assert_close(x[..., :20], torch.zeros(2, 3, 32, 20), atol=0.05, rtol=0)
            bright = torch.full((2, 3, 32, 20), 240 / 255)
            torch.testing.assert_close(x[..., 28:], bright, atol=0.05, rtol=0)
        torch.testing.assert_close(data[0][0], data[1][0], atol=0.1, rtol=0)

    @pytest.mark.parametrize("size", [(12, 12), (9, 12), (96, 120)])
    def test_a_frame_is_resized_as_an_image_is(self, tmp_path, size):
        """Not shifted, and with antialiasing."""
        y, x = np.mgrid[:48, :64] / 10
        picture = (127 + 120 * np.stack([np.sin(x * y), np.cos(3 * x), np.sin(2 * y)], -1)).astype(
            np.uint8
        )
        path = tmp_path / "clip.mkv"
        write_video(path, [picture] * 2, 10, codec="ffv1", pix_fmt="yuv444p")
        film = self.one(path, size=size)[0]
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0)).to_image()
        image = torch.from_numpy(images.fitted(frame, size, False) / 255)
        assert (film - image).abs().mean() < 0.012

    def test_exif_orientation(self, tmp_path):
        (tmp_path / "images").mkdir()
        picture = np.zeros((20, 40, 3), np.uint8)
        picture[:, :20] = 255  # the left half, which is to be the top
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        for t in range(2):
            Image.fromarray(picture).save(tmp_path / "images" / f"{t}.png", exif=exif)
        Image.fromarray(np.rot90(picture, -1)).save(tmp_path / "images" / "2.png")
        x = self.one(tmp_path, size=(8, 4))  # 20 wide and 40 high, all three
        assert x.shape == (3, 3, 8, 4)
        assert x[:, :, :3].min() == 1 and x[:, :, 5:].max() == 0
        assert Clips(tmp_path, num_frames=2, keep="memory").sizes == [(40, 20)]

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
    def test_transparent_pixels_are_black(self, tmp_path, mode):
        (tmp_path / "images").mkdir()
        picture = np.full((8, 8, 4), 255, np.uint8)
        picture[:, 4:, 3] = 0  # white, and not to be seen
        image = Image.fromarray(picture)
        if mode == "P":
            image = Image.fromarray(np.repeat([[0] * 4 + [1] * 4], 8, 0).astype(np.uint8), "P")
            image.putpalette([255] * 6)
            image.info["transparency"] = 1
        else:
            image = image.convert(mode)
        for t in range(2):
            image.save(tmp_path / "images" / f"{t}.png")
        for grey in (False, True):
            x = self.one(tmp_path, size=8, grey=grey)
            assert x[..., :4].min() == 1 and x[..., 4:].max() == 0

    def test_a_video_with_alpha(self, tmp_path):
        picture = np.full((24, 32, 4), 255, np.uint8)
        picture[:, 16:, 3] = 0
        with av.open(str(tmp_path / "clip.mov"), "w") as container:
            stream = container.add_stream("png", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 24, "rgba"
            for _ in range(2):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgba")))
            container.mux(stream.encode())
        x = self.one(tmp_path, size=(24, 32))
        assert x[..., :15].min() == 1 and x[..., 17:].max() == 0

    def test_sixteen_bits(self, tmp_path):
        deep = np.full((24, 32), 0x8000, np.uint16)
        (tmp_path / "images").mkdir()
        for t in range(2):
            Image.fromarray(deep).save(tmp_path / "images" / f"{t}.png")
        with av.open(str(tmp_path / "clip.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 24, "gray16le"
            for _ in range(2):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(deep, "gray16le")))
            container.mux(stream.encode())
        data = Clips(tmp_path, num_frames=2, size=8, keep="memory")
        for i in range(2):
            torch.testing.assert_close(data[i][0], torch.full((2, 3, 8, 8), 0.5), atol=0.01, rtol=0)


class TestBadClips:
    """An error that names the clip, or a warning that does, and the others."""

    def refused(self, root: Path, words: str, **options) -> None:
        for keep in KEEP:
            given = {"num_frames": 3, "size": 8, "keep": keep, **options}
            with pytest.raises((ValueError, OSError), match=words):
                Clips(root, **given)
            with pytest.warns(UserWarning, match=f"1 of 5 clips are left out: .*{words}") as said:
                data = Clips(root, on_error="skip", **given)
            assert data.names == ["a", "b", "c", "d"] and len(data[0][0]) == given["num_frames"]
            assert len(said) == 1 and said[0].filename == __file__

    def test_no_video(self, root):
        (root / "bad.mp4").write_bytes(b"no video")
        self.refused(root, "bad.mp4 must be a video, got one that cannot be read")

    def test_sound_alone(self, root):
        with av.open(str(root / "bad.mp4"), "w") as container:
            stream = container.add_stream("aac", rate=8000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
            sound.rate = 8000
            container.mux([*stream.encode(sound), *stream.encode()])
        self.refused(root, "bad.mp4 must be a video, got one without pictures")

    @pytest.mark.parametrize(
        ("name", "options", "words"),
        [
            ("bad.mp4", {}, "must be a video, got one that cannot be read"),
            ("bad.mkv", {}, r"must be a whole video, got 0.\d+ s of the 2.00 s in its header"),
            ("bad.avi", {"codec": "mpeg4"}, "must be a whole video, got a damaged one"),
        ],
    )
    def test_a_truncated_video(self, root, name, options, words):
        noise = np.random.default_rng(0).integers(0, 256, (20, 24, 32, 3), dtype=np.uint8)
        write_video(root / name, noise, 10, **options)
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: len(data) // 2])
        self.refused(root, f"{name} {words}")

    def test_an_empty_file_and_a_broken_link(self, root):
        (root / "bad.mp4").touch()
        self.refused(root, "bad.mp4 must be a video")
        (root / "bad.mp4").unlink()
        (root / "bad.mp4").symlink_to(root / "nowhere.mp4")
        self.refused(root, "bad.mp4")

    def test_no_frames(self, root):
        (root / "bad").mkdir()
        self.refused(root, "bad must hold images or videos, got none")
        (root / "bad").rmdir()
        with av.open(str(root / "bad.avi"), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
            container.start_encoding()
        self.refused(root, "bad.avi must")

    def test_shorter_than_the_window(self, root):
        write(root / "bad.mp4", 2)
        self.refused(root, "bad.mp4 must hold at least 3 frames, got 2")
        write(root / "bad.mp4", 4)
        words = "bad.mp4 must hold at least 3 frames with a stride of 3, got 2"
        self.refused(root, words, stride=3)

    def test_shorter_than_the_window_at_a_rate(self, root):
        write(root / "bad.mp4", 4, rate=10)
        with pytest.raises(
            ValueError, match="bad.mp4 must hold at least 3 frames at 5 a second, got 2"
        ):
            Clips(root, num_frames=3, rate=5, size=8)

    def test_a_bad_image(self, root):
        write_images(root / "bad", 4)
        for data in (b"", (root / "bad" / "frame1.png").read_bytes()[:30]):
            (root / "bad" / "frame1.png").write_bytes(data)
            self.refused(root, "frame1.png must be an image")

    def test_images_of_different_sizes(self, root):
        write_images(root / "bad", 4)
        Image.new("RGB", (33, 24)).save(root / "bad" / "frame1.png")
        self.refused(root, "frame1.png must be 32 x 24 pixels, as frame0.png, got 33 x 24")
        data = Clips(root, num_frames=3, size=8, mixed_sizes=True)
        assert data.names == ["a", "b", "bad", "c", "d"]

    def test_nothing_is_left(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="root is not a folder: .*nowhere"):
            Clips(tmp_path / "nowhere")
        with pytest.raises(FileNotFoundError, match="root must hold a folder of images .*got none"):
            Clips(tmp_path)
        (tmp_path / "bad.mp4").touch()
        with (
            pytest.warns(UserWarning, match="1 of 1 clips are left out"),
            pytest.raises(ValueError, match="must hold a clip that can be used, got none"),
        ):
            Clips(tmp_path, on_error="skip", keep="memory")

    def test_one_bad_among_many_loses_no_decoded_frames(self, root):
        (root / "e.mp4").touch()
        with pytest.raises(ValueError, match="e.mp4"):
            Clips(root, num_frames=3, size=8)
        cache = Path(os.environ["XDG_CACHE_HOME"]) / "pyro_dsae" / "clips"
        assert len([*cache.glob("*/about.npz")]) == 4

    def test_videos_without_pyav_say_what_to_install(self, root, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "av", None)
        for on_error in ("raise", "skip"):
            with pytest.raises(ImportError, match=r"a.mp4 is a video.*pyro-dsae\[video\]"):
                Clips(root, num_frames=3, on_error=on_error)
