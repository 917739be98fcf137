r"""How well a guide fits a model, and what its latents know of the data and of each other.

For draws :math:`(f^k, z^k) \sim q(f, z \mid x)` and log weights
:math:`\log w_k = \log p(x, f^k, z^k) - \log q(f^k, z^k \mid x)`,

.. math:: \mathrm{ELBO} = E \log w_k \le E \log \frac1K \sum_{k=1}^K w_k \le \log p(x),

the second the bound of Burda et al. (ICLR 2016), section 3. The tail of the weights says how far to trust it:
Pareto smoothing's k-hat (Vehtari et al., JMLR 2024; of guides, Yao et al., ICML 2018) is below 0.7 where
the guide is close enough to the posterior for importance sampling to work. Where it is above,
:func:`~pyro_dsae.metrics.anneal` goes on from the guide to the posterior.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import numpy as np
import torch
from pyro import poutine
from torch import Tensor
from torch.utils.data import Dataset

from ..checks import as_mask, as_seen, shown
from ..control import infer
from ..data.sequences import as_float
from ..inference_data import _import_arviz, _site
from ..nn import within_lengths
from ..program import sites_of
from ..training import elbo_terms
from ..training.batches import MASK, collated
from ._evaluation import device_of, evaluation, interval
from .annealing import Annealed, anneal, chain_interval

_BATCH = 64  # sequences that go through the guide at once
_MIN_DRAWS = 25  # ArviZ fits the tail, a fifth of so few, from 5 draws on


@torch.no_grad()
def log_weights(
    model: Callable,
    guide: Callable,
    x: Tensor,
    num_samples: int,
    *,
    pairs_at_once: int = 512,
    mask: Tensor | None = None,
) -> Tensor:
    """log p(x, f, z) - log q(f, z | x) of draws from the guide, float64 ``(num_samples, N)``, in nats.

    Of all latent sites of the guide, whatever their names. A point, as mu_2 of FHVAE, has no density: then
    they bound log p(x, mu_2). The memory beside the result is that of one pass
    over ``pairs_at_once`` (draw, sequence) pairs; ``pyro.infer``'s ``vectorized_importance_weights`` would
    put the draws into a plate at dim -2, which our encoders lack, keep all their traces, and sum over the
    sequences. The draws follow ``pyro.set_rng_seed``. Put modules into evaluation mode first.

    :param x: ``(N, T, *frame)``.
    :param mask: ``(N, T)``, True where a frame is present.
    :raises ValueError: if there is nothing to draw, or a weight is NaN.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> log_weights(model, guide, x, num_samples=10).shape
    torch.Size([10, 4])
    """
    mask = as_mask(mask, x, model, guide)
    x = as_seen(model, x, mask)
    draws = _draws(model, guide, x, mask, num_samples, pairs_at_once)
    weights = [terms["elbo"] for terms in draws]
    return _weights(weights, num_samples)


def _draws(
    model: Callable,
    guide: Callable,
    x: Tensor,
    mask: Tensor | None,
    num_samples: int,
    pairs_at_once: int,
) -> Iterator[dict[str, Tensor]]:
    """Parts of the ELBO for each (draw, sequence) pair, draw by draw, in batches."""
    if x.dim() < 3 or not len(x):
        raise ValueError(f"x must be (batch, time, *frame) and not empty, got {tuple(x.shape)}")
    for name, value in (("num_samples", num_samples), ("pairs_at_once", pairs_at_once)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    for start in range(0, num_samples * len(x), pairs_at_once):
        stop = min(start + pairs_at_once, num_samples * len(x))
        rows = torch.arange(start, stop, device=x.device) % len(x)
        given = {} if mask is None else {"mask": mask[rows]}
        yield elbo_terms(model, guide, x[rows], **given)


def _weights(batches: list[Tensor], num_samples: int) -> Tensor:
    weights = torch.cat(batches).double().view(num_samples, -1)
    bad = weights.isnan().any(0).nonzero().flatten().tolist()
    if bad:
        raise ValueError(f"log weights must be numbers, got NaN for sequences {bad[:8]}")
    return weights


def importance_bound(log_weights: Tensor) -> Tensor:
    """The importance-weighted bound on log p(x), logsumexp - log K: ``(K, N)`` to ``(N,)``.

    Burda et al. (2016); in the mean it rises with K, from the ELBO to log p(x).

    >>> importance_bound(torch.zeros(10, 4))
    tensor([0., 0., 0., 0.])
    """
    _check_weights(log_weights)
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def k_hat(log_weights: Tensor) -> Tensor:
    """Pareto k of the weights of each sequence, by ArviZ: ``(K, N)`` to ``(N,)``, K at least 25.

    0 where the weights are equal to within rounding: they have no tail. Infinite where ArviZ finds too few
    draws in the tail, since one outweighs all others.

    >>> k_hat(torch.randn(1000, 4)).shape
    torch.Size([4])
    """
    _check_weights(log_weights)
    if len(log_weights) < _MIN_DRAWS:
        raise ValueError(
            f"log_weights must hold at least {_MIN_DRAWS} draws, got {len(log_weights)}"
        )
    weights = log_weights.double().cpu()
    spread = weights.amax(0) - weights.amin(0)
    flat = spread <= 4 * torch.finfo(torch.float32).eps * weights.abs().amax(0)
    k = torch.zeros(len(flat), dtype=torch.float64)
    if not flat.all():
        k[~flat] = torch.from_numpy(_pareto_k(weights[:, ~flat].numpy()))
    return k.to(log_weights.device)


def _pareto_k(log_weights: np.ndarray) -> np.ndarray:
    """ArviZ's, ``(K, N)`` to ``(N,)``: 1.x takes the negative weights, and refuses equal ones."""
    arviz = _import_arviz()
    if int(arviz.__version__.split(".")[0]) >= 1:
        import xarray

        array = xarray.DataArray(-log_weights, dims=("draw", "sequence"))
        k = array.azstats.psislw(dim="draw")[1].values
        return np.where(np.isnan(k), np.inf, k)  # NaN is what 0.x calls infinite
    return np.array(arviz.psislw(log_weights.T)[1], dtype=np.float64)


def _check_weights(log_weights: Tensor) -> None:
    if log_weights.dim() != 2 or 0 in log_weights.shape:
        raise ValueError(f"log_weights must be (draws, sequences), got {tuple(log_weights.shape)}")


def evidence(
    model: Callable,
    guide: Callable,
    data: Dataset | Tensor,
    *,
    num_samples: int = 1000,
    num_sequences: int | None = None,
    seed: int = 0,
    pairs_at_once: int = 512,
    method: str = "iw",
    num_chains: int = 16,
    num_temperatures: int = 500,
    num_leapfrog: int = 5,
) -> dict[str, float | None]:
    """How close the guide comes to log p(x) of the model; means over sequences, in nats a sequence.

    :param data: sequences ``(N, T, *frame)`` as a tensor, or a data set of ``x`` or ``(x, labels)``, of any
        lengths and with a label ``mask`` or not: frames present count.
    :param num_samples: K, draws a sequence, at least 25.
    :param num_sequences: of so many drawn by ``seed``, the same for every guide (default: all).
    :param method: ``"iw"``, or ``"ais"``: also by annealing, of a handful of sequences: it takes long.
    :param num_chains: of annealing, :func:`anneal`; ``num_temperatures`` and ``num_leapfrog`` too.
    :returns: ``elbo``, of all K draws; ``iw_bound``, :func:`importance_bound`; ``gap``, the second less the
        first; ``elbo_low``, ``elbo_high`` and those of the bound, intervals of 95% by a bootstrap over
        sequences; ``log_likelihood``, log p(x | f, z); ``kl_f`` and ``kl_z`` (of every latent site), and
        ``kl_z_per_frame``, of each site of the model's dynamics; ``bits_per_dim`` = -ELBO / (dims ln 2) and
        ``iw_bits_per_dim``; ``k_hat_below_0_7``, a share, and ``k_hat_median``, None where it is infinite. By
        ``"ais"`` also ``ais_bound``, with its interval over sequences and one over chains,
        ``ais_chains_low`` and ``ais_chains_high``; ``ais_gap``, it less the ELBO; ``ais_spread``, the
        standard deviation of the log weights over chains, and ``ais_acceptance``.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> found = evidence(model, guide, x, num_samples=25)
    >>> found["elbo"] <= found["iw_bound"]
    True
    """
    if num_samples < _MIN_DRAWS:
        raise ValueError(f"num_samples must be at least {_MIN_DRAWS}, got {num_samples}")
    if method not in ("iw", "ais"):
        raise ValueError(f"method must be iw or ais, got {method!r}")
    device = device_of(model)
    x, mask = _sequences(data, num_sequences, seed)
    mask = as_mask(mask, x, model, guide)
    x = as_seen(model, x.to(device), mask)
    annealed = None
    if method == "ais":
        with evaluation(seed, device, model, guide):
            annealed = anneal(
                model,
                guide,
                x,
                num_chains,
                num_temperatures=num_temperatures,
                num_leapfrog=num_leapfrog,
                pairs_at_once=pairs_at_once,
                mask=mask,
            )
    weights: list[Tensor] = []
    totals: dict[str, float] = {}
    with evaluation(seed, device, model, guide):
        for terms in _draws(model, guide, x, mask, num_samples, pairs_at_once):
            weights.append(terms["elbo"])
            for name, values in terms.items():
                totals[name] = totals.get(name, 0.0) + float(values.double().sum())
    log_w = _weights(weights, num_samples)
    bounds = importance_bound(log_w)
    bound = float(bounds.mean())
    k = k_hat(log_w)
    median = float(np.median(k.cpu().numpy()))
    means = {name: total / log_w.numel() for name, total in totals.items()}
    frames = x.shape[1] if mask is None else float(mask.sum()) / len(mask)
    bits = frames * x[0, 0].numel() * math.log(2)
    per_frame = {
        f"kl_{site}_per_frame": means[f"kl_{site}"] / frames
        for site in sites_of(model, "dynamics")
        if f"kl_{site}" in means
    }
    return {
        **means,
        **per_frame,
        **({} if annealed is None else _annealed_figures(annealed, means["elbo"], seed)),
        "iw_bound": bound,
        **interval(log_w.mean(0), "elbo", seed=seed),
        **interval(bounds, "iw_bound", seed=seed),
        "gap": bound - means["elbo"],
        "bits_per_dim": -means["elbo"] / bits,
        "iw_bits_per_dim": -bound / bits,
        "k_hat_below_0_7": float((k < 0.7).double().mean()),
        "k_hat_median": median if math.isfinite(median) else None,
    }


def _annealed_figures(annealed: Annealed, elbo: float, seed: int) -> dict[str, float]:
    weights = annealed.log_weights
    bounds = importance_bound(weights)
    return {
        "ais_bound": float(bounds.mean()),
        **interval(bounds, "ais_bound", seed=seed),
        **chain_interval(weights, "ais_chains", seed=seed),
        "ais_gap": float(bounds.mean()) - elbo,
        "ais_spread": float(weights.std(0, correction=0).mean()),
        "ais_acceptance": float(annealed.acceptance.mean()),
    }


def _sequences(data: Dataset | Tensor, num: int | None, seed: int) -> tuple[Tensor, Tensor | None]:
    """x of ``num`` sequences of the data, drawn without replacement, or of all, and their mask."""
    size = len(data)  # type: ignore[arg-type]
    if num is not None and not 1 <= num <= size:
        raise ValueError(f"num_sequences must be 1 to {size}, got {num}")
    order = torch.arange(size)
    if num is not None:
        order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:num]
    if isinstance(data, Tensor):
        return data[order.to(data.device)], None
    x, labels = collated([(i, data[i]) for i in order.tolist()])
    return as_float(x) if x.dtype == torch.uint8 else x, labels.get(MASK)


def active_units(
    guide: Callable, data: Dataset | Tensor, threshold: float = 0.01
) -> dict[str, int]:
    """How many dimensions of each latent site tell sequences apart (Burda et al., 2016).

    A unit is active where its posterior mean varies over the data by more than ``threshold``, a variance:
    over sequences, and over frames too where the site has an axis of time.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> sorted(active_units(guide, x))
    ['f', 'z']
    """
    x, mask = _sequences(data, None, 0)
    device = device_of(guide)
    with evaluation(0, device, guide):
        batches = [infer(guide, part.to(device), mask=m) for part, m in _batches(x, mask)]
    counts = {}
    for site in batches[0]:
        means = torch.cat([batch[site] for batch in batches]).double()
        if mask is not None and means.dim() == 3:
            means = means[within_lengths(mask).to(device)]
        means = means.flatten(0, -2)
        counts[site] = int((means.var(0, correction=0) > threshold).sum())
    return counts


def _batches(x: Tensor, mask: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """What goes through the guide at once."""
    masks = repeat(None) if mask is None else mask.split(_BATCH)
    return zip(x.split(_BATCH), masks, strict=False)


def mutual_information(
    guide: Callable,
    data: Dataset | Tensor,
    *,
    site: str = "f",
    num_samples: int = 1,
    num_sequences: int | None = None,
    seed: int = 0,
) -> float:
    r"""I_q(site; x) in nats: how much of which sequence it is a site tells, at most log N.

    The index-code mutual information of Hoffman & Johnson (NeurIPS workshop, 2016), with the aggregate
    posterior q(f) of all N sequences and draws :math:`f_i \sim q(f \mid x_i)`:

    .. math:: \frac1N \sum_i \Big[\log q(f_i \mid x_i) - \log \frac1N \sum_j q(f_i \mid x_j)\Big]

    :param site: one whose posterior does not depend on the other latents.
    :param num_samples: draws a sequence.
    :param num_sequences: N, so many drawn by ``seed`` (default: all).
    :raises ValueError: if the guide has no such site, or draws it given another.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> mutual_information(guide, x) < math.log(len(x)) + 1e-6
    True
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    x, mask = _sequences(data, num_sequences, seed)
    device = device_of(guide)
    total = 0.0
    with evaluation(seed, device, guide):
        laws = [_law(guide, part.to(device), site, m) for part, m in _batches(x, mask)]
        for law in laws:
            for _ in range(num_samples):
                value = law.sample()
                rows = [other.log_prob(value.unsqueeze(1)) for other in laws]
                aggregate = torch.cat(rows, dim=1).double().logsumexp(1) - math.log(len(x))
                total += float((law.log_prob(value).double() - aggregate).sum())
    return total / (num_samples * len(x))


def _law(guide: Callable, x: Tensor, site: str, mask: Tensor | None) -> Any:
    """q(site | x), of batch shape ``(N,)``."""
    mask = as_mask(mask, x, guide)
    x, given = shown(x, mask), {} if mask is None else {"mask": mask}
    first, second = (
        _site(poutine.trace(guide).get_trace(x, **given), site, "guide") for _ in range(2)
    )
    if mask is not None and len(first["fn"].event_shape) == 2:
        raise ValueError(f"site must be one vector a sequence where lengths differ, got {site!r}")
    value = first["value"]
    if not torch.allclose(first["fn"].log_prob(value), second["fn"].log_prob(value), 1e-5, 1e-5):
        raise ValueError(
            f"site must not depend on the guide's other latents, but the law of {site!r} changes with them"
        )
    return first["fn"]


def content_dynamics_information(
    guide: Callable,
    data: Dataset | Tensor,
    *,
    content: str = "f",
    dynamics: str = "z",
    components: int = 16,
    num_samples: int = 1,
    num_sequences: int | None = None,
    seed: int = 0,
) -> float:
    """I_q(f; z_t) in nats, the mean over frames: how much content the dynamics still know.

    By :func:`gaussian_copula_information` of draws from the guide, frame by frame, along at most
    ``components`` principal axes of the posterior means of either: what the axes leave out can only make it
    less.

    :param components: of f and of z_t; N must be more than both together.
    :param num_samples: draws a sequence; the estimate is the mean over them.
    :param num_sequences: N, so many drawn by ``seed`` (default: all).

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> x = torch.rand(40, 8, 3, 16, 16)
    >>> isinstance(content_dynamics_information(guide, x), float)
    True
    """
    for name, number in (("components", components), ("num_samples", num_samples)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    x, mask = _sequences(data, num_sequences, seed)
    if mask is not None:
        raise ValueError("data must hold whole sequences of one length, got some with a mask")
    device = device_of(guide)
    with evaluation(seed, device, guide):

        def latents(sample: bool) -> tuple[Tensor, Tensor]:
            batches = [infer(guide, part.to(device), sample=sample) for part in x.split(_BATCH)]
            missing = [name for name in (content, dynamics) if name not in batches[0]]
            if missing:
                raise ValueError(
                    f"guide must have sites {content!r} and {dynamics!r}, got {[*batches[0]]}"
                )
            f, z = (torch.cat([b[name] for b in batches]).double() for name in (content, dynamics))
            return f, z.unsqueeze(1) if z.dim() == 2 else z

        axes = [_principal_axes(means.flatten(0, -2), components) for means in latents(False)]
        found = []
        for _ in range(num_samples):
            f, z = (draw @ axis for draw, axis in zip(latents(True), axes, strict=True))
            found += [gaussian_copula_information(f, z_t) for z_t in z.unbind(1)]
    return sum(found) / len(found)


def _principal_axes(means: Tensor, components: int) -> Tensor:
    """``(dim, components)`` of ``(N, dim)``, by variance."""
    _, _, axes = torch.linalg.svd(means - means.mean(0), full_matrices=False)
    return axes[:components].T


def gaussian_copula_information(a: Tensor, b: Tensor) -> float:
    """I(a; b) in nats of N joint draws ``(N, dim_a)`` and ``(N, dim_b)`` under a Gaussian copula.

    The estimator of Ince et al. (Human Brain Mapping, 2017), with its correction of the bias: each dimension
    becomes Normal by its ranks, then -1/2 log det of the correlations. Exact where a and b are Normal up to
    monotone maps of each dimension. About 0, and below it by chance, where they are independent.

    >>> a = torch.randn(1000, 2)
    >>> gaussian_copula_information(a, a + 0.1 * torch.randn(1000, 2)) > 3
    True
    """
    n = len(a)
    if a.dim() != 2 or b.dim() != 2 or len(b) != n:
        raise ValueError(f"a and b must be (N, dim), got {tuple(a.shape)} and {tuple(b.shape)}")
    dims = a.shape[1], b.shape[1]
    if n <= sum(dims) + 1:
        raise ValueError(
            f"N must be more than {sum(dims) + 1} for {dims[0]} and {dims[1]} dimensions, got {n}"
        )
    joint = torch.cat([a, b], dim=1).double().cpu()
    ranks = joint.argsort(0).argsort(0).double() + 1
    normal = torch.special.ndtri(ranks / (n + 1))
    covariance = normal.T @ normal / (n - 1)

    def entropy(block: Tensor) -> float:
        """Up to what cancels: half the log determinant less its bias."""
        bias = torch.digamma((n - torch.arange(1.0, len(block) + 1, dtype=torch.float64)) / 2).sum()
        return float(torch.linalg.cholesky(block).diagonal().log().sum() - bias / 2)

    of_a, of_b = covariance[: dims[0], : dims[0]], covariance[dims[0] :, dims[0] :]
    return entropy(of_a) + entropy(of_b) - entropy(covariance)
