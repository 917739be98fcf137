"""Data sets: characters in motion, moving digits, and folders of frames of your own."""

from .folders import FrameFolders
from .moving_mnist import MovingDigits, MovingMNIST
from .procedural import ProceduralSprites
from .sheets import ProceduralSheets, Sheets
from .sprites import Sprites
from .transforms import RandomFrames

__all__ = [
    "FrameFolders",
    "MovingDigits",
    "MovingMNIST",
    "ProceduralSheets",
    "ProceduralSprites",
    "RandomFrames",
    "Sheets",
    "Sprites",
]
