"""One at a time: Pyro's stack of handlers is one a process, and a page answers from many threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import ParamSpec

from torch import Tensor

P = ParamSpec("P")
LOCK = RLock()


def alone(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """One call at a time of all such functions, and of all that holds the lock, whatever the thread."""

    @wraps(function)
    def locked(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        with LOCK:
            return function(*args, **kwargs).cpu()

    return locked
