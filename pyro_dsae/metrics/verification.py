r"""Speaker verification: are two utterances of one speaker, by the cosine of their features?

At a threshold t on the score s of a pair

.. math:: \mathrm{FA}(t) = P(s \ge t \mid \text{different}),\quad
          \mathrm{FR}(t) = P(s < t \mid \text{same}),\quad
          \mathrm{EER} = \mathrm{FA}(t^*) = \mathrm{FR}(t^*)

over all pairs of utterances, as in Li & Mandt (ICML 2018), section 4.2. Between thresholds both rates run
straight. Pairs that share a speaker are not independent: intervals are of resampled speakers. With
:math:`w_s` the times that speaker s is drawn, a pair within s weighs :math:`w_s`, one of s and t
:math:`w_s w_t`.

The baseline is the mean and covariance of an utterance's MFCCs (Davis & Mermelstein, IEEE Trans. ASSP
28(4), 1980), not i-vectors: nothing in it is learned but the scale of each dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from .. import control
from ..data.spectrum import librosa_
from ._evaluation import device_of, evaluation

Encode = Callable[[Tensor], Mapping[str, Tensor]]

_ELEMENTS = 1 << 21  # pairs times resamples held at once
_BANDS = 40  # of the mel scale


def all_pairs(features: Tensor, speakers: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine of every two utterances, and whether one speaker said both.

    :param features: ``(U, dim)``, one row an utterance.
    :param speakers: integers, ``(U,)``.
    :returns: ``scores`` and ``same``, ``(U (U - 1) / 2,)``, in the order of :func:`torch.triu_indices`.
    :raises ValueError: if shapes do not agree, there are fewer than 2 utterances, or a feature is not finite.

    >>> scores, same = all_pairs(torch.eye(3), torch.tensor([0, 0, 1]))
    >>> scores.tolist(), same.tolist()
    ([0.0, 0.0, 0.0], [True, False, False])
    """
    if features.dim() != 2 or speakers.shape != features.shape[:1] or len(features) < 2:
        raise ValueError(
            "features must be (utterances, dim) with at least 2 utterances and speakers (utterances,), "
            f"got {tuple(features.shape)} and {tuple(speakers.shape)}"
        )
    finite = features.isfinite().all(1)
    if not finite.all():
        raise ValueError(
            f"features must be finite, got NaN or infinite ones in {int((~finite).sum())} "
            f"of {len(features)} utterances"
        )
    left, right = torch.triu_indices(len(features), len(features), 1, device=features.device)
    unit = F.normalize(features.double(), dim=1)
    speakers = speakers.to(features.device)
    return (unit @ unit.T)[left, right], speakers[left] == speakers[right]


def det_curve(scores: Tensor, same: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Rates of false acceptance and of false rejection, ``(thresholds,)`` each, double.

    From the strictest threshold, (0, 1), to the laxest, (1, 0): by :func:`sklearn.metrics.roc_curve`,
    which keeps both (``sklearn.metrics.det_curve`` does not). Equal scores share one threshold.

    :param scores: ``(P,)``, higher for the same speaker.
    :param same: bool, ``(P,)``.
    :param weights: of the pairs, ``(P,)``, none negative (default: all 1).
    :raises ValueError: if shapes do not agree, a score is not finite, or pairs of one kind are missing.

    >>> scores, same = torch.tensor([0.9, 0.2]), torch.tensor([True, False])
    >>> accepted, rejected = det_curve(scores, same)
    >>> float(accepted[0]), float(rejected[-1])
    (0.0, 0.0)
    """
    try:
        from sklearn.metrics import roc_curve
    except ImportError as error:
        raise ImportError(
            'speaker verification needs scikit-learn: pip install "pyro-dsae[speech]"'
        ) from error
    weight = torch.ones(scores.shape) if weights is None else weights
    if scores.dim() != 1 or same.shape != scores.shape or weight.shape != scores.shape:
        raise ValueError(
            "scores, same and weights must all be (pairs,), "
            f"got {tuple(scores.shape)}, {tuple(same.shape)} and {tuple(weight.shape)}"
        )
    if not scores.isfinite().all():
        raise ValueError(
            f"scores must be finite, got {int((~scores.isfinite()).sum())} of {len(scores)} not"
        )
    if not (weight >= 0).all():
        raise ValueError(f"weights must not be negative, got {float(weight.min())}")
    same = same.bool().cpu()
    kinds = {"same": same, "different": ~same}
    for name, kind in kinds.items():
        if not weight.cpu()[kind].sum() > 0:
            raise ValueError(f"there must be pairs of {name} speakers, got none of {len(scores)}")
    accepted, found, _ = roc_curve(
        same.numpy(),
        scores.detach().double().cpu().numpy(),
        sample_weight=None if weights is None else weights.double().cpu().numpy(),
    )
    return torch.from_numpy(accepted), torch.from_numpy(1.0 - found)


def equal_error_rate(scores: Tensor, same: Tensor, weights: Tensor | None = None) -> float:
    """Where false acceptance equals false rejection, 0 to 1; the arguments of :func:`det_curve`.

    >>> scores, same = torch.tensor([0.9, 0.8, 0.2, 0.1]), torch.tensor([True, True, False, False])
    >>> equal_error_rate(scores, same)
    0.0
    """
    accepted, rejected = det_curve(scores, same, weights)
    return float(_crossing(accepted[None], rejected[None]))


def _crossing(accepted: Tensor, rejected: Tensor) -> Tensor:
    """Where rates ``(R, thresholds)``, from (0, 1) to (1, 0) along the rows, are equal: ``(R,)``."""
    after = (accepted < rejected).sum(1, keepdim=True)
    a0, a1 = (accepted.gather(1, i)[:, 0] for i in (after - 1, after))
    r0, r1 = (rejected.gather(1, i)[:, 0] for i in (after - 1, after))
    return a0 + (a1 - a0) * (r0 - a0) / ((r0 - a0) + (a1 - r1))


def verify(
    features: Tensor,
    speakers: Tensor,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Equal error rate over all pairs of utterances, with its percentile bootstrap over speakers.

    Resamples in which there is no pair of one speaker, or none of two, are drawn again: of two speakers both
    are in each, and there is no interval.

    :param features: ``(U, dim)``, one row an utterance; see :func:`all_pairs`.
    :param speakers: integers, ``(U,)``.
    :returns: ``eer``, ``low``, ``high`` (None of two speakers); and the numbers of ``pairs``,
        ``utterances``, ``speakers``.
    :raises ValueError: as :func:`all_pairs` and :func:`det_curve`; if there is one speaker only.

    >>> speakers = torch.arange(5).repeat_interleave(4)
    >>> voices = torch.eye(5)[speakers] + 0.01 * torch.randn(20, 5)
    >>> verify(voices, speakers, resamples=20)["eer"]
    0.0
    """
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            "resamples must be at least 1 and confidence between 0 and 1, "
            f"got {resamples} and {confidence}"
        )
    scores, same = (values.cpu() for values in all_pairs(features, speakers))
    eer = equal_error_rate(scores, same)
    low, high = None, None
    if len(speakers.unique()) > 2:
        rates = _resampled(scores, same, speakers.cpu(), resamples, seed)
        tail = (1 - confidence) / 2
        low, high = rates.quantile(torch.tensor([tail, 1 - tail], dtype=rates.dtype)).tolist()
    return {
        "eer": eer,
        "low": low,
        "high": high,
        "pairs": len(scores),
        "utterances": len(speakers),
        "speakers": len(speakers.unique()),
    }


def _draws(utterances: Tensor, resamples: int, seed: int) -> Tensor:
    """How often each speaker is drawn, ``(resamples, S)``, given how much each has said ``(S,)``."""
    generator = torch.Generator().manual_seed(seed)
    speakers, missing = len(utterances), resamples
    kept = []
    while missing:
        drawn = torch.randint(speakers, (missing, speakers), generator=generator)
        counts = torch.zeros(missing, speakers, dtype=torch.long)
        counts.scatter_add_(1, drawn, torch.ones_like(drawn))
        usable = (counts > 0).sum(1) > 1
        usable &= (counts[:, utterances > 1] > 0).any(1)
        kept.append(counts[usable])
        missing -= len(kept[-1])
    return torch.cat(kept)


def _resampled(scores: Tensor, same: Tensor, speakers: Tensor, resamples: int, seed: int) -> Tensor:
    """Equal error rates of resampled speakers, ``(resamples,)``: one sort for all of them."""
    _, speaker, utterances = speakers.unique(return_inverse=True, return_counts=True)
    left, right = torch.triu_indices(len(speaker), len(speaker), 1)
    # Within a speaker the second factor is 1: the column after the last speaker.
    left, right = speaker[left], torch.where(same, len(utterances), speaker[right])
    order = scores.argsort(descending=True)
    scores, same, left, right = (values[order] for values in (scores, same, left, right))
    last = F.pad(scores.diff() != 0, (0, 1), value=True)  # of equal scores
    ends: Tensor | slice = slice(None) if last.all() else last.nonzero()[:, 0]
    factors = F.pad(_draws(utterances, resamples, seed).double(), (0, 1), value=1.0)
    rates = []
    for chunk in factors.split(max(1, _ELEMENTS // len(scores))):
        weights = chunk.index_select(1, left).mul_(chunk.index_select(1, right))
        found = (weights * same).cumsum_(1)[:, ends]
        accepted = weights.mul_(~same).cumsum_(1)[:, ends]
        rates.append(
            _crossing(
                F.pad(accepted / accepted[:, -1:], (1, 0)),
                F.pad(1 - found / found[:, -1:], (1, 0), value=1.0),
            )
        )
    return torch.cat(rates)


def static_and_dynamic(guide: Callable, sites: Sequence[str] = ("f", "z")) -> Encode:
    """``encode`` for :func:`utterance_features`: posterior means by site, ``(N, dim)`` each.

    Sites with a value a frame, ``(N, T, dim)``, are averaged over the frames.

    :param sites: latents of the guide, such as ``("mu2", "z1")`` of the FHVAE.

    >>> guide = pyro_dsae.Factorised((200,), f_dim=8, z_dim=4, hidden=16)
    >>> {name: tuple(v.shape) for name, v in static_and_dynamic(guide)(torch.rand(5, 20, 200)).items()}
    {'f': (5, 8), 'z': (5, 4)}
    """
    device = device_of(guide)

    def encode(x: Tensor) -> dict[str, Tensor]:
        with evaluation(0, device, guide):
            latents = control.infer(guide, x.to(device))
        missing = [name for name in sites if name not in latents]
        if missing:
            raise ValueError(
                f"sites must be of the guide, {', '.join(latents)}, got {', '.join(missing)}"
            )
        return {
            name: latents[name] if latents[name].dim() == 2 else latents[name].mean(1)
            for name in sites
        }

    return encode


def utterance_features(
    encode: Encode, dataset: Dataset, *, batch_size: int = 512
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The mean of each feature over the segments of each utterance.

    :param encode: segments ``(N, T, bins)`` to features by name, ``(N, dim)``, such as
        :func:`static_and_dynamic` gives.
    :param dataset: of ``(x, labels)``, labels with ``utterance`` and ``speaker``, such as
        :class:`~pyro_dsae.data.SpeechSegments`.
    :returns: features by name, ``(U, dim)``, double, on the CPU; the utterances' labels and their speakers'
        ``(U,)``.
    :raises ValueError: if the data are empty or lack a label, an utterance has two speakers, or a feature
        is not ``(N, dim)``.
    """
    keys: list[Tensor] = []
    sums: dict[str, list[Tensor]] = {}
    for x, labels in DataLoader(dataset, batch_size, generator=torch.Generator()):
        if not {"utterance", "speaker"} <= {*labels}:
            raise ValueError(f"labels must hold utterance and speaker, got {', '.join(labels)}")
        key, index = _utterances(torch.stack([labels["utterance"], labels["speaker"]], 1))
        keys.append(torch.cat([key, index.bincount()[:, None]], 1))
        for name, values in encode(x).items():
            if values.dim() != 2 or len(values) != len(x):
                raise ValueError(
                    f"{name} must be ({len(x)}, dim) of {len(x)} segments, got {tuple(values.shape)}"
                )
            sums.setdefault(name, []).append(_sums(values.detach().cpu().double(), index))
    if not keys:
        raise ValueError("dataset must hold segments, got none")
    parts = torch.cat(keys)
    key, index = _utterances(parts[:, :2])
    utterance, speaker = key.T
    twice = utterance[1:][utterance.diff() == 0]
    if len(twice):
        raise ValueError(f"an utterance must have one speaker, got two for {int(twice[0])}")
    segments = _sums(parts[:, 2:].double(), index)
    return (
        {name: _sums(torch.cat(values), index) / segments for name, values in sums.items()},
        utterance,
        speaker,
    )


def _utterances(labels: Tensor) -> tuple[Tensor, Tensor]:
    """The different rows of ``(N, 2)``, sorted, and which of them each row is."""
    return labels.unique(dim=0, return_inverse=True)


def _sums(values: Tensor, index: Tensor) -> Tensor:
    """Sums of the rows of ``(N, dim)`` that share an index."""
    total = values.new_zeros(int(index.max()) + 1, values.shape[1])
    return total.index_add_(0, index, values)


def mfcc_features(
    waves: Sequence[np.ndarray], sample_rate: int, *, coefficients: int = 20
) -> Tensor:
    """The classical baseline: mean and covariance of the MFCCs of each utterance.

    Coefficients 1 to ``coefficients`` of 40 mel bands, windows of 25 ms, hop 10 ms; without the 0th, which
    is the loudness. The covariance stands as the logarithm of its standard deviations and its correlations,
    so that no dimension's outliers rule the cosine. Scores are of what :func:`standardise` makes of them.

    :param waves: sound of one utterance each, ``(samples,)``.
    :returns: ``(U, coefficients (coefficients + 3) / 2)``, double.
    :raises ValueError: if ``coefficients`` is not 2 to 39, or a wave is shorter than 2 windows or not finite.
    """
    if not 2 <= coefficients < _BANDS:
        raise ValueError(f"coefficients must be 2 to {_BANDS - 1}, got {coefficients}")
    librosa = librosa_()
    window, hop = round(0.025 * sample_rate), round(0.010 * sample_rate)
    rows, columns = np.triu_indices(coefficients, 1)
    found = []
    for i, wave in enumerate(waves):
        if wave.ndim != 1 or len(wave) < 2 * window or not np.isfinite(wave).all():
            raise ValueError(
                f"waves[{i}] must be (samples,), finite, at least {2 * window} samples, got "
                f"{wave.shape}, {np.count_nonzero(~np.isfinite(wave))} of them not finite"
            )
        mfcc = librosa.feature.mfcc(
            y=wave,
            sr=sample_rate,
            n_mfcc=coefficients + 1,
            n_fft=1 << (window - 1).bit_length(),
            win_length=window,
            hop_length=hop,
            n_mels=_BANDS,
        )[1:].astype(np.float64)
        scale = np.maximum(mfcc.std(1), 1e-3)  # silence has none
        correlation = np.cov(mfcc, bias=True) / np.outer(scale, scale)
        found.append(np.concatenate([mfcc.mean(1), np.log(scale), correlation[rows, columns]]))
    return torch.from_numpy(np.array(found).reshape(len(found), -1))


def standardise(train: Tensor, test: Tensor) -> Tensor:
    """``test``, ``(U, dim)``, by the mean and standard deviation of each dimension of ``train``.

    :raises ValueError: if they are not of one ``dim``, or ``train`` has fewer than 2 utterances.

    >>> standardise(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0]]))
    tensor([[0.]])
    """
    if train.dim() != 2 or test.shape[1:] != train.shape[1:] or len(train) < 2:
        raise ValueError(
            "train and test must be (utterances, dim) of one dim, train with at least 2 utterances, "
            f"got {tuple(train.shape)} and {tuple(test.shape)}"
        )
    scale = train.std(0)
    return (test - train.mean(0)) / torch.where(scale > 0, scale, 1.0)
