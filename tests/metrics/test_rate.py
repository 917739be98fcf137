"""Rate and distortion, against a law whose parts are known."""

from __future__ import annotations

import json
import math

import pyro
import pytest
import torch
from pyro import distributions as dist
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from pyro_dsae import guides, models
from pyro_dsae.metrics.rate import rates
from pyro_dsae.training import evaluate_elbo


class Coins(nn.Module):
    """f of 2 dimensions and z_t of 3, of which the frames, of 5 fair coins, know nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> None:
        with pyro.plate("sequences", len(x), dim=-1):
            pyro.sample("f", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("z", dist.Normal(torch.zeros(x.shape[1], 3), 1.0).to_event(2))
            pyro.sample("x", dist.Bernoulli(torch.full(x.shape[1:], 0.5)).to_event(2), obs=x)


class Shifted(Coins):
    """The prior, f moved by 1 and z by 2: KL 1/2 nat a dimension of f, 2 of z."""

    def forward(self, x: Tensor) -> None:
        with pyro.plate("sequences", len(x), dim=-1):
            pyro.sample("f", dist.Normal(torch.ones(2), 1.0).to_event(1))
            pyro.sample("z", dist.Normal(torch.full((x.shape[1], 3), 2.0), 1.0).to_event(2))


@pytest.mark.parametrize("num_frames", [2, 8])
def test_known_parts(num_frames: int) -> None:
    x = torch.randint(2, (20_000, num_frames, 5)).float()
    found = rates(Coins(), Shifted(), x, batch_size=20_000)
    bit = math.log(2)
    assert found["f_bits"] == pytest.approx(1 / bit, rel=0.03)
    assert found["f_bits_per_frame"] == pytest.approx(1 / (num_frames * bit), rel=0.03)
    assert found["z_bits_per_frame"] == pytest.approx(6 / bit, rel=0.03)
    assert found["bits_per_frame"] == pytest.approx(
        found["f_bits_per_frame"] + found["z_bits_per_frame"]
    )
    assert found["distortion_bits_per_frame"] == pytest.approx(5, rel=1e-5)
    assert found["distortion_bits_per_dim"] == pytest.approx(1, rel=1e-5)
    assert found["bits_per_dim"] == pytest.approx(
        found["bits_per_frame"] / 5 + found["distortion_bits_per_dim"]
    )


def test_a_pair(make_pair, x: Tensor) -> None:
    model, guide = make_pair()
    found = rates(model, guide, TensorDataset(x))
    assert found == rates(model, guide, x)
    assert found["bits_per_dim"] == evaluate_elbo(model, guide, x)["bits_per_dim"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_sites_of_fhvae() -> None:
    model = models.FHVAE((6,), z1_dim=3, z2_dim=4, hidden=8)
    guide = guides.FHVAEGuide((6,), utterances=2, z1_dim=3, z2_dim=4, hidden=8)
    x = torch.rand(3, 5, 6)
    terms = evaluate_elbo(model, guide, x)
    found = rates(model, guide, x)
    assert found["f_bits"] == pytest.approx((terms["kl_mu2"] + terms["kl_z2"]) / math.log(2))
    assert found["z_bits_per_frame"] == pytest.approx(terms["kl_z1"] / (5 * math.log(2)))


def test_no_data() -> None:
    with pytest.raises(ValueError, match="data must hold at least 1 sequence, got 0"):
        rates(Coins(), Shifted(), torch.zeros(0, 4, 5))
