"""A pair under the names that MSD-Benchmark calls; with ``PYRO_DSAE_MSD``, a checkout, its evaluators too."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import pyro_dsae
from pyro_dsae import metrics
from pyro_dsae.data import ProceduralSprites

ROOT = Path(__file__).parents[1]
CHECKOUT = os.environ.get("PYRO_DSAE_MSD")
SIZES = {"f_dim": 5, "z_dim": 3, "channels": 4, "hidden": 8}


@pytest.fixture
def adapter(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("msd_adapter")


@pytest.fixture
def pair(adapter):
    torch.manual_seed(0)
    return adapter.DisentangledPair(
        (pyro_dsae.DSAE((3, 16, 16), **SIZES), pyro_dsae.Full((3, 16, 16), **SIZES))
    )


def test_the_calls_of_the_interface(pair):
    x = torch.rand(4, 6, 3, 16, 16)
    code = pair.encode(pair.preprocess(x))
    found = pyro_dsae.infer(pair.guide, x)
    assert code.shape == (4, 5 + 6 * 3) and pair.latent_dim() == 8
    assert torch.equal(code[:, :5], found["f"]) and torch.equal(code[:, 5:8], found["z"][:, 0])
    frames = pair.postprocess(pair.decode(code))
    assert torch.equal(frames, pyro_dsae.reconstruct(pair.model, pair.guide, x))
    assert torch.equal(pair(x), frames)
    vector = pair.latent_vector(x)
    assert torch.allclose(vector, torch.cat([found["f"], found["z"].mean(1)], 1))
    static, dynamic, of_f, of_z = pair.latent_vector_splited_static_dynamic(x)
    assert torch.equal(vector[:, of_f], static) and torch.equal(vector[:, of_z], dynamic)


def test_channels_are_exchanged_over_all_frames(pair):
    one, two = (pair.encode(torch.rand(4, 6, 3, 16, 16)) for _ in range(2))
    kept = [i for i in range(8) if i not in (1, 6)]
    mixed, other = pair.swap_channels(one, two, np.array(kept))  # as the evaluators call it
    f, z = pair._apart(mixed)
    for channel in range(5):
        assert torch.equal(f[:, channel], (one if channel == 1 else two)[:, channel])
    for channel in range(3):
        source = pair._apart(one if channel == 1 else two)[1]
        assert torch.equal(z[..., channel], source[..., channel])
    assert torch.equal(mixed + other, one + two)
    for none in ([], np.array([])):  # a subset of everything leaves nothing to exchange
        same, _ = pair.swap_channels(one, two, none)
        assert torch.equal(same, one)
    everything, _ = pair.swap_channels(one, two, range(8))
    assert torch.equal(everything, two)
    swapped = pair.decode(pair.swap_channels(one, two, range(5, 8))[0])
    f, z = pair._apart(one)[0], pair._apart(two)[1]
    assert torch.equal(swapped, pyro_dsae.generate(pair.model, f=f, z=z))
    with pytest.raises(IndexError):
        pair.swap_channels(one, two, [8])


def test_samples_are_of_the_prior(pair):
    code = pair.encode(torch.rand(2, 6, 3, 16, 16))
    drawn = pair.sample(code.expand(2, -1).repeat(2000, 1))
    assert drawn.shape == (4000, code.shape[1]) and not drawn.requires_grad
    assert abs(drawn[:, :5].mean()) < 0.03 and abs(drawn[:, :5].std() - 1) < 0.03
    assert not torch.equal(pair.sample(code), pair.sample(code))


def test_a_pair_from_a_folder_and_one_that_does_not_fit(adapter, pair, tmp_path):
    pyro_dsae.save(tmp_path, pair.model, pair.guide)
    x = torch.rand(2, 4, 3, 16, 16)
    assert torch.equal(adapter.DisentangledPair(tmp_path).encode(x), pair.encode(x))
    other = pyro_dsae.LSTMf((3, 16, 16), **SIZES), pyro_dsae.LSTMGuide((3, 16, 16), **SIZES)
    with pytest.raises(ValueError, match="pair must have latents f and z of each frame, got"):
        adapter.DisentangledPair(other)


def test_the_judge_as_theirs_is_called(adapter):
    judge = adapter.Names(metrics.Judge((3, 16, 16), channels=4))
    x = torch.rand(3, 8, 3, 16, 16)
    assert {name: tuple(found.shape) for name, found in judge(x).items()} == dict.fromkeys(
        ("skin", "trousers", "tops", "hair", "action"), (3,)
    )
    assert {name: tuple(found.shape) for name, found in judge(x, True).items()} == dict.fromkeys(
        ("skin", "trousers", "tops", "hair"), (3, 8)
    )


def test_without_a_checkout_it_says_so(adapter, monkeypatch, capsys):
    if adapter.AbstractReader is not object:
        pytest.skip("there is a checkout")
    monkeypatch.setattr(sys, "argv", ["msd_adapter.py", "nowhere"])
    with pytest.raises(SystemExit):
        adapter.main()
    assert "run it in a checkout of MSD-Benchmark" in capsys.readouterr().err


@pytest.mark.skipif(CHECKOUT is None, reason="PYRO_DSAE_MSD names no checkout of MSD-Benchmark")
def test_its_evaluators_take_it(monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    monkeypatch.syspath_prepend(CHECKOUT)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delitem(sys.modules, "msd_adapter", raising=False)
    adapter = importlib.import_module("msd_adapter")
    monkeypatch.setitem(adapter.PREDICTOR["parameters"], "n_estimators", 2)
    pair = adapter.DisentangledPair(
        (pyro_dsae.DSAE((3, 16, 16), **SIZES), pyro_dsae.Factorised((3, 16, 16), **SIZES))
    )
    data, judge = ProceduralSprites("test", size=16), metrics.Judge((3, 16, 16), channels=4).eval()
    found = adapter.evaluate(pair, data, judge, num_sequences=128, batch_size=32, repeat=2)
    channels = found.pop("channels")
    assert sum(channels.values()) == 8
    assert {"intervention_multi_factor_swap", "modularity", "explicitness_test"} <= {*found}
    assert all(0 <= scores["mean"] <= 1 for name, scores in found.items())
    assert isinstance(pair, adapter.AbstractModel) and adapter.AbstractModel.__module__ != "torch"
