"""The tables of README and docs are those that the committed results give, figure by figure."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tables(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("tables")


@pytest.fixture
def results(tables) -> ModuleType:
    return importlib.import_module("table.results")


def test_the_pages_are_as_the_results_have_them(tables):
    stale = [
        page.name for page in tables.PAGES if tables.filled(page.read_text()) != page.read_text()
    ]
    assert stale == [], "run python benchmarks/tables.py"


def test_every_marker_is_closed_and_every_table_stands_somewhere(tables):
    text = "\n".join(page.read_text() for page in tables.PAGES)
    named = re.findall(r"<!-- table: (\S*) -->", text)
    assert named == [name for _, name, _ in tables.MARKED.findall(text)]
    assert len(named) == text.count("<!-- /table -->")
    assert {*tables.TABLES} == {*named}


def test_a_figure_typed_by_hand_is_found_and_written_over(tables):
    page = (ROOT / "docs" / "guides.md").read_text()
    typed = page.replace("31.5 ± 0.5", "32 ± 0")
    assert typed != page and tables.filled(typed) == page


def test_seeds_give_mean_and_range_and_what_is_not_there_is_left_out(
    tables, results, tmp_path, monkeypatch
):
    run = json.loads((results.RESULTS / "sprites_procedural_64.json").read_text())
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    results.result.cache_clear()
    for seed, share in {0: 0.96, 2: 0.98}.items():
        run["swap"]["static_accuracy"] = share
        run["swap_against_truth"] = run["swap"]
        (tmp_path / f"sprites_lpc_64_seed{seed}.json").write_text(json.dumps(run))
    head, *rows = tables.TABLES["lpc"]()
    results.result.cache_clear()
    assert head[1] == "ours, 2 seeds" and {len(row) for row in rows} == {len(head)}
    assert dict(row[:2] for row in rows)["swap: attributes"] == "97.0% (96.0 to 98.0)"


def test_check_fails_and_names_the_page_and_without_it_the_page_is_written(
    tables, tmp_path, monkeypatch, capsys
):
    page, right = tmp_path / "page.md", (ROOT / "docs" / "speech.md").read_text()
    page.write_text(right.replace("19.2% [", "2.4% ["))
    monkeypatch.setattr(tables, "PAGES", [page])
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["tables.py", "--check"])
    assert tables.main() == 1 and capsys.readouterr().out == "page.md: differs\n"
    monkeypatch.setattr("sys.argv", ["tables.py"])
    assert tables.main() == 0 and page.read_text() == right
