"""Disentanglement, completeness and informativeness of codes whose figures are known."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from pyro_dsae import metrics
from pyro_dsae.data import ProceduralSprites, Sequences

N = 2000


@pytest.fixture
def factors():
    generator = torch.Generator().manual_seed(0)
    names = ("hair", "action", "size")
    return {name: torch.randint(4, (N,), generator=generator) for name in names}


def test_a_number_a_factor(factors):
    codes = torch.stack([*factors.values()], 1).float()
    found = metrics.dci(codes, factors, trees=20)
    assert found["informativeness"] == 1.0
    assert found["disentanglement"] > 0.98 and found["completeness"] > 0.98
    for i, name in enumerate(factors):
        assert found["importance"][name].argmax() == i
        assert float(found["importance"][name].sum()) == pytest.approx(1.0)


def test_a_factor_in_two_numbers_is_incomplete(factors):
    values = torch.stack([*factors.values()], 1).float()
    found = metrics.dci(torch.cat([values, values], 1), factors, trees=40)
    # Of log_6: two halves are log 2 / log 6.
    assert found["completeness"] == pytest.approx(1 - 0.387, abs=0.03)
    assert found["disentanglement"] > 0.97


def test_two_factors_in_one_number_are_entangled(factors):
    values = [*factors.values()]
    codes = torch.stack([4.0 * values[0] + values[1], values[2].float()], 1)
    found = metrics.dci(codes, factors, trees=20)
    # The first number serves two of three factors alike, with two thirds of the importance.
    assert found["disentanglement"] == pytest.approx(2 / 3 * (1 - 0.631) + 1 / 3, abs=0.03)
    assert found["completeness"] > 0.97 and found["informativeness"] == 1.0


def test_noise_informs_of_nothing(factors):
    codes = torch.randn(N, 6, generator=torch.Generator().manual_seed(1))
    found = metrics.dci(codes, factors, trees=20)
    assert found["informativeness"] == pytest.approx(0.25, abs=0.04)
    assert found["disentanglement"] < 0.05 and found["completeness"] < 0.05


class Reads(nn.Module):
    """A guide whose f is the mean colour, and whose z is noise."""

    def forward(self, x, **_):
        import pyro
        from pyro import distributions as dist

        with pyro.plate("sequences", len(x)):
            f = pyro.sample("f", dist.Normal(x.mean((1, 3, 4)), 0.1).to_event(1))
            pyro.sample("z", dist.Normal(torch.randn(len(x), x.shape[1], 2), 0.1).to_event(2))
        return f


def test_what_lies_in_f(factors):
    frames = torch.stack([*factors.values()], 1).float()[:, None, :, None, None] / 4
    data = Sequences(frames.expand(-1, 2, -1, 2, 2), factors)
    found = metrics.latent_dci(Reads(), data, [*factors], num_sequences=600)
    assert min(found["in_f"].values()) > 0.95 and found["informativeness"] > 0.99
    again = metrics.latent_dci(Reads(), data, [*factors], num_sequences=600)
    assert found == again


def test_to_know_a_character_again_is_not_to_know_its_attributes(factors):
    """Codes of 60 characters' names, with noise; each has attributes that the codes say nothing of."""
    generator = torch.Generator().manual_seed(0)
    who = torch.randint(60, (N,), generator=generator)
    codes = torch.randn(60, 8, generator=generator)[who]
    codes = codes + 0.1 * torch.randn(N, 8, generator=generator)
    attributes = {name: values[:60][who] for name, values in factors.items()}
    known = metrics.dci(codes, attributes, trees=20)["informativeness"]
    apart = metrics.dci(codes, attributes, groups=who, trees=20)["informativeness"]
    assert known > 0.95 and apart < 0.45

    labels = {name: values[:300] for name, values in {**attributes, "who": who}.items()}
    data = Sequences(codes[:300, None, :3, None, None].expand(-1, 2, -1, 2, 2), labels)
    options = {"num_sequences": 300}
    shared = metrics.latent_dci(Reads(), data, [*factors], **options)["informativeness"]
    parted = metrics.latent_dci(Reads(), data, [*factors], groups=["who"], **options)
    assert parted["informativeness"] < shared


def test_bad_codes(factors):
    with pytest.raises(
        ValueError, match=r"codes must be \(N, dim\).*got \(2000,\); hair \(2000,\)"
    ):
        metrics.dci(torch.zeros(N), factors)
    with pytest.raises(ValueError, match="factors must be 2 or more, got hair"):
        metrics.dci(torch.zeros(N, 2), {"hair": factors["hair"]})
    still = {**factors, "still": torch.zeros(N, dtype=torch.long)}  # complete, of nothing
    with pytest.raises(ValueError, match="still must have 2 values or more"):
        metrics.dci(torch.rand(N, 2), still)
    with pytest.raises(ValueError, match="factors must be among skin, .*, got shoes"):
        metrics.latent_dci(Reads(), ProceduralSprites("test", size=16), ["hair", "shoes"])


def test_what_is_lacking_is_said_before_anything_is_encoded(factors, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    never = Sequences(torch.rand(20, 2, 3, 2, 2), {n: v[:20] for n, v in factors.items()})
    with pytest.raises(ImportError, match="dci needs scikit-learn"):
        metrics.latent_dci(lambda x: pytest.fail("encoded"), never, [*factors])
