"""The model of unordered frames."""

from __future__ import annotations

import torch
from conftest import SIZES
from pyro import poutine

import pyro_dsae


class TestUnordered:
    def test_frames_are_exchangeable_given_f(self, x):
        model = pyro_dsae.Unordered((3, 16, 16), **SIZES)
        data = {"f": torch.randn(12, 5), "z": torch.randn(12, 4, 3)}
        order = torch.tensor([2, 0, 3, 1])

        def log_joint(z, x):
            conditioned = poutine.condition(model, data={**data, "z": z})
            return poutine.trace(conditioned).get_trace(x).log_prob_sum()

        straight, permuted = (log_joint(data["z"], x), log_joint(data["z"][:, order], x[:, order]))
        torch.testing.assert_close(straight, permuted)
        assert not torch.isclose(straight, log_joint(data["z"][:, order], x))

    def test_the_dynamics_depend_on_the_content(self):
        model = pyro_dsae.Unordered((3, 16, 16), **SIZES)
        f = torch.randn(2, 5)
        p_z = model.p_z(f, 7)
        assert p_z.event_shape == (7, 3)
        assert not torch.allclose(p_z.mean[0], p_z.mean[1])

    def test_new_frames_of_a_known_thing(self, x):
        model = pyro_dsae.Unordered((3, 16, 16), **SIZES)
        guide = pyro_dsae.Pairwise((3, 16, 16), **SIZES)
        assert pyro_dsae.forecast(model, guide, x, 3, num_futures=2).shape == (2, 12, 3, 3, 16, 16)
