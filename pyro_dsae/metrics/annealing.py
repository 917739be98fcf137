r"""log p(x) by annealing from the guide to the posterior, where importance sampling from the guide fails.

Annealed importance sampling (Neal, Statistics and Computing 2001; of decoders, Wu et al., ICLR 2017). With
all latents in :math:`u`, chains start at :math:`u_0 \sim q(u \mid x)` and follow the geometric path

.. math:: \gamma_\beta(u) = q(u \mid x)^{1 - \beta}\, p(x, u)^{\beta},
          \qquad 0 = \beta_0 < \dots < \beta_K = 1,

by a transition :math:`u_{k-1} \to u_k` that leaves :math:`\gamma_{\beta_k}` as it is. The weights

.. math:: \log w = \sum_{k=1}^{K} (\beta_k - \beta_{k-1}) \log \frac{p(x, u_{k-1})}{q(u_{k-1} \mid x)}

have :math:`E\, w = p(x)`, whatever the guide and the transitions, so that with C chains
:math:`E \log \frac1C \sum_c w_c \le \log p(x)`; K = 1 is importance sampling. The temperatures are those of a
sigmoid, dense at both ends.

Transitions are Hamiltonian Monte Carlo: leapfrog steps, then Metropolis' rule (Neal, 2011). Steps are in
units of the guide's standard deviations. Their sizes, one for each sequence and temperature, come from a
pilot run of chains that are then thrown away, where they follow an acceptance of 0.65. To the chains that
count they are constants: sizes that followed these chains' own past would no longer leave
:math:`\gamma_\beta` as it is, and the weights would be biased.

From an exact draw of the posterior the same path runs backwards, and :math:`E\, 1/w = 1/p(x)`: an upper bound
(Grosse et al., 2015). There is such a draw of sequences that the model itself has made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyro
import torch
from pyro import distributions as dist
from pyro import poutine
from torch import Tensor, nn
from torch.distributions import constraints

from .._numbers import check_whole
from ..checks import as_mask, as_seen, check_pair
from ..handlers import latent_sites
from ..program import unwrapped
from ._evaluation import device_of, evaluation

TARGET = (
    0.65  # acceptance: about the best for Hamiltonian Monte Carlo (Beskos et al., Bernoulli 2013)
)
_PILOTS = 4  # chains
_WARM_UP = 30  # transitions of the pilots before the path begins
_SPREAD = 32  # draws from the guide that tell its standard deviations
_FIRST_STEP = 0.3  # in such deviations


@dataclass(frozen=True)
class Annealed:
    """What the chains found: ``log_weights``, float64 ``(C, N)``, and the share ``acceptance`` ``(N,)``."""

    log_weights: Tensor
    acceptance: Tensor


@torch.no_grad()
def anneal(
    model: Callable,
    guide: Callable,
    x: Tensor,
    num_chains: int = 16,
    *,
    num_temperatures: int = 500,
    num_leapfrog: int = 5,
    latents: Mapping[str, Tensor] | None = None,
    pairs_at_once: int = 512,
    mask: Tensor | None = None,
) -> Annealed:
    """Chains from the guide to p(f, z | x), of all latent sites of the guide, whatever their names.

    :func:`~pyro_dsae.metrics.importance_bound` of their weights is the bound on log p(x), nats a sequence.
    Each chain takes ``num_temperatures`` times ``num_leapfrog`` gradients of both programs, which have to
    broadcast over axes to the left of the plate, as all of ours do. Where the guide knows one point, a Delta,
    such as that of mu_2 of FHVAE, the site stays there: then the bound is on log p(x, mu_2). Put modules into
    evaluation mode first.

    :param x: ``(N, T, *frame)``.
    :param num_chains: C, of each sequence.
    :param num_temperatures: K.
    :param num_leapfrog: steps of a transition.
    :param latents: exact draws from p(f, z | x) by site, ``(N, ...)``: chains run from there back to the
        guide, and ``-importance_bound(log_weights)`` is an upper bound.
    :param pairs_at_once: so many (chain, sequence) pairs share a pass.
    :param mask: ``(N, T)``, True where a frame is present.
    :raises ValueError: if a count is less than 1, a latent is not of real numbers, or a weight not finite.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> anneal(model, guide, x, num_chains=2, num_temperatures=5).log_weights.shape
    torch.Size([2, 4])
    """
    check_whole(1, num_chains=num_chains, num_temperatures=num_temperatures)
    check_whole(1, num_leapfrog=num_leapfrog, pairs_at_once=pairs_at_once)
    if x.dim() < 3 or not len(x):
        raise ValueError(f"x must be (batch, time, *frame) and not empty, got {tuple(x.shape)}")
    mask = as_mask(mask, x, model, guide)
    x = as_seen(model, x, mask)
    betas = _temperatures(num_temperatures)
    parts = []
    for rows in torch.arange(len(x), device=x.device).split(max(1, pairs_at_once // num_chains)):
        given = {} if mask is None else {"mask": mask[rows]}
        path = _Path(model, guide, x[rows], given, num_leapfrog)
        if latents is None:
            start = path.drawn(num_chains)
        else:
            exact = path.flat({site: value[rows] for site, value in latents.items()})
            start = exact.expand(num_chains, *exact.shape)
        # What has run away is refused, and no error of a law that is asked about it.
        with pyro.validation_enabled(False), _recurrent_gradients(guide, model):
            steps = path.pilot(betas)
            back = 1 if latents is None else -1
            parts.append(path.run(start, betas[::back], steps[::back]))
    log_weights, acceptance = (torch.cat(part, dim=-1) for part in zip(*parts, strict=True))
    bad = (log_weights.isnan() | log_weights.isposinf()).any(0).nonzero().flatten().tolist()
    if bad:
        raise ValueError(f"log weights must be finite, got NaN or inf for sequences {bad[:8]}")
    return Annealed(log_weights, acceptance)


def bidirectional(
    model: Callable,
    guide: Callable,
    *,
    num_sequences: int = 8,
    num_frames: int = 8,
    num_chains: int = 16,
    seed: int = 0,
    **options: Any,
) -> dict[str, float]:
    """How exact :func:`anneal` is, by sequences that the model makes: log p(x) from below and from above.

    Bidirectional Monte Carlo (Grosse et al., 2015).

    :param options: others of :func:`anneal`.
    :returns: ``lower`` and ``upper``, bounds in expectation on the mean of log p(x), nats a sequence, and
        their difference, ``width``: of these sequences, and of data only as far as they are alike.

    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> found = bidirectional(model, guide, num_sequences=2, num_chains=2, num_temperatures=20)
    >>> sorted(found)
    ['lower', 'upper', 'width']
    """
    check_pair(model, guide)
    with evaluation(seed, device_of(model), model, guide):
        made: Any = poutine.trace(model).get_trace(batch_size=num_sequences, num_frames=num_frames)
        x = made.nodes["x"]["value"]
        latents = {site: made.nodes[site]["value"] for site in latent_sites(made) if site != "x"}
        ends = [
            anneal(model, guide, x, num_chains, latents=start, **options).log_weights
            for start in (None, latents)
        ]
    lower, upper = (float((w.logsumexp(0) - math.log(num_chains)).mean()) for w in ends)
    return {"lower": lower, "upper": -upper, "width": -upper - lower}


def chain_interval(log_weights: Tensor, name: str = "", *, seed: int = 0) -> dict[str, float]:
    """``NAME_low`` and ``NAME_high``: 95% of the mean bound, by a bootstrap over the chains of each sequence.

    :param log_weights: ``(C, N)``.

    >>> chain_interval(torch.zeros(16, 4), "ais")
    {'ais_low': 0.0, 'ais_high': 0.0}
    """
    chains = len(log_weights)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(chains, (1000, *log_weights.shape), generator=generator)
    weights = log_weights.double().cpu().expand(1000, *log_weights.shape).gather(1, drawn)
    means = (weights.logsumexp(1) - math.log(chains)).mean(1)
    low, high = means.quantile(means.new_tensor([0.025, 0.975])).tolist()
    prefix = name and f"{name}_"
    return {f"{prefix}low": low, f"{prefix}high": high}


def _temperatures(num: int, steepness: float = 4.0) -> list[float]:
    """0 to 1 in ``num`` parts."""
    curve = torch.linspace(-steepness, steepness, num + 1, dtype=torch.float64).sigmoid()
    return ((curve - curve[0]) / (curve[-1] - curve[0])).tolist()


class _State(NamedTuple):
    """Where chains are: log q and log p, ``(2, C, N)``, with their gradients, ``(2, C, N, D)``."""

    u: Tensor  # (C, N, D), all latents side by side
    logs: Tensor
    slopes: Tensor

    def at(self, beta: float) -> tuple[Tensor, Tensor]:
        """log gamma, ``(C, N)``, and its gradient, ``(C, N, D)``."""
        (log_q, log_p), (slope_q, slope_p) = self.logs, self.slopes
        return log_q.lerp(log_p, beta), slope_q.lerp(slope_p, beta)


@contextmanager
def _recurrent_gradients(*programs: Callable) -> Iterator[None]:
    """Within, LSTMs are in training mode, without which cuDNN's have no gradients.

    Where that would change what they give, by dropout, or they are out of sight, in a function, cuDNN is left
    out altogether.
    """
    roots = [*map(unwrapped, programs)]
    seen = [part for root in roots if isinstance(root, nn.Module) for part in root.modules()]
    recurrent = [part for part in seen if isinstance(part, nn.RNNBase)]
    hidden = not all(isinstance(root, nn.Module) for root in roots)
    if hidden or any(part.dropout for part in recurrent):
        with torch.backends.cudnn.flags(enabled=False):
            yield
        return
    before = [part.training for part in recurrent]
    try:
        for part in recurrent:
            part.training = True
        yield
    finally:
        for part, flag in zip(recurrent, before, strict=True):
            part.training = flag


class _Path:
    """The two ends of the path for sequences x, and what runs along it."""

    def __init__(
        self,
        model: Callable,
        guide: Callable,
        x: Tensor,
        given: Mapping[str, Tensor],
        num_leapfrog: int,
    ) -> None:
        self.programs, self.x, self.given = (guide, model), x, given
        self.num_leapfrog = num_leapfrog
        trace = poutine.trace(guide).get_trace(x, **given)
        self.shapes = {}
        self.varied = []
        for site in latent_sites(trace):
            node: Any = trace.nodes[site]
            _check_real(site, node["fn"])
            self.shapes[site] = node["value"].shape[1:]
            if not _is_point(node["fn"]):
                self.varied.append(site)
        if not self.varied:
            raise ValueError(f"guide must vary a latent, got points for {', '.join(self.shapes)}")
        draws = self.drawn(_SPREAD)
        moves = {
            site: torch.full((len(x), *shape), float(site in self.varied)).to(draws)
            for site, shape in self.shapes.items()
        }
        self.scale = draws.std(0) * self.flat(moves)

    def flat(self, latents: Mapping[str, Tensor]) -> Tensor:
        """Latents ``(*, N, ...)`` by site side by side, ``(*, N, D)``."""
        parts = [latents[site].flatten(-len(shape)) for site, shape in self.shapes.items()]
        return torch.cat(parts, dim=-1)

    def drawn(self, num: int) -> Tensor:
        """From the guide, ``(num, N, D)``."""
        draws = []
        for _ in range(num):
            trace: Any = poutine.trace(self.programs[0]).get_trace(self.x, **self.given)
            draws.append(self.flat({site: trace.nodes[site]["value"] for site in self.shapes}))
        return torch.stack(draws).detach()

    @torch.enable_grad()
    def state(self, u: Tensor) -> _State:
        """The state at u."""
        u = u.detach().requires_grad_()
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        latents = {
            site: part.unflatten(-1, shape)
            for part, (site, shape) in zip(u.split(sizes, -1), self.shapes.items(), strict=True)
        }
        logs, slopes = [], []
        for program, sites in zip(self.programs, (self.varied, [*self.shapes, "x"]), strict=True):
            conditioned: Any = poutine.condition(program, data=latents)
            trace = poutine.trace(conditioned).get_trace(self.x, **self.given)
            trace.compute_log_prob()
            parts = {site: trace.nodes[site]["log_prob"] for site in sites}
            for site, part in parts.items():
                if part.shape != u.shape[:-1]:
                    raise ValueError(
                        "model and guide must broadcast over axes to the left of the plate: log density of "
                        f"{site!r} must be {tuple(u.shape[:-1])}, got {tuple(part.shape)}"
                    )
            log = torch.stack([*parts.values()]).sum(0)
            slopes.append(torch.autograd.grad(log.sum(), u)[0])
            logs.append(log.detach())
        return _State(u.detach(), torch.stack(logs), torch.stack(slopes))

    def transition(self, state: _State, beta: float, step: Tensor) -> tuple[_State, Tensor]:
        """By steps of ``(N,)``; and the probability with which it was accepted, ``(C, N)``."""
        step = step.unsqueeze(-1)
        first = momentum = torch.randn_like(state.u)
        before, slope = state.at(beta)
        new = state
        for _ in range(self.num_leapfrog):
            momentum = momentum + step / 2 * self.scale * slope
            moved = new.u + step * self.scale * momentum
            # Where it has run away it is refused: the momentum says so.
            new = self.state(moved.where(moved.isfinite(), state.u))
            after, slope = new.at(beta)
            momentum = momentum + step / 2 * self.scale * slope
        gain = after - before + (first.square() - momentum.square()).sum(-1) / 2
        acceptance = gain.nan_to_num(nan=-torch.inf).exp().clamp(max=1)
        accepted = torch.rand_like(acceptance) < acceptance
        kept = _State(
            new.u.where(accepted.unsqueeze(-1), state.u),
            new.logs.where(accepted, state.logs),
            new.slopes.where(accepted.unsqueeze(-1), state.slopes),
        )
        return kept, acceptance

    def pilot(self, betas: Sequence[float]) -> list[Tensor]:
        """Sizes of steps by temperature, ``(N,)`` each, that chains of their own have tried."""
        state = self.state(self.drawn(_PILOTS))
        step = state.logs.new_full((len(self.x),), _FIRST_STEP)
        steps = []
        for k, beta in enumerate([betas[1]] * _WARM_UP + [*betas]):
            state, acceptance = self.transition(state, beta, step)
            step = step * (0.5 * (acceptance.mean(0) - TARGET)).exp()
            if k >= _WARM_UP:
                steps.append(step)
        return steps

    def run(
        self, u: Tensor, betas: Sequence[float], steps: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Log weights ``(C, N)`` of chains from u along the betas, and the share accepted, ``(N,)``."""
        state = self.state(u)
        weights = torch.zeros_like(state.logs[0], dtype=torch.float64)
        accepted = []
        for k in range(1, len(betas)):
            log_q, log_p = state.logs.double()
            weights += (betas[k] - betas[k - 1]) * (log_p - log_q)
            if k < len(betas) - 1:
                state, acceptance = self.transition(state, betas[k], steps[k])
                accepted.append(acceptance.mean(0))
        return weights, torch.stack(accepted).mean(0) if accepted else torch.ones_like(weights[0])


def _is_point(law: Any) -> bool:
    while isinstance(law, dist.Independent):
        law = law.base_dist
    return isinstance(law, dist.Delta)


def _check_real(site: str, law: Any) -> None:
    """ValueError unless its values are any real numbers."""
    support = law.support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    if support is not constraints.real:
        raise ValueError(f"latents must be of real numbers, got {site!r} of {type(law).__name__}")
