r"""Digits in motion: does f alone say which digit it is, and z alone where it stands?

A classifier that has learnt from real digits at random places names the frames that a model decodes
from f of a sequence and a grid of z. The grid stands at the quantiles of p(z_i | f), so that it
covers what the model itself expects of that digit. Where a digit stands is asked of z by regression,

.. math:: R^2 = 1 - \frac{\sum_n \|y_n - \hat y(u_n)\|^2}{\sum_n \|y_n - \bar y\|^2},

with y-hat a polynomial of u that was fitted to other sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations_with_replacement, permutations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyro import poutine
from torch import Tensor, nn
from torch.nn import functional as F

from .. import control
from .._numbers import check_whole
from ._classifiers import descend, digest, load_or_train, seeded
from ._evaluation import device_of, evaluation
from .judge import augment

NUM_DIGITS = 10

_VERSION = 2  # of architecture and training: raise it with any change, or old weights are taken
_WIDTHS_AND_STRIDES = ((16, 1), (32, 2), (48, 1), (64, 2), (96, 1))


class DigitClassifier(nn.Module):
    """Log-probabilities of the digits in a frame, wherever they stand: convolutions, and their maxima.

    :param size: side of the frames that it is made for; each halving down to 32 is one more layer.
    :param num_digits: n, how many a frame shows.

    >>> classifier = DigitClassifier(32, num_digits=2)
    >>> classifier(torch.rand(5, 1, 32, 32)).shape, len(classifier.sets)
    (torch.Size([5, 10]), 55)
    """

    accuracy: float
    """On real test digits; 0 until :func:`train_digit_classifier` has measured it."""

    sets: Tensor
    """``(M, n)``, all that a frame may show, in order: of one digit 0 to 9, of two 00, 01 to 99."""

    def __init__(self, size: int = 32, num_digits: int = 1) -> None:
        super().__init__()
        check_whole(1, num_digits=num_digits)
        self.size, self.num_digits, self.accuracy = size, num_digits, 0.0
        sets = torch.tensor([*combinations_with_replacement(range(NUM_DIGITS), num_digits)])
        counts = F.one_hot(sets, NUM_DIGITS).sum(1)
        self.register_buffer("sets", sets, persistent=False)
        self.register_buffer("counts", counts.float(), persistent=False)
        self.counts: Tensor
        halvings = max(0, (size - 1).bit_length() - 5)
        layers: list[nn.Module] = []
        channels = 1
        for width, stride in ((16, 2),) * halvings + _WIDTHS_AND_STRIDES:
            layers += [nn.Conv2d(channels, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels, NUM_DIGITS)
        self.to(memory_format=torch.channels_last)

    def forward(self, frames: Tensor) -> Tensor:
        """``(N, 10)``, of ``frames`` ``(N, 1, H, W)`` in [0, 1]."""
        if frames.dim() != 4 or frames.shape[1] != 1:
            raise ValueError(f"frames must be (batch, 1, height, width), got {tuple(frames.shape)}")
        h = self.features(frames.contiguous(memory_format=torch.channels_last))
        return self.head(h.amax((-2, -1))).log_softmax(-1)

    def named(self, frames: Tensor) -> Tensor:
        """Which of :attr:`sets` a frame most likely shows, ``(N,)``: as n independent draws of a digit."""
        ways = -torch.lgamma(self.counts + 1).sum(-1)
        return (self(frames) @ self.counts.T + ways).argmax(-1)

    def index(self, digits: Tensor) -> Tensor:
        """Which of :attr:`sets` these are, ``(N,)``, of ``digits`` ``(N, n)`` in any order.

        :raises ValueError: if one is none of 0 to 9.
        """
        same = (digits.sort(-1).values[:, None] == self.sets).all(-1)
        if not same.any(-1).all():
            raise ValueError(
                f"digits must be 0 to {NUM_DIGITS - 1}, got {int(digits.min())} to {int(digits.max())}"
            )
        return same.long().argmax(-1)


def _paste(digits: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """uint8 ``(N, n, h, h)`` at random whole pixels of black frames: float ``(N, 1, size, size)``.

    Of several the brightest shows, as in the data.
    """
    many, side = digits.flatten(0, 1), digits.shape[-1]
    corner = torch.randint(size - side + 1, (2, len(many), 1), generator=generator)
    rows, columns = corner + torch.arange(side)
    frames = digits.new_zeros(len(many), size, size)
    frames[torch.arange(len(many))[:, None, None], rows[:, :, None], columns[:, None, :]] = many
    return frames.unflatten(0, digits.shape[:2]).amax(1, keepdim=True).float().div_(255)


def _check_digits(name: str, images: Tensor, labels: Tensor, size: int) -> None:
    side = images.shape[-1] if images.dim() else 0
    if (
        images.dtype != torch.uint8
        or images.dim() != 3
        or images.shape[1] != side
        or not len(images)
    ):
        raise ValueError(
            f"{name} must be uint8 (digits, side, side), got {images.dtype} {tuple(images.shape)}"
        )
    if side > size:
        raise ValueError(f"{name} must fit frames of side {size}, got digits of side {side}")
    if labels.shape != images.shape[:1] or labels.min() < 0 or labels.max() >= NUM_DIGITS:
        raise ValueError(
            f"labels of {name} must be ({len(images)},) with values 0 to {NUM_DIGITS - 1}, "
            f"got {tuple(labels.shape)}"
            + (f" with {int(labels.min())} to {int(labels.max())}" if labels.numel() else "")
        )


def train_digit_classifier(
    images: Tensor,
    labels: Tensor,
    test_images: Tensor,
    test_labels: Tensor,
    *,
    size: int = 32,
    num_digits: int = 1,
    steps: int = 1200,
    batch_size: int = 64,
    lr: float = 5e-3,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool | None = None,
) -> DigitClassifier:
    """Train on real digits at random places in black frames, blurred, dimmed and noisy at random.

    :param images: uint8 ``(M, h, h)`` at the scale that they have in frames, and so are
        ``test_images``, on which ``accuracy`` is measured.
    :param labels: long ``(M,)``, 0 to 9, and so are ``test_labels``.
    :param size: side of the frames of the test, and of those that it is made for.
    :param num_digits: how many a frame shows, which may overlap; ``accuracy`` is of all of a frame.
    :param progress: a progress bar; by default when standard error is a terminal.
    :returns: the classifier on the device, in evaluation mode.
    :raises ValueError: if images or labels are not as described, or digits larger than frames.
    """
    _check_digits("images", images, labels, size)
    _check_digits("test_images", test_images, test_labels, size)
    device = torch.device(device)
    side = images.shape[-1]
    # Of one digit, more black would add time, and nothing to the maxima.
    close = min(size, side + side // 2) if num_digits == 1 else size
    with seeded(seed, device) as picks:
        classifier = DigitClassifier(size, num_digits).to(device)

        def with_others(index: Tensor, among: Tensor) -> Tensor:
            shape = (len(index), num_digits - 1)
            others = torch.randint(len(among), shape, generator=picks)
            return torch.cat([index[:, None], others], 1)

        def loss(index: Tensor) -> Tensor:
            index = with_others(index, images)
            frames = _paste(images[index], close, picks).to(device)
            log_p = classifier(augment(frames.unsqueeze(1)).squeeze(1))
            return -log_p.gather(1, labels[index].to(device)).mean()

        descend(
            classifier,
            loss,
            len(images),
            steps=steps,
            batch_size=batch_size,
            lr=lr,
            picks=picks,
            name="digit classifier",
            progress=progress,
        )
    classifier.eval()
    right = 0
    with torch.no_grad():
        for index in torch.arange(len(test_images)).split(256):
            index = with_others(index, test_images)
            named = classifier.named(_paste(test_images[index], size, picks).to(device))
            right += int((named == classifier.index(test_labels[index].to(device))).sum())
    classifier.accuracy = right / len(test_images)
    return classifier


def load_or_train_digit_classifier(
    images: Tensor,
    labels: Tensor,
    test_images: Tensor,
    test_labels: Tensor,
    *,
    size: int = 32,
    num_digits: int = 1,
    steps: int = 1200,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool | None = None,
    cache_dir: str | Path | None = None,
) -> DigitClassifier:
    """The classifier of these digits from ``cache_dir``, or trained and kept there as safetensors.

    The name of the file tells digits, sizes, steps and seeds apart. Without ``cache_dir`` nothing is
    kept. A file that cannot be read is made anew, with a warning.
    """

    def train() -> DigitClassifier:
        return train_digit_classifier(
            images,
            labels,
            test_images,
            test_labels,
            size=size,
            num_digits=num_digits,
            steps=steps,
            seed=seed,
            device=device,
            progress=progress,
        )

    if cache_dir is None:
        return train()
    _check_digits("images", images, labels, size)
    _check_digits("test_images", test_images, test_labels, size)
    recipe = f"{_VERSION} {size} {steps} {seed}" + (f" {num_digits}" if num_digits > 1 else "")
    letters = digest(recipe, (images, labels, test_images, test_labels))
    path = Path(cache_dir) / f"digits-{size}x{size}-{letters}.safetensors"
    blank = partial(DigitClassifier, size, num_digits)
    found = load_or_train(path, blank, train, "a digit classifier")
    return found.to(device).eval()


@torch.no_grad()
def _prior(model: Callable[..., Tensor], f: Tensor) -> Any:
    """p(z_i | f) of one frame: batch ``(N,)``, event ``(1, z_dim)``."""
    fixed = poutine.condition(model, data={"f": f})
    return poutine.trace(fixed).get_trace(batch_size=len(f), num_frames=1).nodes["z"]["fn"]


def _grid(prior: Any, points: int, coverage: float) -> Tensor:
    tail = (1 - coverage) / 2
    levels = torch.linspace(tail, 1 - tail, points, dtype=torch.float64)
    steps = torch.special.ndtri(levels).to(prior.mean)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return prior.mean + prior.stddev * torch.stack([columns, rows], -1).flatten(0, 1)


def latent_grid(
    model: Callable[..., Tensor], f: Tensor, points: int = 8, coverage: float = 0.9
) -> Tensor:
    """A regular grid of a 2-dimensional z for each f: ``(N, points * points, 2)``, row by row.

    It stands at quantiles of the Normal p(z_i | f), evenly in probability. The first coordinate rises
    along a row, the second from row to row.

    :param f: ``(N, f_dim)``, on the device of the model.
    :param coverage: share of each coordinate's probability between the first point and the last.
    :raises ValueError: if z is not 2-dimensional, its prior has no mean (that of ordered frames), or
        ``points`` or ``coverage`` is out of range.

    >>> model = pyro_dsae.Unordered((1, 16, 16), f_dim=8, z_dim=2, channels=4, hidden=16)
    >>> latent_grid(model, torch.zeros(3, 8), points=5).shape
    torch.Size([3, 25, 2])
    """
    _check_grid(points, coverage)
    prior = _prior(model, f)
    if not _has_grid(prior):
        raise ValueError(
            "a grid of z needs a 2-dimensional z whose prior given f has a mean, got "
            f"{type(prior).__name__} of event shape {tuple(prior.event_shape)}"
        )
    return _grid(prior, points, coverage)


def _check_grid(points: int, coverage: float) -> None:
    if points < 2:
        raise ValueError(f"points must be at least 2, got {points}")
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be between 0 and 1, got {coverage}")


def _has_grid(prior: Any) -> bool:
    try:
        return prior.mean.shape[-1] == 2
    except NotImplementedError:
        return False


def grid_consistency(
    model: Callable[..., Tensor],
    guide: Callable,
    classifier: DigitClassifier,
    x: Tensor,
    digits: Tensor,
    *,
    points: int = 8,
    coverage: float = 0.9,
    batch_size: int = 16,
    seed: int = 0,
) -> dict[str, float]:
    """Do digits stay themselves while z moves? f of each sequence, decoded over :func:`latent_grid`.

    Where there is no such grid, because z is not 2-dimensional or its prior has no mean, z is drawn
    from the prior of one frame, points * points times.

    :param x: sequences of as many digits as the classifier names, n, ``(N, T, 1, H, W)``.
    :param digits: which, long ``(N,)`` or ``(N, n)`` in any order.
    :param coverage: see :func:`latent_grid`.
    :returns: shares of decoded frames: ``digit_consistency`` of those taken for the true digit, or all of
        them, ``verdict_consistency`` of those taken for what most frames of the source are taken for; and
        ``source_accuracy``, the share of source frames taken for the true ones.
    :raises ValueError: if ``x`` and ``digits`` do not agree, or ``points`` or ``coverage`` is out of
        range.
    """
    _check_grid(points, coverage)
    if x.dim() != 5 or x.shape[2] != 1 or not len(x):
        raise ValueError(f"x must be (batch, time, 1, height, width), got {tuple(x.shape)}")
    n = classifier.num_digits
    expected = (len(x), n) if n > 1 else (len(x),)
    if digits.shape != expected:
        raise ValueError(
            f"digits must be {expected}, {n if n > 1 else 'one'} a sequence, got {tuple(digits.shape)}"
        )
    device = device_of(classifier)
    digits = classifier.index(digits.view(len(x), n).to(device))
    right = agreed = source = 0
    with evaluation(seed, device, model, guide, classifier):
        for sequences, digit in zip(x.split(batch_size), digits.split(batch_size), strict=True):
            sequences, digit = sequences.to(device), digit.unsqueeze(1)
            f = control.infer(guide, sequences)["f"]
            prior = _prior(model, f)
            if _has_grid(prior):
                z = _grid(prior, points, coverage)
            else:
                z = prior.sample((points**2,)).squeeze(2).transpose(0, 1)
            frames = control.generate(model, f=f, z=z)
            named, seen = (
                classifier.named(part.flatten(0, 1)).unflatten(0, part.shape[:2])
                for part in (frames, sequences)
            )
            verdict = F.one_hot(seen, len(classifier.sets)).sum(1).argmax(-1, keepdim=True)
            right += int((named == digit).sum())
            agreed += int((named == verdict).sum())
            source += int((seen == digit).sum())
    decoded = len(x) * points**2
    return {
        "digit_consistency": right / decoded,
        "verdict_consistency": agreed / decoded,
        "source_accuracy": source / x[:, :, 0, 0, 0].numel(),
    }


def position_r2(
    guide: Callable,
    x: Tensor,
    positions: Tensor,
    *,
    degree: int = 3,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, float]:
    """Does z hold where the digit stands? Regressions fitted on the first half of the sequences.

    z is the posterior mean. Nothing makes its chart of the plane straight, so polynomials of
    ``degree`` are fitted, and straight lines beside them.

    :param x: sequences, ``(N, T, *frame)``.
    :param positions: of the digit in each frame, ``(N, T, 2)``.
    :returns: R^2 on the second half: ``r2`` of z from position, ``r2_linear`` the same by a linear
        map, ``inverse_r2`` of position from z. What does not vary has an R^2 of 0.
    :raises ValueError: if there are fewer than 4 sequences, ``positions`` does not agree with ``x``,
        or a polynomial has more terms than there are frames to fit it to.

    >>> guide = pyro_dsae.Factorised((1, 16, 16), f_dim=8, z_dim=2, channels=4, hidden=16)
    >>> sorted(position_r2(guide, torch.rand(6, 8, 1, 16, 16), torch.rand(6, 8, 2)))
    ['inverse_r2', 'r2', 'r2_linear']
    """
    z, place = _held(guide, x, positions, "2", batch_size, seed)
    return {
        "r2": _polynomial_r2(place, z, degree),
        "r2_linear": _polynomial_r2(place, z, 1),
        "inverse_r2": _polynomial_r2(z, place, degree),
    }


def _held(
    guide: Callable, x: Tensor, positions: Tensor, axes: str, batch_size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """z ``(N, T, z_dim)``, posterior means, and the positions ``(N, T, *axes)``, of 4 sequences or more."""
    if len(x) < 4:
        raise ValueError(f"x must hold at least 4 sequences, got {len(x)}")
    dims, shape = 2 + len(axes.split(", ")), positions.shape
    if len(shape) != dims or shape[:2] != x.shape[:2] or shape[-1] != 2:
        raise ValueError(
            f"positions must be ({x.shape[0]}, {x.shape[1]}, {axes}), got {tuple(shape)}"
        )
    device = device_of(guide)
    with evaluation(seed, device, guide):
        means = [control.infer(guide, part.to(device))["z"].cpu() for part in x.split(batch_size)]
    return torch.cat(means).double().numpy(), positions.detach().cpu().double().numpy()


def matched_position_r2(
    guide: Callable,
    x: Tensor,
    positions: Tensor,
    *,
    degree: int = 2,
    rounds: int = 20,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, float]:
    """Does z hold where each of several digits stands? Which is which is matched, sequence by sequence.

    Nothing says in which order z holds them, so polynomials of z are fitted to positions in the order of each
    sequence that they fit best, in turn, on the first half of the sequences; on the second half the order
    that fits best counts. Matching flatters: ``chance`` is the same for z of other sequences.

    :param x: sequences, ``(N, T, *frame)``.
    :param positions: of each of n digits, ``(N, T, n, 2)``.
    :param rounds: of fitting and matching.
    :returns: R^2 of positions from the posterior mean of z: ``inverse_r2``, and ``chance``.
    :raises ValueError: as :func:`position_r2`.

    >>> guide = pyro_dsae.Factorised((1, 16, 16), f_dim=8, z_dim=2, channels=4, hidden=16)
    >>> sorted(matched_position_r2(guide, torch.rand(6, 8, 1, 16, 16), torch.rand(6, 8, 2, 2)))
    ['chance', 'inverse_r2']
    """
    check_whole(1, rounds=rounds)
    z, place = _held(guide, x, positions, "digits, 2", batch_size, seed)
    others = np.roll(z, len(z) // 4, axis=0)
    return {
        "inverse_r2": _matched_r2(z, place, degree, rounds),
        "chance": _matched_r2(others, place, degree, rounds),
    }


def _matched_r2(z: np.ndarray, place: np.ndarray, degree: int, rounds: int) -> float:
    """R^2 of places ``(N, T, n, 2)`` from z, in the order of each sequence that fits best."""
    half = len(z) // 2
    orders = [list(order) for order in permutations(range(place.shape[2]))]
    ways = np.stack([place[:, :, order].reshape(*place.shape[:2], -1) for order in orders])
    terms = _terms(z, degree, half)
    fitted = terms[:half].reshape(-1, terms.shape[-1])
    best = np.random.default_rng(0).integers(len(orders), size=len(z))
    for _ in range(rounds):
        chosen = ways[best[:half], np.arange(half)]
        weights, *_ = np.linalg.lstsq(fitted, chosen.reshape(len(fitted), -1), rcond=None)
        errors = ((ways - terms @ weights) ** 2).sum((2, 3))
        before, best = best, errors.argmin(0)
        if (best == before).all():
            break
    error = errors.min(0)[half:].sum()
    scored = place[half:].reshape(-1, place.shape[2], 2)
    total = ((scored - scored.mean((0, 1))) ** 2).sum()
    return float(1 - error / total) if total > 0 else 0.0


def _terms(inputs: np.ndarray, degree: int, half: int) -> np.ndarray:
    """Monomials of inputs ``(N, T, p)`` as the first ``half`` of the sequences centres and scales them."""
    known = inputs[:half].reshape(-1, inputs.shape[-1])
    count = comb(known.shape[1] + degree, degree)
    if count > len(known):
        raise ValueError(
            f"a polynomial of degree {degree} in {known.shape[1]} dimensions has {count} terms, "
            f"got {len(known)} frames to fit it to"
        )
    spread = known.std(0)
    spread[spread == 0] = 1
    flat = (inputs.reshape(-1, inputs.shape[-1]) - known.mean(0)) / spread
    return _monomials(flat, degree).reshape(*inputs.shape[:2], count)


def _polynomial_r2(inputs: np.ndarray, outputs: np.ndarray, degree: int) -> float:
    """R^2 of outputs ``(N, T, q)`` from inputs ``(N, T, p)``: fitted on one half, scored on the other."""
    half = len(inputs) // 2
    terms = _terms(inputs, degree, half)
    u, u_test, v, v_test = (
        part.reshape(-1, part.shape[-1])
        for values in (terms, outputs)
        for part in (values[:half], values[half:])
    )
    weights, *_ = np.linalg.lstsq(u, v, rcond=None)
    error = v_test - u_test @ weights
    total = ((v_test - v_test.mean(0)) ** 2).sum()
    return float(1 - (error**2).sum() / total) if total > 0 else 0.0


def _monomials(u: np.ndarray, degree: int) -> np.ndarray:
    """All products of up to ``degree`` columns of ``(n, p)``: ``(n, terms)``."""
    columns = [np.ones(len(u))]
    for order in range(1, degree + 1):
        for chosen in combinations_with_replacement(range(u.shape[1]), order):
            columns.append(u[:, list(chosen)].prod(1))
    return np.stack(columns, 1)
