"""Checkpoints of a run, written atomically."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from accelerate import Accelerator


@dataclass
class History:
    """What a run has seen: ``step`` done, loss of each (nats a sequence), validation scores, time."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


class Checkpoints:
    """Folders ``step-00000500`` with all that a run needs to go on, the newest ``keep`` of them.

    A checkpoint is written under another name and renamed when whole, so a kill at any moment leaves the
    last good one. Any number of processes can go on from it; they must all see the folder.
    """

    def __init__(self, folder: str | Path | None, accelerator: Accelerator, keep: int = 2) -> None:
        self.folder = None if folder is None else Path(folder)
        self.accelerator, self.keep = accelerator, keep

    def all(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        if self.folder is None:
            return []
        return sorted(self.folder.glob("step-" + "[0-9]" * 8))

    def latest(self) -> Path | None:
        """The newest complete checkpoint."""
        return next(reversed(self.all()), None)

    def save(self, history: History) -> None:
        """Write a checkpoint of everything prepared by the accelerator, and of ``history``."""
        if self.folder is None:
            return
        final = self.folder / f"step-{history.step:08d}"
        partial = self.folder / f".{final.name}"
        if self.accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(partial))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            (partial / "history.json").write_text(json.dumps(asdict(history)))
            shutil.rmtree(final, ignore_errors=True)
            os.replace(partial, final)
            for old in self.all()[: -self.keep]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def load(self) -> History | None:
        """Restore the newest checkpoint, the random generators included; None if there is none.

        A process that was not there when it was written keeps its generators as they are.

        :raises ValueError: if it is of another architecture.
        """
        path = self.latest()
        if path is None:
            return None
        try:
            self.accelerator.load_state(str(path))
        except RuntimeError as error:
            raise ValueError(
                f"{path} is a checkpoint of another architecture than this model and guide: "
                f"{str(error).splitlines()[-1].strip()}"
            ) from error
        return History(**json.loads((path / "history.json").read_text()))


class InterruptGuard:
    """Turns the first Ctrl-C into ``seen = True``, so that a step is never cut in half."""

    def __init__(self) -> None:
        self.seen = False
        self._previous: Any = None

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.seen = True
        signal.signal(signal.SIGINT, self._previous)

    def __enter__(self) -> InterruptGuard:
        try:
            self._previous = signal.signal(signal.SIGINT, self._handle)
        except ValueError:  # not in the main thread: Ctrl-C does not arrive here
            self._previous = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
