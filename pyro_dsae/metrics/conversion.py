r"""Is converted speech still the sentence, is it the target's voice, and how much of the sound is lost?

Mel cepstra :math:`c_k = \frac{1}{M} \sum_m \log S_m \cos(\pi k (m + 1/2) / M)` of mel magnitudes S, of
which the 0th, the loudness, is left out. Mel-cepstral distortion (Kubichek, PACRIM 1993), in dB, over
frames t:

.. math:: \frac{10 \sqrt 2}{\log 10} \operatorname{mean}_t
          \Big( \sum_k (c_{tk} - c'_{tk})^2 \Big)^{1/2}
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor

from ..data.spectrum import librosa_
from .verification import mfcc_features, standardise

_BANDS, _HOP, _WINDOW = 40, 0.010, 0.025  # of mel spectra; seconds
_FLOOR = 1e-4  # of a mel magnitude


def mel_cepstra(
    wave: np.ndarray, sample_rate: int, *, coefficients: int = 24
) -> NDArray[np.float64]:
    """c_1 to c_K of sound ``(samples,)``: ``(frames, coefficients)``, windows of 25 ms, hop 10 ms.

    :raises ValueError: if the wave is shorter than a window or not finite, or K is not 1 to 39.
    """
    window = round(_WINDOW * sample_rate)
    if not 1 <= coefficients < _BANDS:
        raise ValueError(f"coefficients must be 1 to {_BANDS - 1}, got {coefficients}")
    if wave.ndim != 1 or len(wave) < window or not np.isfinite(wave).all():
        raise ValueError(
            f"wave must be (samples,), finite, at least {window} samples, got {wave.shape}, "
            f"{np.count_nonzero(~np.isfinite(wave))} of them not finite"
        )
    mel = librosa_().feature.melspectrogram(
        y=wave,
        sr=sample_rate,
        n_fft=1 << (window - 1).bit_length(),
        win_length=window,
        hop_length=round(_HOP * sample_rate),
        n_mels=_BANDS,
        power=1.0,
    )
    spectra = np.log(np.maximum(mel.T.astype(np.float64), _FLOOR))
    return np.asarray(dct(spectra, norm="forward")[:, 1 : coefficients + 1])


def mel_cepstral_distortion(
    reference: np.ndarray, wave: np.ndarray, sample_rate: int, *, coefficients: int = 24
) -> float:
    """In dB, of two sounds ``(samples,)`` that run in step; the longer is cut.

    >>> wave = np.sin(2 * np.pi * 200 * np.arange(8000) / 16_000)
    >>> mel_cepstral_distortion(wave, wave, 16_000)
    0.0
    """
    a, b = (mel_cepstra(x, sample_rate, coefficients=coefficients) for x in (reference, wave))
    frames = min(len(a), len(b))
    distance = np.linalg.norm(a[:frames] - b[:frames], axis=1).mean()
    return float(10 * sqrt(2) / log(10) * distance)


def said_kept(
    sources: Sequence[np.ndarray],
    converted: Sequence[np.ndarray],
    sample_rate: int,
    *,
    spoken: Sequence[Any] | None = None,
) -> float:
    """Share of conversions that lie nearest to their own source, of all of them: what is said is kept.

    Distance is dynamic time warping's, a step, between cepstra less their mean over the utterance, which
    is the voice's more than the sentence's.

    :param sources: sound of an utterance each, ``(samples,)``; ``converted``, one for each.
    :param spoken: what names the utterance of each source: the nearest may be another of that name
        (default: all are different).
    :raises ValueError: if there are fewer than 2 utterances, or not as many of each.
    """
    names = range(len(sources)) if spoken is None else spoken
    if not 2 <= len(set(names)) or not len(sources) == len(converted) == len(names):
        raise ValueError(
            "sources, converted and spoken must name as many utterances, at least 2 different ones, "
            f"got {len(sources)}, {len(converted)} and {len(names)}, {len(set(names))} different"
        )
    # One of each name to be compared with, and every second frame: 20 ms tell words apart.
    first = {name: i for i, name in reversed([*enumerate(names)])}
    cepstra = [_centred(sources[i], sample_rate) for i in first.values()]
    keys = [*first]
    right = []
    for wave, name in zip(converted, names, strict=True):
        own = _centred(wave, sample_rate)
        distances = [_warped(own, other) for other in cepstra]
        right.append(keys[int(np.argmin(distances))] == name)
    return float(np.mean(right))


def _centred(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    cepstra = mel_cepstra(wave, sample_rate)[::2]
    return cepstra - cepstra.mean(0)


def _warped(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance along the best path."""
    cost, path = librosa_().sequence.dtw(a.T, b.T)
    return float(cost[-1, -1] / len(path))


class VoiceClassifier:
    """Whose voice is it? By linear discriminants of :func:`mfcc_features`, learnt from real speech.

    :param waves: sound of one utterance each, ``(samples,)``, of the speakers to know.
    :param speakers: whose, ``(utterances,)``, 2 utterances of each or more.
    """

    def __init__(self, waves: Sequence[np.ndarray], speakers: Tensor, sample_rate: int) -> None:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        if len(waves) != len(speakers) or speakers.bincount()[speakers].min() < 2:
            raise ValueError(
                "waves and speakers must name as many utterances, 2 or more of each speaker, got "
                f"{len(waves)} and {len(speakers)}, of {speakers.bincount().tolist()}"
            )
        self.sample_rate = sample_rate
        self._train = mfcc_features(waves, sample_rate)
        law = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        self._law = law.fit(standardise(self._train, self._train).numpy(), speakers.numpy())

    def __call__(self, waves: Sequence[np.ndarray]) -> Tensor:
        """The likeliest speaker of each, long ``(utterances,)``."""
        features = standardise(self._train, mfcc_features(waves, self.sample_rate))
        return torch.from_numpy(self._law.predict(features.numpy()))
