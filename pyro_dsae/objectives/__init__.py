"""What training maximises: ELBO objects, and weights of their KL terms."""

from .reparametrised import LogProb, ReparametrisedELBO
from .weights import KLWeights, piecewise_linear

__all__ = ["KLWeights", "LogProb", "ReparametrisedELBO", "piecewise_linear"]
