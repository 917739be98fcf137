"""The ball: its physics against mechanics, its pictures against geometry, and its cache."""

from __future__ import annotations

import builtins
from math import pi

import pytest
import torch

from pyro_dsae.data.bouncing_ball import POLYGON, BouncingBall, inside, render, wall_distance

pymunk = pytest.importorskip("pymunk")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("ball")


@pytest.fixture(scope="module")
def data(root) -> BouncingBall:
    """40 sequences of 100 frames."""
    return BouncingBall(root=root, num_sequences=40, num_frames=100)


def test_shapes_and_items(data):
    assert data.frames.shape == (40, 100, 1, 32, 32) and data.frames.dtype == torch.uint8
    assert data.positions.shape == data.velocities.shape == (40, 100, 2)
    assert data.positions.dtype == data.velocities.dtype == torch.float32
    x, labels = data[7]
    assert len(data) == 40 and labels == {"sequence": 7}
    assert x.shape == (100, 1, 32, 32) and x.dtype == torch.float32
    assert x.min() == 0 and x.max() == 1
    assert torch.equal(x, data.frames[7] / 255)


def test_batches(data):
    x, labels = next(iter(torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)))
    assert torch.equal(x, data.frames[labels["sequence"]] / 255)


def test_default_numbers_of_sequences(root):
    sets = {split: BouncingBall(split, root=root, num_frames=1) for split in ("train", "test")}
    assert {split: len(found) for split, found in sets.items()} == {"train": 4000, "test": 1000}


def test_energy_is_conserved(data):
    speed = data.velocities.norm(dim=-1)
    torch.testing.assert_close(speed, speed[:, :1].expand_as(speed), rtol=1e-4, atol=0)
    assert 2 <= speed.min() and speed.max() <= 3
    assert speed[:, 0].std() > 0.2


def test_ball_stays_inside_and_reaches_the_walls(data):
    assert inside(data.positions, data.radius - 0.03).all()
    assert wall_distance(data.positions).min() < data.radius + 0.05


def test_flies_straight_and_is_mirrored_by_walls(data):
    p, v = data.positions, data.velocities
    turned = (v[:, 1:] - v[:, :-1]).norm(dim=-1) > 1e-3
    torch.testing.assert_close(
        (p[:, :-1] + v[:, :-1])[~turned], p[:, 1:][~turned], rtol=0, atol=1e-4
    )
    assert (turned.sum(1) >= 5).all()
    # A single bounce changes velocity along the normal of a wall alone.
    change = (v[:, 1:] - v[:, :-1])[turned]
    along = POLYGON.roll(-1, 0) - POLYGON
    along = along / along.norm(dim=-1, keepdim=True)
    tangential = (change @ along.T).abs().amin(-1)
    assert (tangential < 1e-3).float().mean() > 0.9


def test_starts_everywhere_in_all_directions(root):
    data = BouncingBall(root=root, num_frames=1)
    position, velocity = data.positions[:, 0], data.velocities[:, 0]
    assert inside(position, 3.0 - 1e-4).all()
    # Uniform: the share of starts in a part of the polygon is the part's share of its area.
    grid = torch.cartesian_prod(torch.linspace(0, 31, 400), torch.linspace(0, 31, 400))
    grid = grid[inside(grid, 3.0)]
    torch.testing.assert_close(position.mean(0), grid.mean(0), rtol=0, atol=0.4)
    torch.testing.assert_close(position.T.cov(), grid.T.cov(), rtol=0, atol=1.5)
    quarter = (velocity > 0).long() @ torch.tensor([1, 2])
    assert (quarter.bincount(minlength=4) > 900).all()


def test_pictures_show_the_ball_where_it_is(data):
    x = data.frames.squeeze(2).double() / 255
    mass = x.sum((-1, -2))
    assert ((mass - pi * 9).abs() < 0.03 * pi * 9).all()
    pixels = torch.arange(32, dtype=torch.float64)
    centroid = torch.stack([x.sum(-2) @ pixels, x.sum(-1) @ pixels], -1) / mass.unsqueeze(-1)
    assert (centroid - data.positions).abs().max() < 0.05


def test_render_covers_edge_pixels_in_part():
    frame = render(torch.tensor([10.0, 5.0]), radius=2.25, size=16)
    assert frame.shape == (1, 16, 16)
    row = frame[0, 5, 6:15].float() / 255
    expected = torch.tensor([0, 0, 1, 1, 1, 1, 1, 0, 0])
    assert torch.equal(row > 0.5, expected.bool())
    assert row[1] == row[-2] == 0  # a quarter beyond pixel 8 ends in that pixel's half
    shifted = render(torch.tensor([10.5, 5.0]), radius=2.25, size=16)[0, 5, 6:15].float() / 255
    assert shifted.tolist() == pytest.approx([0, 0, 0.25, 1, 1, 1, 1, 0.25, 0], abs=1 / 255)


def test_render_in_parts_is_the_same(data):
    some = data.positions[:3, :11]
    assert torch.equal(render(some, frames_at_once=4), render(some))
    assert torch.equal(render(some), data.frames[:3, :11])


def test_larger_frames_show_the_same_sequences(root, data):
    large = BouncingBall(root=root, num_sequences=40, num_frames=100, size=64)
    assert large.frames.shape == (40, 100, 1, 64, 64) and large.radius == 6
    small = torch.nn.functional.avg_pool2d(large.frames[:, :5].flatten(0, 2).float(), 2)
    torch.testing.assert_close(
        small, data.frames[:, :5].flatten(0, 2).float(), rtol=0, atol=0.2 * 255
    )
    assert inside(large.positions, large.radius - 0.06, large.polygon).all()
    torch.testing.assert_close(large.velocities, 2 * data.velocities)


def test_same_seed_same_sequences_of_any_number(tmp_path, data):
    again = BouncingBall(root=tmp_path, num_sequences=12, num_frames=20)
    assert torch.equal(again.positions, data.positions[:12, :20])
    assert torch.equal(again.velocities, data.velocities[:12, :20])
    assert torch.equal(again.frames, data.frames[:12, :20])


def test_splits_and_seeds_share_no_sequence(root):
    starts = torch.cat(
        [
            BouncingBall(split, root=root, num_sequences=300, num_frames=1, seed=seed).positions
            for split in ("train", "test")
            for seed in (0, 1)
        ]
    ).flatten(1)
    assert len(starts.unique(dim=0)) == 1200


def test_is_simulated_once(tmp_path, monkeypatch):
    small = {"root": tmp_path, "num_sequences": 3, "num_frames": 4}
    first = BouncingBall(**small)
    assert len(list(tmp_path.iterdir())) == 1
    real = builtins.__import__

    def without_pymunk(name, *args, **kwargs):
        if name == "pymunk":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pymunk)
    again = BouncingBall(**small)
    assert torch.equal(again.frames, first.frames)
    assert torch.equal(again.velocities, first.velocities)
    for changed in (
        {"split": "test"},
        {"seed": 1},
        {"num_frames": 5},
        {"num_sequences": 2},
        {"radius": 2.5},
        {"speed": (1.0, 2.0)},
    ):
        with pytest.raises(ImportError, match=r'pip install "pyro-dsae\[physics\]"'):
            BouncingBall(**{**small, **changed})


@pytest.mark.parametrize("damage", ["torn", "empty", "another shape", "another key"])
def test_damaged_cache_is_made_anew(tmp_path, damage):
    from safetensors.torch import save_file

    small = {"root": tmp_path, "num_sequences": 3, "num_frames": 4}
    first = BouncingBall(**small)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    message = f"simulating again, the cache {path} is damaged"
    if damage == "torn":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "another key":
        save_file({"other": torch.zeros(3, 4, 4)}, path)
    else:
        save_file({"paths": torch.zeros(3, 4, 3)}, path)
        message = f"simulating again, the cache {path} holds .* expected"
    with pytest.warns(UserWarning, match=message):
        again = BouncingBall(**small)
    assert torch.equal(again.positions, first.positions)
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_goes_on_where_nothing_can_be_kept(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="could not be kept in .*file"):
        data = BouncingBall(root=tmp_path / "file", num_sequences=2, num_frames=3)
    assert len(data) == 2


def test_default_root_is_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    BouncingBall(num_sequences=2, num_frames=3)
    assert len(list((tmp_path / "pyro_dsae").glob("bouncing_ball-train-2x3-*.safetensors"))) == 1


def test_transform(root):
    data = BouncingBall(root=root, num_sequences=2, num_frames=3, transform=lambda x: x.mean())
    assert data[0][0].dim() == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "val"}, "split must be 'train' or 'test', got 'val'"),
        ({"num_frames": 0}, "num_frames must be at least 1, got 0"),
        ({"num_sequences": 0}, "num_sequences must be at least 1, got 0"),
        ({"size": 4}, "size must be at least 8, got 4"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"radius": 0.0}, "radius must be positive and a ball fit the polygon, got 0.0"),
        ({"radius": float("nan")}, "radius must be positive and a ball fit the polygon, got nan"),
        ({"radius": 14.0}, "radius must be positive and a ball fit the polygon, got 14.0"),
        (
            {"speed": (3.0, 2.0)},
            r"speed must be \(least, greatest\), both positive, got \(3.0, 2.0",
        ),
        ({"speed": 2.0}, r"speed must be \(least, greatest\), .* got 2.0"),
        ({"speed": (0.0, 2.0)}, "speed must be .* got \\(0.0, 2.0"),
    ],
)
def test_says_what_is_wrong(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        BouncingBall(root=tmp_path, **wrong)


def test_distance_to_walls():
    points = torch.tensor([[15.0, 15.0], [10.0, 4.0], [10.0, -1.0], [0.0, 0.0], [3.0, 1.0]])
    distance = wall_distance(points)
    assert distance[1] == pytest.approx(3) and distance[2] == pytest.approx(-2)
    assert distance[4] == pytest.approx(0, abs=1e-6)
    assert inside(points).tolist()[:4] == [True, True, False, False]
    assert inside(points, 3.5).tolist()[:2] == [True, False]
    assert inside(points.view(5, 1, 2)).shape == (5, 1)


def test_small_balls_do_not_tunnel(tmp_path):
    data = BouncingBall(root=tmp_path, num_sequences=20, radius=0.5, speed=(6.0, 6.0))
    assert inside(data.positions, 0.45).all()
    torch.testing.assert_close(
        data.velocities.norm(dim=-1), torch.full((20, 30), 6.0), rtol=1e-3, atol=0
    )
