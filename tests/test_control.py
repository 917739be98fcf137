"""Control is conditioning: what is fixed stays, the rest is drawn."""

from __future__ import annotations

import pytest
import torch
from conftest import GUIDES
from pyro import poutine

from pyro_dsae import forecast, generate, infer, reconstruct, swap


def test_conditioning_fixes_f_and_leaves_z_free(make_pair):
    model, _ = make_pair()
    f = torch.randn(6, 5)
    program = poutine.condition(model, data={"f": f})
    first, second = (poutine.trace(program).get_trace(batch_size=6, num_frames=7) for _ in range(2))
    for trace in (first, second):
        assert torch.equal(trace.nodes["f"]["value"], f)
        assert trace.nodes["z"]["value"].shape == (6, 7, 3)
    assert not torch.allclose(first.nodes["z"]["value"], second.nodes["z"]["value"])


def test_generate_with_everything_fixed_is_the_decoder(make_pair):
    model, _ = make_pair()
    f, z = torch.randn(2, 5), torch.randn(2, 4, 3)
    by_hand = torch.stack(
        [model.decoder(torch.cat([f, z[:, t]], dim=-1)).sigmoid() for t in range(4)], dim=1
    )
    torch.testing.assert_close(generate(model, f=f, z=z), by_hand)


def test_generate_of_nothing_given_is_one_sequence_of_8_frames(make_pair):
    assert generate(make_pair()[0]).shape == (1, 8, 3, 16, 16)


def test_generate_fresh_contents_for_one_motion(make_pair):
    model, _ = make_pair()
    z = torch.randn(2, 4, 3)
    assert not torch.allclose(generate(model, z=z), generate(model, z=z))


@pytest.mark.parametrize("guide_type", GUIDES)
def test_swap_takes_f_from_one_and_z_from_the_other(make_pair, x, guide_type):
    model, guide = make_pair(guide=guide_type)
    content, dynamics = x[:6], x[6:]
    f, z = infer(guide, content)["f"], infer(guide, dynamics)["z"]
    torch.testing.assert_close(swap(model, guide, content, dynamics), generate(model, f=f, z=z))
    torch.testing.assert_close(swap(model, guide, x, x), reconstruct(model, guide, x))


def test_sequences_longer_than_any_seen(make_pair, x):
    model, guide = make_pair()
    assert generate(model, f=infer(guide, x)["f"], num_frames=50).shape == (12, 50, 3, 16, 16)


@pytest.mark.parametrize("guide_type", GUIDES)
def test_forecast_continues_the_latents_of_the_guide(make_pair, x, guide_type):
    model, guide = make_pair(guide=guide_type)
    futures = forecast(model, guide, x, 6, num_futures=3)
    assert futures.shape == (3, 12, 6, 3, 16, 16)
    assert not torch.allclose(futures[0], futures[1])


def test_forecast_starts_where_the_past_ends(make_pair, x):
    """With dynamics that stand still, every future frame is the last frame again."""
    model, guide = make_pair()

    class Still(torch.nn.Module):
        def forward(self, z, state=None):
            return z, torch.full_like(z, 1e-6), state

    model.prior = Still()
    for head in (guide.f_head, guide.z_head[-1]):  # narrow posteriors: draws are means
        torch.nn.init.constant_(head.dense.bias, -20.0)
        torch.nn.init.zeros_(head.dense.weight[head.dense.out_features // 2 :])
    future = forecast(model, guide, x, 3)[0]
    last = reconstruct(model, guide, x)[:, -1:]
    torch.testing.assert_close(future, last.expand_as(future), atol=2e-2, rtol=0)


def test_sizes_that_do_not_agree(make_pair):
    model, guide = make_pair()
    with pytest.raises(ValueError, match="equally many sequences, got 2 of f, 4 of z"):
        generate(model, f=torch.zeros(2, 5), z=torch.zeros(4, 3, 3))
    with pytest.raises(ValueError, match="z holds 9 frames, expected 3"):
        generate(model, z=torch.zeros(4, 9, 3), num_frames=3)
    with pytest.raises(ValueError, match="f holds 2 sequences, expected 5"):
        generate(model, f=torch.zeros(2, 5), batch_size=5)
    with pytest.raises(ValueError, match="must be at least 1, got 0 and 1"):
        forecast(model, guide, torch.zeros(1, 2, 3, 16, 16), 0)
