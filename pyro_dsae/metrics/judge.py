r"""The judge: a supervised classifier of sprite sequences, the instrument of every protocol.

A convolutional network maps each frame x_t to features h_t, temporal convolutions map those to g_t:

.. math:: p(\text{attribute} \mid x_{1:T}) &= \mathrm{softmax}(\tfrac1T \sum_t W h_t) \\
          p(\text{action} \mid x_{1:T}) &= \mathrm{softmax}(\tfrac1T \sum_t V g_t)

so attributes are read off single frames and the action off their order. A judge learns from real
training sequences, blurred, dimmed and noisy at random as generated ones are (a second one undimmed, to say
whether brightness is what the first does not see); it is believed only if it recognises real test sequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._numbers import check_whole
from ._classifiers import descend, digest, load_or_train, seeded

ATTRIBUTES = ("skin", "trousers", "tops", "hair")
HEADS = {"skin": 6, "trousers": 6, "tops": 6, "hair": 6, "action": 9}
RELIABLE = 0.99
"""Smallest accuracy on real test sequences with which a head is believed."""

_VERSION = 1  # of architecture and training: raise it with any change, or old weights are taken
_ROUNDS = 3


class LabelledSequences(Protocol):
    """What judge and protocols read of a data set: all frames, and the labels of every sequence."""

    frames: Tensor
    """uint8 ``(N, T, C, H, W)``."""
    labels: dict[str, Tensor]
    """Long ``(N,)`` of skin, trousers, tops, hair, and action = 3 action_type + direction, or of some."""


class Judge(nn.Module):
    """Log-probabilities of the four attributes and of the action, of sequences or of each frame.

    :param frame_shape: ``(channels, height, width)``.
    :param channels: width of the first convolution.
    :param heads: what it names, some of :data:`HEADS`: frames in no order have no action.
    :param patch: p: squares of p x p pixels are folded into channels before the first convolution.

    >>> judge = Judge((3, 16, 16), channels=4)
    >>> {head: tuple(log_p.shape) for head, log_p in judge(torch.rand(5, 8, 3, 16, 16)).items()}
    {'skin': (5, 6), 'trousers': (5, 6), 'tops': (5, 6), 'hair': (5, 6), 'action': (5, 9)}
    """

    accuracy: dict[str, float]
    """By head, on real test sequences; empty until :func:`train_judge` has measured it."""

    def __init__(
        self,
        frame_shape: tuple[int, ...] = (3, 32, 32),
        *,
        channels: int = 16,
        heads: Sequence[str] = tuple(HEADS),
        patch: int = 1,
    ) -> None:
        super().__init__()
        check_whole(1, patch=patch)
        if not heads or not set(heads) <= set(HEADS):
            raise ValueError(f"heads must be some of {', '.join(HEADS)}, got {tuple(heads)}")
        self.frame_shape, self.accuracy = tuple(frame_shape), {}
        width, *sides = self.frame_shape
        if any(side % patch for side in sides):
            raise ValueError(f"patch must divide the sides of a frame {tuple(sides)}, got {patch}")
        folded = [nn.PixelUnshuffle(patch)] if patch > 1 else []
        width, sides = width * patch**2, [side // patch for side in sides]
        layers: list[nn.Module] = []
        while not layers or max(sides) > 4:
            layers += [nn.Conv2d(width, channels, 3, 2, 1), nn.BatchNorm2d(channels), nn.ReLU()]
            sides = [(side + 1) // 2 for side in sides]
            width, channels = channels, min(2 * channels, 128)
        dense = nn.Linear(width * sides[0] * sides[1], 128)
        self.frame_net = nn.Sequential(*folded, *layers, nn.Flatten(), dense, nn.ReLU())
        if "action" in heads:
            self.time_net = nn.Sequential(
                nn.Conv1d(128, 96, 3, padding=1),
                nn.ReLU(),
                nn.Conv1d(96, 96, 3, padding=1),
                nn.ReLU(),
            )
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(128 if name in ATTRIBUTES else 96, classes)
                for name, classes in HEADS.items()
                if name in heads
            }
        )
        self.to(memory_format=torch.channels_last)

    @property
    def unreliable(self) -> list[str]:
        """Heads that do not reach :data:`RELIABLE`."""
        return [name for name in self.heads if self.accuracy.get(name, 0.0) <= RELIABLE]

    def logits(self, x: Tensor) -> dict[str, Tensor]:
        """Unnormalised log-probabilities of frames, ``(N, T, classes)`` by head."""
        if x.dim() != 5 or tuple(x.shape[2:]) != self.frame_shape:
            expected = ", ".join(map(str, self.frame_shape))
            raise ValueError(f"x must be (batch, time, {expected}), got {tuple(x.shape)}")
        frames = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        h = self.frame_net(frames).unflatten(0, x.shape[:2])
        features = dict.fromkeys(ATTRIBUTES, h)
        if "action" in self.heads:
            features["action"] = self.time_net(h.transpose(1, 2)).transpose(1, 2)
        return {name: head(features[name]) for name, head in self.heads.items()}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Log-probabilities, ``(N, classes)`` by head, of ``x`` ``(N, T, C, H, W)`` in [0, 1]."""
        return {name: logits.mean(1).log_softmax(-1) for name, logits in self.logits(x).items()}

    def per_frame(self, x: Tensor) -> dict[str, Tensor]:
        """Log-probabilities of frames, ``(N, T, classes)`` by head.

        Those of the action at t are read off frames t - 2 to t + 2.
        """
        return {name: logits.log_softmax(-1) for name, logits in self.logits(x).items()}


def heads_of(labels: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The heads for which there are labels; ValueError if for none."""
    heads = tuple(name for name in HEADS if name in labels)
    if not heads:
        raise ValueError(
            f"labels must have at least one of {', '.join(HEADS)}, got {', '.join(labels) or 'none'}"
        )
    return heads


def check_heads(judge: Judge, heads: Sequence[str]) -> None:
    """ValueError unless the judge has these heads."""
    if not set(heads) <= set(judge.heads):
        raise ValueError(f"judge must have heads {', '.join(heads)}, got {', '.join(judge.heads)}")


def check_labelled(dataset: LabelledSequences, heads: Sequence[str] = tuple(HEADS)) -> None:
    """ValueError unless the data set has frames, and labels of these heads within their classes."""
    frames, labels = dataset.frames, dataset.labels
    if frames.dtype != torch.uint8 or frames.dim() != 5 or not len(frames):
        raise ValueError(
            "frames must be uint8 (sequences, time, channels, height, width), "
            f"got {frames.dtype} {tuple(frames.shape)}"
        )
    for name in heads:
        if name not in labels:
            raise ValueError(f"labels must have {', '.join(heads)}, got {', '.join(labels)}")
        values, classes = labels[name], HEADS[name]
        if values.shape != frames.shape[:1] or values.min() < 0 or values.max() >= classes:
            raise ValueError(
                f"labels[{name!r}] must be ({len(frames)},) with values 0 to {classes - 1}, got "
                f"{tuple(values.shape)} with {int(values.min())} to {int(values.max())}"
            )


def batch_bytes(dataset: LabelledSequences, index: Tensor, device: torch.device) -> Tensor:
    """Sequences ``index`` of a data set as they are kept, uint8, on the device."""
    index = index.to(dataset.frames.device)
    return dataset.frames.index_select(0, index).to(device)  # of bytes faster than frames[index]


def batch_frames(dataset: LabelledSequences, index: Tensor, device: torch.device) -> Tensor:
    """Sequences ``index`` of a data set: float in [0, 1], on the device."""
    return batch_bytes(dataset, index, device).float().div_(255)


@torch.no_grad()
def judge_accuracy(
    judge: Judge, dataset: LabelledSequences, *, batch_size: int = 256
) -> dict[str, float]:
    """Share of sequences that each head names rightly."""
    device = next(judge.parameters()).device
    training = judge.training
    judge.eval()
    right = dict.fromkeys(judge.heads, 0)
    for index in torch.arange(len(dataset.frames)).split(batch_size):
        for name, log_p in judge(batch_frames(dataset, index, device)).items():
            right[name] += int((log_p.argmax(-1).cpu() == dataset.labels[name][index]).sum())
    judge.train(training)
    return {name: count / len(dataset.frames) for name, count in right.items()}


def augment(x: Tensor, *, dimmed: bool = True) -> Tensor:
    """Sequences as a decoder might have drawn them: blurred, ``dimmed`` or brightened, a little noisy."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(x), 1, 1, 1, 1, device=x.device)

    blurred = F.avg_pool2d(x.flatten(0, 1), 3, 1, 1, count_include_pad=False).view_as(x)
    x = torch.lerp(x, blurred, uniform(0.0, 0.8))
    if dimmed:
        x = x * uniform(0.9, 1.1)
    return x + uniform(0.0, 0.05) * torch.randn_like(x)


def train_judge(
    train_dataset: LabelledSequences,
    test_dataset: LabelledSequences,
    *,
    device: str | torch.device = "cpu",
    seed: int = 0,
    steps: int = 200,
    batch_size: int = 32,
    lr: float = 5e-3,
    dimmed: bool = True,
    patch: int = 1,
    progress: bool | None = None,
) -> Judge:
    """Train a judge on one data set and measure its ``accuracy`` on the other.

    It has a head for each label of the first that :data:`HEADS` names.

    It trains for ``steps``; while any head is unsure of the training sequences themselves, again
    for twice and four times as many.

    :param dimmed: whether its copies of the sequences are up to a tenth dimmer and brighter. If so, it may
        take two colours that differ in brightness for one; if not, it may mind a shade that nobody sees.
    :param patch: of the :class:`Judge`: at 64 x 64 one of 2 is quicker, and no less sure.
    :param progress: a progress bar; by default when standard error is a terminal.
    :returns: the judge on the device, in evaluation mode.
    :raises ValueError: if frames or labels are not as :class:`LabelledSequences` describes them.
    """
    heads = _check_both(train_dataset, test_dataset)
    device = torch.device(device)
    size = len(train_dataset.frames)
    with seeded(seed, device) as picks:
        sample = _Subset(train_dataset, torch.randperm(size, generator=picks)[:1024])
        shape = tuple(train_dataset.frames.shape[2:])
        judge = Judge(shape, heads=heads, patch=patch).to(device)
        for attempt in range(_ROUNDS):
            descend(
                judge,
                lambda index: _loss(judge, train_dataset, index, dimmed),
                size,
                steps=steps * 2**attempt,
                batch_size=batch_size,
                lr=lr,
                picks=picks,
                name="judge",
                progress=progress,
            )
            if min(judge_accuracy(judge, sample).values()) >= 0.998:
                break
    judge.accuracy = judge_accuracy(judge, test_dataset)
    return judge.eval()


def _check_both(
    train_dataset: LabelledSequences, test_dataset: LabelledSequences
) -> tuple[str, ...]:
    """The heads of the first data set, once both are known to be sound."""
    heads = heads_of(train_dataset.labels)
    for dataset in (train_dataset, test_dataset):
        check_labelled(dataset, heads)
    return heads


class _Subset:
    """Some sequences of a data set."""

    def __init__(self, dataset: LabelledSequences, index: Tensor) -> None:
        self.frames = dataset.frames[index]
        self.labels = {name: values[index] for name, values in dataset.labels.items()}


def _loss(judge: Judge, dataset: LabelledSequences, index: Tensor, dimmed: bool) -> Tensor:
    """Cross-entropy of all heads on sequences ``index``."""
    device = next(judge.parameters()).device
    logits = judge.logits(augment(batch_frames(dataset, index, device), dimmed=dimmed))
    loss = torch.zeros((), device=device)
    for name, value in logits.items():
        target = dataset.labels[name][index].to(device)
        loss = loss + F.cross_entropy(value.mean(1), target)
        # Single frames too, lightly: their probabilities are what trajectories show.
        frames = target.unsqueeze(1).expand(value.shape[:2]).flatten()
        loss = loss + 0.25 * F.cross_entropy(value.flatten(0, 1), frames)
    return loss


def load_or_train_judge(
    train_dataset: LabelledSequences,
    test_dataset: LabelledSequences,
    *,
    cache_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
    seed: int = 0,
    steps: int = 200,
    dimmed: bool = True,
    patch: int = 1,
    progress: bool | None = None,
) -> Judge:
    """The judge of a data set from ``cache_dir``, or trained and kept there as safetensors.

    The name of the file tells data sets apart by class, frame size, number of sequences and
    contents (of a sample), and judges by version, seed, steps, ``dimmed`` and ``patch``. Without
    ``cache_dir`` nothing is kept. A file that cannot be read is made anew, with a warning.
    """

    def train() -> Judge:
        return train_judge(
            train_dataset,
            test_dataset,
            device=device,
            seed=seed,
            steps=steps,
            dimmed=dimmed,
            patch=patch,
            progress=progress,
        )

    if cache_dir is None:
        return train()
    heads = _check_both(train_dataset, test_dataset)
    shape = tuple(train_dataset.frames.shape[2:])
    recipe = f"{_VERSION} {seed} {steps}" + ("" if dimmed else " undimmed")
    recipe += f" patch {patch}" if patch > 1 else ""
    path = Path(cache_dir) / _cache_name(train_dataset, test_dataset, heads, recipe)
    judge = load_or_train(path, lambda: Judge(shape, heads=heads, patch=patch), train, "a judge")
    return judge.to(device).eval()


def _cache_name(
    train_dataset: LabelledSequences,
    test_dataset: LabelledSequences,
    heads: Sequence[str],
    recipe: str,
) -> str:
    def samples() -> Iterator[Tensor]:
        for dataset in (train_dataset, test_dataset):
            sample = torch.linspace(0, len(dataset.frames) - 1, 64).long()
            yield dataset.frames[sample]
            yield from (dataset.labels[name][sample] for name in heads)

    letters = digest(f"{recipe} {len(train_dataset.frames)} {len(test_dataset.frames)}", samples())
    height, width = train_dataset.frames.shape[-2:]
    name = type(train_dataset).__name__.lower()
    return f"judge-{name}-{height}x{width}-{letters}.safetensors"
