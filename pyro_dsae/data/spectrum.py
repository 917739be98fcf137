r"""Log-magnitude spectra of sound, segments of them, and the way back to sound.

.. math:: S_{tk} = \tfrac12 \log \operatorname{mean}_{i \in B_k} |\operatorname{STFT}(w)_{ti}|^2,
          \quad k = 1, \dots, K

over K bands B_k of frequencies. Phase is estimated by Griffin & Lim (IEEE Trans. ASSP 32(2), 1984), in
librosa's fast form.
"""

from __future__ import annotations

import inspect
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .._numbers import check_whole

_FLOOR = 1e-4  # of a magnitude; that of 16-bit noise is about 4e-4


def librosa_() -> ModuleType:
    """librosa; ImportError says how to install it."""
    try:
        import librosa
    except ImportError as error:
        raise ImportError('sound needs librosa: pip install "pyro-dsae[speech]"') from error
    return librosa


class LogSpectrum:
    """Spectra of ``bins`` log-magnitudes, from Hann windows of ``window`` seconds.

    The windows of 25 ms of Li & Mandt (ICML 2018) give 200 bins of 40 Hz at 16 kHz, too wide to tell the
    harmonics of a low voice apart, and its pitch is lost on the way back. Longer windows have more
    frequencies than bins: the lowest stay as they are, the others go together by threes. At 50 ms these are
    100 bins of 20 Hz up to 2 kHz, and 100 of 60 Hz from there to 8 kHz. The constant part is left out.

    :param sample_rate: samples a second.
    :param bins: K, of a spectrum.
    :param window: seconds; it must have ``bins`` to 3 ``bins`` frequencies.
    :param hop: seconds from frame to frame, at most half a window.

    >>> spectrum = LogSpectrum(window=0.050)
    >>> frames = spectrum(np.sin(np.arange(16_000) * 0.1))  # a second
    >>> frames.shape
    torch.Size([101, 200])
    >>> spectrum.inverse(frames, iterations=2).shape
    (16000,)
    """

    def __init__(
        self,
        sample_rate: int = 16_000,
        *,
        bins: int = 200,
        window: float = 0.025,
        hop: float = 0.010,
    ) -> None:
        check_whole(1, sample_rate=sample_rate, bins=bins)
        self.sample_rate, self.bins, self.hop = sample_rate, bins, hop
        self.settings = {"sample_rate": sample_rate, "bins": bins, "window": window, "hop": hop}
        """What it was made with."""
        frequencies = round(window * sample_rate / 2)
        self.window, self.step = 2 * frequencies, round(hop * sample_rate)
        if not bins <= frequencies <= 3 * bins:
            raise ValueError(
                f"window must have {bins} to {3 * bins} frequencies, half its samples, "
                f"got {frequencies} ({window} s)"
            )
        if not 1 <= self.step <= frequencies:
            raise ValueError(
                f"hop must be 1 to {frequencies} samples, half a window, got {self.step} ({hop} s)"
            )
        alone = (3 * bins - frequencies) // 2
        width = torch.tensor([1] * alone + [3] * (bins - alone))
        width[-1] += frequencies - width.sum()  # an odd one out
        self.width = width
        """Frequencies in each bin, ``(bins,)``."""
        self._band = torch.arange(bins).repeat_interleave(width)

    @property
    def hertz(self) -> Tensor:
        """The middle of each bin, ``(bins,)``."""
        return (self.width.cumsum(0) - (self.width - 1) / 2) * self.sample_rate / self.window

    def __call__(self, wave: np.ndarray) -> Tensor:
        """Sound ``(samples,)`` to spectra ``(1 + samples // step, bins)``, float32."""
        stft = librosa_().stft(
            np.asarray(wave, np.float32),
            n_fft=self.window,
            hop_length=self.step,
            pad_mode="constant",
        )
        power = torch.from_numpy(np.abs(stft[1:].T)).square()
        bands = power.new_zeros(len(power), self.bins).index_add_(1, self._band, power)
        return (bands / self.width).sqrt_().clamp_(min=_FLOOR).log_()

    def inverse(self, spectra: Tensor, *, iterations: int = 60, seed: int = 0) -> np.ndarray:
        """Spectra ``(frames, bins)`` to sound ``((frames - 1) * step,)``, its phase estimated."""
        if spectra.dim() != 2 or spectra.shape[1] != self.bins:
            raise ValueError(f"spectra must be (frames, {self.bins}), got {tuple(spectra.shape)}")
        magnitudes = spectra.detach().cpu().float().exp()[:, self._band]
        librosa = librosa_()
        renamed = "rng" in inspect.signature(librosa.griffinlim).parameters  # by librosa 1.0
        return librosa.griffinlim(
            F.pad(magnitudes, (1, 0)).T.numpy(),
            n_iter=iterations,
            hop_length=self.step,
            n_fft=self.window,
            pad_mode="constant",
            **{"rng" if renamed else "random_state": seed},
        )


def cut(frames: Tensor, num_frames: int, hop: int) -> Tensor:
    """A sequence in segments: ``(L, *frame)`` to ``(S, num_frames, *frame)``, one every ``hop`` frames.

    They cover all of it; where the last ends after the sequence, its last frame is repeated.

    >>> cut(torch.rand(50, 200), num_frames=20, hop=10).shape
    torch.Size([4, 20, 200])
    """
    _check_hop(hop, num_frames)
    count = 1 + max(0, -(-(len(frames) - num_frames) // hop))
    index = hop * torch.arange(count).unsqueeze(1) + torch.arange(num_frames)
    return frames[index.clamp_(max=len(frames) - 1).to(frames.device)]


def overlap_add(segments: Tensor, hop: int, length: int) -> Tensor:
    """The inverse of :func:`cut`, ``(length, *frame)``: where segments overlap one fades into the next.

    >>> frames = torch.rand(50, 200)
    >>> torch.allclose(overlap_add(cut(frames, 20, 10), 10, 50), frames)
    True
    """
    count, num_frames = segments.shape[:2]
    _check_hop(hop, num_frames)
    ramp = torch.arange(1, num_frames + 1, device=segments.device)
    fade = torch.minimum(ramp, ramp.flip(0)).to(segments.dtype)
    index = hop * torch.arange(count, device=segments.device).unsqueeze(1) + ramp - 1
    total = int(index.max()) + 1
    if length > total:
        raise ValueError(f"length must be at most {total}, what the segments hold, got {length}")
    weight = segments.new_zeros(total).index_add_(0, index.flatten(), fade.repeat(count))
    weighted = segments * fade.reshape(-1, *[1] * (segments.dim() - 2))
    added = segments.new_zeros(total, *segments.shape[2:])
    added.index_add_(0, index.flatten(), weighted.flatten(0, 1))
    return (added / weight.reshape(-1, *[1] * (segments.dim() - 2)))[:length]


def _check_hop(hop: int, num_frames: int) -> None:
    if not 1 <= hop <= num_frames:
        raise ValueError(f"hop must be 1 to {num_frames}, the frames of a segment, got {hop}")
