"""Data sets: characters in motion, moving digits, speech, and folders of frames of your own."""

from .folders import FrameFolders
from .moving_mnist import MovingDigits, MovingMNIST
from .procedural import ProceduralSprites
from .sheets import ProceduralSheets, Sheets
from .spectrum import LogSpectrum
from .speech import SpeechSegments
from .sprites import Sprites
from .transforms import RandomFrames

__all__ = [
    "FrameFolders",
    "LogSpectrum",
    "MovingDigits",
    "MovingMNIST",
    "ProceduralSheets",
    "ProceduralSprites",
    "RandomFrames",
    "Sheets",
    "SpeechSegments",
    "Sprites",
]
