"""Tables, a subject a file; a new file is named here."""

from . import (
    ball,
    cost,
    explorer,
    guides,
    imputation,
    msd,
    priors,
    recipes,
    speech,
    sprites,
    unordered,
    videos,
)
from .results import TABLES, Rows

__all__ = [
    "TABLES",
    "Rows",
    "ball",
    "cost",
    "explorer",
    "guides",
    "imputation",
    "msd",
    "priors",
    "recipes",
    "speech",
    "sprites",
    "unordered",
    "videos",
]
