r"""How well a guide fits a model, and what its latents know.

For draws :math:`(f^k, z^k) \sim q(f, z \mid x)` and log weights
:math:`\log w_k = \log p(x, f^k, z^k) - \log q(f^k, z^k \mid x)`,

.. math:: \mathrm{ELBO} = E \log w_k \le E \log \frac1K \sum_{k=1}^K w_k \le \log p(x),

the second the bound of Burda et al. (ICLR 2016), eq. 8. The tail of the weights says how far to trust it:
Pareto smoothing's k-hat (Vehtari et al., JMLR 2024; of guides, Yao et al., ICML 2018) is below 0.7 where
the guide is close enough to the posterior for importance sampling to work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..inference import elbo_terms
from ..inference_data import _import_arviz
from ._evaluation import device_of, evaluation

_MIN_DRAWS = 25  # ArviZ fits the tail, a fifth of so few, from 5 draws on


@torch.no_grad()
def log_weights(
    model: Callable,
    guide: Callable,
    x: Tensor,
    num_samples: int,
    *,
    pairs_at_once: int = 512,
) -> Tensor:
    """log p(x, f, z) - log q(f, z | x) of draws from the guide, float64 ``(num_samples, N)``, in nats.

    Of all latent sites of the guide, whatever their names. The memory beside the result is that of one pass
    over ``pairs_at_once`` (draw, sequence) pairs; ``pyro.infer``'s ``vectorized_importance_weights`` would
    put the draws into a plate at dim -2, which our encoders lack, keep all their traces, and sum over the
    sequences. The draws follow ``pyro.set_rng_seed``. Put modules into evaluation mode first.

    :param x: ``(N, T, *frame)``.
    :raises ValueError: if there is nothing to draw, or a weight is NaN.
    """
    weights = [terms["elbo"] for terms in _draws(model, guide, x, num_samples, pairs_at_once)]
    return _weights(weights, num_samples)


def _draws(
    model: Callable, guide: Callable, x: Tensor, num_samples: int, pairs_at_once: int
) -> Iterator[dict[str, Tensor]]:
    """Parts of the ELBO for each (draw, sequence) pair, draw by draw, in batches."""
    if x.dim() < 3 or not len(x):
        raise ValueError(f"x must be (batch, time, *frame) and not empty, got {tuple(x.shape)}")
    for name, value in (("num_samples", num_samples), ("pairs_at_once", pairs_at_once)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    for start in range(0, num_samples * len(x), pairs_at_once):
        stop = min(start + pairs_at_once, num_samples * len(x))
        yield elbo_terms(model, guide, x[torch.arange(start, stop, device=x.device) % len(x)])


def _weights(batches: list[Tensor], num_samples: int) -> Tensor:
    weights = torch.cat(batches).double().view(num_samples, -1)
    bad = weights.isnan().any(0).nonzero().flatten().tolist()
    if bad:
        raise ValueError(f"log weights must be numbers, got NaN for sequences {bad[:8]}")
    return weights


def importance_bound(log_weights: Tensor) -> Tensor:
    """The importance-weighted bound on log p(x), logsumexp - log K: ``(K, N)`` to ``(N,)``.

    Burda et al. (2016), eq. 8; in the mean it rises with K, from the ELBO to log p(x).
    """
    _check_weights(log_weights)
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def k_hat(log_weights: Tensor) -> Tensor:
    """Pareto k of the weights of each sequence, by ArviZ: ``(K, N)`` to ``(N,)``, K at least 25.

    0 where the weights are equal to within rounding: they have no tail. Infinite where ArviZ finds too few
    draws in the tail, since one outweighs all others.
    """
    _check_weights(log_weights)
    if len(log_weights) < _MIN_DRAWS:
        raise ValueError(
            f"log_weights must hold at least {_MIN_DRAWS} draws, got {len(log_weights)}"
        )
    arviz = _import_arviz()
    weights = log_weights.double().cpu()
    if int(arviz.__version__.split(".")[0]) >= 1:
        import xarray

        array = xarray.DataArray(-weights.numpy(), dims=("draw", "sequence"))
        k = array.azstats.psislw(dim="draw")[1].values
    else:
        k = arviz.psislw(weights.T.numpy())[1]
    found = torch.from_numpy(np.array(k, dtype=np.float64))
    spread = weights.amax(0) - weights.amin(0)
    rounding = 4 * torch.finfo(torch.float32).eps * weights.abs().amax(0)
    return torch.where(spread <= rounding, torch.zeros_like(found), found).to(log_weights.device)


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
) -> dict[str, float | None]:
    """How close the guide comes to log p(x) of the model; means over sequences, in nats a sequence.

    :param data: sequences ``(N, T, *frame)`` as a tensor, or a data set of ``x`` or ``(x, labels)``.
    :param num_samples: K, draws a sequence, at least 25.
    :param num_sequences: of so many drawn by ``seed``, the same for every guide (default: all).
    :returns: ``elbo``, of all K draws; ``iw_bound``, :func:`importance_bound`; ``gap``, the second less the
        first; ``log_likelihood``, log p(x | f, z); ``kl_f`` and ``kl_z`` (of every latent site), and
        ``kl_z_per_frame``, of each site of the model's dynamics; ``bits_per_dim`` = -ELBO / (dims ln 2) and
        ``iw_bits_per_dim``; ``k_hat_below_0_7``, a share, and ``k_hat_median``, None where it is infinite.
    """
    if num_samples < _MIN_DRAWS:
        raise ValueError(f"num_samples must be at least {_MIN_DRAWS}, got {num_samples}")
    device = device_of(model)
    x = _sequences(data, num_sequences, seed).to(device)
    weights: list[Tensor] = []
    totals: dict[str, float] = {}
    with evaluation(seed, device, model, guide):
        for terms in _draws(model, guide, x, num_samples, pairs_at_once):
            weights.append(terms["elbo"])
            for name, values in terms.items():
                totals[name] = totals.get(name, 0.0) + float(values.double().sum())
    log_w = _weights(weights, num_samples)
    bound = float(importance_bound(log_w).mean())
    k = k_hat(log_w)
    median = float(k.median())
    means = {name: total / log_w.numel() for name, total in totals.items()}
    bits = x[0].numel() * math.log(2)
    per_frame = {
        f"kl_{site}_per_frame": means[f"kl_{site}"] / x.shape[1]
        for site in getattr(model, "dynamics", ("z",))
        if f"kl_{site}" in means
    }
    return {
        **means,
        **per_frame,
        "iw_bound": bound,
        "gap": bound - means["elbo"],
        "bits_per_dim": -means["elbo"] / bits,
        "iw_bits_per_dim": -bound / bits,
        "k_hat_below_0_7": float((k < 0.7).double().mean()),
        "k_hat_median": median if math.isfinite(median) else None,
    }


def _sequences(data: Dataset | Tensor, num: int | None, seed: int) -> Tensor:
    """x of ``num`` sequences of the data, drawn without replacement, or of all."""
    size = len(data)  # type: ignore[arg-type]
    if num is not None and not 1 <= num <= size:
        raise ValueError(f"num_sequences must be 1 to {size}, got {num}")
    order = torch.arange(size)
    if num is not None:
        order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:num]
    if isinstance(data, Tensor):
        return data[order.to(data.device)]
    items = (data[i] for i in order.tolist())
    return torch.stack([item[0] if isinstance(item, (tuple, list)) else item for item in items])
