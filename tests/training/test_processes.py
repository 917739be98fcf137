"""Several processes: the same training as in one with the whole batch, and one end for all of them.

As a script, this file is what ``torchrun`` runs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyro
import pytest
import torch
from accelerate import PartialState
from pyro import distributions as dist
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.utils.data.distributed import DistributedSampler

import pyro_dsae
from pyro_dsae.data import Sequences
from pyro_dsae.training import NonFiniteLossError

BATCH, PROCESSES, STEPS = 4, 2, 20


class Means(Messenger):
    """The mean of each posterior in place of draws, which differ from process to process."""

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in ("f", "z"):
            q = msg["fn"]
            msg["fn"] = dist.Delta(q.mean, event_dim=q.event_dim)


class Certain(pyro_dsae.Factorised):
    """A guide without noise: what is left to differ is how the batches are shared."""

    def forward(self, x, **given):
        with Means():
            return super().forward(x, **given)


def data() -> Tensor:
    """27 sequences, each of one colour: 3 batches of 8, and 3 sequences left over in every epoch."""
    colours = torch.rand(27, 1, 3, 1, 1, generator=torch.Generator().manual_seed(0)).round()
    return colours.expand(-1, 4, -1, 16, 16).contiguous()


def masked() -> Sequences:
    """The same with frames missing: of one sequence two of four, of the next none."""
    mask = torch.ones(27, 4, dtype=torch.bool)
    mask[::2, 1], mask[::4, 3] = False, False
    hidden = ~mask.view(27, 4, 1, 1, 1)
    return Sequences(data().masked_fill(hidden, float("nan")), {"mask": mask})


def clips() -> list[Tensor]:
    """The same, of 2 to 4 frames."""
    return [x[: 2 + n % 3] for n, x in enumerate(data())]


def train(
    batch_size: int,
    guide: type = Certain,
    x: Any = None,
    weights_seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Losses, validation scores and weights at the end."""
    pyro.set_rng_seed(weights_seed)
    sizes = {"f_dim": 5, "z_dim": 3, "channels": 4, "hidden": 16}
    pair = pyro_dsae.DSAE((3, 16, 16), **sizes), guide((3, 16, 16), **sizes)
    options = {"steps": STEPS, "lr": 1e-2, "device": "cpu", "progress": False, **options}
    history = pyro_dsae.fit(*pair, data() if x is None else x, batch_size=batch_size, **options)
    weights = torch.cat([p.detach().flatten() for module in pair for p in module.parameters()])
    return {"losses": history.losses, "validation": history.validation, "weights": weights}


def error(kind: type[BaseException], **options: Any) -> str:
    with pytest.raises(kind) as raised:
        train(BATCH, **options)
    return str(raised.value)


NOISY = {"guide": pyro_dsae.Factorised, "steps": 100, "lr": 4e-3}
# Within the fourth epoch, from weights that are not those of the checkpoint.
RESUMED = {"checkpoint_every": 11, "resume": True, "weights_seed": 1}


def in_each_process(folder: Path) -> None:
    """What ``torchrun`` runs: everything that is compared, to ``{process}.pt``."""
    process = int(os.environ["RANK"])

    def not_a_number(step: int) -> float:
        return float("nan") if (process, step) == (1, 5) else 1.0

    def signalled(signum: int) -> Callable[[int], float]:
        def weight(step: int) -> float:
            if (process, step) == (1, 5):
                signal.raise_signal(signum)
            return 1.0

        return weight

    ctrl_c, sigterm = (
        {"kl_weights": {"f": signalled(signum)}, "checkpoint_dir": folder / signum.name}
        for signum in (signal.SIGINT, signal.SIGTERM)
    )

    broken, loud = data(), data()
    broken[second_of_first_batch()], loud[second_of_first_batch()] = float("nan"), 3.0
    found = {
        "certain": train(BATCH, validation=data()[:5], validate_every=7),
        "masked": train(BATCH, x=masked(), validation=masked(), validate_every=7),
        "clips": train(BATCH, x=clips(), validation=clips(), validate_every=7),
        "noisy": train(BATCH, **NOISY) | {"next_draw": torch.randn(8)},
        "saved": train(BATCH, checkpoint_dir=folder / "by_two", checkpoint_every=11),
        "resumed": train(BATCH, checkpoint_dir=folder / "by_one", **RESUMED),
        "nan_in_data": error(NonFiniteLossError, x=broken),
        "out_of_range": error(ValueError, x=loud),
        "nan_in_loss": error(NonFiniteLossError, kl_weights={"f": not_a_number}),
        "ctrl_c": error(KeyboardInterrupt, **ctrl_c),
        "sigterm": error(SystemExit, **sigterm),
    }
    torch.save(found, folder / f"{process}.pt")
    PartialState().destroy_process_group()


def second_of_first_batch() -> int:
    """A sequence that the second process sees in the first step."""
    return next(iter(DistributedSampler(range(27), PROCESSES, 1, seed=0, drop_last=True)))


def until_stopped(folder: Path) -> None:
    train(BATCH, steps=10**6, checkpoint_dir=folder / "checkpoints", checkpoint_every=20)


def torchrun(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*command, f"--nproc-per-node={PROCESSES}", __file__, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def forget_the_end(checkpoints: Path) -> None:
    """As if the run had been stopped at step 11."""
    shutil.rmtree(checkpoints / f"step-{STEPS:08d}")


@pytest.fixture(scope="module")
def one() -> dict[str, Any]:
    """One process with the batch of both."""
    return train(PROCESSES * BATCH, validation=data()[:5], validate_every=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where both processes have left what they found."""
    path = tmp_path_factory.mktemp("processes")
    train(PROCESSES * BATCH, checkpoint_dir=path / "by_one", checkpoint_every=11)
    forget_the_end(path / "by_one")
    run = torchrun("in_each_process", path)
    _, errors = run.communicate(timeout=240)
    assert run.returncode == 0, errors
    return path


@pytest.fixture(scope="module")
def two(folder: Path) -> list[dict[str, Any]]:
    """What each of two processes has found."""
    return [torch.load(folder / f"{process}.pt") for process in range(PROCESSES)]


def test_two_processes_train_as_one_with_twice_the_batch(one, two):
    for found in two:
        assert found["certain"]["losses"] == pytest.approx(one["losses"], rel=1e-5)
        torch.testing.assert_close(found["certain"]["weights"], one["weights"], rtol=0, atol=1e-4)
    assert one["losses"][-1] < 0.9 * one["losses"][0]


def test_frames_that_are_missing_count_in_no_process(two):
    one = train(PROCESSES * BATCH, x=masked(), validation=masked(), validate_every=7)
    for found in two:
        assert found["masked"]["losses"] == pytest.approx(one["losses"], rel=1e-5)
        torch.testing.assert_close(found["masked"]["weights"], one["weights"], rtol=0, atol=1e-4)
        assert found["masked"]["losses"] != pytest.approx(found["certain"]["losses"], rel=1e-2)
    for expected, found in zip(one["validation"], two[0]["masked"]["validation"], strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


def test_clips_of_different_lengths_are_shared_out(two):
    """Each process pads batches of its own."""
    found = two[0]["clips"]
    bounds = [scores["elbo"] for scores in found["validation"]]
    assert torch.tensor(found["losses"]).isfinite().all() and bounds == sorted(bounds)


def test_all_processes_end_with_the_same_weights_and_history(two):
    for key in ("certain", "masked", "clips", "noisy", "resumed"):
        first, second = (found[key] for found in two)
        assert torch.equal(first["weights"], second["weights"])
        assert first["losses"] == second["losses"]
        assert first["validation"] == second["validation"]


def test_with_noise_the_curves_agree(two):
    """The curves agree where they are smoothed."""
    alone = torch.tensor(train(PROCESSES * BATCH, **NOISY)["losses"]).view(-1, 20).mean(1)
    curve = torch.tensor(two[0]["noisy"]["losses"]).view(-1, 20).mean(1)
    torch.testing.assert_close(curve, alone, rtol=0.04, atol=0)
    assert alone[-1] < 0.85 * alone[0]


def test_each_process_draws_its_own_noise(two):
    """Seeded alike, all would go on with the same numbers."""
    first, second = (found["noisy"]["next_draw"] for found in two)
    assert not first.isclose(second).any()


def test_validation_is_shared_out(one, two):
    for expected, found in zip(one["validation"], two[0]["certain"]["validation"], strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


def test_resume_with_more_processes(one, two):
    for found in two:
        assert found["resumed"]["losses"] == pytest.approx(one["losses"], rel=1e-5)
        torch.testing.assert_close(found["resumed"]["weights"], one["weights"], rtol=0, atol=1e-4)


def test_resume_with_fewer_processes(one, two, folder):
    forget_the_end(folder / "by_two")
    resumed = train(PROCESSES * BATCH, checkpoint_dir=folder / "by_two", **RESUMED)
    assert resumed["losses"] == pytest.approx(one["losses"], rel=1e-5)
    torch.testing.assert_close(resumed["weights"], one["weights"], rtol=0, atol=1e-4)


def test_what_one_process_sees_stops_all(two, folder):
    for key, message in (
        ("nan_in_data", rf"no step taken: .*not finite in sequences \[{second_of_first_batch()}\]"),
        ("out_of_range", r"x must be in \[0, 1\] .* to 3, in steps 0 to 0"),
        ("nan_in_loss", "the loss is nan at step 5, batch 2 of epoch 1 .*x is finite"),
        ("ctrl_c", f"stopped after step 6 of {STEPS}; go on from {folder}/SIGINT/step-00000006"),
        ("sigterm", "143"),
    ):
        first, second = (found[key] for found in two)
        assert first == second
        assert re.search(message, first)
    assert (folder / "SIGTERM" / "step-00000006").is_dir()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint(tmp_path, signum):
    """As a terminal or a scheduler sends it: to torchrun, which passes it on."""
    run = torchrun("until_stopped", tmp_path)
    checkpoints = tmp_path / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("step-*")) and time.monotonic() < deadline:
        assert run.poll() is None
        time.sleep(0.1)
    run.send_signal(signum)
    _, errors = run.communicate(timeout=60)
    latest = max(checkpoints.glob("step-*"))
    step = json.loads((latest / "history.json").read_text())["step"]
    assert f"stopped after step {step} of 1000000; go on from {latest}" in errors
    assert {path.name for path in latest.glob("random_states_*")} == {
        f"random_states_{process}.pkl" for process in range(PROCESSES)
    }
    assert not list(checkpoints.glob(".step-*"))


def test_validation_too_small_to_share(make_pair, x):
    with pytest.raises(ValueError, match="validation must hold at least 1 sequences, got 0"):
        pyro_dsae.fit(*make_pair(), x, steps=1, validation=x[:0], device="cpu")


if __name__ == "__main__":
    {"in_each_process": in_each_process, "until_stopped": until_stopped}[sys.argv[1]](
        Path(sys.argv[2])
    )
