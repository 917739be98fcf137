"""Generative models, one file each. Sites: ``"f"`` content, ``"z"`` dynamics, ``"x"`` the sequence."""

from .dsae import DSAE
from .fhvae import FHVAE
from .unordered import Unordered

__all__ = ["DSAE", "FHVAE", "Unordered"]
