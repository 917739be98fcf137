"""How well content and dynamics come apart on labelled sprites: protocols A and B, and the swap.

A judge that has learnt from real sequences names what it sees in generated ones. Protocol A and the
trajectories are those of Li & Mandt (ICML 2018), protocol B that of later work. All take a model, a
guide and a judge on one device, use at most ``batch_size`` sequences at a time, draw from ``seed``
without disturbing the global random state, and leave training modes as they found them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from .. import control
from ..program import sites_of
from ._evaluation import evaluation
from .judge import (
    ATTRIBUTES,
    HEADS,
    Judge,
    LabelledSequences,
    batch_frames,
    check_heads,
    check_labelled,
)
from .scores import (
    action_accuracies,
    disagreement,
    entropy,
    inception_score,
    kl,
    marginal,
    static_accuracies,
)

R_co = TypeVar("R_co", covariant=True)


class SpritesProtocol(Protocol[R_co]):
    """How every protocol is called.

    ``num_sequences``: balanced over the actions, not all. ``sample``: of test sequences, draws of their
    posteriors in place of the means; :func:`prior_samples` asks for neither.
    """

    def __call__(
        self,
        model: Callable[..., Tensor],
        guide: Callable,
        judge: Judge,
        dataset: LabelledSequences,
        *,
        num_sequences: int | None = None,
        sample: bool = False,
        batch_size: int = 64,
        seed: int = 0,
    ) -> R_co: ...


class _Bench:
    """What a protocol works with: a pair, the test sequences in batches, the judge's view of frames."""

    def __init__(
        self,
        model: Callable[..., Tensor],
        guide: Callable,
        judge: Judge,
        dataset: LabelledSequences,
        num: int | None,
        sample: bool,
        batch_size: int,
        seed: int,
    ) -> None:
        check_labelled(dataset)
        check_heads(judge, tuple(HEADS))
        self.model, self.guide, self.judge, self.dataset = model, guide, judge, dataset
        self.sample, self.batch_size, self.seed = sample, batch_size, seed
        self.device = next(judge.parameters()).device
        self.index = balanced_subset(dataset.labels["action"], num, seed)
        self.labels = {name: dataset.labels[name][self.index].cpu() for name in HEADS}

    def inferred(self, which: str, x: Tensor) -> dict[str, Any]:
        """Latents of ``"content"``, or of ``"dynamics"``, by site."""
        latents = control.infer(self.guide, x, sample=self.sample)
        return {site: latents[site] for site in sites_of(self.model, which)}

    def judged(self, make: Callable[..., Tensor], *partners: Tensor) -> dict[str, Tensor]:
        """Log-probabilities, float64 ``(N, classes)``, of ``make(x, ...)`` batch by batch.

        ``make`` gets the test sequences, then those of each of ``partners``, positions within the
        subset.
        """
        found: dict[str, list[Tensor]] = {name: [] for name in HEADS}
        orders = (torch.arange(len(self.index)), *partners)
        for batch in zip(*(order.split(self.batch_size) for order in orders), strict=True):
            x = [batch_frames(self.dataset, self.index[part], self.device) for part in batch]
            for name, log_p in self.judge(make(*x).to(self.device)).items():
                found[name].append(log_p.double().cpu())
        return {name: torch.cat(parts) for name, parts in found.items()}


def _protocol(body: Callable[[_Bench], R_co]) -> SpritesProtocol[R_co]:
    """The public call of a protocol: its bench, and ``body`` under :func:`evaluation`."""

    @wraps(body, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
    def protocol(
        model: Callable[..., Tensor],
        guide: Callable,
        judge: Judge,
        dataset: LabelledSequences,
        *,
        num_sequences: int | None = None,
        sample: bool = False,
        batch_size: int = 64,
        seed: int = 0,
    ) -> R_co:
        bench = _Bench(model, guide, judge, dataset, num_sequences, sample, batch_size, seed)
        with evaluation(seed, bench.device, model, guide, judge):
            return body(bench)

    del protocol.__wrapped__  # or inspect takes the signature of the body
    return protocol


def balanced_subset(action: Tensor, num: int | None, seed: int = 0) -> Tensor:
    """``num`` sequences (default: all), as many of each action as of any other, by ``seed``.

    :returns: indices, increasing; ``num`` is rounded down to a multiple of the number of actions.
    :raises ValueError: if there are fewer than ``num``, or of an action fewer than of the others.

    >>> balanced_subset(torch.arange(9).repeat(4), 20).shape  # two of each
    torch.Size([18])
    """
    if num is None:
        return torch.arange(len(action))
    classes, counts = action.unique(return_counts=True)
    each, fewest = num // len(classes), int(counts.min())
    if each < 1 or num > len(action):
        raise ValueError(
            f"num_sequences must be {len(classes)} (one of each action) to {len(action)}, got {num}"
        )
    if each > fewest:
        raise ValueError(
            f"num_sequences must be at most {fewest * len(classes)}, as many of each action as there are "
            f"of the rarest, got {num}"
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(action), generator=generator)
    return torch.cat([order[action[order] == c][:each] for c in classes]).sort().values


def derangement(labels: Mapping[str, Tensor], seed: int = 0) -> Tensor:
    """A random partner for each sequence, ``(N,)``, each taken once and of another character.

    :raises ValueError: if one character makes up more than half of the sequences.

    >>> labels = pyro_dsae.data.ProceduralSprites("test", size=16).labels
    >>> partner = derangement(labels)
    >>> sorted(partner.tolist()) == list(range(len(partner)))
    True
    """
    _, character = torch.unique(
        torch.stack([labels[name] for name in ATTRIBUTES], 1), dim=0, return_inverse=True
    )
    generator = torch.Generator().manual_seed(seed)
    n, largest = len(character), int(character.bincount().max())
    if 2 * largest > n:
        raise ValueError(
            f"a swap needs other characters: one of them has {largest} of {n} sequences"
        )
    # Characters in random order, each one's sequences in random order; a shift by the largest
    # number of sequences of any leads out of every character.
    shuffled = torch.randperm(n, generator=generator)
    rank = torch.randperm(int(character.max()) + 1, generator=generator)
    order = shuffled[rank[character[shuffled]].argsort(stable=True)]
    partner = torch.empty_like(order)
    partner[order] = order.roll(-largest)
    return partner


@_protocol
def protocol_a(bench: _Bench) -> dict[str, dict[str, float]]:
    """Reconstructions against originals: by head, ``disagreement``, ``kl_recon`` and ``kl_random``.

    ``kl_recon`` is KL(p_recon || p_data) and ``kl_random`` KL(uniform || p_data), nats, means.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> test, judge = pyro_dsae.data.ProceduralSprites("test", size=16), Judge((3, 16, 16), channels=4)
    >>> sorted(protocol_a(model, guide, judge, test, num_sequences=18)["hair"])
    ['disagreement', 'kl_random', 'kl_recon']
    """
    data = bench.judged(lambda x: x)
    recon = bench.judged(
        lambda x: control.reconstruct(bench.model, bench.guide, x, sample=bench.sample)
    )
    return {
        name: {
            "disagreement": disagreement(recon[name], data[name]),
            "kl_recon": float(kl(recon[name], data[name]).mean()),
            "kl_random": float(
                kl(torch.full_like(data[name], -math.log(classes)), data[name]).mean()
            ),
        }
        for name, classes in HEADS.items()
    }


@_protocol
def protocol_b(bench: _Bench) -> dict[str, float]:
    """Content kept, motion drawn: f from the test sequence (its posterior mean), z from the prior.

    :returns: ``static_accuracy`` and each attribute's; of the 9-way action ``inception_score``,
        ``h_y_given_x`` and ``h_y``, nats: how many motions the prior knows, and how clearly it draws them.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> test, judge = pyro_dsae.data.ProceduralSprites("test", size=16), Judge((3, 16, 16), channels=4)
    >>> 1 <= protocol_b(model, guide, judge, test, num_sequences=18)["inception_score"] <= 9
    True
    """

    def fresh_dynamics(x: Tensor) -> Tensor:
        content = bench.inferred("content", x)
        return control.generate(bench.model, num_frames=x.shape[1], **content)

    log_p = bench.judged(fresh_dynamics)
    return {**static_accuracies(log_p, bench.labels), **_inception(log_p["action"])}


@_protocol
def protocol_b_reverse(bench: _Bench) -> dict[str, float]:
    """Motion kept, content drawn: z from the test sequence (its posterior mean), f from the prior.

    The direction of the published tables, by the released script of C-DSVAE (Bai et al., 2021).

    :returns: accuracies of the action, ``action``, ``action_type`` and ``direction``; and of the 9-way action
        ``inception_score``, ``h_y_given_x`` and ``h_y``, nats.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> test, judge = pyro_dsae.data.ProceduralSprites("test", size=16), Judge((3, 16, 16), channels=4)
    >>> 0 <= protocol_b_reverse(model, guide, judge, test, num_sequences=18)["action"] <= 1
    True
    """

    def fresh_content(x: Tensor) -> Tensor:
        dynamics = bench.inferred("dynamics", x)
        return control.generate(bench.model, num_frames=x.shape[1], **dynamics)

    log_p = bench.judged(fresh_content)["action"]
    return {**action_accuracies(log_p, bench.labels["action"]), **_inception(log_p)}


@_protocol
def prior_samples(bench: _Bench) -> dict[str, Any]:
    """As many sequences as the test set has, both f and z from their priors: do they look like somebody?

    :returns: of each attribute, under ``attributes``: ``h_y_given_x``, the judge's mean entropy (its doubt),
        ``h_y``, that of all its answers (the spread), and ``rarest``, the share of the class it names least;
        ``h_y_given_x``, their mean over the attributes; ``action``, as :func:`protocol_b` has it; and the
        judge's entropy about the action at the ``first_frame`` and at the ``last_frame``. Nats.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> test, judge = pyro_dsae.data.ProceduralSprites("test", size=16), Judge((3, 16, 16), channels=4)
    >>> sorted(prior_samples(model, guide, judge, test, num_sequences=18)["attributes"])
    ['hair', 'skin', 'tops', 'trousers']
    """
    at: list[Tensor] = []

    def fresh(x: Tensor) -> Tensor:
        drawn = control.generate(bench.model, batch_size=len(x), num_frames=x.shape[1])
        at.append(entropy(bench.judge.per_frame(drawn)["action"].double().cpu()))
        return drawn

    said = _said(bench.judged(fresh))
    by_frame = torch.cat(at).mean(0)
    return {**said, "first_frame": float(by_frame[0]), "last_frame": float(by_frame[-1])}


@_protocol
def real_sequences(bench: _Bench) -> dict[str, Any]:
    """What the judge says of the test sequences themselves: its doubt about real ones is in every figure.

    :returns: ``attributes``, ``h_y_given_x`` and ``action``, as :func:`prior_samples` has them.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> test, judge = pyro_dsae.data.ProceduralSprites("test", size=16), Judge((3, 16, 16), channels=4)
    >>> real_sequences(model, guide, judge, test, num_sequences=18)["attributes"]["hair"]["rarest"]
    0.0
    """
    return _said(bench.judged(lambda x: x))


def _said(log_p: dict[str, Tensor]) -> dict[str, Any]:
    """Doubt and spread of the judge's answers about attributes and actions."""
    answers = {name: log_p[name].argmax(-1).bincount(minlength=HEADS[name]) for name in ATTRIBUTES}
    attributes = {
        name: {**_doubt_and_spread(log_p[name]), "rarest": int(count.min()) / int(count.sum())}
        for name, count in answers.items()
    }
    return {
        "attributes": attributes,
        "h_y_given_x": sum(found["h_y_given_x"] for found in attributes.values()) / len(attributes),
        "action": _inception(log_p["action"]),
    }


def _inception(log_p: Tensor) -> dict[str, float]:
    return {"inception_score": inception_score(log_p), **_doubt_and_spread(log_p)}


def _doubt_and_spread(log_p: Tensor) -> dict[str, float]:
    """Entropies of the judge's answers ``(N, classes)``: their mean, and that of their mean."""
    return {"h_y_given_x": float(entropy(log_p).mean()), "h_y": float(entropy(marginal(log_p)))}


@_protocol
def swap(bench: _Bench) -> dict[str, float]:
    """Each test sequence's content in the dynamics of another character's (:func:`derangement`).

    :returns: ``static_accuracy`` and each attribute's, against the first; ``action``,
        ``action_type`` and ``direction``, against the second.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> test, judge = pyro_dsae.data.ProceduralSprites("test", size=16), Judge((3, 16, 16), channels=4)
    >>> 0 <= swap(model, guide, judge, test, num_sequences=18)["static_accuracy"] <= 1
    True
    """
    partner = derangement(bench.labels, bench.seed)
    log_p = bench.judged(
        lambda content, dynamics: control.swap(
            bench.model, bench.guide, content, dynamics, sample=bench.sample
        ),
        partner,
    )
    return {
        **static_accuracies(log_p, bench.labels),
        **action_accuracies(log_p["action"], bench.labels["action"][partner]),
    }


def trajectories(
    model: Callable[..., Tensor],
    guide: Callable,
    judge: Judge,
    dataset: LabelledSequences,
    *,
    num: int = 200,
    index: int | None = None,
    num_frames: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, dict[str, Tensor]]:
    """The judge's probabilities over time, ``(num, T, classes)`` by head, of generated sequences.

    ``fixed_f``: one test sequence's content, fresh dynamics each. ``fixed_z``: its dynamics, fresh
    contents.

    :param num: sequences of each kind.
    :param index: the test sequence (default: one drawn by ``seed``).
    :param num_frames: length of those with fresh dynamics (default: that of the test sequence).

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> test, judge = pyro_dsae.data.ProceduralSprites("test", size=16), Judge((3, 16, 16), channels=4)
    >>> trajectories(model, guide, judge, test, num=5)["fixed_f"]["action"].shape
    torch.Size([5, 8, 9])
    """
    check_labelled(dataset)
    check_heads(judge, tuple(HEADS))
    n = len(dataset.frames)
    if index is None:
        index = int(torch.randint(n, (), generator=torch.Generator().manual_seed(seed)))
    elif not 0 <= index < n:
        raise ValueError(f"index must be 0 to {n - 1}, got {index}")
    device = next(judge.parameters()).device
    found: dict[str, dict[str, list[Tensor]]] = {
        kind: {name: [] for name in HEADS} for kind in ("fixed_f", "fixed_z")
    }
    with evaluation(seed, device, model, guide, judge):
        x = batch_frames(dataset, torch.tensor([index]), device)
        latents = control.infer(guide, x)
        for start in range(0, num, batch_size):
            size = min(batch_size, num - start)
            fixed: dict[str, dict[str, Any]] = {
                which: {
                    site: latents[site].expand(size, *latents[site].shape[1:])
                    for site in sites_of(model, which)
                }
                for which in ("content", "dynamics")
            }
            steps = num_frames or x.shape[1]
            made = {
                "fixed_f": control.generate(model, num_frames=steps, **fixed["content"]),
                "fixed_z": control.generate(model, num_frames=x.shape[1], **fixed["dynamics"]),
            }
            for kind, frames in made.items():
                for name, log_p in judge.per_frame(frames).items():
                    found[kind][name].append(log_p.exp().cpu())
    return {
        kind: {name: torch.cat(parts) for name, parts in by_head.items()}
        for kind, by_head in found.items()
    }


def evaluate_sprites(
    model: Callable[..., Tensor],
    guide: Callable,
    judge: Judge,
    dataset: LabelledSequences,
    *,
    num_sequences: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """All protocols on a test set, ready for JSON, under ``protocol_a``, ``protocol_b``,
    ``protocol_b_reverse``, ``swap``, ``samples``, ``real`` and ``judge``.

    ``judge`` holds the judge's own accuracies on real test sequences; ``judge.reliable`` is False,
    and ``judge.unreliable`` names the heads, where one does not exceed 0.99: the other figures then
    mean nothing.

    :param num_sequences: evaluate on this many test sequences, balanced over the actions, not on
        all.
    """
    protocols: dict[str, SpritesProtocol[dict[str, Any]]] = {
        "protocol_a": protocol_a,
        "protocol_b": protocol_b,
        "protocol_b_reverse": protocol_b_reverse,
        "swap": swap,
        "samples": prior_samples,
        "real": real_sequences,
    }
    metrics: dict[str, dict[str, Any]] = {
        "judge": {
            **judge.accuracy,
            "reliable": not judge.unreliable,
            "unreliable": judge.unreliable,
        }
    }
    for name, protocol in protocols.items():
        metrics[name] = protocol(
            model,
            guide,
            judge,
            dataset,
            num_sequences=num_sequences,
            batch_size=batch_size,
            seed=seed,
        )
    return metrics
