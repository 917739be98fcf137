"""The cache folder."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from pyro_dsae.data import cache, cache_dir, clear_cache


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pyro_dsae"


def write(path: Path, size: int) -> None:
    with cache.kept(path) as partial:
        partial.write_bytes(bytes(size))


def test_where_it_is(folder, monkeypatch):
    assert cache_dir() == folder
    monkeypatch.setenv("HOME", str(folder))
    for unset in (
        lambda: monkeypatch.setenv("XDG_CACHE_HOME", ""),
        lambda: os.environ.pop("XDG_CACHE_HOME"),
    ):
        unset()
        assert cache_dir() == folder / ".cache" / "pyro_dsae"


def test_clearing_it(folder, tmp_path):
    assert clear_cache() == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("to stay")
    write(folder / "a", 100)
    write(folder / "speech" / "b", 20)
    (folder / "link").symlink_to(tmp_path / "other")
    assert clear_cache() == 120
    assert not [*folder.iterdir()]
    assert (tmp_path / "other" / "mine").read_text() == "to stay"


def test_clearing_one_that_lies_elsewhere(folder, tmp_path):
    (tmp_path / "large disk").mkdir()
    folder.symlink_to(tmp_path / "large disk")
    write(folder / "a", 100)
    assert clear_cache() == 100
    write(folder / "a", 100)


def test_the_size_of_a_large_file_is_said_once(folder, tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(cache, "_LARGE", 2e6)
    write(folder / "small", 1_999_999)
    assert not recwarn
    with pytest.warns(UserWarning, match=f"^2 MB are kept in {folder}/large, .*clear_cache"):
        write(folder / "large", 2_000_000)
    with pytest.warns(UserWarning, match=f"^3 MB are kept in {tmp_path}/mine, .*any time$"):
        write(tmp_path / "mine", 3_000_000)


def test_what_fails_is_not_kept(folder):
    def interrupted():
        with cache.kept(folder / "a") as partial:
            partial.mkdir()
            (partial / "half").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not [*folder.iterdir()]


def test_a_folder_that_another_process_made_stays(folder):
    with cache.kept(folder / "a") as partial:
        partial.mkdir()
        (folder / "a").mkdir()
        (folder / "a" / "theirs").write_text("")
    assert [path.name for path in folder.rglob("*")] == ["a", "theirs"]


def _make(folder, barrier):
    for name in range(200):
        barrier.wait(20)
        with cache.kept(folder / str(name)) as partial:
            partial.mkdir()
            (partial / "file").write_text("whole")


def test_processes_that_make_the_same_folders_at_once(folder):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    processes = [context.Process(target=_make, args=(folder, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(path.name for path in folder.iterdir()) == sorted(map(str, range(200)))


def test_what_a_kill_left_is_in_nobodys_way(folder, monkeypatch):
    """Not even under the same number of the process, as in a container that is started anew."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    with cache.whole(folder / "a") as partial:
        partial.mkdir()
        with cache.whole(folder / "a") as other:
            other.mkdir()
    assert (folder / "a").is_dir()
