"""What cannot be drawn is one line that names the argument, and leaves no file."""

from __future__ import annotations

import math
import re
import sys

import numpy as np
import pytest
import torch

from pyro_dsae import History, plotting

X = torch.rand(2, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
NAN = torch.full_like(X, math.nan)
AXES = r"\(sequences, time, channels, height, width\) with 1 or 3 channels"
A_AXES, B_AXES = (AXES.replace("sequences", letter) for letter in "AB")
SWAPPED = X.unsqueeze(1).repeat(1, 2, 1, 1, 1, 1)
Z = torch.arange(4.0)
P = torch.full((5, 4, 3), 1 / 3)
RATE = torch.linspace(0, 1, 5)
SCORES = {"mean": 0.1, "low": 0.1, "high": 0.2, "best_of_20": 0.1}
POINT = {"bits_per_frame": 1.0, "distortion_bits_per_dim": 0.5}
SPECTRUM = torch.zeros(5, 4)

# A function, its arguments but for the path, the message.
BAD = [
    ("grid", (X[0],), {}, rf"rows must be {AXES}, got \(4, 3, 16, 16\)"),
    ("grid", (X[:, :, :2],), {}, r"rows must be .* 1 or 3 channels, got \(2, 4, 2, 16, 16\)"),
    ("grid", (X[:0],), {}, r"rows must be .*, got \(0, 4, 3, 16, 16\)"),
    ("grid", (X.numpy(),), {}, rf"rows must be {AXES}, got ndarray"),
    ("grid", (None,), {}, "rows must be .*, got NoneType"),
    ("grid", ([],), {}, "rows must be tensors of one shape, got none"),
    ("grid", ([X[0], X[0, 1:]],), {}, r"rows must be tensors of one shape, got \(4, 3.*, \(3, 3"),
    ("grid", ([1.0, 2.0],), {}, "rows must be tensors of one shape, got float, float"),
    ("grid", (NAN,), {}, "rows must be finite, got NaN or infinity"),
    ("grid", (X / 0,), {}, "rows must be finite, got NaN or infinity"),
    ("grid", (X.long(),), {}, "rows must be floats from 0 to 1, or uint8, got torch.int64"),
    ("grid", (X,), {"scale": 0}, "scale must be at least 1, got 0"),
    ("grid", (X,), {"scale": 1.5}, "scale must be a whole number, got 1.5"),
    ("animate", (X[0],), {}, rf"sequences must be {AXES}, got \(4, 3, 16, 16\)"),
    ("animate", (X[:, :0],), {}, r"sequences must be .*, got \(2, 0, 3, 16, 16\)"),
    ("animate", ([*X],), {}, "sequences must be .*, got list"),
    ("animate", (NAN,), {}, "sequences must be finite"),
    ("animate", (X,), {"columns": 0}, "columns must be at least 1, got 0"),
    ("animate", (X,), {"columns": -2}, "columns must be .*, got -2"),
    ("animate", (X,), {"milliseconds": 0}, "milliseconds must be at least 10, got 0"),
    ("animate", (X,), {"milliseconds": 99.5}, "milliseconds must be .*, got 99.5"),
    ("swap_figure", (X[0], X, SWAPPED), {}, rf"content must be {A_AXES}, got \(4, 3, 16, 16\)"),
    ("swap_figure", (X, X[0], SWAPPED), {}, rf"dynamics must be {B_AXES}, got \(4, 3, 16, 16\)"),
    ("swap_figure", (X, X, X), {}, r"swapped must be \(A, B, time, .*, got \(2, 4, 3, 16, 16\)"),
    (
        "swap_figure",
        (X, X[:1], SWAPPED),
        {},
        r"swapped must be \(2, 1, 4, 3, 16, 16\) and dynamics .*, got \(2, 2, 4, .* and \(1, 4",
    ),
    ("swap_figure", (X, X, SWAPPED / 0), {}, "swapped must be finite"),
    ("swap_figure", (X, X, SWAPPED), {"frame": 4}, "frame must be 0 to 3 of 4 frames, got 4"),
    ("swap_figure", (X, X, SWAPPED), {"frame": -1}, "frame must be at least 0, got -1"),
    ("swap_figure", (X, X, SWAPPED), {"milliseconds": 5}, "milliseconds must be .*, got 5"),
    ("latent_map", (X,), {}, r"grids must be \(F, rows, columns, .*, got \(2, 4, 3, 16, 16\)"),
    ("latent_map", (NAN[None],), {}, "grids must be finite"),
    ("latent_map", (X[None],), {"columns": 0}, "columns must be .*, got 0"),
    ("timeline", (Z, X), {}, r"frames must be \(time, channels, height, width\) .*, got \(2, 4"),
    ("timeline", (torch.zeros(5), X[0]), {}, r"z must be \(4,\) or \(4, k\), got \(5,\)"),
    ("timeline", (torch.zeros(4, 0), X[0]), {}, r"z must be .*, got \(4, 0\)"),
    ("timeline", ([1.0, 2.0, 3.0, 4.0], X[0]), {}, "z must be .*, got list"),
    ("timeline", (Z / 0, X[0]), {}, "z must be finite, got NaN or infinity"),
    ("timeline", (Z, X[0]), {"extremes": 3}, "extremes must be 1 to 2 of 4 frames, got 3"),
    ("timeline", (Z, X[0]), {"extremes": 0}, "extremes must be at least 1, got 0"),
    ("trajectory_figure", ({},), {}, "trajectories must map names to heads, .*, got none"),
    ("trajectory_figure", (P,), {}, "trajectories must map names to heads, .*, got Tensor"),
    ("trajectory_figure", ({"a": {}},), {}, r"trajectories\['a'\] must map .*, got none"),
    (
        "trajectory_figure",
        ({"a": {"skin": P}, "b": {"hair": P}},),
        {},
        r"trajectories\['b'\] must have the heads \['skin'\], got \['hair'\]",
    ),
    (
        "trajectory_figure",
        ({"a": {"skin": P[0]}},),
        {},
        r"trajectories\['a'\]\['skin'\] must be \(N, T, classes\), .* finite, got \(4, 3\)",
    ),
    ("trajectory_figure", ({"a": {"skin": P / 0}},), {}, "must be .* and finite"),
    ("trajectory_figure", ({"a": {"skin": P.repeat(1, 1, 4)}},), {}, "at most 10 classes"),
    (
        "trajectory_figure",
        ({"a": {"skin": P}},),
        {"names": {"hat": ["no"]}},
        r"names must be of the heads \['skin'\], got \['hat'\]",
    ),
    ("error_curves", ({},), {}, "errors must map names to errors, at least one, got none"),
    ("error_curves", ({"a": {}},), {}, r"errors\['a'\] must map .*, got none"),
    ("error_curves", ({"a": {"mean": SCORES}},), {}, r"errors\['a'\] must be by number of frames"),
    ("error_curves", ({"a": {5: 0.1}},), {}, r"errors\['a'\]\[5\] must map .*, got float"),
    (
        "error_curves",
        ({"a": {5: {"mean": 1}}},),
        {},
        r"errors\['a'\]\[5\] must hold a finite 'low'",
    ),
    ("error_curves", ({"a": {5: {**SCORES, "low": math.nan}}},), {}, "must hold a finite 'low'"),
    ("rate_distortion", ({},), {}, "curves must map names to points, at least one, got none"),
    ("rate_distortion", ({"a": []},), {}, r"curves\['a'\] must be a list of points, .*, got \[\]"),
    ("rate_distortion", ({"a": [{}]},), {}, r"curves\['a'\] must hold a finite 'bits_per_frame'"),
    (
        "rate_distortion",
        ({"a": [{**POINT, "bits_per_frame": math.inf}]},),
        {},
        "must hold a finite",
    ),
    ("loss_curve", ([],), {}, r"losses must be \(steps,\), at least one, got none"),
    ("loss_curve", (History(),), {}, r"losses must be \(steps,\), at least one, got none"),
    ("loss_curve", (X[0, 0, 0],), {}, r"losses must be \(steps,\), at least one, got \(16, 16\)"),
    ("loss_curve", ("loss.png",), {}, "losses must be a History or numbers, got 'loss.png'"),
    ("loss_curve", (None,), {}, "losses must be a History or numbers, got None"),
    ("loss_curve", ([3.0, math.nan],), {}, "losses must be finite, got nan at step 1"),
    ("loss_curve", ([3.0],), {"validation": [{"step": 1}]}, "validation must hold a finite 'elbo'"),
    ("spectrograms", ({},), {}, "rows must map names to spectrograms, at least one, got none"),
    ("spectrograms", (SPECTRUM,), {}, "rows must map names to spectrograms, .*, got Tensor"),
    (
        "spectrograms",
        ({"a": SPECTRUM, "b": SPECTRUM[:, :3]},),
        {},
        r"rows\['b'\] must be \(frames, 4\) .*, got \(5, 3\)",
    ),
    ("spectrograms", ({"a": [1.0]},), {}, r"rows\['a'\] must be \(frames, bins\) .*, got list"),
    ("spectrograms", ({"a": SPECTRUM / 0},), {}, r"rows\['a'\] must be \(frames, 4\) and finite"),
    ("spectrograms", ({"a": SPECTRUM},), {"hop": 0.0}, "hop must be above 0, got 0.0"),
    ("spectrograms", ({"a": SPECTRUM},), {"high_hz": -1.0}, "high_hz must be above 0, got -1.0"),
    (
        "spectrograms",
        ({"a": SPECTRUM},),
        {"hertz": torch.arange(5.0)},
        r"hertz must be \(4,\), at least 2, rising, got \(5,\)",
    ),
    ("spectrograms", ({"a": SPECTRUM},), {"hertz": -torch.arange(4.0)}, "hertz must be .* rising"),
    ("det_figure", ({},), {}, "curves must map names to rates, at least one, got none"),
    ("det_figure", ({"f": RATE},), {}, r"curves\['f'\] must be two tensors, got \(5,\)"),
    ("det_figure", ({"f": (RATE, RATE[:4])},), {}, r"curves\['f'\] .*, got \(5,\) and \(4,\)"),
    ("det_figure", ({"f": (RATE, [1.0])},), {}, r"curves\['f'\] must be .*, got \(5,\) and list"),
    ("det_figure", ({"f": (RATE, RATE / 0)},), {}, r"curves\['f'\] must be rates from 0 to 1"),
    ("det_figure", ({"f": (RATE, RATE)},), {}, "from the strictest threshold to the laxest"),
    *(
        (name, (value,), {}, f"inference_data must be what to_arviz returned, with {group}, got")
        for name, group in (
            ("khat_figure", "sample_stats"),
            ("predictive_check", "observed_data"),
            ("latent_forest", "posterior"),
        )
        for value in (None, {}, X)
    ),
    ("comparison_figure", ([1, 2],), {}, "inference_data must hold at least 2 guides .*, got list"),
    ("comparison_figure", ({"a": 1, "b": 2},), {}, "with observed_data, got int"),
]


@pytest.mark.parametrize(
    ("name", "arguments", "options", "message"),
    [pytest.param(*row, id=f"{row[0]}-{i}") for i, row in enumerate(BAD)],
)
def test_one_line_and_no_file(tmp_path, name, arguments, options, message):
    folder = tmp_path / "new"
    with pytest.raises((ValueError, TypeError), match=f"^.*{message}") as caught:
        getattr(plotting, name)(*arguments, folder / "a", **options)
    assert "\n" not in str(caught.value)
    assert not folder.exists()


def test_every_function_is_tried():
    assert {row[0] for row in BAD} == {*plotting.__all__} - {"compare_weights"}


# What each function draws where nothing is wrong, and what it can write, first where the path has no suffix.
PICTURES, FIGURES = (".png", ".jpg"), (".png", ".jpg", ".svg", ".pdf")
GOOD = {
    "grid": ((X,), PICTURES),
    "animate": ((X,), (".gif", ".mp4")),
    "latent_map": ((X[None],), PICTURES),
    "timeline": ((torch.arange(8.0), X.flatten(0, 1)), FIGURES),
    "trajectory_figure": (({"a": {"skin": P}},), FIGURES),
    "error_curves": (({"a": {5: SCORES}},), FIGURES),
    "rate_distortion": (({"a": [POINT]},), FIGURES),
    "loss_curve": (([3.0, 2.0],), FIGURES),
    "spectrograms": (({"a": SPECTRUM + torch.arange(4)},), FIGURES),
    "det_figure": (({"f": (RATE, RATE.flip(0))},), FIGURES),
}
STARTS = {
    ".png": rb"\x89PNG",
    ".jpg": rb"\xff\xd8\xff",
    ".gif": rb"GIF89a",
    ".mp4": rb"....ftyp",
    ".svg": rb"<\?xml .*\n<!DOCTYPE svg",
    ".pdf": rb"%PDF",
}


@pytest.mark.parametrize("name", GOOD)
def test_the_suffix_says_what_is_written(tmp_path, name):
    arguments, suffixes = GOOD[name]
    draw = getattr(plotting, name)
    if ".mp4" in suffixes:
        pytest.importorskip("av")
    for suffix in suffixes:
        path = draw(*arguments, tmp_path / "new" / f"picture{suffix}")
        assert path == tmp_path / "new" / f"picture{suffix}"
        assert re.match(STARTS[suffix], path.read_bytes()), suffix
    assert draw(*arguments, tmp_path / "none") == tmp_path / f"none{suffixes[0]}"


@pytest.mark.parametrize("name", [*GOOD, "swap_figure"])
def test_a_suffix_that_nobody_writes(tmp_path, name):
    arguments = (X, X, SWAPPED) if name == "swap_figure" else GOOD[name][0]
    draw = getattr(plotting, name)
    for path in (tmp_path / "new" / "a.docx", tmp_path / "new" / "v0.1"):
        with pytest.raises(
            ValueError, match=r"^path must end in \.\w+, .* or no suffix, got '.*'$"
        ):
            draw(*arguments, path)
    with pytest.raises(ValueError, match="path must name a file, got '.'"):
        draw(*arguments, "")
    assert [*tmp_path.iterdir()] == []


def test_a_swap_has_two_files(tmp_path):
    def draw(name):
        return [path.name for path in plotting.swap_figure(X, X, SWAPPED, tmp_path / name)]

    assert draw("a") == draw("a.png") == draw("a.gif") == ["a.png", "a.gif"]
    assert draw("b.jpg") == ["b.jpg", "b.gif"]
    pytest.importorskip("av")
    assert draw("c.mp4") == ["c.png", "c.mp4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["a.gif", "a.png", "b.gif", "b.jpg", "c.mp4", "c.png"]
    )


def test_capitals_are_a_suffix_too(tmp_path):
    path = plotting.grid(X, tmp_path / "LOUD.PNG")
    assert path.name == "LOUD.PNG" and re.match(STARTS[".png"], path.read_bytes())


def test_bytes_are_frames(tmp_path):
    floats = plotting.grid((255 * X).byte().float() / 255, tmp_path / "floats")
    assert plotting.grid((255 * X).byte(), tmp_path / "b").read_bytes() == floats.read_bytes()


def test_an_mp4_shows_the_frames(tmp_path):
    av = pytest.importorskip("av")
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    x = colours.view(1, 3, 3, 1, 1).expand(1, 3, 3, 33, 32)
    path = plotting.animate(x, tmp_path / "film.mp4", milliseconds=80, scale=1)
    with av.open(str(path)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert 1000 / film.streams.video[0].average_rate == 80
    assert [frame.shape for frame in frames] == 3 * [(38, 36, 3)]  # a side of 37 is made even
    for frame, colour in zip(frames, colours.numpy(), strict=True):
        assert np.abs(frame[18, 18] - 255 * colour).max() < 12


def test_an_mp4_without_pyav(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"film.mp4 is a video, and writing it needs PyAV: pip"):
        plotting.animate(X, tmp_path / "film.mp4")
    assert [*tmp_path.iterdir()] == []


def test_a_history_is_drawn_with_its_validation(tmp_path):
    scores = [{"step": 2, "elbo": -2.5}]
    history = History(3, [3.0, 2.0, 1.0], validation=scores)
    drawn = plotting.loss_curve(history, tmp_path / "a").read_bytes()
    both = plotting.loss_curve(history.losses, tmp_path / "b", validation=scores).read_bytes()
    assert drawn == both != plotting.loss_curve(history.losses, tmp_path / "c").read_bytes()
