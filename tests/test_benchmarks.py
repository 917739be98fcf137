"""The benchmarks run; with ``PYRO_DSAE_PEERS`` also on the checkouts of peers that it names."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import subprocess
import sys
from functools import partial
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
    options = ["--sizes", "16", "--patches", "1", "2", "wide", "--rounds", "1", "--seconds", "1.5"]
    monkeypatch.setattr(sys, "argv", ["patches.py", *options, "--out", str(out)])
    bench.main()
    found = json.loads(out.read_text())
    assert found["16x16, patch 1"]["over_the_first"] == 1
    for patch in ("2", "wide"):
        row = found[f"16x16, patch {patch}"]
        assert row["ms"] > 0 and row["memory_bytes"] > 1e7
        assert row["steps"] == int(1500 / row["ms"]) > 0
        assert 0 <= row["static"] <= 1 and 0 <= row["action"] <= 1 and row["elbo"] < 0
    wide, guide = bench.make_pair(64, "wide")
    assert (wide.decoder.canvas.patch, guide.encoder.maps.canvas.patch) == (4, 2)


@pytest.mark.slow
def test_a_step_of_a_large_preset_is_measured_and_kept(tmp_path):
    """As a command, since it takes modules of the examples that have the names of others."""
    out = tmp_path / "accelerator.json"
    options = ["--device", "cpu", "--steps", "1", "--batch-size", "1", "--out", str(out)]
    script = str(ROOT / "benchmarks" / "accelerator.py")
    command = [sys.executable, script, "--cases", "large, float32", *options]
    subprocess.run(command, check=True, cwd=tmp_path)
    found = json.loads(out.read_text())["results"]["large, float32"]
    assert found["kept"] and found["ms"] > 0 and found["kernels"] > 1000


@pytest.mark.slow
def test_one_pair_is_asked_strictly_and_otherwise(tmp_path, monkeypatch, capsys):
    sizes = {"f_dim": 4, "z_dim": 2, "channels": 4, "hidden": 16}
    pair = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    pyro_dsae.save(tmp_path / "pair", *pair)
    out = tmp_path / "protocols.json"
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    bench = importlib.import_module("protocols")
    options = ["--sequences", "90", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["protocols.py", str(tmp_path / "pair"), *options])
    bench.main()
    rows = json.loads(out.read_text())["rows"]
    untold, strict = rows["direction not asked"], rows["strict"]
    assert untold["action"] == strict["action_type"] >= strict["action"]
    assert untold["static_accuracy"] == strict["static_accuracy"]
    assert all({"static_accuracy", "action"} & {*row} for row in rows.values())
    assert "all of these" in capsys.readouterr().out


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


@pytest.fixture
def imputation(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("imputation")


def test_spans_are_missing_but_for_the_first_and_the_last_frame(imputation):
    mask = imputation.gaps(2000, 8, 4)
    missing = 8 - mask.sum(1)
    assert mask[:, 0].all() and mask[:, -1].all()
    assert missing.unique().tolist() == [0, 1, 2, 3, 4]
    assert ((~mask).int().diff(dim=1) == 1).sum(1).equal((missing > 0).long())  # one span each
    assert (~mask)[:, 1:-1].any(0).all()
    assert not imputation.gaps(2000, 8, 4).equal(mask)
    data = imputation.Gapped(torch.rand(5, 8, 1, 4, 4), 4)
    x, labels = data.batch(torch.tensor([3, 1]))
    assert x.equal(data.frames[[3, 1]]) and labels["mask"].shape == (2, 8)


def test_what_fills_a_gap(imputation):
    """Each way keeps what is present; what knows the truth makes no error."""
    part = imputation.Part(2, 5, longest=2, steps=1, batch_size=1, lr=1e-3, draws=2)
    t = torch.arange(8.0).view(1, 8, 1, 1, 1)
    x = (t / 8).expand(3, 8, 1, 16, 16)
    torch.testing.assert_close(imputation.line(x, part), x[:, 2:5])
    sizes = {"f_dim": 2, "z_dim": 2, "channels": 2, "hidden": 4}
    pair = pyro_dsae.DSAE((1, 16, 16), **sizes), pyro_dsae.Full((1, 16, 16), **sizes)
    for name, (fill, draws) in imputation.ways(*pair, part).items():
        filled = fill(x)
        assert filled.shape == x.shape
        assert draws == (2 if name in ("impute_drawn", "forecast") else 1)
        if name != "rebuilt":
            assert filled[:, [0, 1, 5, 6, 7]].equal(x[:, [0, 1, 5, 6, 7]])
        if name == "hold":
            assert (filled[:, 2:5] == x[:, 1:2]).all()
        if name in (
            "impute",
            "impute_paths",
            "forecast",
        ):  # what stands in the gap is not looked at
            torch.manual_seed(0), fill(x)
            other = x.clone()
            other[:, 2:5] = 0.5
            torch.manual_seed(1)
            first = fill(x)
            torch.manual_seed(1)
            assert fill(other).equal(first)


def test_a_ball_that_goes_straight_on_is_found_from_both_ends(imputation):
    part = imputation.Part(4, 10, longest=2, steps=1, batch_size=1, lr=1e-3, draws=1)
    t = torch.arange(14.0)
    places = torch.stack([4 + 1.5 * t, 25 - t], -1)[None]
    x = imputation.metrics.bouncing_ball.render(places).float() / 255
    for make in (imputation.straight_on, imputation.from_both_ends):
        found = make(x, part)
        wrong = imputation.metrics.incorrect_pixels(found, x[:, 4:10])
        assert wrong.shape == (1, 6) and float(wrong.max()) < 0.01
    turned = x.clone()
    turned[:, 10:] = x[:, [10]].roll(-6, -1)  # elsewhere after the gap: its second half is another
    assert imputation.from_both_ends(turned, part)[:, :3].equal(
        imputation.from_both_ends(x, part)[:, :3]
    )


def test_missing_frames_are_filled_and_judged(imputation, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pymunk")
    out, checkpoints = tmp_path / "imputation.json", tmp_path / "checkpoints"
    monkeypatch.setattr(
        imputation, "BouncingBall", partial(pyro_dsae.data.BouncingBall, num_sequences=32)
    )
    judge = partial(pyro_dsae.metrics.load_or_train_judge, steps=2)
    monkeypatch.setattr(imputation.metrics, "load_or_train_judge", judge)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = ["--steps", "2", "--judged", "4", "--checkpoints", str(checkpoints)]
    command = ["imputation.py", *options, "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    imputation.main()
    found = json.loads(out.read_text())
    ways = {"impute", "impute_drawn", "impute_paths", "forecast", "hold", "rebuilt"}
    ball, sprites = found["ball"], found["sprites"]
    both = "constant_velocity", "constant_velocity_from_both_ends"
    assert {*ball["ways"]} == ways | {*both} and {*sprites["ways"]} == ways | {"line"}
    assert (ball["missing"], ball["sequences"], sprites["sequences"]) == ([10, 20], 4, 18)
    for scores in ball["ways"].values():
        low, value, high = (scores[f"incorrect_pixels{end}"] for end in ("_low", "", "_high"))
        assert low <= value <= high and scores["best_draw"] <= value + 1e-6
        assert sum(scores["by_frame"]) / 10 == pytest.approx(value, abs=1e-6)
    assert ball["ways"]["constant_velocity"]["incorrect_pixels"] < 0.06
    for scores in sprites["ways"].values():
        assert 0 <= scores["action"] <= 1 and 0 < scores["squared_error"] < 1

    with pytest.raises(SystemExit):
        imputation.main()
    assert "resume, or empty it first" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*command, "--resume"])
    imputation.main()
    again = json.loads(out.read_text())
    assert again["ball"] == ball and again["sprites"] == sprites

    tables, results = (importlib.import_module(name) for name in ("table", "table.results"))
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    results.result.cache_clear()
    for name in ("ball", "sprites"):
        head, *rows = tables.TABLES[f"imputation_{name}"]()
        assert {len(row) for row in rows} == {len(head)}
        assert len(rows) == len(found[name]["ways"]) and rows[0][0] == "`impute`"
    out.unlink()
    assert tables.TABLES["imputation_ball"]() == []
    results.result.cache_clear()


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
