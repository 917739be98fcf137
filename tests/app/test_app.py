"""The explorer without a browser: what its pictures are, and what it takes."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pyro_dsae
from pyro_dsae import app
from pyro_dsae.app import __main__ as app_main
from pyro_dsae.app import atlas, entries
from pyro_dsae.app.__main__ import main, shipped
from pyro_dsae.app.stage import CONTENTS, MOST_ROWS, MOTIONS, TABS, Choice, Stage
from pyro_dsae.data import Clips
from pyro_dsae.data.videos import write_video

VALUES = {
    "content": 0.5,
    "motion": 1,
    "what": MOTIONS,
    "steps": 10,
    "seen": 3,
    "ahead": 4,
    **{f"{site} {i + 1}": 0 for site in "fz" for i in range(4)},
}


@pytest.fixture
def pair(make_pair):
    model, guide = make_pair()
    for head in (guide.f_head, guide.z_head[-1]):  # latents that differ by much
        nn.init.normal_(head.dense.weight, std=2.0)
    return model, guide


@pytest.fixture
def shown(pair):
    """Three entries, of 5, 7 and 5 frames."""
    sequences = [torch.rand(steps, 3, 16, 16) for steps in (5, 7, 5)]
    labels = [{"who": i} for i in range(3)]
    return app.take_apart(*pair, sequences, ["a", "b", "c"], labels)


def test_a_swap_is_that_of_control(pair, shown):
    a, b, c = shown
    content, motion, swapped = app.swap(pair[0], a, b)
    expected = pyro_dsae.swap(*pair, a.x[None], b.x[None])[0]
    torch.testing.assert_close(swapped, expected)
    assert torch.equal(content, a.x[[0, 1, 2, 3, 4, 0, 1]]) and torch.equal(motion, b.x)
    assert not torch.allclose(app.swap(pair[0], c, b)[2], swapped, atol=1e-4)


def test_a_walk_begins_and_ends_where_it_should(pair, shown):
    a, _, c = shown
    model, guide = pair
    ends = {
        (0, 1): pyro_dsae.swap(*pair, a.x[None], c.x[None]),
        (1, 1): pyro_dsae.reconstruct(model, guide, c.x[None]),
        (0, 0): pyro_dsae.reconstruct(model, guide, a.x[None]),
    }
    for shares, expected in ends.items():
        torch.testing.assert_close(app.mixed(model, a, c, *shares), expected)
    halfway = app.mixed(model, a, c, 0.5, 1)
    assert all(not torch.allclose(halfway, end, atol=1e-4) for end in ends.values())


def test_fresh_draws_keep_what_is_kept(pair, shown):
    model, _ = pair
    frames = app.fresh_dynamics(model, shown[0], 12, draws=3)
    assert frames.shape == (3, 12, 3, 16, 16) and not torch.equal(frames[0], frames[1])
    for steps in (4, 12):
        frames = app.fresh_contents(model, shown[0], steps, draws=3)
        assert frames.shape == (3, steps, 3, 16, 16) and not torch.equal(frames[0], frames[1])


def test_a_forecast_shows_what_was_seen_faded_and_what_came(pair, shown):
    frames = app.forecasts(*pair, shown[0], seen=3, ahead=4, futures=2)
    x = shown[0].x
    assert frames.shape == (3, 7, 3, 16, 16)
    torch.testing.assert_close(frames[:, :3], ((1 + x[:3]) / 2).expand(3, -1, -1, -1, -1))
    assert torch.equal(frames[0, 3:5], x[3:]) and (frames[0, 5:] == 1).all()
    assert not torch.equal(frames[1, 3:], frames[2, 3:])


def test_a_cell_of_the_matrix_is_a_swap(pair, shown):
    a, b, c = shown
    cells = app.matrix(pair[0], [a, b], [b, c, a])
    assert cells.shape == (2, 3, 5, 3, 16, 16)
    torch.testing.assert_close(cells[1, 1], app.swap(pair[0], b, c)[2])


def test_two_pairs_side_by_side(pair, shown, make_pair):
    other = make_pair(guide=pyro_dsae.Full, seed=1, f_dim=7)
    a, b, _ = shown
    frames = app.compared([pair, other], a, b)
    assert frames.shape == (3, 3, 7, 3, 16, 16)
    assert torch.equal(frames[:2, 0], app.swap(pair[0], a, b)[:2]) and (frames[2, 0] == 1).all()
    for column, (model, guide) in enumerate([pair, other], 1):
        content, motion, swapped = frames[:, column]
        own = pyro_dsae.reconstruct(model, guide, a.x[None])[0]
        torch.testing.assert_close(content, own[[0, 1, 2, 3, 4, 0, 1]])
        torch.testing.assert_close(motion, pyro_dsae.reconstruct(model, guide, b.x[None])[0])
        torch.testing.assert_close(swapped, pyro_dsae.swap(model, guide, a.x[None], b.x[None])[0])
    assert not torch.allclose(frames[:, 1], frames[:, 2], atol=1e-3)


def test_a_comparison_says_who_and_how_far_off(pair, shown, make_pair, tmp_path, capsys):
    """Of two sequences of one length, as the lines to copy print it."""
    other = make_pair(guide=pyro_dsae.Full, seed=1)
    for name, both in (("one", pair), ("two", other)):
        pyro_dsae.save(tmp_path / name, *both)
    stage = Stage(*pair, shown, str(tmp_path / "one"), (*other, str(tmp_path / "two")))
    assert stage.tabs == (*TABS, "Compare")
    view = stage.draw(Choice(tab="Compare", content=0, motion=2), VALUES)
    names = {"content": shown[0].x[None], "motion": shown[2].x[None]}
    exec(view.lines, names)
    said = [
        f"{name}\n{' with '.join(words[:2])}\nsquared error {float(re.findall(r'[.0-9]+', line)[0]):.3g}"
        for name, line in zip(("one", "two"), capsys.readouterr().out.splitlines(), strict=True)
        for words in [line.split()]
    ]
    assert view.captions == ["as it is", *said] and said[0] != said[1].replace("two", "one")
    assert said[1].startswith("two\nDSAE with Full\nsquared error 0.")
    for row in ("content", "motion", "content in motion"):
        assert f"<span>{row}</span>" in view.html()


def test_directions_are_orthogonal_and_a_standard_deviation_long(shown):
    directions = app.Directions.of(shown)
    for axes, values in (
        (directions.f, torch.stack([entry.f for entry in shown])),
        (directions.z, torch.cat([entry.z for entry in shown])),
    ):
        units = nn.functional.normalize(axes[:2], dim=1)
        torch.testing.assert_close(units @ units.T, torch.eye(2), atol=1e-4, rtol=0)
        along = (values - values.mean(0)) @ units.T
        torch.testing.assert_close(along.square().mean(0).sqrt(), axes[:2].norm(dim=1))
    torch.testing.assert_close(directions.places.square().mean(0), torch.ones(2))


def test_a_move_along_a_direction_is_of_f_or_of_z_alone(pair, shown):
    a, b, _ = shown
    directions = app.Directions.of(shown)
    still, same = app.moved(pair[0], a, b, directions, [0, 0], [0])
    assert torch.equal(still, same)
    for moves in (([2], []), ([], [2])):
        f, z = (torch.tensor(m, dtype=torch.float32) for m in moves)
        expected = pyro_dsae.generate(
            pair[0],
            f=(a.f + f @ directions.f[: len(f)])[None],
            z=(b.z + z @ directions.z[: len(z)])[None],
        )
        found = app.moved(pair[0], a, b, directions, *moves)[1]
        torch.testing.assert_close(found, expected[0])
        assert not torch.allclose(found, still, atol=1e-4)


def test_a_click_on_the_map_finds_what_is_there(shown):
    places = app.Directions.of(shown).places
    image = atlas.atlas(shown, places, "who")
    for i, (x, y) in enumerate(atlas.spots(places).tolist()):
        assert 0 < x < image.width and 0 < y < image.height
        assert atlas.nearest(places, x + 3, y - 3) == i
    assert image.tobytes() != atlas.atlas(shown, places).tobytes()


@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_a_film_stands_in_the_page_itself(kind):
    if kind == "mp4":
        pytest.importorskip("av")
    shown = app.beside(torch.rand(2, 4, 3, 16, 16), ["<a>", "b"], "swap", "lines")
    data = shown.film(kind)
    assert data[:3] == b"GIF" if kind == "gif" else data[4:8] == b"ftyp"
    assert f'download="swap.{kind}" href="data:' in shown.link(kind)
    assert "<span>&lt;a&gt;</span>" in shown.html() and "<a>" not in shown.html()


def test_a_film_with_an_end_begins_at_its_beginning(tmp_path):
    """A GIF plays for ever and takes another's place in the middle; an MP4 is saved."""
    av = pytest.importorskip("av")
    ramp = torch.linspace(0, 1, 6)[None, :, None, None, None].expand(1, 6, 3, 16, 16)
    shown = app.beside(ramp, ["a"], "walk", "lines", begin=2)
    for kind, first in (("gif", 2 / 5), ("mp4", 0.0)):
        (tmp_path / f"film.{kind}").write_bytes(shown.film(kind))
        with av.open(str(tmp_path / f"film.{kind}")) as container:
            frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
        middle = frame[len(frame) // 2, frame.shape[1] // 2]
        assert middle.mean() / 255 == pytest.approx(first, abs=0.1)


def test_two_at_once_do_not_disturb_each_other(pair, shown):
    """Pyro's stack of handlers is one a process: without a lock, swaps take each other's latents."""
    model, _ = pair
    couples = [(a, b) for a in shown for b in shown]
    expected = [app.swap(model, a, b) for a, b in couples]
    wrong = []

    def work():
        for (a, b), swapped in zip(couples, expected, strict=True):
            try:
                (again,) = app.take_apart(*pair, [a.x], ["again"])  # as of a film that is brought
                same = torch.equal(again.f, a.f) and torch.equal(app.swap(model, a, b), swapped)
            except RuntimeError as error:  # of Pyro's: two sites of one name
                same = str(error)
            if same is not True:
                wrong.append((a.name, b.name, same))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_every_tab_shows_something_and_its_lines_give_it(pair, shown, tmp_path):
    pyro_dsae.save(tmp_path, *pair)
    stage = Stage(*pair, shown, str(tmp_path))
    given = {
        "content": shown[0].x[None],
        "motion": shown[2].x[None],
        "contents": [shown[0].x[None]],
        "motions": [shown[2].x[None]],
        "x": torch.stack([shown[0].x, shown[2].x, shown[0].x]),
    }
    sizes = {"Swap": 5, "Walk": 5, "Directions": 5, "Fresh": 10, "Forecast": 4, "Matrix": 5}
    for tab in TABS:
        for what in (MOTIONS, CONTENTS) if tab == "Fresh" else (MOTIONS,):
            choice = Choice(content=0, motion=2).picked(tab=tab)
            view = stage.draw(choice, {**VALUES, "what": what})
            assert view.html().startswith("<figure")
            names = dict(given)
            exec(view.lines, names)
            made = names.get("swapped", names.get("futures", names.get("frames")))
            assert made.shape[-4:] == (sizes[tab], 3, 16, 16)
            if tab in ("Swap", "Matrix"):
                expected = pyro_dsae.swap(*pair, given["content"], given["motion"])
                torch.testing.assert_close(made.detach(), expected)


def test_the_matrix_grows_by_what_is_picked():
    choice = Choice().picked(content=4)
    assert (choice.rows, choice.columns) == ((), ())
    choice = choice.picked(tab="Matrix").picked(content=2).picked(motion=3).picked(content=4)
    assert (choice.rows, choice.columns) == ((4, 2), (1, 3))
    for i in range(10, 20):
        choice = choice.picked(motion=i)
    assert choice.columns == tuple(range(20 - MOST_ROWS, 20))
    assert (choice.cleared().rows, choice.cleared().columns) == ((4,), (19,))


def test_the_app_and_gradio_are_imported_by_those_who_ask_alone():
    root = Path(pyro_dsae.__file__).parent
    assert not re.search(r"^from \.app", (root / "__init__.py").read_text(), re.MULTILINE)
    naming = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"^\s*(import|from) gradio", path.read_text(), re.MULTILINE)
    }
    assert naming == {"app/page.py", "app/voice_page.py"}
    reaching = {
        path.name
        for path in (root / "app").glob("*.py")
        if re.search(r"from \.(voice_)?page", path.read_text())
    }
    assert reaching == {"__main__.py"}


class TestData:
    def test_the_model_draws_where_none_is_named(self, pair):
        found = app.read_data(*pair, count=3)
        assert [entry.x.shape for entry in found] == [(8, 3, 16, 16)] * 3

    def test_procedural_figures_with_their_labels(self, pair):
        found = app.read_data(*pair, "procedural", count=4)
        assert len(found) == 4 and found[0].labels.keys() >= {"hair", "action"}
        assert found[0].name.split(": ")[1] in pyro_dsae.data.ProceduralSprites.actions

    def test_an_array(self, pair, tmp_path):
        frames = np.random.default_rng(0).integers(0, 255, (5, 6, 3, 16, 16), np.uint8)
        np.save(tmp_path / "x.npy", frames)
        found = app.read_data(*pair, str(tmp_path / "x.npy"), count=5)
        torch.testing.assert_close(found[2].x, torch.from_numpy(frames[2]) / 255)
        np.save(tmp_path / "x.npy", frames[..., :8])
        with pytest.raises(ValueError, match=r"must be \(3, 16, 16\), got \(3, 16, 8\)"):
            app.read_data(*pair, str(tmp_path / "x.npy"))

    def test_no_pickle(self, pair, tmp_path):
        np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
        with pytest.raises(ValueError, match="not a whole"):
            app.read_data(*pair, str(tmp_path / "x.npy"))

    def test_clips_and_one_of_ones_own(self, pair, tmp_path, monkeypatch):
        pytest.importorskip("av")
        frames = torch.randint(255, (20, 32, 24, 3), dtype=torch.uint8).numpy()
        write_video(tmp_path / "mine.mp4", frames, 10)
        found = app.read_data(*pair, str(tmp_path), frames=8)
        assert [e.name for e in found] == ["mine, from frame 0", "mine, from frame 8"]
        entry = app.read_clip(tmp_path / "mine.mp4", *pair, "holiday.mp4")
        assert entry.name == "holiday.mp4" and entry.x.shape == (20, 3, 16, 16)
        monkeypatch.setattr(entries, "MOST_FRAMES", 6)
        assert len(app.read_clip(tmp_path / "mine.mp4", *pair, "mine").x) == 6
        monkeypatch.setattr(entries, "LONGEST", 19)
        with pytest.raises(ValueError, match="^mine must have at most 19 frames, got 20$"):
            app.read_clip(tmp_path / "mine.mp4", *pair, "mine")

    def test_clips_are_seen_at_the_pace_that_was_learnt(self, pair, tmp_path, monkeypatch):
        pytest.importorskip("av")
        (tmp_path / "clips").mkdir()
        grey = np.arange(0, 240, 10, np.uint8)[:, None, None, None]
        write_video(tmp_path / "clips" / "a.mp4", grey.repeat(32, 1).repeat(32, 2).repeat(3, 3), 12)
        learnt = Clips(tmp_path / "clips", num_frames=3, rate=4, size=16)
        pyro_dsae.save(tmp_path / "model", *pair, data=learnt)
        kept = app_main._learnt(str(tmp_path / "model"))
        assert kept == {"num_frames": 3, "rate": 4}
        frames = kept.pop("num_frames")
        found = app.read_data(*pair, str(tmp_path / "clips"), frames=frames, pace=kept)
        every, _ = Clips(tmp_path / "clips", num_frames=24, windows="tiled", size=16)[0]
        torch.testing.assert_close(found[0].x, every[:9:3])
        own = app.read_clip(tmp_path / "clips" / "a.mp4", *pair, "mine", kept)
        torch.testing.assert_close(own.x, every[::3])
        for name in "bc":  # of images, which have no times
            (tmp_path / "stills" / name).mkdir(parents=True)
            for t in range(8):
                Image.new("RGB", (16, 16)).save(tmp_path / "stills" / name / f"{t}.png")
        found = app.read_data(*pair, str(tmp_path / "stills"), frames=4, pace=kept)
        assert [len(entry.x) for entry in found] == [4] * 4
        pytest.importorskip("gradio")
        stages, made = [], Stage.__init__
        monkeypatch.setattr(
            Stage, "__init__", lambda self, *a, **k: [stages.append(self), made(self, *a, **k)][1]
        )
        for frames, expected in ((None, 3), ("2", 2)):
            words = [str(tmp_path / "model"), "--data", str(tmp_path / "clips")]
            options = app_main.parser().parse_args(words + (["--frames", frames] if frames else []))
            app_main.explorer(pair, options.model, options, str(tmp_path))
            assert len(stages[-1].entries[0].x) == expected and stages[-1].pace == {"rate": 4}
        pyro_dsae.save(tmp_path / "other", *pair)
        assert app_main._learnt(str(tmp_path / "other")) == {}
        with pytest.raises(ValueError, match="count must be at least 1, got -1"):
            app.read_data(*pair, str(tmp_path / "clips"), count=-1)

    def test_a_wrong_file_gives_a_sentence_without_its_path(self, pair, tmp_path):
        pytest.importorskip("av")
        Path(tmp_path, "x.mp4").write_bytes(b"no film" * 99)
        with pytest.raises(ValueError, match="^x.mp4 must be a video") as raised:
            app.read_clip(tmp_path / "x.mp4", *pair, "x.mp4")
        assert str(tmp_path) not in str(raised.value)


class TestWhatItTakes:
    def test_images_and_sites_of_their_own(self):
        sizes = {"f_dim": 5, "z_dim": 3, "hidden": 16}
        spectra = pyro_dsae.DSAE((20,), **sizes), pyro_dsae.Factorised((20,), **sizes)
        with pytest.raises(ValueError, match=r"models of images .* frames \(20,\)"):
            app.check_shown(*spectra)
        sizes["channels"] = 4
        lstm = pyro_dsae.LSTMf((3, 16, 16), **sizes), pyro_dsae.LSTMGuide((3, 16, 16), **sizes)
        with pytest.raises(ValueError, match="got LSTMf"):
            app.check_shown(*lstm)

    def test_two_sequences_at_least(self, pair, shown):
        with pytest.raises(ValueError, match="at least 2 sequences, got 1"):
            Stage(*pair, shown[:1], "")

    def test_pairs_to_compare_of_the_same_frames(self, pair, shown, make_pair):
        with pytest.raises(ValueError, match=r"same frames, got \(3, 16, 16\) and \(3, 32, 32\)"):
            Stage(*pair, shown, "", (*make_pair((3, 32, 32)), "other"))
        spectra = make_pair((20,), likelihood="normal")
        with pytest.raises(ValueError, match=r"models of images .* frames \(20,\)"):
            Stage(*pair, shown, "", (*spectra, "other"))
        with pytest.raises(ValueError, match="tab must be one of .*Matrix, got 'Compare'"):
            Stage(*pair, shown, "").draw(Choice(tab="Compare"), VALUES)

    def test_a_pair_that_ships(self, tmp_path):
        assert shipped(tmp_path) is None
        for name in ("ball", "procedural-sprites", "lpc-sprites-64"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "index.json").write_text("{}")
        assert shipped(tmp_path) == tmp_path / "lpc-sprites-64"

    def test_one_line_where_nothing_can_be_shown(self, make_pair, tmp_path, monkeypatch):
        monkeypatch.setattr("pyro_dsae.app.__main__.PRETRAINED", tmp_path)
        with pytest.raises(SystemExit, match="^name a pair"):
            main([])
        pytest.importorskip("gradio")
        with pytest.raises(SystemExit, match="^no model in"):
            main([str(tmp_path)])
        pyro_dsae.save(tmp_path / "one", *make_pair())
        with pytest.raises(SystemExit, match="^no model in .*two"):
            main([str(tmp_path / "one"), "--against", str(tmp_path / "two")])


def test_sliders_begin_within_their_range(pair, tmp_path):
    """Whatever the length: a value out of range is an error of every event that reads it."""
    gradio, page = pytest.importorskip("gradio"), pytest.importorskip("pyro_dsae.app.page")
    for steps in (1, 100):
        sequences = [torch.rand(steps, 3, 16, 16) for _ in range(6)]
        shown = app.take_apart(*pair, sequences, [*"abcdef"])
        blocks = page.build(Stage(*pair, shown, "folder"), tmp_path)
        sliders = [b for b in blocks.blocks.values() if isinstance(b, gradio.Slider)]
        assert len(sliders) > 8
        for slider in sliders:
            assert slider.minimum <= slider.value <= slider.maximum, slider.label
