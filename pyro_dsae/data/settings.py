"""What is done to data on the way in, as JSON holds it: a data set's ``settings``, and back."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from .clips import Clips
from .series import Series
from .spectrum import LogSpectrum
from .speech import Scaling, SpeechSegments

KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Clips, Series, SpeechSegments)}
"""Data sets that have ``settings``: arguments that make new data of the same form."""


def encoded(data: Any) -> dict[str, Any]:
    """Class and settings of a data set: ``{"data": "Clips", "size": [32, 32], ...}``.

    :raises ValueError: if it has none.
    """
    names = [name for name, kind in KINDS.items() if isinstance(data, kind)]
    if not names:
        raise ValueError(f"data must be one of {', '.join(KINDS)}, got {type(data).__name__}")
    found: dict[str, Any] = {"data": names[0]}
    for key, value in data.settings.items():
        if isinstance(value, Scaling):
            value = {"mean": value.mean.tolist(), "scale": value.scale.tolist()}
        elif isinstance(value, LogSpectrum):
            value = value.settings
        found[key] = value
    return found


def decoded(found: Mapping[str, Any], where: str) -> tuple[Any, dict[str, Any]]:
    """The class and the arguments that :func:`encoded` has written.

    :param where: what an error names.
    :raises ValueError: if it is no such thing.
    """
    settings = dict(found)
    name = settings.pop("data", None)
    if name not in KINDS:
        raise ValueError(f"{where} must name as data one of {', '.join(KINDS)}, got {name!r}")
    if unknown := sorted(settings.keys() - inspect.signature(KINDS[name]).parameters):
        raise ValueError(f"{where} must hold settings of {name}, got {', '.join(unknown)}")
    try:
        if "scaling" in settings:
            dtype = torch.float64 if KINDS[name] is Series else torch.float32
            settings["scaling"] = Scaling(
                **{k: torch.tensor(v, dtype=dtype) for k, v in settings["scaling"].items()}
            )
        if "spectrum" in settings:
            settings["spectrum"] = LogSpectrum(**settings["spectrum"])
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{where} must hold settings of {name}: {error}") from error
    return KINDS[name], settings
