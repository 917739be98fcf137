"""A trained pair in MSD-Benchmark, and what its evaluators say of it.

Barami, Berman, Naiman, Hason, Ezra & Azencot, Disentanglement beyond static vs. dynamic, NeurIPS 2025:
github.com/azencot-group/MSD-Benchmark, whose ``AbstractModel`` is read as of its commit da5ba28. Runs
in a checkout that the user has made, with what that needs (pandas 2, omegaconf, opencv, h5py, tabulate):

    cd MSD-Benchmark
    PYTHONPATH=. python DIR/benchmarks/msd_adapter.py DIR/pretrained/lpc-sprites-64 --root LPC_LAYERS

Its predictors, explorer and evaluators are run as they are, with their settings, on test characters that the
pair has not seen. Data and judge are ours, so that nothing is fetched: figures are beside those that other
models get by this same command, not beside its published tables. For those, copy this file into the checkout
and name the model in a configuration of its own, which ``msd/run.py --eval`` takes with its data and judge:

    model: {name: DisentangledPair, parameters: {pair: DIR/pretrained/lpc-sprites-64}}
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

import pyro_dsae
from pyro_dsae import metrics
from pyro_dsae.data import ProceduralSprites, Sprites, cache_dir

try:
    from msd.data.readers.abstract_reader import AbstractReader
    from msd.methods.abstract_model import AbstractModel
except ImportError:  # without a checkout: the interface alone
    AbstractModel, AbstractReader = nn.Module, object

EVALUATORS = (
    "MultiFactorSwap",
    "MultiFactorSample",
    "TwoFactorSwap",
    "TwoFactorSample",
    "ConsistencySwap",
    "ConsistencyLocalSample",
    "DCIEvaluator",
)
PARAMETERS = {"DCIEvaluator": {"test_size": 0.2, "random_state": 42}}  # theirs, as all below
PREDICTOR = {"name": "GradientBoostingClassifier", "parameters": {"max_depth": 3}}


class DisentangledPair(AbstractModel):
    """Model and guide under the names that the benchmark calls.

    A code is ``(B, f_dim + T z_dim)``: f, and z of one frame after the other. It has ``f_dim + z_dim``
    channels: those of f, and those of z, each over all frames at once, since a factor that moves does so in
    time. Codes are means of the posteriors; frames are means of the decoder.

    :param pair: a folder or an id of the hub, as :func:`pyro_dsae.load` takes; or model and guide.
    :raises ValueError: if its latents are not f, and z of each frame.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> pair = DisentangledPair(
    ...     (pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes))
    ... )
    >>> x = torch.rand(5, 7, 3, 16, 16)
    >>> pair.latent_dim(), tuple(pair.encode(x).shape), tuple(pair.latent_vector(x).shape)
    (12, (5, 36), (5, 12))
    """

    def __init__(self, pair: str | Path | tuple[nn.Module, nn.Module]) -> None:
        super().__init__()
        loaded = pair if isinstance(pair, tuple) else pyro_dsae.load(pair)
        self.model, self.guide = (module.eval() for module in loaded)
        latents = self.model.latents
        if latents.keys() != {"f", "z"} or len(latents["z"]) != 2 or latents["z"][0] is not None:
            raise ValueError(f"pair must have latents f and z of each frame, got {latents}")
        self.f_dim, self.z_dim = latents["f"][0], latents["z"][1]

    def _apart(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """f ``(B, f_dim)`` and z ``(B, T, z_dim)``."""
        f, z = code[:, : self.f_dim], code[:, self.f_dim :]
        return f, z.unflatten(1, (-1, self.z_dim))

    def encode(self, x: Tensor) -> Tensor:
        """Codes of ``x``, ``(B, T, *frame)`` in [0, 1]."""
        found = pyro_dsae.infer(self.guide, x)
        return torch.cat([found["f"], found["z"].flatten(1)], 1)

    def decode(self, code: Tensor) -> Tensor:
        """Frames, ``(B, T, *frame)``."""
        f, z = self._apart(code)
        return pyro_dsae.generate(self.model, f=f, z=z)

    @torch.no_grad()
    def sample(self, code: Tensor) -> Tensor:
        """As many codes as ``code`` holds, of as many frames, drawn from the priors of f and z."""
        num_frames = self._apart(code)[1].shape[1]
        trace = poutine.trace(self.model).get_trace(batch_size=len(code), num_frames=num_frames)
        f, z = (trace.nodes[site]["value"] for site in ("f", "z"))
        return torch.cat([f, z.flatten(1)], 1)

    def swap_channels(
        self, one: Tensor, other: Tensor, channels: Iterable[int]
    ) -> tuple[Tensor, Tensor]:
        """Both codes, each with these ``channels`` of the other's; an empty array of them will do."""
        chosen = torch.zeros(self.latent_dim(), dtype=torch.bool)
        chosen[[int(channel) for channel in channels]] = True
        num_frames = self._apart(one)[1].shape[1]
        mask = torch.cat([chosen[: self.f_dim], chosen[self.f_dim :].repeat(num_frames)])
        mask = mask.to(one.device)
        return torch.where(mask, other, one), torch.where(mask, one, other)

    def latent_dim(self) -> int:
        """How many channels there are."""
        return self.f_dim + self.z_dim

    def latent_vector(self, x: Tensor) -> Tensor:
        """A number a channel, ``(B, f_dim + z_dim)``: f, and the mean of z over the frames."""
        f, z = self._apart(self.encode(x))
        return torch.cat([f, z.mean(1)], 1)

    def latent_vector_splited_static_dynamic(
        self, x: Tensor
    ) -> tuple[Tensor, Tensor, list[int], list[int]]:
        """Its two parts, and their channels: for the explorer that looks for static factors in f alone."""
        parts = self.latent_vector(x).split([self.f_dim, self.z_dim], 1)
        return *parts, [*range(self.f_dim)], [*range(self.f_dim, self.latent_dim())]

    def forward(self, x: Tensor) -> Tensor:
        """Reconstructions."""
        return self.decode(self.encode(x))

    def preprocess(self, x: Tensor) -> Tensor:
        """``x`` itself: frames are in [0, 1] there and here."""
        return x

    def postprocess(self, x: Tensor) -> Tensor:
        """``x`` itself."""
        return x


class Characters(AbstractReader):
    """Sprites of ours to their data set: the action moves, the attributes stay."""

    def __init__(self, data: Any, rows: Tensor, split: str) -> None:
        classes = {
            name: {
                "index": i,
                "type": "dynamic" if name == "action" else "static",
                "n_classes": data.num_classes[name],
                "values": {str(value): value for value in range(data.num_classes[name])},
                "ignore": False,
            }
            for i, name in enumerate(("action", "skin", "trousers", "tops", "hair"))
        }
        super().__init__(classes, split)
        self.data, self.rows = data, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, dict[str, int], dict[str, int]]:
        x, labels = self.data[int(self.rows[index])]
        static, dynamic = (
            {name: labels[name] for name in self.classes if (name == "action") is moves}
            for moves in (False, True)
        )
        return x.numpy(), static, dynamic


class Names(nn.Module):
    """A judge of ours as theirs is called: classes by factor, of sequences or of frames."""

    def __init__(self, judge: nn.Module) -> None:
        super().__init__()
        self.judge = judge

    @torch.no_grad()
    def forward(self, x: Tensor, frame_level: bool = False) -> dict[str, Tensor]:
        found = self.judge.per_frame(x) if frame_level else self.judge(x)
        if frame_level:  # theirs has heads for what stays alone
            found.pop("action")
        return {name: log_p.argmax(-1) for name, log_p in found.items()}


def configuration(device: str, batch_size: int) -> dict[str, Any]:
    """Theirs for videos (``configurations/evaluations``), with our reader and judge."""

    def named(name: str, **parameters: Any) -> dict[str, Any]:
        return {"name": name, "parameters": parameters}

    loader = named("DataLoader", batch_size=batch_size, drop_last=True)
    explorer = named("PredictorLatentExplorer", batch_exploration=False)
    manager = {
        "dataset_type": "test",
        "judge_cfg": named("Names"),
        "predictor_cfg": PREDICTOR,
        "latent_explorer_cfg": explorer,
    }
    return {
        "name": "pyro_dsae",
        "device": device,
        "checkpoint_dir": "",
        "load_model": "best",
        "loggers": [],
        "dataset": {
            "dataset": named("DisentanglementDataset"),
            "reader": named("Characters"),
            "splits": {"test": {"preprocess_hooks": [], "loader": loader}},
        },
        "evaluation": {
            "evaluation_manager": named("EvaluationManager", **manager),
            "evaluators": [named(name, **PARAMETERS.get(name, {})) for name in EVALUATORS],
        },
    }


def evaluate(
    pair: DisentangledPair,
    data: Any,
    judge: nn.Module,
    *,
    num_sequences: int,
    batch_size: int = 64,
    repeat: int = 5,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """Mean and standard deviation, over ``repeat`` runs, of each score; and channels by factor.

    :param data: sprites of ours, of which ``num_sequences`` are drawn; a last batch not whole is left.
    """
    from msd.configurations.config_initializer import ConfigInitializer
    from omegaconf import OmegaConf

    pyro.set_rng_seed(seed)  # theirs draw from NumPy's too
    rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:num_sequences]
    setup = ConfigInitializer(OmegaConf.create(configuration(device, batch_size)))
    setup.registry.cache |= {
        "Characters": lambda split: Characters(data, rows, split),
        "Names": lambda initializer: Names(judge),
    }
    for name in EVALUATORS:
        setup.registry.class_of(name)  # an error here, and not after an hour
    manager = setup.get_evaluator(pair.to(device))
    found: dict[str, list[float]] = {}
    for _ in range(repeat):
        for evaluator in manager.evaluators:
            scores, _details = evaluator.eval(epoch=0)
            for name, value in scores.items():
                found.setdefault(name, []).append(float(value))
                print(f"{name}: {value:.4f}", flush=True)
    channels = {
        name: len(chosen) for name, chosen in manager.get_latent_explorer().get_map(0).items()
    }
    return {**{name: spread(values) for name, values in found.items()}, "channels": channels}


def spread(values: list[float]) -> dict[str, float | None]:
    """Mean and standard deviation; None as the latter of one value."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": deviation}


def table(found: Mapping[str, Any]) -> str:
    """A score a line."""
    lines = [
        f"  {name:44}{scores['mean']:8.3f}" + (f"{scores['std']:8.3f}" if scores["std"] else "")
        for name, scores in found.items()
        if "mean" in scores
    ]
    channels = ", ".join(f"{name} {count}" for name, count in found["channels"].items())
    return "\n".join([*lines, f"  channels by factor: {channels}"])


def main() -> None:
    """Evaluate a pair of sprites."""
    options = argparse.ArgumentParser(description="A pair in MSD-Benchmark.")
    options.add_argument("pair", type=Path, help="a folder of pyro_dsae.save")
    options.add_argument("--root", type=Path, help="folder of the LPC layers (default: procedural)")
    options.add_argument("--sequences", type=int, default=512, help="of test characters")
    options.add_argument("--batch-size", type=int, default=64)
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--device", default="cpu")
    options.add_argument("--out", type=Path, help="a file for the figures, JSON")
    args = options.parse_args()
    if AbstractReader is object:
        options.error(
            "run it in a checkout of MSD-Benchmark, with PYTHONPATH=. (see the file's head)"
        )
    from common import record, write

    pair = DisentangledPair(args.pair.resolve())
    size = pair.model.frame_shape[-1]
    train, test = (
        Sprites(args.root, split, size=size) if args.root else ProceduralSprites(split, size=size)
        for split in ("train", "test")
    )
    for name, least in (("batch_size", 2), ("sequences", args.batch_size), ("repeat", 1)):
        if not least <= getattr(args, name) <= len(test):
            options.error(f"--{name.replace('_', '-')} must be {least} to {len(test)}")
    judge = metrics.load_or_train_judge(train, test, cache_dir=cache_dir(), device=args.device)
    found = evaluate(
        pair,
        test,
        judge,
        num_sequences=args.sequences,
        batch_size=args.batch_size,
        repeat=args.repeat,
        seed=args.seed,
        device=args.device,
    )
    print(table(found))
    settings = {"sequences": args.sequences, "data": "lpc" if args.root else "procedural"}
    write({**found, "judge": judge.accuracy, "run": record(**settings)}, args.out)


if __name__ == "__main__":
    main()
