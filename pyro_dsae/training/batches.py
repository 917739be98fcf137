"""Minibatches for training, in an order that seed, epoch and process determine."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from accelerate import Accelerator, skip_first_batches
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Sampler,
    StackDataset,
    Subset,
    default_collate,
)
from torch.utils.data.distributed import DistributedSampler

from ..data.padding import padded
from ..data.sequences import Sequences, alike, as_float
from ..nn import check_mask, hidden

Batch = tuple[Tensor, Mapping[str, Tensor]]
Data = Dataset | Tensor | np.ndarray | Sequence[Any]
"""Sequences ``(N, T, *frame)``, or a data set whose items are ``x``, ``(x,)`` or ``(x, labels)``."""


POOL = 16
"""Batches that are sorted by length at a time."""
MASK = "mask"
"""The label that says which frames are present."""


@runtime_checkable
class Batched(Protocol):
    """A data set that reads many sequences at once, see :meth:`pyro_dsae.data.Sequences.batch`."""

    transform: Any

    def batch(self, index: Tensor, device: torch.device | None = None) -> Batch: ...


class Batches:
    """Minibatches of ``data`` on the device, from any step on.

    A data set that reads whole batches is asked for them; :class:`~pyro_dsae.data.Sequences` move to the
    device for good if a quarter of its free memory holds them. Any other data set, or one with a
    transform, goes through a ``DataLoader``.

    :param batch_size: sequences a step and process.
    :param workers: processes that read items; with any, all data sets go through the ``DataLoader``, and
        what an item draws (by the generators of torch, NumPy and Python) seed, epoch and index determine.
    """

    def __init__(
        self, data: Dataset, batch_size: int, accelerator: Accelerator, workers: int, seed: int
    ) -> None:
        replicas = accelerator.num_processes
        size = len(data)  # type: ignore[arg-type]
        if size < replicas:
            raise ValueError(f"data must hold at least {replicas} sequences, got {size}")
        self.data, self.device = data, accelerator.device
        self.batch_size = min(batch_size, size // replicas)
        self.sampler: DistributedSampler = _Similar(
            data, replicas, accelerator.process_index, seed=seed, drop_last=True
        )
        self.sampler.sort(_lengths(data), self.batch_size)
        self.batched: Batched | None = None
        if isinstance(data, Batched) and workers == 0 and _by_batches(data):
            self.batched = _on_device(data, self.device) if isinstance(data, Sequences) else data
            return
        self.loader = DataLoader(
            _Seeded(_numbered(data), seed) if workers else _numbered(data),
            self.batch_size,
            sampler=_WithEpoch(self.sampler) if workers else self.sampler,
            drop_last=True,
            num_workers=workers,
            pin_memory=self.device.type == "cuda" and _on_cpu(data),
            persistent_workers=workers > 0,
            worker_init_fn=_leave_group,
            collate_fn=collated,
            # Its own generator: the global one belongs to the model's draws.
            generator=torch.Generator().manual_seed(seed),
        )

    def __len__(self) -> int:
        """Steps an epoch; what is left of the data then waits for the next."""
        return len(self.sampler) // self.batch_size

    def from_step(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps ``start`` to ``stop``, on the device, and their labels."""
        step = start
        while step < stop:
            epoch, skip = divmod(step, len(self))
            self.sampler.set_epoch(epoch)
            for batch in itertools.islice(self._epoch(skip), stop - step):
                yield batch
                step += 1

    def _epoch(self, skip: int) -> Iterator[Batch]:
        if self.batched is not None:
            order = torch.tensor([*self.sampler]).split(self.batch_size)
            for index in order[skip : len(self)]:
                yield _shown(self.batched.batch(index, self.device))
            return
        loader = skip_first_batches(self.loader, skip) if skip else self.loader
        with _sigterm_waits():
            batches = iter(loader)
        for batch in batches:
            yield _on(self.device, batch)

    def describe(self, step: int) -> str:
        """Which sequences a step has seen, and whether they hold a value that is not finite."""
        epoch, index = divmod(step, len(self))
        self.sampler.set_epoch(epoch)
        size = self.batch_size
        indices = list(self.sampler)[index * size : (index + 1) * size]
        x, _ = _shown(collated([(i, self.data[i]) for i in indices]))
        bad = ~x.isfinite().flatten(1).all(1)
        found = [i for i, is_bad in zip(indices, bad.tolist(), strict=True) if is_bad]
        cause = f"x is not finite in sequences {found[:8]}" if found else "x is finite"
        return f"batch {index} of epoch {epoch} (sequences {indices[:8]}...; {cause})"


class _Similar(DistributedSampler):
    """Where lengths differ, batches of similar ones, so that padding is little: their order is drawn."""

    lengths: Sequence[int] | None = None
    batch_size = 1

    def sort(self, lengths: Sequence[int] | None, batch_size: int) -> None:
        """By ``lengths`` of all sequences, in batches; None: the order is left as it is drawn."""
        self.lengths, self.batch_size = lengths, batch_size

    def __iter__(self) -> Iterator[int]:
        order = [*super().__iter__()]
        if self.lengths is None:
            return iter(order)
        whole = len(order) - len(order) % self.batch_size
        batches: list[list[int]] = []
        for start in range(0, whole, POOL * self.batch_size):
            stop = min(start + POOL * self.batch_size, whole)
            pool = sorted(order[start:stop], key=self.lengths.__getitem__)
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        random.Random(self.seed + self.epoch).shuffle(batches)
        return itertools.chain(*batches, order[whole:])


def _by_batches(data: Batched) -> bool:
    """Whether many are read at once: with a transform, or of lengths that padding has to make one, they are
    gathered item by item."""
    return data.transform is None and _lengths(data) is None


def _lengths(data: Any) -> Sequence[int] | None:
    """Frames of each item where they differ: of a list, or of a data set that has (``item_``)``lengths``."""
    known = getattr(data, "item_lengths", getattr(data, "lengths", None))
    if known is None and isinstance(data, list):
        known = [len(split(item, n)[0]) for n, item in enumerate(data) if hasattr(item, "__len__")]
    lengths = None if known is None else [int(length) for length in known]
    return lengths if lengths and len(lengths) == len(data) and len({*lengths}) > 1 else None


class _WithEpoch(Sampler[tuple[int, int]]):
    """The indices of ``sampler``, each with the epoch: workers that live on know of no other way."""

    def __init__(self, sampler: DistributedSampler) -> None:
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.sampler.epoch, index) for index in self.sampler)


class _Seeded(Dataset):
    """Items of ``data`` that draw the same numbers in whichever worker, after whichever others."""

    def __init__(self, data: Dataset, seed: int) -> None:
        self.data, self.seed = data, seed

    def __getitem__(self, key: tuple[int, int]) -> Any:
        state = np.random.SeedSequence((self.seed, *key)).generate_state(3).tolist()
        random.seed(state[0])
        np.random.seed(state[1])  # noqa: NPY002
        torch.default_generator.manual_seed(state[2])
        return self.data[key[1]]


@contextlib.contextmanager
def _sigterm_waits() -> Iterator[None]:
    """Workers that start are deaf to SIGTERM until they can answer it: Python loses one in a fork."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _leave_group(worker: int) -> None:
    """A signal to the group (Ctrl-C, ``timeout``) is the training process's to answer, not a worker's."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _on_cpu(data: Any) -> bool:
    """Whether what is read lies there: nothing else can be pinned."""
    x, labels = split(data[0], 0)
    return all(v.device.type == "cpu" for v in (x, *labels.values()) if isinstance(v, Tensor))


def _on_device(data: Sequences, device: torch.device) -> Sequences:
    """There for good if there is room, else as it is."""
    if device.type != "cuda" or data.frames.nbytes > torch.cuda.mem_get_info(device)[0] / 4:
        return data
    return data.to(device)


def in_order(data: Dataset, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """All sequences once, on the device: read by batches where the data set can."""
    part = isinstance(data, Subset)
    whole, indices = (data.dataset, data.indices) if part else (data, range(len(data)))  # type: ignore[attr-defined, arg-type]
    if isinstance(whole, Batched) and _by_batches(whole):
        for index in torch.tensor([*indices]).split(batch_size):
            yield _shown(whole.batch(index, device))
        return
    # Its own generator, as above.
    loader = DataLoader(
        _numbered(data), batch_size, collate_fn=collated, generator=torch.Generator()
    )
    for batch in loader:
        yield _on(device, batch)


def as_dataset(data: Data, name: str = "data") -> Dataset:
    """A tensor or an array of sequences as a data set; a list, or a data set, itself.

    :raises TypeError: naming what it is that cannot be read, and what to pass in its place.
    :raises ValueError: if there are no sequences.
    """
    instead = "".join(f": pass {this}" for kind, this in _INSTEAD.items() if isinstance(data, kind))
    if instead or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise TypeError(
            f"{name} must be sequences (N, T, *frame), or a data set with a length and items, "
            f"got {type(data).__name__}{instead}"
        )
    dataset: Any = Sequences(data) if isinstance(data, (Tensor, np.ndarray)) else data
    if not len(dataset):
        raise ValueError(f"{name} must hold at least 1 sequences, got 0")
    return dataset


_INSTEAD = {
    DataLoader: "its data set, loader.dataset, of which batches are made here",
    IterableDataset: "a data set with a length, such as pyro_dsae.data.Sequences of a file",
    Mapping: "pyro_dsae.data.Sequences(x, labels)",
    tuple: "pyro_dsae.data.Sequences(x, labels)",
    str: "pyro_dsae.data.Sequences(path)",
    os.PathLike: "pyro_dsae.data.Sequences(path)",
}


def _numbered(data: Dataset) -> StackDataset:
    """Items with their numbers, by which an error names them."""
    return StackDataset(range(len(data)), data)  # type: ignore[arg-type]


def collated(items: Sequence[tuple[int, Any]]) -> Batch:
    """x ``(n, T, *frame)`` as it is kept, and labels ``(n,)`` where they are numbers, of numbered items.

    Where lengths differ, or a label is a mask ``(T,)``, there is a label ``mask``, ``(n, T)``.
    """
    pairs = [split(item, number) for number, item in items]
    numbered = ((number, x) for (number, _), (x, _) in zip(items, pairs, strict=True))
    sequences = alike(numbered, any_length=True)
    labels = [labels for _, labels in pairs]
    for (number, _), given in zip(items, labels, strict=True):
        if given.keys() != labels[0].keys():
            raise ValueError(
                f"sequences must have the same labels, got {[*labels[0]]} of sequence {items[0][0]} "
                f"and {[*given]} of sequence {number}"
            )
    try:
        known = default_collate([{n: v for n, v in each.items() if n != MASK} for each in labels])
    except (RuntimeError, TypeError) as error:
        raise TypeError(
            f"labels must be whole numbers, got {labels[0]} of sequence {items[0][0]}: {error}"
        ) from error
    known = {name: v for name, v in known.items() if isinstance(v, Tensor)}
    if MASK not in labels[0] and len({len(x) for x in sequences}) == 1:
        return default_collate(sequences), known
    masks = [each[MASK] for each in labels] if MASK in labels[0] else None
    x, known[MASK] = padded(sequences, masks)
    return x, known


def _on(device: torch.device, batch: Batch) -> Batch:
    """x on the device; uint8 crosses as it is and becomes floats there."""
    x, labels = batch
    return _shown((as_float(x.to(device, non_blocking=True)), labels))


def _shown(batch: Batch) -> Batch:
    """With zeros in absent frames, and the mask where x is."""
    x, labels = batch
    if MASK not in labels:
        return batch
    mask = labels[MASK].to(x.device, non_blocking=True)
    check_mask(mask, x)
    return hidden(x, mask), {**labels, MASK: mask}


def split(item: Any, number: int) -> tuple[Any, Mapping[str, Any]]:
    """x and labels of sequence ``number``: of ``x``, ``(x,)`` or ``(x, labels)``."""
    if isinstance(item, Mapping):
        raise TypeError(
            f"sequence {number} must be x or (x, labels), got a dict of {[*item]}: pass a data set whose "
            f"items are tuples"
        )
    if not isinstance(item, tuple):
        return item, {}
    return item[0], item[1] if len(item) > 1 and isinstance(item[1], Mapping) else {}
