"""Pictures: sizes, colours, numbers of frames, and nothing left behind in pyplot."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.utils import make_grid

from pyro_dsae import plotting
from pyro_dsae.plotting._common import GAP, tile


def sequences(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_puts_time_to_the_right(tmp_path, channels):
    x = sequences(2, 5, channels, 16, 32)
    path = plotting.grid(x, tmp_path / "new" / "grid.png", scale=2)
    image = pixels(path)
    assert image.shape == (2 * (32 + 2) + 2, 5 * (64 + 2) + 2, 3)
    cell = image[
        2 + 34 : 2 + 34 + 32, 2 + 3 * 66 : 2 + 3 * 66 + 64
    ]  # second sequence, fourth frame
    expected = (255 * x[1, 3]).round().expand(3, -1, -1).permute(1, 2, 0).numpy()
    assert np.array_equal(cell[::2, ::2], expected)
    assert np.array_equal(cell[1::2, 1::2], expected)
    assert (image[:2] == 255).all()
    assert np.array_equal(pixels(plotting.grid([*x], tmp_path / "list", scale=2)), image)


def test_grid_enlarges_small_frames_and_clamps(tmp_path):
    assert pixels(plotting.grid(sequences(1, 2, 3, 32, 32), tmp_path / "a")).shape == (68, 134, 3)
    assert pixels(plotting.grid(sequences(1, 2, 3, 64, 64), tmp_path / "b")).shape == (68, 134, 3)
    image = pixels(plotting.grid(torch.full((1, 1, 1, 64, 64), 7.0), tmp_path / "c"))
    assert (image == 255).all()


def test_a_frame_alone_has_the_margin_of_the_others(tmp_path):
    image = pixels(plotting.grid(torch.zeros(1, 1, 1, 64, 64), tmp_path / "a"))
    assert image.shape == (68, 68, 3)
    assert (image[:2] == 255).all() and (image[2:-2, 2:-2] == 0).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("columns", [1, 3, 6])
def test_frames_are_laid_out_as_torchvision_does(channels, columns):
    x = sequences(5, channels, 16, 12)
    expected = make_grid([*x], nrow=columns, padding=GAP, pad_value=1.0)
    expected = (255 * expected).round().permute(1, 2, 0).numpy()
    assert np.array_equal(np.asarray(tile(x, columns, scale=1)), expected)


def test_animation_has_all_frames(tmp_path):
    x = sequences(5, 8, 3, 16, 16)
    path = plotting.animate(x, tmp_path / "motion", columns=3, milliseconds=80, scale=1)
    assert path.suffix == ".gif"
    with Image.open(path) as film:
        assert film.n_frames == 8
        assert film.size == (3 * 18 + 2, 2 * 18 + 2)
        assert film.info["duration"] == 80
        assert film.info["loop"] == 0


def test_animation_shows_the_colours(tmp_path):
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    x = colours.view(1, 3, 3, 1, 1).expand(1, 3, 3, 16, 16)
    with Image.open(plotting.animate(x, tmp_path / "colours", scale=1)) as film:
        for t in range(3):
            film.seek(t)
            centre = film.convert("RGB").getpixel((8, 8))
            assert np.abs(np.array(centre) - 255 * colours[t].numpy()).max() <= 8


def test_swap_figure(tmp_path):
    content, dynamics = sequences(2, 6, 3, 16, 16, seed=1), sequences(3, 6, 3, 16, 16, seed=2)
    swapped = sequences(2, 3, 6, 3, 16, 16, seed=3)
    png, gif = plotting.swap_figure(content, dynamics, swapped, tmp_path / "swap", scale=4, frame=2)
    image = pixels(png)
    left, top = 64 + 4 + 8, 64 + 4 + 8
    assert image.shape == (top + 2 * 66 + 2, left + 3 * 66 + 2, 3)
    cell = image[top + 2 + 66 :, left + 2 + 2 * 66 :][:64, :64][::4, ::4]
    assert np.array_equal(cell, (255 * swapped[1, 2, 2]).round().permute(1, 2, 0).numpy())
    above = image[2:, left + 2 + 66 :][:64, :64][::4, ::4]
    assert np.array_equal(above, (255 * dynamics[1, 2]).round().permute(1, 2, 0).numpy())
    beside = image[top + 2 + 66 :, 2:][:64, :64][::4, ::4]
    assert np.array_equal(beside, (255 * content[1, 2]).round().permute(1, 2, 0).numpy())
    with Image.open(gif) as film:
        assert film.n_frames == 6
        assert film.size == image.shape[1::-1]


@pytest.mark.parametrize("channels", [1, 3])
def test_latent_map_puts_blocks_side_by_side(tmp_path, channels):
    grids = sequences(5, 2, 4, channels, 16, 16)
    image = pixels(plotting.latent_map(grids, tmp_path / "new" / "map", scale=1))
    width, height, gap = 4 * 18 + 2, 2 * 18 + 2, 8
    assert image.shape == (2 * height + gap, 3 * width + 2 * gap, 3)
    block = image[height + gap :, width + gap :][:height, :width]  # the fifth
    cell = block[2 + 18 :, 2 + 3 * 18 :][:16, :16]
    expected = (255 * grids[4, 1, 3]).round().expand(3, -1, -1).permute(1, 2, 0).numpy()
    assert np.array_equal(cell, expected)
    assert (image[:, width : width + gap] == 255).all()
    assert (image[height + gap :, 2 * (width + gap) :] == 255).all()
    row = pixels(plotting.latent_map(grids, tmp_path / "row", scale=1, columns=9))
    assert row.shape == (height, 5 * width + 4 * gap, 3)
    assert np.array_equal(row[:, :width], image[:height, :width])


def test_timeline_shows_the_extremes(tmp_path):
    red, green, blue = torch.eye(3).view(3, 3, 1, 1).expand(-1, -1, 8, 8)
    z = torch.tensor([0.0, 3.0, -2.0, 0.5, 4.0, -3.0, 0.2, 0.1])
    frames = torch.stack([red if v > 2 else blue if v < -1 else green for v in z])

    def areas(path):
        image = pixels(path).reshape(-1, 3)
        return [int((image == colour).all(1).sum()) for colour in 255 * np.eye(3)]

    path = plotting.timeline(z, frames, tmp_path / "one", extremes=2)
    assert Image.open(path).size == (840, 480)
    shown = areas(path)
    assert shown[0] > 10_000 and shown[2] > 10_000 and shown[1] == 0
    assert areas(plotting.timeline(z, frames, tmp_path / "more", extremes=3))[1] > 10_000
    both = plotting.timeline(torch.stack([z, -z], 1), frames, tmp_path / "two", extremes=2)
    assert Image.open(both).size == (840, 960)
    assert areas(both)[0] > 1.7 * shown[0]
    grey = plotting.timeline(z, frames[:, :1], tmp_path / "grey", extremes=2)
    assert Image.open(grey).size == (840, 480)


def test_curves(tmp_path):
    p = torch.softmax(sequences(20, 8, 6), -1)
    p9 = torch.softmax(sequences(20, 11, 9), -1)
    found = {
        "fixed_f": {"skin": p, "action": p9},
        "fixed_z": {"skin": p, "action": p9[:, :8]},
    }
    names = {"action": [f"a{i}" for i in range(9)]}
    path = plotting.trajectory_figure(found, tmp_path / "trajectories", names=names)
    assert Image.open(path).size == (720, 576)
    losses = [100.0 / (i + 1) for i in range(200)]
    scores = [{"step": 100, "elbo": -3.0}, {"step": 200, "elbo": -2.0}]
    path = plotting.loss_curve(losses, tmp_path / "loss", validation=scores)
    assert Image.open(path).size == (720, 432)
    assert plotting.loss_curve([5.0], tmp_path / "one").is_file()


def test_pictures_are_the_same_each_time_and_pyplot_is_left_alone(tmp_path):
    x = sequences(2, 3, 1, 16, 16)
    had_pyplot = "matplotlib.pyplot" in sys.modules
    for make in (
        lambda name: plotting.grid(x, tmp_path / name),
        lambda name: plotting.animate(x, tmp_path / name),
        lambda name: plotting.latent_map(x[None], tmp_path / name),
        lambda name: plotting.timeline(torch.arange(3.0), x[0], tmp_path / name, extremes=1),
        lambda name: plotting.loss_curve([3.0, 2.0, 1.0], tmp_path / name),
    ):
        assert make("a").read_bytes() == make("b").read_bytes()
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot


def test_error_curves_show_every_model(tmp_path):
    scores = {
        str(n): {"mean": 0.001 * n, "low": 0.0008 * n, "high": 0.0012 * n, "best_of_20": 0.0005 * n}
        for n in (5, 10, 25)
    }
    one = pixels(plotting.error_curves({"a": scores}, tmp_path / "one"))
    two = pixels(plotting.error_curves({"a": scores, "b": scores}, tmp_path / "two"))
    assert one.shape == two.shape and (one != two).any()
    orange = np.array([255, 127, 14])  # the second colour
    assert (np.abs(two.astype(int) - orange).sum(-1) < 30).any()
    assert not (np.abs(one.astype(int) - orange).sum(-1) < 30).any()


def test_rate_and_distortion_of_each_way_to_encode(tmp_path):
    points = [{"bits_per_frame": r, "distortion_bits_per_dim": 1 / r} for r in (4.0, 2.0, 1.0)]
    one = pixels(plotting.rate_distortion({"a": points}, tmp_path / "one"))
    same = pixels(plotting.rate_distortion({"a": points[::-1]}, tmp_path / "same"))
    two = pixels(plotting.rate_distortion({"a": points, "b": points[:1]}, tmp_path / "two"))
    assert np.array_equal(one, same)  # along the rate, whatever the order
    assert one.shape == two.shape and (one != two).any()


@pytest.mark.parametrize("kinds", [1, 2])
@pytest.mark.parametrize("heads", [1, 5])
def test_the_legend_of_trajectories_is_in_the_picture(tmp_path, monkeypatch, kinds, heads):
    figures = []
    monkeypatch.setattr(
        "pyro_dsae.plotting.curves.saved", lambda figure, path: figures.append(figure) or path
    )
    named = {f"head{i}": torch.rand(10, 8, 9).softmax(-1) for i in range(heads)}
    names = {head: [f"class {k}" for k in range(9)] for head in named}
    shown = {f"kind{i}": named for i in range(kinds)}
    plotting.trajectory_figure(shown, tmp_path / "over_time", names=names)
    (figure,) = figures
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert len(figure.legends[0].texts) == 9 * heads
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width
    assert box.y0 >= 0 and box.y1 <= figure.bbox.height
    assert figure.axes[0].get_window_extent().width > 100  # the panels have their room
