"""Classifiers of real data, the instruments of the protocols: trained, and kept with their accuracy."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import trange


class Classifier(Protocol):
    """What is kept: weights, and an accuracy that JSON can hold."""

    accuracy: Any

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


C = TypeVar("C", bound=Classifier)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[torch.Generator]:
    """A random state of its own, for weights and noise, and a generator for which items are seen."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


def descend(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    size: int,
    *,
    steps: int,
    batch_size: int,
    lr: float,
    picks: torch.Generator,
    name: str,
    progress: bool | None,
) -> None:
    """AdamW under a one-cycle schedule on ``loss(index)`` of random items of ``size``.

    :param progress: a progress bar; by default when standard error is a terminal.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    network.train()
    for _ in trange(steps, desc=name, disable=None if progress is None else not progress):
        optimizer.zero_grad()
        loss(torch.randint(size, (batch_size,), generator=picks)).backward()
        optimizer.step()
        cycle.step()


def digest(recipe: object, tensors: Iterable[Tensor]) -> str:
    """Sixteen letters that tell a recipe and its data from others."""
    found = hashlib.sha256(str(recipe).encode())
    for values in tensors:
        found.update(repr(tuple(values.shape)).encode())
        found.update(values.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


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
