"""One clear line in place of torchvision's traceback when it was built for another torch.

torchvision's compiled operators load only beside the torch that they were built for. Those of a
CUDA build do not load beside a CPU-only torch, for instance, and ``import torchvision`` then ends
deep inside torch with ``operator torchvision::nms does not exist``.
"""

from __future__ import annotations

import importlib
import importlib.util
from importlib import metadata
from pathlib import Path
from types import ModuleType

import torch


def import_torchvision() -> ModuleType:
    """The ``torchvision`` module.

    :raises ImportError: in one line, with both versions and the remedy, if torchvision does not fit
        the torch that is installed.
    """
    try:
        return importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("torch.", "torchvision.")):
            raise
        reason = str(error)
    except (AttributeError, ImportError, OSError, RuntimeError) as error:
        reason = str(error)
    raise ImportError(
        f"torchvision {_version('torchvision')} does not load beside torch {_version('torch')} "
        f"({' '.join(reason.split())}); install both from one release: "
        "pip install --force-reinstall torch torchvision",
        name="torchvision",
    ) from None


def check_torchvision() -> None:
    """Raise the ImportError of :func:`import_torchvision` now rather than in the middle of a run.

    Importing torchvision takes seconds, loading its operators milliseconds: torchvision itself is
    imported only if they do not load.
    """
    spec = importlib.util.find_spec("torchvision")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    for library in (path for folder in folders for path in Path(folder).glob("_C*.so")):
        try:
            torch.ops.load_library(library)
        except OSError:
            import_torchvision()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(unknown version)"
