r"""As little as possible of content in the dynamics: the term that S3VAE, C-DSVAE and SPYL share.

.. math:: R = I_q(f; z) \approx \frac1{NT} \sum_{i,t} \operatorname{ReLU}\big(
          \log q(f_i, z_{it}) - \log q(f_i) - \log q(z_{it})\big),\quad
          \log q(v_i) \approx \log \frac1{NM} \sum_j q(v_i \mid x_j)

by minibatch-weighted sampling (Chen et al., NeurIPS 2018) from N sequences of a data set of M.
Knows nothing of the data but that content is one thing and dynamics another.
"""

from __future__ import annotations

import math

from torch import Tensor

from .._numbers import check_whole
from .base import Regularised, Seen, all_pairs


class MutualInformation(Regularised):
    """Weigh I(f; z), which the ELBO leaves as it comes.

    :param weight: 1 in the publications.
    :param size: M, sequences in the data set, as the publications have it: the value is then log M higher,
        hence above 0 and never cut off. With 1 it is that of the batch as if it were all the data, 0
        where z and f do not know of each other, and where there is one sequence only.
    """

    def __init__(self, weight: float = 1.0, *, size: int = 1) -> None:
        super().__init__(weight)
        check_whole(1, size=size)
        self.size = size

    def penalty(self, seen: Seen) -> Tensor:
        f, z = (
            all_pairs(seen.q.laws[site], seen.q.values[site]).sum(-1)
            for site in (seen.content, seen.dynamics)
        )
        joint, of_f, of_z = (log_q.logsumexp(1) for log_q in (f + z, f, z))
        return (joint - of_f - of_z + math.log(len(seen.x) * self.size)).relu().mean()
