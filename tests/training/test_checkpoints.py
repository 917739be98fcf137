"""Checkpoints: what is kept, where they can go, damage, full disks and signals."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import time
import warnings
from functools import partial
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from conftest import as_on_a_gpu

from pyro_dsae import fit
from pyro_dsae.data import RandomFrames, Sequences
from pyro_dsae.training import Checkpoints, Muon
from pyro_dsae.training.batches import _leave_group, _sigterm_waits
from pyro_dsae.training.checkpoints import InterruptGuard

RUN = {"steps": 9, "batch_size": 3, "checkpoint_every": 4, "device": "cpu", "progress": False}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def weights(pair):
    return torch.cat([p.detach().flatten() for module in pair for p in module.parameters()])


@pytest.fixture
def whole(make_pair, x, tmp_path):
    """Pair, history and folder of a run that nothing disturbed: steps 8 and 9 are kept."""
    pair = make_pair()
    history = fit(*pair, x, checkpoint_dir=tmp_path / "run", **RUN)
    return pair, history, tmp_path / "run"


def test_the_newest_two_are_kept_and_nothing_beside_them(whole):
    folder = whole[2]
    assert names(folder) == ["step-00000008", "step-00000009"]
    for path in folder.iterdir():
        step = json.loads((path / "history.json").read_text())["step"]
        assert path.name == f"step-{step:08d}"


def test_what_a_kill_left_half_written_goes_with_the_next_checkpoint(make_pair, x, tmp_path):
    half = tmp_path / ".step-00000003"
    half.mkdir()
    (half / "pytorch_model.bin").write_bytes(b"half")
    fit(*make_pair(), x, checkpoint_dir=tmp_path, resume=True, **{**RUN, "steps": 1})
    assert names(tmp_path) == ["step-00000001"]


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_known_before_the_first_step(
    make_pair, x, tmp_path, where
):
    (tmp_path / "file").touch()
    folder, seen = tmp_path / where, []
    with pytest.raises(ValueError, match=f"checkpoint_dir must be a folder that .*got {folder} "):
        fit(*make_pair(), x, checkpoint_dir=folder, callback=seen.append, **RUN)
    assert not seen and names(tmp_path) == ["file"]


def test_too_little_room_is_known_before_the_first_step(tmp_path):
    petabytes = [torch.empty(10**15, device="meta")]
    folder = tmp_path / "run"
    with pytest.raises(
        ValueError,
        match=rf"room for 3 checkpoints, 36000000000.0 MB, got {folder} with \d+\.\d MB$",
    ):
        Checkpoints(folder, Accelerator(cpu=True)).check(petabytes)
    assert not folder.exists()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_weights_of_an_lstm_may_lie_in_one_storage(make_pair, x, tmp_path, whole):
    """All are kept, though safetensors holds those alone that have a storage each."""
    folder, pair, again = tmp_path / "flat", make_pair(), make_pair(seed=1)
    for each in (pair, again):
        as_on_a_gpu(*each)
    fit(*pair, x, checkpoint_dir=folder, **RUN)
    shutil.rmtree(folder / "step-00000009")
    resumed = fit(*again, x, checkpoint_dir=folder, resume=True, **RUN)
    assert resumed.losses == whole[1].losses
    assert torch.equal(weights(again), weights(whole[0]))


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (cut, "pytorch_model.bin"),
        (cut, "custom_checkpoint_0.pkl"),
        (cut, "random_states_0.pkl"),
        (cut, "history.json"),
        (cut, "checksums.json"),
        (flip, "pytorch_model.bin"),
        (flip, "history.json"),
        (Path.unlink, "custom_checkpoint_1.pkl"),
        (Path.unlink, "checksums.json"),
    ],
)
def test_after_damage_the_one_before_serves_with_a_warning(make_pair, x, whole, damage, name):
    pair, history, folder = whole
    file = folder / "step-00000009" / name
    damage(file)
    assert Checkpoints(folder, Accelerator(cpu=True)).latest() == folder / "step-00000008"
    again = make_pair(seed=1)
    with pytest.warns(UserWarning, match=f"{file} damaged or missing: going on from .*00000008"):
        resumed = fit(*again, x, checkpoint_dir=folder, resume=True, **RUN)
    assert resumed.losses == history.losses
    assert torch.equal(weights(again), weights(pair))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(*again, x, checkpoint_dir=folder, resume=True, **RUN)


def test_a_damaged_one_is_not_kept_in_place_of_a_whole_one(make_pair, x, whole):
    folder = whole[2]
    cut(folder / "step-00000009" / "history.json")
    shutil.copytree(folder / "step-00000009", folder / "step-00000010")
    with pytest.warns(UserWarning, match="00000010/history.json, .*00000009/history.json damaged"):
        fit(*make_pair(), x, checkpoint_dir=folder, resume=True, **RUN)
    assert names(folder) == ["step-00000008", "step-00000009"]


def test_none_that_is_whole(make_pair, x, whole):
    folder = whole[2]
    for path in folder.iterdir():
        cut(path / "pytorch_model.bin")
    with pytest.raises(
        ValueError, match=f"no checkpoint is whole: {folder}/step-00000009/pytorch_m"
    ):
        fit(*make_pair(), x, checkpoint_dir=folder, resume=True, **RUN)
    with pytest.raises(ValueError, match=f"checkpoint_dir holds {folder}/step-00000009: resume"):
        fit(*make_pair(), x, checkpoint_dir=folder, **RUN)
    assert names(folder) == ["step-00000008", "step-00000009"]


@pytest.mark.parametrize("share", [0.5, 1.5])  # of the weights, of which the optimiser has two
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    make_pair, x, whole, tmp_path, share
):
    size = int(share * (whole[2] / "step-00000009" / "pytorch_model.bin").stat().st_size)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(history):
        if history.step == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    folder = tmp_path / "full"
    try:
        with pytest.raises(
            OSError, match=r"00000008 cannot be written, with \d+\.\d MB .* is .*00000004$"
        ):
            fit(*make_pair(), x, checkpoint_dir=folder, callback=limit, **RUN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(folder) == ["step-00000004"]
    resumed = fit(*make_pair(), x, checkpoint_dir=folder, resume=True, **RUN)
    assert resumed.losses == whole[1].losses


@pytest.mark.parametrize(
    ("signum", "times", "error", "code"),
    [
        (signal.SIGINT, 1, KeyboardInterrupt, None),
        (signal.SIGTERM, 1, SystemExit, 143),
        (signal.SIGTERM, 2, SystemExit, 143),  # as `timeout` sends it
    ],
)
@pytest.mark.parametrize("step", [3, RUN["steps"]])
def test_a_signal_ends_the_run_after_the_step_with_a_checkpoint(
    make_pair, x, whole, tmp_path, capsys, signum, times, error, code, step
):
    def kill(history):
        if history.step == step:
            for _ in range(times):
                signal.raise_signal(signum)

    folder, pair = tmp_path / "cut", make_pair()
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(error) as raised:
        fit(*pair, x, checkpoint_dir=folder, callback=kill, **RUN)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    said = str(raised.value) if code is None else capsys.readouterr().err
    assert said.strip() == f"stopped after step {step} of 9; go on from {folder}/step-{step:08d}"
    assert getattr(raised.value, "code", None) == code
    resumed = fit(*pair, x, checkpoint_dir=folder, resume=True, **RUN)
    assert resumed.losses == whole[1].losses


@pytest.fixture
def sigint():
    """Python's own handler, also in a job that a shell started deaf to Ctrl-C, as with ``&``."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("sigint")
def test_a_second_ctrl_c_does_not_wait(make_pair, x, tmp_path):
    def twice(history):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(*make_pair(), x, checkpoint_dir=tmp_path, callback=twice, **RUN)
    assert names(tmp_path) == []


def test_a_process_forked_meanwhile_can_be_terminated():
    context = multiprocessing.get_context("fork")
    ready = context.Event()

    def wait():
        ready.set()
        time.sleep(20)

    with InterruptGuard() as guard:
        child = context.Process(target=wait)
        child.start()
        ready.wait()
        child.terminate()
        child.join(10)
    assert child.exitcode == -signal.SIGTERM and not guard.seen


def test_a_worker_can_be_terminated_however_early():
    def worker():
        _leave_group(0)
        time.sleep(20)

    with InterruptGuard():
        child = multiprocessing.get_context("fork").Process(target=worker)
        with _sigterm_waits():
            child.start()
        child.terminate()
        child.join(10)
    assert child.exitcode == -signal.SIGTERM


def test_signals_to_the_group_do_not_reach_the_workers(make_pair, x):
    """Soon after its start, which takes a while on a busy machine, a worker has left the group."""
    before = multiprocessing.active_children()

    def look(history):
        workers = [w for w in multiprocessing.active_children() if w not in before]
        assert len(workers) == 2
        end = time.monotonic() + 10
        while any(os.getpgid(w.pid) == os.getpgrp() for w in workers) and time.monotonic() < end:
            time.sleep(0.01)
        assert all(os.getpgid(w.pid) != os.getpgrp() for w in workers)

    fit(*make_pair(), x, num_workers=2, callback=look, **RUN)


@pytest.mark.parametrize(("workers", "after"), [(0, 0), (2, 2), (2, 1)])
def test_resume_draws_the_same_frames(make_pair, x, tmp_path, workers, after):
    """Within the second epoch of four steps, and with another number of workers."""

    def ctrl_c(history):
        if history.step == 6:
            signal.raise_signal(signal.SIGINT)

    data = Sequences(x, transform=RandomFrames(2))
    pair, again = make_pair(), make_pair(seed=1)
    history = fit(*pair, data, num_workers=workers, **RUN)
    options = {"checkpoint_dir": tmp_path, **RUN}
    with pytest.raises(KeyboardInterrupt):
        fit(*make_pair(), data, num_workers=workers, callback=ctrl_c, **options)
    resumed = fit(*again, data, num_workers=after, resume=True, **options)
    assert resumed.losses == history.losses
    assert torch.equal(weights(again), weights(pair))


@pytest.mark.slow
def test_nothing_is_lost_by_kills_full_disks_and_damage(tmp_path, monkeypatch):
    """The short form of benchmarks/kills.py."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    kills = importlib.import_module("kills")
    by_kill = kills.killed(tmp_path / "sigkill", kills.sigkill, 4, seed=0)
    by_term = kills.killed(tmp_path / "sigterm", kills.sigterm, 4, seed=0, workers=2)
    assert by_kill["kills"] == by_term["kills"] == 4
    assert by_kill["statuses"].keys() == {-signal.SIGKILL}
    assert by_term["statuses"].keys() <= {128 + signal.SIGTERM, -signal.SIGTERM, 1}
    full = kills.full_disk(tmp_path / "full")
    assert full["status"] == 1 and full["kept"] == ["step-00000021", "step-00000028"]
    assert "OSError: checkpoints/step-00000035 cannot be written" in full["error"]
    cut = kills.cut_in_half(tmp_path / "cut")
    assert cut["files"] == 6
    assert [found["lost"] for found in (by_kill, by_term, full, cut)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({}, {"lr": 1e-9}, "of lr 0.001, got 1e-09: give the same"),
        (
            {},
            {"optimizer": partial(torch.optim.Adam, betas=(0.5, 0.9))},
            r"of betas \(0.9, 0.999\), got",
        ),
        ({"optimizer": partial(torch.optim.SGD, lr=1e-3)}, {}, "of betas none, got"),
        ({}, {"optimizer": partial(torch.optim.SGD, lr=1e-3)}, "of momentum none, got 0"),
        ({}, {"optimizer": partial(Muon, lr=1e-3)}, "is a checkpoint of another optimiser"),
        ({"optimizer": partial(Muon, rate=0.1)}, {"optimizer": Muon}, "of lr 0.1, got 0.02"),
    ],
)
def test_it_goes_on_with_the_optimiser_that_it_began_with(
    make_pair, x, tmp_path, before, now, words
):
    options = {**RUN, "checkpoint_dir": tmp_path}
    fit(*make_pair(), x, **{**options, "steps": 4, **before})
    with pytest.raises(ValueError, match=words):
        fit(*make_pair(), x, **{**options, **now}, resume=True)
    fit(*make_pair(), x, **{**options, **before}, resume=True)


class Counting(torch.optim.Optimizer):
    """One of nobody's, which keeps its state beside its settings."""

    def __init__(self, params, lr=1e-3):
        super().__init__([*params], {"lr": lr, "k": 0})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["k"] += 1
            for p in group["params"]:
                p.sub_(p.grad.sign(), alpha=group["lr"])


def test_state_beside_settings_is_no_other_setting(make_pair, x, tmp_path):
    options = {**RUN, "checkpoint_dir": tmp_path}
    fit(*make_pair(), x, optimizer=Counting, **{**options, "steps": 4})
    fit(*make_pair(), x, optimizer=Counting, resume=True, **options)
    with pytest.raises(ValueError, match="of lr 0.001, got 0.1"):
        fit(*make_pair(), x, optimizer=partial(Counting, lr=0.1), resume=True, **options)
