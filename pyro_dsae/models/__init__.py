"""Generative models, one file each. Sites: ``"f"`` content, ``"z"`` dynamics, ``"x"`` the sequence."""

from .dsae import DSAE

__all__ = ["DSAE"]
