"""The weights of a model with its guide, in a folder to keep or to share."""

from __future__ import annotations

import json
from pathlib import Path

from torch import nn

from . import guides, models


def save(folder: str | Path, model: nn.Module, guide: nn.Module) -> None:
    """Write both as safetensors with their configuration: ``folder/{model,guide}`` and an index."""
    folder = Path(folder)
    index = {}
    for role, module in (("model", model), ("guide", guide)):
        module.save_pretrained(folder / role)  # type: ignore[operator]
        index[role] = type(module).__name__
    (folder / "index.json").write_text(json.dumps(index, indent=2) + "\n")


def load(folder: str | Path) -> tuple[nn.Module, nn.Module]:
    """The model and the guide that :func:`save` wrote, on the CPU and in evaluation mode.

    For networks of your own use ``from_pretrained(folder / "model", decoder=...)`` of the class itself.

    :raises FileNotFoundError: if ``folder`` holds none.
    """
    folder = Path(folder)
    index = folder / "index.json"
    if not index.is_file():
        raise FileNotFoundError(f"no model in {folder}: {index.name} is missing")
    names = json.loads(index.read_text())
    model = getattr(models, names["model"]).from_pretrained(folder / "model")
    guide = getattr(guides, names["guide"]).from_pretrained(folder / "guide")
    return model.eval(), guide.eval()
