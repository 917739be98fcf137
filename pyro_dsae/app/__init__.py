"""The explorer: a page in the browser on which a pair takes sequences apart, under one's hands.

``python -m pyro_dsae.app MODEL --data FOLDER`` opens it; it needs the extra ``app``. What makes the pictures
are plain functions of the model and of sequences that were taken apart, :class:`Entry`; they need no browser,
and run one at a time, since Pyro has one stack of handlers a process. Frames are images, f is ``(f_dim,)``
and z ``(T, z_dim)``.

>>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
>>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
>>> a, b = take_apart(model, guide, [torch.rand(8, 3, 16, 16), torch.rand(6, 3, 16, 16)], ["a", "b"])
>>> swap(model, a, b).shape  # content, motion, and the one in the other
torch.Size([3, 6, 3, 16, 16])
>>> beside(swap(model, a, b), ["content", "motion", "swapped"], "swap", "").film("gif")[:6]
b'GIF89a'
"""

from .directions import Directions
from .entries import Entry, check_shown, read_clip, read_data, take_apart
from .films import Shown, beside, crossed, film, grid
from .pictures import (
    compared,
    forecasts,
    fresh_contents,
    fresh_dynamics,
    matrix,
    mixed,
    moved,
    swap,
)
from .recordings import Heard, Studio, read_recording

__all__ = [
    "Directions",
    "Entry",
    "Heard",
    "Shown",
    "Studio",
    "beside",
    "check_shown",
    "compared",
    "crossed",
    "film",
    "forecasts",
    "fresh_contents",
    "fresh_dynamics",
    "grid",
    "matrix",
    "mixed",
    "moved",
    "read_clip",
    "read_data",
    "read_recording",
    "swap",
    "take_apart",
]
