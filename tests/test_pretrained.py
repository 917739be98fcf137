"""Weights that ship: rounded, evaluated as they are, with a card of which no figure is typed."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import huggingface_hub
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

import pyro_dsae

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path.parent for path in (ROOT / "pretrained").glob("*/index.json"))
RESULTS = {
    "lpc-sprites-64": "sprites_lpc_64_seed0",
    "procedural-sprites": "sprites_procedural_quick_seed0",
    "digits": "moving_mnist_quick",
    "sheets": "sheets_procedural_guides",
    "speech": "speech_an4_quick",
    "bouncing-ball": "bouncing_ball_quick",
}
"""A run of each kind."""


@pytest.fixture
def make(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "pretrained")
    return importlib.import_module("make")


def test_every_card_has_a_run_to_be_tried_on(make):
    assert {*make.CARDS} == {*RESULTS}


@pytest.mark.parametrize("name", RESULTS)
def test_a_card_is_written_from_figures_alone(make, make_pair, tmp_path, name):
    folder = tmp_path / name
    pyro_dsae.save(folder, *make_pair(), dtype=torch.float16)
    metrics = json.loads((ROOT / "benchmarks" / "results" / f"{RESULTS[name]}.json").read_text())
    trained = {**metrics["run"], "command": "python examples/a.py --steps 7", "seed": 31}
    (folder / "metrics.json").write_text(json.dumps({**metrics, "training": trained}))
    make.card(folder).save(folder / "README.md")

    card = ModelCard.load(folder / "README.md")
    assert card.data.license in ("mit", "cc-by-sa-3.0") and card.data.library_name == "pyro-dsae"
    assert card.data.pipeline_tag and card.data.model_name == name
    found = make.figures(name, metrics)
    results = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert results == {kind: float(value) for kind, value in found.items()}
    for kind, value in found.items():
        assert f"| {kind} | {value} |\n" in card.text
    for words in (
        "| command | `python examples/a.py --steps 7` |",
        "| seed | 31 |",
        f"| hardware | {trained['device']} |",
        f'pyro_dsae.load("pretrained/{name}")',
        "`DSAE` with its posterior\n`Factorised`",
    ):
        assert words in card.text
    assert "{{" not in card.content and "None" not in card.content


def test_the_artists_are_credited(make):
    terms = make.CARDS["lpc-sprites-64"]["terms"]
    for words in ("lpc.opengameart.org", "AUTHORS.txt", "CC-BY-SA 3.0", "GPL 3.0"):
        assert words in terms


def test_a_second_judge_has_its_say(make):
    path = ROOT / "benchmarks" / "results" / "sprites_procedural_quick_seed0.json"
    metrics = json.loads(path.read_text())
    metrics["second_judge"] = {"swap": {**metrics["swap"], "action": 0.25}}
    found = make.figures("procedural-sprites", metrics)
    assert found["second judge; swap: the action, of nine, is that of the dynamics, %"] == "25.00"
    assert len(found) == len(make.CARDS["procedural-sprites"]["figures"]) + 2


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (
            "python /home/me/dsae/examples/sprites.py --root /data/lpc --preset lpc --out /tmp/run",
            "python examples/sprites.py --root DIR --preset lpc",
        ),
        (
            "torchrun --nproc_per_node 2 examples/speech.py --resume --models full_16 --root=/a/b",
            "torchrun --nproc_per_node 2 examples/speech.py --models full_16 --root=DIR",
        ),
        (
            "python examples/sprites.py --evaluate /elsewhere/pretrained/lpc --out x --judged 90",
            "python examples/sprites.py --evaluate pretrained/lpc --judged 90",
        ),
    ],
)
def test_a_command_names_no_folder_of_this_machine(make, command, shown):
    assert make.anywhere(command) == shown


@pytest.fixture
def trained(make_pair, tmp_path) -> Path:
    """What a run of the sprites example leaves, of an untrained pair at 16 x 16."""
    folder = tmp_path / "run"
    pyro_dsae.save(folder / "model", *make_pair())
    (folder / "model" / "data.json").write_text("{}")
    path = ROOT / "benchmarks" / "results" / "sprites_procedural_quick_seed0.json"
    metrics = json.loads(path.read_text())
    metrics["run"]["command"] = f"python {ROOT}/examples/sprites.py --steps 3 --judged 9 --out run"
    metrics["swap"]["action"] = 0.125
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_a_folder_ships_and_its_command_gives_its_figures_again(
    make, examples, trained, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    into = tmp_path / "pretrained"
    name = "procedural-sprites"
    monkeypatch.setattr(sys, "argv", ["make.py", str(trained), name, "--into", str(into)])
    make.main()
    folder = into / name
    files = {path.name for path in folder.iterdir()}
    assert files == {
        *("model", "guide", "index.json", "data.json"),
        *("metrics.json", "README.md"),
    }
    metrics = json.loads((folder / "metrics.json").read_text())
    card = (folder / "README.md").read_text()
    assert metrics["training"]["command"] == "python examples/sprites.py --steps 3 --judged 9"
    (script,) = re.findall(r"```sh\n(.*?)\n```", card)
    assert script == f"python examples/sprites.py --evaluate pretrained/{name} --judged 9"
    assert str(tmp_path) not in card and str(tmp_path) not in json.dumps(metrics)
    shown = capsys.readouterr().out
    action = f"{100 * metrics['swap']['action']:.2f}"
    assert re.search(rf"swap: the action.* 12\.50 +{re.escape(action)}\n", shown)

    # Of 16 x 16, as the model, whatever the preset; and the same in another process.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", [*shlex.split(script)[1:], "--out", "again", "--device", "cpu"]
    )
    examples["sprites"].main()
    again = json.loads(Path("again/metrics.json").read_text())
    drop = ("run", "training")
    assert {k: again[k] for k in again if k not in drop} == {
        k: metrics[k] for k in metrics if k not in drop
    }


def test_a_run_of_no_training_is_refused(make, trained, tmp_path, monkeypatch):
    metrics = json.loads((trained / "metrics.json").read_text())
    metrics["run"]["command"] = "python examples/sprites.py --evaluate model"
    (trained / "metrics.json").write_text(json.dumps(metrics))
    monkeypatch.setattr(sys, "argv", ["make.py", str(trained), "sheets", "--into", str(tmp_path)])
    with pytest.raises(SystemExit, match="RUN must be of an example that has trained, got: python"):
        make.main()


def test_a_folder_that_is_too_large_is_refused(make, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(make, "LARGEST", 1000)
    monkeypatch.setattr(sys, "argv", ["make.py", str(trained), "sheets", "--into", str(tmp_path)])
    with pytest.raises(
        SystemExit, match=r"sheets must hold at most 1000 bytes of weights, got \d+"
    ):
        make.main()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_ships_is_small_and_its_card_is_that_of_its_figures(make, folder):
    assert (folder / "README.md").read_text() == make.card(folder).content
    weights = [*folder.rglob("model.safetensors")]
    assert sum(path.stat().st_size for path in weights) <= make.LARGEST
    kinds = {w.dtype for path in weights for w in load_file(path).values() if w.is_floating_point()}
    assert kinds == {torch.float16}


def test_an_example_evaluates_a_model_of_the_hub(examples, make_pair, tmp_path, monkeypatch):
    """By its id, at the size of the model's frames, not at the preset's."""
    home = tmp_path / "models--someone--figures"
    pyro_dsae.save(home / "snapshots" / ("0" * 40), *make_pair(), dtype=torch.float16)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    parser = examples["options"].parser("sprites", "")
    args = parser.parse_args(["--evaluate", "someone/figures", "--device", "cpu"])
    run = examples["common"].Run(parser, args)
    presets = examples["sprites"].PRESETS
    assert presets["quick"].size == 64 and run.preset(presets).size == 16
    with pytest.raises(SystemExit):
        examples["common"].Run(parser, parser.parse_args(["--evaluate", "someone/else"]))
