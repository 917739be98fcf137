"""The base of every model and guide."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pyro
import torch
from pyro.nn import PyroModule
from pyro.poutine.messenger import unwrap
from torch import nn

from .hub import HubMixin

Latents = dict[str, tuple[int | None, ...]]

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


@contextmanager
def _store_as_it_is() -> Iterator[None]:
    """Weights of others in Pyro's store, such as a function's as guide, still say what their values are.

    A program with weights of its own puts the store aside as if to write it to a file, and Pyro then takes
    from each weight there what :class:`pyro.infer.SVI` asks of it.
    """
    stored = [
        w for _, w in pyro.get_param_store().named_parameters() if hasattr(w, "unconstrained")
    ]
    try:
        yield
    finally:
        for weight in stored:
            weight.unconstrained = weakref.ref(weight)


def unwrapped(program: Callable) -> Callable:
    """The program itself, without the handlers around it."""
    return program if isinstance(program, nn.Module) else unwrap(program)


def sites_of(model: Callable, which: str) -> tuple[str, ...]:
    """The sites of a model's ``"content"``, or of its ``"dynamics"``."""
    return getattr(unwrapped(model), which, ("f",) if which == "content" else ("z",))


def device_of(program: Callable) -> torch.device:
    """The device of a program's weights; the CPU where it has none."""
    root = unwrapped(program)
    first = next(root.parameters(), None) if isinstance(root, nn.Module) else None
    return torch.device("cpu") if first is None else first.device


@contextmanager
def evaluating(*programs: Callable) -> Iterator[None]:
    """Within, programs are in evaluation mode and track no gradients; then each part is as it was."""
    roots = [root for root in map(unwrapped, programs) if isinstance(root, nn.Module)]
    training = {module: module.training for root in roots for module in root.modules()}
    try:
        for root in roots:
            root.eval()
        with torch.no_grad():
            yield
    finally:
        for module, flag in training.items():
            module.training = flag


class Program(PyroModule, HubMixin):
    """A Pyro program whose weights are its own, with ``save_pretrained`` and ``from_pretrained``.

    It makes and runs itself under Pyro's setting ``module_local_params``, whatever it is outside: weights
    stay out of the global store, and programs do not share them by name. :class:`pyro.infer.SVI` still
    asks each weight for its unconstrained value, as if it came from there; a weight without constraint is
    its own.
    """

    content: ClassVar[tuple[str, ...]] = ("f",)
    """The sites of what stays over a sequence."""
    dynamics: ClassVar[tuple[str, ...]] = ("z",)
    """The sites of what moves."""

    @pyro.settings.context(module_local_params=True)
    def __init__(self) -> None:
        super().__init__()

    @pyro.settings.context(module_local_params=True)
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _store_as_it_is():
            return super().__call__(*args, **kwargs)

    @property
    def latents(self) -> Latents:
        """Shapes of the latents of one sequence by site, None for time: {"f": (32,), "z": (None, 6)}."""
        return {}

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
