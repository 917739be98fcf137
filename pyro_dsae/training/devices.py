"""Where training runs, and in which precision."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState


def make_accelerator(device: str | None, precision: str) -> Accelerator:
    """Accelerate on ``device``, or on the accelerator where there is one.

    :raises ValueError: if there is no such device or precision.
    """
    if precision not in ("auto", "no", "bf16"):
        raise ValueError(f"precision must be 'auto', 'no' or 'bf16', got {precision!r}")
    there = torch.accelerator.is_available()
    kinds = ["cpu", *([torch.accelerator.current_accelerator().type] if there else [])]  # type: ignore[union-attr]
    if device is not None and str(device) not in kinds:
        raise ValueError(
            f"device must be one of {', '.join(kinds)} here, or None for the fastest, got {device!r}"
        )
    # Accelerate joins processes on a CPU only where it is told that there is nothing else.
    cpu = str(device) == "cpu" or not there
    if precision == "auto":
        # Older GPUs can only act as if they had it, which is far slower than float32.
        has = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16" if has and not cpu else "no"
    if not torch.distributed.is_initialized():
        # A run may differ from the one before.
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=cpu, mixed_precision=precision)
