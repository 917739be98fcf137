"""What the comparisons among the examples share: means over seeds, their table, figures that are lacking."""

from __future__ import annotations

import argparse
import inspect
import math
from dataclasses import replace

import pytest
import torch

import pyro_dsae
from pyro_dsae import priors
from pyro_dsae.metrics import importance_bound

ROWS = [
    {"data": "ball", "prior": "mixture", "seed": 0, "elbo": -10.0, "speed": 0.5, "reason": None},
    {
        "data": "ball",
        "prior": "mixture",
        "seed": 1,
        "elbo": -12.0,
        "speed": None,
        "reason": "still",
    },
    {"data": "ball", "prior": "kalman", "seed": 0, "reason": "training: NaN"},
]


def test_means_over_seeds_and_why_a_figure_is_lacking(examples):
    found = examples["comparison"].over_seeds(ROWS, "prior")
    assert [*found] == ["mixture", "kalman"]
    assert found["mixture"] == {
        "elbo": {"mean": -11.0, "standard_error": pytest.approx(1.0)},
        "speed": {"mean": 0.5, "standard_error": None, "reason": "still"},
    }
    nothing = {"mean": None, "standard_error": None, "reason": "training: NaN"}
    assert found["kalman"] == {"elbo": nothing, "speed": nothing}


def test_a_null_without_a_reason_has_none(examples):
    rows = [{"guide": "full", "seed": seed, "k_hat_median": None} for seed in (0, 1)]
    found = examples["comparison"].over_seeds(rows, "guide")
    assert found == {"full": {"k_hat_median": {"mean": None, "standard_error": None}}}


def test_the_table_of_a_comparison(examples):
    found = {
        "kalman": {"kl": {"mean": 3.0, "standard_error": None}},
        "mixture": {
            "elbo": {"mean": -5191.84, "standard_error": 1.25},
            "elbo_low": {"mean": -5210.0, "standard_error": 2.0},
            "elbo_high": {"mean": -5170.0, "standard_error": 2.0},
            "kl": {"mean": 3.91, "standard_error": 0.123},
        },
    }
    table = examples["comparison"].table(found, "prior", {"elbo": "ELBO"}, {"kl": "KL z"})
    assert table.splitlines() == [
        "  prior" + " " * 31 + "ELBO",
        "  kalman" + " " * 33 + "-",
        "  mixture" + " " * 7 + "-5192 (1.2) [-5210, -5170]",
        "",
        "  prior                     KL z",
        "  kalman                       3",
        "  mixture            3.91 (0.12)",
    ]


def test_rows_that_differ_in_their_columns(examples, tmp_path):
    examples["comparison"].write_rows(ROWS, tmp_path / "runs.csv")
    assert (tmp_path / "runs.csv").read_text().splitlines() == [
        "data,prior,seed,elbo,speed,reason",
        "ball,mixture,0,-10.0,0.5,",
        "ball,mixture,1,-12.0,,still",
        "ball,kalman,0,,,training: NaN",
    ]


def test_a_budget_is_of_steps_or_of_seconds(examples):
    budget = examples["comparison"].budget
    assert budget("500") == (500, None)
    assert budget("1.5s") == (None, 1.5)
    with pytest.raises(argparse.ArgumentTypeError):
        budget("infs")


def test_steps_within_seconds(examples, make_pair, x):
    pair = make_pair()
    steps = examples["comparison"].steps_within
    assert steps(1e-9, pair, x, 4, "cpu") == 1
    assert steps(1e4, pair, x, 4, "cpu") > 1000
    slower = pyro_dsae.objectives.SwapConsistency()  # its steps run the model more than once
    assert steps(1e4, pair, x, 4, "cpu", slower) > 1000
    made = []

    def optimizer(parameters):
        made.append(torch.optim.SGD(parameters, 1e-3))
        return made[0]

    steps(1e4, pair, x, 4, "cpu", None, optimizer)
    assert len(made) == 1


def test_where_a_training_is_kept(examples):
    folder = examples["comparison"].folder
    assert folder({"guide": "full", "seed": 1}) == "full_1"
    assert folder({"data": "ball", "prior": "mixture", "seed": 0}) == "ball/mixture_0"


def test_figures_that_a_prior_cannot_give(examples):
    """What numbers break is kept as a reason, any other fault is raised; what comes after is measured."""
    measured = examples["compare_priors"].measured

    def runs_away():
        law = priors.Autoregressive(2, hidden=4)
        torch.nn.init.constant_(law.head[-1].dense.bias, math.nan)
        return {"drawn": float(law(3).sample().sum())}

    def collapses():
        return {"factor": float(torch.linalg.cholesky(-torch.eye(2)).sum())}

    found = measured(
        {
            "draws": runs_away,
            "covariance": collapses,
            "ball": lambda: {"speed_error": None, "one_ball": 0.0},
            "bound": lambda: {"iw_bound": float(importance_bound(torch.zeros(3, 2)).mean())},
        }
    )
    reason = found.pop("reason")
    assert found == {"speed_error": None, "one_ball": 0.0, "iw_bound": 0.0}
    first, second, third = reason.split("; ")
    assert first == "draws: AutoregressiveNormal drew a z that is not finite, from step 0"
    assert second.startswith("covariance: linalg.cholesky")
    assert third == "speed_error: no ball goes from frame to frame away from walls"
    assert measured({"ball": lambda: {"one_ball": 1.0}}) == {"one_ball": 1.0, "reason": None}
    with pytest.raises(KeyError):
        measured({"typo": lambda: {}["elbo"]})


class Plain(priors.Autoregressive):
    """A prior without the option ``residual``."""

    def __init__(self, z_dim: int, hidden: int = 8) -> None:
        super().__init__(z_dim, hidden)


@pytest.mark.parametrize("name", [None, *priors.PRIORS, "plain"])
def test_the_ball_moves_on_from_where_it_is_if_its_prior_can(
    examples, small_examples, monkeypatch, name
):
    monkeypatch.setitem(priors.PRIORS, "plain", Plain)
    ball = examples["bouncing_ball"]
    model, _ = ball.make_pair(ball.PRESETS["quick"], "stochastic", "factorised", prior=name)
    law = priors.PRIORS[name or "autoregressive"]
    assert type(model.prior) is law
    takes_it = "residual" in inspect.signature(law).parameters
    assert getattr(model.prior, "residual", False) is takes_it


@pytest.mark.parametrize("name", priors.PRIORS)
def test_a_pair_for_sprites_with_each_prior(examples, small_examples, name):
    sprites = examples["sprites"]
    preset = replace(sprites.COMPARED["quick"], prior=name)
    model, _ = sprites.make_pair(preset, "factorised")
    assert type(model.prior) is priors.PRIORS[name]
