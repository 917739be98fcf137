"""Inference schemes, one file each: interchangeable posteriors over the sites ``"f"`` and ``"z"``."""

from .factorised import Factorised
from .full import Full
from .pairwise import Pairwise

__all__ = ["Factorised", "Full", "Pairwise"]
