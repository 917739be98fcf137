"""fit: the same loss as SVI, resume, checkpoints, errors."""

from __future__ import annotations

import math
from pathlib import Path

import pyro
import pytest
import torch
from accelerate import Accelerator
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from torch.utils.data import Dataset

from pyro_dsae import elbo_terms, evaluate_elbo, fit, piecewise_linear
from pyro_dsae.training import Checkpoints, NonFiniteLossError

CPU = {"device": "cpu", "progress": False}


def weights(*modules):
    return torch.cat([p.detach().flatten() for m in modules for p in m.parameters()])


def test_fit_sees_the_losses_of_svi(make_pair, x):
    """Same seed, same batch, same Adam: losses of three steps agree."""
    options = {"steps": 3, "batch_size": 12, "schedule": "constant", "clip_norm": None, "lr": 1e-3}
    fitted = fit(*make_pair(), x, seed=5, **options, **CPU)

    model, guide = make_pair()
    order = torch.utils.data.distributed.DistributedSampler(x, 1, 0, seed=5, drop_last=True)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO())
    pyro.set_rng_seed(5)
    stepped = []
    for epoch in range(3):
        order.set_epoch(epoch)
        stepped.append(svi.step(x[list(order)]) / 12)
    assert fitted.losses == pytest.approx(stepped, rel=1e-5)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1.0] * 100),
        ("cosine", [0.5 * (1 + math.cos(math.pi * i / 100)) for i in range(100)]),
        (
            "warmup_cosine",
            [min(1, i / 2) * 0.5 * (1 + math.cos(math.pi * i / 100)) for i in range(100)],
        ),
    ],
)
def test_learning_rate_schedules(make_pair, x, schedule, expected):
    rates = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    def optimizer(parameters):
        return Spy(parameters, lr=1e-9)

    fit(*make_pair(), x[:2], steps=100, optimizer=optimizer, schedule=schedule, batch_size=2, **CPU)
    assert rates == pytest.approx([1e-9 * e for e in expected])


def test_the_same_seed_gives_the_same_numbers(make_pair, x):
    runs = [fit(*make_pair(), x, steps=4, batch_size=5, seed=s, **CPU).losses for s in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("stop", [3, 4])  # within an epoch of 4 steps, and at its end
def test_resume_continues_to_the_same_losses(make_pair, x, tmp_path, stop):
    options = {"steps": 9, "batch_size": 3, "validation": x[:4], "validate_every": 2, **CPU}
    whole_pair, pair = make_pair(), make_pair()
    whole = fit(*whole_pair, x, **options)

    folder = tmp_path / "checkpoints"
    fit(*make_pair(), x, checkpoint_dir=folder, checkpoint_every=stop, **options)
    for path in folder.glob("step-*"):
        if path.name > f"step-{2 * stop:08d}":
            path.rename(tmp_path / path.name)
    resumed = fit(*pair, x, checkpoint_dir=folder, checkpoint_every=stop, resume=True, **options)
    assert resumed.losses == whole.losses
    assert resumed.validation == whole.validation
    assert [scores["step"] for scores in whole.validation] == [2, 4, 6, 8, 9]
    assert torch.equal(weights(*pair), weights(*whole_pair))


def test_the_time_adds_up(make_pair, x):
    seconds = []
    options = {"steps": 20, "log_every": 1, "callback": lambda h: seconds.append(h.seconds), **CPU}
    fit(*make_pair(), x[:2], **options)
    assert seconds == sorted({*seconds})


def test_epochs_are_passes_over_the_data(make_pair, x):
    assert fit(*make_pair(), x, epochs=2, batch_size=4, **CPU).step == 6


def test_takes_data_sets_with_labels_and_workers(make_pair, x):
    class Labelled(Dataset):
        def __len__(self):
            return len(x)

        def __getitem__(self, i):
            return x[i], {"label": i}

    options = {"steps": 2, "batch_size": 4, **CPU}
    plain = fit(*make_pair(), x, **options)
    assert fit(*make_pair(), Labelled(), num_workers=2, **options).losses == plain.losses


def test_any_elbo_any_optimiser_any_weight(make_pair, x):
    seen = []

    class Spy(Trace_ELBO):
        def differentiable_loss(self, *args, **kwargs):
            seen.append(1)
            return super().differentiable_loss(*args, **kwargs)

    def schedule(step):
        seen.append(("step", step))
        return 1.0

    history = fit(
        *make_pair(),
        x,
        steps=3,
        elbo=Spy(),
        optimizer=lambda parameters: torch.optim.SGD(parameters, 1e-6),
        kl_weights={"f": schedule, "z": piecewise_linear((0, 0.0), (2, 1.0))},
        **CPU,
    )
    assert seen == [("step", 0), 1, ("step", 1), 1, ("step", 2), 1]
    assert all(math.isfinite(loss) for loss in history.losses)


def test_elbo_terms_add_up_to_pyros_loss(make_pair, x):
    model, guide = make_pair()
    pyro.set_rng_seed(1)
    terms = elbo_terms(model, guide, x)
    assert set(terms) == {"log_likelihood", "kl_f", "kl_z", "elbo"}
    pyro.set_rng_seed(1)
    loss = Trace_ELBO().loss(model, guide, x)
    assert float(terms["elbo"].sum()) == pytest.approx(-loss, rel=1e-5)


def test_evaluate_elbo_is_a_mean_and_leaves_the_generator_alone(make_pair, x):
    pair = make_pair()
    before = torch.get_rng_state()
    scores = evaluate_elbo(*pair, x, batch_size=5)
    assert torch.equal(before, torch.get_rng_state())
    assert pair[0].training
    assert scores["bits_per_dim"] == pytest.approx(
        -scores["elbo"] / (x[0].numel() * math.log(2)), rel=1e-6
    )
    assert scores["elbo"] == pytest.approx(evaluate_elbo(*pair, x, batch_size=12)["elbo"], rel=1e-3)


def test_nan_in_data_before_any_step(make_pair, x):
    x[:] = float("nan")
    with pytest.raises(NonFiniteLossError, match="no step taken: .* not finite in sequences"):
        fit(*make_pair(), x, steps=3, **CPU)


def test_a_loss_that_is_not_finite_names_step_batch_and_checkpoint(make_pair, x, tmp_path):
    def explode(step):
        return float("nan") if step == 5 else 1.0

    with pytest.raises(
        NonFiniteLossError,
        match=r"the loss is nan at step 5, batch 1 of epoch 1 .*x is finite.*step-00000004",
    ):
        fit(
            *make_pair(),
            x,
            steps=9,
            batch_size=3,
            kl_weights={"f": explode},
            checkpoint_dir=tmp_path,
            checkpoint_every=2,
            **CPU,
        )
    assert [p.name for p in sorted(tmp_path.glob("step-*"))] == ["step-00000002", "step-00000004"]


def test_bad_arguments(make_pair, x):
    pair = make_pair()
    for options, message in [
        ({}, "one of steps and epochs, got steps=None and epochs=None"),
        ({"steps": 1, "epochs": 1}, "one of steps and epochs"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": 1, "schedule": "steep"}, "schedule must be one of cosine, .*, got 'steep'"),
        ({"steps": 1, "precision": "int8"}, "precision must be .* got 'int8'"),
    ]:
        with pytest.raises(ValueError, match=message):
            fit(*pair, x, **options, **CPU)
    with pytest.raises(ValueError, match="data must hold at least 1 sequences, got 0"):
        fit(*pair, x[:0], steps=1, **CPU)


def test_a_checkpoint_of_another_architecture(make_pair, x, tmp_path):
    fit(*make_pair(), x, steps=1, checkpoint_dir=tmp_path, **CPU)
    with pytest.raises(ValueError, match="step-00000001 is a checkpoint of another architecture"):
        fit(*make_pair(f_dim=7), x, steps=2, checkpoint_dir=tmp_path, resume=True, **CPU)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_last_good_one(make_pair, x, tmp_path):
    class KilledError(BaseException):
        pass

    class Dying(Accelerator):
        def save_state(self, output_dir=None, **kwargs):
            super().save_state(output_dir, **kwargs)
            if "00000004" in str(output_dir):
                Path(output_dir, "pytorch_model.bin").write_bytes(b"half")
                raise KilledError

    options = {"steps": 6, "batch_size": 3, "checkpoint_dir": tmp_path, "checkpoint_every": 2}
    with pytest.raises(KilledError):
        fit(*make_pair(), x, accelerator=Dying(cpu=True), progress=False, **options)
    assert Checkpoints(tmp_path, Accelerator(cpu=True)).latest() == tmp_path / "step-00000002"
    resumed = fit(*make_pair(), x, resume=True, **options, **CPU)
    assert resumed.losses == fit(*make_pair(), x, steps=6, batch_size=3, **CPU).losses


def test_an_elbo_with_analytic_terms_runs_too(make_pair, x):
    """An ELBO with analytic KL terms, where they exist, runs through the same call."""
    history = fit(*make_pair(), x, steps=1, elbo=TraceMeanField_ELBO(), **CPU)
    assert math.isfinite(history.losses[0])
