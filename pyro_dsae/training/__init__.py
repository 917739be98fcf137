"""Training by stochastic variational inference: minibatches, the loop, its checkpoints, held-out bounds."""

from .batches import Batches
from .checkpoints import Checkpoints, History
from .evaluation import elbo_terms, evaluate_elbo
from .fit import NonFiniteLossError, fit
from .muon import Muon
from .prefixes import random_prefixes
from .priors import fit_priors

__all__ = [
    "Batches",
    "Checkpoints",
    "History",
    "Muon",
    "NonFiniteLossError",
    "elbo_terms",
    "evaluate_elbo",
    "fit",
    "fit_priors",
    "random_prefixes",
]
