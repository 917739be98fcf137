"""The house: imports run one way, and what has moved is still found."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import pyro_dsae
from pyro_dsae._moved import MOVED

PACKAGE = Path(pyro_dsae.__file__).parent

# A room may import from the floors below its own, and from nothing else.
FLOORS = [
    {"_compat", "_moved", "_numbers", "hub", "versions"},
    {"data", "nn", "program"},
    {"priors", "likelihoods", "views"},
    {"objectives"},
    {"checks", "models", "guides", "handlers"},
    {"control"},
    {"saving", "training", "inference_data"},
    {"conversion", "metrics"},
    {"plotting"},
    {"app", "__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imports(path: Path) -> set[str]:
    """The rooms of the package that a file imports, inside its functions too."""
    inside = path.relative_to(PACKAGE).parent.parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = inside[: len(inside) - node.level + 1]
            module = [*base, *(node.module or "").split(".")] if node.module else [*base]
            found |= {module[0]} if module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyro_dsae."):
            found.add(node.module.split(".")[1])
    return found


def rooms() -> list[tuple[str, Path]]:
    files = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    return [(path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path) for path in files]


def test_every_room_is_on_a_floor():
    assert {room for room, _ in rooms()} == set(FLOOR)


def test_imports_run_one_way():
    upwards = [
        f"{path.relative_to(PACKAGE)} imports {other}"
        for room, path in rooms()
        for other in imports(path) - {room}
        if FLOOR[other] >= FLOOR[room]
    ]
    assert upwards == []


def test_the_house_is_as_the_papers_say():
    """A model never imports a guide, nor a guide a model; data sets import none of the programs."""
    seen = {(room, other) for room, path in rooms() for other in imports(path)}
    assert ("models", "guides") not in seen and ("guides", "models") not in seen
    assert {other for room, other in seen if room == "data"} <= {"data", "_numbers"}


NAMES = {
    "batches": ["Batch", "Batched", "Batches", "as_dataset", "split"],
    "checkpoints": ["Checkpoints", "History", "InterruptGuard", "load", "save"],
    "distributions": ["AutoregressiveNormal", "ExchangeableNormal"],
    "elbo": ["LogProb", "ReparametrisedELBO"],
    "handlers": ["KLWeights", "PosteriorMean", "latent_sites", "piecewise_linear"],
    "inference": ["NonFiniteLossError", "elbo_terms", "evaluate_elbo", "fit"],
    "sequences": ["Sequences"],
    "nn": [
        *("Channels", "ConvDecoder", "ConvEncoder", "ConvMaps", "FrameShape", "GaussianHead"),
        *("LSTMRollout", "LSTMTransition", "MLP", "ModulatedDecoder", "PairSummary"),
        *("PooledEncoder", "SequenceSummary", "check_frame_shape", "check_sequences"),
        *("frame_decoder", "frame_encoder", "keep_variance", "over_frames"),
    ],
}
STAYED = {"nn", "PosteriorMean", "latent_sites"}


@pytest.mark.parametrize(("module", "name"), [(m, n) for m, names in NAMES.items() for n in names])
def test_old_import_paths_work(module, name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = getattr(importlib.import_module(f"pyro_dsae.{module}"), name)
    said = [str(w.message) for w in caught if w.category is DeprecationWarning]
    if {module, name} & STAYED:
        assert said == []
        return
    (message,) = said
    assert message.startswith(f"pyro_dsae.{module}.{name} is pyro_dsae.")
    home, _, last = message.split()[2].rpartition(".")
    assert getattr(importlib.import_module(home), last) is found
    assert caught[-1].filename == __file__ or "importlib" not in caught[-1].filename


def test_every_moved_module_is_tried():
    assert set(MOVED) <= set(NAMES)


def test_old_imports_in_a_script_of_before():
    script = (
        "import pyro_dsae.inference, pyro_dsae.distributions\n"
        "from pyro_dsae.handlers import KLWeights, PosteriorMean\n"
        "from pyro_dsae.elbo import ReparametrisedELBO\n"
        "print(pyro_dsae.inference.fit is pyro_dsae.fit)\n"
        "from pyro_dsae import inference\n"
        "inference.nothing\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always::DeprecationWarning:__main__", "-c", script],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "True\n"
    assert "DeprecationWarning: pyro_dsae.elbo.ReparametrisedELBO is pyro_dsae.objectives" in (
        done.stderr
    )
    assert "module 'pyro_dsae.inference' has no attribute 'nothing'" in done.stderr
