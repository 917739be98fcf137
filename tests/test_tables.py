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
    run = json.loads((results.RESULTS / "sprites_lpc_64_seed0.json").read_text())
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


def test_recipes_by_data_set_are_shown_where_there_are_results(
    tables, results, tmp_path, monkeypatch
):
    page = (ROOT / "docs" / "objectives.md").read_text()
    empty = re.sub(r"(<!-- table: recipes -->\n).*?(<!-- /table)", r"\1\2", page, flags=re.DOTALL)
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    assert tables.TABLES["recipes"]() == []
    kept = tables.TABLES["objectives"]  # of a result that is not in this folder
    monkeypatch.setitem(tables.TABLES, "objectives", lambda: [["?"]])
    assert "<!-- table: recipes -->\n<!-- /table -->" in tables.filled(empty)
    monkeypatch.setitem(tables.TABLES, "objectives", kept)

    def run(recipe, data, seed, **figures):
        return {"recipe": recipe, "data": data, "seed": seed, "knows": "nothing", **figures}

    sprites = [
        run("elbo", "procedural", 0, swap_static=0.5, swap_action=0.25),
        run("elbo", "procedural", 1, swap_static=0.75, swap_action=0.25),
        run("views", "procedural", 0, swap_static=1.0, swap_action=1.0),
        run("views", "procedural", 1, reason="training: NaN"),
    ]
    speech = [
        run("elbo", "speech", 0, eer_f=0.125, eer_z=0.25),
        run("views", "speech", 0, reason=""),
    ]
    for name, runs in (("sprites", sprites), ("speech", speech)):
        split = {"split": "validation"} if name == "speech" else {}
        (tmp_path / f"compare_recipes_{name}.json").write_text(json.dumps({"runs": runs, **split}))
    results.result.cache_clear()
    head, *rows = tables.TABLES["recipes"]()
    assert head == ["", "procedural: content kept", "procedural: action kept"]
    assert rows == [
        ["`elbo`", "62.5% (50.0 to 75.0)", "25.0%"],
        ["`views`", "100.0%", "100.0%"],
    ]
    held_out = "speech, held out of training: EER of"
    assert tables.TABLES["recipes_elsewhere"]() == [
        ["", f"{held_out} f", f"{held_out} z"],
        ["`elbo`", "12.5%", "25.0%"],
        ["`views`", "-", "-"],
    ]
    (tmp_path / "compare_recipes_more.json").write_text(json.dumps({"runs": sprites[:1]}))
    with pytest.raises(ValueError, match="two results have elbo on procedural with seed 0"):
        tables.TABLES["recipes"]()
    results.result.cache_clear()


def test_check_fails_and_names_the_page_and_without_it_the_page_is_written(
    tables, tmp_path, monkeypatch, capsys
):
    page, right = tmp_path / "page.md", (ROOT / "docs" / "speech.md").read_text()
    wrong, changed = re.subn(r"\d+\.\d% \[", "99.9% [", right, count=1)
    assert changed
    page.write_text(wrong)
    monkeypatch.setattr(tables, "PAGES", [page])
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["tables.py", "--check"])
    assert tables.main() == 1 and capsys.readouterr().out == "page.md: differs\n"
    monkeypatch.setattr("sys.argv", ["tables.py"])
    assert tables.main() == 0 and page.read_text() == right
