"""A batch whose posteriors are known, and what a term says of it."""

from __future__ import annotations

import pytest
import torch
from pyro import distributions as dist

from pyro_dsae import DSAE
from pyro_dsae.objectives.base import Seen, Sites


@pytest.fixture
def seen():
    """Makes what a term sees, from ``(loc, scale)`` and draws of f and z; there is no guide to ask again."""

    def make(f_law, f, z_law, z) -> Seen:
        sites = Sites()
        for name, (loc, scale), value in (("f", f_law, f), ("z", z_law, z)):
            sites.laws[name] = dist.Normal(loc, scale).to_event(value.dim() - 1)
            sites.values[name] = value
        return Seen(DSAE((5,), f_dim=1, z_dim=1), None, torch.zeros(len(f), 2, 5), sites)

    return make
