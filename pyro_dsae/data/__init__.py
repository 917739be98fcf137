"""Data sets: characters in motion, moving digits, and folders of frames of your own."""

from .moving_mnist import MovingDigits, MovingMNIST
from .procedural import ProceduralSprites
from .sprites import Sprites
from .transforms import RandomFrames

__all__ = ["MovingDigits", "MovingMNIST", "ProceduralSprites", "RandomFrames", "Sprites"]
