"""ExchangeableNormal against independent Normals."""

from __future__ import annotations

import pytest
import torch
from pyro import distributions as dist

from pyro_dsae import ExchangeableNormal


class TestExchangeableNormal:
    def law(self, **kwargs) -> ExchangeableNormal:
        loc, scale = torch.randn(4, 3), torch.rand(4, 3) + 0.1
        return ExchangeableNormal(loc, scale, 5, **kwargs)

    def test_is_one_normal_for_every_frame(self):
        p_z = self.law(validate_args=True)
        z = p_z.rsample()
        by_hand = (
            dist.Normal(p_z.frame.loc[:, None], p_z.frame.scale[:, None]).log_prob(z).sum((1, 2))
        )
        torch.testing.assert_close(p_z.log_prob(z), by_hand)
        assert p_z.sample((2,)).shape == (2, 4, 5, 3)
        draws = p_z.sample((4000,))
        torch.testing.assert_close(draws.mean(0), p_z.mean, atol=0.1, rtol=0)
        torch.testing.assert_close(draws.var(0), p_z.variance, atol=0.15, rtol=0)
        assert p_z.mean.shape == (4, 5, 3)

    def test_expands(self):
        p_z = ExchangeableNormal(torch.zeros(3), torch.ones(3), 5).expand((2, 4))
        assert (p_z.batch_shape, p_z.event_shape) == ((2, 4), (5, 3))
        assert p_z.log_prob(torch.zeros(2, 4, 5, 3)).shape == (2, 4)

    def test_the_past_says_nothing_about_the_other_frames(self):
        p_z = self.law()
        z = p_z.sample()
        future = p_z.prefix_condition(z[:, :2])
        assert future.event_shape == (3, 3)
        past = ExchangeableNormal(p_z.frame.loc, p_z.frame.scale, 2)
        joint = past.log_prob(z[:, :2]) + future.log_prob(z[:, 2:])
        torch.testing.assert_close(joint, p_z.log_prob(z))

    def test_bad_arguments_are_named(self):
        with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
            ExchangeableNormal(torch.zeros(3), torch.ones(3), 0)
        with pytest.raises(ValueError, match="between 1 and 4 steps .*the law has 5.*, got 5"):
            self.law().prefix_condition(torch.zeros(4, 5, 3))
        with pytest.raises(ValueError, match="between 1 and 4 steps .*, got 0"):
            self.law().prefix_condition(torch.zeros(4, 0, 3))
        with pytest.raises(ValueError, match="within the support"):
            self.law(validate_args=True).log_prob(torch.full((4, 5, 3), torch.nan))
