"""The examples in docstrings run, and every public name is in the reference."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterator

import pyro
import pytest
import torch
from pyro import distributions as dist
from torch import nn

import pyro_dsae

TAKEN_FOR_GRANTED = {"torch": torch, "nn": nn, "pyro": pyro, "dist": dist, "pyro_dsae": pyro_dsae}
"""What examples need not import; docs/reference/index.rst says so."""


def examples() -> Iterator[doctest.DocTest]:
    for info in pkgutil.walk_packages(pyro_dsae.__path__, "pyro_dsae."):
        if not info.name.endswith("__main__"):
            module = importlib.import_module(info.name)
            found = doctest.DocTestFinder(exclude_empty=True).find(
                module, globs={**vars(module), **TAKEN_FOR_GRANTED}
            )
            yield from (test for test in found if test.examples)


EXAMPLES = {test.name: test for test in examples()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name):
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(EXAMPLES[name], out=said.append)
    assert said == []
