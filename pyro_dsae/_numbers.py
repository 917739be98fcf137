"""What a number that is given to us must be."""

from __future__ import annotations

import operator


def check_whole(least: int, **numbers: int | None) -> None:
    """An error naming the first of ``numbers`` that is no whole number or below ``least``; None passes."""
    for name, number in numbers.items():
        if number is None:
            continue
        try:
            operator.index(number)
        except TypeError:
            raise TypeError(f"{name} must be a whole number, got {number!r}") from None
        if number < least:
            raise ValueError(f"{name} must be at least {least}, got {number}")
