"""Generative models, one file each. Sites: ``"f"`` content, ``"z"`` dynamics, ``"x"`` the sequence."""

from .dsae import DSAE
from .unordered import Unordered

__all__ = ["DSAE", "Unordered"]
