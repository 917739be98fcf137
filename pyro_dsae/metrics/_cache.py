"""Trained classifiers, kept as safetensors with their measured accuracy."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file


class Classifier(Protocol):
    """What is kept: weights, and an accuracy that JSON can hold."""

    accuracy: Any

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


C = TypeVar("C", bound=Classifier)


def load_or_train(path: Path, blank: Callable[[], C], train: Callable[[], C], name: str) -> C:
    """The classifier that ``path`` keeps, else the one that ``train`` makes, kept there.

    :param blank: makes one of the same architecture, to take the weights.
    :param name: what the file should hold; a file that cannot be read is made anew, with a warning.
    """
    if path.is_file():
        try:
            return _load(path, blank())
        except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
            warnings.warn(f"training anew: {path} is not {name} ({error})", stacklevel=3)
    classifier = train()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    weights = {key: value.contiguous() for key, value in classifier.state_dict().items()}
    save_file(weights, partial, metadata={"accuracy": json.dumps(classifier.accuracy)})
    os.replace(partial, path)
    return classifier


def _load(path: Path, classifier: C) -> C:
    with safe_open(path, "pt") as file:
        classifier.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
        classifier.accuracy = json.loads(file.metadata()["accuracy"])
    return classifier
