"""This version, and what it runs on."""

from __future__ import annotations

import platform
import re
from importlib import metadata

import torch

__version__ = "0.1.0"


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _needed() -> list[str]:
    """The packages that this one names, in the order of the metadata; not those of its developers' extras."""
    try:
        lines = metadata.requires("pyro-dsae") or []
    except metadata.PackageNotFoundError:  # a checkout on the path that was never installed
        return ["torch", "pyro-ppl"]
    lines = [line for line in lines if not re.search(r"extra == .(dev|docs|test)\b", line)]
    names = dict.fromkeys(re.split(r"[^\w.-]", line)[0] for line in lines)
    return [name for name in names if name != "pyro-dsae"]  # whose extras are of others


def _accelerators() -> str:
    if not torch.cuda.is_available():
        return "none"
    return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))


def show_versions() -> None:
    """Print the versions of this package and of all that it needs, and the machine: for bug reports.

    >>> show_versions()  # doctest: +ELLIPSIS
    pyro-dsae ...
    python ...
    """
    rows = {
        "pyro-dsae": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "threads": torch.get_num_threads(),
        "CUDA of torch": torch.version.cuda or "none",
        "GPUs": _accelerators(),
        **{name: _installed(name) for name in _needed()},
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}  {value}")
