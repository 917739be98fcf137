"""Batches: what items draw in workers."""

from __future__ import annotations

import random

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import Dataset

from pyro_dsae.training.batches import Batches


class Draws(Dataset):
    """Twelve items of three numbers: one of each generator."""

    def __len__(self):
        return 12

    def __getitem__(self, i):
        drawn = [float(torch.rand(())), np.random.rand(), random.random()]  # noqa: NPY002
        return torch.tensor(drawn, dtype=torch.float64)


def read(workers, start=0, seed=0):
    batches = Batches(Draws(), 3, Accelerator(cpu=True), workers, seed)
    return torch.cat([x for x, _ in batches.from_step(start, 8)])


def test_seed_epoch_and_index_determine_what_an_item_draws_in_a_worker():
    two = read(workers=2)
    assert len(two.flatten().unique()) == 2 * 12 * 3  # anew in the second epoch
    assert torch.equal(read(workers=1), two)
    assert torch.equal(read(workers=2, start=2), two[2 * 3 :])
    assert torch.equal(read(workers=2, start=5), two[5 * 3 :])
    assert not torch.isin(read(workers=2, seed=1), two).any()
