"""Principal directions of the contents and of the dynamics of some sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .entries import Entry


@dataclass(frozen=True)
class Directions:
    """Orthogonal axes, each as long as one standard deviation of the entries along it, longest first.

    :param f: ``(k, f_dim)``.
    :param z: ``(k, z_dim)``, of all frames of all entries.
    :param places: of the contents along the first two axes of f, in standard deviations, ``(N, 2)``.
    """

    f: Tensor
    z: Tensor
    places: Tensor

    @classmethod
    def of(cls, entries: Sequence[Entry], count: int = 4) -> Directions:
        contents = torch.stack([entry.f for entry in entries])
        f, z = (_axes(v, count) for v in (contents, torch.cat([entry.z for entry in entries])))
        centred = contents - contents.mean(0)
        lengths = f[:2].square().sum(1).clamp_min(torch.finfo(f.dtype).tiny)
        places = centred @ f[:2].T / lengths
        return cls(f, z, torch.nn.functional.pad(places, (0, 2 - places.shape[1])))


def _axes(values: Tensor, count: int) -> Tensor:
    centred = values - values.mean(0)
    _, scales, axes = torch.linalg.svd(centred, full_matrices=False)
    return (axes * scales[:, None] / len(values) ** 0.5)[:count]
