"""The posterior of the neural statistician."""

from __future__ import annotations

import torch
from conftest import q_of

import pyro_dsae


class TestPooled:
    def test_the_order_of_frames_does_not_matter_to_f(self, make_pair, x):
        _, guide = make_pair(guide=pyro_dsae.Pooled)
        order = torch.tensor([2, 0, 3, 1])
        latents, permuted = (pyro_dsae.infer(guide, each) for each in (x, x[:, order]))
        torch.testing.assert_close(latents["f"], permuted["f"])
        torch.testing.assert_close(latents["z"][:, order], permuted["z"])
        assert not torch.allclose(latents["f"], latents["f"].roll(1, 0), atol=1e-3)

    def test_f_is_of_the_mean_of_features(self, make_pair, x):
        """A set seen twice over is the same set, which pairs of it would not say."""
        _, guide = make_pair(guide=pyro_dsae.Pooled)
        once, twice = (pyro_dsae.infer(guide, each)["f"] for each in (x, torch.cat([x, x], 1)))
        torch.testing.assert_close(once, twice)
        h = guide.summary.before(guide.encoder(x)).mean(1)
        torch.testing.assert_close(guide.f_head(guide.summary.after(h))[0].detach(), once)

    def test_z_depends_on_f_and_on_its_own_frame_alone(self, make_pair, x):
        _, guide = make_pair(guide=pyro_dsae.Pooled)
        f, other = torch.zeros(12, 5), x.clone()
        other[:, 3] = 0
        before, after = q_of(guide, x, f), q_of(guide, other, f)
        assert not torch.allclose(before, q_of(guide, x, f + 1))
        torch.testing.assert_close(before[:, :3], after[:, :3])
        assert not torch.allclose(before[:, 3], after[:, 3])
