"""The posterior that takes content from one frame."""

from __future__ import annotations

import torch

import pyro_dsae
from pyro_dsae.views import FewFrames


class TestSingleFrame:
    def test_f_sees_the_first_frame_alone(self, make_pair, x):
        _, guide = make_pair(guide=pyro_dsae.SingleFrame)
        other = x.clone()
        other[:, 1:] = torch.rand_like(other[:, 1:])
        torch.testing.assert_close(
            pyro_dsae.infer(guide, x)["f"], pyro_dsae.infer(guide, other)["f"]
        )
        assert not torch.allclose(
            pyro_dsae.infer(guide, x)["f"], pyro_dsae.infer(guide, x.flip(1))["f"], atol=1e-3
        )

    def test_what_all_frames_show_alike_does_not_reach_z(self, make_pair, x):
        """Features of a still sequence are those of its first frame: none is left."""
        _, guide = make_pair(guide=pyro_dsae.SingleFrame)
        still = pyro_dsae.infer(guide, x[:, :1].expand(-1, 4, -1, -1, -1))["z"]
        torch.testing.assert_close(still, still[:1].expand_as(still))
        moving = pyro_dsae.infer(guide, x)["z"]
        assert not torch.allclose(moving[0], moving[1], atol=1e-3)

    def test_a_change_of_all_features_alike_changes_nothing(self, make_pair, x):
        _, guide = make_pair(guide=pyro_dsae.SingleFrame)
        h = guide.encoder(x)
        f = torch.zeros(12, 5)
        torch.testing.assert_close(guide.q_z(h, f)[0], guide.q_z(h + 1.5, f)[0])

    def test_a_frame_drawn_at_random_while_it_trains(self, make_pair, x):
        _, guide = make_pair(guide=pyro_dsae.SingleFrame)
        guide.content_view = FewFrames(1)
        seen = []
        guide.summary.register_forward_hook(lambda module, args, out: seen.append(args[0].shape[1]))
        guide.train()(x)
        assert seen == [1]

    def test_is_saved(self, make_pair, x, tmp_path):
        for kind in (pyro_dsae.SingleFrame, pyro_dsae.Pooled):
            model, guide = make_pair(guide=kind)
            pyro_dsae.save(tmp_path / kind.__name__, model, guide)
            model_again, guide_again = pyro_dsae.load(tmp_path / kind.__name__)
            before = pyro_dsae.reconstruct(model.eval(), guide.eval(), x)
            torch.testing.assert_close(before, pyro_dsae.reconstruct(model_again, guide_again, x))
