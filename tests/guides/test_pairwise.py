"""The posterior of unordered frames."""

from __future__ import annotations

import pytest
import torch
from conftest import SIZES, q_of
from torch import nn

import pyro_dsae
from pyro_dsae import views


class TestPairwise:
    def test_the_order_of_frames_does_not_matter_to_f(self, make_pair, x):
        _, guide = make_pair(guide=pyro_dsae.Pairwise)
        order = torch.tensor([2, 0, 3, 1])
        latents, permuted = (pyro_dsae.infer(guide.eval(), each) for each in (x, x[:, order]))
        torch.testing.assert_close(latents["f"], permuted["f"])
        torch.testing.assert_close(latents["z"][:, order], permuted["z"])
        assert not torch.allclose(latents["f"], latents["f"].roll(1, 0), atol=1e-3)

    def test_z_depends_on_f_and_on_its_own_frame_alone(self, make_pair, x):
        _, guide = make_pair(guide=pyro_dsae.Pairwise)
        f, other = torch.zeros(12, 5), x.clone()
        other[:, 3] = 0
        assert not torch.allclose(q_of(guide, x, f), q_of(guide, x, f + 1))
        before, after = q_of(guide, x, f), q_of(guide, other, f)
        torch.testing.assert_close(before[:, :3], after[:, :3])
        assert not torch.allclose(before[:, 3], after[:, 3])

    def test_f_sees_a_few_random_frames_while_it_trains(self, x):
        sizes = {**SIZES, "content_frames": (1, 3)}
        guide = pyro_dsae.Pairwise((3, 16, 16), **sizes)
        seen = []
        guide.summary.register_forward_hook(lambda module, args, out: seen.append(args[0].shape[1]))
        for _ in range(30):
            guide(x)
        assert set(seen) == {1, 2, 3}
        seen.clear()
        guide.eval()(x)
        assert seen == [4]

    def test_a_view_of_the_users_own_sees_the_drawn_frames(self, x):
        view = views.ShuffleStrips(4)
        guide = pyro_dsae.Pairwise((3, 16, 16), **SIZES, content_frames=2, content_view=view)
        assert guide.content_view(x).shape == (12, 2, 3, 16, 16)

    @pytest.mark.parametrize("maps", [True, False])
    def test_an_encoder_of_the_users_own_gives_maps_or_vectors(self, maps):
        tail = [] if maps else [nn.Flatten()]
        encoder = nn.Sequential(nn.Conv2d(2, 7, 3, stride=2), *tail)

        class Frames(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = encoder

            def forward(self, x):
                return self.net(x.reshape(-1, *x.shape[-3:])).unflatten(0, x.shape[:-3])

        guide = pyro_dsae.Pairwise((2, 6, 6), **SIZES, encoder=Frames())
        assert pyro_dsae.infer(guide, torch.rand(3, 4, 2, 6, 6))["z"].shape == (3, 4, 3)

    @pytest.mark.parametrize("content_encoder", [False, True, "pooled", "sorted"])
    def test_is_saved_with_its_own_options(self, x, content_encoder, tmp_path):
        model = pyro_dsae.Unordered((3, 16, 16), **SIZES, modulated=True)
        options = {"content_frames": 2, "pairs_at_once": 5, "content_encoder": content_encoder}
        guide = pyro_dsae.Pairwise((3, 16, 16), **SIZES, **options)
        pyro_dsae.save(tmp_path, model, guide)
        model_again, guide_again = pyro_dsae.load(tmp_path)
        assert guide_again.summary.pairs_at_once == 5
        before = pyro_dsae.reconstruct(model.eval(), guide.eval(), x)
        torch.testing.assert_close(before, pyro_dsae.reconstruct(model_again, guide_again, x))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_an_encoder_of_ones_own_stays_as_it_is(kind):
    """Its features are asked for by a blank frame, which its statistics do not see."""
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4)).to(kind)
    nn.init.constant_(encoder[1].running_mean, 3.0)
    guide = pyro_dsae.Pairwise((3, 16, 16), encoder=encoder, **SIZES)
    assert encoder[1].running_mean.tolist() == [3.0] * 4 and encoder.training
    assert encoder[1].num_batches_tracked == 0 and guide.summary is not None
