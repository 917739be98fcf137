"""Batches that hold several sequences with one label: a speaker, a person, a character."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from .._numbers import check_whole


class Labelled(Protocol):
    """What :class:`Groups` needs of a data set."""

    labels: dict[str, Tensor]
    transform: Any

    def batch(
        self, index: Tensor, device: torch.device | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Any, dict[str, int]]: ...


class Groups(Dataset[tuple[Any, dict[str, int]]]):
    """Each sequence in the company of others with the same label, drawn anew each time.

    A batch of ``fit`` holds ``size`` times as many sequences as ``batch_size`` says, and an epoch is over
    when each has led a group of its own. For :class:`~pyro_dsae.objectives.Grouped`.

    Args:
        data: sequences that are read by batches, such as :class:`~pyro_dsae.data.Sequences` and
            :class:`~pyro_dsae.data.SpeechSegments`, without a transform.
        by: the label that those of a group have in common.
        size: sequences in a group; one that is alone with its label is there several times.

    An item is that of ``data``. Raises ``ValueError`` if there is no such label, and in workers, which read
    item by item.
    """

    transform = None

    def __init__(self, data: Labelled, by: str, size: int = 2) -> None:
        check_whole(1, size=size)
        labels = getattr(data, "item_labels", data.labels)
        if by not in labels:
            raise ValueError(f"by must be one of {', '.join(labels) or 'no labels'}, got {by}")
        if len(labels[by]) != len(data):
            raise ValueError(
                f"labels[{by!r}] must be one of each of the {len(data)} items, got {len(labels[by])}"
            )
        if data.transform is not None:
            raise ValueError(f"data must have no transform, got {data.transform!r}")
        self.data, self.by, self.size = data, by, size
        _, group, sizes = labels[by].cpu().unique(return_inverse=True, return_counts=True)
        self._order = group.argsort(stable=True)
        self._sizes, self._first = sizes[group], (sizes.cumsum(0) - sizes)[group]
        self._rank = self._order.argsort() - self._first  # of each within its group

    def batch(
        self, index: Tensor, device: torch.device | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sequences ``index``, ``(n,)``, each followed by others of its label: ``n size`` of them."""
        leaders = index.unsqueeze(1)
        sizes, rank = self._sizes[leaders], self._rank[leaders]
        ahead = 1 + (torch.rand(len(index), self.size - 1) * (sizes - 1)).long()
        others = self._order[self._first[leaders] + (rank + ahead) % sizes]
        return self.data.batch(torch.cat([leaders, others], 1).flatten(), device)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, dict[str, int]]:
        if get_worker_info() is not None:
            raise ValueError("num_workers must be 0: groups are read by batches, not by items")
        return self.data[index]
