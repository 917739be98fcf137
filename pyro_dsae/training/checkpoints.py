"""Checkpoints of a run, written atomically, and the signals that ask for one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from accelerate import Accelerator
from torch import Tensor


@dataclass
class History:
    """What a run has seen: ``step`` done, loss of each (nats a sequence), validation scores, time.

    >>> History(step=2, losses=[5300.0, 5200.0]).losses[-1]
    5200.0
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


class Checkpoints:
    """Folders ``step-00000500`` with all that a run needs to go on, the newest ``keep`` of them.

    A checkpoint is written under another name and renamed when whole, so a kill at any moment leaves the
    last good one; checksums tell later damage. Any number of processes can go on from it; they must all
    see the folder.
    """

    def __init__(self, folder: str | Path | None, accelerator: Accelerator, keep: int = 2) -> None:
        self.folder = None if folder is None else Path(folder)
        self.accelerator, self.keep = accelerator, keep

    def check(self, parameters: Iterable[Tensor], copies: int = 3) -> None:
        """See that the folder can be written and has room for one checkpoint more than are kept.

        :param copies: of the weights in each: with Adam's two moments three.
        :raises ValueError: if not.
        """
        if self.folder is None:
            return
        needed = (self.keep + 1) * copies * sum(p.nbytes for p in parameters)
        existing = next(p for p in (self.folder, *self.folder.parents) if os.path.exists(p))
        held = sum(file.stat().st_size for path in self.all() for file in path.iterdir())
        room = shutil.disk_usage(existing).free + held
        if room < needed:
            raise ValueError(
                f"checkpoint_dir must have room for {self.keep + 1} checkpoints, "
                f"{needed / 1e6:.1f} MB, got {self.folder} with {room / 1e6:.1f} MB"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:
            raise ValueError(
                f"checkpoint_dir must be a folder that can be written, got {self.folder} "
                f"({error.strerror})"
            ) from error

    def all(self) -> list[Path]:
        """Checkpoints, oldest first."""
        if self.folder is None:
            return []
        return sorted(self.folder.glob("step-" + "[0-9]" * 8))

    def latest(self) -> Path | None:
        """The newest checkpoint that is whole; its files are read."""
        return next((path for path in reversed(self.all()) if _damaged(path) is None), None)

    def save(self, history: History) -> None:
        """Write a checkpoint of everything prepared by the accelerator, and of ``history``.

        :raises OSError: if it cannot be written; those before it stay.
        """
        if self.folder is None:
            return
        final = self.folder / f"step-{history.step:08d}"
        partial = self.folder / f".{final.name}"
        try:
            self._write(partial, history)
        except (OSError, RuntimeError) as error:
            left = shutil.disk_usage(self.folder).free / 1e6
            shutil.rmtree(partial, ignore_errors=True)
            raise OSError(
                f"{final} cannot be written, with {left:.1f} MB left on its disk "
                f"({str(error).splitlines()[0]}); the last good checkpoint is {self.latest()}"
            ) from error
        if self.accelerator.is_main_process:
            shutil.rmtree(final, ignore_errors=True)
            os.replace(partial, final)
            # Later ones are damaged, or this run would have gone on from there.
            kept = [path for path in self.all() if path <= final][-self.keep :]
            for other in {*self.all()} - {*kept}:
                shutil.rmtree(other)
        self.accelerator.wait_for_everyone()

    def _write(self, folder: Path, history: History) -> None:
        if self.accelerator.is_main_process:
            for left in folder.parent.glob(".step-*"):  # by a kill
                shutil.rmtree(left)
            folder.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        # As safetensors the weights of an LSTM on a GPU, which share one storage, would be left out.
        self.accelerator.save_state(str(folder), safe_serialization=False)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            (folder / "history.json").write_text(json.dumps(asdict(history)))
            checksums = {file.name: _checksum(file) for file in sorted(folder.iterdir())}
            (folder / _CHECKSUMS).write_text(json.dumps(checksums, indent=2))

    def load(self) -> History | None:
        """Restore the newest whole checkpoint, the random generators included; None if there is none.

        A process that was not there when it was written keeps its generators as they are.

        :raises ValueError: if it is of another architecture, or with an average of weights where this run
            has none, or the other way around, or all that there are are damaged.
        """
        damaged = []
        for path in reversed(self.all()):
            file = _damaged(path)
            if file is None:
                break
            damaged.append(str(file))
        else:
            if damaged:
                raise ValueError(f"no checkpoint is whole: {', '.join(damaged)} damaged or missing")
            return None
        if damaged and self.accelerator.is_main_process:
            warnings.warn(
                f"{', '.join(damaged)} damaged or missing: going on from {path}", stacklevel=3
            )
        try:
            self.accelerator.load_state(str(path))
        except RuntimeError as error:
            if "custom checkpoints" in str(error):
                raise ValueError(
                    f"{path} is a checkpoint of a run with an average of weights, or of one without: "
                    "go on with the same `average`"
                ) from error
            raise ValueError(
                f"{path} is a checkpoint of another architecture than this model and guide: "
                f"{str(error).splitlines()[-1].strip()}"
            ) from error
        except (KeyError, ValueError) as error:  # of torch's, where states of optimisers do not fit
            raise ValueError(
                f"{path} is a checkpoint of another optimiser: {str(error).splitlines()[-1].strip()}"
            ) from error
        return History(**json.loads((path / "history.json").read_text()))


_CHECKSUMS = "checksums.json"


def _damaged(checkpoint: Path) -> Path | None:
    """The first of its files that is not there as it was written."""
    try:
        checksums = json.loads((checkpoint / _CHECKSUMS).read_text())
    except (OSError, ValueError):
        return checkpoint / _CHECKSUMS
    for name, checksum in checksums.items():
        file = checkpoint / name
        if not file.is_file() or _checksum(file) != checksum:
            return file
    return None


def _checksum(file: Path) -> int:
    checksum = 0
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            checksum = zlib.crc32(block, checksum)
    return checksum


class InterruptGuard:
    """Turns Ctrl-C and SIGTERM into ``seen``, the signal's number, so that a step is never cut in half.

    A second Ctrl-C is not caught. A second SIGTERM is: ``timeout`` sends two at once.
    """

    def __init__(self) -> None:
        self.seen = 0
        self._process = os.getpid()
        self._previous: dict[int, Any] = {}

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGTERM and os.getpid() != self._process:  # forked meanwhile
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)
        self.seen = signum
        if signum == signal.SIGINT:
            signal.signal(signum, self._previous[signum])

    def __enter__(self) -> InterruptGuard:
        with contextlib.suppress(ValueError):  # not in the main thread: no signal arrives here
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._previous[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._previous.items():
            if handler is not None:  # one that Python did not set it cannot set again
                signal.signal(signum, handler)


def stopped_by(signum: int, message: str) -> BaseException:
    """What to raise: KeyboardInterrupt, or after SIGTERM a SystemExit of status 143, the message printed."""
    if signum == signal.SIGTERM:
        print(message, file=sys.stderr)
        return SystemExit(128 + signum)
    return KeyboardInterrupt(message)
