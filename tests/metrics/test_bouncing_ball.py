"""Errors of predictions, counted by hand; true frames pass as balls, and each way to spoil them is caught."""

from __future__ import annotations

from functools import partial
from math import pi

import pytest
import torch

import pyro_dsae
from pyro_dsae import control
from pyro_dsae.data.bouncing_ball import POLYGON, BouncingBall, inside, render
from pyro_dsae.metrics.bouncing_ball import (
    constant_velocity,
    continuation_nll,
    hold_last,
    incorrect_pixels,
    one_ball,
    physics,
    prediction_errors,
)

pytest.importorskip("pymunk")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> BouncingBall:
    """60 sequences of 50 frames."""
    root = tmp_path_factory.mktemp("ball")
    return BouncingBall("test", root=root, num_sequences=60, num_frames=50)


@pytest.fixture(scope="module")
def x(data) -> torch.Tensor:
    return data.frames.float() / 255


def balls(*positions, radius=3.0) -> torch.Tensor:
    """One frame with a ball at each place: ``(1, 1, 1, 32, 32)``."""
    frames = render(torch.tensor(positions, dtype=torch.float32), radius).float() / 255
    return frames.amax(0).view(1, 1, 1, 32, 32)


# Incorrect pixels


def test_incorrect_pixels_are_counted():
    x = torch.zeros(2, 3, 1, 4, 4)
    predicted = x.clone()
    predicted[0, 1, 0, 0, :3] = 0.51
    predicted[1, 2] = 0.49
    x[1, 0] = 1
    expected = torch.tensor([[0, 3 / 16, 0], [1, 0, 0]])
    assert torch.equal(incorrect_pixels(predicted, x), expected)
    assert torch.equal(incorrect_pixels(predicted, x, 0.4)[1], torch.tensor([1.0, 0, 1]))


def test_incorrect_pixels_of_many_futures():
    x = torch.rand(2, 3, 2, 4, 5)
    futures = torch.rand(7, 2, 3, 2, 4, 5)
    found = incorrect_pixels(futures, x)
    assert found.shape == (7, 2, 3)
    assert torch.equal(found[4], incorrect_pixels(futures[4], x))


@pytest.mark.parametrize("shape", [(2, 3, 1, 4, 5), (1, 3, 1, 4, 4), (3, 1, 4, 4), (4, 4)])
def test_incorrect_pixels_ask_for_one_shape(shape):
    message = r"the same but for futures before them, got \(.*\) and \(2, 3, 1, 4, 4\)"
    with pytest.raises(ValueError, match=message):
        incorrect_pixels(torch.zeros(shape), torch.zeros(2, 3, 1, 4, 4))


# Prediction


def last_frame(seen, num_frames, *, num_futures):
    return seen[None, :, -1:].expand(num_futures, -1, num_frames, -1, -1, -1)


def test_perfect_futures_have_no_error(x):
    x = x[:, :30]

    def oracle(seen, num_frames, *, num_futures):
        assert torch.equal(seen, x[:, : 30 - num_frames])
        return x[None, :, 30 - num_frames :].expand(num_futures, -1, -1, -1, -1, -1)

    found = prediction_errors(oracle, x, batch_size=60)
    assert list(found) == [5, 10, 15, 20, 25]
    for errors in found.values():
        assert len(errors) == 6 and set(errors.values()) == {0.0}


def test_errors_are_means_over_the_predicted_frames(x):
    x = x[:, :30]
    found = prediction_errors(last_frame, x, (3,), num_futures=2, batch_size=7)[3]
    by_hand = ((x[:, 27:] > 0.5) != (x[:, 26:27] > 0.5)).float().mean()
    assert found["mean"] == pytest.approx(float(by_hand), rel=1e-5)
    assert found["best_of_2"] == pytest.approx(found["mean"], rel=1e-5)
    assert 0.02 < found["low"] < found["mean"] < found["high"] < 0.06


def test_best_future_of_each_sequence():
    x = torch.zeros(2, 4, 1, 10, 10)
    levels = torch.tensor([[0.1, 0.5], [0.3, 0.2], [0.8, 0.9]])  # (futures, sequences)

    def forecast(seen, num_frames, *, num_futures):
        share = torch.arange(100).view(10, 10) < (100 * levels).round()[..., None, None, None, None]
        return share.expand(-1, -1, num_frames, 1, -1, -1).float()

    found = prediction_errors(forecast, x, (2,), num_futures=3)[2]
    assert found["mean"] == pytest.approx(float(levels.mean()))
    assert found["best_of_3"] == pytest.approx((0.1 + 0.2) / 2)
    assert found["best_of_3_low"] == pytest.approx(0.1)
    assert found["best_of_3_high"] == pytest.approx(0.2)


def test_interval_has_the_width_of_the_standard_error():
    x = torch.zeros(400, 3, 1, 10, 10)
    share = torch.rand(400, generator=torch.Generator().manual_seed(0))

    def forecast(seen, num_frames, *, num_futures):
        on = torch.arange(100).view(10, 10) < 100 * share[:, None, None, None, None]
        return on.float().expand(num_futures, -1, num_frames, -1, -1, -1)

    found = prediction_errors(forecast, x, (1,), num_futures=1, batch_size=400)[1]
    half = 1.96 * float(share.std()) / 20
    assert found["high"] - found["mean"] == pytest.approx(half, rel=0.15)
    assert found["mean"] - found["low"] == pytest.approx(half, rel=0.15)


def test_takes_a_models_forecast_and_leaves_random_numbers_alone(x):
    sizes = {"f_dim": 4, "z_dim": 3, "channels": 4, "hidden": 16}
    model = pyro_dsae.DSAE((1, 32, 32), **sizes).eval()
    guide = pyro_dsae.Factorised((1, 32, 32), **sizes).eval()
    forecast = partial(control.forecast, model, guide)
    state = torch.get_rng_state()

    def errors(seed):
        return prediction_errors(
            forecast, x[:6, :8], (2, 5), num_futures=4, batch_size=4, seed=seed
        )

    found = errors(0)
    assert torch.equal(torch.get_rng_state(), state)
    assert found == errors(0) != errors(1)
    for error in found.values():
        assert 0 < error["best_of_4"] <= error["mean"] <= 1


def test_prediction_says_what_is_wrong(x):
    def short(seen, num_frames, *, num_futures):
        return last_frame(seen, num_frames - 1, num_futures=num_futures)

    with pytest.raises(
        ValueError, match=r"forecast must give \(2, 3, 5, 1, 32, 32\), got \(2, 3, 4"
    ):
        prediction_errors(short, x[:3], (5,), num_futures=2)
    with pytest.raises(ValueError, match="missing must be 1 to 49 of 50, got 50"):
        prediction_errors(last_frame, x, (50,))
    with pytest.raises(ValueError, match="missing must be 1 to 49 of 50, got 0"):
        prediction_errors(last_frame, x, (0,))
    with pytest.raises(ValueError, match="num_futures must be at least 1, got 0"):
        prediction_errors(last_frame, x, num_futures=0)
    with pytest.raises(ValueError, match=r"x must be \(batch, time, channels, .*got \(50, 1, 32"):
        prediction_errors(last_frame, x[0])


# One ball


def test_true_frames_hold_one_ball(x):
    found = one_ball(x)
    assert found.shape == (60, 50) and found.dtype == torch.bool
    assert found.all()


@pytest.mark.parametrize(("radius", "size"), [(2.0, 32), (2.5, 32), (3.0, 64), (3.0, 48)])
def test_true_frames_of_other_sizes(tmp_path, radius, size):
    data = BouncingBall(root=tmp_path, num_sequences=100, radius=radius, size=size)
    frames = data.frames.float() / 255
    found = one_ball(frames, radius=data.radius, polygon=data.polygon)
    assert found.float().mean() >= 0.995


def test_soft_edges_do_not_matter(x):
    blurred = torch.nn.functional.avg_pool2d(x.flatten(0, 2), 3, 1, 1).view_as(x)
    assert one_ball(0.02 + 0.96 * blurred).float().mean() > 0.98


@pytest.mark.parametrize(
    "frame",
    [
        torch.zeros(1, 1, 1, 32, 32),
        torch.ones(1, 1, 1, 32, 32),
        0.49 * balls((15, 15)),
        balls((11, 15), (20, 15)),  # two balls
        balls((14, 15), (18, 15)),  # two that touch
        balls((13.5, 15), (16.5, 15)),  # smeared
        balls((15, 15), radius=2.0),
        balls((15, 15), radius=2.4),
        balls((15, 15), radius=3.6),
        balls((15, 15), radius=5.0),
        balls((28, 28)),  # whole, in a corner outside
        balls((15, 2)),  # in part beyond a wall
        balls((2, 15)),
    ],
    ids=[
        "none", "all", "dim", "two", "touching", "smeared", "radius 2", "radius 2.4", "radius 3.6",
        "radius 5", "outside", "wall above", "wall at the left",
    ],
)  # fmt: skip
def test_other_frames_do_not(frame):
    assert one_ball(balls((15, 15))).all()
    assert not one_ball(frame).any()


def test_slack_and_tolerance():
    beyond = balls((15, 3.3))  # 0.7 pixels into a wall
    assert not one_ball(beyond) and one_ball(beyond, slack=1)
    large = balls((15, 15), radius=3.6)
    assert not one_ball(large) and one_ball(large, tolerance=0.25)


def test_one_stray_pixel_is_too_many():
    for row, column in ((15, 25), (4, 4), (18, 18)):  # the last one within a disc's moments
        frame = balls((15, 15))
        assert frame[..., row, column] == 0
        frame[..., row, column] = 1
        assert not one_ball(frame)


def test_bars_ellipses_and_rings_are_not_round():
    bar = torch.zeros(1, 1, 1, 32, 32)
    bar[..., 12:16, 10:17] = 1  # 28 pixels, as a ball has
    assert not one_ball(bar)
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    distance = ((rows - 15) ** 2 + (columns - 15) ** 2).sqrt()
    ellipse = ((rows - 15.2) / 3.7) ** 2 + ((columns - 15.3) / 2.45) ** 2 < 1
    assert abs(float(ellipse.sum()) - 9 * pi) < 3
    assert not one_ball(ellipse.float().view(1, 1, 1, 32, 32))
    ring = ((distance < 3.9) & (distance > 2.1)).float().view(1, 1, 1, 32, 32)
    assert abs(float(ring.sum()) - 9 * pi) < 5
    assert not one_ball(ring)


def test_frames_are_judged_one_by_one(x):
    spoilt = x[:4, :6].clone()
    spoilt[1, 2] = 0
    spoilt[3, 5] = balls((11, 15), (20, 15))[0, 0]
    expected = torch.ones(4, 6, dtype=torch.bool)
    expected[1, 2] = expected[3, 5] = False
    assert torch.equal(one_ball(spoilt), expected)


def test_balls_at_the_same_place_in_a_row_do_not_join():
    assert one_ball(balls((15, 15)).expand(3, 7, -1, -1, -1)).all()


def test_frames_must_be_as_described():
    message = r"frames must be \(batch, time, 1, height, width\), got "
    for shape in ((2, 1, 32, 32), (2, 3, 3, 32, 32), (0, 3, 1, 32, 32)):
        with pytest.raises(ValueError, match=message):
            one_ball(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"frames must be float in \[0, 1\], got torch.uint8"):
        one_ball(torch.zeros(2, 3, 1, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="frames must be at least 2 of each sequence, got 1"):
        physics(balls((15, 15)))
    with pytest.raises(ValueError, match=r"speed must be \(1,\), one a sequence, got \(3,\)"):
        physics(balls((15, 15)).expand(1, 4, -1, -1, -1), speed=torch.ones(3))


# Physics


def test_true_sequences_are_physical(data, x):
    speed = data.velocities[:, 0].norm(dim=-1)
    for found in (physics(x), physics(x, speed=speed)):
        assert found["one_ball"] == found["one_ball_last"] == 1
        assert found["one_ball_by_frame"] == [1.0] * 50
        assert found["speed_error"] < 0.01 and found["turn"] < 0.02
        assert len(found["speed_error_by_frame"]) == 49
        assert all(error is None or error < 0.015 for error in found["speed_error_by_frame"])
        assert found["speed"] == pytest.approx(float(speed.mean()), rel=0.02)
        assert 0.5 < found["free_steps"] < 0.9


def test_a_ball_that_slows_down_is_caught(data):
    t = torch.arange(0, 49).clamp(max=30)
    x = data.frames[:, t].float() / 255  # it stops at frame 30
    speed = data.velocities[:, 0].norm(dim=-1)
    found = physics(x, speed=speed)
    late = [e for e in found["speed_error_by_frame"][30:] if e is not None]
    assert late and all(error == pytest.approx(1) for error in late)
    assert found["speed_error_by_frame"][10] < 0.015
    assert physics(x)["speed_error"] > 0.1


def test_a_ball_that_never_moves_has_no_speed():
    found = physics(balls((15, 15)).expand(2, 5, -1, -1, -1))
    assert found["one_ball"] == 1 and found["speed"] == 0 and found["speed_error"] == 1


def test_a_ball_that_jumps_is_caught(x):
    mixed = x[:, torch.randperm(50, generator=torch.Generator().manual_seed(0))]
    found = physics(mixed)
    assert found["one_ball"] == 1
    free = found["free_steps"]
    assert free == 0 or found["speed_error"] > 0.2
    speed = torch.full((60,), 2.5)
    assert physics(mixed, speed=speed)["speed_error"] > 1
    assert physics(mixed, speed=speed)["turn"] > 0.5


def test_a_ball_that_turns_in_flight_is_caught():
    angle = torch.arange(40) * 0.4
    circle = 15 + 5 * torch.stack([angle.cos(), angle.sin()], -1)
    assert inside(circle, 5.0, POLYGON).all()
    found = physics(render(circle)[None].float() / 255)
    assert found["one_ball"] == 1 and found["speed_error"] < 0.02
    assert found["turn"] == pytest.approx(0.4, abs=0.03)


def test_vanishing_balls_lower_the_shares_by_time(x):
    fading = x.clone()
    fading[:30, 25:] = 0
    found = physics(fading)
    assert found["one_ball"] == pytest.approx(0.75) and found["one_ball_last"] == 0.5
    assert found["one_ball_by_frame"] == [1.0] * 25 + [0.5] * 25
    assert found["speed_error"] < 0.01


def test_nothing_to_measure_is_none():
    found = physics(torch.zeros(2, 5, 1, 32, 32))
    assert found["speed_error"] is found["turn"] is found["speed"] is None
    assert found["speed_error_by_frame"] == [None] * 4
    assert found["one_ball"] == found["free_steps"] == 0


# Likelihood of what is to come


def test_the_likelihood_of_a_continuation_is_a_mean_over_futures(x):
    truth = x[:5, :14]
    p = torch.stack([torch.full((4, 1, 32, 32), value) for value in (0.1, 0.3)])

    def forecast(seen, num_frames, *, num_futures):
        assert seen.shape[1] == 10 and num_frames == 4
        return p[:, None].expand(-1, len(seen), -1, -1, -1, -1)

    found = continuation_nll(forecast, truth, 10, num_futures=2, batch_size=2)
    log_p = truth[:, 10:] * p[:, None].log() + (1 - truth[:, 10:]) * (1 - p[:, None]).log()
    each = log_p.flatten(2).sum(-1).double()
    expected = -torch.logaddexp(each[0], each[1]) + torch.tensor(2.0).log()
    assert found["nll"] == pytest.approx(float(expected.mean()), rel=1e-5)
    assert found["bits_per_dim"] == pytest.approx(found["nll"] / (4 * 1024 * 0.6931472), rel=1e-5)
    with pytest.raises(ValueError, match="x must have more than 14 frames"):
        continuation_nll(forecast, truth, 14)


# Forecasts without a model


def test_the_last_frame_is_held(x):
    futures = hold_last(x[:4, :10], 7, num_futures=3)
    assert futures.shape == (3, 4, 7, 1, 32, 32)
    assert (futures == x[:4, 9].unsqueeze(1)).all()
    found = physics(hold_last(x[:4, :10], 20)[0], speed=torch.full((4,), 2.5))
    assert found["one_ball"] == 1 and found["speed_error"] == 1  # a ball, one, that stands still


def test_constant_velocity_is_right_up_to_the_wall(data, x):
    steps = data.velocities[:, 8:14]
    straight = (steps == steps[:, :1]).all(-1).all(-1)
    seen, truth = x[straight, :10], x[straight, 10:14]
    assert straight.sum() > 10
    futures = constant_velocity(seen, 4, num_futures=2)
    assert futures.shape == (2, *truth.shape)
    assert incorrect_pixels(futures, truth).mean() < 0.003
    assert incorrect_pixels(hold_last(seen, 4), truth).mean() > 0.03


def test_constant_velocity_needs_two_frames(x):
    with pytest.raises(ValueError, match="seen must be at least 2 frames of each sequence, got 1"):
        constant_velocity(x[:2, :1], 3)
