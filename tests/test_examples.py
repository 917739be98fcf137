"""The examples, as a newcomer runs them; tests/test_docs.py has the README's code.

Examples run in this process, one thread and one cache of judges for all, on small networks; once also as a
command, by two processes. How they refuse is in ``test_example_options.py``.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import pyro_dsae
from pyro_dsae import metrics, priors, views
from pyro_dsae.data import BouncingBall, write_shapes

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run(examples, small_examples, tmp_path, monkeypatch, capsys) -> Callable[..., str]:
    """Runs an example in an empty folder; returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def main(name: str, *options: str) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", [f"{name}.py", *options])
            examples[name].main()
        return capsys.readouterr().out

    return main


RUN = {
    "seconds",
    "sequences_per_second",
    "peak_memory_bytes",
    "device",
    "seed",
    "steps",
    "parameters",
}
ELBO = {"train", "test", "kl_f", "kl_z", "bits_per_dim"}


def figures_of(folder: Path, pictures: str) -> dict:
    """``metrics.json`` of a run that has left its pictures and its model."""
    for name in pictures.split():
        assert (folder / name).stat().st_size > 1000, name
    assert (folder / "model" / "guide" / "model.safetensors").is_file()
    figures = json.loads((folder / "metrics.json").read_text())
    assert set(figures["run"]) >= RUN and set(figures["elbo"]) >= ELBO
    return figures


@pytest.fixture
def soon(monkeypatch):
    """A classifier of single digits that learns for 120 steps, and one of several for 20."""
    train = metrics.load_or_train_digit_classifier

    def enough(*digits, **options):
        steps = 120 if options.get("num_digits", 1) == 1 else 20
        return train(*digits, **{**options, "steps": steps})

    monkeypatch.setattr(metrics, "load_or_train_digit_classifier", enough)


@pytest.mark.usefixtures("soon")
def test_the_moving_mnist_example(run, tmp_path, data_root):
    options = ["--root", str(data_root / "mnist"), "--judged", "6", "--device", "cpu"]
    printed = run("moving_mnist", *options, "--steps", "2", "--batch-size", "4", "--out", "out")
    assert "MNIST's first 9000 test digits" in printed
    figures = figures_of(
        tmp_path / "out",
        "grid.png timeline.png new_frames.png samples.png swap.gif reconstructions.png loss.png",
    )
    assert set(figures["grid"]) >= {"digit_consistency", "verdict_consistency", "source_accuracy"}
    assert set(figures["position"]) >= {"r2", "r2_linear"}
    assert set(figures["by_frames"]) == {"2", "4", "8"}
    assert figures["classifier"] > 0.95
    run("moving_mnist", *options, "--evaluate", "out/model", "--out", "again")
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert {**again, "run": figures["run"]} == figures

    with pytest.raises(SystemExit):  # the digits to validate on are among those learnt from
        run("moving_mnist", *options, "--evaluate", "out/model", "--validate")

    two = ["--digits", "2", "--steps", "2", "--batch-size", "4", "--out", "two", "--validate"]
    assert "the first 7500 of MNIST's first 9000" in run("moving_mnist", *options, *two)
    figures = figures_of(tmp_path / "two", "samples.png timeline.png")
    assert figures["split"] == "validation"
    assert set(figures["grid"]) >= {"digit_consistency", "verdict_consistency", "source_accuracy"}
    assert set(figures["position"]) == {"inverse_r2", "chance"}


def test_the_sheets_example(run, tmp_path):
    options = ["--device", "cpu", "--steps", "2", "--batch-size", "4"]
    printed = run("sheets", *options, "--guides", "pairwise", "full", "--out", "out")
    pictures = "swap.png new_frames.png samples.png reconstructions.png loss.png"
    out = tmp_path / "out"
    figures = json.loads((out / "metrics.json").read_text())
    assert set(figures["static_accuracy"]) == {"1", "2", "4", "8", "16"}
    assert set(figures["guides"]) == {"pairwise", "full"}
    assert figures["guides"]["pairwise"]["static_accuracy"] == figures["static_accuracy"]
    assert min(figures["judge"].values()) > 0.99
    for guide in figures["guides"]:
        for name in pictures.split():
            assert (out / guide / name).stat().st_size > 1000, name
        assert re.search(rf"  {guide} +\d+\.\d\d%", printed)


def test_the_faces_example(run, tmp_path, data_root):
    options = ["--root", str(data_root / "orl-faces"), "--device", "cpu", "--steps", "2"]
    run("faces", *options, "--batch-size", "4", "--people", "30", "3", "--out", "out")
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    for people in (3, 30):
        pictures = "swap.png new_frames.png reconstructions.png timeline.png loss.png"
        for name in pictures.split():
            assert (tmp_path / "out" / f"people_{people}" / name).stat().st_size > 1000
        found = figures["by_people"][str(people)]
        assert found["nearest"].keys() >= {"f", "pixels"} and found["nearest"]["people"] == 10
        assert found["nearest_moved"]["pixels"] < found["nearest"]["pixels"]
    assert figures["nearest"] == found["nearest"]


def test_the_videos_example(run, tmp_path):
    pytest.importorskip("av")
    few = ["--device", "cpu", "--steps", "2", "--batch-size", "4"]
    printed = run("videos", *few, "--clips", "10", "--out", "out")
    pictures = "swap.gif swap.mp4 swap.png reconstructions.png forecast.gif walk.gif walk.png "
    pictures += "neighbours.png timeline.png loss.png"
    figures = figures_of(tmp_path / "out", pictures)
    assert figures["clips"] == {"train": 8, "test": 2}
    assert {*figures["probe"]} == {"colour", "shape", "path"}
    assert re.search(r"  shape +\d+\.\d%", printed)


def test_the_videos_example_on_forty_clips_of_ones_own(run, tmp_path):
    """Of 12 to 40 frames and three sizes, and one that cannot be read; then others by the same model."""
    pytest.importorskip("av")
    paths = write_shapes(tmp_path / "mine", 40, lengths=(12, 40))
    (tmp_path / "mine" / "bad.mp4").write_bytes(b"no video")
    options = ["--device", "cpu", "--steps", "2", "--batch-size", "4"]
    with pytest.warns(UserWarning, match="1 of 41 clips are left out: .*bad.mp4") as said:
        printed = run("videos", "--root", "mine", *options, "--rate", "10", "--out", "out")
    assert len([w for w in said if "left out" in str(w.message)]) == 1
    assert re.search(
        r"mine: 40 clips of \d+ to 3\d frames, 48 x 48, 64 x 64, 96 x 96, 12.5", printed
    )
    (window,) = re.findall(r"windows of (\d+) frames at 32 x 32", printed)
    assert re.search(r"\d clips are shorter, and are learnt from as they are", printed)
    found = np.load(tmp_path / "out" / "features.npz")
    longest = found["length"].max()
    assert {*found} == {"f", "z", "name", "length"}
    assert found["f"].shape == (40, 32) and found["z"].shape == (40, longest, 6)
    assert found["name"].tolist() == sorted(path.stem for path in paths)
    assert found["length"].min() < int(window) < longest <= 32
    present = ~np.isnan(found["z"]).any(-1)
    assert (present == (np.arange(longest) < found["length"][:, None])).all()
    assert np.isfinite(found["f"]).all()
    rows = (tmp_path / "out" / "features.csv").read_text().splitlines()
    assert len(rows) == 41 and rows[0].startswith("name,length,f0,") and "z_std5" in rows[0]
    name, length, *values = rows[1].split(",")
    assert (name, int(length)) == (found["name"][0], found["length"][0])
    z = found["z"][0, : int(length)]
    expected = np.concatenate([found["f"][0], z.mean(0), z.std(0)])
    assert np.array(values, float) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert "probe" not in json.loads((tmp_path / "out" / "metrics.json").read_text())

    with Image.open(tmp_path / "out" / "forecast.gif") as film:
        assert film.info["duration"] == 100  # ten a second, as they were taken

    write_shapes(tmp_path / "others", 3, lengths=(20, 40), seed=1)
    (learnt,) = Path("out").glob("model/data.json")
    kept = json.loads(learnt.read_text())
    assert (kept["data"], kept["size"], kept["rate"]) == ("Clips", [32, 32], 10)
    again = run("videos", "--root", "others", "--evaluate", "out/model", *options, "--out", "again")
    assert f"windows of {window} frames at 32 x 32" in again
    assert "others: 3 clips of" in again and "training" not in again
    with pytest.raises(SystemExit):
        run("videos", "--root", "others", "--evaluate", "out/model", "--size", "48", "--out", "no")


def test_the_series_example(run, tmp_path, monkeypatch):
    """On two files of the form in which the vowels come."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "data" / "JapaneseVowels"
    folder.mkdir(parents=True)
    for split, count in (("TRAIN", 8), ("TEST", 6)):
        lines = ["# of three channels", "@univariate false", "@data"]
        for i in range(count):
            x = generator.normal(i % 2, 0.1, (3, 7 + i)).round(3)
            channels = ":".join(",".join(map(str, channel)) for channel in x)
            lines.append(f"{channels}:{1 + i % 2}")
        (folder / f"JapaneseVowels_{split}.ts").write_text("\n".join(lines))
    monkeypatch.setenv("PYRO_DSAE_DATA", str(tmp_path / "data"))
    few = ["--device", "cpu", "--steps", "2", "--batch-size", "4"]
    printed = run("series", *few, "--out", "out")
    assert "14 series of 7 to 14 moments, 3 channels; windows of 7" in printed
    figures = figures_of(tmp_path / "out", "series.png loss.png")
    assert {*figures["speaker"]} == {"f", "z", "mean of the series", "chance"}
    assert figures["speaker"]["mean of the series"] == 1 and figures["speaker"]["chance"] == 0.5
    found = np.load(tmp_path / "out" / "features.npz")
    assert found["f"].shape == (14, 16) and found["z"].shape == (14, 14, 4)
    kept = json.loads((tmp_path / "out" / "model" / "data.json").read_text())
    assert kept["data"] == "Series" and kept["num_frames"] == 7
    assert kept["scaling"]["mean"] == pytest.approx([0.5] * 3, abs=0.2)
    again = run("series", *few, "--evaluate", "out/model", "--out", "again")
    figures["run"] = json.loads((tmp_path / "again" / "metrics.json").read_text())["run"]
    assert json.loads((tmp_path / "again" / "metrics.json").read_text()) == figures
    assert "training" not in again

    (tmp_path / "mine").mkdir()
    for i in range(5):
        np.savetxt(tmp_path / "mine" / f"{i}.csv", generator.normal(9, 2, (20, 2)), delimiter=",")
    run("series", *few, "--root", "mine", "--frames", "5", "--out", "own")
    assert "speaker" not in figures_of(tmp_path / "own", "series.png")


def test_the_probe_finds_what_is_there_and_no_more(examples):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 400)
    told = np.eye(4)[labels] @ generator.normal(size=(4, 8)) + 0.1 * generator.normal(size=(400, 8))
    names = [str(label) for label in labels]
    probe = examples["videos"].probe
    assert probe(told[:300], told[300:], names[:300], names[300:]) > 0.95
    noise = generator.normal(size=(400, 8))
    assert probe(noise[:300], noise[300:], names[:300], names[300:]) < 0.4


def test_the_speech_example(run, tmp_path, data_root):
    out, corpus = tmp_path / "out", tmp_path / "an4"
    test, *learn = data_root / "an4" / "test", *sorted((data_root / "an4" / "train").iterdir())[:8]
    for folder in (test, *learn):
        there = corpus / folder.relative_to(data_root / "an4")
        shutil.copytree(folder, there, copy_function=os.symlink)
    options = ["--root", str(corpus), "--device", "cpu", "--pairs", "2"]
    options += ["--steps", "2", "--batch-size", "4"]
    models = ["--models", "full_16", "fhvae_10"]
    printed = run("speech", *options, *models, "--out", "out")
    figures = json.loads((out / "metrics.json").read_text())
    features = {"full_16": {"f", "z"}, "fhvae_10": {"mu2", "z1"}, "baseline": {"mfcc"}}
    assert {name: {*found} for name, found in figures["verification"].items()} == features
    for found in figures["verification"].values():
        for scores in found.values():
            assert 0 < scores["low"] <= scores["eer"] <= scores["high"] < 0.6
            assert (scores["utterances"], scores["speakers"]) == (130, 10)
    found = figures["conversion"]
    assert found["model"] == "full_16" and {"pairs", "pitch_moved", "voiced"} <= {*found}
    assert 0 <= found["said_kept"] <= 1 and found["distortion_of_phase"] < 2 < found["distortion"]
    # Seven voices of eight, real speech told apart; after two training steps all conversions are one hum.
    assert found["taken"] < 0.9 < found["taken_of_real"] and 2 <= found["voices"] <= 8
    assert set(figures["run"]) >= RUN and set(figures["elbo"]) >= ELBO - {"kl_f", "kl_z"}
    assert set(figures["models"]) == {"full_16", "fhvae_10"}
    assert (out / "det.png").stat().st_size > 1000
    sounds = [path.name.rsplit("_", 1)[1] for path in (out / "full_16" / "conversion").iterdir()]
    expected = ["source.wav", "target.wav", "converted.wav", "reconstructed.wav"]
    assert sorted(name for name in sounds if name.endswith("wav")) == sorted(2 * expected)
    assert re.search(r"  baseline +\d+\.\d\d% \[", printed)


def test_the_speech_example_on_recordings_of_8_khz(run, tmp_path):
    """Of four speakers, two of them to test on: no interval, no empty bins, and the same from the model."""
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("librosa")
    generator, t = np.random.default_rng(0), np.arange(8_000) / 8_000
    for speaker in range(4):
        (tmp_path / "mine" / f"s{speaker}").mkdir(parents=True)
        for i in range(2):
            hum = sum(np.sin(2 * np.pi * k * (100 + 40 * speaker) * t) / k for k in range(1, 6))
            wave = 0.1 * hum * (1.2 + np.sin((5 + i) * t)) + 0.003 * generator.normal(size=len(t))
            soundfile.write(tmp_path / "mine" / f"s{speaker}" / f"{i}.wav", wave, 8_000)
    options = ["--root", "mine", "--device", "cpu", "--pairs", "2"]
    printed = run("speech", *options, "--steps", "2", "--batch-size", "4", "--out", "out")
    assert "2 others to test on, 8000 samples a second" in printed
    assert re.search(r"  factorised_64 +\d+\.\d\d% of 2 voices", printed)
    kept = json.loads((tmp_path / "out" / "model" / "data.json").read_text())
    assert kept["spectrum"] == {"sample_rate": 8_000, "bins": 200, "window": 0.05, "hop": 0.01}
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert figures["verification"]["factorised_64"]["f"]["low"] is None
    (sound, *_) = (tmp_path / "out" / "conversion").glob("*_converted.wav")
    assert soundfile.info(sound).samplerate == 8_000
    again = run("speech", *options, "--evaluate", "out/model", "--out", "again")
    assert "8000 samples a second" in again
    found = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert found["verification"] == figures["verification"] and found["elbo"] == figures["elbo"]
    with pytest.raises(SystemExit):
        run("speech", *options, "--evaluate", "out/model", "--sample-rate", "16000")


def test_the_bouncing_ball_example(run, examples, tmp_path, monkeypatch):
    pytest.importorskip("pymunk")
    few = partial(BouncingBall, num_sequences=64)
    monkeypatch.setattr(examples["bouncing_ball"], "BouncingBall", few)
    options = ["--device", "cpu", "--steps", "2", "--batch-size", "4", "--judged", "4"]
    printed = run("bouncing_ball", *options, "--out", "out")
    out = tmp_path / "out"
    figures = json.loads((out / "metrics.json").read_text())
    models = {"stochastic", "lstm_f", "lstm_c"}
    for key in ("reconstruction", "prediction", "one_ball", "continuation_nll", "physics", "rates"):
        assert set(figures[key]) == models
    for by_length in figures["rates"].values():
        rates = [by_length[length]["bits_per_frame"] for length in ("5", "10", "20", "30")]
        assert len({*rates}) == 4 and min(rates) > 0
    for scores in figures["prediction"].values():
        assert set(scores) == {"5", "10", "15", "20", "25"}
        for error in scores.values():
            assert 0 < error["best_of_20"] <= error["mean"] < 1
    assert set(figures["run"]) >= RUN and set(figures["elbo"]) >= ELBO
    films = [f"future_{name}.gif" for name in models]
    for name in [
        *films,
        "predictions.gif",
        "predictions.png",
        "reconstructions.png",
        "missing.png",
    ]:
        assert (out / name).stat().st_size > 1000, name
    assert re.search(r"  stochastic +\d+\.\d\d", printed)


def test_the_compare_guides_example(run, tmp_path):
    sizes = ["--samples", "30", "--sequences", "9", "--judged", "90", "--batch-size", "4"]
    options = ["--device", "cpu", *sizes, "--rates", "1", "4", "--budget", "2", "--out", "out"]
    options += ["--anneal", "1", "--freeze-model", "--prior", "linear_gaussian", "--guides"]
    printed = run("compare_guides", *options, "full", "structured")
    out = tmp_path / "out"
    figures = json.loads((out / "metrics.json").read_text())
    keys = ["elbo", "iw_bound", "ais_bound", "k_hat_below_0_7", "kl_f", "kl_z"]
    keys += ["swap_static", "swap_action", "seconds_per_step"]
    names = ("joint", "structured", "full")
    for guide in names:
        found = figures["guides"][guide]
        assert set(keys) <= set(found)
        assert found["elbo"]["mean"] < found["iw_bound"]["mean"]
        assert found["elbo"]["standard_error"] > 0
        assert re.search(rf"  {guide} +-\d+", printed)
        for name in (f"k_hat_{guide}.png", f"predictive_check_{guide}.png", f"{guide}_1/swap.png"):
            assert (out / name).stat().st_size > 1000, name
    assert (out / "comparison.png").stat().st_size > 1000
    assert set(figures["rates"]) == {"sequences", "frames"}
    for points in figures["rates"].values():
        assert set(points) == {"1", "4"} and points["1"]["bits_per_frame"] > 0
    assert (out / "rates.png").stat().st_size > 1000
    rows = (out / "runs.csv").read_text().splitlines()
    assert len(rows) == 7 and rows[0].startswith("guide,seed,")
    joint, *frozen = (
        load_file(out / f"{guide}_0" / "model" / "model" / "model.safetensors") for guide in names
    )
    assert all(torch.equal(joint[name], model[name]) for model in frozen for name in joint)

    first, second = (
        load_file(out / f"joint_{seed}" / "model" / "model" / "model.safetensors")
        for seed in (0, 1)
    )
    assert not any(torch.equal(first[name], second[name]) for name in first if "weight" in name)

    # What is finished is taken, and trained no more.
    (out / "full_1" / "checkpoints" / "figures.json").unlink()
    again = run("compare_guides", *options, "full", "--resume")
    assert again.count("training") == 1 + 4  # and those of rate and distortion


class NotANumber(priors.Autoregressive):
    """A prior whose numbers fail at the first step of training."""

    def transition(self, z, state=None):
        loc, scale, state = super().transition(z, state)
        return loc * math.nan, scale, state


def test_the_compare_priors_example(run, examples, tmp_path, monkeypatch):
    pytest.importorskip("pymunk")
    few = partial(BouncingBall, num_sequences=16)
    monkeypatch.setattr(examples["compare_priors"], "BouncingBall", few)
    monkeypatch.setitem(priors.PRIORS, "not_a_number", NotANumber)
    options = ["--device", "cpu", "--samples", "25", "--sequences", "9", "--judged", "9"]
    options += ["--budget", "2", "--batch-size", "4", "--seeds", "1", "--out", "out"]
    names = ["autoregressive", "mixture", "not_a_number"]
    printed = run("compare_priors", *options, "--priors", *names)
    out = tmp_path / "out"
    figures = json.loads((out / "metrics.json").read_text())
    both = {"elbo", "iw_bound", "kl_z", "seconds_per_step", "ms_per_frame"}
    expected = {
        "sprites": "inception_score h_y_given_x first_frame last_frame attributes "
        "reverse_action swap_static swap_action",
        "ball": "missing_5 missing_10 missing_15 missing_20 missing_25 one_ball",
    }
    for data, keys in expected.items():
        assert [*figures[data]] == names
        for name in names[:2]:
            found = figures[data][name]
            for key in (*keys.split(), *both):
                assert found[key].keys() == {"mean", "standard_error"}
                assert found[key]["mean"] >= 0 or key in ("elbo", "iw_bound", "kl_z")
            for key in ("elbo", "iw_bound"):
                low, mean, high = (found[f"{key}{e}"]["mean"] for e in ("_low", "", "_high"))
                assert low < mean < high
            assert re.search(rf"  {name} +-\d+ \[-\d+, -\d+\]", printed)
        failed = figures[data]["not_a_number"]["elbo"]
        assert failed["mean"] is None and "training: the loss is nan at step 0" in failed["reason"]
        for name in (f"samples_{data}.png", f"samples_{data}.gif"):
            assert (out / name).stat().st_size > 1000, name
    assert "speed_error" in figures["ball"]["mixture"]
    assert [(row["data"], row["prior"]) for row in figures["runs"]] == [
        (data, name) for data in expected for name in names
    ]
    assert printed.count("from the top: autoregressive, mixture\n") == 2
    rows = (out / "runs.csv").read_text().splitlines()
    assert len(rows) == 7 and rows[0].startswith("data,prior,seed,")
    weights = {
        name: load_file(out / "ball" / f"{name}_0" / "model" / "model" / "model.safetensors")
        for name in names[:2]
    }
    assert "prior.which.weight" in weights["mixture"].keys() - weights["autoregressive"].keys()

    # What is finished is taken, and trained no more; what failed is not finished.
    assert "training," not in run(
        "compare_priors", *options, "--priors", *names[:2], "--data", "ball", "--resume"
    )
    again = json.loads((out / "metrics.json").read_text())
    assert again["ball"]["mixture"] == figures["ball"]["mixture"] and "sprites" not in again


def test_the_compare_recipes_example(run, examples, tmp_path, monkeypatch):
    monkeypatch.setattr(examples["compare_recipes"], "FRAME_JUDGE", 20)
    names = ["elbo", "cdsvae", "dbse", "grouped"]
    options = ["--device", "cpu", "--size", "16", "--judged", "45", "--batch-size", "8"]
    options += ["--budget", "2", "--seeds", "1", "--out", "out", "--recipes", *names]
    printed = run("compare_recipes", *options, "--data", "procedural", "changing")
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    rows = figures["runs"]
    assert [(row["data"], row["recipe"], row["seed"]) for row in rows] == [
        (data, name, 0) for data in ("procedural", "changing") for name in names
    ]
    common = ("disentanglement", "completeness", "informativeness", "information_f_z", "elbo")
    own = {
        "procedural": ("swap_static", "swap_action", "swap_direction", "inception_score"),
        "changing": ("swap_hair", "swap_action_type", "swap_colours", "swap_direction"),
    }
    for row in rows:
        assert all(math.isfinite(row[key]) for key in (*common, *own[row["data"]])), row
        assert row["sequences"] == 16 and row["steps"] == 2
        assert row["knows"] == examples["recipes"].RECIPES[row["recipe"]].knows
    assert figures["changing"]["dbse"]["elbo"]["mean"] == rows[6]["elbo"]
    for name in names:
        assert re.search(rf"  {name} +knows \w", printed) and re.search(
            rf"  {name} +0\.\d", printed
        )
    assert "training," not in run("compare_recipes", *options, "--resume")


@pytest.mark.usefixtures("soon")
def test_recipes_are_chosen_without_a_look_at_what_the_test_is_of(run, tmp_path, data_root):
    """On every data set: what is judged is of the training characters, digits and speakers."""
    options = ["--device", "cpu", "--size", "16", "--judged", "45", "--batch-size", "4"]
    options += ["--budget", "1", "--seeds", "1", "--out", "out"]
    options += ["--recipes", "any_frames_settling", "--muon", "all"]
    printed = run(
        "compare_recipes", *options, "--validate", "--data", "procedural", "digits", "speech"
    )
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert figures["split"] == "validation"
    assert [(row["data"], row["split"]) for row in figures["runs"]] == [
        (name, "validation") for name in ("procedural", "digits", "speech")
    ]
    assert "procedural: 8100 sequences to learn from" in printed
    assert 0 < figures["speech"]["any_frames_settling"]["eer_f"]["mean"] < 1


def test_speakers_to_choose_settings_on_are_training_speakers(examples, data_root):
    load, root = examples["speech"].load, data_root / "an4"
    train, test = load(root, 0.15, 0)
    learn, validation = load(root, 0.15, 0, validate=True)
    assert len(validation.speakers) == 10
    assert sorted([*learn.speakers, *validation.speakers]) == train.speakers
    assert not {*test.speakers} & {*train.speakers}
    assert torch.equal(validation.scaling.mean, learn.scaling.mean)
    again = load(root, 0.15, 1, validate=True)[1].speakers
    assert again != validation.speakers == load(root, 0.15, 0, validate=True)[1].speakers
    few, none = load(root / "train", 0.15, 0, validate=True)  # a corpus without splits of its own
    assert len(none.speakers) == 10 and not {*few.speakers} & {*none.speakers}
    assert len(few.speakers) + 10 < len(train.speakers)
    with pytest.raises(
        ValueError, match="more training speakers in .* than the 10 to test on, got 8"
    ):
        load(root / "test", 0.2, 0, validate=True)


def test_a_comparison_that_was_stopped_does_nothing_twice(
    run, examples, tmp_path, monkeypatch, capsys
):
    """What is finished is taken as it is, with the same options; what is not is trained."""
    began, fit, stop = [], pyro_dsae.fit, [2]

    def fits(*args, **options):
        began.append(Path(options["checkpoint_dir"]).parent.name)
        if len(began) > stop[0]:
            raise KeyboardInterrupt
        return fit(*args, **options)

    monkeypatch.setattr(pyro_dsae, "fit", fits)
    options = ["--device", "cpu", "--size", "16", "--judged", "45", "--batch-size", "4"]
    options += ["--recipes", "elbo", "dbse", "--seeds", "2", "--out", "out"]
    with pytest.raises(KeyboardInterrupt):
        run("compare_recipes", *options, "--budget", "1")
    assert began == ["elbo_0", "dbse_0", "elbo_1"]
    kept = (tmp_path / "out" / "procedural" / "elbo_0" / "checkpoints" / "figures.json").read_text()

    stop[0] = 99
    for other, words in (("2", "made with budget (1, None), now (2, None)"), ("1", "")):
        began.clear()
        capsys.readouterr()
        if words:
            with pytest.raises(SystemExit):
                run("compare_recipes", *options, "--budget", other, "--resume")
            assert words in capsys.readouterr().err and began == []
        else:
            run("compare_recipes", *options, "--budget", other, "--resume")
    assert began == ["elbo_1", "dbse_1"]
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text())["runs"]
    assert [(row["recipe"], row["seed"]) for row in rows] == [
        (name, seed) for seed in (0, 1) for name in ("elbo", "dbse")
    ]
    assert json.loads(kept)["elbo"] == rows[0]["elbo"] and "options" not in rows[0]


def test_a_training_that_goes_on_keeps_the_steps_of_its_seconds(
    run, examples, tmp_path, monkeypatch
):
    comparison, measured = examples["comparison"], []

    def within(*args):
        measured.append(args)
        return 2 + len(measured)

    monkeypatch.setattr(comparison, "steps_within", within)
    options = ["--device", "cpu", "--size", "16", "--judged", "45", "--batch-size", "4"]
    options += ["--recipes", "elbo", "--seeds", "1", "--out", "out", "--budget", "1s"]
    run("compare_recipes", *options)
    done = tmp_path / "out" / "procedural" / "elbo_0" / "checkpoints" / "figures.json"
    assert json.loads(done.read_text())["steps"] == 3
    done.unlink()  # stopped before it was judged
    run("compare_recipes", *options, "--resume")
    assert json.loads(done.read_text())["steps"] == 3 and len(measured) == 1
    run("compare_recipes", *options)
    assert json.loads(done.read_text())["steps"] == 4


def test_a_recipe_that_asks_for_what_is_not_known(examples):
    """Each recipe trains, and says by itself what it cannot do without."""
    recipes = examples["recipes"]
    x = torch.rand(8, 4, 3, 16, 16)
    data = pyro_dsae.data.Sequences(x, {"who": torch.arange(8) // 2})
    pair = (views.FewFrames(2), views.Recolour())
    known = recipes.Known(num_frames=4, size=8, views=pair, group="who")
    sizes = {"f_dim": 3, "z_dim": 2, "channels": 2, "hidden": 8}
    for name, recipe in recipes.RECIPES.items():
        guide = recipe.guide((3, 16, 16), **recipe.options(known), **sizes)
        history = pyro_dsae.fit(
            pyro_dsae.DSAE((3, 16, 16), **sizes),
            guide,
            data,
            steps=2,
            batch_size=4,
            kl_weights=recipe.weights(known, 2),
            elbo=recipe.elbo(known),
            device="cpu",
            progress=False,
        )
        assert len(history.losses) == 2, name
        assert recipe.needs in (None, "views", "group")
    assert {name for name, r in recipes.RECIPES.items() if r.needs} == {
        "cdsvae",
        "views",
        "grouped",
    }


def test_content_may_be_paid_once_for_a_recording_of_which_a_step_sees_a_part(examples):
    recipes = examples["recipes"]
    part, named = recipes.Known(2, 8, share=0.1), recipes.RECIPES
    whole = named["any_frames_settling"].kl_weights(20)
    weights = named["any_frames_settling"].weights(part, 20)
    for step in (0, 5, 19):
        assert weights["f"](step) == pytest.approx(0.1 * whole["f"](step))
        assert weights["z"](step) == whole["z"](step)
    assert named["weights"].weights(part, 20) == named["weights"].kl_weights(20)
    constant = recipes.Recipe(recording=True)
    assert constant.weights(part, 20)["f"](7) == 0.1 and not constant.weights(
        recipes.Known(2, 8), 20
    )


SMALL_SPRITES = """
import sys
from dataclasses import replace

sys.path.insert(0, {folder!r})
import sprites

quick = sprites.resized(sprites.PRESETS["quick"], 16)
sprites.PRESETS["quick"] = replace(quick, channels=4, hidden=16, prior_steps=2, decoder={{"patch": 2}})
sprites.main()
"""


def test_the_sprites_example_writes_all_that_it_promises(run, tmp_path):
    """Trained by two processes, evaluated by one; and evaluated again."""
    script = tmp_path / "small_sprites.py"
    script.write_text(SMALL_SPRITES.format(folder=str(ROOT / "examples")))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    options = ["--judged", "90", "--device", "cpu"]
    training = ["--steps", "2", "--batch-size", "8", "--out", "out"]
    done = subprocess.run(
        [*torchrun, str(script), *options, *training],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    printed, out = done.stdout, tmp_path / "out"
    assert printed.count("training, the quick preset") == printed.count("pictures\n") == 1
    assert printed.splitlines()[-1] == f"Figures, pictures and the model are in {out.resolve()}"
    names = "swap reconstructions fixed_f fixed_z samples forecast trajectories loss latents_arviz"
    films = "swap fixed_f fixed_z samples"
    files = [f"{name}.png" for name in names.split()] + [f"{name}.gif" for name in films.split()]
    figures = figures_of(out, " ".join(files))
    expected = {
        "judge": {"skin", "trousers", "tops", "hair", "action"},
        "protocol_a": {"skin", "trousers", "tops", "hair", "action"},
        "protocol_b": {"static_accuracy", "inception_score", "h_y_given_x", "h_y"},
        "protocol_b_reverse": {"action", "action_type", "direction"},
        "swap": {"static_accuracy", "action", "action_type", "direction"},
        "swap_against_truth": {"static_accuracy", "action", "mse"},
    }
    for group, keys in expected.items():
        assert keys <= set(figures[group]), group
    assert set(figures["protocol_a"]["hair"]) == {"disagreement", "kl_recon", "kl_random"}
    assert figures["run"]["steps"] == 2
    assert figures["judge"]["reliable"] and figures["split"] == "test"

    printed = run(
        "sprites", "--evaluate", "out/model", *options, "--second-judge", "--out", "again"
    )
    evaluated = json.loads((tmp_path / "again" / "metrics.json").read_text())
    second = evaluated.pop("second_judge")
    same = {name: figures[name] for name in ("run", "elbo")}  # the bound is of fewer sequences here
    assert {**evaluated, **same} == figures
    assert (
        set(second) == {*expected, "samples", "real"} - {"swap_against_truth"}
        and second["judge"]["reliable"]
    )
    assert second["protocol_a"] != figures["protocol_a"]
    assert "By the second judge\n\nJudge, on real sequences" in printed


def test_settings_are_chosen_on_characters_held_out_of_the_training_ones(
    run, tmp_path, monkeypatch
):
    seen, load_or_train_judge = [], metrics.load_or_train_judge

    def seeing(train, test, **options):
        seen.append((len(train), len(test), train.split, test.split))
        return load_or_train_judge(train, test, **options)

    monkeypatch.setattr(metrics, "load_or_train_judge", seeing)
    options = ["--device", "cpu", "--steps", "1", "--batch-size", "4", "--judged", "9"]
    run("sprites", *options, "--validate", "--out", "out")
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert figures["split"] == "validation"
    # A judge of its own, that has not seen them either.
    assert seen == [(8100, 900, "learn", "validation")]
