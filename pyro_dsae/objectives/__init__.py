"""What training maximises: ELBO objects, and weights of their KL terms."""

from .base import Joined, Regularised, Seen
from .cdsvae import CDSVAE
from .gradients import add_gradients, descends_by_itself
from .grouped import Grouped
from .latent_information import LatentInformation
from .mutual_information import MutualInformation
from .reparametrised import LogProb, ReparametrisedELBO
from .spyl import SPYL
from .swap_consistency import SwapConsistency
from .total_correlation import TotalCorrelation
from .weights import KLWeights, piecewise_linear

__all__ = [
    "CDSVAE",
    "SPYL",
    "Grouped",
    "Joined",
    "KLWeights",
    "LatentInformation",
    "LogProb",
    "MutualInformation",
    "Regularised",
    "ReparametrisedELBO",
    "Seen",
    "SwapConsistency",
    "TotalCorrelation",
    "add_gradients",
    "descends_by_itself",
    "piecewise_linear",
]
