"""The base of every model and guide."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from pyro.nn import PyroModule
from torch import nn

from .hub import HubMixin

_announces = True


@contextmanager
def unannounced() -> Iterator[None]:
    """Within, programs do not announce their weights to Pyro's handlers.

    By default each network that a program uses is announced weight by weight, as ``param`` sites, in every
    pass: :class:`pyro.infer.SVI` finds there what to train. ``fit`` has the weights from the modules.
    """
    global _announces
    before, _announces = _announces, False
    try:
        yield
    finally:
        _announces = before


class Program(PyroModule, HubMixin):
    """A Pyro program whose weights are its own, with ``save_pretrained`` and ``from_pretrained``.

    Under ``module_local_params`` weights stay out of Pyro's global store, and programs do not share them by
    name. :class:`pyro.infer.SVI` still asks each weight for its unconstrained value, as if it came from
    there; a weight without constraint is its own.
    """

    content: ClassVar[tuple[str, ...]] = ("f",)
    """The sites of what stays over a sequence."""
    dynamics: ClassVar[tuple[str, ...]] = ("z",)
    """The sites of what moves."""

    def __getattr__(self, name: str) -> Any:
        part = self.__dict__.get("_modules", {}).get(name)
        if part is None:
            part = self.__dict__.get("_parameters", {}).get(name)
        if part is None or isinstance(part, PyroModule):
            return super().__getattr__(name)
        if not _announces:
            return part
        for weight in part.parameters() if isinstance(part, nn.Module) else (part,):
            if not hasattr(weight, "unconstrained"):
                weight.unconstrained = weakref.ref(weight)  # type: ignore[union-attr]
        return super().__getattr__(name)
