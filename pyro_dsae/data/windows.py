"""Windows of recordings, in order: what clips and series have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .._numbers import check_whole
from .sequences import as_float

Which = Literal["random", "tiled"]
_NEAR = 1e-3  # of a frame: times are rounded


class Grid:
    """The frames of a recording that count: every n-th, or so many a second."""

    def __init__(self, num_frames: int | None, stride: int, rate: float | None, pad: bool) -> None:
        check_whole(1, num_frames=num_frames, stride=stride)
        if rate is not None and not 0 < rate < float("inf"):
            raise ValueError(f"rate must be positive, in frames a second, or None, got {rate}")
        if rate is not None and stride != 1:
            raise ValueError(f"give one of stride and rate, got stride={stride} and rate={rate}")
        self.num_frames, self.stride, self.rate, self.pad = num_frames, stride, rate, pad

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of the data set; of stride and rate that which counts."""
        step = {"stride": self.stride} if self.rate is None else {"rate": self.rate}
        return {"num_frames": self.num_frames, **step, "pad": self.pad}

    def from_frame(self, start: int, length: int, times: np.ndarray | None) -> np.ndarray:
        """The frames that count from ``start`` on, of ``length`` shown at ``times`` (seconds).

        At a rate they are those nearest in time to its ticks, so that one may be left out or repeated.
        """
        if self.rate is None or times is None:
            return np.arange(start, length, self.stride)
        ticks = np.arange(int((times[-1] - times[start]) * self.rate + _NEAR) + 1)
        middles = (times[1:] + times[:-1]) / 2
        return np.searchsorted(middles, times[start] + ticks / self.rate)

    def starts(self, length: int, times: np.ndarray | None) -> int:
        """At how many frames, the first ones, a window may begin; of a recording too short, at one."""
        steps = (self.num_frames or 1) - 1
        if self.rate is None or times is None:
            return max(1, length - steps * self.stride)
        latest = times[-1] - (steps - _NEAR) / self.rate
        return max(1, int(np.searchsorted(times, latest, "right")))

    def check(self, path: Path, length: int, times: np.ndarray | None) -> None:
        """ValueError naming a recording that is shorter than a window, or has no times where they count."""
        if self.rate is not None and times is None:
            raise ValueError(
                f"{path} must be a video where there is a rate, got images, which have no times: "
                f"stride=n takes every n-th"
            )
        least = 1 if self.pad else self.num_frames or 1
        got = len(self.from_frame(0, length, times)) if length else 0
        if got < least:
            how = "" if self.rate is None else f" at {self.rate:g} a second"
            how = how if self.stride == 1 else f" with a stride of {self.stride}"
            raise ValueError(f"{path} must hold at least {least} frames{how}, got {got}")


class Windows(Dataset[tuple[Any, dict[str, Any]]]):
    """Windows of recordings, which a subclass reads: ``read(i, frames)`` gives ``(n, *frame)``.

    Items, labels and :meth:`batch` are as :class:`~pyro_dsae.data.Clips` says.
    """

    unit = "recording"
    names: list[str]
    lengths: list[int]
    labels: Mapping[str, Tensor]
    """Whole numbers ``(recordings,)`` by name."""

    def __init__(
        self,
        grid: Grid,
        lengths: Sequence[int],
        times: Sequence[np.ndarray | None],
        *,
        windows: Which,
        draws: int,
        transform: Callable[[Tensor], Any] | None,
    ) -> None:
        self.lengths, self.transform = [*lengths], transform
        self.num_frames, self.pad = grid.num_frames, grid.pad
        self._grid, self._times = grid, [*times]
        self._arrange([*range(len(lengths))], windows, draws)

    def read(self, i: int, frames: np.ndarray) -> Tensor:
        """Frames of recording ``i`` as they are kept, ``(n, *frame)``."""
        raise NotImplementedError

    def select(
        self, recordings: Sequence[int], *, windows: Which | None = None, draws: int | None = None
    ) -> Any:
        """The same frames, not copied: of some recordings, by their numbers, or in other windows."""
        if not len(recordings):
            raise ValueError("recordings must name at least one, got none")
        for i in recordings:
            if not 0 <= i < len(self.lengths):
                raise IndexError(f"recordings must be 0 to {len(self.lengths) - 1}, got {i}")
        other = copy(self)
        other._arrange([*recordings], windows or self.windows, draws or self.draws)
        return other

    def _arrange(self, recordings: list[int], windows: Which, draws: int) -> None:
        """Which recording each item is of, and which of its windows; -1 for one at random."""
        check_whole(1, draws=draws)
        if windows not in ("random", "tiled"):
            raise ValueError(f"windows must be 'random' or 'tiled', got {windows!r}")
        self.recordings, self.windows, self.draws = recordings, windows, draws
        self._longest = self.num_frames or max(len(self._whole(i)) for i in recordings)
        if self.num_frames is None:
            self._items = [(i, 0) for i in recordings]
        elif windows == "random":
            self._items = [(i, -1) for _ in range(draws) for i in recordings]
        else:
            self._items = [(i, w) for i in recordings for w in range(self._tiles(i))]

    def _whole(self, i: int) -> np.ndarray:
        return self._grid.from_frame(0, self.lengths[i], self._times[i])

    def _tiles(self, i: int) -> int:
        length, window = len(self._whole(i)), self.num_frames or 1
        return -(-length // window) if self.pad else length // window

    def frames(self, item: int) -> tuple[int, np.ndarray]:
        """The recording of an item, and which of its frames it holds: drawn anew for random windows."""
        i, window = self._items[item]
        if window >= 0:
            first = window * self._longest
            return i, self._whole(i)[first : first + self._longest]
        starts = self._grid.starts(self.lengths[i], self._times[i])
        start = int(torch.randint(starts, ()))
        order = self._grid.from_frame(start, self.lengths[i], self._times[i])
        return i, order[: self._longest]

    @property
    def item_lengths(self) -> list[int] | None:
        """Frames of each item where these differ: of whole recordings, not padded."""
        if self.num_frames is not None or self.pad:
            return None
        return [len(self._whole(i)) for i in self.recordings]

    @property
    def item_labels(self) -> dict[str, Tensor]:
        """:attr:`labels` of each item's recording, ``(items,)``."""
        of = torch.tensor([i for i, _ in self._items])
        return {name: values[of] for name, values in self.labels.items()}

    def sequence(self, i: int) -> Tensor:
        """All that counts of a recording, in order: float32 ``(T, *frame)``."""
        return as_float(self.read(i, self._whole(i)))

    def __len__(self) -> int:
        return len(self._items)

    def _item(self, item: int) -> tuple[Tensor, dict[str, Any]]:
        """Frames as they are kept, padded with zeros, and labels."""
        i, order = self.frames(item)
        x = self.read(i, order)
        labels: dict[str, Any] = {self.unit: i, "start": int(order[0])}
        labels |= {name: int(values[i]) for name, values in self.labels.items()}
        if self.pad:
            labels["mask"] = torch.arange(self._longest) < len(x)
            x = torch.cat([x, x.new_zeros(self._longest - len(x), *x.shape[1:])])
        return x, labels

    def __getitem__(self, item: int) -> tuple[Any, dict[str, Any]]:
        if not 0 <= item < len(self):
            raise IndexError(f"index must be 0 to {len(self) - 1}, got {item}")
        x, labels = self._item(item)
        return (as_float(x) if self.transform is None else self.transform(as_float(x))), labels

    def batch(
        self, index: Tensor, device: torch.device | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Items ``index`` at once, see :meth:`pyro_dsae.data.Sequences.batch`."""
        items = [self._item(item) for item in index.tolist()]
        shapes = {tuple(x.shape) for x, _ in items}
        if len(shapes) > 1:
            raise ValueError(
                f"sequences of a batch must be of one shape, got {sorted(shapes)}: pad=True, or a "
                f"num_frames, makes them so"
            )
        x = torch.stack([x for x, _ in items])
        labels = {name: [given[name] for _, given in items] for name in items[0][1]}
        return as_float(x.to(device or "cpu")), {
            name: torch.stack(values) if name == "mask" else torch.tensor(values)
            for name, values in labels.items()
        }

    def __repr__(self) -> str:
        count = len(self.recordings)
        return f"{type(self).__name__}({len(self)} items, {self.windows}, of {count} {self.unit}s)"
