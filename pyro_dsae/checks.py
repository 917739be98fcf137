"""What is known before the first step: whether model, guide, frames and latents fit each other.

Programs say by ``frame_shape`` and ``latents`` what they take; of one that does not, nothing is asked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .nn import check_mask, check_sequences, hidden
from .program import Latents, device_of, unwrapped


def check_pair(model: Callable, guide: Callable) -> None:
    """ValueError in one line unless both have the same frames, and the same latents of the same shapes."""
    programs = unwrapped(model), unwrapped(guide)
    names = " and ".join(type(program).__name__ for program in programs)
    frames = [getattr(program, "frame_shape", None) for program in programs]
    if None not in frames and frames[0] != frames[1]:
        raise ValueError(f"{names} do not fit: frames are {frames[0]} and {frames[1]}")
    ours, theirs = (latents_of(program) for program in programs)
    if not ours or not theirs:
        return
    if set(ours) != set(theirs):
        raise ValueError(
            f"{names} do not fit: latents are {', '.join(ours)} and {', '.join(theirs)}"
        )
    spreads = [getattr(program, "z2_scale", None) for program in programs]
    if None not in spreads and spreads[0] != spreads[1]:
        raise ValueError(f"{names} do not fit: z2_scale is {spreads[0]} and {spreads[1]}")
    for site, shape in ours.items():
        if shape != theirs[site]:
            raise ValueError(
                f"{names} do not fit: {site} is {_shape(shape)} and {_shape(theirs[site])}"
            )


def latents_of(program: Callable) -> Latents:
    """Shape by site of the latents of one sequence; empty if the program does not say."""
    return getattr(unwrapped(program), "latents", {})


def _shape(shape: Iterable[int | None], first: str = "") -> str:
    """``(time, 6)``, or ``(batch, time, 6)``."""
    sides = [*([first] if first else []), *("time" if n is None else str(n) for n in shape)]
    return f"({', '.join(sides)})"


def as_frames(program: Callable, x: Any, model: Callable | None = None) -> Tensor:
    """Sequences as a program takes them: floats of its own kind, on its device; bytes become 0 to 1.

    :param x: a tensor or an array ``(N, T, *frame)`` of uint8 or floats.
    :param model: the frames must be within what its likelihood takes.
    :raises ValueError: naming what came and what was expected.
    """
    x = torch.as_tensor(x)
    if x.dtype != torch.uint8 and not x.is_floating_point():
        raise ValueError(f"x must be of uint8 or floats, got {x.dtype}")
    root = unwrapped(program)
    if hasattr(root, "frame_shape"):
        check_sequences(x, root.frame_shape)
    weights = root.parameters() if isinstance(root, nn.Module) else iter(())
    dtype = next((w.dtype for w in weights if w.is_floating_point()), torch.float32)
    is_bytes = x.dtype == torch.uint8
    x = x.to(device_of(program), dtype)
    x = x / 255 if is_bytes else x
    if x.numel() and not is_bytes:
        check_range(model, *(float(value) for value in x.detach().aminmax()))
    return x


def as_mask(mask: Any, x: Any, *programs: Callable) -> Tensor | None:
    """Which frames of x are present, ``(N, T)``, on the device of the programs, which take it; None: all.

    :raises ValueError: naming what came and what was expected, or a program that takes no mask.
    """
    if mask is None:
        return None
    check_keywords(["mask"], *programs)
    mask = torch.as_tensor(mask)
    check_mask(mask, x)
    return mask.to(device_of(programs[0]))


def shown(x: Any, mask: Tensor | None) -> Any:
    """x with zeros in absent frames, whatever stood there."""
    if mask is None:
        return x
    x = torch.as_tensor(x)
    return hidden(x, mask.to(x.device))


def as_seen(model: Callable, x: Any, mask: Tensor | None) -> Any:
    """:func:`as_frames` of what is present; of a function, which does not say what it takes, x as it is."""
    x = shown(x, mask)
    return as_frames(model, x, model) if hasattr(unwrapped(model), "frame_shape") else x


def check_range(model: Callable | None, low: float, high: float) -> None:
    """ValueError unless frames from ``low`` to ``high`` are finite and what the likelihood takes."""
    if not (low - low == 0 == high - high):
        raise ValueError(f"x must be finite, got values from {low:g} to {high:g}")
    likelihood = getattr(unwrapped(model), "likelihood", None) if model is not None else None
    if getattr(likelihood, "unit_interval", False) and not (0 <= low and high <= 1):
        raise ValueError(
            f"x must be in [0, 1] under the likelihood {type(likelihood).__name__}, "
            f"got values from {low:g} to {high:g}"
        )


def check_latents(model: Callable, values: Mapping[str, Tensor]) -> None:
    """ValueError unless each is a latent of the model, ``(N, *shape)`` of one N."""
    known = latents_of(model)
    sizes = {}
    for site, value in values.items():
        if known and site not in known:
            raise ValueError(f"the model has latents {', '.join(known)}, got {site}")
        if not isinstance(value, Tensor):
            raise ValueError(f"{site} must be a tensor, got {type(value).__name__}")
        if known and not _fits(value.shape, known[site]):
            expected = _shape(known[site], "batch")
            raise ValueError(f"{site} must be {expected}, got {tuple(value.shape)}")
        if value.dim() == 0 or 0 in value.shape:
            raise ValueError(f"{site} must not be empty, got shape {tuple(value.shape)}")
        sizes[site] = len(value)
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{size} of {site}" for site, size in sizes.items())
        raise ValueError(f"latents must hold equally many sequences, got {said}")


def _fits(shape: torch.Size, event: tuple[int | None, ...]) -> bool:
    sides = tuple(shape)[1:]
    return len(sides) == len(event) and all(
        expected in (None, side) for side, expected in zip(sides, event, strict=True)
    )


def check_keywords(names: Iterable[str], *programs: Callable) -> None:
    """ValueError unless every program takes these keywords."""
    for program in programs:
        root = unwrapped(program)
        function = root.forward if isinstance(root, nn.Module) else root
        parameters = inspect.signature(function).parameters.values()
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            continue
        taken = [p.name for p in parameters][1:]
        wrong = [name for name in names if name not in taken]
        if wrong:
            raise ValueError(
                f"{_name(root)} takes {', '.join(taken) or 'nothing'} beside x, "
                f"got {', '.join(wrong)}"
            )


def _name(program: Any) -> str:
    return getattr(program, "__name__", type(program).__name__)
