r"""How far does the pitch of converted speech move from the source speaker's to the target speaker's?

.. math:: \mathrm{moved} = \frac{\log c - \log s}{\log t - \log s}

with s, t and c the median pitch of source, target and converted utterance: 0 where nothing moved, 1 where the
target's was reached. Pitch is by probabilistic YIN (Mauch & Dixon, ICASSP 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.spectrum import librosa_

_HOP = 0.020  # seconds
_VOICED = 10  # frames: with fewer there is no pitch


def median_pitch(
    wave: np.ndarray, sample_rate: int, *, low: float = 60.0, high: float = 400.0
) -> float:
    """Median pitch over the voiced frames of ``wave``, ``(samples,)``, in Hz.

    Frames are four periods of ``low``, hop 20 ms.

    :param low: of the pitches looked for, Hz, as is ``high``, an octave above it or more.
    :returns: NaN where fewer than 10 frames, 200 ms, are voiced.
    :raises ValueError: if ``wave`` is not finite or not ``(samples,)``, or there is no such range.

    >>> wave = np.sin(2 * np.pi * 200 * np.arange(8000) / 16_000)
    >>> 195 < median_pitch(wave, 16_000) < 205
    True
    """
    if wave.ndim != 1 or not np.isfinite(wave).all():
        raise ValueError(
            f"wave must be (samples,) and finite, got {wave.shape}, "
            f"{np.count_nonzero(~np.isfinite(wave))} of them not finite"
        )
    if not 0 < 2 * low <= high <= sample_rate / 2:
        raise ValueError(
            f"low and high must be 0 < low, 2 low <= high <= {sample_rate / 2:g} Hz, "
            f"got {low:g} and {high:g}"
        )
    if len(wave) < _VOICED * _HOP * sample_rate:
        return float("nan")
    pitch, voiced, _ = librosa_().pyin(
        wave,
        fmin=low,
        fmax=high,
        sr=sample_rate,
        frame_length=2 * round(2 * sample_rate / low),
        hop_length=round(_HOP * sample_rate),
    )
    return float(np.median(pitch[voiced])) if voiced.sum() >= _VOICED else float("nan")


def pitch_moved(source: ArrayLike, target: ArrayLike, converted: ArrayLike) -> NDArray[np.float64]:
    """Share of the distance from source to target that the converted pitch covers.

    :param source: Hz, of any shape, as are the others; NaN gives NaN.
    :raises ValueError: if a source is its target, or a pitch is not above 0.

    >>> float(pitch_moved(100.0, 200.0, 200.0))
    1.0
    """
    pitches = [np.asarray(values, dtype=float) for values in (source, target, converted)]
    for name, values in zip(("source", "target", "converted"), pitches, strict=True):
        if (values <= 0).any():
            raise ValueError(f"{name} must be above 0 Hz, got {values.min():g}")
    s, t, c = map(np.log, pitches)
    if (s == t).any():
        raise ValueError(
            f"source and target must differ, got {np.count_nonzero(s == t)} pairs of one pitch"
        )
    return np.asarray((c - s) / (t - s))


def conversion_pitch(
    sources: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    converted: Sequence[np.ndarray],
    sample_rate: int,
    *,
    semitones: float = 1.0,
) -> dict[str, Any]:
    """The median of :func:`pitch_moved` over pairs of utterances, and by direction.

    :param sources: sound of one utterance each, ``(samples,)``, as are ``targets`` and ``converted``.
    :param semitones: pairs nearer to each other than this show nothing and are left out.
    :returns: ``pitch_moved`` and the number of ``pairs`` that it is of; ``voiced``, the share of all pairs
        in which all three have a pitch; ``up`` and ``down``, to higher and lower voices: ``pitch_moved`` and
        ``pairs`` of each. A median over no pair is None.
    :raises ValueError: if the sequences are empty or of different lengths, or ``semitones`` is not above 0.
    """
    lengths = len(sources), len(targets), len(converted)
    if len(set(lengths)) > 1 or not lengths[0]:
        raise ValueError(
            "sources, targets and converted must hold as many utterances, at least 1, "
            f"got {lengths[0]}, {lengths[1]} and {lengths[2]}"
        )
    if not semitones > 0:
        raise ValueError(f"semitones must be above 0, got {semitones}")
    pitches = np.array(
        [
            [median_pitch(wave, sample_rate) for wave in waves]
            for waves in (sources, targets, converted)
        ]
    )
    voiced = np.isfinite(pitches).all(0)
    distance = 12 * np.log2(pitches[1] / pitches[0])
    used = voiced & (np.abs(distance) >= semitones)
    moved, distance = pitch_moved(*pitches[:, used]), distance[used]
    return {
        **_median(moved),
        "voiced": float(voiced.mean()),
        "up": _median(moved[distance > 0]),
        "down": _median(moved[distance < 0]),
    }


def _median(moved: np.ndarray) -> dict[str, Any]:
    value = float(np.median(moved)) if len(moved) else None
    return {"pitch_moved": value, "pairs": len(moved)}
