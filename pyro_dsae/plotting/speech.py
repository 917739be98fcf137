"""Speech: spectrograms, and the errors of speaker verification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ._common import check_mapping, described, saved

_RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def spectrograms(
    rows: Mapping[str, Tensor],
    path: str | Path,
    *,
    hop: float = 0.010,
    high_hz: float = 8000.0,
    hertz: Tensor | None = None,
) -> Path:
    """Log-magnitude spectra one below the other: one scale of colours, one axis of time.

    :param rows: spectra by title, ``(frames, bins)``; numbers of frames may differ.
    :param hop: seconds from frame to frame.
    :param high_hz: where the last bin ends, bins being as wide as each other.
    :param hertz: the middle of each bin, ``(bins,)``, where they are not:
        :attr:`LogSpectrum.hertz <pyro_dsae.data.LogSpectrum.hertz>`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     spectrograms({"a": torch.randn(50, 200)}, f"{folder}/voices").name
    'voices.png'
    """
    check_mapping("rows", rows, "spectrograms")
    first = next(iter(rows.values()))
    bins = first.shape[-1] if isinstance(first, Tensor) and first.dim() else 0
    for name, x in rows.items():
        is_shown = isinstance(x, Tensor) and x.dim() == 2 and x.shape[1] == bins
        if not is_shown or 0 in x.shape or not x.isfinite().all():
            raise ValueError(
                f"rows[{name!r}] must be (frames, {bins or 'bins'}) and finite, got {described(x)}"
            )
    for name, value in (("hop", hop), ("high_hz", high_hz)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name} must be above 0, got {value}")
    if hertz is None:
        edges = np.linspace(0, high_hz, bins + 1)
    elif (
        isinstance(hertz, Tensor)
        and hertz.shape == (bins,)
        and bins > 1
        and hertz.isfinite().all()
        and (hertz.diff() > 0).all()
    ):
        middle = hertz.double().cpu().numpy()
        inner = (middle[1:] + middle[:-1]) / 2
        edges = np.concatenate([[2 * middle[0] - inner[0]], inner, [2 * middle[-1] - inner[-1]]])
    else:
        raise ValueError(f"hertz must be ({bins},), at least 2, rising, got {described(hertz)}")
    spectra = [x.detach().cpu().double().numpy() for x in rows.values()]
    low, high = min(map(np.min, spectra)), max(map(np.max, spectra))
    figure = Figure(figsize=(7, 0.6 + 1.7 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), sharex=True, squeeze=False)[:, 0]
    for axes, title, values in zip(panels, rows, spectra, strict=True):
        time = hop * np.arange(len(values) + 1)
        picture = axes.pcolorfast(time, edges / 1000, values.T, cmap="magma", vmin=low, vmax=high)
        axes.set_title(title, fontsize="medium")
        axes.set_ylim(0, edges[-1] / 1000)
    panels[0].set_xlim(0, hop * max(map(len, spectra)))
    panels[-1].set_xlabel("time, s")
    figure.supylabel("frequency, kHz", fontsize="medium")
    figure.colorbar(picture, ax=panels, label="log-magnitude", pad=0.01)
    return saved(figure, path)


def det_figure(curves: Mapping[str, tuple[Tensor, Tensor]], path: str | Path) -> Path:
    """DET curves on axes of normal deviates, with the equal error rates on the diagonal.

    Scores that are normal with one variance give straight lines (Martin et al., Eurospeech 1997).

    :param curves: rates of false acceptance and of false rejection by name, ``(thresholds,)`` each, as
        :func:`pyro_dsae.metrics.det_curve` returns them.

    >>> from tempfile import TemporaryDirectory
    >>> scores, same = torch.randn(200), torch.arange(200) % 2 == 0
    >>> curve = pyro_dsae.metrics.det_curve(scores + same, same)
    >>> with TemporaryDirectory() as folder:
    ...     det_figure({"f": curve}, f"{folder}/det").name
    'det.png'
    """
    check_mapping("curves", curves, "rates")
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    limits = _deviates(torch.tensor([_RATES[0], _RATES[-1]]))
    axes.plot(limits, limits, color="0.8", lw=0.8)
    for i, (name, rates) in enumerate(curves.items()):
        accepted, rejected = _checked_rates(name, rates)
        eer = np.interp(0.0, accepted - rejected, accepted)
        label = f"{name}: EER {100 * eer:.1f}%"
        axes.plot(_deviates(accepted), _deviates(rejected), color=f"C{i}", lw=1.2, label=label)
        point = _deviates(torch.tensor([eer]))
        axes.plot(point, point, "o", color=f"C{i}", ms=5)
    ticks, labels = _deviates(torch.tensor(_RATES)), [f"{100 * rate:g}" for rate in _RATES]
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.set(xlabel="false acceptance, %", ylabel="false rejection, %")
    figure.legend(loc="outside lower center", fontsize="small", ncols=2)
    return saved(figure, path)


def _checked_rates(name: str, rates: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Double, on the CPU."""
    if not isinstance(rates, (tuple, list)) or len(rates) != 2:
        raise ValueError(f"curves[{name!r}] must be two tensors, got {described(rates)}")
    shapes = {rate.shape if isinstance(rate, Tensor) else None for rate in rates}
    if len(shapes) > 1 or rates[0].dim() != 1 or len(rates[0]) < 2:
        got = " and ".join(map(described, rates))
        raise ValueError(f"curves[{name!r}] must be two of (thresholds,), at least 2, got {got}")
    accepted, rejected = (rate.detach().cpu().double() for rate in rates)
    bounded = all(((0 <= rate) & (rate <= 1)).all() for rate in (accepted, rejected))
    if not bounded or (accepted.diff() < 0).any() or (rejected.diff() > 0).any():
        raise ValueError(
            f"curves[{name!r}] must be rates from 0 to 1, from the strictest threshold to the laxest"
        )
    return accepted, rejected


def _deviates(rates: Tensor) -> np.ndarray:
    """Quantiles of the standard normal; rates of 0 and 1 are taken just off the picture."""
    return torch.special.ndtri(rates.double().clamp(_RATES[0] / 2, 1 - _RATES[0] / 2)).numpy()
