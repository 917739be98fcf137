"""Generative models, one file each. Sites: ``"f"`` content, ``"z"`` dynamics, ``"x"`` the sequence.

FHVAE has sites of its own; LSTMf and LSTMc have one z for the whole sequence.
"""

from .dsae import DSAE
from .fhvae import FHVAE
from .lstm import LSTMc, LSTMf
from .unordered import Unordered

__all__ = ["DSAE", "FHVAE", "LSTMc", "LSTMf", "Unordered"]
