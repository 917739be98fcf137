r"""Utterances in another voice: the content of a speaker, the dynamics of what another says.

Content is that of all a speaker's segments; dynamics are those of each segment of an utterance, which
overlap and fade into each other; as in section 4.2 of Li & Mandt (ICML 2018). What comes out are frames;
:meth:`SpeechSegments.sound <pyro_dsae.data.SpeechSegments.sound>` makes them audible.

A mean has less of what tells voices apart than what it is the mean of, twice over. f of S segments is their
mean, which lies nearer to the centre of the prior, the voice of nobody, than they do. It is moved out again:

.. math:: f = \bar f \cdot \operatorname{mean}_s \|f_s\| \,/\, \|\bar f\|

And what a decoder draws is a mean, and a mean over pitches that it cannot tell apart has flat harmonics: it
sounds hoarse. The remedy is that of Toda, Black & Tokuda (IEEE Trans. ASLP 15(8), 2007), who give back the
variance that a mean has lost. Here it is that of the detail over frequency, what a frame x has besides its
running mean s(x) over :data:`BAND` bins, bin by bin:

.. math:: x \leftarrow s(x) + g (x - s(x)), \quad
          g = \frac{\operatorname{std}(x - s(x))}{\operatorname{std}(\hat x - s(\hat x))}

over training segments x and their reconstructions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from . import control
from .data import SpeechSegments

HOP = 10  # frames from one segment to the next
BAND = 9  # bins, odd: 180 Hz where they are 20 Hz wide, more than a low voice has from harmonic to harmonic


def voice(model: Any, guide: Any, segments: Tensor) -> dict[str, Tensor]:
    """The content of a speaker's segments ``(S, T, bins)``: ``(1, dim)`` a site.

    Of a prior whose centre is 0.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((20,), **sizes), pyro_dsae.Factorised((20,), **sizes)
    >>> {site: tuple(value.shape) for site, value in voice(model, guide, torch.rand(6, 10, 20)).items()}
    {'f': (1, 8)}
    """
    latents = control.infer(guide, segments)
    return {site: _centre(latents[site]) for site in model.content}


def _centre(f: Tensor) -> Tensor:
    """Where ``(S, dim)`` lie, as far out as they do: ``(1, dim)``."""
    mean = f.mean(0, keepdim=True)
    return F.normalize(mean) * f.norm(dim=1).mean()


def convert(
    model: Any, guide: Any, segments: Tensor, content: dict[str, Tensor] | None = None
) -> Tensor:
    """Segments ``(S, T, bins)`` of an utterance in another voice, or in their own: ``(S, T, bins)``.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((20,), **sizes), pyro_dsae.Factorised((20,), **sizes)
    >>> his, hers = torch.rand(2, 6, 10, 20)
    >>> convert(model, guide, his, voice(model, guide, hers)).shape
    torch.Size([6, 10, 20])
    """
    latents: dict[str, Any] = control.infer(guide, segments)
    latents |= {site: value.expand(len(segments), -1) for site, value in (content or {}).items()}
    return control.generate(model, num_frames=segments.shape[1], **latents)


def sharpened(frames: Tensor, detail: float | Tensor) -> Tensor:
    """Frames ``(*, bins)`` with ``detail`` times the detail that they have, one for all bins or ``(bins,)``.

    :raises ValueError: if ``detail`` is negative, not finite, or of other bins.

    >>> flat = torch.ones(7, 200)
    >>> torch.allclose(sharpened(flat, 2.0), flat)
    True
    """
    gain = torch.as_tensor(detail, dtype=frames.dtype, device=frames.device)
    if gain.shape not in ((), frames.shape[-1:]):
        raise ValueError(
            f"detail must be one or ({frames.shape[-1]},), a bin each, got {tuple(gain.shape)}"
        )
    if not bool(((gain >= 0) & gain.isfinite()).all()):
        raise ValueError(f"detail must be 0 or more and finite, got {detail}")
    return frames + (gain - 1) * _detail(frames)


@torch.no_grad()
def lost_detail(model: Any, guide: Any, segments: Tensor) -> Tensor:
    """How many times as much detail segments ``(S, T, bins)`` have as their reconstructions: g, ``(bins,)``.

    It is 1 where neither has any, as in bins above all that a recording holds.

    :raises ValueError: if the reconstructions have none at all.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((20,), **sizes), pyro_dsae.Factorised((20,), **sizes)
    >>> lost_detail(model, guide, torch.rand(6, 10, 20)).shape
    torch.Size([20])
    """
    had, left = (
        _detail(x.cpu()).flatten(0, -2).std(0) for x in (segments, convert(model, guide, segments))
    )
    some = left > 1e-6
    if not bool(some.any()):
        raise ValueError(
            "reconstructions must differ from bin to bin, got frames without any detail"
        )
    return torch.where(some, had / left.clamp(min=1e-6), 1.0)


def _detail(frames: Tensor) -> Tensor:
    """x - s(x); at both ends the first and last bin are repeated."""
    rows = frames.reshape(-1, 1, frames.shape[-1])
    smooth = F.avg_pool1d(F.pad(rows, (BAND // 2,) * 2, mode="replicate"), BAND, 1)
    return frames - smooth.view_as(frames)


def spoken(
    model: Any,
    guide: Any,
    data: SpeechSegments,
    utterance: int,
    speaker: int | None = None,
    *,
    among: SpeechSegments | None = None,
    hop: int | None = None,
    detail: float | Tensor = 1.0,
) -> Tensor:
    """Scaled frames of an utterance in the voice of a speaker, or in its own: ``(L, bins)``.

    :param utterance: number of one of ``data.files``.
    :param speaker: number of one of ``among.speakers``; None keeps the content of each segment.
    :param among: where the speaker is heard (default: ``data``).
    :param hop: frames from one segment of the utterance to the next (default: 10, or a whole short segment).
    :param detail: g of :func:`sharpened`; :func:`lost_detail` tells it.
    :raises ValueError: if there is no such speaker, or none of its segments is there.

    >>> frames = spoken(model, guide, data, 0, speaker=1)  # doctest: +SKIP
    >>> wave = data.sound(frames)  # doctest: +SKIP
    """
    content, hop = None, min(HOP, data.num_frames) if hop is None else hop
    if speaker is not None:
        among = data if among is None else among
        theirs = (among.labels["speaker"] == speaker).nonzero()[:, 0]
        if not len(theirs):
            raise ValueError(
                f"speaker must be one of 0 to {len(among.speakers) - 1} with segments, got {speaker}"
            )
        content = voice(model, guide, among.batch(theirs)[0])
    segments = convert(model, guide, data.segments_of(utterance, hop), content)
    return sharpened(data.joined(segments, data.lengths[utterance], hop).cpu(), detail)
