"""Poses: the skeleton of a little figure in each frame of each action.

Walking is periodic, joints follow sines of 2 pi t / 8; casting and slashing follow a table of eight
steps that ends near its start. Lengths are in units of 1/32 of the frame, x to the right, y down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import cos, hypot, pi, radians, sin

from .characters import NUM_FRAMES

Point = tuple[float, float]


@dataclass
class Pose:
    """Joints of a figure seen from the front, or from its left side; limb 0 lies farther back."""

    side: bool
    head: Point
    chest: Point
    hips: Point
    hands: tuple[Point, Point]
    feet: tuple[Point, Point]
    knees: tuple[float, float] = (0.0, 0.0)  # how far each knee is bent outwards or forwards
    sway: float = 0.0  # of loose hair
    sword: float | None = None  # direction in radians, clockwise from the right
    trail: float = 0.0  # radians the sword has just swept
    orbs: list[tuple[Point, float, float]] = field(default_factory=list)  # centre, radius, turn


_SWING = (0.94, 1.0, 0.8, 0.48, 0.16, 0.0, 0.24, 0.6)  # of the sword, 1 held high, 0 low
_RAISE = (0.0, 0.22, 0.5, 0.78, 1.0, 0.9, 0.66, 0.34)  # of the casting hands


def polar(origin: Point, angle: float, length: float) -> Point:
    return origin[0] + length * cos(angle), origin[1] + length * sin(angle)


def bend(a: Point, b: Point, by: float) -> Point:
    """The middle of a limb from a to b, pushed ``by`` to the left of its direction."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    n = hypot(dx, dy) + 1e-6
    return (a[0] + b[0]) / 2 - by * dy / n, (a[1] + b[1]) / 2 + by * dx / n


def _walk(side: bool, t: int) -> Pose:
    phase = 2 * pi * t / NUM_FRAMES
    s, c = sin(phase), cos(phase)
    bob = 0.5 * cos(2 * phase)
    if side:
        x = 16.5
        return Pose(
            side,
            head=(x - 0.6, 9.9 + bob),
            chest=(x, 18.2 + bob),
            hips=(x, 23.0 + bob),
            hands=((x - 5.4 * c, 21.6 + 0.8 * s), (x + 5.4 * c, 21.6 - 0.8 * s)),
            feet=(
                (x + 4.8 * c, 29.8 - 2.4 * max(0.0, s)),
                (x - 4.8 * c, 29.8 - 2.4 * max(0.0, -s)),
            ),
            knees=(0.4 + 2.2 * max(0.0, s), 0.4 + 2.2 * max(0.0, -s)),
            sway=0.9 * s,
        )
    x = 16 + 1.1 * c
    return Pose(
        side,
        head=(x + 0.3 * c, 9.9 + bob),
        chest=(x, 18.2 + bob),
        hips=(x - 0.4 * c, 23.0 + bob),
        hands=((x - 6.6 + 0.8 * abs(s), 22.6 + 2.6 * s), (x + 6.6 - 0.8 * abs(s), 22.6 - 2.6 * s)),
        feet=((13.0, 29.8 - 4.2 * max(0.0, s)), (19.0, 29.8 - 4.2 * max(0.0, -s))),
        knees=(0.3 + 1.0 * max(0.0, s), 0.3 + 1.0 * max(0.0, -s)),
        sway=0.9 * s,
    )


def _spellcard(side: bool, t: int) -> Pose:
    r = _RAISE[t]
    turn = 2 * pi * t / 12
    sink = 0.9 * (1 - r)
    if side:
        x = 20.2 - 0.8 * r
        angle = radians(146 + 40 * r)
        shoulder = (x - 1.0, 17.4 + sink)
        near, far = polar(shoulder, angle, 7.4), polar(shoulder, angle + 0.22, 7.0)
        return Pose(
            side,
            head=(x - 0.4 + 0.6 * r, 10.0 + sink * 0.8),
            chest=(x, 18.2 + sink),
            hips=(x + 0.4, 23.0 + sink),
            hands=(far, near),
            feet=((x + 4.0, 29.8), (x - 3.6, 29.8)),
            knees=(0.6 + sink, 0.6 + sink),
            sway=-1.2 * r,
            orbs=[(polar(shoulder, angle + 0.1, 11.0), 1.5 + 1.5 * r, turn)],
        )
    x = 16.0
    left = (7.4 - 2.0 * r, 20.6 - 10.6 * r + sink)
    right = (2 * x - left[0], left[1])
    return Pose(
        side,
        head=(x, 9.9 + sink * 0.8),
        chest=(x, 18.2 + sink),
        hips=(x, 23.0 + sink),
        hands=(left, right),
        feet=((11.8, 29.8), (20.2, 29.8)),
        knees=(0.4 + sink, 0.4 + sink),
        sway=-1.2 * r,
        orbs=[
            ((left[0] - 0.9, left[1] - 2.9), 1.3 + 0.9 * r, turn),
            ((right[0] + 0.9, right[1] - 2.9), 1.3 + 0.9 * r, pi - turn),
        ],
    )


def _slash(side: bool, t: int) -> Pose:
    u = _SWING[t]
    swept = u - _SWING[t - 1] if t else 0.0
    if side:
        x = 15.2 + 3.2 * u
        span = radians(166)
        angle = radians(36) + span * u
        return Pose(
            side,
            head=(x - 1.0 + 1.2 * u, 10.5 - 0.4 * u),
            chest=(x, 18.8 - 0.4 * u),
            hips=(x + 0.6, 23.8 - 0.4 * u),
            hands=((x - 5.4 + 10.0 * u, 21.0), polar((x + 0.4, 18.8), angle, 5.4)),
            feet=((22.4, 29.8), (11.2 + 1.6 * u, 29.8)),
            knees=(0.2, 2.0 - 1.2 * u),
            sway=1.4 * u,
            sword=angle,
            trail=-span * swept,
        )
    x = 17.0 + 1.4 * u
    span = radians(152)
    angle = radians(92) + span * u
    return Pose(
        side,
        head=(x - 0.4 + 0.6 * u, 10.5 - 0.4 * u),
        chest=(x, 18.8 - 0.4 * u),
        hips=(x + 0.6 - u, 23.7 - 0.3 * u),
        hands=(polar((x - 4.2, 18.6), angle, 4.8), (x + 7.0, 18.6 + 3.0 * u)),
        feet=((11.4 + 0.6 * u, 29.8), (22.0, 29.8)),
        knees=(1.2 - 0.6 * u, 0.2),
        sway=1.4 * u - 0.7,
        sword=angle,
        trail=-span * swept,
    )


POSES: dict[str, Callable[[bool, int], Pose]] = {
    "walk": _walk,
    "spellcard": _spellcard,
    "slash": _slash,
}
