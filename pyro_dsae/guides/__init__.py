"""Inference schemes, one file each: interchangeable posteriors over the sites ``"f"`` and ``"z"``."""

from .factorised import Factorised
from .fhvae import FHVAEGuide
from .full import Full
from .lstm import LSTMGuide
from .pairwise import Pairwise
from .pooled import Pooled
from .single_frame import SingleFrame
from .structured import Structured

__all__ = [
    "FHVAEGuide",
    "Factorised",
    "Full",
    "LSTMGuide",
    "Pairwise",
    "Pooled",
    "SingleFrame",
    "Structured",
]
