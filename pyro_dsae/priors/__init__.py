"""Laws of the dynamics z_1:T, one file each: every one is a single Pyro distribution over ``(T, z_dim)``."""

from .autoregressive import AutoregressiveNormal
from .exchangeable import ExchangeableNormal

__all__ = ["AutoregressiveNormal", "ExchangeableNormal"]
