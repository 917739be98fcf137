"""Pitch on voices whose pitch is known."""

import sys

import numpy as np
import pytest

from pyro_dsae.metrics.pitch import conversion_pitch, median_pitch, pitch_moved


def voice(hz, seconds=0.5, rate=16_000, seed=0):
    """Harmonics under three formants, with a little noise."""
    rng = np.random.default_rng(seed)
    frequency = hz * np.arange(1, int(rate / 2 / hz))
    formants = [(1.0, 600, 100), (0.5, 1200, 120), (0.3, 2500, 200)]
    envelope = sum(a / (1 + ((frequency - c) / b) ** 2) for a, c, b in formants)
    phase = rng.uniform(0, 2 * np.pi, (len(frequency), 1))
    time = np.arange(int(seconds * rate)) / rate
    wave = envelope @ np.sin(2 * np.pi * frequency[:, None] * time + phase)
    return 0.3 * wave / np.abs(wave).max() + 1e-3 * rng.standard_normal(len(time))


@pytest.mark.parametrize("rate", [8_000, 16_000])
@pytest.mark.parametrize("hz", [75, 110, 220, 380])
def test_pitch_of_a_voice(hz, rate):
    assert median_pitch(voice(hz, rate=rate), rate) == pytest.approx(hz, rel=0.01)


def test_pitch_is_the_median_over_voiced_frames():
    pause = 1e-3 * np.random.default_rng(1).standard_normal(8_000)
    wave = np.concatenate([voice(120, 0.6), pause, voice(200, 0.3)])
    assert median_pitch(wave, 16_000) == pytest.approx(120, rel=0.02)


def test_range_of_pitch():
    wave = voice(110)
    assert median_pitch(wave, 16_000, low=90, high=180) == pytest.approx(110, rel=0.01)
    assert not 105 < median_pitch(wave, 16_000, low=150, high=400) < 115


@pytest.mark.parametrize(
    "wave",
    [
        np.zeros(16_000),
        np.random.default_rng(0).standard_normal(16_000),
        np.zeros(0),
        voice(110, 0.1),
        np.concatenate([voice(110, 0.1), np.zeros(8_000)]),
    ],
    ids=["silence", "noise", "nothing", "short", "short voice"],
)
def test_no_pitch_without_voice(wave):
    assert np.isnan(median_pitch(wave, 16_000))


def test_pitch_moved_is_a_share_of_the_distance():
    assert pitch_moved(100.0, 200.0, 200.0) == pytest.approx(1)
    assert pitch_moved(100.0, 200.0, 100.0) == 0
    moved = pitch_moved([100, 200, 100, 100], [200, 100, 400, 200], [2**0.5 * 100, 100, 50, np.nan])
    assert moved[:3] == pytest.approx([0.5, 1, -0.5])
    assert np.isnan(moved[3])


def test_conversion_pitch():
    low, high, near = voice(110), voice(220), voice(112)
    middle, silence = voice(110 * 2**0.5), np.zeros(8_000)
    found = conversion_pitch(
        [low, low, high, low, low],
        [high, high, low, near, high],
        [middle, high, middle, low, silence],
        16_000,
    )
    # Two up, by 1/2 and 1; one down, by 1/2; one too near; one without a pitch.
    assert found["pitch_moved"] == pytest.approx(0.5, abs=0.02)
    assert found["up"]["pitch_moved"] == pytest.approx(0.75, abs=0.02)
    assert found["down"]["pitch_moved"] == pytest.approx(0.5, abs=0.02)
    assert (found["pairs"], found["up"]["pairs"], found["down"]["pairs"]) == (3, 2, 1)
    assert found["voiced"] == 0.8
    found = conversion_pitch([low], [near], [near], 16_000, semitones=0.1)
    assert found["pairs"] == found["up"]["pairs"] == 1
    found = conversion_pitch([low], [high], [silence], 16_000)
    assert found["pitch_moved"] is None and found["pairs"] == found["voiced"] == 0


def test_says_what_is_wrong_with_its_input(monkeypatch):
    wave = voice(110, 0.3)
    with pytest.raises(
        ValueError, match=r"wave must be \(samples,\) and finite, got \(1, 4800\), 0"
    ):
        median_pitch(wave[None], 16_000)
    with pytest.raises(ValueError, match=r"got \(4800,\), 1 of them not finite"):
        median_pitch(np.append(wave[1:], np.inf), 16_000)
    with pytest.raises(ValueError, match="0 < low, 2 low <= high <= 8000 Hz, got 100 and 199"):
        median_pitch(wave, 16_000, low=100, high=199)
    with pytest.raises(ValueError, match="source and target must differ, got 2 pairs of one pitch"):
        pitch_moved([100, 100, 200], [100, 300, 200], 150)
    with pytest.raises(ValueError, match="converted must be above 0 Hz, got -1"):
        pitch_moved(100, 200, [150, -1])
    with pytest.raises(ValueError, match="as many utterances, at least 1, got 2, 1 and 2"):
        conversion_pitch([wave, wave], [wave], [wave, wave], 16_000)
    with pytest.raises(ValueError, match="at least 1, got 0, 0 and 0"):
        conversion_pitch([], [], [], 16_000)
    with pytest.raises(ValueError, match="semitones must be above 0, got 0"):
        conversion_pitch([wave], [wave], [wave], 16_000, semitones=0)
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(ImportError, match=r'pip install "pyro-dsae\[speech\]"'):
        median_pitch(wave, 16_000)
