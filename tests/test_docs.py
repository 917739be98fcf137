"""README and docs: snippets run, commands are understood, links and names lead somewhere."""

from __future__ import annotations

import argparse
import importlib
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path

import pytest
import torch
from accelerate.commands.launch import launch_command_parser
from graphviz import ExecutableNotFound
from torch.distributed.run import get_args_parser

import pyro_dsae

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    ]
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str, language: str) -> list[re.Match[str]]:
    return [block for block in BLOCK.finditer(PAGES[page]) if block[1] == language]


def spans(page: str) -> list[str]:
    """What stands between single backticks, on one line."""
    text = BLOCK.sub("", PAGES[page])
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


def test_every_block_is_of_a_language_that_is_tried():
    fences = [fence for text in PAGES.values() for fence in re.findall(r"^ *```(.*)$", text, re.M)]
    assert {*fences} == {"python", "sh", ""}
    tried = sum(len(blocks(page, language)) for page in PAGES for language in ("python", "sh"))
    assert len(fences) == 2 * tried


def run_page(page: str) -> dict:
    """The names that the page's snippets leave, which go on from each other; lines are the page's."""
    text, source = PAGES[page], ""
    for block in blocks(page, "python"):
        source += "\n" * (text.count("\n", 0, block.start(2)) - source.count("\n")) + block[2]
    names: dict = {"__name__": page}
    # Networks run as they are where the page compiles them: tests/test_compile.py holds that it is the same.
    with torch.compiler.set_stance("force_eager"):
        exec(compile(source, page, "exec"), names)
    return names


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_snippets_of_a_page_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        names = run_page(page)
    except ExecutableNotFound:  # the last line of docs/pyro.md draws with a program of the system
        pytest.skip(f"{page} ran up to the picture: Graphviz has no dot here")
    if page == "README.md":
        losses = [float(line) for line in capsys.readouterr().out.splitlines()]
        assert len(losses) == 10 and losses[-1] < losses[0]
        assert names["swapped"].shape == (8, 8, 3, 32, 32)
        assert names["wander"].shape == (8, 50, 3, 32, 32)
    if page == "docs/scale.md":
        assert len(pyro_dsae.load("runs/mine/model")) == 2
        assert Path("frames.npy").stat().st_size < 10_000_000


SCRIPT = re.compile(r"(examples|benchmarks)/\w+\.py")


def commands() -> Iterator[tuple[str, list[str]]]:
    """Page and words of every command that runs one of our scripts."""
    for page in PAGES:
        text = "\n".join(block[2].replace("\\\n", " ") for block in blocks(page, "sh"))
        lines = [part for line in text.splitlines() for part in line.split("&&")]
        launchers = ("python ", "torchrun ", "accelerate ")
        for line in lines + [span for span in spans(page) if span.startswith(launchers)]:
            if SCRIPT.search(line):
                yield page, shlex.split(line, comments=True)


class Parsed(Exception):  # noqa: N818
    """The script has understood its options."""


@contextmanager
def scripts_of(folder: Path) -> Iterator[None]:
    """Import from a folder of scripts; examples and benchmarks both have a ``common``."""
    names = {path.stem for path in folder.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in names & {*sys.modules}}
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


@pytest.mark.parametrize(
    ("page", "command"), [pytest.param(*found, id=" ".join(found[1])) for found in commands()]
)
def test_a_command_is_understood(page, command, monkeypatch):
    """By the launcher's own parser and the script's; nothing is run, and no process started."""
    if command[0] == "python":
        script, *options = command[1:]
    else:
        torchrun = command[0] == "torchrun"
        parser = get_args_parser() if torchrun else launch_command_parser()
        launched = parser.parse_args(command[1 if torchrun else 2 :])
        script, options = launched.training_script, launched.training_script_args

    understand = argparse.ArgumentParser.parse_args

    def parse_and_stop(*args, **kwargs):
        raise Parsed(understand(*args, **kwargs))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [script, *options])
    monkeypatch.syspath_prepend(str((ROOT / script).parent))
    with scripts_of((ROOT / script).parent), pytest.raises(Parsed):
        runpy.run_path(str(ROOT / script), run_name="__main__")


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", BLOCK.sub("", PAGES[page]))
    ours = [link for link in links if not link.startswith(("http", "mailto"))]
    assert [link for link in ours if not (ROOT / page).parent.joinpath(link).exists()] == []
    path = re.compile(r"(?:docs|tests|examples|benchmarks|pyro_dsae)/[\w./]*")
    named = [found for span in spans(page) for found in path.findall(span)]
    missing = [name for name in named if not (ROOT / name).exists()]
    assert [name for name in missing if "my_" not in name] == []  # my_model.py: what one may add


@pytest.mark.parametrize("page", PAGES)
def test_names_are_those_of_the_package(page):
    rooms = "|".join(path.stem for path in Path(pyro_dsae.__file__).parent.glob("[a-z]*"))
    name = re.compile(rf"(?:pyro_dsae\.)?((?:{rooms})(?:\.\w+)+)(?:\(.*)?")
    for span in spans(page):
        if (found := name.fullmatch(span)) and not span.endswith((".py", ".json")):
            room, _, rest = found[1].partition(".")
            attrgetter(rest)(importlib.import_module(f"pyro_dsae.{room}"))
        elif match := re.fullmatch(r"pyro_dsae\.(\w+)", span):
            assert hasattr(pyro_dsae, match[1]), span
