"""Swaps against the sequences as they are drawn: an oracle is right, errors are what they were made to be."""

from __future__ import annotations

import pytest
import torch

from pyro_dsae import DSAE, Factorised
from pyro_dsae.data import ProceduralSprites
from pyro_dsae.metrics import swap_against_truth
from pyro_dsae.metrics.truth import digits

SIZES = {"f_dim": 5, "z_dim": 3, "channels": 4, "hidden": 16}


@pytest.fixture(scope="module")
def splits():
    return [ProceduralSprites(split, size=16) for split in ("test", "train")]


def oracle(splits, spoil=lambda codes: codes, noise=0.0):
    """In place of ``swap``: looks both sequences up and draws what they should become, spoilt."""
    frames = torch.cat([split.frames for split in splits])
    codes = torch.cat([digits(split) for split in splits])
    at = {tuple(code): i for i, code in enumerate(codes.tolist())}
    known = {frame.numpy().tobytes(): code for frame, code in zip(frames, codes, strict=True)}

    def swap(model, guide, content, dynamics):
        who, does = (
            torch.stack([known[(x * 255).round().byte().numpy().tobytes()] for x in batch])
            for batch in (content, dynamics)
        )
        wanted = spoil(torch.cat([who[:, :4], does[:, 4:]], 1))
        made = frames[[at[tuple(code)] for code in wanted.tolist()]] / 255
        return made + noise * torch.randn_like(made)

    return swap


def run(splits, monkeypatch, **options):
    monkeypatch.setattr("pyro_dsae.control.swap", oracle(splits, **options))
    model, guide = DSAE((3, 16, 16), **SIZES), Factorised((3, 16, 16), **SIZES)
    return swap_against_truth(model, guide, splits[0], splits[1:], num_sequences=90)


def test_what_is_drawn_as_it_should_be_is_right(splits, monkeypatch):
    found = run(splits, monkeypatch)
    assert found.pop("mse") == pytest.approx(0, abs=1e-12)
    assert set(found.values()) == {1.0}


def test_noise_on_every_pixel_does_not_mislead(splits, monkeypatch):
    found = run(splits, monkeypatch, noise=0.1)
    assert found["mse"] == pytest.approx(0.01, rel=0.02)
    assert found["static_accuracy"] > 0.98 and found["action"] == 1


def test_another_value_is_told_from_the_right_one(splits, monkeypatch):
    """Every hair is the next one, a third of the skins too; trousers, tops and action stand."""

    def spoil(codes):
        codes = codes.clone()
        codes[:, 3] = (codes[:, 3] + 1) % 6
        wrong = codes[:, 0] < 2
        codes[wrong, 0] = codes[wrong, 0] + 3
        spoil.share.append(float(wrong.double().mean()))
        return codes

    spoil.share = []
    found = run(splits, monkeypatch, spoil=spoil)
    assert found["hair"] == 0 and found["trousers"] == found["tops"] == found["action"] == 1
    assert 0.5 < found["skin"] < 0.8
    assert found["static_accuracy"] == pytest.approx((found["skin"] + 2) / 4)


def test_every_character_must_be_there(splits):
    model, guide = DSAE((3, 16, 16), **SIZES), Factorised((3, 16, 16), **SIZES)
    with pytest.raises(ValueError, match="must hold all 11664 sequences .* 9000 are missing"):
        swap_against_truth(model, guide, splits[0])
