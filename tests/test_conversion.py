"""What a mean has lost of a voice is given back: detail over frequency."""

from __future__ import annotations

import pytest
import torch

from pyro_dsae import conversion
from pyro_dsae.guides import Factorised
from pyro_dsae.models import DSAE


def test_the_running_mean_stays_and_the_rest_is_multiplied():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 40, generator=generator)
    padded = torch.cat([x[..., :1].expand(-1, -1, 4), x, x[..., -1:].expand(-1, -1, 4)], -1)
    smooth = torch.stack([padded[..., k : k + 9].mean(-1) for k in range(40)], -1)
    torch.testing.assert_close(conversion.sharpened(x, 2.5), smooth + 2.5 * (x - smooth))
    torch.testing.assert_close(conversion.sharpened(x, 0.0), smooth)
    assert conversion.sharpened(x, 1.0) is x


def test_harmonics_that_a_mean_of_two_pitches_has_blurred_stand_out_again():
    bins = torch.arange(180.0)
    comb, other = (torch.cos((bins - shift) * 2 * torch.pi / 9) for shift in (0, 3))
    blurred = (comb + other) / 2
    assert blurred.std() < 0.55 * comb.std()
    assert float(conversion.sharpened(blurred, 2.0).std()) == pytest.approx(
        float(comb.std()), rel=0.02
    )


def test_lost_detail_is_that_of_the_reconstructions(monkeypatch):
    x = torch.randn(6, 10, 20, generator=torch.Generator().manual_seed(0))
    level = torch.linspace(-3, 3, 6).view(6, 1, 1)
    monkeypatch.setattr(conversion, "convert", lambda model, guide, x: level + 0.4 * x)
    assert conversion.lost_detail(None, None, x) == pytest.approx(2.5)
    monkeypatch.setattr(conversion, "convert", lambda model, guide, x: level.expand_as(x))
    with pytest.raises(ValueError, match="reconstructions must differ from bin to bin"):
        conversion.lost_detail(None, None, x)


def test_what_comes_out_has_the_detail_of_what_went_in():
    torch.manual_seed(0)
    sizes = {"f_dim": 8, "z_dim": 4, "hidden": 16}
    model, guide = DSAE((40,), **sizes), Factorised((40,), **sizes)
    x = torch.randn(6, 10, 40)
    detail = conversion.lost_detail(model, guide, x)
    own = conversion.sharpened(conversion.convert(model, guide, x), detail)
    rest = [frames - conversion.sharpened(frames, 0.0) for frames in (x, own)]
    assert detail > 1
    # The mean is smoothed once more by a second running mean, so the detail of the result is not all of x's.
    assert float(rest[1].std()) == pytest.approx(float(rest[0].std()), rel=0.25)


@pytest.mark.parametrize("detail", [-0.5, float("nan"), float("inf")])
def test_detail_that_is_none(detail):
    with pytest.raises(ValueError, match=f"detail must be 0 or more and finite, got {detail}"):
        conversion.sharpened(torch.rand(3, 20), detail)
