"""What training maximises: ELBO objects, and weights of their KL terms."""

from .gradients import add_gradients, descends_by_itself
from .reparametrised import LogProb, ReparametrisedELBO
from .weights import KLWeights, piecewise_linear

__all__ = [
    "KLWeights",
    "LogProb",
    "ReparametrisedELBO",
    "add_gradients",
    "descends_by_itself",
    "piecewise_linear",
]
