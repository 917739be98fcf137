"""Converted speech: distortion of known size, sentences and voices that are known."""

import numpy as np
import pytest
import torch

from pyro_dsae.metrics import conversion
from pyro_dsae.metrics.conversion import (
    VoiceClassifier,
    mel_cepstra,
    mel_cepstral_distortion,
    said_kept,
)

from .test_pitch import voice

RATE = 16_000


def sentence(hz, seed):
    """Half a second of one pitch, its loudness and its formants drawn anew every 50 ms."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(10):
        noise = np.convolve(rng.standard_normal(800), rng.standard_normal(8), "same")
        parts.append(voice(hz, 0.05) * rng.uniform(0.1, 1) + 0.05 * noise)
    return np.concatenate(parts)


def test_distortion_of_a_louder_copy_is_nothing():
    wave = sentence(120, 0)
    assert mel_cepstral_distortion(wave, 2 * wave, RATE) < 1e-6
    assert mel_cepstral_distortion(wave, wave[:4000], RATE) < 1.0  # the shorter, but for its end


def test_distortion_of_a_tilted_spectrum_is_what_its_cepstra_say(monkeypatch):
    """Adding 2 a_k cos(pi k (m + 1/2) / M) to every log spectrum moves c_k by a_k."""
    wave = sentence(120, 0)
    spectrum = conversion.librosa_().feature.melspectrogram
    mel = np.arange(40)
    bent = sum(2 * a * np.cos(np.pi * k * (mel + 0.5) / 40) for k, a in ((1, 0.3), (5, 0.4)))

    def melspectrogram(y, **options):
        loud = 1 + spectrum(y=y, **options)  # clear of the floor
        return loud if y is wave else loud * np.exp(bent)[:, None]

    monkeypatch.setattr(conversion.librosa_().feature, "melspectrogram", melspectrogram)
    found = mel_cepstral_distortion(wave, wave.copy(), RATE)
    assert found == pytest.approx(10 * 2**0.5 / np.log(10) * 0.5, rel=1e-5)


def test_cepstra():
    assert mel_cepstra(sentence(120, 0), RATE, coefficients=13).shape == (51, 13)


def test_what_is_said_is_told_from_other_sentences_in_another_voice():
    sources = [sentence(110, seed) for seed in range(4)]
    converted = [sentence(180, seed) for seed in range(4)]
    assert said_kept(sources, converted, RATE) == 1
    assert said_kept(sources, converted[::-1], RATE) == 0
    swapped = [converted[1], converted[0], *converted[2:]]
    assert said_kept(sources, swapped, RATE) == 0.5
    # One utterance, twice among the sources, is right either way.
    assert said_kept([sources[0], *sources], [converted[0], *converted], RATE, spoken="aabcd") == 1


def test_voices_are_told_apart():
    tracts = np.random.default_rng(0).standard_normal((3, 24))
    speakers = torch.arange(3).repeat_interleave(4)
    heard = torch.tensor([2, 0, 1])

    def spoken(whose, seed):
        return [np.convolve(sentence(120, seed + i), tracts[s]) for i, s in enumerate(whose)]

    classifier = VoiceClassifier(spoken(speakers, 0), speakers, RATE)
    assert classifier(spoken(heard, 20)).equal(heard)


def test_says_what_is_wrong_with_its_input():
    wave = sentence(120, 0)
    with pytest.raises(ValueError, match="coefficients must be 1 to 39, got 40"):
        mel_cepstra(wave, RATE, coefficients=40)
    with pytest.raises(
        ValueError, match=r"at least 400 samples, got \(399,\), 0 of them not finite"
    ):
        mel_cepstra(wave[:399], RATE)
    with pytest.raises(ValueError, match=r"got \(8000,\), 1 of them not finite"):
        mel_cepstral_distortion(wave, np.append(wave[1:], np.nan), RATE)
    with pytest.raises(ValueError, match="2 different ones, got 2, 2 and 2, 1 different"):
        said_kept([wave, wave], [wave, wave], RATE, spoken="aa")
    with pytest.raises(ValueError, match="got 2, 1 and 2, 2 different"):
        said_kept([wave, wave], [wave], RATE)
    with pytest.raises(ValueError, match=r"2 or more of each speaker, got 3 and 3, of \[2, 1\]"):
        VoiceClassifier([wave] * 3, torch.tensor([0, 0, 1]), RATE)
