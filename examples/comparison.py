"""What the comparisons share: their options, the loop over a grid of trainings, means over the seeds."""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from common import Pair, Preset, Run
from options import at_least, number
from pyro.infer import ELBO
from torch import Tensor

import pyro_dsae
from pyro_dsae import metrics

Row = dict[str, Any]  # names, a seed, and what was found
Figure = dict[str, Any]  # mean and standard error; a reason where there is none
NOT_FIGURES = {"data", "guide", "prior", "recipe", "knows", "seed", "reason", "split"}
ELSEWHERE = {"out", "resume", "overwrite", "device", "seeds"}
"""Options that a row's figures do not depend on."""


def budget(text: str) -> tuple[int | None, float | None]:
    """Steps, ``500``, or seconds, ``90s``."""
    if not text.endswith("s"):
        return at_least(1)(text), None
    above_0 = number(float, "seconds above 0", lambda value: 0 < value < math.inf)
    return None, above_0(text[:-1])


def add_options(options: argparse.ArgumentParser, steps: str | None) -> None:
    """Those of every comparison; ``steps`` is the default of ``--budget``, or None for the preset's."""
    options.add_argument("--seeds", type=at_least(1), default=2, help="so many, from --seed on")
    options.add_argument(
        "--budget",
        type=budget,
        default=steps,
        help="of each run: steps, or seconds (90s)"
        + ("" if steps else " (default: the preset's steps)"),
    )
    options.add_argument(
        "--samples", type=at_least(25), default=1000, help="K, draws of a sequence, 25 or more"
    )
    options.add_argument(
        "--sequences", type=at_least(9), default=18, help="to estimate the evidence of, 9 or more"
    )


def read(options: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of the command line, without ``--evaluate``, and with one that says how long."""
    args = options.parse_args()
    if args.steps is not None or args.epochs is not None:
        options.error("here --budget says how long each run takes, in steps or seconds (90s)")
    if args.evaluate is not None:
        options.error("--evaluate is for one pair; here --resume takes what is finished")
    return args


def check_sizes(run: Run, size: int, split: str = "test", **counts: int) -> None:
    """An error of usage if an option asks for more sequences of a split than the ``size`` that there are."""
    for name, count in counts.items():
        if count > size:
            run.error(f"--{name} must be at most {size}, the {split} sequences, got {count}")


def some_of_each(run: Run, test: Any, args: argparse.Namespace) -> Tensor:
    """``--sequences`` test sequences of sprites, as many of each action as of any other."""
    rows = metrics.balanced_subset(test.labels["action"], args.sequences, seed=args.seed)
    return test.frames[rows].to(run.device).float() / 255


def steps_within(
    seconds: float,
    pair: Pair,
    data: Any,
    batch_size: int,
    device: str | None,
    elbo: ELBO | None = None,
    optimizer: Any = None,
) -> int:
    """How many steps of a pair take so many seconds, by the last twenty of thirty."""
    marks: list[float] = []
    pyro_dsae.fit(
        *pair,
        data,
        steps=30,
        batch_size=batch_size,
        elbo=elbo,
        optimizer=optimizer,
        device=device,
        progress=False,
        callback=lambda _: marks.append(time.perf_counter()),
    )
    return max(1, round(20 * seconds / (marks[29] - marks[9])))


def folder(row: Mapping[str, Any]) -> str:
    """Where a training is kept below ``--out``: ``full_0``, ``ball/mixture_0``."""
    *names, seed = map(str, row.values())
    return f"{'/'.join(names)}_{seed}"


@dataclass
class Comparison:
    """Trains and judges the pairs of a grid, a row of names and a seed each."""

    run: Run
    given: Mapping[str, str] = field(default_factory=dict)
    """What figures depend on besides the options."""
    rows: list[Row] = field(default_factory=list)

    def pair(
        self,
        row: Row,
        make_pair: Callable[[], Pair],
        data: Any,
        preset: Preset,
        judge: Callable[[Run, Pair], Mapping[str, Any]],
        *,
        kl_weights: Callable[[int], Mapping[str, Any]] = lambda steps: {},
        elbo: ELBO | None = None,
    ) -> Pair:
        """The pair of a row, which gets its figures; ``--resume`` takes both where they are finished."""
        run, part = self.run, self.run.part(folder(row))
        options = part.options
        options.seed, (steps, seconds) = row["seed"], options.budget or (None, None)
        done = part.checkpoints / "figures.json"
        settings = {
            name: str(value)
            for name, value in vars(run.options).items()
            if name not in ELSEWHERE and not isinstance(value, list)  # lists say which rows
        } | {**self.given}
        if options.resume and done.is_file():
            self.rows.append(self._finished(done, settings))
            model, guide = (m.to(run.device) for m in pyro_dsae.load(part.out / "model"))
            return model, guide
        batch_size = options.batch_size or preset.batch_size
        if seconds is not None:
            steps = self._steps_within(part, seconds, make_pair, data, preset, batch_size, elbo)
        options.steps = steps
        *names, seed = row.values()
        run.say(f"{', '.join(names)}, seed {seed}")
        pair = part.trained(make_pair, data, preset, kl_weights=kl_weights, elbo=elbo)
        if run.is_first:
            cost = batch_size * run.processes.num_processes / part.rate
            figures = {**judge(part, pair), "steps": part.steps, "seconds_per_step": cost}
            self.rows.append({**row, **figures})
            _write(done, {**self.rows[-1], "options": settings})
        return pair

    def _finished(self, done: Path, settings: Mapping[str, str]) -> Row:
        """The figures in ``done``; an error of usage if they were made with other options."""
        row = json.loads(done.read_text())
        before = row.pop("options", settings)
        for name in before.keys() & settings.keys():
            if before[name] != settings[name]:
                self.run.error(
                    f"--resume takes what is finished, and {done} was made with {name} {before[name]}, "
                    f"now {settings[name]}: give the same, or another --out"
                )
        return row

    def _steps_within(
        self,
        part: Run,
        seconds: float,
        make_pair: Callable[[], Pair],
        data: Any,
        preset: Preset,
        batch_size: int,
        elbo: ELBO | None,
    ) -> int:
        """:func:`steps_within`, measured once: a training that goes on has the steps that it began with."""
        measured = part.checkpoints / "steps.json"
        if self.run.options.resume and measured.is_file():
            return int(json.loads(measured.read_text()))
        self.run.begin()
        device = self.run.options.device
        pair = make_pair()
        optimizer = preset.optimizer(*pair)
        steps = steps_within(seconds, pair, data, batch_size, device, elbo, optimizer)
        (steps,) = broadcast_object_list([steps])
        if self.run.is_first:
            _write(measured, steps)
        return steps


def _write(path: Path, values: Any) -> None:
    """As JSON: whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values, indent=2) + "\n")
    partial.replace(path)


def over_seeds(rows: Sequence[Row], of: str) -> dict[str, dict[str, Figure]]:
    """Mean and standard error over the seeds of every figure, by what ``of`` names: guide or prior.

    A figure that a row lacks is taken over the other seeds, and has the ``reason`` that the row gives.
    """
    keys = [key for key in dict.fromkeys(k for row in rows for k in row) if key not in NOT_FIGURES]
    found: dict[str, dict[str, Figure]] = {}
    for name in dict.fromkeys(row[of] for row in rows):
        own = [row for row in rows if row[of] == name]
        found[name] = {}
        for key in keys:
            values = [row[key] for row in own if row.get(key) is not None]
            error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
            mean = statistics.fmean(values) if values else None
            found[name][key] = {"mean": mean, "standard_error": error}
            lacking = [row["reason"] for row in own if row.get(key) is None and row.get("reason")]
            if lacking:
                found[name][key]["reason"] = "; ".join(dict.fromkeys(lacking))
    return found


def table(found: Mapping[str, Mapping[str, Figure]], of: str, *blocks: Mapping[str, str]) -> str:
    """A row a name, columns in ``blocks`` of titles by figure.

    Means over the seeds, standard errors in brackets; the ends of an interval, where a figure has them.
    """

    def cell(figures: Mapping[str, Figure], key: str) -> str:
        mean, error = (figures.get(key, {}).get(k) for k in ("mean", "standard_error"))
        if mean is None:
            return "-"
        text = f"{mean:.4g}" + (f" ({error:.2g})" if error is not None else "")
        if f"{key}_low" in figures:
            low, high = (figures[f"{key}_{end}"]["mean"] for end in ("low", "high"))
            text += f" [{low:.4g}, {high:.4g}]"
        return text

    first = max(12, *(len(name) + 1 for name in found))
    lines = []
    for block in blocks:
        cells = {name: [cell(figures, key) for key in block] for name, figures in found.items()}
        width = max(18, *(2 + len(text) for row in cells.values() for text in row))
        lines += ["  " + f"{of:{first}}" + "".join(f"{t:>{width}}" for t in block.values())]
        for name, row in cells.items():
            lines.append(f"  {name:{first}}" + "".join(f"{text:>{width}}" for text in row))
        lines.append("")
    return "\n".join(lines[:-1])


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """As CSV, with the columns of all rows; empty where a row has no such figure."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*dict.fromkeys(key for row in rows for key in row)])
        writer.writeheader()
        writer.writerows(rows)
