"""What a mean has lost of a voice is given back: distance from the centre, detail over frequency."""

from __future__ import annotations

import pytest
import torch

from pyro_dsae import conversion, infer
from pyro_dsae.guides import Factorised
from pyro_dsae.models import DSAE


def test_the_running_mean_stays_and_the_rest_is_multiplied():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 40, generator=generator)
    padded = torch.cat([x[..., :1].expand(-1, -1, 4), x, x[..., -1:].expand(-1, -1, 4)], -1)
    smooth = torch.stack([padded[..., k : k + 9].mean(-1) for k in range(40)], -1)
    torch.testing.assert_close(conversion.sharpened(x, 2.5), smooth + 2.5 * (x - smooth))
    torch.testing.assert_close(conversion.sharpened(x, 0.0), smooth)
    assert torch.equal(conversion.sharpened(x, 1.0), x)
    gain = torch.linspace(0, 3, 40)
    torch.testing.assert_close(conversion.sharpened(x, gain), smooth + gain * (x - smooth))


def test_harmonics_that_a_mean_of_two_pitches_has_blurred_stand_out_again():
    bins = torch.arange(180.0)
    comb, other = (torch.cos((bins - shift) * 2 * torch.pi / 9) for shift in (0, 3))
    blurred = (comb + other) / 2
    assert blurred.std() < 0.55 * comb.std()
    assert float(conversion.sharpened(blurred, 2.0).std()) == pytest.approx(
        float(comb.std()), rel=0.02
    )


def test_lost_detail_is_that_of_the_reconstructions(monkeypatch):
    x = torch.randn(6, 10, 30, generator=torch.Generator().manual_seed(0))
    x[..., 15:] = 0.0  # above all that was recorded
    level = torch.linspace(-3, 3, 6).view(6, 1, 1)
    monkeypatch.setattr(conversion, "convert", lambda model, guide, x: level + 0.4 * x)
    found = conversion.lost_detail(None, None, x)
    nothing = 15 + conversion.BAND // 2  # the first bin whose running mean meets none of x
    torch.testing.assert_close(found[:nothing], torch.full((nothing,), 2.5))
    assert torch.equal(found[nothing:], torch.ones(30 - nothing))
    monkeypatch.setattr(conversion, "convert", lambda model, guide, x: level.expand_as(x))
    with pytest.raises(ValueError, match="reconstructions must differ from bin to bin"):
        conversion.lost_detail(None, None, x)


def test_what_comes_out_has_the_detail_of_what_went_in(monkeypatch):
    x = torch.randn(20, 10, 60, generator=torch.Generator().manual_seed(0))
    kept = torch.linspace(0.8, 0.2, 60)
    flat = conversion.sharpened(x, kept)  # the less, the higher the bin
    monkeypatch.setattr(conversion, "convert", lambda model, guide, x: flat)
    detail = conversion.lost_detail(None, None, x)
    assert detail.diff().mean() > 0.02
    again = conversion.sharpened(flat, detail)
    had, lost, got = (
        (v - conversion.sharpened(v, 0.0)).flatten(0, 1).std(0) for v in (x, flat, again)
    )
    # Running means of running means are not quite those of x.
    torch.testing.assert_close(got, had, rtol=0.2, atol=0)
    assert (got - had).abs().mean() < 0.15 * (lost - had).abs().mean()


@pytest.mark.parametrize("detail", [-0.5, float("nan"), float("inf")])
def test_detail_that_is_none(detail):
    with pytest.raises(ValueError, match=f"detail must be 0 or more and finite, got {detail}"):
        conversion.sharpened(torch.rand(3, 20), detail)


def test_detail_of_other_bins():
    with pytest.raises(ValueError, match=r"detail must be one or \(20,\), a bin each, got \(3,\)"):
        conversion.sharpened(torch.rand(3, 20), torch.ones(3))


def test_a_voice_lies_where_its_segments_do_and_as_far_out():
    torch.manual_seed(0)
    sizes = {"f_dim": 8, "z_dim": 4, "hidden": 16}
    model, guide = DSAE((20,), **sizes), Factorised((20,), **sizes)
    segments = 3 * torch.randn(6, 10, 20)
    f = infer(guide, segments)["f"]
    found = conversion.voice(model, guide, segments)["f"]
    assert float(found.norm()) == pytest.approx(float(f.norm(dim=1).mean()), rel=1e-5)
    assert float(torch.cosine_similarity(found[0], f.mean(0), dim=0)) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(conversion.voice(model, guide, segments[:1])["f"], f[:1])
