"""Disentangled sequential autoencoders in Pyro: take a sequence apart into content and dynamics."""

from ._compat import check_torchvision
from ._moved import keep_old_paths
from .control import forecast, generate, impute, infer, infer_long, reconstruct, swap
from .guides import (
    Factorised,
    FHVAEGuide,
    Full,
    LSTMGuide,
    Pairwise,
    Pooled,
    SingleFrame,
    Structured,
)
from .inference_data import to_arviz
from .models import DSAE, FHVAE, LSTMc, LSTMf, Unordered
from .objectives import KLWeights, piecewise_linear
from .priors import AutoregressiveNormal, ExchangeableNormal
from .saving import load, load_data, save
from .training import History, elbo_terms, evaluate_elbo, fit
from .versions import __version__, show_versions

check_torchvision()
keep_old_paths(__name__)

__all__ = [
    "DSAE",
    "FHVAE",
    "AutoregressiveNormal",
    "ExchangeableNormal",
    "FHVAEGuide",
    "Factorised",
    "Full",
    "History",
    "KLWeights",
    "LSTMGuide",
    "LSTMc",
    "LSTMf",
    "Pairwise",
    "Pooled",
    "SingleFrame",
    "Structured",
    "Unordered",
    "__version__",
    "elbo_terms",
    "evaluate_elbo",
    "fit",
    "forecast",
    "generate",
    "impute",
    "infer",
    "infer_long",
    "load",
    "load_data",
    "piecewise_linear",
    "reconstruct",
    "save",
    "show_versions",
    "swap",
    "to_arviz",
]
