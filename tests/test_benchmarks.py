"""The benchmarks run; with ``PYRO_DSAE_PEERS`` also on the checkouts of peers that it names."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from pyro.infer import Trace_ELBO

import pyro_dsae

ROOT = Path(__file__).parents[1]
CHECKOUTS = [Path(p) for p in os.environ.get("PYRO_DSAE_PEERS", "").split(os.pathsep) if p]


@pytest.fixture
def peers(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("peers")


def test_the_step_is_measured_on_both_sides_and_the_sides_agree(tmp_path, monkeypatch):
    out = tmp_path / "step.json"
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    step = importlib.import_module("training_step")
    options = ["--cases", "tiny", "--rounds", "3", "--device", "cpu", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["training_step.py", *options])
    step.main()
    found = json.loads(out.read_text())
    assert set(found["ratios"]["tiny"]) == {"fit", "svi"}
    assert all(0.05 < value < 20 for value in found["ratios"]["tiny"].values())
    assert all(used > 0 for used in found["cases"]["tiny"]["peak_bytes"].values())

    case = step.CASES["tiny"]
    x = case.data(torch.device("cpu"))[: case.batch]
    losses = []
    for loss in (Trace_ELBO()(*case.pair()), lambda x: step.negative_elbo(*case.pair(), x)):
        torch.manual_seed(1)
        losses.append(loss(x).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_priors_are_measured_beside_the_lstms(tmp_path, monkeypatch):
    out = tmp_path / "priors.json"
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    bench = importlib.import_module("priors")
    options = ["--priors", "hidden_markov", "--frames", "3", "--rounds", "1", "--seeds", "0"]
    monkeypatch.setattr(sys, "argv", ["priors.py", *options, "--out", str(out)])
    monkeypatch.setattr(bench, "BATCH", 2)
    bench.main()
    found = json.loads(out.read_text())
    assert found["autoregressive"]["density, T 3"]["over_the_first"] == 1
    assert {*found["hidden_markov"]} == {"density, T 3", "draw, T 3", "step"}
    assert found["f: flow"]["step"]["ms"] > 0
    assert bench.furthest("hidden_markov", seeds=1, steps=20)["untrained"] < 20


def test_objectives_are_measured_beside_the_elbo(tmp_path, monkeypatch):
    out = tmp_path / "objectives.json"
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    bench = importlib.import_module("objectives")
    assert {*bench.TERMS} >= {
        name
        for name in pyro_dsae.objectives.__all__
        if isinstance(kind := getattr(pyro_dsae.objectives, name), type)
        and issubclass(kind, pyro_dsae.objectives.Regularised)
        and name not in ("Regularised", "Joined")
    }
    options = ["--objectives", "SwapConsistency", "Grouped", "--rounds", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["objectives.py", *options])
    monkeypatch.setattr(bench, "BATCH", 8)
    bench.main()
    found = json.loads(out.read_text())
    assert found["ELBO"]["over_the_elbo"] == 1
    assert {*found} == {"ELBO", "SwapConsistency", "Grouped", "Pooled", "SingleFrame", "run"}
    assert 0.3 < found["SwapConsistency"]["over_the_elbo"] < 10


def test_patches_are_measured_beside_each_other(tmp_path, monkeypatch):
    out = tmp_path / "patches.json"
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    bench = importlib.import_module("patches")
    options = ["--sizes", "16", "--patches", "1", "2", "--rounds", "1", "--seconds", "0.2"]
    monkeypatch.setattr(sys, "argv", ["patches.py", *options, "--out", str(out)])
    bench.main()
    found = json.loads(out.read_text())
    assert found["16x16, patch 1"]["over_the_first"] == 1
    row = found["16x16, patch 2"]
    assert row["ms"] > 0 and row["memory_bytes"] > 1e7
    assert row["steps"] == int(200 / row["ms"]) > 0
    assert 0 <= row["static"] <= 1 and 0 <= row["action"] <= 1 and row["elbo"] < 0


def test_reading_clips_is_measured_beside_a_plain_loop(tmp_path, monkeypatch):
    pytest.importorskip("av")
    out = tmp_path / "clips.json"
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    bench = importlib.import_module("clips")
    monkeypatch.setattr(bench, "apart", lambda function, *arguments: function(*arguments))
    options = ["--seconds", "1", "--windows", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["clips.py", *options])
    bench.main()
    found = json.loads(out.read_text())["results"]["1 s"]
    assert [*found] == bench.WAYS
    assert all(row["frames_per_second"] > 0 for row in found.values())
    path = tmp_path / "clip.mp4"
    bench.write_video(path, bench.pictures(1), bench.RATE)
    ours = bench.Clips(path, num_frames=16, size=bench.SIDE, keep="none").read(0, range(5, 9))
    theirs = torch.stack([*bench.plain(path, 5, 9)])
    assert ours.shape == theirs.shape
    # Not pixel by pixel: torchvision's crop is half a pixel off.
    blurred = [torch.nn.functional.avg_pool2d(x.float(), 16) for x in (ours, theirs)]
    assert (blurred[0] - blurred[1]).abs().mean() < 5


@pytest.mark.parametrize("files", [(), ("trainer.py", "model.py")])
def test_a_folder_of_neither_peer(peers, tmp_path, files):
    for name in files:
        (tmp_path / name).write_text("class VAE(Module): ...")
    message = f"must hold a model.py with a class DisentangledVAE or CDSVAE, got {tmp_path}"
    with pytest.raises(ValueError, match=re.escape(message)):
        peers.load(tmp_path)


def test_a_function_is_taken_from_a_script_that_is_not_run(peers, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import absent\n\ndef root(x):\n    return math.sqrt(x)\n\nabsent.train()\n")
    assert peers._function(script, "root", math=math)(9) == 3
    with pytest.raises(ValueError, match="with a function train in .*script.py, got none"):
        peers._function(script, "train")


def test_cuda_is_replaced_only_inside(peers):
    before = torch.Tensor.cuda
    with peers._cuda_if_any(torch.device("cpu")):
        assert torch.zeros(1).cuda().device.type == "cpu"
    assert torch.Tensor.cuda is before
    with peers._cuda_if_any(torch.device("cuda")):
        assert torch.Tensor.cuda is before


@pytest.mark.skipif(not CHECKOUTS, reason="PYRO_DSAE_PEERS names no checkouts of peers")
@pytest.mark.parametrize("path", CHECKOUTS, ids=lambda path: path.name)
def test_a_peer_learns(peers, path):
    modules = set(sys.modules)
    peer = peers.load(path)
    case = importlib.import_module("training_step").Case(**{**peer.sizes, "batch": 2})
    x = case.data(torch.device("cpu"))[:2]
    message = "x must be (batch, 8, 3, 64, 64), got (2, 4, 3, 64, 64)"
    with pytest.raises(ValueError, match=re.escape(message)):
        peer.make_step(x[:, :4])
    step = peer.make_step(x)
    losses = [step() for _ in range(4)]
    assert losses[-1] < losses[0]
    assert not {"model", "loss", "utils", "trainer"} & (set(sys.modules) - modules)


@pytest.mark.skipif(not CHECKOUTS, reason="PYRO_DSAE_PEERS names no checkouts of peers")
@pytest.mark.parametrize("path", CHECKOUTS, ids=lambda path: path.name)
def test_the_networks_of_a_peer_fit_ours(peers, path):
    peer = peers.load(path)
    encoder, decoder = peer.networks()
    sizes = {name: peer.sizes[name] for name in ("f_dim", "z_dim", "hidden")}
    model = pyro_dsae.DSAE(decoder=decoder, likelihood="normal", **sizes)
    guide = getattr(pyro_dsae, peer.guide)(encoder=encoder, **sizes)
    x = torch.rand(2, peer.sizes["num_frames"], *model.frame_shape)
    Trace_ELBO()(model, guide)(x).backward()
    assert all(weight.grad is not None for weight in [*encoder.parameters(), *decoder.parameters()])


def test_a_ball_is_forecast_without_a_model(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pymunk")
    out = tmp_path / "ball.json"
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ball = importlib.import_module("ball")
    monkeypatch.setattr(sys, "argv", ["ball.py", "--judged", "3", "--out", str(out)])
    ball.main()
    found = json.loads(out.read_text())
    errors = {name: found[name]["prediction"]["5"]["mean"] for name in ball.FORECASTS}
    assert 0.02 < errors["black"] < 0.035 and errors["hold"] > errors["constant_velocity"]


def test_the_bounds_are_set_against_the_evidence(tmp_path, monkeypatch, capsys):
    out = tmp_path / "annealing.json"
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    bench = importlib.import_module("annealing")
    options = ["--size", "16", "--steps", "2", "--samples", "25", "--chains", "2"]
    options += ["--temperatures", "1", "2", "--leapfrog", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["annealing.py", *options])
    bench.main()
    found = json.loads(out.read_text())
    assert {*found} == {"evidence", "both_sides", "run"}
    for scores in found["evidence"].values():
        assert scores["elbo"] < scores["iw_bound"] and math.isfinite(scores["ais_bound"])
    assert all(sides["width"] > 0 for sides in found["both_sides"].values())
    assert len(capsys.readouterr().out.splitlines()) == 4
