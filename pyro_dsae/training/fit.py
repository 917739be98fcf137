"""Training: stochastic variational inference on an ELBO, under Hugging Face accelerate.

The loss is Pyro's ``Trace_ELBO``, in nats per sequence; accelerate brings the device, bf16, checkpoints with
the states of optimiser and random generators, and several processes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyro
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed
from pyro.infer import ELBO
from pyro.optim import PyroOptim
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset
from tqdm.auto import tqdm

from .._numbers import check_whole
from ..checks import check_keywords, check_pair, check_range
from ..nn import check_sequences
from ..objectives import KLWeights, ReparametrisedELBO, add_gradients, descends_by_itself
from .averages import Averages
from .batches import MASK, Batch, Batches, Data, as_dataset
from .checkpoints import Checkpoints, History, InterruptGuard, stopped_by
from .devices import make_accelerator
from .evaluation import in_bits, mean_terms

Weight = float | Callable[[int], float]


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the message names step, batch and last good checkpoint."""


def fit(
    model: nn.Module,
    guide: nn.Module,
    data: Data,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int = 64,
    lr: float = 1e-3,
    schedule: str = "cosine",
    average: float | None = None,
    clip_norm: float | None = 10.0,
    kl_weights: Mapping[str, Weight] | None = None,
    labels: Sequence[str] = (),
    num_frames: int | Callable[[int], int] | None = None,
    elbo: ELBO | None = None,
    optimizer: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer] | None = None,
    validation: Data | None = None,
    validate_every: int | None = None,
    checkpoint_dir: str | Path | None = None,
    checkpoint_every: int = 500,
    resume: bool = False,
    device: str | None = None,
    precision: str = "auto",
    num_workers: int = 0,
    log_every: int = 20,
    seed: int = 0,
    progress: bool | None = None,
    callback: Callable[[History], None] | None = None,
    accelerator: Accelerator | None = None,
) -> History:
    """Train model and guide together by SVI; both are changed in place, and end in evaluation mode.

    :param data: sequences ``(N, T, *frame)``, a tensor, an array or a list, or a data set of ``x`` or
        ``(x, labels)``; floats, or uint8, which is read as 0 to 1. Lengths may differ, and a label ``mask``,
        ``(T,)`` of bools, may say which frames are present: see docs/lengths.md.
    :param steps: optimiser steps; or ``epochs``, passes over the data. One of the two.
    :param batch_size: sequences a step and process: under ``torchrun`` or ``accelerate launch`` a step
        sees that of every process. See docs/scale.md.
    :param lr: Adam's learning rate, at its highest.
    :param schedule: ``cosine`` (down to 0 over the run), ``warmup_cosine`` (the same after a linear rise
        over the first 2%, for wide networks) or ``constant``.
    :param average: a share of the run, such as 0.1: the weights that are kept, and those that ``validation``
        asks, are means over about so many of the steps until then, the last ones, see
        :mod:`~pyro_dsae.training.averages`; for a ``constant`` rate. None: those of the last step.
    :param clip_norm: largest norm of the gradient of the loss per sequence, or None.
    :param kl_weights: weight of the KL term by site, a number or a function of the step
        (:func:`piecewise_linear`); see :class:`~pyro_dsae.objectives.KLWeights`.
    :param labels: of ``data``, given to model and guide by name, such as the ``utterance`` that
        :class:`~pyro_dsae.guides.FHVAEGuide` asks for.
    :param num_frames: how many frames of each sequence a step sees, the first ones: a number, or a function
        of the step, such as :func:`~pyro_dsae.training.random_prefixes`; by default all.
    :param elbo: any of Pyro's ELBO objects, or one with further terms, see :mod:`pyro_dsae.objectives`; by
        default ``Trace_ELBO`` as it is where every latent is reparametrised,
        :class:`~pyro_dsae.objectives.ReparametrisedELBO`.
    :param optimizer: makes a torch optimiser from the parameters, in place of fused Adam, with a rate of its
        own in place of ``lr``.
    :param validation: held-out data, evaluated every ``validate_every`` steps (default: each epoch).
    :param checkpoint_dir: where checkpoints go, one every ``checkpoint_every`` steps and at the end. Ctrl-C
        and SIGTERM end the run after the step, with a checkpoint.
    :param resume: go on from the newest whole checkpoint of ``checkpoint_dir``, if there is one, with the
        optimiser and rate that it began with. On the same machine the losses are those of an
        uninterrupted run.
    :param device: ``cpu``, the kind of accelerator that there is, such as ``cuda``, or None: the
        accelerator where there is one.
    :param precision: ``auto`` (bf16 on a GPU that has it), ``no`` or ``bf16``.
    :param log_every: steps between readings of the loss and checks that it is finite.
    :param progress: a progress bar; by default when standard error is a terminal.
    :param callback: called after each step with the history so far, its newest losses not yet read.
    :returns: losses and their parts over the steps, means over the processes.
    :raises ValueError: before the first step, in one line, if an argument, the pair or the data do not fit.
    :raises NonFiniteLossError: naming the step, the batch and the last good checkpoint.
    :raises KeyboardInterrupt: naming the step and the checkpoint, after Ctrl-C; after SIGTERM the same is
        printed, and the exception is ``SystemExit(143)``.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> history = fit(model, guide, x, steps=3, batch_size=2, device="cpu", progress=False)
    >>> history.step, len(history.losses)
    (3, 3)
    """
    check_whole(
        1,
        steps=steps,
        epochs=epochs,
        batch_size=batch_size,
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
        log_every=log_every,
    )
    check_whole(0, num_workers=num_workers)
    if num_frames is not None and not callable(num_frames):
        check_whole(1, num_frames=num_frames)
    for name, value in (("lr", lr), ("clip_norm", clip_norm)):
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive, got {value}")
    if average is not None and not 0 < average <= 1:
        raise ValueError(f"average must be a share of the run, above 0 and up to 1, got {average}")
    if kl_weights is not None and not isinstance(kl_weights, Mapping):
        raise ValueError(f'kl_weights must be a weight by site, {{"z": 2.0}}, got {kl_weights!r}')
    check_pair(model, guide)
    elbo = ReparametrisedELBO() if elbo is None else elbo
    by_itself = descends_by_itself(elbo)
    wanted = getattr(elbo, "labels", ())  # by the objective itself, which keeps them
    check_keywords([name for name in labels if name not in wanted], model, guide)
    if (steps is None) == (epochs is None):
        raise ValueError(f"give one of steps and epochs, got steps={steps} and epochs={epochs}")
    if schedule not in _DECAY:
        raise ValueError(f"schedule must be one of {', '.join(_DECAY)}, got {schedule!r}")
    accelerator = accelerator or make_accelerator(device, precision)
    if by_itself and accelerator.num_processes > 1:
        raise ValueError(f"{type(elbo).__name__} trains in one process alone, use Trace_ELBO")
    dataset = as_dataset(data)
    batches = Batches(dataset, batch_size, accelerator, num_workers, seed)
    total = steps if steps is not None else (epochs or 0) * len(batches)
    validate_every = validate_every or len(batches)
    held_out = None if validation is None else as_dataset(validation, "validation")
    if held_out is not None and len(held_out) < accelerator.num_processes:  # type: ignore[arg-type]
        raise ValueError(
            f"validation must hold at least {accelerator.num_processes} sequences, "
            f"got {len(held_out)}"  # type: ignore[arg-type]
        )
    set_seed(seed + accelerator.process_index)

    model.train().to(accelerator.device)
    guide.train().to(accelerator.device)
    pair = elbo(model, guide)
    parameters = [p for p in pair.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("model and guide must have parameters to train, got none")
    optim = _make_optimizer(optimizer, parameters, lr)
    decay = torch.optim.lr_scheduler.LambdaLR(
        optim, lambda step: _DECAY[schedule](min(step / total, 1.0))
    )
    pair = accelerator.prepare(pair)
    averages = None if average is None else Averages(model, guide, average)
    kept = (model, guide) if averages is None else averages.pair
    accelerator.register_for_checkpointing(optim, decay, *([] if averages is None else [averages]))
    checkpoints = Checkpoints(checkpoint_dir, accelerator)
    if checkpoints.all() and not resume:
        raise ValueError(f"checkpoint_dir holds {checkpoints.all()[-1]}: resume, or empty it first")
    checkpoints.check(pair.parameters(), copies=3 if averages is None else 4)
    settings = _settings(optim)
    history = (checkpoints.load() if resume else None) or History()
    _check_settings(settings, _settings(optim))

    masked = False
    unread: list[Tensor] = []  # losses still on the device, and the range of the frames
    extremes: list[Tensor] = []
    clock = time.perf_counter()
    quiet = None if progress is None else not progress  # None: quiet unless a terminal
    # Processes stop after the same step, and have to ask each other; a GPU would have to wait for it.
    alone, on_cpu = accelerator.num_processes == 1, accelerator.device.type == "cpu"
    ask_every = 1 if alone or on_cpu else log_every
    with (
        InterruptGuard() as interrupt,
        tqdm(
            total=total,
            initial=history.step,
            disable=quiet if accelerator.is_main_process else True,
        ) as bar,
    ):
        for x, known in batches.from_step(history.step, total):
            step = history.step
            x, known = _first_frames(x, known, num_frames, step)
            given = _chosen(known, [*dict.fromkeys([*labels, *wanted])], accelerator.device)
            if MASK in given and not masked:
                check_keywords([MASK], model, guide)
                masked = True
            weights = {k: w(step) if callable(w) else w for k, w in (kl_weights or {}).items()}
            # Pyro checks shapes and supports in the first step of all; later the loss alone is watched.
            first = step == 0
            if first:
                bad = None if x.isfinite().all() else f"no step taken: {batches.describe(step)}"
                _raise_in_all(bad)
                check_sequences(x, getattr(model, "frame_shape", x.shape[2:]))
            extremes.append(torch.stack(x.aminmax()))
            if first:
                _check_ranges(model, extremes, 1, accelerator)
            weighted = KLWeights(weights)
            with weighted, accelerator.autocast(), pyro.validation_enabled(first):
                loss = add_gradients(pair, elbo, (model, guide), x, given)
            if first:
                weighted.check()
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, clip_norm)
            optim.step()
            decay.step()
            optim.zero_grad()
            if averages is not None:
                averages.see(model, guide)
            unread.append(loss)
            history.step = step = step + 1
            bar.update()
            if callback is not None:
                callback(history)

            stop = step % ask_every == 0 and _largest(interrupt.seen, accelerator)
            last = step == total or stop
            save = last or step % checkpoint_every == 0
            if save or step % log_every == 0:
                losses = _read(unread, step, batches, checkpoints, accelerator)
                _check_ranges(model, extremes, step, accelerator)
                now = time.perf_counter()
                rate = len(losses) * len(x) * accelerator.num_processes / (now - clock)
                bar.set_postfix_str(f"loss {losses[-1]:.1f}, {rate:.0f} sequences/s")
                history.losses += losses
                history.seconds += now - clock
                unread, extremes, clock = [], [], now
            if held_out is not None and (last or step % validate_every == 0):
                scores = _evaluate_in_all(*kept, held_out, batch_size, seed, accelerator)
                history.validation.append({"step": step, **scores})
            if save:
                checkpoints.save(history)
            if stop or (step == total and interrupt.seen):
                saved = f"; go on from {checkpoints.latest()}" if checkpoint_dir else ""
                raise stopped_by(
                    stop or interrupt.seen, f"stopped after step {step} of {total}{saved}"
                )
    if averages is not None:
        averages.give(model, guide)
    model.eval(), guide.eval()
    return history


_DECAY: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "warmup_cosine": lambda done: min(1.0, done / 0.02) * 0.5 * (1 + math.cos(math.pi * done)),
    "constant": lambda done: 1.0,
}


def _first_frames(
    x: Tensor, known: Mapping[str, Tensor], num_frames: int | Callable[[int], int] | None, step: int
) -> Batch:
    """The frames that this step sees, and the mask of these."""
    if num_frames is None:
        return x, known
    length = num_frames(step) if callable(num_frames) else num_frames
    check_whole(1, num_frames=length)
    if MASK in known:
        known = {**known, MASK: known[MASK][:, :length]}
    return x[:, :length], known


def _read(
    unread: Sequence[Tensor],
    step: int,
    batches: Batches,
    checkpoints: Checkpoints,
    accelerator: Accelerator,
) -> list[float]:
    """The losses of the steps before ``step``, means over the processes; an error if one is not finite."""
    own = torch.stack([*unread])
    losses = accelerator.reduce(own, "mean").tolist()
    for i, value in enumerate(losses, step - len(losses)):
        if not math.isfinite(value):
            loss = float(unread[i - step])
            bad = (
                f"the loss is {loss} at step {i}, {batches.describe(i)}; "
                f"the last good checkpoint is {checkpoints.latest()}"
            )
            _raise_in_all(None if math.isfinite(loss) else bad)
    return losses


def _check_ranges(
    model: nn.Module, extremes: Sequence[Tensor], step: int, accelerator: Accelerator
) -> None:
    """ValueError in all processes if frames of the steps before ``step`` are not as the likelihood asks."""
    low, high = torch.stack([*extremes]).unbind(1)
    both = accelerator.gather(torch.stack([low.min(), high.max()]))
    try:
        check_range(model, float(both.min()), float(both.max()))
    except ValueError as error:
        raise ValueError(f"{error}, in steps {step - len(extremes)} to {step - 1}") from None


def _make_optimizer(
    make: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer] | None,
    parameters: Sequence[nn.Parameter],
    lr: float,
) -> torch.optim.Optimizer:
    if make is None:
        return torch.optim.Adam(parameters, lr, fused=True)
    made = None if isinstance(make, PyroOptim) else make(parameters)
    if not isinstance(made, torch.optim.Optimizer):
        raise ValueError(
            "optimizer must make a torch optimiser from parameters, such as "
            f"lambda parameters: torch.optim.Adam(parameters, 1e-3), got {make!r}"
        )
    return made


_HOW = {"lr", "foreach", "fused", "capturable", "differentiable", "maximize"}
"""Settings that do not say what is computed, and the rate of now."""


def _settings(optim: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """What an optimiser was made with, by group; of one that is not torch's, which may keep its state there
    too, the rate alone."""
    kinds = type(optim).__mro__
    made_from = kinds[: kinds.index(torch.optim.Optimizer)]
    known = any(kind.__module__.startswith("torch.optim.") for kind in made_from)
    names = {"initial_lr"} | ({*optim.defaults} - _HOW if known else set())
    return [
        {name: value for name, value in group.items() if name in names}
        for group in optim.param_groups
    ]


def _check_settings(now: list[dict[str, Any]], kept: list[dict[str, Any]]) -> None:
    """ValueError if a checkpoint has put the settings of another optimiser in the place of those given."""
    for given, loaded in zip(now, kept, strict=True):
        for name, ours in given.items():
            theirs = loaded.get(name, "none")
            if ours != theirs:
                shown = "lr" if name == "initial_lr" else name
                raise ValueError(
                    f"resume goes on with the optimiser of the checkpoint, of {shown} {theirs}, got {ours}: "
                    "give the same, or begin anew"
                )


def _largest(number: int, accelerator: Accelerator) -> int:
    """Over the processes."""
    if accelerator.num_processes == 1:
        return number
    return int(accelerator.gather(torch.tensor(number, device=accelerator.device)).max())


def _raise_in_all(message: str | None) -> None:
    """Stop every process with what any of them has to say."""
    said = [text for text in gather_object([message]) if text]
    if said:
        raise NonFiniteLossError(said[0])


def _evaluate_in_all(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    batch_size: int,
    seed: int,
    accelerator: Accelerator,
) -> dict[str, float]:
    """:func:`evaluate_elbo`, a share of the data in each process."""
    process, processes = accelerator.process_index, accelerator.num_processes
    size = len(data)  # type: ignore[arg-type]
    share = Subset(data, range(process, size, processes))
    scores = mean_terms(model, guide, share, batch_size, seed + process)
    if processes > 1:
        parts = torch.tensor([*scores.values()], device=accelerator.device) * (len(share) / size)
        scores = dict(zip(scores, accelerator.reduce(parts, "sum").tolist(), strict=True))
    return in_bits(scores)


def _chosen(
    labels: Mapping[str, Tensor], names: Sequence[str], device: torch.device
) -> dict[str, Tensor]:
    """The named labels, on the device, and the mask where there is one."""
    missing = [name for name in names if name not in {*labels, MASK}]
    if missing:
        raise ValueError(f"labels must be among {[*labels]}, got {missing}")
    given = {name: v for name, v in labels.items() if name in {*names, MASK}}
    return {name: v.to(device, non_blocking=True) for name, v in given.items()}
