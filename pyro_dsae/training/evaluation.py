r"""The bound and its parts on held-out data.

.. math:: \mathrm{ELBO} = E_q \log p(x \mid f, z) - \mathrm{KL}_f - \mathrm{KL}_z
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from pyro import poutine
from torch import Tensor, nn

from .._numbers import check_whole
from ..checks import as_frames, check_keywords, check_pair
from ..handlers import latent_sites
from ..program import device_of, evaluating
from .batches import MASK, Data, as_dataset, in_order


@torch.no_grad()
def elbo_terms(model: Callable, guide: Callable, x: Tensor, **given: Tensor) -> dict[str, Tensor]:
    """One-draw estimates of the parts of the ELBO, nats a sequence, each of shape ``(N,)``.

    ``log_likelihood`` is log p(x | f, z); ``kl_f`` and ``kl_z`` (of every latent site) are log q - log p;
    ``elbo`` is the first less the others. ``given`` goes to both programs, such as a ``mask`` ``(N, T)``, see
    ``labels`` of :func:`fit`.
    """
    guide_trace = poutine.trace(guide).get_trace(x, **given)
    model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(x, **given)
    for trace in (guide_trace, model_trace):
        trace.compute_log_prob()
    terms = {"log_likelihood": model_trace.nodes["x"]["log_prob"]}
    terms["elbo"] = terms["log_likelihood"]
    for site in latent_sites(guide_trace):
        q, p = guide_trace.nodes[site], model_trace.nodes[site]
        terms[f"kl_{site}"] = q["log_prob"] - p["log_prob"]
        terms["elbo"] = terms["elbo"] - terms[f"kl_{site}"]
    return terms


def evaluate_elbo(
    model: nn.Module,
    guide: nn.Module,
    data: Data,
    *,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, float]:
    """Means over ``data`` of :func:`elbo_terms`, and ``bits_per_dim`` = -ELBO / (dims ln 2).

    Where lengths differ, or a label ``mask`` says so, the frames that are present alone count.
    """
    return in_bits(mean_terms(model, guide, data, batch_size, seed))


def in_bits(means: dict[str, float]) -> dict[str, float]:
    """With bits per dimension in place of the number of frames and of their dimensions."""
    terms = {name: value for name, value in means.items() if name not in ("frames", "dims")}
    return {**terms, "bits_per_dim": -means["elbo"] / (means["dims"] * math.log(2))}


def mean_terms(
    model: nn.Module, guide: nn.Module, data: Data, batch_size: int, seed: int
) -> dict[str, float]:
    """Means over ``data`` of :func:`elbo_terms`, and of ``frames``, those present, and their ``dims``."""
    check_pair(model, guide)
    check_whole(1, batch_size=batch_size)
    dataset = as_dataset(data)
    device = device_of(model)
    totals: dict[str, float] = {}
    count = 0
    devices = [device] if device.type == "cuda" else []
    with evaluating(model, guide), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        for x, labels in in_order(dataset, batch_size, device):
            given = {MASK: labels[MASK]} if MASK in labels else {}
            check_keywords(given, model, guide)
            x = as_frames(model, x, model)
            terms = elbo_terms(model, guide, x, **given)
            terms["frames"] = labels.get(MASK, torch.ones(x.shape[:2])).sum(1)
            terms["dims"] = terms["frames"] * x[0, 0].numel()
            for name, values in terms.items():
                totals[name] = totals.get(name, 0.0) + float(values.double().sum())
            count += len(x)
    return {name: total / count for name, total in totals.items()}
