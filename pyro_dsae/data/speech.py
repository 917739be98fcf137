"""Speech in short segments of spectra, labelled by who speaks.

TIMIT from its own tree (``TRAIN/DR1/FCJF0/SA1.WAV``, upper or lower case, NIST SPHERE or RIFF), AN4, and any
folder of ``[SPLIT/]SPEAKER/UTTERANCE.wav``. soundfile reads the files, librosa resamples them.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from .._numbers import check_whole
from .cache import cache_dir as default_cache_dir
from .cache import kept
from .spectrum import LogSpectrum, cut, librosa_, overlap_add

SUFFIXES = frozenset(
    [".wav", ".flac", ".sph", ".nist", ".ogg", ".aiff", ".aif", ".au", ".mp3", ".opus"]
)


@dataclass(frozen=True)
class Scaling:
    """What makes each bin of the training data 0 on average, and 1 its standard deviation."""

    mean: Tensor
    """Of each bin, ``(bins,)``."""
    scale: Tensor
    """Standard deviation of each bin, ``(bins,)``."""


def _name(path: Path) -> str:
    """The file's name without its suffixes of sound: SA1.WAV.wav is a copy of SA1.WAV."""
    while path.suffix.lower() in SUFFIXES:
        path = path.with_suffix("")
    return path.name


def _files(root: Path, split: str | None) -> dict[tuple[str, str, str], Path]:
    """Sound files by speaker, utterance and folder, sorted. Copies side by side in a folder are one."""
    if not root.is_dir():
        raise FileNotFoundError(f"root is not a folder: {root}")
    tops = [path for path in root.iterdir() if path.is_dir()]
    if split is not None:
        found = [path for path in tops if path.name.lower() == split.lower()]
        if not found:
            names = ", ".join(sorted(path.name for path in tops)) or "no folder"
            raise FileNotFoundError(f"root must hold a folder {split}, got {names}: {root}")
        tops = found
    files: dict[tuple[str, str, str], Path] = {}
    for top in tops:
        for path in sorted(top.rglob("*")):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                files[path.parent.name, _name(path), str(path.parent)] = path
    if not files:
        raise FileNotFoundError(f"root must hold SPEAKER/UTTERANCE.wav (or .flac, ...), got {root}")
    return dict(sorted(files.items()))


def sample_rates(files: Iterable[Path]) -> dict[int, int]:
    """How many of the files have which samples a second, by their headers."""
    import soundfile

    rates: Counter[int] = Counter()
    for path in files:
        try:
            rates[soundfile.info(path).samplerate] += 1
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise ValueError(
                f"{path} must be sound, got a file that cannot be read: {error}"
            ) from error
    return dict(rates)


def lowest_rate(root: str | os.PathLike[str]) -> int:
    """The fewest samples a second of any recording in ``root``.

    :raises FileNotFoundError: if there are none.
    """
    return min(sample_rates(_files(Path(root), None).values()))


def read_sound(path: Path, sample_rate: int) -> np.ndarray:
    """A file's sound, float32 ``(samples,)``: channels averaged, resampled to ``sample_rate``.

    :raises ValueError: naming the file, if it cannot be read, is empty or holds values not finite.
    """
    librosa = librosa_()
    import soundfile

    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise ValueError(
            f"{path} must be sound, got a file that cannot be read: {error}"
        ) from error
    wave = wave.mean(1)
    if not len(wave):
        raise ValueError(f"{path} must hold sound, got 0 samples")
    if not np.isfinite(wave).all():
        raise ValueError(f"{path} must hold finite samples, got NaN or infinite ones")
    if rate != sample_rate:
        wave = librosa.resample(wave, orig_sr=rate, target_sr=sample_rate)
    return wave


class SpeechSegments(Dataset[tuple[Any, dict[str, int]]]):
    """Segments of log-magnitude spectra, as in Li & Mandt (ICML 2018), section 4.2: 20 frames, 200 ms.

    Spectra are computed once, kept as float16 in ``cache_dir`` and mapped from there: memory does not
    grow with the corpus.

    Args:
        root: the folder of the corpus.
        split: ``train`` or ``test``, a folder of ``root`` in any case; None takes all there is.
        num_frames: T, frames of a segment.
        segment_hop: frames from one segment to the next (default: ``num_frames``).
        spectrum: how sound becomes frames.
        speakers: their names; None takes all.
        level: bring each utterance to this root mean square, so that how loud it was recorded says
            nothing of the speaker; None leaves it.
        silence: leave out segments whose power is so many dB below the loudest of the utterance.
        scaling: that of the training data (``train.scaling``); None computes it from this data.
        cache_dir: folder of the spectra (default: ``speech`` in :func:`~pyro_dsae.data.cache_dir`). ``root``
            itself is only read.
        transform: called on each float tensor ``(num_frames, bins)``.

    An item is ``(x, labels)``: ``x`` float32 ``(num_frames, bins)``, and ``speaker``, ``sex`` (0 female, 1
    male, -1 unknown), ``utterance``, ``segments``, how many that has, and ``position``, the segment's first
    frame in it. The sex is the first letter of a speaker's folder where all of them begin with f or m,
    as in TIMIT and AN4. An utterance shorter than a segment yields none, with a warning that names it. A
    warning also says how many bins are empty where recordings have fewer samples a second than the spectrum.

    Raises ``FileNotFoundError`` if there is no folder or no sound in it, ``ValueError`` naming a file that
    is not sound or is empty, and ``ImportError`` without the extra ``speech``.

    >>> train = SpeechSegments("TIMIT", "train", silence=30)  # doctest: +SKIP
    >>> test = SpeechSegments("TIMIT", "test", scaling=train.scaling)  # doctest: +SKIP
    >>> train[0][0].shape  # doctest: +SKIP
    torch.Size([20, 200])
    """

    speakers: list[str]
    """Names, in the order of the label ``speaker``."""
    files: list[Path]
    """One an utterance, in the order of the label ``utterance``."""
    lengths: list[int]
    """Frames of each utterance."""
    item_lengths = None  # segments are of one length
    scaling: Scaling
    labels: dict[str, Tensor]
    """Long, one entry a segment."""
    utterance_speaker: Tensor
    """Long ``(utterances,)``."""
    speaker_sex: Tensor
    """Long ``(speakers,)``."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str | None = None,
        *,
        num_frames: int = 20,
        segment_hop: int | None = None,
        spectrum: LogSpectrum | None = None,
        speakers: Sequence[str] | None = None,
        level: float | None = 0.05,
        silence: float | None = None,
        scaling: Scaling | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        check_whole(1, num_frames=num_frames, segment_hop=segment_hop)
        for name, value in (("level", level), ("silence", silence)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, or None, got {value}")
        self.num_frames = num_frames
        self.segment_hop = num_frames if segment_hop is None else segment_hop
        self.spectrum, self.level, self.transform = spectrum or LogSpectrum(), level, transform
        self._silence = silence
        found = _files(Path(root), split)
        if speakers is not None:
            missing = sorted(set(speakers) - {speaker for speaker, *_ in found})
            if missing:
                raise ValueError(f"speakers must be in {root}, got {', '.join(missing)}")
            found = {key: path for key, path in found.items() if key[0] in speakers}
            if not found:
                raise ValueError("speakers must name at least one, or be None, got none")
        self.files = [*found.values()]
        names = [speaker for speaker, *_ in found]
        self.speakers = sorted(set(names))
        self.utterance_speaker = torch.tensor([self.speakers.index(name) for name in names])
        first = [name[0].lower() for name in self.speakers]
        known = set(first) <= {"f", "m"}
        self.speaker_sex = torch.tensor([int(c == "m") if known else -1 for c in first])

        self._load(Path(cache_dir) if cache_dir is not None else default_cache_dir() / "speech")
        self._say_if_empty()
        self.scaling = scaling or self._statistics()
        self._index(silence)

    def _say_if_empty(self) -> None:
        """A warning where recordings have fewer samples a second than the spectrum."""
        rate = self.spectrum.sample_rate
        low = {found: n for found, n in sample_rates(self.files).items() if found < rate}
        if low:
            least = min(low)
            empty = int((self.spectrum.hertz > least / 2).sum())
            warnings.warn(
                f"{sum(low.values())} of {len(self.files)} recordings have fewer samples a second than the "
                f"spectrum's {rate}, down to {least}: {empty} of {self.spectrum.bins} bins hold nothing of "
                f"them; spectrum=LogSpectrum({least}, ...) has none such",
                stacklevel=3,
            )

    @property
    def settings(self) -> dict[str, Any]:
        """What is done to recordings on the way in: see :func:`pyro_dsae.load_data`."""
        return {
            "num_frames": self.num_frames,
            "spectrum": self.spectrum,
            "level": self.level,
            "silence": self._silence,
            "scaling": self.scaling,
        }

    def _load(self, cache: Path) -> None:
        """Map the spectra from the cache, computed first where they are not there."""
        key = _key(self.files, self.spectrum, self.level)
        folder = cache / key
        if not (folder / "lengths.json").is_file():
            self._compute(folder)
        self.lengths = json.loads((folder / "lengths.json").read_text())
        self._offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        shape = (int(self._offsets[-1]), self.spectrum.bins)
        self._frames = np.memmap(folder / "frames", np.float16, "r", shape=shape)

    def _compute(self, folder: Path) -> None:
        with kept(folder) as partial:
            partial.mkdir()
            lengths = []
            with (partial / "frames").open("wb") as file:
                for path in tqdm(self.files, "spectra", disable=None):
                    frames = self.spectrum(self._sound(path)).numpy().astype(np.float16)
                    file.write(frames.tobytes())
                    lengths.append(len(frames))
            (partial / "lengths.json").write_text(json.dumps(lengths))

    def _sound(self, path: Path) -> np.ndarray:
        wave = read_sound(path, self.spectrum.sample_rate)
        power = float(np.square(wave).mean())
        if self.level is None or power == 0:
            return wave
        return wave * (self.level / power**0.5)

    def _statistics(self) -> Scaling:
        """Of every frame, in one pass over the map."""
        total = squares = np.zeros(self.spectrum.bins)
        for frames in np.array_split(self._frames, 1 + len(self._frames) // 65_536):
            values = frames.astype(np.float64)
            total, squares = total + values.sum(0), squares + np.square(values).sum(0)
        mean = total / len(self._frames)
        scale = np.sqrt(np.maximum(squares / len(self._frames) - mean**2, 1e-6))
        return Scaling(torch.from_numpy(mean).float(), torch.from_numpy(scale).float())

    def _index(self, silence: float | None) -> None:
        """Where each segment starts in the map, and its labels."""
        starts, utterances, positions, short = [], [], [], []
        for i, (offset, length) in enumerate(zip(self._offsets, self.lengths, strict=False)):
            position = np.arange(0, length - self.num_frames + 1, self.segment_hop)
            if not len(position):
                short.append(self.files[i].name)
                continue
            if silence is not None:
                position = position[self._loud(offset, length, position, silence)]
            starts.append(offset + position)
            positions.append(position)
            utterances.append(np.full(len(position), i))
        if short:
            warnings.warn(
                f"{len(short)} utterances are shorter than {self.num_frames} frames and left out: "
                f"{', '.join(short[:8])}{', ...' if len(short) > 8 else ''}",
                stacklevel=3,
            )
        if not starts:
            raise ValueError(f"no utterance is as long as a segment, {self.num_frames} frames")
        self._starts = np.concatenate(starts)
        utterance = torch.from_numpy(np.concatenate(utterances))
        speaker = self.utterance_speaker[utterance]
        self.labels = {
            "speaker": speaker,
            "sex": self.speaker_sex[speaker],
            "utterance": utterance,
            "segments": utterance.bincount()[utterance],
            "position": torch.from_numpy(np.concatenate(positions)),
        }

    def _loud(self, offset: int, length: int, position: np.ndarray, silence: float) -> np.ndarray:
        """Which segments lie less than ``silence`` dB below the loudest."""
        frames = self._frames[offset : offset + length].astype(np.float32)
        power = np.concatenate([[0.0], np.cumsum(np.exp(2 * frames).sum(1, dtype=np.float64))])
        segments = power[position + self.num_frames] - power[position]
        return segments >= segments.max() * 10 ** (-silence / 10)

    def _scaled(self, frames: np.ndarray) -> Tensor:
        x = torch.from_numpy(frames.astype(np.float32))
        return x.sub_(self.scaling.mean).div_(self.scaling.scale)

    def restore(self, x: Tensor) -> Tensor:
        """Log-magnitudes from scaled frames ``(*, bins)``."""
        return x * self.scaling.scale.to(x.device) + self.scaling.mean.to(x.device)

    def utterance(self, i: int) -> Tensor:
        """All frames of an utterance, scaled, ``(lengths[i], bins)``."""
        return self._scaled(self._frames[self._offsets[i] : self._offsets[i + 1]])

    def segments_of(self, i: int, hop: int | None = None) -> Tensor:
        """Segments that cover an utterance, scaled, ``(S, num_frames, bins)``; see :func:`cut`."""
        return cut(self.utterance(i), self.num_frames, self.num_frames if hop is None else hop)

    def joined(self, segments: Tensor, length: int, hop: int | None = None) -> Tensor:
        """Frames of an utterance, ``(length, bins)``, from its segments; see :func:`overlap_add`."""
        return overlap_add(segments, self.num_frames if hop is None else hop, length)

    def sound(self, frames: Tensor) -> np.ndarray:
        """Scaled frames ``(L, bins)`` to sound; see :meth:`LogSpectrum.inverse`."""
        return self.spectrum.inverse(self.restore(frames))

    def wave(self, i: int) -> np.ndarray:
        """The sound of an utterance as recorded, brought to ``level``."""
        return self._sound(self.files[i])

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, i: int) -> tuple[Any, dict[str, int]]:
        if not 0 <= i < len(self):
            raise IndexError(f"index must be 0 to {len(self) - 1}, got {i}")
        return self.__getitems__([i])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, dict[str, int]]]:
        """Items of a batch, read from the map at once."""
        x, labels = self.batch(torch.tensor(indices))
        return [
            (
                x[i] if self.transform is None else self.transform(x[i]),
                {name: int(values[i]) for name, values in labels.items()},
            )
            for i in range(len(x))
        ]

    def batch(
        self, index: Tensor, device: torch.device | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Segments ``index`` on ``device``, and their labels; see :meth:`Sequences.batch`."""
        rows = self._starts[index.numpy()][:, None] + np.arange(self.num_frames)
        x = self._scaled(self._frames[rows]).to(device or "cpu")
        return x, {name: values[index] for name, values in self.labels.items()}


def _key(files: Sequence[Path], spectrum: LogSpectrum, level: float | None) -> str:
    """Of the files as they are and of what is done to them."""
    parts = [spectrum.sample_rate, spectrum.window, spectrum.bins, spectrum.step, level]
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(json.dumps([parts, stats]).encode()).hexdigest()[:16]
