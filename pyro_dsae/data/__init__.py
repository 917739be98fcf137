"""Data sets: sequences of labelled characters in motion."""

from .procedural import ProceduralSprites
from .sprites import Sprites

__all__ = ["ProceduralSprites", "Sprites"]
