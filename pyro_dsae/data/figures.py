"""Figures: a pose drawn as signed distance functions, painted back to front.

The canvas is finer than the frame by four a side. Every sample has one material m and one tone s,
those of the part painted last on it; averaged over the samples of a pixel they give

    w_m = mean(s * [material is m]),    frame = sum_m w_m * colour_m,

so a frame is linear in the colours of its materials. Units are those of the poses.
"""

from __future__ import annotations

from itertools import pairwise
from math import pi
from typing import Any

import numpy as np
import numpy.typing as npt

from .characters import ATTRIBUTES, NUM_VALUES
from .poses import Point, Pose, bend, polar

Array = npt.NDArray[np.floating[Any]]

FIXED = {
    "shoes": (112, 112, 128),
    "eyes": (16, 16, 28),
    "white": (255, 255, 255),
    "mouth": (96, 24, 32),
    "blade": (208, 232, 248),
    "hilt": (176, 128, 40),
    "glow": (96, 255, 255),
}
"""RGB of the materials that are the same for all characters."""
MATERIALS = ("nothing", *ATTRIBUTES, *FIXED)
GRID = 32.0
SAMPLES = 4


class Canvas:
    """Samples of one frame: the material and the tone of what was painted last on each."""

    def __init__(self, size: int) -> None:
        at = (np.arange(size * SAMPLES, dtype=np.float32) + 0.5) * (GRID / (size * SAMPLES))
        self.size = size
        self.x, self.y = at[None, :], at[:, None]
        self.material = np.zeros((len(at), len(at)), np.int8)
        self.tone = np.zeros((len(at), len(at)), np.float32)

    def ellipse(self, centre: Point, rx: float, ry: float) -> Array:
        """Signed distance, exact to first order at the border and negative inside."""
        x, y = self.x - centre[0], self.y - centre[1]
        k = np.sqrt((x / rx) ** 2 + (y / ry) ** 2)
        slope = np.sqrt((x / rx**2) ** 2 + (y / ry**2) ** 2) + 1e-6
        return k * (k - 1) / slope

    def capsule(self, a: Point, b: Point, ra: float, rb: float | None = None) -> Array:
        """Signed distance of a segment from ``a`` to ``b`` whose radius goes from ra to rb."""
        rb = ra if rb is None else rb
        dx, dy = b[0] - a[0], b[1] - a[1]
        x, y = self.x - a[0], self.y - a[1]
        h = np.clip((x * dx + y * dy) / (dx * dx + dy * dy + 1e-6), 0, 1)
        return np.hypot(x - h * dx, y - h * dy) - (ra + (rb - ra) * h)

    def paint(
        self,
        distance: Array,
        material: str,
        *,
        tone: float = 1.0,
        line: float = 0.7,
    ) -> None:
        """Fill ``distance < 0``; the outermost ``line`` units get a darker tone, as an outline."""
        inside = distance < 0
        self.material[inside] = MATERIALS.index(material)
        self.tone[inside] = np.where(distance[inside] > -line, 0.5 * tone, tone)

    def weights(self) -> Array:
        """w_m of each pixel: (materials, size, size)."""
        shape = (self.size, SAMPLES, self.size, SAMPLES)
        out = np.empty((len(MATERIALS), self.size, self.size), np.float32)
        for m in range(len(MATERIALS)):
            out[m] = np.where(self.material == m, self.tone, 0).reshape(shape).mean((1, 3))
        return out


def _leg(canvas: Canvas, pose: Pose, i: int) -> None:
    x, y = pose.feet[i]
    ankle = (x, y - 1.4)
    if pose.side:
        hip, wide, knee_out = pose.hips, 0.6, pose.knees[i]
        sole, length, tone = (x - 1.3, y + 0.2), 2.9, (1.0 if i else 0.7)
    else:
        out = 1.0 if i else -1.0
        hip, wide, knee_out = (pose.hips[0] + 2.1 * out, pose.hips[1]), 0.0, -out * pose.knees[i]
        sole, length, tone = (x, y + 0.1), 2.4, 1.0
    knee = bend(hip, ankle, knee_out)
    thigh = canvas.capsule(hip, knee, 2.7 + wide, 2.5 + wide)
    shin = canvas.capsule(knee, ankle, 2.5 + wide, 2.2 + 0.4 * wide)
    canvas.paint(np.minimum(thigh, shin), "trousers", tone=tone)
    canvas.paint(canvas.ellipse(sole, length, 1.7), "shoes", tone=tone)


def _arm(canvas: Canvas, pose: Pose, i: int) -> None:
    out = 1.0 if i else -1.0
    shoulder = (pose.chest[0] + (0.3 if pose.side else 4.0 * out), pose.chest[1] - 0.6)
    hand = pose.hands[i]
    elbow = bend(shoulder, hand, -0.9 if pose.side else -0.7 * out)
    cuff = (0.4 * shoulder[0] + 0.6 * elbow[0], 0.4 * shoulder[1] + 0.6 * elbow[1])
    tone = 0.7 if pose.side and i == 0 else 1.0
    bare = np.minimum(canvas.capsule(shoulder, elbow, 1.8), canvas.capsule(elbow, hand, 1.8))
    canvas.paint(bare, "skin", tone=tone)
    canvas.paint(canvas.ellipse(hand, 2.15, 2.15), "skin", tone=tone, line=0.6)
    canvas.paint(canvas.capsule(shoulder, cuff, 2.3, 2.2), "tops", tone=tone)


def _torso(canvas: Canvas, pose: Pose) -> None:
    (cx, cy), (hx, hy) = pose.chest, pose.hips
    wide = 4.1 if pose.side else 4.7
    body = canvas.capsule((cx, cy), (hx, hy - 1.6), wide, wide - 0.1)
    canvas.paint(np.maximum(body, canvas.y - (hy - 0.4)), "tops")


def _head(canvas: Canvas, pose: Pose) -> None:
    x, y = pose.head
    canvas.paint(canvas.ellipse((x, y), 7.0, 6.7), "skin")
    if pose.side:
        canvas.paint(canvas.ellipse((x - 6.7, y + 2.6), 1.3, 1.1), "skin", line=0.3)
        eyes, mouth = [x - 3.9], (x - 4.9, x - 3.5)
    else:
        eyes, mouth = [x - 2.8, x + 2.8], (x - 1.1, x + 1.1)
    for eye in eyes:
        canvas.paint(canvas.ellipse((eye, y + 1.4), 1.15, 1.75), "eyes", line=0)
        canvas.paint(canvas.ellipse((eye - 0.3, y + 0.7), 0.5, 0.6), "white", line=0)
    line = canvas.capsule((mouth[0], y + 4.6), (mouth[1], y + 4.6), 0.45)
    canvas.paint(line, "mouth", line=0)


def _sword(canvas: Canvas, hand: Point, angle: float, trail: float) -> None:
    tip = polar(hand, angle, 8.2)
    if abs(trail) > 0.2:
        shoulder = polar(hand, angle, -5.2)
        arc = [polar(shoulder, angle + trail * k / 6, 12.5) for k in range(7)]
        for k, (a, b) in enumerate(pairwise(arc)):
            canvas.paint(canvas.capsule(a, b, 1.2 - 0.15 * k), "white", tone=0.75, line=0)
    canvas.paint(canvas.capsule(hand, tip, 1.15, 0.5), "blade", line=0.3)
    guard = polar(hand, angle, 1.7)
    ends = polar(guard, angle + pi / 2, 1.6), polar(guard, angle - pi / 2, 1.6)
    canvas.paint(canvas.capsule(*ends, 0.65), "hilt", line=0)


def _magic(canvas: Canvas, pose: Pose) -> None:
    for centre, radius, turn in pose.orbs:
        canvas.paint(canvas.ellipse(centre, radius, radius), "glow", line=0.5)
        canvas.paint(canvas.ellipse(centre, 0.5 * radius, 0.5 * radius), "white", line=0)
        for k in range(3):
            spark = polar(centre, turn + 2 * pi * k / 3, radius + 1.2)
            canvas.paint(canvas.ellipse(spark, 0.6, 0.6), "glow", line=0)


def _hair_front(canvas: Canvas, pose: Pose, style: int) -> tuple[Array | None, Array]:
    """Signed distances of the hair behind the figure, if any, and of that over its head."""
    (x, y), w = pose.head, pose.sway
    cap = canvas.ellipse((x, y - 0.5), 7.7, 7.1)
    cap = np.maximum(cap, -canvas.ellipse((x, y + 3.0), 5.9, 4.9))
    top = np.maximum(cap, canvas.y - (y + 2.2))
    if style == 0:  # short, with a parting
        return None, np.minimum(top, canvas.ellipse((x + 2.6, y - 4.6), 4.6, 2.8))
    if style == 1:  # long
        locks = [
            canvas.capsule((x + side * 5, y), (x + side * 6 + w, y + 10), 2.9, 2.5)
            for side in (-1, 1)
        ]
        return np.minimum(*locks), cap
    if style == 2:
        return None, _spikes(canvas, pose, top)
    if style == 3:  # two buns
        buns = [canvas.ellipse((x + dx, y - 6.2), 2.9, 2.9) for dx in (-6.2, 6.2)]
        return None, np.minimum(top, np.minimum(*buns))
    if style == 4:  # a tail at the side
        root, middle = (x + 5.2, y - 4.6), (x + 9.0 + 0.3 * w, y - 1.0)
        tail = canvas.capsule(root, middle, 1.8, 2.2)
        tail = np.minimum(tail, canvas.capsule(middle, (x + 9.0 + w, y + 5.0), 2.2, 0.8))
        return tail, np.maximum(cap, canvas.y - (y + 3.6))
    crest = canvas.ellipse((x + 0.2 * w, y - 5.6), 3.6, 4.4)
    return None, np.minimum(np.maximum(cap, canvas.y - (y - 3.4)), crest)


def _hair_side(canvas: Canvas, pose: Pose, style: int) -> tuple[Array | None, Array]:
    """The same hair, seen from the left."""
    (x, y), w = pose.head, pose.sway
    bare = -canvas.ellipse((x - 4.2, y + 3.4), 5.4, 5.2)
    cap = np.maximum(canvas.ellipse((x, y - 0.5), 7.7, 7.1), bare)
    top = np.maximum(cap, canvas.y - (y + 2.2))
    if style == 0:
        return None, np.minimum(top, canvas.ellipse((x - 3.2, y - 4.6), 4.6, 2.8))
    if style == 1:
        return None, np.minimum(cap, canvas.capsule((x + 4, y), (x + 4.6 + w, y + 9.5), 3.4, 2.8))
    if style == 2:
        return None, _spikes(canvas, pose, top)
    if style == 3:
        return None, np.minimum(top, canvas.ellipse((x + 3.6, y - 6.4), 3.2, 3.0))
    if style == 4:
        root, middle = (x + 6.4, y - 3.2), (x + 9.0 + 0.5 * w, y + 1.0)
        tail = canvas.capsule(root, middle, 1.8, 2.2)
        tail = np.minimum(tail, canvas.capsule(middle, (x + 8.2 + w, y + 6.4), 2.2, 0.8))
        return tail, np.maximum(cap, canvas.y - (y + 3.6))
    crest = np.maximum(canvas.ellipse((x + 1.2 + 0.2 * w, y - 4.6), 7.4, 5.0), bare)
    return None, np.minimum(np.maximum(cap, canvas.y - (y - 3.4)), crest)


def _spikes(canvas: Canvas, pose: Pose, top: Array) -> Array:
    (x, y), w = pose.head, pose.sway
    for dx in (-7.4, -4.4, 0.0, 4.4, 7.4):
        root = (x + 0.62 * dx, y - 4.6 + 0.04 * dx * dx)
        tip = (x + 1.12 * dx + 0.5 * w, y - 9.6 + 0.055 * dx * dx)
        top = np.minimum(top, canvas.capsule(root, tip, 2.6, 0.4))
    return top


def draw(pose: Pose, size: int) -> Array:
    """One pose with each hair style: w_m, float32 (6, materials, size, size), in [0, 1].

    What is raised in front of the head (the near arm of a side view, the sword arm, the spell) is
    drawn once on a canvas of its own and laid over the hair.
    """
    figure, raised = Canvas(size), Canvas(size)
    weapon_arm = 1 if pose.side else 0
    arm_over_hair = pose.side or pose.sword is not None
    if pose.side:
        _arm(figure, pose, 0)
    _leg(figure, pose, 0)
    _leg(figure, pose, 1)
    _torso(figure, pose)
    if not pose.side:
        for i in (0, 1):
            if not (arm_over_hair and i == weapon_arm):
                _arm(figure, pose, i)
    _head(figure, pose)
    if pose.sword is not None:
        _sword(raised, pose.hands[weapon_arm], pose.sword, pose.trail)
    if arm_over_hair:
        _arm(raised, pose, weapon_arm)
    _magic(raised, pose)

    over = raised.material > 0
    hair = _hair_side if pose.side else _hair_front
    out = np.empty((NUM_VALUES, len(MATERIALS), size, size), np.float32)
    for style in range(NUM_VALUES):
        canvas = Canvas(size)
        canvas.material[:], canvas.tone[:] = figure.material, figure.tone
        behind, front = hair(canvas, pose, style)
        if behind is not None:
            behind = np.where(canvas.material == 0, behind, np.inf)
            canvas.paint(behind, "hair", tone=0.85)
        canvas.paint(front, "hair")
        canvas.material[over], canvas.tone[over] = raised.material[over], raised.tone[over]
        out[style] = canvas.weights()
    return out
