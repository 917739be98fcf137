"""Muon: its step by singular values, Adam beside it, resume, and what it is for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyro_dsae import fit
from pyro_dsae.training import Muon
from pyro_dsae.training.muon import orthogonalised

CPU = {"device": "cpu", "progress": False}


@pytest.mark.parametrize("shape", [(8, 8), (5, 40), (40, 5)])
def test_every_direction_becomes_as_large(shape):
    """Singular values from 1 down to 1/100 all land near 1, with the same singular vectors."""
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    m = u * torch.logspace(0, -2, min(shape)) @ v
    inner = u.T @ orthogonalised(m) @ v.T
    assert inner.diagonal().min() > 0.6 and inner.diagonal().max() < 1.25
    assert (inner - inner.diagonal().diag()).abs().max() < 1e-4


def test_its_step_by_hand():
    """The first step of a kernel: rate sqrt(rows / columns) along UV^T of the gradient."""
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(24, 2, 2, 2))
    before = w.detach().clone()
    w.grad = torch.randn_like(w)
    u, _, v = torch.linalg.svd(w.grad.flatten(1), full_matrices=False)
    Muon([w], matrices=[w], rate=0.1).step()
    moved = (before - w.detach()).flatten(1)
    assert torch.linalg.svdvals(moved) == pytest.approx(0.1 * 3**0.5, rel=0.4)
    assert torch.nn.functional.cosine_similarity(moved.flatten(), (u @ v).flatten(), dim=0) > 0.95


def test_the_rest_is_adams():
    """Biases of the matrices' network, and all other networks, step as under Adam."""
    x = torch.randn(16, 6)

    def trained(make):
        torch.manual_seed(0)
        first, second = nn.Linear(6, 6), nn.Linear(6, 2)
        nn.init.zeros_(first.weight).requires_grad_(False)
        params = [*first.parameters(), *second.parameters()]
        optim = make(params, second.weight)
        for _ in range(3):
            second(first(x).tanh()).square().sum().backward()
            second.weight.grad = None
            optim.step()
            optim.zero_grad()
        return torch.cat([first.bias, second.bias]).detach()

    ours = trained(lambda params, w: Muon(params, 1e-2, matrices=[w]))
    adams = trained(lambda params, w: torch.optim.Adam(params, 1e-2, fused=True))
    assert torch.equal(ours, adams)


def test_a_small_direction_is_learnt_that_adam_leaves():
    """Two inputs nearly equal, of which only the difference matters."""
    torch.manual_seed(0)
    mixing = torch.linalg.qr(torch.randn(16, 16))[0] * torch.logspace(0, -2, 16)
    target = torch.linalg.qr(torch.randn(16, 16))[0]

    def error(make):
        w = nn.Parameter(torch.zeros(16, 16))
        optim = make(w)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optim, 200)
        for _ in range(200):
            ((w - target) @ mixing).square().sum().backward()
            optim.step()
            decay.step()
            optim.zero_grad()
        return (w.detach() - target).norm() / target.norm()

    adams = min(
        error(lambda w, lr=lr: torch.optim.Adam([w], lr)) for lr in (0.003, 0.01, 0.03, 0.1)
    )
    ours = min(error(lambda w, lr=lr: Muon([w], matrices=[w], rate=lr)) for lr in (0.01, 0.03))
    assert ours < 0.5 * adams


def test_a_resumed_run_goes_on_as_if_never_stopped(make_pair, x, tmp_path):
    def run(folder, steps, resume=False):
        pair = make_pair()
        history = fit(
            *pair,
            x,
            steps=4,
            batch_size=4,
            checkpoint_dir=tmp_path / folder,
            checkpoint_every=2,
            resume=resume,
            optimizer=lambda params: Muon(params, matrices=pair[0].decoder.parameters()),
            callback=lambda history: steps and history.step == steps and _stop(),
            **CPU,
        )
        return history.losses

    def _stop():
        raise RuntimeError("stopped")

    whole = run("whole", None)
    with pytest.raises(RuntimeError, match="stopped"):
        run("broken", 3)
    assert run("broken", None, resume=True) == whole


def test_of_all_that_is_trained_the_matrices_are_turned():
    w, b = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    others, turned = Muon([w, b], 1e-2).param_groups
    assert turned["params"] == [w] and others["params"] == [b] and turned["lr"] == 0.02


def test_bad_arguments_are_refused():
    w, b = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))
    with pytest.raises(ValueError, match="matrices must be among params, of two axes and more"):
        Muon([w, b], matrices=[b])
    with pytest.raises(ValueError, match="rate must be positive, got 0"):
        Muon([w, b], matrices=[w], rate=0)
    with pytest.raises(ValueError, match="lr must be positive, got nan"):
        Muon([w, b], float("nan"), matrices=[w])
