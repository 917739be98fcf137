"""A few procedural characters, and a judge of them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from pyro_dsae.data import ProceduralSprites
from pyro_dsae.metrics import Judge, train_judge

NUM_CHARACTERS = 24


@dataclass
class Sequences:
    """Frames and labels, as the judge reads them."""

    frames: Tensor
    labels: dict[str, Tensor]

    def take(self, index: Tensor) -> Sequences:
        return Sequences(self.frames[index], {k: v[index] for k, v in self.labels.items()})


@pytest.fixture(scope="session")
def sprites() -> Sequences:
    """24 characters in nine actions each, character by character, 16 x 16."""
    data = ProceduralSprites("train", size=16)
    characters = torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:NUM_CHARACTERS]
    index = (9 * characters[:, None] + torch.arange(9)).flatten()
    return Sequences(data.frames, data.labels).take(index)


@pytest.fixture(scope="session")
def judge(sprites: Sequences) -> Judge:
    return train_judge(sprites, sprites, steps=150)
