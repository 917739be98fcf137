"""Speech: spectrograms, and the errors of speaker verification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ._common import saved

_RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def spectrograms(
    rows: Mapping[str, Tensor],
    path: str | Path,
    *,
    hop: float = 0.010,
    high_hz: float = 8000.0,
    hertz: Tensor | None = None,
) -> Path:
    """Log-magnitude spectra one below the other, PNG: one scale of colours, one axis of time.

    :param rows: spectra by title, ``(frames, bins)``; numbers of frames may differ.
    :param hop: seconds from frame to frame.
    :param high_hz: where the last bin ends, bins being as wide as each other.
    :param hertz: the middle of each bin, ``(bins,)``, where they are not:
        :attr:`LogSpectrum.hertz <pyro_dsae.data.LogSpectrum.hertz>`.
    """
    if not rows:
        raise ValueError("rows must hold at least one spectrogram, got none")
    bins = next(iter(rows.values())).shape[-1]
    for name, x in rows.items():
        if x.dim() != 2 or x.shape[1] != bins or 0 in x.shape or not x.isfinite().all():
            raise ValueError(
                f"rows[{name!r}] must be (frames, {bins}) and finite, got {tuple(x.shape)}"
            )
    if hertz is None:
        edges = np.linspace(0, high_hz, bins + 1)
    elif hertz.shape == (bins,) and bins > 1:
        middle = hertz.double().cpu().numpy()
        inner = (middle[1:] + middle[:-1]) / 2
        edges = np.concatenate([[2 * middle[0] - inner[0]], inner, [2 * middle[-1] - inner[-1]]])
    else:
        raise ValueError(f"hertz must be ({bins},), at least 2, got {tuple(hertz.shape)}")
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
    """DET curves on axes of normal deviates, PNG, with the equal error rates on the diagonal.

    Scores that are normal with one variance give straight lines (Martin et al., Eurospeech 1997).

    :param curves: rates of false acceptance and of false rejection by name, ``(thresholds,)`` each, as
        :func:`pyro_dsae.metrics.det_curve` returns them.
    """
    if not curves:
        raise ValueError("curves must hold at least one, got none")
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    limits = _deviates(torch.tensor([_RATES[0], _RATES[-1]]))
    axes.plot(limits, limits, color="0.8", lw=0.8)
    for i, (name, rates) in enumerate(curves.items()):
        accepted, rejected = (rate.detach().cpu().double() for rate in rates)
        if accepted.dim() != 1 or accepted.shape != rejected.shape or len(accepted) < 2:
            raise ValueError(
                f"curves[{name!r}] must be two of (thresholds,), at least 2, "
                f"got {tuple(accepted.shape)} and {tuple(rejected.shape)}"
            )
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


def _deviates(rates: Tensor) -> np.ndarray:
    """Quantiles of the standard normal; rates of 0 and 1 are taken just off the picture."""
    return torch.special.ndtri(rates.double().clamp(_RATES[0] / 2, 1 - _RATES[0] / 2)).numpy()
