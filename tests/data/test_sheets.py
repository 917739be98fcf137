"""Sheets of poses: the same characters as the sprites, in all their poses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_dsae.data import ProceduralSheets, ProceduralSprites, Sheets, Sprites, sheets, sprites
from pyro_dsae.data.characters import split_characters
from pyro_dsae.data.sprites import SEQUENCES


class TestProceduralSheets:
    def test_a_sheet_holds_all_frames_of_a_character(self):
        data, sprites = ProceduralSheets("test", size=16), ProceduralSprites("test", size=16)
        assert data.frames.shape == (296, 72, 3, 16, 16)
        x, labels = data[100]
        sequences = [sprites[900 + action] for action in range(9)]
        torch.testing.assert_close(x, torch.cat([frames for frames, _ in sequences]))
        assert labels == {name: sequences[4][1][name] for name in labels}
        assert set(labels) == {"skin", "trousers", "tops", "hair"}

    def test_draws_poses_anew_each_time(self):
        data = ProceduralSheets("test", size=16, num_frames=4, transform=lambda x: 2 * x)
        first, second = data[7][0], data[7][0]
        assert first.shape == (4, 3, 16, 16)
        assert not torch.equal(first, second)
        whole = 2 * data.frames[7].float() / 255
        for pose in first:
            assert (whole == pose).flatten(1).all(1).any()

    def test_splits_are_those_of_the_sprites(self):
        train, test = (ProceduralSheets(split, size=16) for split in ("train", "test"))
        assert (len(train), len(test)) == (1000, 296)
        people = [
            set(zip(*(v.tolist() for v in d.labels.values()), strict=True)) for d in (train, test)
        ]
        assert not people[0] & people[1]

    @pytest.mark.parametrize("num_frames", [0, 73])
    def test_a_bad_number_of_poses_is_named(self, num_frames):
        with pytest.raises(ValueError, match=f"num_frames must be .* got {num_frames}"):
            ProceduralSheets("test", size=16, num_frames=num_frames)


class TestSheets:
    def test_poses_are_the_cells_that_are_not_empty(self, data_root):
        assert len(sheets.POSES) == 178
        with Image.open(data_root / "lpc-sprites" / "body" / "0.png") as image:
            opacity = np.asarray(image.convert("RGBA"))[..., 3]
        cells = opacity.reshape(21, 64, 13, 64).any((1, 3)).ravel()
        assert tuple(np.flatnonzero(cells)) == sheets.POSES

    def test_holds_the_frames_of_the_sprites(self, data_root, tmp_path, monkeypatch):
        for module in (sheets, sprites):  # the first eight characters of the split
            monkeypatch.setattr(module, "split_characters", lambda *of: split_characters(*of)[:8])
        root = data_root / "lpc-sprites"
        data = Sheets(root, "test", size=8, cache_dir=tmp_path)
        assert data.frames.shape == (8, 178, 3, 8, 8)
        assert data.frames.flatten(2).any(-1).all()
        moving = Sprites(root, "test", size=8, cache_dir=tmp_path)
        index = [sheets.POSES.index(cell) for cell in SEQUENCES]
        assert torch.equal(data.frames[5][index], moving.frames[45:54].flatten(0, 1))
        assert data.labels["hair"][5] == moving.labels["hair"][45]
        again = Sheets(root, "test", size=8, cache_dir=tmp_path, num_frames=3)
        assert torch.equal(again.frames, data.frames)
        assert again[0][0].shape == (3, 3, 8, 8)
        assert len([*tmp_path.glob("sheets-*.npy")]) == 1

    @pytest.mark.parametrize("num_frames", [0, 179])
    def test_a_bad_number_of_poses_is_named_before_any_work(self, data_root, tmp_path, num_frames):
        with pytest.raises(ValueError, match=f"num_frames must be .* got {num_frames}"):
            Sheets(data_root / "lpc-sprites", num_frames=num_frames, cache_dir=tmp_path)
        assert not [*tmp_path.iterdir()]
