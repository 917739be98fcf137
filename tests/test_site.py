"""The site's sources: tutorials run, every page is reached, every public name is in the reference."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import matplotlib
import pytest

import pyro_dsae

DOCS = Path(__file__).parents[1] / "docs"
CELL = re.compile(r"^```\{code-cell\} ipython3\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TUTORIALS = sorted(path.stem for path in (DOCS / "tutorials").glob("*.md") if path.stem != "index")
NEEDS = {"voices": "librosa", "videos": "av"}


def cells(tutorial: str) -> list[str]:
    return CELL.findall((DOCS / "tutorials" / f"{tutorial}.md").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("tutorial", TUTORIALS)
def test_a_tutorial_runs(tutorial, tmp_path, monkeypatch):
    pytest.importorskip("IPython")
    pytest.importorskip(NEEDS.get(tutorial, "IPython"))
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    source, count = re.subn(r"^STEPS = \d+$", "STEPS = 2", "\n".join(cells(tutorial)), flags=re.M)
    assert count == 1
    exec(compile(source, tutorial, "exec"), {"__name__": tutorial})
    assert list(tmp_path.iterdir()) or tutorial == "voices"


def test_a_hundred_lines_are_a_hundred():
    """From the imports to the training, without the data."""
    start, _, *ours = cells("hundred-lines")
    lines = [line for cell in (start, *ours[:4]) for line in cell.splitlines() if line.strip()]
    assert "svi.step" in ours[3] and len(lines) <= 100
    imported = set(re.findall(r"^(?:from|import) (\w+)", "\n".join([start, *ours[:4]]), re.M))
    assert imported == {"pyro", "torch"}


def test_every_page_is_reached():
    pages = {
        str(path.relative_to(DOCS).with_suffix(""))
        for s in ("md", "rst")
        for path in DOCS.rglob(f"*.{s}")
    }
    reached = {"index"}
    for page in pages:
        path = next(p for p in (DOCS / f"{page}.md", DOCS / f"{page}.rst") if p.exists())
        for block in re.findall(
            r"toctree\}?.*?\n((?:[ :].*\n|\n)*(?:[ \w/-]+\n)+)", path.read_text()
        ):
            for line in block.splitlines():
                if re.fullmatch(r" *[\w/-]+", line):
                    reached.add(str(Path(page).parent / line.strip()))
    assert pages == reached


def rooms() -> list[str]:
    """The modules that the reference takes whole."""
    pages = "".join(path.read_text() for path in (DOCS / "reference").glob("*.rst"))
    return [
        name
        for name, options in re.findall(r"automodule:: (\S+)\n((?: +:.*\n)*)", pages)
        if "no-" not in options
    ]


def test_every_public_name_is_in_the_reference():
    there = {name for room in rooms() for name in dir(importlib.import_module(room))}
    alone = re.findall(r"autofunction:: (\w+)", (DOCS / "reference" / "control.rst").read_text())
    assert {*pyro_dsae.__all__} - there - {*alone} == {"__version__"}
    families = {path.parent.name for path in Path(pyro_dsae.__file__).parent.glob("*/__init__.py")}
    assert {f"pyro_dsae.{name}" for name in families} <= {*rooms()}


def test_links_of_pages_elsewhere_lead_to_the_site(monkeypatch):
    spec = importlib.util.spec_from_file_location("conf", DOCS / "conf.py")
    conf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conf)
    root = DOCS.parent
    text = "[a](docs/priors.md#x) [b](CONTRIBUTING.md) ![c](docs/swap.gif) [d](benchmarks/results) [e](https://e.org)"
    assert conf.at_home(text, root, "index") == (
        "[a](priors.md#x) [b](contributing.md) ![c](swap.gif) d [e](https://e.org)"
    )
    text = "[a](../README.md#results) [b](../benchmarks/results/kills.json) [c](priors.md)"
    assert conf.at_home(text, DOCS, "guides") == (
        "[a](index.md#results) [b](../benchmarks/results/kills.json) [c](priors.md)"
    )
