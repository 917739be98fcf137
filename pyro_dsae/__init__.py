"""Disentangled sequential autoencoders in Pyro: take a sequence apart into content and dynamics."""

import pyro

from ._compat import check_torchvision

check_torchvision()

from .checkpoints import History, load, save  # noqa: E402
from .control import forecast, generate, infer, reconstruct, swap  # noqa: E402
from .distributions import AutoregressiveNormal  # noqa: E402
from .guides import Factorised, Full  # noqa: E402
from .handlers import KLWeights, piecewise_linear  # noqa: E402
from .inference import elbo_terms, evaluate_elbo, fit  # noqa: E402
from .inference_data import to_arviz  # noqa: E402
from .models import DSAE  # noqa: E402

# Weights live in the modules, never in Pyro's global parameter store.
pyro.settings.set(module_local_params=True)

__version__ = "0.1.0"
__all__ = [
    "DSAE",
    "AutoregressiveNormal",
    "Factorised",
    "Full",
    "History",
    "KLWeights",
    "elbo_terms",
    "evaluate_elbo",
    "fit",
    "forecast",
    "generate",
    "infer",
    "load",
    "piecewise_linear",
    "reconstruct",
    "save",
    "swap",
    "to_arviz",
]
