"""Voices without a browser: what is said in one recording, in the voice of another."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import pyro_dsae
from pyro_dsae import app, conversion
from pyro_dsae.app import recordings
from pyro_dsae.app.__main__ import main
from pyro_dsae.data import LogSpectrum, Series, SpeechSegments

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("librosa")
LOW, HIGH = 100.0, 220.0


@pytest.fixture(scope="module")
def studio(speech):
    return app.Studio(*pyro_dsae.load(speech), str(speech))


@pytest.fixture
def two(tmp_path, recorded):
    """A low voice of 1.2 s and a high one of 0.9 s at another rate."""
    high = recorded(tmp_path / "high.flac", HIGH, 0.9, rate=22_050)
    return recorded(tmp_path / "low.wav", LOW, 1.2), high


def harmonics(frames: torch.Tensor, pitch: float) -> float:
    """How much louder, in log-magnitudes, the first harmonics of a pitch are than what is between them."""
    hertz, mean = LogSpectrum(window=0.050).hertz, frames.mean(0)
    at, between = (
        [mean[(hertz - k * pitch).abs().argmin()] for k in ks] for ks in ((1, 2, 3), (1.5, 2.5))
    )
    return float(torch.stack(at).mean() - torch.stack(between).mean())


def test_what_is_said_takes_the_other_pitch(studio, two):
    heard = studio.convert(*two)
    converted, own = (heard.spectra[k] for k in ("in the other voice", "as the model rebuilds it"))
    assert converted.shape == own.shape == (121, 200)
    assert harmonics(own, LOW) > harmonics(own, HIGH) + 0.5
    assert harmonics(converted, HIGH) > harmonics(converted, LOW) + 0.5
    wave = heard.sounds["in the other voice"]
    assert wave.shape == (19_200,) and np.isfinite(wave).all() and np.abs(wave).max() > 0.01
    data, rate = soundfile.read(io.BytesIO(heard.wav("in the other voice")))
    assert rate == 16_000 and np.allclose(data, wave.clip(-1, 1), atol=1e-3)


def test_it_is_what_the_example_does(studio, two, tmp_path, speech, monkeypatch):
    """By hand, from the latents; and by the lines to copy."""
    heard = studio.convert(*two)
    for i, path in enumerate(two):
        there = tmp_path / "recordings" / f"{i}" / "1.wav"
        there.parent.mkdir(parents=True)
        soundfile.write(there, app.read_recording(path, "", 16_000), 16_000, subtype="FLOAT")
    model, guide = pyro_dsae.load(speech)
    data = SpeechSegments(
        tmp_path / "recordings",
        spectrum=LogSpectrum(window=0.050),
        silence=30.0,
        scaling=studio.settings["scaling"],
        cache_dir=tmp_path / "cache",
    )
    hers = (data.labels["speaker"] == 1).nonzero()[:, 0]
    f = pyro_dsae.infer(guide, data.batch(hers)[0])["f"]
    f = f.mean(0) / f.mean(0).norm() * f.norm(dim=1).mean()
    his = data.segments_of(0, 10)
    z = pyro_dsae.infer(guide, his)["z"]
    segments = pyro_dsae.generate(model, f=f.expand(len(his), -1), z=z)
    detail = conversion.lost_detail(model, guide, data.segments_of(0))
    joined = data.joined(segments, data.lengths[0], 10)
    frames = data.restore(conversion.sharpened(joined, detail))
    torch.testing.assert_close(heard.spectra["in the other voice"], frames)
    names: dict = {}
    lines = heard.lines.replace('"recordings"', repr(str(tmp_path / "recordings")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    exec(lines, names)
    torch.testing.assert_close(data.restore(names["frames"]), frames)
    assert names["wave"].shape == heard.sounds["in the other voice"].shape


def test_a_speaker_who_is_not_there(studio, two, tmp_path, recorded):
    recorded(tmp_path / "all" / "anna" / "1.wav", HIGH)
    data = SpeechSegments(
        tmp_path / "all",
        spectrum=studio.spectrum,
        scaling=studio.settings["scaling"],
        cache_dir=tmp_path / "cache",
    )
    with pytest.raises(ValueError, match="speaker must be one of 0 to 0 with segments, got 1"):
        conversion.spoken(studio.model, studio.guide, data, 0, 1)


def test_sounds_stand_in_the_page_itself(studio, two):
    html = studio.convert(*two).html()
    assert html.count("<audio controls") == 2 and html.count('autoplay src="data:audio/wav') == 1
    assert 'download="conversion.wav" href="data:audio/wav;base64,UklGR' in html
    assert 'alt="spectrograms: what is said' in html and 'src="data:image/png' in html


def test_the_axis_of_time_is_that_of_the_spectra(studio, two, monkeypatch):
    seen = []
    monkeypatch.setattr(
        recordings, "spectrograms", lambda rows, path, **how: seen.append(how) or path
    )
    heard = studio.convert(*two)
    spectrum = LogSpectrum(window=0.050, hop=0.020)
    with pytest.raises(FileNotFoundError):  # nothing was drawn
        replace(heard, spectrum=spectrum).html()
    assert seen[0]["hop"] == pytest.approx(0.020)


def test_segments_shorter_than_the_usual_step(studio, two, tmp_path):
    settings = {**studio.settings, "num_frames": 8}
    for i, path in enumerate(two):
        there = tmp_path / "all" / f"{i}" / "1.wav"
        there.parent.mkdir(parents=True)
        soundfile.write(there, app.read_recording(path, "", 16_000), 16_000, subtype="FLOAT")
    data = SpeechSegments(tmp_path / "all", cache_dir=tmp_path / "cache", **settings)
    frames = conversion.spoken(studio.model, studio.guide, data, 0, 1)
    assert frames.shape == (data.lengths[0], 200)


class TestRecordings:
    def test_each_that_cannot_be_used_gives_a_sentence_without_its_path(
        self, studio, two, tmp_path, recorded, monkeypatch
    ):
        monkeypatch.setattr(recordings, "LONGEST", 1.5)
        (tmp_path / "text.wav").write_text("no sound" * 99)
        np.save(tmp_path / "empty", np.zeros(0))
        soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
        soundfile.write(tmp_path / "nan.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
        recorded(tmp_path / "slow.wav", LOW, 1.0, rate=8_000)
        recorded(tmp_path / "long.wav", LOW, 1.6)
        recorded(tmp_path / "short.wav", LOW, 0.15)
        recorded(tmp_path / "still.wav", LOW, 1.0, loud=1e-4)
        for name, words in {
            "text": "must be sound, such as WAV, FLAC, Ogg or MP3: ",
            "empty": "must hold sound, got 0 samples",
            "nan": "must hold finite samples, ",
            "slow": "must have 16000 to 192000 samples a second, got 8000",
            "long": "must last at most 1.5 seconds, got 1.6",
            "short": "must last at least 0.2 seconds, got 0.15",
            "still": "must be heard, got silence",
        }.items():
            path = tmp_path / f"{name}.wav"
            for given, names in (((path, two[1]), (name, "b")), ((two[0], path), ("a", name))):
                with pytest.raises(ValueError, match=f"^{name} {words}") as raised:
                    studio.convert(*given, names)
                assert str(tmp_path) not in str(raised.value)
                assert "\n" not in str(raised.value)

    def test_the_shortest_can_be_used(self, studio, two, tmp_path, recorded):
        short = recorded(tmp_path / "short.wav", HIGH, 0.2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(studio.convert(short, short).spectra["in the other voice"]) == 21


class TestWhatItTakes:
    def test_pairs_that_say_what_recordings_they_are_of(self, studio, tmp_path):
        pair = studio.model, studio.guide
        pyro_dsae.save(tmp_path / "silent", *pair)
        with pytest.raises(FileNotFoundError, match="^nothing of its data in .*silent: data.json"):
            app.Studio(*pair, str(tmp_path / "silent"))
        series = Series([np.random.default_rng(0).normal(size=(20, 200))], num_frames=4)
        pyro_dsae.save(tmp_path / "series", *pair, data=series)
        with pytest.raises(ValueError, match="^voices need a model of SpeechSegments, .* Series$"):
            app.Studio(*pair, str(tmp_path / "series"))

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--data", "procedural"], "^--data goes with models of images, .* of spectra$"),
            (["--against", "x"], "^--against goes with models of images, .* of spectra$"),
            (["--frames", "9"], "^--frames goes with models of images, .* of spectra$"),
        ],
    )
    def test_one_line_from_the_command(self, speech, options, words):
        pytest.importorskip("gradio")
        with pytest.raises(SystemExit, match=words):
            main([str(speech), *options])
