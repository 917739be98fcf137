"""What disentangles? Objectives and posteriors of the field, on one model, one judge and one budget.

Trains the same model once by each recipe of recipes.py on each data set, from the same seeds, for as many
sequences or for as many seconds. Sets side by side what a swap keeps, what the latents know, the bound, and
what each recipe knows of the data.

    python examples/compare_recipes.py                                   # procedural sprites, all recipes
    python examples/compare_recipes.py --budget 150s                     # as many seconds, not steps
    python examples/compare_recipes.py --data procedural changing speech --recipes elbo one_frame views
    python examples/compare_recipes.py --data lpc --root DIR
    python examples/compare_recipes.py --validate --seeds 3              # to choose by: no look at test data

``changing`` sprites draw colours and direction anew at every frame: a recipe that has been told that colours
are content must fail there, one that has found out what stays need not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import moving_mnist
import speech
import sprites
import torch
from common import CACHE, Pair, Preset, Run, find_data
from comparison import (
    Comparison,
    Row,
    budget,
    check_sizes,
    folder,
    over_seeds,
    read,
    table,
    write_rows,
)
from options import Distinct, at_least, parser, refuse_root
from recipes import RECIPES, Known, Recipe
from torch import nn

import pyro_dsae
from pyro_dsae import metrics, views
from pyro_dsae.data import Groups, MovingDigits, ProceduralSprites, RandomFrames, Sprites
from pyro_dsae.metrics.dci import forests_
from pyro_dsae.training import NonFiniteLossError

GROUP = 4  # sequences of one content in a batch, where the recipe knows of it
FRAME_JUDGE = 1200  # steps of the judge of single frames
MUON = 0.02  # its rate
LATENTS = {
    "disentanglement": "D",
    "completeness": "C",
    "informativeness": "I",
    "information_f_z": "I(f; z)",
    "elbo": "ELBO",
    "kl_f": "KL f",
    "kl_z": "KL z",
    "seconds_per_step": "s a step",
}


class Task:
    """A data set with its model and its judge; ``--judged`` test sequences are asked."""

    preset: Preset
    known: Known
    train: Any
    test: Any
    columns: dict[str, str]
    factors: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()  # labels of what lies in one half of DCI's codes, all of it
    judge: nn.Module | None = None

    def __init__(self, run: Run, args: argparse.Namespace) -> None:
        self.run, self.args = run, args
        self.splits = ("learn", "validation") if args.validate else ("train", "test")

    def prepare(self) -> None:
        """What is made once: a judge."""

    def make_pair(self, recipe: Recipe) -> Pair:
        """Model, and guide of the recipe; f has an encoder of its own."""
        raise NotImplementedError

    def judged(self, part: Run, pair: Pair) -> dict[str, Any]:
        """Figures of this data set alone."""
        raise NotImplementedError

    def data(self, recipe: Recipe) -> Any:
        """What the recipe trains on."""
        return self.train

    def latents(self, pair: Pair) -> dict[str, Any]:
        """What the codes know, and the bound: on the same test sequences for each recipe."""
        args, size = self.args, min(self.args.judged, len(self.test))
        found: dict[str, Any] = {}
        if self.factors:
            known = metrics.latent_dci(
                pair[1],
                self.test,
                self.factors,
                groups=self.whole,
                num_sequences=size,
                seed=args.seed,
            )
            in_f = {f"{name}_in_f": share for name, share in known.pop("in_f").items()}
            known.pop("accuracy")
            found |= {**known, **in_f}
        found["information_f_z"] = metrics.content_dynamics_information(
            pair[1], self.test, num_sequences=size, seed=args.seed
        )
        order = torch.randperm(len(self.test), generator=torch.Generator().manual_seed(args.seed))
        subset = torch.utils.data.Subset(self.test, order[:size].tolist())
        bound = pyro_dsae.evaluate_elbo(*pair, subset, seed=args.seed)
        return found | {name: bound[name] for name in ("elbo", "kl_f", "kl_z")}


class OnSprites(Task):
    """Characters in nine actions, one of which each of them does."""

    columns = {  # noqa: RUF012
        "swap_static": "swap: static",
        "swap_action": "swap: action",
        "kept_static": "f kept: static",
        "inception_score": "IS",
        "reverse_action": "z kept: action",
        "reverse_inception_score": "IS",
    }
    factors = ("skin", "trousers", "tops", "hair", "action")
    whole = ("skin", "trousers", "tops", "hair")

    def __init__(self, run: Run, args: argparse.Namespace) -> None:
        super().__init__(run, args)
        with run.usage():
            forests_()  # of which DCI is made: said before anything is trained
        self.preset = replace(sprites.COMPARED[args.preset], size=args.size, content_prior="normal")
        with run.reading():
            self.train, self.test = (self.read(split) for split in self.splits)
        few_strips = nn.Sequential(
            views.FewFrames(2), views.ShuffleStrips(max(1, self.preset.size // 16))
        )
        num_frames = self.train.frames.shape[1]
        self.known = Known(
            num_frames, len(self.train), (few_strips, views.Recolour()), self.group()
        )

    def read(self, split: str) -> Any:
        return ProceduralSprites(split, size=self.preset.size)

    def group(self) -> str:
        """Sequences of one character, in nine actions."""
        names = ("skin", "trousers", "tops", "hair")
        values = torch.stack([self.train.labels[name] for name in names], 1)
        self.train.labels["character"] = values.unique(dim=0, return_inverse=True)[1]
        return "character"

    def prepare(self) -> None:
        with self.run.first():
            self.judge = metrics.load_or_train_judge(
                self.train, self.test, cache_dir=CACHE, device=self.run.device
            )

    def make_pair(self, recipe: Recipe) -> Pair:
        frame, sizes = (3, self.preset.size, self.preset.size), self.preset.networks
        model = pyro_dsae.DSAE(frame, modulated=True, prior=self.preset.prior, **sizes)
        options = {"content_encoder": True, **recipe.options(self.known)}
        return model, recipe.guide(frame, **options, **sizes)

    def judged(self, part: Run, pair: Pair) -> dict[str, Any]:
        def ask(protocol: Callable[..., dict[str, Any]]) -> dict[str, Any]:
            options = {"num_sequences": self.args.judged, "seed": self.args.seed}
            return protocol(*pair, self.judge, self.test, **options)

        swapped, kept = ask(metrics.swap), ask(metrics.protocol_b)
        reverse = ask(metrics.protocol_b_reverse)
        return {
            "swap_static": swapped["static_accuracy"],
            "swap_action": swapped["action"],
            "swap_action_type": swapped["action_type"],
            "swap_direction": swapped["direction"],
            "kept_static": kept["static_accuracy"],
            "inception_score": kept["inception_score"],
            "reverse_action": reverse["action"],
            "reverse_inception_score": reverse["inception_score"],
        }

    def data(self, recipe: Recipe) -> Any:
        return (
            Groups(self.train, self.known.group, GROUP) if recipe.needs == "group" else self.train
        )


class OnLPC(OnSprites):
    """The characters of the papers."""

    def read(self, split: str) -> Any:
        root = self.args.root or find_data("lpc-sprites")
        if root is None:
            self.run.error("--data lpc needs --root, the folder of its layers")
        return Sprites(root, split, size=self.preset.size)


class OnChanging(OnSprites):
    """Hair and kind of action stay; colours and direction do not."""

    columns = {  # noqa: RUF012
        "swap_hair": "f's hair",
        "swap_action_type": "f's kind",
        "swap_colours": "z's colours",
        "swap_direction": "z's direction",
    }
    factors = ("hair", "action_type")
    whole = ()

    def read(self, split: str) -> Any:
        return ProceduralSprites(split, size=self.preset.size, changing=True)

    def group(self) -> str:
        """Sequences of one hair and one kind of action."""
        labels = self.train.labels
        labels["content"] = 3 * labels["hair"] + labels["action_type"]
        return "content"

    def prepare(self) -> None:
        frames = (metrics.single_frames(self.train), metrics.single_frames(self.test, 4000))
        with self.run.first():
            self.judge = metrics.load_or_train_judge(
                *frames, cache_dir=CACHE, device=self.run.device, steps=FRAME_JUDGE
            )

    def judged(self, part: Run, pair: Pair) -> dict[str, Any]:
        found = metrics.swap_by_frame(
            *pair, self.judge, self.test, num_sequences=self.args.judged, seed=self.args.seed
        )
        colours = [found[name]["dynamics"] for name in ("skin", "trousers", "tops")]
        return {
            "swap_hair": found["hair"]["content"],
            "swap_action_type": found["action_type"]["content"],
            "swap_colours": sum(colours) / len(colours),
            "swap_direction": found["direction"]["dynamics"],
            "swap_hair_of_dynamics": found["hair"]["dynamics"],
            "swap_action_type_of_dynamics": found["action_type"]["dynamics"],
        }


class OnDigits(Task):
    """One digit that moves about, its frames in no order."""

    columns = {"digit_consistency": "digit kept", "position_r2": "position, R²"}  # noqa: RUF012

    def __init__(self, run: Run, args: argparse.Namespace) -> None:
        super().__init__(run, args)
        self.preset = moving_mnist.PRESETS[args.preset]
        root = find_data("mnist")
        with run.reading():
            self.train, self.test = (
                MovingDigits(
                    root or CACHE / "mnist",
                    split,
                    num_sequences=20_000 if drawn else max(200, args.judged),
                    size=self.preset.size,
                    digit_size=self.preset.digit_size,
                    download=root is None,
                    transform=drawn,
                )
                for split, drawn in zip(
                    self.splits, (RandomFrames(self.preset.frames), None), strict=True
                )
            )
        share = self.preset.frames / self.train.positions.shape[1]
        self.known = Known(self.preset.frames, len(self.train), share=share)

    def prepare(self) -> None:
        train, test = self.train, self.test
        digits = (train.digit_images, train.digit_labels, test.digit_images, test.digit_labels)
        with self.run.first():
            self.judge = metrics.load_or_train_digit_classifier(
                *digits, size=self.preset.size, cache_dir=CACHE, device=self.run.device
            )

    def make_pair(self, recipe: Recipe) -> Pair:
        frame, sizes = (1, self.preset.size, self.preset.size), self.preset.networks
        content = "pooled" if self.preset.pooled else False
        options = {"content_encoder": content, **recipe.options(self.known)}
        model = pyro_dsae.Unordered(frame, modulated=self.preset.pooled, **sizes)
        return model, recipe.guide(frame, **options, **sizes)

    def judged(self, part: Run, pair: Pair) -> dict[str, Any]:
        x = self.test.sequences(torch.arange(len(self.test))).to(self.run.device)
        kept = metrics.grid_consistency(
            *pair, self.judge, x, self.test.digits[:, 0], seed=self.args.seed
        )
        held = metrics.position_r2(pair[1], x, self.test.positions[:, :, 0])
        return {"digit_consistency": kept["digit_consistency"], "position_r2": held["r2"]}


class OnSpeech(Task):
    """Segments of utterances: who speaks, apart from what is said."""

    columns = {"eer_f": "EER of f", "eer_z": "EER of z"}  # noqa: RUF012

    def __init__(self, run: Run, args: argparse.Namespace) -> None:
        super().__init__(run, args)
        root = find_data("an4")
        if root is None:
            run.error("--data speech needs AN4, in the folder that PYRO_DSAE_DATA names")
        self.preset = speech.PRESETS[args.preset]
        with run.reading():
            self.train, self.test = speech.load(root, 0.15, 0, validate=args.validate)
        of_each = self.train.labels["utterance"].bincount().float().mean().item()
        window, hop = self.train.num_frames, self.train.segment_hop
        share = window / (window + hop * (of_each - 1))
        self.known = Known(window, len(self.train), group="speaker", share=share)

    def make_pair(self, recipe: Recipe) -> Pair:
        frame, sizes = (self.preset.size,), self.preset.networks
        options = {"content_encoder": True, **recipe.options(self.known)}
        model = pyro_dsae.DSAE(frame, likelihood="normal", **sizes)
        return model, recipe.guide(frame, **options, **sizes)

    def judged(self, part: Run, pair: Pair) -> dict[str, Any]:
        found, _ = speech.verify(*pair, self.test)
        ends = {f"eer_{k}_{end}": v[end] for k, v in found.items() for end in ("low", "high")}
        return {**{f"eer_{k}": v["eer"] for k, v in found.items()}, **ends}

    def data(self, recipe: Recipe) -> Any:
        return Groups(self.train, "speaker", GROUP) if recipe.needs == "group" else self.train


TASKS: dict[str, type[Task]] = {
    "procedural": OnSprites,
    "lpc": OnLPC,
    "changing": OnChanging,
    "digits": OnDigits,
    "speech": OnSpeech,
}


def main() -> None:
    """Train and judge each recipe on each data set for each seed."""
    options = parser("compare_recipes", "Objectives and posteriors, side by side.", ["quick"])
    for name, choices, default in (
        ("data", TASKS, ["procedural"]),
        ("recipes", RECIPES, [*RECIPES]),
    ):
        options.add_argument(
            f"--{name}",
            nargs="+",
            choices=tuple(choices),
            default=default,
            action=Distinct,
            metavar="NAME",
            help=f"of {', '.join(choices)} (default: {'all' if len(default) > 1 else default[0]})",
        )
    options.add_argument("--root", type=Path, help="folder of the LPC layers (default: found)")
    options.add_argument("--size", type=int, choices=(16, 32, 64), default=32, help="of sprites")
    options.add_argument("--seeds", type=at_least(1), default=2, help="so many, from --seed on")
    options.add_argument(
        "--budget", type=budget, default="1300", help="of each run: steps, or seconds (90s)"
    )
    options.add_argument(
        "--judged", type=at_least(34), default=450, metavar="N", help="test sequences, 34 or more"
    )
    options.add_argument(
        "--muon",
        choices=("decoder", "all"),
        help=f"whose matrices Muon moves, at {MUON} (default: Adam for all)",
    )
    options.add_argument(
        "--validate",
        action="store_true",
        help="hold out some of the training characters, digits or speakers, and judge by them in place of "
        "those of the test: to choose recipes and settings by",
    )
    args = read(options)
    refuse_root(options, args, args.data)
    seeds = range(args.seed, args.seed + args.seeds)
    grid = [
        {"data": data, "recipe": recipe, "seed": seed}
        for data in args.data
        for seed in seeds
        for recipe in args.recipes
    ]
    run = Run(options, args, [folder(row) for row in grid])
    tasks = {data: TASKS[data](run, args) for data in args.data}
    muon = {"muon_rate": MUON, "muon_for": args.muon} if args.muon else {"muon_rate": None}
    for data, task in tasks.items():
        task.preset = replace(task.preset, **muon)
        check_sizes(run, len(task.test), task.splits[1], judged=args.judged)
        run.say(f"{data}: {len(task.train)} sequences to learn from; its judge")
        task.prepare()
        if unreliable := getattr(task.judge, "unreliable", []):
            run.say(f"the judge is unsure of {', '.join(unreliable)}: {task.judge.accuracy}")

    comparison, given = Comparison(run), args.batch_size
    for row in grid:
        task, recipe = tasks[row["data"]], RECIPES[row["recipe"]]
        if recipe.needs and getattr(task.known, recipe.needs) is None:
            lacking = f"{row['data']} has no {recipe.needs}"
            comparison.rows.append({**row, "knows": recipe.knows, "reason": lacking})
            continue
        batch_size = given or task.preset.batch_size
        per_step = batch_size // GROUP if recipe.needs == "group" else batch_size
        run.options.batch_size = max(1, per_step)  # groups of GROUP sequences are read as one

        def judge(
            part: Run,
            pair: Pair,
            task: Task = task,
            recipe: Recipe = recipe,
            batch_size: int = batch_size,
        ) -> Row:
            figures = {**task.judged(part, pair), **task.latents(pair)}
            seen = part.steps * batch_size
            split = task.splits[1]
            made = {"split": split, "sequences": seen, "reason": None}
            return {"knows": recipe.knows, **figures, **made}

        try:
            comparison.pair(
                row,
                lambda task=task, recipe=recipe: task.make_pair(recipe),
                task.data(recipe),
                task.preset,
                judge,
                kl_weights=partial(recipe.weights, task.known),
                elbo=recipe.elbo(task.known),
            )
        except NonFiniteLossError as error:
            run.say(f"no figures: {error}")
            comparison.rows.append({**row, "knows": recipe.knows, "reason": f"training: {error}"})

    run.alone()
    found, tables = {}, []
    for data, task in tasks.items():
        found[data] = over_seeds([r for r in comparison.rows if r["data"] == data], "recipe")
        tables.append(f"{data}\n{table(found[data], 'recipe', task.columns, LATENTS)}")
    tables.append("\n".join(f"  {name:26}knows {RECIPES[name].knows}" for name in args.recipes))
    write_rows(comparison.rows, run.out / "runs.csv")
    split = {"split": "validation" if args.validate else "test"}
    figures = {**found, "runs": comparison.rows, **split, "run": run.figures()}
    run.finish(figures, "\n\n".join(tables))


if __name__ == "__main__":
    main()
