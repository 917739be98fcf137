"""Data sets: characters in motion, moving digits, a bouncing ball, speech, your own folders of frames."""

from .bouncing_ball import BouncingBall
from .cache import cache_dir, clear_cache
from .folders import FrameFolders
from .groups import Groups
from .moving_mnist import MovingDigits, MovingMNIST
from .padding import pad
from .procedural import ProceduralSprites
from .sequences import Sequences
from .sheets import ProceduralSheets, Sheets
from .spectrum import LogSpectrum
from .speech import SpeechSegments
from .sprites import Sprites
from .transforms import RandomFrames

__all__ = [
    "BouncingBall",
    "FrameFolders",
    "Groups",
    "LogSpectrum",
    "MovingDigits",
    "MovingMNIST",
    "ProceduralSheets",
    "ProceduralSprites",
    "RandomFrames",
    "Sequences",
    "Sheets",
    "SpeechSegments",
    "Sprites",
    "cache_dir",
    "clear_cache",
    "pad",
]
