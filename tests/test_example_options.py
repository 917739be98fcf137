"""What the examples refuse, before any work: one line, the exit code of a usage error, and no folder left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pyro_dsae
from pyro_dsae.data import Sequences
from pyro_dsae.nn import ConvDecoder, ConvEncoder, SortedEncoder
from pyro_dsae.priors import Autoregressive, Mixture
from pyro_dsae.views import PixelDropout

FOLDER = Path(__file__).parents[1] / "examples"
SHARED = {"common", "comparison", "options", "recipes", "voices"}  # what several examples import
NAMES = sorted({path.stem for path in FOLDER.glob("*.py")} - SHARED)
SEVERAL = {
    "bouncing_ball",
    "compare_guides",
    "compare_priors",
    "compare_recipes",
}  # models, by default
SINGLE = sorted({*NAMES} - SEVERAL)
ROOT = {
    name: ["--root", "."] for name in ("speech", "faces", "series")
}  # asked for before all else


@pytest.fixture
def refused(examples, tmp_path, monkeypatch, capsys) -> Callable[..., str]:
    """Runs an example in an empty folder, or in one that the test has filled; returns the error of usage."""
    monkeypatch.chdir(tmp_path)

    def main(name: str, *options: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *options])
        with pytest.raises(SystemExit) as stop:
            examples[name].main()
        assert stop.value.code == 2
        assert sorted(tmp_path.rglob("*")) == before
        usage, error = capsys.readouterr().err.split(f"\n{name}.py: error: ")
        assert usage.startswith(f"usage: {name}.py") and error.count("\n") == 1
        return error

    return main


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--steps 0", "argument --steps: must be a whole number from 1 on, got 0"),
        ("--steps 2.5", "argument --steps: must be a whole number from 1 on, got 2.5"),
        ("--epochs 0", "argument --epochs: must be a whole number from 1 on, got 0"),
        ("--batch-size 0", "argument --batch-size: must be a whole number from 1 on, got 0"),
        ("--seed -1", "argument --seed: must be a whole number from 0 on, got -1"),
        ("--device banana", "argument --device: invalid choice: 'banana'"),
        ("--steps 2 --epochs 1", "--epochs: not allowed with argument --steps"),
        ("--resume --overwrite", "--overwrite: not allowed with argument --resume"),
        ("--resume --evaluate model", "--evaluate: not allowed with argument --resume"),
    ],
)
def test_options_of_all_examples(refused, name, options, words):
    assert words in refused(name, *options.split())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("sprites --judged 8", "--judged: must be a whole number from 9 on, got 8"),
        ("sprites --judged 2665", "--judged must be at most 2664, the test sequences, got 2665"),
        ("sprites --validate --judged 901", "at most 900, the validation sequences, got 901"),
        ("sprites --filters 0", "--filters: must be a whole number from 1 on, got 0"),
        ("sheets --repeats 0", "--repeats: must be a whole number from 1 on, got 0"),
        ("moving_mnist --judged 0", "--judged: must be a whole number from 4 on, got 0"),
        ("moving_mnist --digits 0", "--digits: must be a whole number from 1 on, got 0"),
        ("bouncing_ball --judged 0", "--judged: must be a whole number from 1 on, got 0"),
        ("series --frames 1", "--frames: must be a whole number from 2 on, got 1"),
        ("videos --clips 7", "--clips: must be a whole number from 8 on, got 7"),
        ("videos --frames 1", "--frames: must be a whole number from 2 on, got 1"),
        ("videos --rate 0", "--rate: must be a number above 0, got 0"),
        ("videos --rate 5 --stride 2", "--stride: not allowed with argument --rate"),
        ("faces --held-out 1", "--held-out: must be between 0 and 1, got 1"),
        ("faces --held-out nan", "--held-out: must be between 0 and 1, got nan"),
        ("speech --held-out 0", "--held-out: must be between 0 and 1, got 0"),
        (
            "speech --sample-rate 48000",
            "--sample-rate: must be a whole number from 8000 to 24000, got 48000",
        ),
        ("speech --pairs 0", "--pairs: must be a whole number from 1 on, got 0"),
        (
            "compare_guides --guides structured",
            "--guides structured goes with --prior linear_gaussian",
        ),
        (
            "compare_guides --guides structured --prior linear_gaussian --model unordered",
            "--guides structured goes with --prior linear_gaussian",
        ),
        ("sprites --plain --prior mixture", "--plain, as --preset paper, is the paper's own model"),
        ("sprites --preset paper --content-prior flow", "--preset paper, is the paper's own model"),
        ("sprites --preset lpc", "LPC sprites need --root, the folder of their layers"),
        ("sprites --data lpc", "LPC sprites need --root, the folder of their layers"),
        ("sprites --download", "LPC sprites need --root, the folder of their layers"),
        ("sprites --data procedural --root .", "--root and --download go with --data lpc"),
        ("sheets --root .", "--root and --download go with --data lpc"),
        ("compare_guides --root .", "--root goes with --data lpc"),
        ("compare_recipes --data procedural speech --root .", "--root goes with --data lpc"),
        ("compare_guides --model unordered --prior kalman", "--prior is of --model dsae"),
        ("compare_guides --rates 1 --budget 9s", "--rates goes with a --budget of steps"),
        ("compare_guides --steps 9", "here --budget says how long each run takes"),
        ("compare_priors --epochs 9", "here --budget says how long each run takes"),
        ("bouncing_ball --models lstm_f --guide full", "--guide is of the stochastic model"),
        ("moving_mnist --published .", "they go with --preset paper --digits 2"),
        ("moving_mnist --published . --preset paper", "they go with --preset paper --digits 2"),
        ("compare_guides --sequences 3", "--sequences: must be a whole number from 9 on, got 3"),
        ("compare_guides --sequences 9999", "--sequences must be at most 2664"),
        ("compare_guides --judged 33", "--judged: must be a whole number from 34 on, got 33"),
        ("compare_guides --judged 9999", "--judged must be at most 2664"),
        ("compare_guides --samples 24", "--samples: must be a whole number from 25 on, got 24"),
        ("compare_guides --seeds 0", "--seeds: must be a whole number from 1 on, got 0"),
        ("compare_guides --budget 0", "--budget: must be a whole number from 1 on, got 0"),
        ("compare_guides --budget 0s", "--budget: must be seconds above 0, got 0"),
        ("compare_guides --budget nans", "--budget: must be seconds above 0, got nan"),
        ("compare_guides --rates 1 -2", "--rates: must be a finite number from 0 on, got -2"),
        ("compare_guides --evaluate model", "--evaluate is for one pair"),
        ("compare_priors --priors LSTM", "--priors: invalid choice: 'LSTM' (choose from"),
        ("compare_priors --data lpc", "--data: invalid choice: 'lpc' (choose from"),
        ("compare_priors --judged 8", "--judged: must be a whole number from 9 on, got 8"),
        ("compare_priors --judged 9999", "--judged must be at most 2664"),
        ("compare_priors --sequences 2665", "--sequences must be at most 2664"),
        ("compare_priors --budget 1m", "--budget: must be a whole number from 1 on, got 1m"),
        ("compare_priors --evaluate model", "--evaluate is for one pair"),
        ("compare_recipes --recipes vae", "--recipes: invalid choice: 'vae' (choose from"),
        ("compare_recipes --data faces", "--data: invalid choice: 'faces' (choose from"),
        ("compare_recipes --judged 33", "--judged: must be a whole number from 34 on, got 33"),
        ("compare_recipes --size 16 --judged 9999", "--judged must be at most 2664"),
        (
            "compare_recipes --size 16 --validate --judged 901",
            "at most 900, the validation sequences",
        ),
        ("compare_recipes --evaluate model", "--evaluate is for one pair"),
    ],
)
def test_options_of_one_example(refused, command, words):
    assert words in refused(*command.split())


@pytest.mark.parametrize(
    ("command", "missing", "empty"),
    [
        ("sprites", "root is not a folder: there", "root lacks the sheet there"),
        ("sprites --data lpc", "root is not a folder: there", "root lacks the sheet there"),
        ("sheets --data lpc", "root is not a folder: there", "root lacks the sheet there"),
        ("compare_guides --data lpc", "root is not a folder: there", "root lacks the sheet there"),
        ("compare_recipes --data lpc", "root is not a folder: there", "root lacks the sheet there"),
        ("moving_mnist", "root is not a folder: there", "root must hold MNIST's IDX files"),
        ("videos", "root is not a folder: there", "root must hold a folder of images a sequence"),
        ("series", "no series at there", "there must hold .csv or .npy files, got none"),
        ("faces", "root is not a folder: there", "root must hold a folder of images a sequence"),
        ("speech", "root is not a folder: there", "root must hold SPEAKER/UTTERANCE.wav"),
    ],
)
def test_a_folder_of_data_that_is_not_there_or_holds_none(
    refused, tmp_path, command, missing, empty
):
    assert missing in refused(*command.split(), "--root", "there")
    (tmp_path / "there").mkdir()
    assert empty in refused(*command.split(), "--root", "there")


@pytest.mark.parametrize("name", SINGLE)
def test_a_model_that_is_not_there(refused, name):
    words = refused(name, *ROOT.get(name, []), "--evaluate", "nowhere")
    assert words == "no model in nowhere: index.json is missing\n"


def test_one_model_is_not_evaluated_under_several_names(refused):
    words = refused("bouncing_ball", "--evaluate", "nowhere")
    assert words == "--evaluate is of one model: choose one of stochastic, lstm_f, lstm_c\n"
    assert "no model" in refused("bouncing_ball", "--models", "lstm_f", "--evaluate", "nowhere")


def test_a_model_is_evaluated_under_its_own_name(refused, tmp_path):
    sizes = {"f_dim": 4, "z_dim": 2, "channels": 2, "hidden": 8}
    ball, speech = tmp_path / "ball", tmp_path / "speech"
    pyro_dsae.save(
        ball, pyro_dsae.LSTMf((1, 32, 32), **sizes), pyro_dsae.LSTMGuide((1, 32, 32), **sizes)
    )
    words = refused("bouncing_ball", "--models", "stochastic", "--evaluate", "ball")
    assert words == "--evaluate ball holds LSTMf and LSTMGuide, which is not --models stochastic\n"
    sizes["f_dim"] = 16
    pyro_dsae.save(speech, pyro_dsae.DSAE((200,), **sizes), pyro_dsae.Factorised((200,), **sizes))
    for name in ("full_16", "factorised_64"):
        words = refused("speech", "--root", ".", "--models", name, "--evaluate", "speech")
        assert words.endswith(f"Factorised with f of 16, which is not --models {name}\n")
    sizes = {"z1_dim": 3, "z2_dim": 4, "channels": 4, "hidden": 16}
    pyro_dsae.save(
        tmp_path / "fhvae",
        pyro_dsae.FHVAE((200,), **sizes),
        pyro_dsae.FHVAEGuide((200,), utterances=3, **sizes),
    )
    options = ["--root", ".", "--evaluate", "fhvae", "--models"]
    words = refused("speech", *options, "factorised_16")
    assert words.endswith("holds FHVAE and FHVAEGuide, which is not --models factorised_16\n")
    assert "which is not" not in refused("speech", *options, "fhvae_0")  # what is missing is speech


def test_an_out_that_is_a_file(refused, tmp_path):
    write_people(tmp_path / "people", [4, 4, 4])
    (tmp_path / "out").touch()
    assert "--out must be a folder" in refused("faces", "--root", "people", "--out", "out")


def write_people(root: Path, pictures: list[int], side: int = 32) -> None:
    """A folder of noise a person, with so many pictures."""
    generator = np.random.default_rng(0)
    for i, count in enumerate(pictures):
        (root / f"person{i}").mkdir(parents=True)
        for j in range(count):
            noise = generator.integers(0, 256, (side, side), dtype=np.uint8)
            Image.fromarray(noise).save(root / f"person{i}" / f"{j}.png")


@pytest.mark.parametrize(
    ("pictures", "options", "words"),
    [
        ([4, 4], "", "there must be more people in people than the 2 to test on, got 2"),
        ([4] * 4, "--held-out 0.9", "there must be more people in people than the 4 to test on"),
        ([3, 3, 3], "", "must hold at least 4 pictures to test on, got 3"),
        ([4] * 4, "--people 1 3", "--people must be at most 2, those to learn from, got 3"),
    ],
)
def test_too_few_faces(refused, tmp_path, pictures, options, words):
    write_people(tmp_path / "people", pictures)
    assert words in refused("faces", "--root", "people", *options.split())


def test_pictures_of_different_sizes(refused, tmp_path):
    write_people(tmp_path / "people", [4, 4, 4])
    Image.new("L", (33, 32)).save(tmp_path / "people" / "person1" / "2.png")
    words = "2.png must be 32 x 32 pixels, as 0.png, got 33 x 32 (--mixed-sizes allows it)"
    assert words in refused("faces", "--root", "people")
    words = refused("faces", "--root", "people", "--mixed-sizes", "--evaluate", "nowhere")
    assert words == "no model in nowhere: index.json is missing\n"


def write_speakers(root: Path, utterances: list[int]) -> None:
    """A folder of noise a speaker, with so many recordings of half a second."""
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("librosa")
    generator = np.random.default_rng(0)
    for i, count in enumerate(utterances):
        (root / f"speaker{i}").mkdir(parents=True)
        for j in range(count):
            noise = 0.1 * generator.standard_normal(8000)
            soundfile.write(root / f"speaker{i}" / f"{j}.wav", noise, 16000)


def test_too_few_speakers(refused, tmp_path):
    write_speakers(tmp_path / "two", [2, 2])
    words = "there must be more speakers in two than the 2 to test on, got 2"
    assert words in refused("speech", "--root", "two")
    write_speakers(tmp_path / "short", [1, 1, 1])
    words = (
        "at least 2 speakers to test on, with 2 utterances of one of them, got [1, 1] utterances"
    )
    assert words in refused("speech", "--root", "short")
    write_speakers(tmp_path / "split" / "train", [2, 2])
    write_speakers(tmp_path / "split" / "test", [2])
    assert "at least 2 speakers to test on" in refused("speech", "--root", "split")


def test_what_has_been_learnt_from_is_not_tested_on(refused, examples, tmp_path, make_pair):
    """Which people are held out is chosen by --seed: of another seed they were learnt from."""
    common = examples["common"]
    write_people(tmp_path / "people", [4] * 8)
    names = [f"people/person{i}" for i in range(8)]
    learn, _ = common.held_out(8, 0.25, 0, "people")
    for seed in range(1, 9):  # one that holds out somebody else
        both = {*learn} & {*common.held_out(8, 0.25, seed, "people")[1]}
        if both:
            break
    learnt = json.dumps([common._hashed(names[i]) for i in learn])
    pyro_dsae.save(tmp_path / "model", *make_pair((3, 32, 32), model=pyro_dsae.Unordered))
    (tmp_path / "model" / "learnt.json").write_text(learnt)
    options = ["--root", "people", "--seed", str(seed)]
    words = refused("faces", *options, "--evaluate", "model")
    assert words.startswith(f"--evaluate model has learnt from {len(both)} of the 2 to test on, by")
    (tmp_path / "out" / "checkpoints").mkdir(parents=True)
    (tmp_path / "out" / "learnt.json").write_text(learnt)
    words = refused("faces", *options, "--resume", "--out", "out")
    assert words.startswith(
        "--resume goes on in out, which has learnt from other data: give --seed"
    )


def test_a_model_for_other_frames(refused, tmp_path, make_pair):
    write_people(tmp_path / "people", [4, 4, 4])
    pyro_dsae.save(tmp_path / "model", *make_pair((3, 16, 16), model=pyro_dsae.Unordered))
    (tmp_path / "out").mkdir()
    words = refused("faces", "--root", "people", "--evaluate", "model", "--out", "out")
    assert "must take frames of (1, 16, 16), as the data has, got a model of (3, 16, 16)" in words
    options = ["--evaluate", "model", "--size", "32", "--out", "out"]
    words = refused("sprites", *options)
    assert "must take frames of (3, 32, 32), as the data has, got a model of (3, 16, 16)" in words
    pyro_dsae.save(tmp_path / "spectra", *make_pair((200,)))
    words = refused("sprites", "--evaluate", "spectra", "--out", "out")
    assert words == "size must be a positive multiple of 16, got 200\n"


@pytest.mark.parametrize("name", NAMES)
def test_help_says_a_default_once_and_only_where_there_is_one(examples, monkeypatch, capsys, name):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as stop:
        examples[name].main()
    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    assert not re.search(r"\(default: (None|False|\[\])\)|\(default[^()]*\) \(default", text)
    for words in (
        "steps (default: the preset's) --epochs",
        "seed SEED of weights, data and draws (default: 0)",
        f"folder of results (default: runs/{name})",
        "checkpoints of an unfinished run, which are deleted; those of a finished run need no",
    ):
        assert words in text


def test_an_example_is_a_command(tmp_path):
    done = subprocess.run(
        [sys.executable, str(FOLDER / "sprites.py"), "--steps", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "sprites.py: error: argument --steps: must be a whole number from 1 on, got 0"
    )


def test_sizes_of_the_paper_and_views_only_where_they_are_ours(examples):
    sprites = examples["sprites"]
    presets = sprites.PRESETS
    paper = presets["paper"]
    model, guide = sprites.make_pair(paper, "full", plain=True)
    assert (guide.f_dim, guide.z_dim) == (256, 32)
    assert guide.content_view is guide.dynamics_view is None
    assert guide.encoder.maps.shape == (256, 4, 4) and guide.summary.lstm.hidden_size == 512
    assert type(model.decoder) is ConvDecoder and type(model.prior) is Autoregressive

    model, guide = sprites.make_pair(presets["lpc"], "factorised")
    assert guide.dynamics_view is not None and isinstance(model.prior, Mixture)
    assert guide.encoder.maps.canvas.patch == guide.content_encoder.maps.canvas.patch == 2
    assert model.decoder.canvas.patch == 4 and len(model.decoder.dense) > 1
    assert type(guide.content_view) is PixelDropout
    assert type(guide.content_encoder) is SortedEncoder

    model, guide = sprites.make_pair(presets["quick"], "factorised")
    assert model.frame_shape == (3, 64, 64) and type(guide.content_encoder) is SortedEncoder

    model, guide = sprites.make_pair(sprites.COMPARED["quick"], "factorised")
    x = torch.rand(2, 8, *model.frame_shape)
    assert guide.content_view(x).shape == (2, 2, *model.frame_shape)
    assert type(guide.content_encoder) is ConvEncoder


def test_some_sequences_are_of_all_actions(examples):
    actions = torch.arange(900) % 9  # as characters are stored
    some = examples["common"].some
    taken = some(actions, 100)
    assert len(taken) == len({*taken.indices}) == 100
    assert taken.indices == some(actions, 100).indices
    assert {*map(int, taken)} == {*range(9)}
    assert some(actions, 900).indices == some(actions, 9999).indices == [*range(900)]


def test_patches_grow_with_the_frame(examples):
    sprites = examples["sprites"]
    lpc = sprites.resized(sprites.PRESETS["lpc"], 32)
    assert (lpc.size, lpc.patch, lpc.decoder["patch"]) == (32, 1, 2)
    assert lpc.decoder["channels"] == sprites.PRESETS["lpc"].decoder["channels"]
    assert sprites.resized(sprites.COMPARED["quick"], 64).patch == 2
    paper = sprites.PRESETS["paper"]
    assert sprites.resized(paper, 32) == replace(paper, size=32)
    assert sprites.resized(paper, 64) == paper


@pytest.mark.parametrize("steps", [1, 2, 7, 10_000])
def test_weights_of_any_number_of_steps(examples, steps):
    sprites = examples["sprites"]
    for preset in (*sprites.PRESETS.values(), sprites.COMPARED["quick"]):
        for site, weight in sprites.weights(steps, preset).items():
            points = {"f": ((0.15, 1.0), (0.4, 4.0)), **preset.kl}[site]
            assert weight(0) == points[0][1] and weight(2 * steps + 9) == points[-1][1]
            if steps == 10_000:
                for i, (share, value) in enumerate(points):
                    assert weight(int(share * steps) + i) == value


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("whose", ["decoder", "frames", "all"])
def test_whose_matrices_muon_turns(examples, whose, plain):
    sprites = examples["sprites"]
    preset = replace(sprites.PRESETS["lpc"], hidden=8, muon_for=whose)
    model, guide = sprites.make_pair(preset, "factorised", plain=plain)
    parameters = [*model.parameters(), *guide.parameters()]
    _, turned = preset.optimizer(model, guide)(parameters).param_groups
    parts = {
        "decoder": [model.decoder],
        "frames": [model.decoder, guide.encoder if plain else guide.content_encoder],
        "all": [model, guide],
    }[whose]
    matrices = {id(p) for part in parts for p in part.parameters() if p.ndim > 1}
    assert {id(p) for p in turned["params"]} == matrices and turned["lr"] == preset.muon_rate


@pytest.fixture
def start(examples, tmp_path, monkeypatch, make_pair) -> Callable[..., None]:
    """Starts an example in ``out`` that trains parts ``a`` and ``b`` for four steps.

    It may be ``interrupted`` in one of them, after the second step or the first of a resumed run.
    """
    monkeypatch.chdir(tmp_path)
    common, options = examples["common"], examples["options"]
    preset = common.Preset(16, 5, 3, channels=4, hidden=16, batch_size=4, steps=4, lr=1e-3)
    x = torch.rand(8, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def main(*argv: str, interrupted: str | None = None) -> None:
        parser = options.parser("out", "")
        args = parser.parse_args(["--out", "out", "--device", "cpu", *argv])
        parts = [] if args.evaluate else ["a", "b"]
        run = common.Run(parser, args, parts)
        for name in parts or [""]:

            def weight(step: int, stop: bool = name == interrupted) -> float:
                if stop and step > 0:
                    signal.raise_signal(signal.SIGINT)
                return 1.0

            run.part(name).trained(
                make_pair, Sequences(x), preset, kl_weights=lambda _, weight=weight: {"f": weight}
            )
        run.finish({})

    return main


@pytest.fixture
def interrupt(start) -> Callable[..., None]:
    """Starts it and interrupts it in a part."""

    def main(part: str, *argv: str) -> None:
        with pytest.raises(KeyboardInterrupt, match="go on from"):
            start(*argv, interrupted=part)

    return main


@pytest.fixture
def asked(start, capsys) -> Callable[[], bool]:
    """Starts it anew: whether it refuses, and asks what to do with what is there."""

    def main() -> bool:
        with pytest.raises(SystemExit) as stop:
            start()
        error = capsys.readouterr().err.splitlines()[-1]
        resume = "--out out holds an unfinished run: --resume goes on from out/a/checkpoints/step-"
        others = "; or give another --out, or --overwrite to begin anew"
        return stop.value.code == 2 and resume in error and error.endswith(others)

    return main


def steps(part: str) -> list[int]:
    """Of the checkpoints of a part."""
    return sorted(int(path.name[5:]) for path in Path("out", part, "checkpoints").glob("step-*"))


@pytest.mark.parametrize("part", ["a", "b"])
def test_an_interrupted_run_is_not_deleted_by_the_next(start, interrupt, asked, part):
    interrupt(part)
    before = steps("a"), steps("b")
    assert before == (([2], []) if part == "a" else ([4], [2]))
    assert asked()
    assert (steps("a"), steps("b")) == before
    start("--resume")
    assert steps(part) == [2, 4]


def test_an_interrupted_run_is_overwritten_if_asked(start, interrupt):
    interrupt("b")
    start("--overwrite")
    assert steps("a") == steps("b") == [4]


def test_a_finished_run_may_be_overwritten_until_it_is_gone_on_with(start, interrupt, asked):
    start()
    start()
    interrupt("a")
    assert steps("b") == []  # those of the run before are not for --resume to take
    assert asked()
    start("--overwrite")
    interrupt("b", "--resume", "--steps", "6")
    assert asked()
    assert steps("a") == [4, 6]
    assert steps("b") == [4, 5]


def test_an_evaluation_leaves_checkpoints_as_they_are(start, interrupt, asked, make_pair):
    interrupt("a")
    pyro_dsae.save("model", *make_pair())
    start("--evaluate", "model", "--out", "out/a")
    assert steps("a") == [2]
    assert asked()
