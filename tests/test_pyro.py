"""Pyro's own algorithms and handlers on every pair: each cell of the table in docs/pyro.md."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pyro
import pytest
import torch
from conftest import every_pair
from pyro import distributions as dist
from pyro import poutine
from pyro.distributions.constraints import positive
from pyro.infer import (
    SVI,
    Importance,
    JitTrace_ELBO,
    Predictive,
    RenyiELBO,
    ReweightedWakeSleep,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
)
from pyro.infer.autoguide import AutoDelta, AutoNormal
from torch import nn

import pyro_dsae
from pyro_dsae.handlers import latent_sites
from pyro_dsae.objectives import ReparametrisedELBO

N, T, FRAME = 4, 3, (1, 8, 8)
PAIRS = {"-".join(names): names for names in every_pair()}


@pytest.fixture(params=PAIRS)
def pair(request) -> tuple[nn.Module, nn.Module]:
    model, guide = every_pair()[PAIRS[request.param]](FRAME)
    return model.eval(), guide.eval()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(N, T, *FRAME)


def traces(model, guide, x):
    q = poutine.trace(guide).get_trace(x)
    p = poutine.trace(poutine.replay(model, trace=q)).get_trace(x)
    return p, q


@torch.no_grad()
def log_weight(model, guide, x):
    """log p(x, f, z) - log q(f, z | x) of each sequence, ``(N,)``."""
    p, q = traces(model, guide, x)
    for trace in (p, q):
        trace.compute_log_prob()
    sites = latent_sites(q)
    return sum(p.nodes[name]["log_prob"] for name in [*sites, "x"]) - sum(
        q.nodes[name]["log_prob"] for name in sites
    )


def bound(elbo: Callable, model, guide, x, draws: int = 60) -> tuple[float, float]:
    """Mean and standard error of an estimate of the negative bound."""
    losses = torch.tensor([float(elbo(model, guide, x)) for _ in range(draws)])
    return float(losses.mean()), float(losses.std()) / math.sqrt(draws)


def agrees_with_trace_elbo(elbo: Callable, model, guide, x):
    means, errors = zip(
        *(bound(e, model, guide, x) for e in (Trace_ELBO().loss, elbo)), strict=True
    )
    assert abs(means[0] - means[1]) < 4 * math.hypot(*errors)


def has_gradients(loss: torch.Tensor, *modules: nn.Module):
    loss.backward()
    for module in modules:
        for name, weight in module.named_parameters():
            if not name.startswith("mu2."):  # of training utterances, and these are of none
                assert weight.grad is not None and weight.grad.abs().sum() > 0, name


# --- objectives -------------------------------------------------------------------------------------


def svi(model, guide, x):
    trainer = SVI(model, guide, pyro.optim.Adam({"lr": 3e-3}), Trace_ELBO())
    losses = [trainer.step(x) for _ in range(40)]
    assert sum(losses[-5:]) < sum(losses[:5])
    assert len(pyro.get_param_store()) == 0


def vectorised_particles(model, guide, x):
    """The vectorised bound is the looped one, particle by particle, at the same draws."""
    particles = pyro.plate("particles", 5, dim=-2)
    p, q = traces(particles(model), particles(guide), x)
    p.compute_log_prob(), q.compute_log_prob()
    sites = latent_sites(q)
    for i in range(5):
        draws = {name: q.nodes[name]["value"][i] for name in sites}
        alone = [
            poutine.trace(poutine.condition(program, data=draws)).get_trace(x)
            for program in (model, guide)
        ]
        for together, trace, names in ((p, alone[0], [*sites, "x"]), (q, alone[1], sites)):
            trace.compute_log_prob()
            for name in names:
                torch.testing.assert_close(
                    together.nodes[name]["log_prob"].expand(5, N)[i],
                    trace.nodes[name]["log_prob"],
                    rtol=1e-4,
                    atol=1e-3,
                )
    for elbo in (Trace_ELBO, ReparametrisedELBO):
        loss = elbo(num_particles=3, vectorize_particles=True, max_plate_nesting=1).loss
        agrees_with_trace_elbo(loss, model, guide, x)
    elbo = Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1)
    has_gradients(elbo.differentiable_loss(model, guide, x), model, guide)


def reparametrised(model, guide, x):
    for loss in (Trace_ELBO().loss, ReparametrisedELBO().differentiable_loss):
        torch.manual_seed(0)
        with pyro.validation_enabled(False):
            value = float(loss(model, guide, x))
        torch.manual_seed(0)
        assert value == pytest.approx(-float(log_weight(model, guide, x).sum()), rel=1e-5)


def mean_field(model, guide, x):
    agrees_with_trace_elbo(TraceMeanField_ELBO().loss, model, guide, x)
    has_gradients(TraceMeanField_ELBO().differentiable_loss(model, guide, x), model, guide)


def graph(model, guide, x):
    agrees_with_trace_elbo(TraceGraph_ELBO().loss, model, guide, x)
    TraceGraph_ELBO().loss_and_grads(model, guide, x)
    assert all(weight.grad is not None for weight in model.parameters())


def enumerated(model, guide, x):
    elbo = TraceEnum_ELBO(max_plate_nesting=1)
    agrees_with_trace_elbo(elbo.loss, model, guide, x)
    has_gradients(elbo.differentiable_loss(model, guide, x), model, guide)


def auto_guides(model, guide, x):
    """Guides whose weights are in Pyro's store, beside a model whose own are not."""
    drawn = poutine.trace(model).get_trace(x).nodes
    shapes = {name: drawn[name]["value"].shape for name in (*model.content, *model.dynamics)}
    network = nn.Linear(1, 1)

    def own(x):
        pyro.module("network", network)
        with pyro.plate("sequences", len(x), dim=-1):
            for name, shape in shapes.items():
                loc = pyro.param(f"loc_{name}", torch.zeros(shape))
                scale = pyro.param(f"scale_{name}", torch.ones(shape), constraint=positive)
                pyro.sample(
                    name,
                    dist.Normal(loc + network(torch.ones(1)), scale).to_event(len(shape) - 1),
                )

    for chosen in (AutoNormal(model), AutoDelta(model), own):
        pyro.clear_param_store()
        training = SVI(model, chosen, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
        assert math.isfinite(training.step(x))
        store = pyro.get_param_store()
        before = {name: value.detach().clone() for name, value in store.items()}
        own_before = [weight.detach().clone() for weight in model.parameters()]
        assert math.isfinite(training.step(x))
        still = [name for name, value in before.items() if torch.equal(store[name], value)]
        assert before and still == []
        pairs = zip(own_before, model.parameters(), strict=True)
        assert any(not torch.equal(old, new) for old, new in pairs)
    pyro.clear_param_store()


def renyi(model, guide, x):
    """At alpha = 0 the importance-weighted bound of each sequence: log mean of its weights."""
    torch.manual_seed(0)
    loss = RenyiELBO(alpha=0, num_particles=4).loss(model, guide, x)
    torch.manual_seed(0)
    weights = torch.stack([log_weight(model, guide, x) for _ in range(4)])
    assert loss == pytest.approx(float((math.log(4) - weights.logsumexp(0)).sum()), rel=1e-5)
    vectorised = RenyiELBO(alpha=0, num_particles=4, vectorize_particles=True, max_plate_nesting=1)
    vectorised.loss_and_grads(model, guide, x)
    assert all(weight.grad is not None for weight in model.parameters())


def wake_sleep(model, guide, x):
    """The wake phases; for its sleep a model would have to take its data as a dict of observations."""
    objective = ReweightedWakeSleep(num_particles=3, vectorize_particles=False)
    wake_theta, wake_phi = objective.loss_and_grads(model, guide, x)
    assert math.isfinite(wake_theta) and math.isfinite(wake_phi)
    for module in (model, guide):
        assert any(w.grad is not None and w.grad.abs().sum() > 0 for w in module.parameters())


def jit(model, guide, x):
    """Not to be had: it looks for weights in the global parameter store, where ours are not."""
    with pytest.raises(KeyError):
        JitTrace_ELBO().loss_and_grads(model, guide, x)


def importance(model, guide, x):
    torch.manual_seed(0)
    posterior = Importance(model, guide, num_samples=6).run(x)
    torch.manual_seed(0)
    weights = torch.stack([log_weight(model, guide, x).sum() for _ in range(6)])
    found = torch.stack([torch.as_tensor(w) for w in posterior.log_weights])
    torch.testing.assert_close(found, weights, rtol=1e-4, atol=1e-2)
    assert float(posterior.get_normalized_weights().sum()) == pytest.approx(1, rel=1e-4)


# --- handlers -----------------------------------------------------------------------------------------


def predictive(model, guide, x):
    """In parallel or one by one, with a guide and without, and what it predicts of its own draws."""
    shapes = []
    for parallel in (False, True):
        with_guide = Predictive(model, guide=guide, num_samples=5, parallel=parallel)(x)
        without = Predictive(model, num_samples=5, parallel=parallel)(batch_size=N, num_frames=T)
        shapes.append([{k: v.shape for k, v in d.items()} for d in (with_guide, without)])
    assert shapes[0] == shapes[1]
    draws = {name: with_guide[name] for name in with_guide if name != "x"}
    again = Predictive(model, draws, return_sites=["_RETURN"], parallel=True)(
        batch_size=N, num_frames=T
    )["_RETURN"]
    for i in range(5):
        each = pyro_dsae.generate(model, num_frames=T, **{k: v[i] for k, v in draws.items()})
        torch.testing.assert_close(again[i], each, rtol=1e-4, atol=1e-5)


def condition(model, guide, x):
    """What is conditioned on is observed, and scored."""
    _, q = traces(model, guide, x)
    draws = {name: q.nodes[name]["value"] for name in latent_sites(q)}
    p = poutine.trace(poutine.condition(model, data=draws)).get_trace(x)
    assert all(p.nodes[name]["is_observed"] for name in [*draws, "x"])
    replayed = poutine.trace(poutine.replay(model, trace=q)).get_trace(x)
    torch.testing.assert_close(p.log_prob_sum(), replayed.log_prob_sum())


def do(model, guide, x):
    """What is done is not scored, and what lies before it knows nothing of it."""
    _, q = traces(model, guide, x)
    done = {name: q.nodes[name]["value"] for name in model.dynamics}
    outcomes = []
    for intervene in (poutine.do, poutine.condition):
        torch.manual_seed(1)
        p = poutine.trace(intervene(model, data=done)).get_trace(batch_size=N, num_frames=T)
        outcomes.append(p)
    frames = [p.nodes["_RETURN"]["value"] for p in outcomes]
    assert frames[0].shape == (N, T, *FRAME)
    content = {name: outcomes[0].nodes[name]["value"] for name in model.content}
    torch.testing.assert_close(
        frames[0], pyro_dsae.generate(model, num_frames=T, **content, **done)
    )
    assert not any(outcomes[0].nodes[name]["is_observed"] for name in done if name in outcomes[0])


def scale_and_mask(model, guide, x):
    p, q = traces(poutine.scale(model, scale=0.5), poutine.scale(guide, scale=0.5), x)
    whole = poutine.trace(poutine.replay(model, trace=q)).get_trace(x)
    torch.testing.assert_close(p.log_prob_sum(), 0.5 * whole.log_prob_sum())
    mask = torch.tensor([True, False, True, True])
    masked = poutine.trace(poutine.replay(poutine.mask(model, mask=mask), trace=q)).get_trace(x)
    masked.compute_log_prob(), whole.compute_log_prob()
    for name in ("x", *model.dynamics):
        expected = whole.nodes[name]["log_prob"] * mask
        torch.testing.assert_close(masked.nodes[name]["log_prob"], expected)


def block_and_uncondition(model, guide, x):
    hidden = poutine.trace(poutine.block(guide, hide=[*model.content])).get_trace(x)
    assert not {*model.content} & {*hidden.nodes} and {*model.dynamics} <= {*hidden.nodes}
    drawn = poutine.trace(poutine.uncondition(model)).get_trace(x)
    assert not drawn.nodes["x"]["is_observed"] and not torch.equal(drawn.nodes["x"]["value"], x)


def render_model(model, guide, x):
    drawn = pyro.render_model(model, model_args=(x,), render_distributions=True).source
    for name in ("x", "sequences", *model.content, *model.dynamics):
        assert name in drawn


CELLS = {
    "`SVI`": svi,
    "`AutoNormal`, or a function with `pyro.param`, as guide": auto_guides,
    "`ReparametrisedELBO`, what `fit` takes": reparametrised,
    "`vectorize_particles=True`": vectorised_particles,
    "`TraceMeanField_ELBO`": mean_field,
    "`TraceGraph_ELBO`": graph,
    "`TraceEnum_ELBO`": enumerated,
    "`RenyiELBO`": renyi,
    "`ReweightedWakeSleep`": wake_sleep,
    "`JitTrace_ELBO`": jit,
    "`Importance`": importance,
    "`Predictive`, `parallel` or not": predictive,
    "`poutine.condition`, `replay`": condition,
    "`poutine.do`": do,
    "`poutine.scale`, `mask`": scale_and_mask,
    "`poutine.block`, `uncondition`": block_and_uncondition,
    "`pyro.render_model`": render_model,
}


@pytest.mark.filterwarnings("ignore:TraceEnum_ELBO found no sample sites:UserWarning")
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
def test_cell(cell, pair, x):
    cell(*pair, x)


def test_the_table_of_the_docs_is_this_one():
    page = (Path(__file__).parents[1] / "docs" / "pyro.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    table = {row[0].removeprefix("| "): [cell.strip(" |") for cell in row[1:]] for row in rows}
    columns = page.split("\n| |")[1].split("\n")[0].strip(" |").split(" | ")
    assert len(columns) == len(PAIRS)
    for names, column in zip(PAIRS.values(), columns, strict=True):
        assert column == f"`{names[0]}`, `{names[1]}`"
    assert [*table] == [*CELLS]
    for name, cells in table.items():
        assert cells == ["no" if name == "`JitTrace_ELBO`" else "yes"] * len(PAIRS)
