"""LPC sprites: against made-up sheets whose every cell is known, and against the real ones."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pyro_dsae.data import ProceduralSprites, Sprites, sprites
from pyro_dsae.data.characters import Characters, split_characters

LAYERS = ("body", "bottomwear", "topwear", "hair")
NAMES = [*(f"{a}/{v}.png" for a in LAYERS for v in range(6)), "shoes/1.png"]
ATTRIBUTES = ("skin", "trousers", "tops", "hair")
# First cell of front, left and right, and the cells of the eight frames from there.
LAYOUT = {
    "walk": ((130, 117, 143), (8, 1, 2, 3, 4, 5, 6, 7)),
    "spellcard": ((26, 13, 39), (0, 1, 2, 3, 4, 5, 4, 6)),
    "slash": ((182, 169, 195), (0, 1, 2, 3, 4, 5, 4, 0)),
}
CHARACTERS = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 5], [1, 2, 3, 4], [5, 4, 3, 2]])
BLOCK = 16  # the made-up sheets are constant over squares of as many pixels


@pytest.fixture(scope="module")
def blocks() -> dict[str, np.ndarray]:
    """Random RGBA of the squares of each sheet; opacities are fifths, so that no sum is a tie."""
    rng = np.random.default_rng(0)
    shape = 1344 // BLOCK, 832 // BLOCK
    out = {}
    for name in NAMES:
        alpha = rng.choice([0, 0, 51, 102, 204, 255], shape)[..., None]
        out[name] = np.concatenate([rng.integers(0, 256, (*shape, 3)), alpha], -1).astype(np.uint8)
    return out


@pytest.fixture(scope="module")
def made_up(blocks: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sheets")
    for name, block in blocks.items():
        (root / name).parent.mkdir(exist_ok=True)
        sheet = np.kron(block, np.ones((BLOCK, BLOCK, 1), np.uint8))
        Image.fromarray(sheet).save(root / name, compress_level=1)
    return root


@pytest.fixture
def root(made_up: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(made_up, tmp_path / "root"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's cache folder, an empty one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "pyro_dsae"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four characters in place of hundreds."""
    monkeypatch.setattr(sprites, "split_characters", lambda split, seed: CHARACTERS)


def characters_of(data: Characters) -> set[tuple[int, ...]]:
    return {tuple(row) for row in torch.stack([data.labels[n] for n in ATTRIBUTES], 1).tolist()}


def expected_blocks(blocks: dict[str, np.ndarray], values: list[int]) -> np.ndarray:
    """By hand, in double precision: (9, 8, 4, 4, 3), not rounded."""
    names = [f"{a}/{v}.png" for a, v in zip(LAYERS, values, strict=True)]
    side = 64 // BLOCK
    out = []
    for first, steps in LAYOUT.values():
        for start, step in itertools.product(first, steps):
            row, column = divmod(start + step, 13)
            frame = np.zeros((side, side, 3))
            for name in [*names, "shoes/1.png"]:
                cell = blocks[name][row * side :, column * side :][:side, :side].astype(float)
                opacity = cell[..., 3:] / 255
                frame = (1 - opacity) * frame + opacity * cell[..., :3]
            out.append(frame)
    return np.stack(out).reshape(9, 8, side, side, 3)


@pytest.mark.usefixtures("few")
def test_cells_order_and_opacity(root: Path, blocks: dict[str, np.ndarray]) -> None:
    data = Sprites(root)
    assert data.frames.shape == (36, 8, 3, 64, 64) and data.frames.dtype == torch.uint8
    frames = data.frames.reshape(4, 9, 8, 3, 64, 64).permute(0, 1, 2, 4, 5, 3).numpy()
    for character, values in zip(frames, CHARACTERS.tolist(), strict=True):
        expected = np.floor(expected_blocks(blocks, values) + 0.5).repeat(BLOCK, 2).repeat(BLOCK, 3)
        np.testing.assert_array_equal(character, expected)
    for i in (0, 13, 35):
        x, labels = data[i]
        assert torch.equal(x, data.frames[i].float() / 255)
        assert [labels[n] for n in ATTRIBUTES] == CHARACTERS[i // 9].tolist()
        assert labels["action"] == i % 9 == 3 * labels["action_type"] + labels["direction"]


@pytest.mark.usefixtures("few")
def test_sizes(root: Path, blocks: dict[str, np.ndarray]) -> None:
    exact = np.stack([expected_blocks(blocks, values) for values in CHARACTERS.tolist()])
    exact = exact.reshape(36, 8, 4, 4, 3).transpose(0, 1, 4, 2, 3)
    for size, times in ((4, 1), (16, 4), (32, 8)):
        frames = Sprites(root, size=size).frames.numpy()
        expected = np.floor(exact + 0.5).repeat(times, -1).repeat(times, -2)
        np.testing.assert_array_equal(frames, expected)
    halves = exact.reshape(36, 8, 3, 2, 2, 2, 2).mean((-1, -3))
    assert np.abs(Sprites(root, size=2).frames.numpy() - halves).max() <= 0.5 + 1e-3
    for size in (48, 80):
        frames = Sprites(root, size=size).frames.float()
        assert frames.shape == (36, 8, 3, size, size)
        assert abs(frames.mean().item() - exact.mean()) < 1


def test_split_and_seed(made_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def numbered(characters: Tensor, *args: object) -> Iterator[np.ndarray]:
        for values in characters:
            yield np.broadcast_to(
                values[1:, None, None].numpy().astype(np.uint8), (72, 3, 2, 2)
            ).copy()

    monkeypatch.setattr(sprites, "_compose", numbered)
    train, test, other = (
        Sprites(made_up, split, size=2, seed=seed, cache_dir=tmp_path)
        for split, seed in (("train", 0), ("test", 0), ("test", 1))
    )
    seen = [characters_of(data) for data in (train, test, other)]
    assert [len(s) for s in seen] == [1000, 296, 296]
    assert not seen[0] & seen[1] and seen[1] != seen[2]
    assert seen[1] == characters_of(ProceduralSprites("test", size=16))
    assert len(train) == 9000 and len(test) == 2664
    for data in (train, test, other):  # each file holds its own characters, in order
        values = torch.stack([data.labels[name] for name in ATTRIBUTES[1:]], 1)
        assert torch.equal(data.frames[:, 5, :, 1, 0].long(), values)
    assert repr(test) == "Sprites(split='test', frames=(2664, 8, 3, 2, 2))"


@pytest.mark.parametrize("seed", [0, 1])
def test_validation_is_a_part_of_the_training_characters(seed: int) -> None:
    train, test, learn, validation = (
        {tuple(values) for values in split_characters(split, seed).tolist()}
        for split in ("train", "test", "learn", "validation")
    )
    assert [len(learn), len(validation)] == [900, 100]
    assert learn | validation == train
    assert not validation & test
    data = ProceduralSprites("validation", size=16, seed=seed)
    assert characters_of(data) == validation and data.split == "validation"


@pytest.mark.usefixtures("few")
class TestCache:
    def test_second_opening_composes_nothing(
        self, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = Sprites(root, size=8)
        assert [path.match("sprites-train-8-0-*.npy") for path in cache.iterdir()] == [True]
        monkeypatch.setattr(sprites, "_compose", lambda *_: pytest.fail("composed again"))
        second = Sprites(root, size=8)
        assert torch.equal(first.frames, second.frames)
        second.frames.zero_()  # a private copy of the pages, the file stays as it is
        assert torch.equal(first.frames, Sprites(root, size=8).frames)

    def test_other_sheets_other_cache(self, root: Path, tmp_path: Path) -> None:
        first = Sprites(root, size=8, cache_dir=tmp_path / "cache")
        shutil.copyfile(root / "hair/1.png", root / "hair/0.png")
        second = Sprites(root, size=8, cache_dir=tmp_path / "cache")
        assert not torch.equal(first.frames, second.frames)

    @pytest.mark.parametrize("length", [0, 100, 5000])
    def test_truncated(self, root: Path, cache: Path, length: int) -> None:
        good = Sprites(root, size=8).frames.clone()
        (path,) = cache.iterdir()
        path.write_bytes(path.read_bytes()[:length])
        with pytest.warns(UserWarning, match=f"composing again, the cache {path} is damaged"):
            assert torch.equal(Sprites(root, size=8).frames, good)
        assert torch.equal(Sprites(root, size=8).frames, good)

    def test_other_contents(self, root: Path, cache: Path) -> None:
        good = Sprites(root, size=8).frames.clone()
        (path,) = cache.iterdir()
        np.save(path, np.zeros((3, 2), np.uint8))
        with pytest.warns(UserWarning, match="holds uint8 .3, 2., expected uint8 .4, 72, 3, 8, 8"):
            assert torch.equal(Sprites(root, size=8).frames, good)

    def test_interruption_leaves_nothing(
        self, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*args: object) -> object:
            yield np.zeros((72, 3, 8, 8), np.uint8)
            raise KeyboardInterrupt

        monkeypatch.setattr(sprites, "_compose", interrupted)
        threads = torch.get_num_threads()
        with pytest.raises(KeyboardInterrupt):
            Sprites(root, size=8)
        assert not [*cache.iterdir()]
        assert torch.get_num_threads() == threads

    def test_full_disk(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = shutil.disk_usage(root)._replace(free=2_000)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(OSError, match="cache_dir must have 1 MB free, .* has 0 MB"):
            Sprites(root, size=32)

    @pytest.mark.parametrize("mode", [0o755, 0o555], ids=["writable", "read-only"])
    def test_root_is_only_read(self, root: Path, cache: Path, mode: int) -> None:
        before = {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))}
        root.chmod(mode)
        Sprites(root, size=8, download=True)  # nothing to fetch
        root.chmod(0o755)
        assert {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))} == before
        assert len([*cache.glob("*.npy")]) == 1


class TestBadInput:
    def test_split_and_size(self, root: Path) -> None:
        with pytest.raises(ValueError, match="split must be one of train, test, .*, got 'dev'"):
            Sprites(root, "dev")
        with pytest.raises(ValueError, match="size must be at least 1, got 0"):
            Sprites(root, size=0)

    def test_missing_root(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="root is not a folder: .*nowhere; expected"):
            Sprites(tmp_path / "nowhere")

    def test_missing_sheet(self, root: Path) -> None:
        (root / "topwear/3.png").unlink()
        with pytest.raises(FileNotFoundError, match=f"root lacks the sheet {root}/topwear/3.png"):
            Sprites(root)

    @pytest.mark.parametrize("length", [0, 20, 3000])
    def test_truncated_sheet(self, root: Path, cache: Path, length: int) -> None:
        path = root / "shoes/1.png"
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(ValueError, match=f"{path} must be a whole PNG, got {length} bytes"):
            Sprites(root)
        assert not [*cache.rglob("*")]

    def test_size_of_sheet(self, root: Path) -> None:
        Image.new("RGBA", (832, 1280)).save(root / "hair/5.png")
        message = r"hair/5.png must be \(832, 1344\) pixels, got \(832, 1280\)"
        with pytest.raises(ValueError, match=message):
            Sprites(root)

    def test_opaque_sheet(self, root: Path) -> None:
        Image.new("RGB", (832, 1344)).save(root / "hair/5.png")
        with pytest.raises(ValueError, match="hair/5.png must have transparency, got mode RGB"):
            Sprites(root)


@pytest.mark.usefixtures("few")
class TestDownload:
    @pytest.fixture
    def archive(
        self, made_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Path]:
        """On a local server, an archive as its host makes it: one folder, more than is needed."""
        path = tmp_path / "host" / "sheets.zip"
        path.parent.mkdir()
        with ZipFile(path, "w") as archive:
            for name in NAMES:
                archive.write(made_up / name, f"Sprites-0123/{name}")
            archive.writestr("Sprites-0123/CC-BY-SA-3.0-LICENSE", "the terms")
            archive.writestr("Sprites-0123/script.py", "raise SystemExit")
        monkeypatch.setattr(sprites, "SHA256", sprites._digest(sprites._read(made_up)))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        handler = partial(SimpleHTTPRequestHandler, directory=path.parent)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}/sheets.zip"
            monkeypatch.setattr(sprites, "URL", url)
            yield path
            server.shutdown()

    def test_fetches_once(self, archive: Path, made_up: Path, tmp_path: Path) -> None:
        root = tmp_path / "new" / "root"
        data = Sprites(root, size=8, download=True)
        assert torch.equal(data.frames, Sprites(made_up, size=8, cache_dir=tmp_path).frames)
        files = {str(path.relative_to(root)) for path in root.rglob("*.*") if path.is_file()}
        assert files == {*NAMES, "CC-BY-SA-3.0-LICENSE"}
        assert not list(root.glob(".download*"))
        archive.unlink()
        Sprites(root, size=8, download=True)

    def test_mends_a_damaged_root(self, archive: Path, root: Path) -> None:
        (root / "body/2.png").write_bytes(b"")
        Sprites(root, size=8, download=True)

    def test_nothing_there(self, archive: Path, tmp_path: Path) -> None:
        archive.unlink()
        with pytest.raises(RuntimeError, match=r"download of http.*/sheets.zip failed: .*404"):
            Sprites(tmp_path / "root", download=True)

    def test_damaged_archive(self, archive: Path, tmp_path: Path) -> None:
        archive.write_bytes(archive.read_bytes()[:1000])
        with pytest.raises(RuntimeError, match="sheets.zip failed: File is not a zip file"):
            Sprites(tmp_path / "root", download=True)
        assert not list((tmp_path / "root").iterdir())

    def test_other_sheets(
        self, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sprites, "SHA256", "0" * 64)
        with pytest.raises(RuntimeError, match="must have SHA-256 0{64}, got [0-9a-f]{64}"):
            Sprites(tmp_path / "root", download=True)
        assert not list((tmp_path / "root").iterdir())

    def test_incomplete_archive(self, archive: Path, tmp_path: Path) -> None:
        with ZipFile(archive, "w") as empty:
            empty.writestr("Sprites-0123/README.md", "")
        with pytest.raises(RuntimeError, match="must hold a folder with body/, got none"):
            Sprites(tmp_path / "root", download=True)


@pytest.mark.usefixtures("few")
class TestRealSheets:
    @pytest.fixture
    def lpc(self, data_root: Path) -> Path:
        root = data_root / "lpc-sprites"
        if not root.is_dir():
            pytest.skip(f"no LPC sheets at {root}")
        return root

    def test_they_are_those_of_the_paper(self, lpc: Path) -> None:
        assert sprites._digest(sprites._read(lpc)) == sprites.SHA256

    def test_against_pillow(self, lpc: Path, tmp_path: Path) -> None:
        data = Sprites(lpc, cache_dir=tmp_path)
        for character, values in enumerate(CHARACTERS.tolist()):
            whole = Image.new("RGBA", (832, 1344), "black")
            names = [f"{a}/{v}.png" for a, v in zip(LAYERS, values, strict=True)]
            for name in [*names, "shoes/1.png"]:
                whole = Image.alpha_composite(whole, Image.open(lpc / name).convert("RGBA"))
            for action, (first, steps) in enumerate(LAYOUT.values()):
                for direction, t in ((0, 0), (1, 3), (2, 7)):
                    row, column = divmod(first[direction] + steps[t], 13)
                    box = (64 * column, 64 * row, 64 * column + 64, 64 * row + 64)
                    expected = np.asarray(whole.crop(box).convert("RGB")).transpose(2, 0, 1)
                    got = data.frames[9 * character + 3 * action + direction, t].numpy()
                    # Pillow rounds after each layer.
                    np.testing.assert_allclose(got.astype(int), expected.astype(int), atol=1)

    def test_every_attribute_can_be_seen(
        self, lpc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        base = torch.tensor([1, 2, 3, 4])
        values = torch.cat(
            [
                base.repeat(6, 1).index_copy(1, torch.tensor([i]), torch.arange(6)[:, None])
                for i in range(4)
            ]
        )
        monkeypatch.setattr(sprites, "split_characters", lambda split, seed: values)
        frames = Sprites(lpc, size=32, cache_dir=tmp_path).frames.reshape(4, 6, 9, 8, 3, 32, 32)
        for attribute in range(4):
            for a, b in itertools.combinations(range(6), 2):
                apart = (frames[attribute, a].float() - frames[attribute, b].float()).abs()
                assert apart.amax((-1, -2, -3)).min() > 8, (attribute, a, b)
