"""Spectrograms and DET curves, by the pixels."""

import sys

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from PIL import Image

from pyro_dsae import plotting


def where(path, colour, tolerance=1):
    """Rows and columns of the pixels of one colour."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    wanted = np.round(255 * np.array(to_rgb(colour)))
    return np.nonzero((np.abs(pixels - wanted) <= tolerance).all(2))


DARK, BRIGHT = colormaps["magma"](0.0), colormaps["magma"](1.0)


def normal_rates(distance, thresholds=2001):
    """Rates of scores N(0, 1) and N(distance, 1)."""
    t = torch.linspace(8, -8, thresholds).double()
    return torch.special.ndtr(-t), torch.special.ndtr(t - distance)


def test_spectrograms_share_colours_and_time(tmp_path):
    rows = {"quiet": torch.full((40, 20), -8.0), "loud": torch.full((20, 20), 2.0)}
    path = plotting.spectrograms(rows, tmp_path / "new" / "sound")
    assert Image.open(path).size == (840, 480)
    # The scale of colours, to the right, holds both as well.
    quiet, loud = (where(path, colour) for colour in (DARK, BRIGHT))
    (q0, q1), (l0, l1) = (
        (columns[columns < 740].min(), columns[columns < 740].max()) for _, columns in (quiet, loud)
    )
    assert q0 == pytest.approx(l0, abs=2)
    assert (l1 - l0) / (q1 - q0) == pytest.approx(0.5, abs=0.02)
    assert np.median(quiet[0]) < 240 < np.median(loud[0])


@pytest.mark.parametrize("even", [True, False])
def test_frequency_rises_and_bins_have_their_width(tmp_path, even):
    x = torch.full((50, 20), -8.0)
    x[:, 15] = 2.0
    # Eight bins of 250 Hz up to 2 kHz, twelve of 500 Hz up to 8 kHz.
    width = torch.tensor([250.0] * 8 + [500.0] * 12)
    hertz = None if even else width.cumsum(0) - width / 2
    path = plotting.spectrograms({"tone": x}, tmp_path / "tone", hertz=hertz)
    rows, columns = where(path, BRIGHT)
    dark = where(path, DARK)[0]
    bottom, top = dark.max(), dark.min()
    inside = rows[columns < 740]
    share = (bottom - inside.mean()) / (bottom - top)
    assert share == pytest.approx(15.5 / 20 if even else 5750 / 8000, abs=0.015)
    height = (np.ptp(inside) + 1) / (bottom - top)
    assert height == pytest.approx(1 / 20 if even else 500 / 8000, abs=0.01)


def test_det_of_normal_scores_is_a_straight_line(tmp_path):
    path = plotting.det_figure({"f": normal_rates(2.0), "z": normal_rates(0.5)}, tmp_path / "det")
    assert Image.open(path).size == (600, 600)
    found = {}
    for colour in ("C0", "C1"):
        rows, columns = where(path, colour)
        above = rows < 540  # the legend is below
        slope, start = np.polyfit(columns[above], rows[above], 1)
        assert slope == pytest.approx(1, abs=0.03)
        residual = rows[above] - (slope * columns[above] + start)
        assert np.abs(residual).max() < 8  # of the mark
        found[colour] = start
    assert found["C1"] < found["C0"] - 100  # worse, above it


def test_det_marks_the_equal_error_rate(tmp_path):
    accepted, rejected = normal_rates(2.0)
    path = plotting.det_figure({"f": (accepted, rejected)}, tmp_path / "whole")
    # A curve that jumps: only its mark is left inside, where the rates cross.
    jump = plotting.det_figure(
        {"f": (torch.tensor([0.0, 0.2, 0.2, 1.0]), torch.tensor([1.0, 1.0, 0.0, 0.0]))},
        tmp_path / "jump",
    )
    for picture, rate in ((path, 0.1587), (jump, 0.2)):
        rows, columns = where(picture, "C0")
        above = rows < 540
        rows, columns = rows[above], columns[above]
        # The mark is the only place five pixels wide in both directions.
        shown = np.zeros((600, 600), bool)
        shown[rows, columns] = True
        block = np.lib.stride_tricks.sliding_window_view(shown, (5, 5)).all((2, 3))
        r, c = (axis.mean() + 2 for axis in np.nonzero(block))
        black = np.zeros((600, 600), bool)
        black[where(picture, "black", 100)] = True
        (top, *_, bottom), (left, *_, right) = (
            np.nonzero(black.sum(axis) > 300)[0] for axis in (1, 0)
        )
        low, high, here = torch.special.ndtri(torch.tensor([0.001, 0.8, rate]).double()).tolist()
        share = (here - low) / (high - low)
        assert (c - left) / (right - left) == pytest.approx(share, abs=0.02)
        assert (bottom - r) / (bottom - top) == pytest.approx(share, abs=0.02)


def test_pictures_are_the_same_each_time_and_pyplot_is_left_alone(tmp_path):
    had_pyplot = "matplotlib.pyplot" in sys.modules
    for make in (
        lambda name: plotting.spectrograms({"x": torch.eye(20)}, tmp_path / name),
        lambda name: plotting.det_figure({"f": normal_rates(1.0)}, tmp_path / name),
    ):
        assert make("a").suffix == ".png"
        assert make("a").read_bytes() == make("b").read_bytes()
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot
