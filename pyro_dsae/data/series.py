"""Series of several channels, such as joints or sensors: windows of CSV and NumPy files, scaled."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .images import natural
from .speech import Scaling
from .windows import Grid, Which, Windows

_SUFFIXES = (".csv", ".npy")


class Series(Windows):
    """Windows, in order, of series ``(T, channels)``, each channel scaled to mean 0 and deviation 1.

    Args:
        series: a folder of ``.csv`` and ``.npy`` files, one such file, or arrays by name, or in a list. A
            row of a CSV is a moment and a column a channel; a first row of names gives :attr:`channels`.
        num_frames: T, moments of a window; None gives whole series.
        stride: every so many-th moment.
        windows: ``"random"`` or ``"tiled"``, see :class:`~pyro_dsae.data.Clips`, as ``draws`` and ``pad``.
        draws: random windows of each series an epoch.
        pad: end what is shorter in zeros; the label ``mask`` says which moments there are.
        scaling: that of the training data (``train.scaling``); None computes it from this data.
        channels: their names, which those in the files must be, in this order.
        labels: whole numbers ``(series,)`` by name.
        transform: called on each float tensor ``(T, channels)``.

    An item is ``(x, labels)``: ``x`` float32 ``(T, channels)``, scaled; the number of the ``series``, the
    ``start`` of the window, and with ``pad`` the ``mask``. :meth:`restore` undoes the scaling, :meth:`select`
    takes some of the series.

    Raises ``FileNotFoundError`` if there are none, and ``ValueError`` naming one that is not whole numbers or
    floats ``(T, channels)``, not finite, shorter than a window or of other channels than the first.
    """

    unit = "series"
    names: list[str]
    channels: list[str]
    """Their names, or numbers from 0 on."""
    scaling: Scaling

    def __init__(
        self,
        series: str | os.PathLike[str] | Mapping[str, Any] | Sequence[Any],
        *,
        num_frames: int | None = 16,
        stride: int = 1,
        windows: Which = "random",
        draws: int = 1,
        pad: bool = False,
        scaling: Scaling | None = None,
        channels: Sequence[str] | None = None,
        labels: Mapping[str, Any] | None = None,
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        grid = Grid(num_frames, stride, None, pad)
        header: list[str] = []
        if isinstance(series, (str, os.PathLike)):
            paths = _files(Path(series))
            headers = {path: _header(path) for path in paths}
            header = _one_header(headers, channels)
            stems = Counter(path.stem for path in paths)
            names = [path.stem if stems[path.stem] == 1 else path.name for path in paths]
            read = (_read(path, header) for path, header in headers.items())
            given = dict(zip(names, read, strict=True))
        else:
            given = (
                dict(series)
                if isinstance(series, Mapping)
                else {str(i): one for i, one in enumerate(series)}
            )
            paths = [Path(f"series {name}") for name in given]
        if not given:
            raise ValueError("series must hold at least 1, got 0")
        self.names = [*given]
        self._series = [
            _checked(path, one) for path, one in zip(paths, given.values(), strict=True)
        ]
        width = self._series[0].shape[1]
        for path, one in zip(paths, self._series, strict=True):
            if one.shape[1] != width:
                raise ValueError(
                    f"{path} must have {width} channels, as {paths[0]}, got {one.shape[1]}"
                )
            grid.check(path, len(one), None)
        if channels and len(channels) != width:
            raise ValueError(f"channels must be {width} names, got {', '.join(channels)}")
        named = [
            *(channels or header)
        ]  # a header may lack the name of the rows' names: then it is none
        self._named = named if len(named) == width else []
        self.channels = self._named or [str(i) for i in range(width)]
        self.labels = {name: torch.as_tensor(values) for name, values in (labels or {}).items()}
        for name, values in self.labels.items():
            if values.shape != (len(self.names),) or values.is_floating_point():
                raise ValueError(
                    f"labels[{name!r}] must be whole numbers ({len(self.names)},), got "
                    f"{tuple(values.shape)} of {values.dtype}"
                )
        self.scaling = scaling or _scaling(self._series)
        if self.scaling.mean.shape != (width,):
            raise ValueError(
                f"scaling must be of {width} channels, got {tuple(self.scaling.mean.shape)}"
            )
        lengths = [len(one) for one in self._series]
        nowhen = [None] * len(lengths)
        super().__init__(grid, lengths, nowhen, windows=windows, draws=draws, transform=transform)

    @property
    def settings(self) -> dict[str, Any]:
        """What is done to series on the way in: see :func:`pyro_dsae.load_data`."""
        channels = {"channels": self._named} if self._named else {}
        return {**self._grid.settings, "scaling": self.scaling, **channels}

    def read(self, i: int, frames: np.ndarray) -> Tensor:
        """Moments of series ``i``, scaled, ``(n, channels)``."""
        x = torch.from_numpy(np.asarray(self._series[i][frames], np.float64))
        return ((x - self.scaling.mean) / self.scaling.scale).float()

    def restore(self, x: Tensor) -> Tensor:
        """In the units of the data, of scaled moments ``(*, channels)``, in the precision of ``x``.

        That of float32 has seven digits: for a channel such as a Unix time, give ``x.double()``.
        """
        return (x.cpu().double() * self.scaling.scale + self.scaling.mean).to(x)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"no series at {path}")
    found = [p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES and p.name[0] != "."]
    if not found:
        raise FileNotFoundError(f"{path} must hold {' or '.join(_SUFFIXES)} files, got none")
    return sorted(found, key=natural)


def _header(path: Path) -> list[str]:
    """The first row of a CSV, if it holds a word."""
    if path.suffix.lower() != ".csv":
        return []
    with _numbers(path), path.open(encoding="utf-8-sig") as file:
        cells = [cell.strip().strip('"') for cell in file.readline().split(",")]
    try:
        [float(cell) for cell in cells if cell]
    except ValueError:
        return cells
    return []


def _one_header(headers: Mapping[Path, list[str]], channels: Sequence[str] | None) -> list[str]:
    """That of the CSV files; ValueError naming one whose channels are not ``channels``, or the first's."""
    named = [(path, header) for path, header in headers.items() if header]
    if not named:
        return []
    expected = named[0][1] if channels is None else [*channels]
    for path, header in named:
        if header != expected:
            whose = f"as {named[0][0]}" if channels is None else "as before"
            raise ValueError(
                f"{path} must have the channels {', '.join(expected)}, in this order, {whose}, got "
                f"{', '.join(header)}"
            )
    return expected


def _read(path: Path, header: list[str]) -> np.ndarray:
    """One file, a CSV without its header; a ``.npy`` is mapped."""
    with _numbers(path):
        if path.suffix.lower() == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if path.suffix.lower() != ".csv":
            raise ValueError("it is neither .csv nor .npy")
        return np.loadtxt(
            path, delimiter=",", skiprows=int(bool(header)), ndmin=2, encoding="utf-8-sig"
        )


@contextmanager
def _numbers(path: Path) -> Iterator[None]:
    """Within, an error names the file."""
    try:
        yield
    except (EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path} must be a series in numbers: {error}") from error


def _checked(path: Path, series: Any) -> np.ndarray:
    array = np.asanyarray(series)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "iuf":
        raise ValueError(
            f"{path} must be (time, channels) of numbers, got {array.shape} of {array.dtype}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{path} must be finite, got NaN or infinity")
    return array


def _scaling(series: Sequence[np.ndarray]) -> Scaling:
    """Of all moments. A channel that never changes is left at its scale."""
    count = sum(len(one) for one in series)
    mean = sum(one.sum(0, dtype=np.float64) for one in series) / count
    squares = sum(np.square(one - mean).sum(0, dtype=np.float64) for one in series) / count
    scale = np.sqrt(squares)
    scale[scale < 1e-12 * (1 + np.abs(mean))] = 1
    return Scaling(torch.from_numpy(mean), torch.from_numpy(scale))
