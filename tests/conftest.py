"""Small pairs of model and guide, and the folder of shared data."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from types import ModuleType

# A process a core, a thread a process: set before torch is imported, and for those that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# librosa's compiled functions are kept on disk: two workers that write them at once leave what crashes.
os.environ["NUMBA_CACHE_DIR"] = str(
    Path(gettempdir(), "pyro-dsae-tests-" + os.environ.get("PYTEST_XDIST_WORKER", "alone"))
)

import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor

import pyro_dsae
from pyro_dsae import guides, models

SIZES = {"f_dim": 5, "z_dim": 3, "channels": 4, "hidden": 16}
# Other sites, a z without an axis of time, or a part of the model: these go with their own alone.
APART = {"FHVAE", "FHVAEGuide", "LSTMc", "LSTMf", "LSTMGuide", "Structured"}
MODELS = [getattr(models, name) for name in models.__all__ if name not in APART]
GUIDES = [getattr(guides, name) for name in guides.__all__ if name not in APART]
Pair = tuple[torch.nn.Module, torch.nn.Module]


def every_pair() -> dict[tuple[str, str], Callable[[tuple[int, ...]], Pair]]:
    """All models with all guides that go with them, by their names, for frames of a shape."""

    def small(model, guide):
        return lambda frame_shape: (model(frame_shape, **SIZES), guide(frame_shape, **SIZES))

    def fhvae(frame_shape):
        sizes = {"z1_dim": 3, "z2_dim": 5, "channels": 4, "hidden": 16}
        guide = pyro_dsae.FHVAEGuide(frame_shape, utterances=5, **sizes)
        return pyro_dsae.FHVAE(frame_shape, **sizes), guide

    def structured(frame_shape):
        model = pyro_dsae.DSAE(frame_shape, **SIZES, prior="linear_gaussian")
        return model, pyro_dsae.Structured(frame_shape, **SIZES, prior=model.prior)

    lstm = (pyro_dsae.LSTMf, pyro_dsae.LSTMc)
    pairs = [(m, g) for m in MODELS for g in GUIDES] + [(m, pyro_dsae.LSTMGuide) for m in lstm]
    made = {(m.__name__, g.__name__): small(m, g) for m, g in pairs}
    made["DSAE", "Structured"] = structured
    return {**made, ("FHVAE", "FHVAEGuide"): fhvae}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    pyro.set_rng_seed(0)


@pytest.fixture
def make_pair() -> Callable[..., Pair]:
    """A small model and guide, with the same weights at each call."""

    def make(
        frame_shape=(3, 16, 16),
        guide=pyro_dsae.Factorised,
        model=pyro_dsae.DSAE,
        seed=0,
        **kwargs,
    ) -> Pair:
        pyro.set_rng_seed(seed)
        sizes = {**SIZES, **kwargs}
        made = model(frame_shape, **sizes)
        for name in ("likelihood", "modulated"):
            sizes.pop(name, None)
        return made, guide(frame_shape, **sizes)

    return make


def q_of(guide, x, f):
    """q(z | f, x) at a given f."""
    trace = poutine.trace(poutine.condition(guide, data={"f": f})).get_trace(x)
    return trace.nodes["z"]["fn"].mean


def as_on_a_gpu(*modules: torch.nn.Module) -> None:
    """Lay the weights of each LSTM into one storage, as cuDNN does."""
    for lstm in (part for module in modules for part in module.modules()):
        if isinstance(lstm, torch.nn.LSTM):
            weights = [*lstm.parameters()]
            flat = torch.cat([weight.detach().flatten() for weight in weights])
            for weight, part in zip(weights, flat.split([w.numel() for w in weights]), strict=True):
                weight.data = part.view_as(weight)


def kept_bytes(forward: Callable[[], object]) -> list[int]:
    """Sizes of the storages that a forward pass keeps for its backward pass."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return [*storages.values()]


@pytest.fixture
def x() -> Tensor:
    """12 sequences of 4 colour frames of 16 x 16."""
    return torch.rand(12, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def _data_root() -> Path:
    default = Path(__file__).parents[2] / "shared" / "data"
    return Path(os.environ.get("PYRO_DSAE_DATA", default))


@pytest.fixture
def data_root() -> Path:
    """The folder of shared data sets."""
    root = _data_root()
    if not root.is_dir():
        pytest.skip(f"no shared data at {root}; set PYRO_DSAE_DATA to its folder")
    return root


@pytest.fixture(scope="session")
def examples(tmp_path_factory) -> Iterator[dict[str, ModuleType]]:
    """The modules of the examples, by name; what they train once and keep is kept for the session."""
    folder = Path(__file__).parents[1] / "examples"
    names = [path.stem for path in folder.glob("*.py")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.syspath_prepend(folder)
        others = {name: sys.modules.pop(name) for name in names if name in sys.modules}
        found = {name: importlib.import_module(name) for name in names}
        for (
            name
        ) in names:  # as those of benchmarks/, some of which have the same names, are to be found
            del sys.modules[name]
        sys.modules.update(others)
        yield found


@pytest.fixture
def small_examples(examples, monkeypatch) -> None:
    """Examples whose quick presets have narrow networks, and which take the ELBO of few sequences.

    Characters are drawn at 16 x 16, which a judge learns as well.
    """
    some = examples["common"].some
    for name in (
        "sprites",
        "sheets",
        "moving_mnist",
        "faces",
        "speech",
        "bouncing_ball",
        "videos",
        "series",
    ):
        presets = examples[name].PRESETS
        size = 16 if name == "sheets" else presets["quick"].size
        small = replace(presets["quick"], size=size, channels=4, hidden=16)
        if name == "sprites":
            compared = replace(examples[name].COMPARED["quick"], size=16, channels=4, hidden=16)
            monkeypatch.setitem(examples[name].COMPARED, "quick", compared)
            small = replace(examples[name].resized(small, 16), prior_steps=2, decoder={"patch": 2})
        monkeypatch.setitem(presets, "quick", small)
    for module in examples.values():
        if hasattr(module, "some"):
            monkeypatch.setattr(module, "some", lambda data, size: some(data, min(size, 32)))
