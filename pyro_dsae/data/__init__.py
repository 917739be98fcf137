"""Data sets: characters in motion, moving digits, a bouncing ball, speech, your own clips and pictures."""

from .bouncing_ball import BouncingBall
from .cache import cache_dir, clear_cache
from .clips import Clips
from .folders import FrameFolders, UnorderedFrames
from .groups import Groups
from .moving_mnist import MovingDigits, MovingMNIST
from .padding import pad
from .procedural import ProceduralSprites
from .sequences import Sequences
from .series import Series
from .shapes import write_shapes
from .sheets import ProceduralSheets, Sheets
from .spectrum import LogSpectrum
from .speech import SpeechSegments
from .sprites import Sprites
from .transforms import RandomFrames

__all__ = [
    "BouncingBall",
    "Clips",
    "FrameFolders",
    "Groups",
    "LogSpectrum",
    "MovingDigits",
    "MovingMNIST",
    "ProceduralSheets",
    "ProceduralSprites",
    "RandomFrames",
    "Sequences",
    "Series",
    "Sheets",
    "SpeechSegments",
    "Sprites",
    "UnorderedFrames",
    "cache_dir",
    "clear_cache",
    "pad",
    "write_shapes",
]
