"""A torchvision that does not fit torch gives one line with the remedy."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pyro_dsae import _compat

ROOT = Path(__file__).resolve().parents[1]

# What torchvision's own __init__ comes to once its operators have failed to load.
BROKEN_INIT = """
import torch

@torch.library.register_fake("torchvision::nms")
def meta_nms(dets, scores, iou_threshold):
    return dets
"""


def make_torchvision(folder: Path, init: str) -> None:
    """A package on disk with operators that no torch can load, and torchvision's metadata."""
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(textwrap.dedent(init))
    (folder / "torchvision" / "_C.so").write_bytes(b"not a library")
    info = folder / "torchvision-0.0.7.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.0.7\n")


def run_beside(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` where the torchvision in ``folder`` is found before the real one."""
    setup = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]\n"
    return subprocess.run(
        [sys.executable, "-c", setup + code], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    "code", ["import pyro_dsae", "from pyro_dsae import _compat; _compat.import_torchvision()"]
)
def test_operators_of_another_build_give_one_line(tmp_path: Path, code: str) -> None:
    make_torchvision(tmp_path, BROKEN_INIT)
    result = run_beside(tmp_path, code)
    assert result.returncode == 1
    assert "register_fake" not in result.stderr
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("ImportError: torchvision 0.0.7 does not load beside torch ")
    assert "operator torchvision::nms does not exist" in line
    assert line.endswith("pip install --force-reinstall torch torchvision")


def test_newer_than_torch(tmp_path: Path) -> None:
    make_torchvision(tmp_path, "import torch.of_another_release")
    line = run_beside(tmp_path, "import pyro_dsae").stderr.strip().splitlines()[-1]
    assert "No module named 'torch.of_another_release'" in line
    assert line.endswith("pip install --force-reinstall torch torchvision")


def test_another_missing_package_is_reported_as_it_is(tmp_path: Path) -> None:
    make_torchvision(tmp_path, "import package_that_is_missing")
    line = run_beside(tmp_path, "import pyro_dsae").stderr.strip().splitlines()[-1]
    assert line == "ModuleNotFoundError: No module named 'package_that_is_missing'"


def test_torchvision_that_fits() -> None:
    _compat.check_torchvision()
    assert _compat.import_torchvision().__name__ == "torchvision"


def test_package_import_leaves_the_slow_packages_alone() -> None:
    slow = ("torchvision", "arviz", "matplotlib", "PIL")
    result = run_beside(
        ROOT, f"import pyro_dsae; print([name for name in {slow} if name in sys.modules])"
    )
    assert result.stdout.strip() == "[]", result.stderr
