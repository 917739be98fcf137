"""Utterances in another voice: the content of a speaker, the dynamics of what another says.

Content is the mean over a speaker's segments; dynamics are those of each segment of an utterance, which
overlap and fade into each other; as in section 4.2 of Li & Mandt (ICML 2018). What comes out are frames;
:meth:`SpeechSegments.sound <pyro_dsae.data.SpeechSegments.sound>` makes them audible.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from . import control
from .data import SpeechSegments

HOP = 10  # frames from one segment to the next


def voice(model: Any, guide: Any, segments: Tensor) -> dict[str, Tensor]:
    """The content of a speaker's segments ``(S, T, bins)``, on average: ``(1, dim)`` a site.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((20,), **sizes), pyro_dsae.Factorised((20,), **sizes)
    >>> {site: tuple(value.shape) for site, value in voice(model, guide, torch.rand(6, 10, 20)).items()}
    {'f': (1, 8)}
    """
    latents = control.infer(guide, segments)
    return {site: latents[site].mean(0, keepdim=True) for site in model.content}


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


def spoken(
    model: Any,
    guide: Any,
    data: SpeechSegments,
    utterance: int,
    speaker: int | None = None,
    *,
    hop: int = HOP,
) -> Tensor:
    """Scaled frames of an utterance in the voice of a speaker of ``data``, or in its own: ``(L, bins)``.

    :param utterance: number of one of ``data.files``.
    :param speaker: number of one of ``data.speakers``; None keeps the content of each segment.
    :param hop: frames from one segment of the utterance to the next.
    :raises ValueError: if there is no such speaker, or none of its segments is in ``data``.

    >>> frames = spoken(model, guide, data, 0, speaker=1)  # doctest: +SKIP
    >>> wave = data.sound(frames)  # doctest: +SKIP
    """
    content = None
    if speaker is not None:
        theirs = (data.labels["speaker"] == speaker).nonzero()[:, 0]
        if not len(theirs):
            raise ValueError(
                f"speaker must be one of 0 to {len(data.speakers) - 1} with segments, got {speaker}"
            )
        content = voice(model, guide, data.batch(theirs)[0])
    segments = convert(model, guide, data.segments_of(utterance, hop), content)
    return data.joined(segments, data.lengths[utterance], hop).cpu()
