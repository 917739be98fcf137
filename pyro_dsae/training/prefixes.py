"""Sequences that grow while a model trains: what moves for long is learnt from what moves for a moment.

A model that lays all its dynamics down at the start, p(x_1:T | z), has to place the last frame by a path that
it does not know yet. Over a few frames the path is almost a place and a direction; longer ones then lean on
it (a curriculum, Bengio et al., ICML 2009). A guide that has seen prefixes of any length can read any.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._numbers import check_whole


def random_prefixes(
    shortest: int,
    longest: int | Callable[[int], float],
    *,
    whole: float = 0.0,
    seed: int = 0,
) -> Callable[[int], int]:
    """A length for each step, even between ``shortest`` and ``longest``, for :func:`fit`'s ``num_frames``.

    A step of a seed has one length, in every process and after a resumed run.

    :param shortest: frames, at least 1; ``longest`` at least as many.
    :param longest: frames, or a function of the step, such as
        :func:`~pyro_dsae.piecewise_linear`, of which the whole part counts.
    :param whole: share of the steps that take the longest, so that the last frames are seen more often
        than once in many steps.
    :raises ValueError: if there is no length between the two, at the step where that is so.

    >>> length = random_prefixes(4, pyro_dsae.piecewise_linear((0, 4), (1000, 30)), seed=0)
    >>> [length(step) for step in (0, 250, 500, 750, 1000)]
    [4, 4, 12, 21, 14]
    """
    check_whole(1, shortest=shortest)
    if not callable(longest):
        check_whole(shortest, longest=longest)
    if not 0 <= whole <= 1:
        raise ValueError(f"whole must be a share, 0 to 1, got {whole}")

    def length(step: int) -> int:
        most = int(longest(step)) if callable(longest) else longest
        if most < shortest:
            raise ValueError(
                f"longest must be at least shortest, {shortest}, got {most} at step {step}"
            )
        draw = np.random.default_rng((seed, step))
        part = int(draw.integers(shortest, most + 1))
        return most if draw.random() < whole else part

    return length
