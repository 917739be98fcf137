"""Import paths of version 0.1.0 that lead elsewhere now: for one version they work, with a warning."""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType
from typing import Any

MOVED: dict[str, tuple[str, ...]] = {
    "batches": ("training.batches",),
    "checkpoints": ("training.checkpoints", "saving"),
    "distributions": ("priors",),
    "elbo": ("objectives",),
    "inference": ("training", "training.evaluation"),
    "sequences": ("data.sequences",),
}
"""A module of before, and the modules that hold its names now."""


class _Moved(ModuleType):
    """Stands where a module stood, and finds its names where they are."""

    def __getattr__(self, name: str) -> Any:
        package, _, before = self.__name__.partition(".")
        if not name.startswith("__"):
            for now in MOVED[before]:
                module = importlib.import_module(f"{package}.{now}")
                if hasattr(module, name):
                    warn(f"{self.__name__}.{name}", f"{module.__name__}.{name}")
                    return getattr(module, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def warn(before: str, now: str) -> None:
    """Say where a name is now; at the place that asked for it."""
    warnings.warn(f"{before} is {now} now", DeprecationWarning, stacklevel=3)


def keep_old_paths(package: str) -> None:
    """Let the modules of :data:`MOVED` be imported from where they were."""
    for before in MOVED:
        module = _Moved(f"{package}.{before}")
        sys.modules[module.__name__] = module
        setattr(sys.modules[package], before, module)
