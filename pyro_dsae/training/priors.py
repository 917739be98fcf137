r"""The laws of f and z trained further, by themselves, on what a guide infers.

.. math:: \max_\theta\ \mathbb E_{q(f, z \mid x)}\big[\log p_\theta(f) + \log p_\theta(z_{1:T} \mid f)\big]

That is all that the bound says of them. No frame is decoded, so a step costs a small part of one of
:func:`~pyro_dsae.fit`, and what the guide infers stands still, where in training it moves with every step.
Dai & Wipf, *Diagnosing and Enhancing VAE Models* (ICLR 2019), section 4, put a second VAE in the place of
the prior; here it is the model's own that learns on.
"""

from __future__ import annotations

import math

import pyro
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import Dataset
from tqdm.auto import trange

from .._numbers import check_whole
from ..checks import check_pair
from ..control import infer
from ..models.base import SequenceModel
from ..priors import Mixture
from ..program import device_of
from .batches import MASK, Data, as_dataset, in_order
from .fit import NonFiniteLossError

CLIP_NORM = 10.0  # of the gradient of the loss, as in fit


def fit_priors(
    model: SequenceModel,
    guide: nn.Module,
    data: Data,
    *,
    steps: int = 1000,
    batch_size: int = 256,
    lr: float = 4e-3,
    num_samples: int = 8,
    seed: int = 0,
    progress: bool | None = None,
) -> list[float]:
    """Train p(f) and p(z | f) of a trained model alone, in place, on draws of f and z from the guide.

    Decoder and guide stay as they are, and so do reconstructions and swaps. The data is read once; of each
    sequence ``num_samples`` draws of f and z are kept. Components of a mixture of z that have died begin
    anew, see :meth:`pyro_dsae.priors.Mixture.revive`.

    :param data: sequences as in :func:`~pyro_dsae.fit`.
    :param steps: of Adam on ``batch_size`` draws each, at a rate that falls from ``lr`` to 0 as a cosine.
    :param progress: a progress bar; by default when standard error is a terminal.
    :returns: -log p(f) - log p(z | f) at each step, nats a sequence.
    :raises ValueError: if neither law has weights of its own, or the guide infers z by the model's prior, as
        :class:`~pyro_dsae.guides.Structured` does.
    :raises NonFiniteLossError: naming the step.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model = pyro_dsae.DSAE((3, 16, 16), prior="mixture", content_prior="flow", **sizes)
    >>> guide = pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> len(fit_priors(model, guide, torch.rand(4, 8, 3, 16, 16), steps=3, progress=False))
    3
    """
    check_whole(1, steps=steps, batch_size=batch_size, num_samples=num_samples)
    if not 0 < lr < math.inf:
        raise ValueError(f"lr must be positive, got {lr}")
    if not isinstance(model, SequenceModel):
        raise TypeError(f"model must be a SequenceModel, got {type(model).__name__}")
    check_pair(model, guide)
    dataset, device, losses = as_dataset(data), device_of(model), []
    model.train()  # cuDNN's LSTM has no gradients otherwise
    try:
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            pyro.validation_enabled(False),
        ):
            weights = _weights(model)
            if {*map(id, weights)} & {*map(id, guide.parameters())}:
                raise ValueError(
                    f"guide must have weights of its own, got {type(guide).__name__}, which infers "
                    "by the priors of the model: train them together, by fit"
                )
            torch.manual_seed(seed)
            f, z, mask = _draws(model, guide, dataset, num_samples)
            if isinstance(model.prior, Mixture) and {*model.prior.parameters()} <= {*weights}:
                rows = torch.randint(len(z), (4 * batch_size,), device=device)
                model.prior.revive(z[rows], None if mask is None else mask[rows])
            optim = torch.optim.Adam(weights, lr)
            decay = CosineAnnealingLR(optim, steps)
            for step in trange(steps, disable=None if progress is None else not progress):
                rows = torch.randint(len(f), (batch_size,), device=device)
                p_z = model.law_of_z(f[rows], z.shape[1], None if mask is None else mask[rows])
                loss = -(model.content_prior().log_prob(f[rows]) + p_z.log_prob(z[rows])).mean()
                losses.append(loss.item())
                if not math.isfinite(losses[-1]):
                    raise NonFiniteLossError(f"the priors' loss is {losses[-1]} at step {step}")
                optim.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(weights, CLIP_NORM)
                optim.step()
                decay.step()
            optim.zero_grad()
    finally:
        model.eval()
    return losses


def _weights(model: SequenceModel) -> list[nn.Parameter]:
    """Those that p(f) and p(z | f) depend on; a ValueError if there are none."""
    shapes = ([2 if n is None else n for n in shape] for shape in model.latents.values())
    f, z = (torch.zeros(1, *shape, device=device_of(model)) for shape in shapes)
    log_prob = model.content_prior().log_prob(f) + model.law_of_z(f, 2).log_prob(z)
    weights = [p for p in model.parameters() if p.requires_grad]
    if not (weights and log_prob.requires_grad):
        raise ValueError(
            "model must have a p(f) or a p(z | f) with weights to train, got "
            f"{type(model).__name__} with {type(model.content_prior).__name__}"
        )
    gradients = torch.autograd.grad(log_prob.sum(), weights, allow_unused=True)
    return [p for p, g in zip(weights, gradients, strict=True) if g is not None]


def _draws(
    model: SequenceModel, guide: nn.Module, data: Dataset, num_samples: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """f ``(M, f_dim)``, z ``(M, T, z_dim)`` and, where lengths differ, the mask ``(M, T)`` of all draws."""
    found: list[tuple[Tensor, ...]] = []
    for x, labels in in_order(data, 64, device_of(guide)):
        with pyro.plate("draws", num_samples, dim=-2):
            latents = infer(guide, x, sample=True, model=model, mask=labels.get(MASK))
        mask = labels.get(MASK, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device))
        f, z = (latents[site].flatten(0, 1) for site in ("f", "z"))
        found.append((f, z, mask.repeat(num_samples, 1)))
    longest = max(mask.shape[1] for _, _, mask in found)
    mask = torch.cat([pad(mask, (0, longest - mask.shape[1])) for _, _, mask in found])
    zs = [z if z.dim() == 2 else pad(z, (0, 0, 0, longest - z.shape[1])) for _, z, _ in found]
    return torch.cat([f for f, _, _ in found]), torch.cat(zs), None if mask.all() else mask
