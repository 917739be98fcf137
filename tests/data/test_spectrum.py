"""Spectra of sound, segments of them, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyro_dsae.data import LogSpectrum, SpeechSegments
from pyro_dsae.data.spectrum import cut, overlap_add


def sine(hertz: float, seconds: float = 0.5, rate: int = 16_000) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize(("rate", "window"), [(16_000, 0.025), (8_000, 0.05), (16_000, 0.05)])
def test_a_bin_is_a_band_of_frequencies(rate, window):
    spectrum = LogSpectrum(rate, window=window)
    frames = spectrum(sine(1000.0, rate=rate))
    assert frames.shape == (51, 200) and frames.dtype == torch.float32
    loudest = frames[25].argmax()
    assert (frames[5:-5].argmax(1) == loudest).all()
    assert spectrum.hertz[loudest] == 1000.0
    # The mean of a Hann window is a half, a sine's share of its positive frequency another.
    expected = torch.tensor(0.5 * 0.25 * window * rate)
    torch.testing.assert_close(frames[25, loudest].exp(), expected, rtol=0.02, atol=0)


def test_high_frequencies_go_together_by_threes():
    spectrum = LogSpectrum(window=0.05)
    assert spectrum.width.tolist() == [1] * 100 + [3] * 100
    torch.testing.assert_close(
        spectrum.hertz[[0, 99, 100, 199]], torch.tensor([20.0, 2000, 2040, 7980])
    )
    assert LogSpectrum(16_000, bins=200, window=0.0401).width.sum() == 321
    noise = np.random.default_rng(0).normal(size=80_000).astype(np.float32)
    level = (2 * spectrum(noise)).exp().mean(0)  # white: every band has the same power
    assert level[5:-5].std() / level.mean() < 0.1


def test_long_windows_keep_a_low_pitch():
    t = np.arange(16_000) / 16_000
    hum = sum(np.sin(2 * np.pi * 90.0 * k * t) / k for k in range(1, 20)).astype(np.float32)
    dips = {}
    for window in (0.025, 0.05):
        frames = LogSpectrum(window=window)(0.1 * hum)[50]
        harmonics = frames[: 100 if window == 0.05 else 50]
        dips[window] = (
            harmonics.unfold(0, 9, 1).amax(1) - harmonics.unfold(0, 9, 1).amin(1)
        ).median()
    assert dips[0.05] > 4 * dips[0.025]


def test_silence_is_finite():
    frames = LogSpectrum()(np.zeros(4000, np.float32))
    torch.testing.assert_close(frames, torch.full_like(frames, np.log(1e-4)))


@pytest.mark.parametrize("window", [0.025, 0.05])
def test_the_round_trip_of_speech(data_root, window, tmp_path):
    spectrum = LogSpectrum(window=window)
    speech = SpeechSegments(
        data_root / "an4", "test", speakers=["fcaw", "mjgm"], spectrum=spectrum, cache_dir=tmp_path
    )
    for i in (0, 5, len(speech.files) - 1):
        segments = speech.segments_of(i, hop=10)
        frames = speech.joined(segments, speech.lengths[i], hop=10)
        wanted = speech.restore(frames).exp()
        wave = speech.sound(frames)
        assert abs(len(wave) - len(speech.wave(i))) < 2 * spectrum.step
        found = spectrum(wave)[: len(wanted)].exp()
        convergence = (found - wanted[: len(found)]).norm() / wanted.norm()
        assert convergence < 0.15


@pytest.mark.filterwarnings("error")
def test_the_inverse_is_seeded():
    spectrum = LogSpectrum()
    frames = spectrum(sine(300.0))
    first, second, other = (spectrum.inverse(frames, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, second) and not np.array_equal(first, other)


@pytest.mark.parametrize(("length", "hop"), [(7, 4), (20, 3), (21, 4), (3, 2), (8, 4)])
def test_cut_and_overlap_add_are_inverse(length, hop):
    frames = torch.randn(length, 5)
    segments = cut(frames, 4, hop)
    assert segments.shape[1:] == (4, 5)
    torch.testing.assert_close(segments[0, : min(4, length)], frames[:4])
    torch.testing.assert_close(overlap_add(segments, hop, length), frames)


def test_segments_fade_into_each_other():
    segments = torch.stack([torch.zeros(4, 1), torch.ones(4, 1)])
    joined = overlap_add(segments, 2, 6)[:, 0]
    torch.testing.assert_close(joined, torch.tensor([0, 0, 1 / 3, 2 / 3, 1, 1]))


def test_errors():
    with pytest.raises(ValueError, match=r"hop must be 1 to 200 samples, .*got 320 \(0.02 s\)"):
        LogSpectrum(hop=0.02)
    with pytest.raises(ValueError, match="window must have 200 to 600 frequencies, .*got 160"):
        LogSpectrum(window=0.02)
    with pytest.raises(ValueError, match=r"spectra must be \(frames, 200\), got \(3, 20\)"):
        LogSpectrum().inverse(torch.zeros(3, 20))
    with pytest.raises(ValueError, match="hop must be 1 to 4, .*got 5"):
        cut(torch.zeros(9, 2), 4, 5)
    with pytest.raises(ValueError, match="hop must be 1 to 4, .*got 0"):
        overlap_add(torch.zeros(2, 4, 1), 0, 4)
    for name in ("bins", "sample_rate"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            LogSpectrum(**{name: 0})
    with pytest.raises(ValueError, match="length must be at most 6, .*got 7"):
        overlap_add(torch.zeros(2, 4, 1), 2, 7)
