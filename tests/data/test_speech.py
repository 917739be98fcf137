"""Corpora of speech, on sound that the tests write."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from pyro_dsae.data import LogSpectrum, SpeechSegments
from pyro_dsae.data.speech import lowest_rate, read_sound, sample_rates

RATE = 16_000


def voice(seconds: float, pitch: float = 120.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """A hum, louder and softer, with some noise."""
    t = np.arange(int(seconds * rate)) / rate
    hum = sum(np.sin(2 * np.pi * k * pitch * t) / k for k in range(1, 6))
    noise = np.random.default_rng(seed).normal(size=len(t))
    return (0.1 * hum * (1.2 + np.sin(6 * t)) + 0.003 * noise).astype(np.float32)


def write(path: Path, wave: np.ndarray, rate: int = RATE, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, **options)
    return path


@pytest.fixture
def timit(tmp_path) -> Path:
    """TIMIT's tree, NIST SPHERE in capitals and RIFF in small letters."""
    root = tmp_path / "timit"
    for speaker, pitch in (("FCJF0", 220.0), ("MDAB0", 110.0)):
        for utterance in ("SA1", "SX2"):
            path = root / "TRAIN" / "DR1" / speaker / f"{utterance}.WAV"
            write(path, voice(1.0, pitch), format="NIST", subtype="PCM_16")
            path.with_suffix(".PHN").write_text("0 9640 h#")
    write(root / "test" / "dr2" / "mabw0" / "sa1.wav", voice(0.5))
    return root


def load(root: Path, split: str | None = None, **options) -> SpeechSegments:
    return SpeechSegments(root, split, cache_dir=root.parent / "cache", **options)


class TestTrees:
    def test_timit(self, timit):
        train, test = load(timit, "train"), load(timit, "test")
        assert train.speakers == ["FCJF0", "MDAB0"] and test.speakers == ["mabw0"]
        assert train.speaker_sex.tolist() == [0, 1] and test.speaker_sex.tolist() == [1]
        assert [path.name for path in train.files] == ["SA1.WAV", "SX2.WAV"] * 2
        assert train.lengths == [101] * 4 and len(train) == 4 * 5
        x, labels = train[6]
        assert x.shape == (20, 200) and x.dtype == torch.float32
        assert labels == {"speaker": 0, "sex": 0, "utterance": 1, "segments": 5, "position": 20}

    def test_a_folder_without_splits(self, tmp_path):
        for speaker in ("anna", "ben"):
            for i, kind in enumerate(("wav", "flac", "ogg")):
                write(tmp_path / "mine" / speaker / f"{i}.{kind}", voice(0.5))
        data = load(tmp_path / "mine")
        assert data.speakers == ["anna", "ben"] and len(data.files) == 6
        assert data.speaker_sex.tolist() == [-1, -1]
        assert load(tmp_path / "mine", speakers=["ben"]).speakers == ["ben"]
        with pytest.raises(ValueError, match="speakers must be in .*got carl"):
            load(tmp_path / "mine", speakers=["carl", "ben"])

    def test_the_same_names_in_both_splits_are_all_taken(self, tmp_path):
        root = tmp_path / "mine"
        for split in ("train", "test"):
            for speaker in ("anna", "ben"):
                for i in range(2):
                    write(root / split / speaker / f"{i}.wav", voice(0.5, 120 + i))
        assert len(load(root, "test").files) == 4
        assert len(load(root).files) == 8 and load(root).speakers == ["anna", "ben"]

    def test_a_copy_of_a_file_in_another_format_is_taken_once(self, timit):
        copy = timit / "TRAIN" / "DR1" / "FCJF0" / "SA1.WAV.wav"
        write(copy, voice(1.0))
        assert [path.name for path in load(timit, "train").files][:2] == ["SA1.WAV.wav", "SX2.WAV"]

    def test_an4(self, data_root, tmp_path):
        start = time.perf_counter()
        train = SpeechSegments(data_root / "an4", "train", cache_dir=tmp_path)
        test = SpeechSegments(data_root / "an4", "test", scaling=train.scaling, cache_dir=tmp_path)
        assert time.perf_counter() - start < 60
        assert (len(train.speakers), len(test.speakers)) == (74, 10)
        assert (len(train.files), len(test.files)) == (948, 130)
        assert not set(train.speakers) & set(test.speakers)
        assert test.speaker_sex.sum() == 7


class TestItems:
    def test_training_frames_are_standard(self, timit):
        data = load(timit, "train")
        frames = torch.cat([data.utterance(i) for i in range(4)])
        torch.testing.assert_close(frames.mean(0), torch.zeros(200), atol=1e-3, rtol=0)
        torch.testing.assert_close(frames.std(0), torch.ones(200), atol=1e-2, rtol=0)
        test = load(timit, "test", scaling=data.scaling)
        direct = LogSpectrum()(test.wave(0))
        torch.testing.assert_close(test.restore(test.utterance(0)), direct, atol=0.01, rtol=0)

    def test_batches_are_the_items(self, timit):
        data = load(timit, "train", segment_hop=7, transform=lambda x: 2 * x)
        ((x, labels),) = DataLoader(data, len(data))
        for i in (0, 5, len(data) - 1):
            assert torch.equal(data[i][0], x[i])
            assert data[i][1] == {name: int(values[i]) for name, values in labels.items()}
            utterance, position = int(labels["utterance"][i]), int(labels["position"][i])
            assert position % 7 == 0
            torch.testing.assert_close(
                x[i], 2 * data.utterance(utterance)[position : position + 20]
            )
        with pytest.raises(IndexError, match=f"index must be 0 to {len(data) - 1}"):
            data[len(data)]

    def test_loudness_is_taken_out_unless_it_is_wanted(self, tmp_path):
        for name, factor in (("loud", 1.0), ("soft", 0.1)):
            write(tmp_path / "a" / "anna" / f"{name}.wav", factor * voice(0.5), subtype="FLOAT")
        same, other = load(tmp_path / "a"), load(tmp_path / "a", level=None)
        torch.testing.assert_close(same.utterance(0), same.utterance(1), atol=0.02, rtol=0)
        loud, soft = (other.restore(other.utterance(i)) for i in (0, 1))
        torch.testing.assert_close(
            (loud - soft).median(), torch.tensor(10.0).log(), atol=0.05, rtol=0
        )

    def test_silence_is_left_out(self, tmp_path):
        wave = np.concatenate([voice(0.6), np.full(RATE, 1e-4, np.float32), voice(0.4)])
        write(tmp_path / "a" / "anna" / "1.wav", wave)
        positions = load(tmp_path / "a", silence=30.0).labels["position"].tolist()
        assert positions == [0, 20, 40, 60, 160, 180]
        assert len(load(tmp_path / "a")) == 10

    def test_segments_make_the_utterance(self, timit):
        data = load(timit, "train")
        for hop in (None, 10, 13):
            segments = data.segments_of(2, hop)
            torch.testing.assert_close(
                data.joined(segments, data.lengths[2], hop), data.utterance(2)
            )


class TestCache:
    def test_spectra_are_computed_once(self, timit, monkeypatch):
        first = load(timit, "train")
        monkeypatch.setattr(LogSpectrum, "__call__", lambda *args: pytest.fail("computed again"))
        again = load(timit, "train", segment_hop=5, silence=40.0)
        assert torch.equal(first.utterance(3), again.utterance(3))

    def test_a_changed_file_is_read_again(self, timit):
        before = load(timit, "test").lengths
        write(timit / "test" / "dr2" / "mabw0" / "sa1.wav", voice(0.7))
        assert before == [51] and load(timit, "test").lengths == [71]

    def test_a_failure_leaves_nothing_behind(self, timit):
        (timit / "test" / "dr2" / "mabw0" / "sa2.wav").write_text("not sound")
        with pytest.raises(ValueError, match="sa2.wav"):
            load(timit, "test")
        assert not [*(timit.parent / "cache").iterdir()]


class TestFiles:
    def test_stereo_is_averaged_and_other_rates_are_resampled(self, tmp_path):
        wave = voice(0.5, rate=44_100)
        path = write(tmp_path / "a.wav", np.stack([1.5 * wave, 0.5 * wave], 1), 44_100)
        read = read_sound(path, RATE)
        assert read.shape == (RATE // 2,)
        direct = voice(0.5)
        inner = slice(400, -400)
        assert np.corrcoef(read[inner], direct[inner])[0, 1] > 0.99

    def test_recordings_of_fewer_samples_a_second_than_the_spectrum_are_said(self, tmp_path):
        for i, rate in enumerate((RATE, 8_000, 11_025)):
            write(tmp_path / "a" / "anna" / f"{i}.wav", voice(0.5, rate=rate), rate)
        wide = LogSpectrum(window=0.050)
        words = (
            "2 of 3 recordings .* the spectrum's 16000, down to 8000: 67 of 200 bins hold nothing"
        )
        for _ in range(2):  # from the cache too
            with pytest.warns(UserWarning, match=words):
                data = load(tmp_path / "a", spectrum=wide)
        high = wide.hertz > 4_100
        frames = data.restore(data.utterance(1))[5:-5]
        assert frames[:, high].mean() < frames[:, ~high].mean() - 3
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load(tmp_path / "a", spectrum=LogSpectrum(8_000, window=0.050))
        assert lowest_rate(tmp_path / "a") == 8_000
        assert sample_rates(data.files) == {16_000: 1, 8_000: 1, 11_025: 1}
        (tmp_path / "a" / "anna" / "bad.wav").write_text("not sound")
        with pytest.raises(
            ValueError, match="bad.wav must be sound, got a file that cannot be read"
        ):
            lowest_rate(tmp_path / "a")

    def test_a_short_utterance_is_left_out_with_a_warning(self, timit):
        write(timit / "test" / "dr2" / "mabw0" / "sa2.wav", voice(0.1))
        with pytest.warns(UserWarning, match="1 utterances are shorter than 20 frames.*sa2.wav"):
            data = load(timit, "test")
        assert len(data) == 2 and data.labels["utterance"].unique().tolist() == [0]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("hello", "must be sound, got a file that cannot be read"),
            ("", "must be sound, got a file that cannot be read"),
            (np.zeros(0, np.float32), "must hold sound, got 0 samples"),
            (np.full(RATE, np.nan, np.float32), "must hold finite samples"),
        ],
        ids=["text", "empty", "no samples", "nan"],
    )
    def test_a_bad_file_is_named(self, timit, content, message):
        path = timit / "test" / "dr2" / "mabw0" / "bad.wav"
        if isinstance(content, str):
            path.write_text(content)
        else:
            write(path, content, subtype="FLOAT")
        with pytest.raises(ValueError, match=f"bad.wav {message}"):
            load(timit, "test")

    def test_folders_that_hold_nothing(self, tmp_path, timit):
        with pytest.raises(FileNotFoundError, match="root is not a folder: .*nowhere"):
            load(tmp_path / "nowhere")
        with pytest.raises(FileNotFoundError, match="must hold a folder dev, got TRAIN, test"):
            load(timit, "dev")
        (tmp_path / "empty" / "anna").mkdir(parents=True)
        with pytest.raises(FileNotFoundError, match="must hold SPEAKER/UTTERANCE.wav"):
            load(tmp_path / "empty")

    def test_all_too_short(self, tmp_path):
        write(tmp_path / "a" / "anna" / "1.wav", voice(0.1))
        with (
            pytest.warns(UserWarning, match="shorter"),
            pytest.raises(ValueError, match="no utterance is as long as a segment, 20 frames"),
        ):
            load(tmp_path / "a")

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"num_frames": 0}, "num_frames must be at least 1, got 0"),
            ({"segment_hop": 0}, "segment_hop must be at least 1, got 0"),
            ({"level": 0.0}, "level must be positive, or None, got 0.0"),
            ({"level": -0.1}, "level must be positive, or None, got -0.1"),
            ({"silence": -3.0}, "silence must be positive, or None, got -3.0"),
            ({"silence": float("nan")}, "silence must be positive, or None, got nan"),
            ({"speakers": []}, "speakers must name at least one, or be None, got none"),
        ],
    )
    def test_numbers_that_would_yield_nothing(self, timit, wrong, message):
        with pytest.raises(ValueError, match=message):
            load(timit, **wrong)
        assert not (timit.parent / "cache").exists()

    def test_a_hop_of_none_is_not_one_of_zero(self, timit):
        data = load(timit, "test")
        with pytest.raises(ValueError, match="hop must be 1 to 20, .* got 0"):
            data.segments_of(0, 0)
        with pytest.raises(ValueError, match="hop must be 1 to 20, .* got 0"):
            data.joined(data.segments_of(0), 51, 0)
