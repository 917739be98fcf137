"""What all examples share: the run, its figures, what is printed last."""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from options import DEVICES
from pyro.infer import ELBO
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

import pyro_dsae
from pyro_dsae import plotting
from pyro_dsae.data import cache_dir
from pyro_dsae.training import Muon, fit_priors

Pair = tuple[nn.Module, nn.Module]
GUIDES = {
    "factorised": pyro_dsae.Factorised,
    "full": pyro_dsae.Full,
    "pairwise": pyro_dsae.Pairwise,
    "pooled": pyro_dsae.Pooled,
}
CACHE = cache_dir()
Points = tuple[tuple[float, float], ...]
"""Shares of the steps and weights there, between which these are interpolated."""


@dataclass(frozen=True)
class Preset:
    """Sizes and schedule of a run."""

    size: int
    f_dim: int
    z_dim: int
    channels: int | tuple[int, ...]
    hidden: int
    batch_size: int
    steps: int
    lr: float
    schedule: str = "cosine"
    average: float | None = None  # of the steps: whose weights are kept, in the mean
    prior: str | dict[str, Any] = "autoregressive"
    content_prior: str | dict[str, Any] = "normal"
    patch: int = 1
    muon_rate: float | None = None  # in place of Adam
    muon_for: str = "decoder"  # or "frames", f's encoder too, or "all": whose matrices
    few_frames: int | None = None  # of which f is inferred in evaluation too
    content_encoder: bool | str = True
    decoder: Mapping[str, Any] = field(default_factory=dict)  # sizes of its own
    kl: Mapping[str, Points] = field(default_factory=dict)  # weights of the KL terms
    prior_steps: int = 0  # of the priors alone, after the others

    @property
    def networks(self) -> dict[str, Any]:
        """The sizes that a model and its guide have in common."""
        names = ("f_dim", "z_dim", "channels", "hidden", "patch")
        return {name: getattr(self, name) for name in names}

    def optimizer(self, model: nn.Module, guide: nn.Module) -> Callable[..., Muon] | None:
        """Muon for the matrices of :attr:`muon_for`, where there is a rate; or None, Adam."""
        if self.muon_rate is None:
            return None
        matrices = None if self.muon_for == "all" else [*model.decoder.parameters()]
        if matrices and self.muon_for == "frames":
            matrices += (guide.content_encoder or guide.encoder).parameters()
        return partial(Muon, lr=self.lr, matrices=matrices, rate=self.muon_rate)


SMALL = Preset(
    32,
    f_dim=32,
    z_dim=6,
    channels=16,
    hidden=128,
    batch_size=32,
    steps=2600,
    lr=4e-3,
    prior="mixture",
    content_prior="flow",
)
"""Sequences in order, on a CPU."""

P = TypeVar("P", bound=Preset)


@dataclass(frozen=True)
class SetPreset(Preset):
    """For frames in no order: also how many of a set's frames a step sees."""

    frames: int = 2


APPENDIX = SetPreset(
    64,
    f_dim=512,
    z_dim=2,
    channels=(256,) * 4,
    hidden=512,
    batch_size=120,
    steps=43_000,
    lr=5e-4,
    schedule="warmup_cosine",
    frames=4,
)
"""The sizes of Helminger et al. (AABI 2018); learning rate and number of frames are ours."""


def held_out(size: int, share: float, seed: int, what: str) -> tuple[list[int], list[int]]:
    """Which of ``size`` to learn from, and which others, a ``share`` but 2 at least, to test on.

    ValueError, which calls them ``what``, if that leaves none to learn from.
    """
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed)).tolist()
    others = max(2, round(share * size))
    if size <= others:
        raise ValueError(f"there must be more {what} than the {others} to test on, got {size}")
    return order[others:], order[:others]


LEARNT = "learnt.json"  # beside weights and checkpoints: what is learnt from, see Run.learns
FINISHED = "finished"  # a file beside the checkpoints of a run that nobody needs to go on from


class Run:
    """The clock and the folder of one run.

    Under ``torchrun`` all processes train. The first one also writes, prints and evaluates; the others
    wait for it, however long that takes, until :meth:`alone` ends them.
    """

    def __init__(
        self,
        parser: argparse.ArgumentParser,
        options: argparse.Namespace,
        parts: Sequence[str] = (),
    ) -> None:
        """A run with the ``options`` that ``parser`` has read.

        :param parts: folders below ``--out``, if it trains several models.
        """
        self.options, self.error, self.start = options, parser.error, time.perf_counter()
        self.processes = PartialState(self.device.type == "cpu", timeout=timedelta(days=7))
        self.out: Path = options.out
        self.steps, self.rate = 0, 0.0  # of the training, and its sequences a second
        self.pair: Pair | None = None  # of --evaluate
        self.learnt: list[str] = []
        self._folders = [self.out / name / "checkpoints" for name in ("", *parts)]
        self._before = [folder for folder in self._folders if folder.is_dir()]
        if options.evaluate is not None:
            if parts:
                self.error(f"--evaluate is of one model: choose one of {', '.join(parts)}")
            self._before.clear()
            with self.usage():
                self.pair = pyro_dsae.load(options.evaluate)
        elif not (options.resume or options.overwrite):
            self._keep_unfinished()
        self.processes.wait_for_everyone()

    def _keep_unfinished(self) -> None:
        """An error of usage if a run that did not finish has left checkpoints here."""
        for folder in self._before:
            saved = sorted(folder.glob("step-*"))
            if saved and not (folder / FINISHED).is_file():
                self.error(
                    f"--out {self.out} holds an unfinished run: --resume goes on from {saved[-1]}; "
                    "or give another --out, or --overwrite to begin anew"
                )

    def begin(self) -> None:
        """Make the folder; what an earlier run has left to go on from goes, but for ``--resume``."""
        if self.is_first:
            try:
                self.out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                self.error(f"--out must be a folder: {error}")
            while self._before:
                folder = self._before.pop()
                if self.options.resume:
                    (folder / FINISHED).unlink(missing_ok=True)
                else:
                    shutil.rmtree(folder)
                    (folder.parent / LEARNT).unlink(missing_ok=True)
            if self.learnt and self.pair is None:
                (self.out / LEARNT).write_text(json.dumps(self.learnt) + "\n")
        self.processes.wait_for_everyone()

    @property
    def checkpoints(self) -> Path:
        """The folder to go on from."""
        return self.out / "checkpoints"

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes, prints and evaluates."""
        return self.processes.is_main_process

    def first(self) -> AbstractContextManager[None]:
        """Around what is fetched or made once and kept: one process does, the others find it."""
        return self.processes.local_main_process_first()

    @contextmanager
    def usage(self) -> Iterator[None]:
        """Around what reads folders that the user names: an error of theirs is one of usage."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, ImportError, ValueError) as error:
            self.error(str(error))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around the data sets: :meth:`first` and :meth:`usage`."""
        with self.usage(), self.first():
            yield

    def alone(self) -> None:
        """End the other processes: nothing is left to train."""
        self.processes.wait_for_everyone()
        self.processes.destroy_process_group()
        if not self.is_first:
            sys.exit()

    def learns(self, of: Path | str, learnt: Iterable[str], asked: Iterable[str]) -> None:
        """Say what is learnt from and what is tested on, by names that differ, which are kept as hashes.

        An error of usage if the model of ``--evaluate`` has learnt from some of what is ``asked``, or the run
        that ``--resume`` goes on has learnt from something else.

        :param of: what the names are of: a folder, or a name of data.
        """
        of = of.resolve().name if isinstance(of, Path) else of
        self.learnt, tested = (
            sorted(_hashed(f"{of}/{name}") for name in names) for names in (learnt, asked)
        )
        if self.options.evaluate is not None:
            before = _read(Path(self.options.evaluate) / LEARNT)
            if both := {*before} & {*tested}:
                self.error(
                    f"--evaluate {self.options.evaluate} has learnt from {len(both)} of the {len(tested)} to "
                    "test on, by their names: give --seed and what else chose them as for its training, or "
                    "other data"
                )
        elif self.options.resume:
            for folder in self._folders:
                if _read(folder.parent / LEARNT) not in ([], self.learnt):
                    self.error(
                        f"--resume goes on in {folder.parent}, which has learnt from other data: give --seed "
                        "and what else chose them as before, or another --out"
                    )

    def expect(
        self, name: str, model: type, guide: type = object, f_dim: int | None = None
    ) -> None:
        """An error of usage if the pair of ``--evaluate`` is not what ``--models name`` trains."""
        if self.pair is None:
            return
        own, its_guide = self.pair
        size = getattr(own, "f_dim", None)
        fits = type(own) is model and isinstance(its_guide, guide) and f_dim in (None, size)
        if not fits:
            shown = "" if None in (f_dim, size) else f" with f of {size}"
            self.error(
                f"--evaluate {self.options.evaluate} holds {type(own).__name__} and "
                f"{type(its_guide).__name__}{shown}, which is not --models {name}"
            )

    @property
    def device(self) -> torch.device:
        """Where the models of a finished training, or of ``--evaluate``, are used."""
        return torch.device(self.options.device or DEVICES[-1])

    def preset(self, presets: Mapping[str, P]) -> P:
        """The chosen one; its frames are of the size that the model of ``--evaluate`` takes."""
        preset = presets[self.options.preset]
        if self.pair is None:
            return preset
        return replace(preset, size=self.pair[0].frame_shape[-1])

    def part(self, name: str) -> Run:
        """A run of its own in a folder below this one's."""
        part = copy.copy(self)
        part.options = argparse.Namespace(**vars(self.options))
        part.out, part.start = self.out / name, time.perf_counter()
        return part

    def say(self, text: str) -> None:
        """One line of progress, with the time since the start."""
        if self.is_first:
            print(f"[{time.perf_counter() - self.start:5.0f} s] {text}", flush=True)

    def trained(
        self,
        make_pair: Callable[[], Pair],
        data: Dataset | Tensor,
        preset: Preset,
        *,
        kl_weights: Callable[[int], Mapping[str, Any]] = lambda steps: {},
        num_frames: Callable[[int], Callable[[int], int] | None] = lambda steps: None,
        labels: Sequence[str] = (),
        elbo: ELBO | None = None,
    ) -> Pair:
        """Model and guide in evaluation mode: of ``--evaluate``, or trained on ``data`` and saved.

        ``kl_weights`` makes the weights of each KL term from the number of steps, ``num_frames`` how many
        frames each of them sees; ``labels`` of the data go to both programs; ``elbo`` is the objective, see
        :func:`pyro_dsae.fit`.
        """
        options = self.options
        self.begin()
        if self.pair is not None:
            model, guide = (module.to(self.device) for module in self.pair)
            shape = tuple(data[0][0].shape[1:])  # type: ignore[index]
            if model.frame_shape != shape:
                self.error(
                    f"--evaluate {options.evaluate} must take frames of {shape}, as the data has, "
                    f"got a model of {model.frame_shape}"
                )
            return model.eval(), guide.eval()
        self.say(
            f"training, the {options.preset} preset; Ctrl-C leaves a checkpoint, --resume goes on"
        )
        torch.manual_seed(options.seed)
        model, guide = make_pair()
        steps, batch_size = options.steps or preset.steps, options.batch_size or preset.batch_size
        sequences = batch_size * self.processes.num_processes
        if options.epochs is not None:
            steps = options.epochs * max(1, len(data) // sequences)  # type: ignore[arg-type]
        history = pyro_dsae.fit(
            model,
            guide,
            data,
            steps=steps,
            batch_size=batch_size,
            lr=preset.lr,
            schedule=preset.schedule,
            average=preset.average,
            kl_weights=kl_weights(steps),
            num_frames=num_frames(steps),
            labels=labels,
            elbo=elbo,
            optimizer=preset.optimizer(model, guide),
            checkpoint_dir=self.checkpoints,
            resume=options.resume,
            device=options.device,
            seed=options.seed,
        )
        self.steps = history.step
        self.rate = history.step * sequences / max(history.seconds, 1e-9)
        if self.is_first:
            plotting.loss_curve(history.losses, self.out / "loss")
            if preset.prior_steps:
                self.say("the priors alone, on what the guide infers")
                fit_priors(model, guide, data, steps=preset.prior_steps, seed=options.seed)
            known = data if hasattr(data, "settings") else None
            pyro_dsae.save(self.out / "model", model, guide, data=known)
            if self.learnt:
                shutil.copy(self.out / LEARNT, self.out / "model")
        return model.eval(), guide.eval()

    def elbo(
        self, model: nn.Module, guide: nn.Module, train: Dataset | Tensor, test: Dataset | Tensor
    ) -> dict[str, float]:
        """The ``elbo`` entry of ``metrics.json``: on both sets, and its parts on the test set."""
        scores = pyro_dsae.evaluate_elbo(model, guide, test)
        parts = {
            name: scores[name]
            for name in scores
            if name == "bits_per_dim" or name.startswith("kl_")
        }
        seen = pyro_dsae.evaluate_elbo(model, guide, train)["elbo"]
        return {"train": seen, "test": scores["elbo"], **parts}

    def figures(self, *modules: nn.Module) -> dict[str, Any]:
        """The ``run`` entry of ``metrics.json``."""
        if self.device.type == "cuda":
            memory = torch.cuda.max_memory_allocated()
            device = torch.cuda.get_device_name()
        else:
            unit = 1 if sys.platform == "darwin" else 1024
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
            device = f"cpu, {torch.get_num_threads()} threads"
        processes = self.processes.num_processes
        launcher = "python" if processes == 1 else f"torchrun --nproc_per_node {processes}"
        return {
            "seconds": time.perf_counter() - self.start,
            "sequences_per_second": self.rate,
            "peak_memory_bytes": memory,
            "device": device,
            "seed": self.options.seed,
            "steps": self.steps,
            "parameters": sum(p.numel() for module in modules for p in module.parameters()),
            "torch": torch.__version__,
            "command": " ".join([launcher, *sys.argv]),
        }

    def finish(self, metrics: dict[str, Any], table: str | None = None) -> None:
        """Write ``metrics.json``; print a table of it, and last the folder."""
        (self.out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        if self.pair is None:
            for folder in self._folders:
                if folder.is_dir():
                    (folder / FINISHED).touch()
        print(table or "\n".join(_rows(metrics)))
        print(f"\nFigures, pictures and the model are in {self.out.resolve()}")


def _hashed(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def _read(path: Path) -> list[str]:
    return json.loads(path.read_text()) if path.is_file() else []


def parts_of(split: str) -> list[str]:
    """The parts of a data set that a split is of: ``train`` is those that ``--validate`` takes apart."""
    return ["learn", "validation"] if split == "train" else [split]


def _rows(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every figure of nested metrics, a line each."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _rows(value, f"{prefix}{name}.")
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else f"{value}"
            yield f"  {prefix + name:36}{shown:>14}"


def some(data: Dataset, size: int) -> Subset:
    """``size`` sequences of ``data``, or all: at random, but the same each time.

    Not every ninth, say, since all of these may be of one action.
    """
    length = len(data)  # type: ignore[arg-type]
    order = torch.randperm(length, generator=torch.Generator().manual_seed(0))
    return Subset(data, sorted(order[:size].tolist()))


def draw_sets(run: Run, model: nn.Module, guide: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Pictures of sets of frames ``x``, ``(N, T, C, H, W)``: a set a row. Returns their latents.

    ``reconstructions`` below the originals; ``swap``: each content in the dynamics of the first;
    ``new_frames`` of each; ``samples`` of contents never seen.
    """
    latents = pyro_dsae.infer(guide, x)
    f, z = latents["f"], latents["z"]
    steps = x.shape[1]
    reconstructed = pyro_dsae.generate(model, f=f, z=z)
    swapped = pyro_dsae.generate(model, f=f, z=z[:1].expand(len(f), -1, -1))
    plotting.grid(torch.stack([x, reconstructed], dim=1).flatten(0, 1), run.out / "reconstructions")
    plotting.grid(torch.cat([x[:1], swapped]), run.out / "swap")
    plotting.animate(swapped, run.out / "swap")
    plotting.grid(pyro_dsae.generate(model, f=f, num_frames=steps), run.out / "new_frames")
    plotting.grid(pyro_dsae.generate(model, batch_size=6, num_frames=steps), run.out / "samples")
    return latents


def find_data(name: str) -> Path | None:
    """A data set's folder beside the project or in the folder that ``PYRO_DSAE_DATA`` names."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PYRO_DSAE_DATA", beside)) / name
    return folder if folder.is_dir() else None
