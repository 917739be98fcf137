"""A run as a folder that ships: weights in half precision, the figures of these, and a model card.

    python examples/sprites.py --preset lpc --root DIR
    python pretrained/make.py runs/sprites lpc-sprites-64
    hf upload OWNER/lpc-sprites-64 pretrained/lpc-sprites-64

The example evaluates the weights as they ship, with the options that it was trained with; what else is given
is added to these, such as another ``--root``. No figure is typed: the card is written from ``metrics.json``.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

import pyro_dsae

HERE = Path(__file__).resolve().parent
CARDS = yaml.safe_load((HERE / "cards.yaml").read_text())
LARGEST = 4_000_000  # bytes of a folder
OURS = ("--out", "--resume", "--overwrite")  # options that say where we work, and on what
TRAINING = (*OURS, "--steps", "--epochs", "--batch-size", "--device")


def without(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """The words of a command but for these options and their values."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in names:
        options.add_argument(name, nargs="?")
    return options.parse_known_args(words)[1]


def anywhere(command: str) -> str:
    """A command as anyone types it in a checkout: data in ``DIR``, results where they go by default."""
    words = " ".join(without(command.split(), OURS))
    words = re.sub(r"\S*/((?:examples|pretrained)/\S+)", r"\1", words)
    return re.sub(r"(--(?:root|published)[ =])\S+", r"\1DIR", words)


def evaluated(folder: Path, command: str, more: Sequence[str]) -> dict[str, Any]:
    """``metrics.json`` of the example of ``command``, evaluating the pair in ``folder``."""
    name = re.search(r"examples/(\w+\.py)", command)
    if name is None or "--evaluate" in command:
        raise SystemExit(f"RUN must be of an example that has trained, got: {command}")
    options = without(command[name.end() :].split(), TRAINING)
    script = HERE.parent / "examples" / name[1]
    with TemporaryDirectory() as out:
        where = ["--evaluate", str(folder), "--out", out]
        subprocess.run([sys.executable, str(script), *where, *options, *more], check=True)
        return json.loads(Path(out, "metrics.json").read_text())


def figures(name: str, metrics: Mapping[str, Any]) -> dict[str, str]:
    """What the card shows, by the words for it; by a second judge too, where there is one."""

    def find(path: str, among: Any) -> str:
        value = reduce(lambda part, key: part[key], path.split("."), among)
        return f"{100 * value:.2f}" if paths[path].endswith("%") else f"{value:.5g}"

    paths, second = CARDS[name]["figures"], metrics.get("second_judge", {})
    return {
        **{words: find(path, metrics) for path, words in paths.items()},
        **{
            f"second judge; {words}": find(path, second)
            for path, words in paths.items()
            if path.partition(".")[0] in second
        },
    }


def card(folder: Path) -> ModelCard:
    """The card of a folder of that name, from its ``metrics.json`` and its weights."""
    words, metrics = CARDS[folder.name], json.loads((folder / "metrics.json").read_text())
    model, guide = pyro_dsae.load(folder)
    found = figures(folder.name, metrics)
    data = ModelCardData(
        license=words["licence"],
        library_name="pyro-dsae",
        pipeline_tag=words["pipeline"],
        tags=["disentanglement", "pyro", "variational-autoencoder", "sequences"],
        datasets=words.get("datasets"),
        model_name=folder.name,
        eval_results=[
            EvalResult(
                words["pipeline"],
                folder.name,
                words["data"],
                "custom",
                float(value),
                metric_name=kind,
            )
            for kind, value in found.items()
        ],
    )
    return ModelCard.from_template(
        data,
        template_str=(HERE / "card.md").read_text(),
        words=words,
        name=folder.name,
        folder=f"pretrained/{folder.name}",
        model=type(model).__name__,
        guide=type(guide).__name__,
        parameters=metrics["run"]["parameters"],
        megabytes=f"{sum(path.stat().st_size for path in folder.rglob('*.safetensors')) / 1e6:.1f}",
        frame=", ".join(map(str, model.frame_shape)),
        values="in [0, 1]" if len(model.frame_shape) > 1 else "scaled",
        training=metrics["training"],
        minutes=f"{metrics['training']['seconds'] / 60:.0f}",
        run=metrics["run"],
        figures=found,
    )


def main() -> None:
    """Round, evaluate, write the card; print what rounding has changed."""
    options = argparse.ArgumentParser(
        description="A run as a folder that ships.", allow_abbrev=False
    )
    options.add_argument("run", type=Path, help="what an example left: model/ and metrics.json")
    options.add_argument("name", choices=tuple(CARDS), help="of the folder and of the card")
    options.add_argument("--into", type=Path, default=HERE, help="where the folder is made")
    args, more = options.parse_known_args()
    before = json.loads((args.run / "metrics.json").read_text())
    folder = args.into.resolve() / args.name
    pyro_dsae.save(folder, *pyro_dsae.load(args.run / "model"), dtype=torch.float16)
    for name in ("data.json", "learnt.json"):  # the scaling of the data; which of them it has seen
        if (beside := args.run / "model" / name).is_file():
            shutil.copy(beside, folder)
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    if size > LARGEST:
        raise SystemExit(f"{folder} must hold at most {LARGEST} bytes of weights, got {size}")

    metrics = evaluated(folder, before["run"]["command"], more)
    metrics.pop("models", None)  # of the bouncing ball: the same once more
    metrics["training"] = before["run"]
    for entry in (metrics["training"], metrics["run"]):
        entry["command"] = anywhere(entry["command"])
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    card(folder).save(folder / "README.md")
    was = figures(args.name, before)
    for kind, value in figures(args.name, metrics).items():
        print(f"  {kind:70}{was.get(kind, ''):>12}{value:>12}")
    print(
        f"\nAs trained, and in half precision; the weights, their figures and the card are in {folder}"
    )


if __name__ == "__main__":
    main()
