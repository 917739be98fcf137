"""Conversions of the speech example: drawn, heard, judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyro_dsae import conversion, metrics, plotting
from pyro_dsae.data import SpeechSegments

Pairs = list[tuple[int, int]]
SHOWN = 4  # conversions to listen to


def conversions(test: SpeechSegments, pairs: int, seed: int) -> Pairs:
    """Pairs of utterances, source and target: a man's to a woman's and a woman's to a man's in turn.

    Where the sexes are not known, from one half of the speakers to the other.
    """
    generator = torch.Generator().manual_seed(seed)
    men = test.speaker_sex == 1
    if men.all() or not men.any() or (test.speaker_sex < 0).any():
        men = torch.arange(len(men)) % 2 == 1
    sides = [side[test.utterance_speaker].nonzero()[:, 0] for side in (men, ~men)]
    draws = [side[torch.randint(len(side), (pairs,), generator=generator)] for side in sides]
    return [
        (int(a), int(b)) if i % 2 == 0 else (int(b), int(a))
        for i, (a, b) in enumerate(zip(*draws, strict=True))
    ]


def converted(
    model: nn.Module,
    guide: nn.Module,
    test: SpeechSegments,
    pairs: Pairs,
    folder: Path,
    detail: Tensor,
) -> dict[str, Any]:
    """How far pitch moves and whether what is said stays; the first, two each way, are in ``folder``,
    as sound and as spectrograms.
    """
    import soundfile

    folder.mkdir(exist_ok=True)
    rate = test.spectrum.sample_rate
    heard: dict[str, list[np.ndarray]] = {"source": [], "target": [], "converted": []}
    for i, (source, target) in enumerate(pairs):
        speaker = int(test.utterance_speaker[target])
        frames = conversion.spoken(model, guide, test, source, speaker, detail=detail)
        heard["source"].append(test.wave(source))
        heard["target"].append(test.wave(target))
        heard["converted"].append(test.sound(frames))
        if i < SHOWN:
            own = conversion.spoken(model, guide, test, source, detail=detail)
            shown = {
                "source": test.utterance(source),
                "reconstructed": own,
                "converted": frames,
                "target": test.utterance(target),
            }
            name = f"{i + 1}_{test.files[source].stem}_as_{test.files[target].stem}"
            plotting.spectrograms(
                {kind: test.restore(rows) for kind, rows in shown.items()},
                folder / f"{name}.png",
                hop=test.spectrum.step / rate,
                hertz=test.spectrum.hertz,
            )
            sounds = {
                **{kind: waves[-1] for kind, waves in heard.items()},
                "reconstructed": test.sound(own),
            }
            for kind, wave in sounds.items():
                soundfile.write(folder / f"{name}_{kind}.wav", wave, rate)
    found = metrics.conversion_pitch(*heard.values(), rate)
    sources = [source for source, _ in pairs]
    if len(set(sources)) > 1:
        found["said_kept"] = metrics.said_kept(
            heard["source"], heard["converted"], rate, spoken=sources
        )
    return found


def detail_lost(model: nn.Module, guide: nn.Module, train: SpeechSegments, seed: int) -> Tensor:
    """See :func:`pyro_dsae.conversion.lost_detail`: of up to 2048 segments to learn from."""
    drawn = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[:2048]
    return conversion.lost_detail(model, guide, train.batch(drawn)[0])


def distortion(
    model: nn.Module, guide: nn.Module, test: SpeechSegments, pairs: Pairs, detail: Tensor
) -> dict[str, float]:
    """Mel-cepstral distortion of reconstructed sources, dB, and of their own spectra turned back to sound."""
    rate = test.spectrum.sample_rate
    found: dict[str, list[float]] = {"distortion": [], "distortion_of_phase": []}
    for source in sorted({source for source, _ in pairs}):
        wave = test.wave(source)
        own = conversion.spoken(model, guide, test, source, detail=detail)
        frames = own, test.utterance(source)
        for name, rows in zip(found, frames, strict=True):
            found[name].append(metrics.mel_cepstral_distortion(wave, test.sound(rows), rate))
    return {name: float(np.mean(values)) for name, values in found.items()}


def taken(
    model: nn.Module,
    guide: nn.Module,
    train: SpeechSegments,
    test: SpeechSegments,
    pairs: Pairs,
    seed: int,
    detail: Tensor,
) -> dict[str, Any]:
    """Share of test utterances, in voices of the training speakers, that a classifier of their real speech
    takes for theirs; and of real speech of theirs that it has not learnt from.
    """
    counts = train.utterance_speaker.bincount()
    utterances = torch.arange(len(train.files))
    last = torch.tensor(
        [int((train.utterance_speaker == s).nonzero()[-1]) for s in range(len(counts))]
    )
    last = last[counts > 2]  # held out of three and more
    learn = utterances[(counts[train.utterance_speaker] > 1) & ~torch.isin(utterances, last)]
    if len(last) < 2:
        return {}
    rate = train.spectrum.sample_rate

    def whose(index: Tensor) -> Tensor:
        return train.utterance_speaker[index]

    classifier = metrics.VoiceClassifier([train.wave(int(i)) for i in learn], whose(learn), rate)
    generator = torch.Generator().manual_seed(seed)
    drawn = last[torch.randint(len(last), (len(pairs),), generator=generator)]
    said = []
    for (source, _), speaker in zip(pairs, whose(drawn).tolist(), strict=True):
        frames = conversion.spoken(model, guide, test, source, speaker, among=train, detail=detail)
        said.append(test.sound(frames))
    real = [train.wave(int(i)) for i in last]
    return {
        "taken": float((classifier(said) == whose(drawn)).float().mean()),
        "taken_of_real": float((classifier(real) == whose(last)).float().mean()),
        "voices": len(last),
    }
