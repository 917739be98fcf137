"""Weights averaged over the steps of a run, which do as well at a high rate as the last ones at a low one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel


class Averages(AveragedModel):
    r"""Copies of model and guide whose weights are means over about the last ``share`` of the steps so far.

    .. math:: \bar\theta_t = \beta_t \bar\theta_{t-1} + (1 - \beta_t) \theta_t
              = \sum_{s \le t} \frac{s^a - (s-1)^a}{t^a} \theta_s, \quad
              \beta_t = (1 - 1/t)^a, \quad a = 1 / \text{share}

    The power profile of Karras et al. (*Analyzing and Improving the Training Dynamics of Diffusion Models*,
    CVPR 2024), which grows with the run, so that nothing is left of its beginning. A ``share`` of 1 is the
    mean of all steps.

    :ivar pair: the averaged model and guide.
    """

    def __init__(self, model: nn.Module, guide: nn.Module, share: float) -> None:
        super().__init__(nn.ModuleList((model, guide)), multi_avg_fn=self._add)
        self.share = share
        for part in self.modules():
            if isinstance(part, nn.RNNBase):
                part.flatten_parameters()  # a copy has them in pieces, which cuDNN would join at each call
        averaged_model, averaged_guide = self.module.children()
        self.pair = averaged_model, averaged_guide

    def _add(self, averages: PARAM_LIST, weights: PARAM_LIST, _: Tensor | int) -> None:
        kept = (1 - 1 / (int(self.n_averaged) + 1)) ** (1 / self.share)
        torch._foreach_lerp_(averages, weights, float(1 - kept))

    def see(self, model: nn.Module, guide: nn.Module) -> None:
        """The weights of one more step."""
        self.update_parameters(nn.ModuleList((model, guide)))

    @torch.no_grad()
    def give(self, model: nn.Module, guide: nn.Module) -> None:
        """Put the averages into the weights of ``model`` and ``guide``."""
        trained = nn.ModuleList((model, guide)).parameters()
        for own, average in zip(trained, self.parameters(), strict=True):
            own.copy_(average)
