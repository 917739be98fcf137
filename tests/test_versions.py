"""What is said of versions, for bug reports and for those who cite."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
import yaml

import pyro_dsae
from pyro_dsae import __main__, versions

ROOT = Path(__file__).parents[1]


def test_the_version_in_one_line(capsys):
    with pytest.raises(SystemExit, match="0"):
        __main__.main(["--version"])
    assert capsys.readouterr().out == f"pyro-dsae {pyro_dsae.__version__}\n"


def test_what_a_bug_report_needs(capsys):
    pyro_dsae.show_versions()
    lines = capsys.readouterr().out.splitlines()
    found = dict(re.split(r"  +", line, maxsplit=1) for line in lines)
    assert found["pyro-dsae"] == pyro_dsae.__version__
    assert found["python"] == sys.version.split()[0]
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    for package in ("pyro-ppl", "accelerate", "av"):  # one of an extra, too
        assert found[package] == metadata.version(package)


def test_the_version_is_that_of_the_code(capsys, monkeypatch):
    """Of a checkout that has been pulled since it was installed, too."""
    monkeypatch.setattr(versions, "__version__", "9.9")
    pyro_dsae.show_versions()
    assert re.search(r"^pyro-dsae +9.9$", capsys.readouterr().out, re.MULTILINE)


def test_what_is_missing_is_said(capsys, monkeypatch):
    monkeypatch.setattr(versions, "_needed", lambda: ["no-such-package"])
    pyro_dsae.show_versions()
    assert re.search(r"^no-such-package +not installed$", capsys.readouterr().out, re.MULTILINE)


def test_the_citation_is_of_this_version_and_of_both_papers():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == pyro_dsae.__version__
    papers = {paper["title"]: paper for paper in cited["references"]}
    for title, paper in papers.items():
        bib = (ROOT / "docs" / "papers.bib").read_text()
        (entry,) = [part for part in bib.split("@inproceedings") if f"{{{title}}}" in part]
        for author in paper["authors"]:
            assert f"{author['family-names']}, {author['given-names']}" in entry
        assert paper["identifiers"][0]["value"].removeprefix("arXiv:") in entry
    assert len(papers) == 2
