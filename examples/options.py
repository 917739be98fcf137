"""The options that all examples share, and what their own are read by."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

DEVICES = ["cpu"]  # and the accelerator, where there is one
if torch.accelerator.is_available():
    DEVICES.append(torch.accelerator.current_accelerator().type)


def number(
    kind: type[int] | type[float], words: str, fits: Callable[[Any], bool]
) -> Callable[[str], Any]:
    """A type for argparse: numbers that fit, which are called ``words`` where one does not."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not fits(value):
            raise argparse.ArgumentTypeError(f"must be {words}, got {text}")
        return value

    return parse


def at_least(least: int) -> Callable[[str], int]:
    """A type for argparse: whole numbers from ``least`` on."""
    return number(int, f"a whole number from {least} on", lambda value: value >= least)


share = number(float, "between 0 and 1", lambda value: 0 < value < 1)
non_negative = number(float, "a finite number from 0 on", lambda value: 0 <= value < math.inf)


def refuse_root(options: argparse.ArgumentParser, args: argparse.Namespace, data: str) -> None:
    """An error of usage if a folder is named, or to be filled, that ``data`` does not read: only lpc does."""
    if "lpc" not in data and (args.root is not None or getattr(args, "download", False)):
        options.error(
            f"--root {'and --download go' if 'download' in args else 'goes'} with --data lpc"
        )


class Distinct(argparse.Action):
    """Keeps several values, each once."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, [*dict.fromkeys(values)])


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Adds the default, where there is one and the text does not say it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        unset = str(action.default) in ("None", "False", "[]")
        if unset or "(default" in (action.help or ""):
            return action.help
        return super()._get_help_string(action)


def parser(
    name: str, description: str, presets: Sequence[str] = ("quick", "paper")
) -> argparse.ArgumentParser:
    """The options that every example has; the first of ``presets`` is the default."""
    options = argparse.ArgumentParser(description=description, formatter_class=Help)
    options.add_argument("--preset", choices=presets, default=presets[0], help="sizes and schedule")
    options.add_argument(
        "--device", choices=DEVICES, help="where to train (default: the accelerator, if any)"
    )
    options.add_argument("--seed", type=at_least(0), default=0, help="of weights, data and draws")
    length = options.add_mutually_exclusive_group()
    length.add_argument("--steps", type=at_least(1), help="optimiser steps (default: the preset's)")
    length.add_argument(
        "--epochs", type=at_least(1), help="passes over the data, in place of --steps"
    )
    options.add_argument(
        "--batch-size",
        type=at_least(1),
        help="sequences a step and process (default: the preset's)",
    )
    options.add_argument("--out", type=Path, default=Path("runs") / name, help="folder of results")
    start = options.add_mutually_exclusive_group()
    start.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint, if there is one"
    )
    start.add_argument(
        "--overwrite",
        action="store_true",
        help="begin anew where --out holds checkpoints of an unfinished run, which are deleted; those of a "
        "finished run need no --overwrite",
    )
    start.add_argument(
        "--evaluate",
        metavar="MODEL",
        help="a saved model, by its folder or its id at the Hugging Face hub, owner/name; no training",
    )
    return options
