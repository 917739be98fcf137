"""What each posterior sees while it trains."""

from __future__ import annotations

import pyro
import pytest
import torch
from conftest import GUIDES, SIZES
from pyro.infer import Trace_ELBO
from torch import nn

import pyro_dsae
from pyro_dsae import views
from pyro_dsae.handlers import PosteriorMean


class TestViews:
    def test_recolour_keeps_shapes_and_hides_colour(self):
        x = torch.zeros(2, 3, 3, 4, 4)
        x[..., :2, :] = torch.tensor([1.0, 0.0, 0.5]).reshape(3, 1, 1)
        seen = views.Recolour()(x)
        assert seen.shape == x.shape
        assert 0 <= seen.min() and seen.max() <= 1
        torch.testing.assert_close(seen[:, 0], seen[:, 2])  # one map for all frames of a sequence
        assert not torch.allclose(seen[0], seen[1])  # another for each sequence
        assert (seen[..., :2, :] - seen[..., :2, :1]).abs().max() < 1e-6  # areas stay even
        assert seen[..., 2:, :].abs().max() == 0  # black stays black

        # Two pure colours of one brightness look alike on average.
        red, green = (
            torch.eye(3)[i].reshape(1, 1, 3, 1, 1).expand(5000, 1, 3, 1, 1) for i in (0, 1)
        )
        means = [views.Recolour()(colour).mean(0) for colour in (red, green)]
        torch.testing.assert_close(*means, atol=0.05, rtol=0)

    def test_few_frames_are_frames_of_the_same_sequence(self, x):
        seen = views.FewFrames(3)(x)
        assert seen.shape == (12, 3, 3, 16, 16)
        for i in range(12):
            found = {t for s in seen[i] for t in range(4) if torch.equal(s, x[i, t])}
            assert len(found) == 3

    def test_shuffled_strips_are_the_same_strips(self, x):
        seen = views.ShuffleStrips(4)(x)
        strips, shuffled = (v.unfold(-1, 4, 4).flatten(0, 1) for v in (x, seen))
        assert not torch.equal(strips, shuffled)
        for before, after in zip(strips, shuffled, strict=True):  # (C, H, strips, 4)
            found = [any(torch.equal(b, a) for b in before.unbind(2)) for a in after.unbind(2)]
            assert all(found)
            torch.testing.assert_close(before.sum((2, 3)), after.sum((2, 3)))

    def test_pixel_dropout_leaves_the_rest_and_draws_a_share_for_each_frame(self):
        x = torch.rand(5, 6, 3, 32, 32) + 0.01
        seen = views.PixelDropout(0.4)(x)
        black = seen == 0
        assert torch.equal(seen[~black], x[~black])
        assert torch.equal(black.any(2), black.all(2))  # in all channels at once
        shares = black.float().mean((2, 3, 4))
        assert shares.max() < 0.45 and shares.std() > 0.08  # 0.4 / sqrt(12) is 0.115
        assert (views.PixelDropout(1.0)(x) == 0).float().mean((2, 3, 4)).max() > 0.7

    def test_jitter_shifts_frames_and_changes_their_light(self):
        x = torch.zeros(1, 300, 1, 9, 9)
        x[..., 4, 4] = 0.5
        seen = views.Jitter(2)(x)
        assert seen.shape == x.shape
        assert (seen.flatten(2) > 0).sum(-1).eq(1).all()  # one bright pixel, somewhere else
        places = seen.flatten(2).argmax(-1)
        rows, columns = places // 9, places % 9
        for found in (rows, columns):
            assert set(found.flatten().tolist()) == {2, 3, 4, 5, 6}
        light = seen.flatten(2).amax(-1)
        torch.testing.assert_close((2 * light).log().std(), torch.tensor(0.2), atol=0.04, rtol=0)
        still = torch.rand(2, 3, 3, 8, 8)
        torch.testing.assert_close(views.Jitter(0, contrast=0.0)(still), still)
        assert torch.equal(
            views.Jitter(3, contrast=0.0)(torch.ones_like(still)), torch.ones_like(still)
        )

    def test_strips_must_divide_the_frame(self, x):
        with pytest.raises(ValueError, match="width of 16 .* strips of 5"):
            views.ShuffleStrips(5)(x)

    @pytest.mark.parametrize("guide_type", GUIDES)
    def test_views_act_in_training_only_and_on_their_own_site(self, x, guide_type):
        class Blank(nn.Module):
            def forward(self, x):
                return torch.zeros_like(x)

        guide = guide_type((3, 16, 16), **SIZES, content_view=Blank())
        f, z = PosteriorMean()(guide)(x)
        assert torch.equal(*f[:2]) and not torch.equal(*z[:2])
        assert not torch.equal(*pyro_dsae.infer(guide, x)["f"][:2])


class TestFewFrames:
    """q(f | .) of a few frames, in evaluation as in training."""

    @pytest.mark.parametrize("guide", [pyro_dsae.Factorised, pyro_dsae.Full, pyro_dsae.Pairwise])
    def test_it_trains_as_the_view_does(self, make_pair, guide):
        x = torch.rand(4, 6, 3, 16, 16)
        losses = []
        for options in ({"few_frames": 2}, {"content_view": views.FewFrames(2)}):
            model, q = make_pair(guide=guide)
            q = guide((3, 16, 16), **SIZES, **options)
            q.load_state_dict(make_pair(guide=guide)[1].state_dict())
            pyro.set_rng_seed(3)
            losses.append(Trace_ELBO()(model, q)(x).item())
        assert losses[0] == losses[1]

    def test_in_evaluation_f_is_of_even_frames_and_z_of_all(self, make_pair):
        _, guide = make_pair()
        few = pyro_dsae.Factorised((3, 16, 16), **SIZES, few_frames=2)
        few.load_state_dict(guide.state_dict())
        x = torch.rand(4, 8, 3, 16, 16)
        seen, whole = pyro_dsae.infer(few, x), pyro_dsae.infer(guide, x)
        assert seen["f"].equal(pyro_dsae.infer(guide, x[:, [2, 6]])["f"])
        assert seen["z"].equal(whole["z"]) and not seen["f"].equal(whole["f"])

    def test_of_those_present(self):
        x = torch.arange(8.0).view(1, 8, 1).expand(3, 8, 1)
        mask = torch.tensor([[1] * 8, [0, 1, 0, 1, 1, 0, 1, 0], [0, 0, 0, 1, 0, 0, 0, 0]]).bool()
        few, present = views.Even(2).of_present(x, mask)
        assert few[:2, :, 0].tolist() == [[2, 6], [3, 6]] and few[2, 0] == 3
        assert present.tolist() == [[True, True], [True, True], [True, False]]
        assert views.Even(20)(x).equal(x)

    def test_a_padded_batch_is_its_sequences_one_by_one(self):
        guide = pyro_dsae.Full((3, 16, 16), **SIZES, few_frames=2).eval()
        x = torch.rand(2, 6, 3, 16, 16)
        mask = torch.arange(6) < torch.tensor([[6], [3]])
        f = pyro_dsae.infer(guide, x, mask=mask)["f"]
        for n, length in enumerate((6, 3)):
            alone = pyro_dsae.infer(guide, x[n : n + 1, :length])["f"]
            torch.testing.assert_close(f[n : n + 1], alone, rtol=1e-5, atol=1e-6)

    def test_it_is_saved(self, make_pair, tmp_path):
        guide = pyro_dsae.Factorised((3, 16, 16), **SIZES, few_frames=2)
        pyro_dsae.save(tmp_path / "pair", make_pair()[0], guide)
        assert pyro_dsae.load(tmp_path / "pair")[1].few_frames == 2
        with pytest.raises(ValueError, match="few_frames must be at least 1, got 0"):
            pyro_dsae.Factorised((3, 16, 16), **SIZES, few_frames=0)
