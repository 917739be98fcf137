"""Clips of moving shapes, by what they show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyro_dsae.data import Clips, write_shapes
from pyro_dsae.data.shapes import COLOURS, PATHS, SHAPES, draw_shape


def test_clips_are_what_their_names_say(tmp_path):
    pytest.importorskip("av")
    files = write_shapes(tmp_path, 5, lengths=(12, 20))
    data = Clips(tmp_path, num_frames=None, size=32, keep="memory")
    assert data.names == [path.stem for path in files]
    assert all(12 <= length <= 20 for length in data.lengths)
    assert data.rates == pytest.approx([12.5] * 5)
    assert {height for height, _ in data.sizes} <= {48, 64, 96}
    for i, name in enumerate(data.names):
        _, colour, shape, path = name.split("_")
        assert shape in SHAPES and path in PATHS
        pixels = data[i][0].movedim(1, -1).flatten(0, -2)
        bright = pixels[pixels.sum(1) > 0.9 * pixels.sum(1).max()]
        expected = torch.tensor(COLOURS[colour]) / 255
        torch.testing.assert_close(bright.median(0).values, expected, atol=0.08, rtol=0)
    again = write_shapes(tmp_path / "again", 2, lengths=(12, 20))
    assert [path.name for path in again] == [path.name for path in files[:2]]


@pytest.mark.parametrize("path", PATHS)
def test_paths(path):
    frames = np.stack(
        [*draw_shape("disc", "white", path, 16, 64, np.random.default_rng(1))]
    ).astype(float)
    weights = frames[..., 0] / frames[..., 0].sum((1, 2), keepdims=True)
    y, x = ((weights * grid).sum((1, 2)) for grid in np.mgrid[:64, :64])
    moves = x.std() > 5, y.std() > 5
    assert moves == {"across": (True, False), "up": (False, True)}.get(path, (True, True))
    x, y = x - x.mean(), y - y.mean()
    turn = (x[:-1] * y[1:] - x[1:] * y[:-1]).mean()  # y points down
    assert np.sign(round(turn / 20)) == {"clockwise": 1, "anticlockwise": -1}.get(path, 0)
    areas = {
        shape: np.stack([*draw_shape(shape, "white", path, 2, 64, np.random.default_rng(1))]).sum()
        for shape in SHAPES
    }
    assert len({*areas.values()}) == len(SHAPES)
