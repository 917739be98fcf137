"""Sequences to choose from: read, and taken apart once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from .._numbers import check_whole
from ..checks import check_pair, latents_of
from ..control import generate, infer
from ..data import Clips, ProceduralSprites, Sequences, Sprites
from .turns import LOCK

MOST_FRAMES = 64  # of a clip that are read
LONGEST = 10_000  # frames that a clip may have


@dataclass(frozen=True)
class Entry:
    """A sequence and the means of its latents.

    :param name: said of it.
    :param x: frames in [0, 1], ``(T, channels, height, width)``.
    :param f: content, ``(f_dim,)``.
    :param z: dynamics, ``(T, z_dim)``.
    :param labels: whole numbers by name, where they are known.
    """

    name: str
    x: Tensor
    f: Tensor
    z: Tensor
    labels: dict[str, int] = field(default_factory=dict)


def check_shown(model: nn.Module, guide: nn.Module) -> None:
    """ValueError in one line unless the pair is of images, with sites f and z, and z has an axis of time."""
    check_pair(model, guide)
    frame: Any = getattr(model, "frame_shape", ())
    shapes = {site: len(shape) for site, shape in latents_of(model).items()}
    if len(frame) != 3 or shapes != {"f": 1, "z": 2}:
        raise ValueError(
            "the explorer shows models of images with latents f and z_1:T, got "
            f"{type(model).__name__} of frames {tuple(frame)} with latents {', '.join(shapes)}"
        )


def take_apart(
    model: nn.Module,
    guide: nn.Module,
    sequences: Sequence[Tensor],
    names: Sequence[str],
    labels: Sequence[dict[str, int]] | None = None,
) -> list[Entry]:
    """Entries of sequences ``(T, channels, height, width)``, floats in [0, 1] or bytes, of any lengths."""
    entries = []
    for i, (x, name) in enumerate(zip(sequences, names, strict=True)):
        x = x.float() / 255 if x.dtype == torch.uint8 else x.float()
        with LOCK:
            found = infer(guide, x[None], model=model)
        latents = {site: value[0].cpu() for site, value in found.items()}
        entries.append(Entry(name, x, **latents, labels=labels[i] if labels else {}))
    return entries


def read_data(
    model: nn.Module,
    guide: nn.Module,
    source: str | None = None,
    *,
    count: int = 36,
    frames: int = 16,
    pace: Mapping[str, Any] | None = None,
) -> list[Entry]:
    """At most ``count`` entries, spread over the data, the same each time.

    :param source: a folder of clips, or one video; a folder of LPC sheets, whose test characters are taken;
        a ``.npy`` or ``.npz`` array ``(N, T, channels, height, width)``; ``"procedural"``, for the figures
        of :class:`~pyro_dsae.data.ProceduralSprites`; or None: sequences of 8 frames that the model draws.
    :param frames: of a window of clips.
    :param pace: ``stride`` or ``rate`` of clips, as the pair has learnt from; by default every frame.
    :raises ValueError: if the frames are not those of the model.
    """
    check_whole(1, count=count, frames=frames)
    if source is None:
        drawn = generate(model, batch_size=count, num_frames=8).cpu()
        return take_apart(model, guide, list(drawn), [f"drawn {i + 1}" for i in range(count)])
    shape: Any = model.frame_shape
    data: Any = _open(source, shape, frames, pace or {})
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    chosen = order[:count].sort().values.tolist()
    items = [data[i] for i in chosen]
    for x, _ in items:
        if tuple(x.shape[1:]) != shape:
            raise ValueError(f"frames of {source} must be {shape}, got {tuple(x.shape[1:])}")
    names = [_name(data, i, labels) for i, (_, labels) in zip(chosen, items, strict=True)]
    labels = [{k: v for k, v in labels.items() if isinstance(v, int)} for _, labels in items]
    return take_apart(model, guide, [x for x, _ in items], names, labels)


def _open(
    source: str, shape: tuple[int, int, int], frames: int, pace: Mapping[str, Any]
) -> Dataset:
    channels, *size = shape
    if source == "procedural":
        if channels != 3 or size[0] != size[1]:
            raise ValueError(f"the procedural figures are square and in colour, got frames {shape}")
        return ProceduralSprites("test", size=size[0])
    path = Path(source)
    if path.suffix in (".npy", ".npz"):
        return Sequences(path)
    if (path / "body" / "0.png").is_file() and size[0] == size[1]:
        return Sprites(path, "test", size=size[0])
    read = partial(
        Clips,
        path,
        num_frames=frames,
        windows="tiled",
        size=(size[0], size[1]),
        grey=channels == 1,
        keep="none",
        on_error="skip",
    )
    try:
        return read(**pace)
    except ValueError:
        if "rate" not in pace:
            raise
        return read()  # of images, which have no times


def _name(data: Any, i: int, labels: dict[str, Any]) -> str:
    if "action" in labels and hasattr(data, "actions"):
        return f"{i}: {data.actions[labels['action']]}"
    if "clip" in labels:
        return f"{data.names[labels['clip']]}, from frame {labels['start']}"
    return f"sequence {i}"


def read_clip(
    path: str | Path,
    model: nn.Module,
    guide: nn.Module,
    name: str,
    pace: Mapping[str, Any] | None = None,
) -> Entry:
    """The first frames of one video, at most :data:`MOST_FRAMES`, taken apart.

    :param pace: ``stride`` or ``rate``, see :func:`read_data`.
    :raises ValueError: in one line with ``name`` in place of the path, if it is no video or has more than
        :data:`LONGEST` frames.
    """
    shape: Any = model.frame_shape
    options: Any = {"size": shape[1:], "grey": shape[0] == 1, "keep": "none"}
    try:
        clips = Clips(path, num_frames=None, **options, **(pace or {}))
        (length,) = clips.lengths
        if length > LONGEST:
            raise ValueError(f"{path} must have at most {LONGEST} frames, got {length}")
        x = clips.read(0, clips.frames(0)[1][:MOST_FRAMES])
    except (OSError, ValueError, ImportError) as error:
        raise ValueError(str(error).replace(str(path), name)) from error
    return take_apart(model, guide, [x], [name])[0]
