"""Voices: a recording said in the voice of another, as sounds and spectra to show.

Recordings are read from files of any length and made audible again in memory; what is written in between is
in a temporary folder that goes at once.
"""

from __future__ import annotations

import io
import warnings
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import check_pair
from ..conversion import lost_detail, spoken
from ..data import LogSpectrum, SpeechSegments
from ..data.spectrum import librosa_
from ..data.speech import read_sound
from ..plotting import spectrograms
from ..saving import data_of
from .snippets import snippet
from .turns import alone

LONGEST = 30.0  # seconds of a recording
QUIETEST = 1e-3  # peak of a recording; what is below is silence
MOST = 192_000  # samples a second
PARTS = {"content": "what is said", "voice": "whose voice"}


def read_recording(path: str | Path, name: str, sample_rate: int) -> np.ndarray:
    """A recording, float32 ``(samples,)``, see :func:`pyro_dsae.data.speech.read_sound`.

    :raises ValueError: in one line with ``name`` in place of the path, if it is no sound that libsndfile
        reads, longer than :data:`LONGEST`, of fewer samples a second than ``sample_rate``, or silent.
    """
    import soundfile

    try:
        info = soundfile.info(path)
        if not sample_rate <= info.samplerate <= MOST:  # of fewer, some bins would hold nothing
            raise ValueError(
                f"{path} must have {sample_rate} to {MOST} samples a second, got {info.samplerate}"
            )
        if info.duration > LONGEST:
            raise ValueError(
                f"{path} must last at most {LONGEST:g} seconds, got {info.duration:.1f}"
            )
        wave = read_sound(Path(path), sample_rate)
        if np.abs(wave).max() < QUIETEST:
            raise ValueError(f"{path} must be heard, got silence")
    except soundfile.LibsndfileError as error:
        raise ValueError(
            f"{name} must be sound, such as WAV, FLAC, Ogg or MP3: {error.error_string}"
        ) from error
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), name)) from error
    return wave


@alone
def _said(model: Any, guide: Any, data: SpeechSegments) -> Tensor:
    """The first utterance in its own voice and in the second speaker's, ``(2, L, bins)``."""
    detail = lost_detail(model, guide, data.segments_of(0))
    return torch.stack([spoken(model, guide, data, 0, who, detail=detail) for who in (None, 1)])


@dataclass(frozen=True)
class Heard:
    """A conversion.

    :param sounds: float32 ``(samples,)`` by what they are, the conversion first.
    :param spectra: log-magnitudes ``(frames, bins)`` by what they are.
    :param spectrum: what they are spectra of.
    :param lines: of Pyro, that make it.
    """

    sounds: Mapping[str, np.ndarray]
    spectra: Mapping[str, Tensor]
    spectrum: LogSpectrum
    lines: str

    def wav(self, sound: str) -> bytes:
        """One of the sounds as a file, 16 bits a sample."""
        import soundfile

        file = io.BytesIO()
        wave = self.sounds[sound]
        soundfile.write(file, wave, self.spectrum.sample_rate, format="WAV", subtype="PCM_16")
        return file.getvalue()

    def html(self) -> str:
        """Players, the first of which plays at once and can be saved, above the spectrograms."""
        addresses = {name: _address(self.wav(name), "audio/wav") for name in self.sounds}
        players = "".join(
            f"<div><span>{escape(name)}</span>"
            f'<audio controls {"" if i else "autoplay"} src="{address}"></audio></div>'
            for i, (name, address) in enumerate(addresses.items())
        )
        first = next(iter(addresses.values()))
        with TemporaryDirectory() as folder:
            path = spectrograms(
                self.spectra,
                Path(folder, "spectra.png"),
                hop=self.spectrum.step / self.spectrum.sample_rate,
                hertz=self.spectrum.hertz,
            )
            picture = _address(path.read_bytes(), "image/png")
        said = f"spectrograms: {', '.join(self.spectra)}"
        return (
            f'<figure class="sounds">{players}'
            f'<p><a download="conversion.wav" href="{first}">Save as WAV</a></p>'
            f'<img alt="{escape(said)}" src="{picture}"></figure>'
        )


def _address(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{b64encode(data).decode()}"


class Studio:
    """Says recordings in the voices of others.

    :param pair: folder or id of the pair, which says what recordings it has learned from, see
        :func:`pyro_dsae.save`.
    :raises ValueError: unless these are recordings.
    :raises FileNotFoundError: if it does not say.
    :raises ImportError: without the extra ``speech``.

    >>> studio = Studio(*pyro_dsae.load("runs/speech/model"), "runs/speech/model")  # doctest: +SKIP
    >>> heard = studio.convert("his.wav", "hers.wav")  # doctest: +SKIP
    >>> heard.sounds["in the other voice"].shape  # doctest: +SKIP
    (48000,)
    """

    def __init__(self, model: nn.Module, guide: nn.Module, pair: str) -> None:
        librosa_()
        check_pair(model, guide)
        kind, self.settings = data_of(pair)
        if kind is not SpeechSegments:
            raise ValueError(f"voices need a model of SpeechSegments, {pair} is of {kind.__name__}")
        self.model, self.guide, self.pair = model, guide, pair
        self.spectrum: LogSpectrum = self.settings.get("spectrum", LogSpectrum())
        self.num_frames: int = self.settings.get("num_frames", 20)

    def convert(
        self, content: str | Path, voice: str | Path, names: tuple[str, str] = ("content", "voice")
    ) -> Heard:
        """What is said in one recording in the voice of another.

        :param names: of the recordings, in what is said of them.
        :raises ValueError: in one line, if a recording cannot be read, or is too short or too long.
        """
        import soundfile

        rate = self.spectrum.sample_rate
        with TemporaryDirectory() as folder:
            for part, path, name in zip(PARTS, (content, voice), names, strict=True):
                wave = read_recording(path, name, rate)
                shortest = self.num_frames * self.spectrum.step
                if len(wave) < shortest:
                    raise ValueError(
                        f"{name} must last at least {shortest / rate:g} seconds, got {len(wave) / rate:.2g}"
                    )
                there = Path(folder, "recordings", part)
                there.mkdir(parents=True)
                soundfile.write(there / "1.wav", wave, rate, subtype="FLOAT")
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                there = Path(folder, "recordings")
                data = SpeechSegments(there, cache_dir=Path(folder, "cache"), **self.settings)
            own, converted = _said(self.model, self.guide, data)
            spectra = {
                "what is said, as recorded": data.utterance(0),
                "as the model rebuilds it": own,
                "in the other voice": converted,
                "the other voice, as recorded": data.utterance(1),
            }
            sounds = {
                "in the other voice": data.sound(converted),
                "as the model rebuilds it": data.sound(own),
            }
            shown = {name: data.restore(frames) for name, frames in spectra.items()}
        lines = snippet("Voices", self.pair)
        return Heard(sounds, shown, self.spectrum, lines)
