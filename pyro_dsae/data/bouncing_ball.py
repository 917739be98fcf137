r"""A ball in an irregular polygon: no force, no friction, walls that give all of its speed back.

Between bounces the ball goes straight on, :math:`p_t = p_{t-1} + v`; at a wall with unit normal n,

.. math:: v \leftarrow v - 2 (v \cdot n) n.

Two balls that start close to each other part for good once a corner sends them to different walls. pymunk
simulates the ball (Li & Mandt, 2018, section 4.3); polygon, radius and speed are those of the public code
of the Kalman variational autoencoder (Fraccaro et al., 2017), which has the same experiment.

Points are (x, y) in pixels; the pixel in row i and column j has its centre at (j, i). Walls are not drawn.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable
from math import ceil, inf, pi
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .._numbers import check_whole
from .cache import cache_dir, kept
from .sequences import Sequences

GRID = 32  # pixels; radius, speed and polygon are given for frames of this side

POLYGON = torch.tensor(
    [(3.0, 1.0), (1.0, 15.0), (8.0, 30.0), (25.0, 30.0), (30.0, 8.0), (15.0, 1.0)]
)
"""Corners (x, y) on a 32 grid, ``(6, 2)``."""

_VERSION = 1  # of the simulation: raise it with any change, or old sequences are taken
_SUBSTEP = 0.03  # pixels; a ball is never deeper in a wall
_ITERATIONS = 50  # of pymunk's solver, for a ball that touches two walls
_PER_SPACE = 250
_NUM_SEQUENCES = {"train": 4000, "test": 1000}


def _normals(corners: Tensor) -> Tensor:
    """Unit normals of the walls from each corner to the next, inwards: ``(K, 2)``."""
    along = corners.roll(-1, 0) - corners
    return torch.stack([along[:, 1], -along[:, 0]], -1) / along.norm(dim=-1, keepdim=True)


def wall_distance(points: Tensor, polygon: Tensor = POLYGON) -> Tensor:
    """Distance of points ``(*, 2)`` to the nearest wall of a convex polygon, ``(*,)``; negative outside.

    :param polygon: corners ``(K, 2)``, in the orientation of ``POLYGON``.
    """
    corners = polygon.to(points)
    return ((points.unsqueeze(-2) - corners) * _normals(corners)).sum(-1).amin(-1)


def inside(points: Tensor, margin: float = 0.0, polygon: Tensor = POLYGON) -> Tensor:
    """Which of points ``(*, 2)`` are in the polygon, ``margin`` or more from each wall: bool ``(*,)``."""
    return wall_distance(points, polygon) >= margin


def render(
    positions: Tensor, radius: float = 3.0, size: int = GRID, *, frames_at_once: int = 4096
) -> Tensor:
    """Discs at ``(*, 2)``, white on black: uint8 ``(*, 1, size, size)``.

    A pixel at distance d from the centre is covered by the share radius + 1/2 - d, between 0 and 1.
    """
    centres = positions.reshape(-1, 2)
    grid = torch.arange(size, dtype=centres.dtype)
    frames = torch.empty(len(centres), 1, size, size, dtype=torch.uint8)
    for part, out in zip(centres.split(frames_at_once), frames.split(frames_at_once), strict=True):
        columns, rows = (grid - part.T.unsqueeze(-1)).square()
        distance = (rows.unsqueeze(-1) + columns.unsqueeze(-2)).sqrt_()
        cover = distance.neg_().add_(radius + 0.5).clamp_(0, 1)
        out[:, 0] = cover.mul_(255).round_().byte()
    return frames.view(*positions.shape[:-1], 1, size, size)


def _free(radius: float) -> Tensor:
    """Corners of the polygon of the centres of balls in ``POLYGON``, float64 ``(6, 2)``."""
    corners = POLYGON.double()
    normals = _normals(corners)
    offsets = (normals * corners).sum(-1) + radius
    pair = torch.stack([normals.roll(1, 0), normals], 1)  # the walls that meet in each corner
    free = torch.linalg.solve(pair, torch.stack([offsets.roll(1), offsets], -1))
    if not 0 < radius < inf or not inside(free, radius - 1e-9).all():
        raise ValueError(f"radius must be positive and a ball fit the polygon, got {radius}")
    return free


def _start(
    n: int, radius: float, speed: tuple[float, float], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Positions, uniform over where a ball has room, and velocities: float64 ``(n, 2)`` each."""
    free = _free(radius)
    u = torch.rand(n, 5, dtype=torch.float64, generator=generator)
    a, b, c = free[:1], free[1:-1], free[2:]
    ab, ac = b - a, c - a
    areas = (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]).abs()
    triangle = torch.searchsorted((areas.cumsum(0) / areas.sum())[:-1], u[:, 0].contiguous())
    root = u[:, 1:2].sqrt()
    position = a + root * ((1 - u[:, 2:3]) * ab[triangle] + u[:, 2:3] * ac[triangle])
    angle, pace = 2 * pi * u[:, 3], speed[0] + (speed[1] - speed[0]) * u[:, 4]
    return position, pace.unsqueeze(-1) * torch.stack([angle.cos(), angle.sin()], -1)


def _simulate(
    position: Tensor, velocity: Tensor, num_frames: int, radius: float, substeps: int
) -> npt.NDArray[np.float64]:
    """Positions and velocities at each frame, ``(n, T, 4)``: one space, a polygon for each ball."""
    try:
        import pymunk
    except ImportError as error:
        raise ImportError(
            'simulating the ball needs pymunk: pip install "pyro-dsae[physics]"'
        ) from error
    space = pymunk.Space()
    space.iterations = _ITERATIONS
    corners = POLYGON.tolist()
    bodies = []
    for i, ((x, y), v) in enumerate(zip(position.tolist(), velocity.tolist(), strict=True)):
        shift = 2.0 * GRID * i
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            ends = (a[0] + shift, a[1]), (b[0] + shift, b[1])
            wall = pymunk.Segment(space.static_body, *ends, 0.0)
            wall.elasticity = 1.0
            space.add(wall)
        body = pymunk.Body(1.0, inf)  # it never turns
        body.position, body.velocity = (x + shift, y), (v[0], v[1])
        ball = pymunk.Circle(body, radius)
        ball.elasticity = 1.0
        space.add(body, ball)
        bodies.append(body)
    path = np.empty((len(bodies), num_frames, 4))
    for t in range(num_frames):
        for _ in range(substeps if t else 0):
            space.step(1 / substeps)
        path[:, t] = [(*body.position, *body.velocity) for body in bodies]
    path[..., 0] -= 2.0 * GRID * np.arange(len(bodies))[:, None]
    return path


def _cached(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """The paths in a cache file; ``None`` if it is absent or not what it says."""
    if not path.is_file():
        return None
    try:
        paths = load_file(path)["paths"]
    except (OSError, SafetensorError, KeyError) as error:
        warnings.warn(f"simulating again, the cache {path} is damaged: {error}", stacklevel=3)
        return None
    if paths.dtype != torch.float32 or tuple(paths.shape) != shape:
        got = f"{paths.dtype} {tuple(paths.shape)}, expected torch.float32 {shape}"
        warnings.warn(f"simulating again, the cache {path} holds {got}", stacklevel=3)
        return None
    return paths


def _keep(path: Path, paths: Tensor) -> None:
    """Into a cache file, where there can be one."""
    try:
        with kept(path) as partial:
            save_file({"paths": paths}, partial)
    except (OSError, SafetensorError) as error:
        warnings.warn(f"the paths of the ball could not be kept in {path}: {error}", stacklevel=3)


class BouncingBall(Sequences):
    """Sequences of a ball in an irregular polygon, simulated once by pymunk and kept.

    Positions are uniform over the polygon, directions over the circle, speeds over their range. The
    first frames of a sequence, and the first sequences, do not depend on how many there are.

    Args:
        split: ``"train"`` or ``"test"``: their sequences differ.
        num_frames: T.
        num_sequences: N (default: 4000 of train, 1000 of test).
        size: height and width of a frame in pixels; polygon, ball and speed grow with it.
        seed: of positions, directions and speeds.
        radius: of the ball, in pixels of a 32 x 32 frame.
        speed: the least and the greatest, in pixels of a 32 x 32 frame, a frame.
        root: folder in which the simulated paths are kept (default: :func:`~pyro_dsae.data.cache_dir`).
        transform: called on each float tensor ``(T, 1, size, size)``.

    An item is ``(x, labels)``: x float32 ``(T, 1, size, size)`` in [0, 1], and ``sequence``, the row of
    ``positions`` and ``velocities`` that belongs to it. Raises ``ValueError`` on other arguments,
    ``ImportError`` where there is neither a cache file nor pymunk.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     data = BouncingBall("test", num_sequences=2, num_frames=10, root=root)
    ...     x, labels = data[0]
    >>> x.shape
    torch.Size([10, 1, 32, 32])
    """

    frames: Tensor
    """uint8 ``(N, T, 1, size, size)``."""
    positions: Tensor
    """Float ``(N, T, 2)``: (x, y) of the centre, in pixels."""
    velocities: Tensor
    """Float ``(N, T, 2)``: (x, y), in pixels a frame."""
    polygon: Tensor
    """Float ``(6, 2)``: corners (x, y), in pixels."""
    radius: float
    """In pixels."""

    def __init__(
        self,
        split: str = "train",
        *,
        num_frames: int = 30,
        num_sequences: int | None = None,
        size: int = GRID,
        seed: int = 0,
        radius: float = 3.0,
        speed: tuple[float, float] = (2.0, 3.0),
        root: str | os.PathLike[str] | None = None,
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        if split not in _NUM_SEQUENCES:
            raise ValueError(f"split must be 'train' or 'test', got {split!r}")
        n = _NUM_SEQUENCES[split] if num_sequences is None else num_sequences
        check_whole(1, num_frames=num_frames, num_sequences=n)
        check_whole(8, size=size)
        check_whole(0, seed=seed)
        if np.shape(speed) != (2,) or not 0 < speed[0] <= speed[1] < inf:
            raise ValueError(f"speed must be (least, greatest), both positive, got {speed}")
        _free(radius)
        folder = cache_dir() if root is None else Path(root)
        low, high = map(float, speed)
        paths = _paths(folder, split, n, num_frames, seed, float(radius), (low, high))
        scale = size / GRID
        self.radius, self.polygon = radius * scale, (POLYGON + 0.5) * scale - 0.5
        self.positions = (paths[..., :2] + 0.5) * scale - 0.5
        self.velocities = paths[..., 2:] * scale
        frames = render(self.positions, self.radius, size)
        super().__init__(frames, {"sequence": torch.arange(n)}, transform=transform)
        self.split, self.size = split, size


def _paths(
    root: Path,
    split: str,
    n: int,
    num_frames: int,
    seed: int,
    radius: float,
    speed: tuple[float, float],
) -> Tensor:
    """Positions and velocities on the 32 grid from the cache, or simulated: float32 ``(n, T, 4)``."""
    digest = hashlib.sha256(repr((_VERSION, split, n, num_frames, seed, radius, speed)).encode())
    name = f"bouncing_ball-{split}-{n}x{num_frames}-{digest.hexdigest()[:16]}.safetensors"
    paths = _cached(root / name, (n, num_frames, 4))
    if paths is None:
        generator = torch.Generator().manual_seed(2 * seed + (split == "test"))
        starts = zip(
            *(part.split(_PER_SPACE) for part in _start(n, radius, speed, generator)), strict=True
        )
        substeps = ceil(speed[1] / _SUBSTEP)
        paths = torch.cat(
            [
                torch.from_numpy(_simulate(p, v, num_frames, radius, substeps)).float()
                for p, v in starts
            ]
        )
        _keep(root / name, paths)
    return paths
