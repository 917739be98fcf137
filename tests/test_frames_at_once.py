"""Frames in chunks: the same numbers from less memory."""

from __future__ import annotations

from typing import Any

import pyro
import pytest
import torch
from conftest import SIZES, kept_bytes
from pyro.infer import Trace_ELBO
from torch import Tensor, nn

import pyro_dsae
from pyro_dsae import DSAE, Factorised, Full, LSTMc, LSTMGuide, Pairwise, Unordered, views

CASES: dict[str, tuple[type[nn.Module], type[nn.Module], dict[str, Any]]] = {
    "views": (
        DSAE,
        Factorised,
        {
            "content_encoder": True,
            "content_view": views.ShuffleStrips(4),
            "dynamics_view": views.Recolour(),
        },
    ),
    "one encoder": (DSAE, Full, {}),
    "maps and pairs": (Unordered, Pairwise, {"content_frames": 3, "pairs_at_once": 4}),
    "pooled": (Unordered, Pairwise, {"content_encoder": "pooled"}),
    "one z": (LSTMc, LSTMGuide, {}),
}
FRAME = (3, 16, 16)


def loss_and_gradients(model, guide, x: Tensor, frames_at_once: int | None) -> list[Tensor]:
    model.frames_at_once = guide.frames_at_once = frames_at_once
    modules = nn.ModuleList([model, guide])
    modules.zero_grad()
    pyro.set_rng_seed(1)
    loss = Trace_ELBO()(model, guide)(x)
    loss.backward()
    return [loss.detach(), *(parameter.grad for parameter in modules.parameters())]


@pytest.mark.parametrize("case", CASES)
def test_chunks_change_neither_value_nor_gradient(x, case):
    model_type, guide_type, options = CASES[case]
    model, guide = model_type(FRAME, **SIZES), guide_type(FRAME, **SIZES, **options)
    whole = loss_and_gradients(model, guide, x, None)
    for frames_at_once in (7, 1000):
        chunked = loss_and_gradients(model, guide, x, frames_at_once)
        for a, b in zip(chunked, whole, strict=True):
            assert (a - b).abs().max() <= 1e-5 * b.abs().max()


def test_vectors_are_chunked_too():
    model, guide = DSAE((20,), **SIZES), Factorised((20,), **SIZES)
    x = torch.rand(3, 5, 20)
    whole, chunked = (loss_and_gradients(model, guide, x, at_once) for at_once in (None, 4))
    for a, b in zip(chunked, whole, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


def test_no_network_sees_more_frames_and_less_is_kept(x):
    model = DSAE(FRAME, **SIZES, frames_at_once=6)
    guide = Factorised(FRAME, **SIZES, frames_at_once=5, content_encoder=True)
    seen: dict[str, int] = {}

    def watch(name: str, network: nn.Module) -> None:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[name] = max(seen.get(name, 0), len(inputs[0]))

        network.register_forward_pre_hook(hook)

    watch("decoder", model.decoder)
    watch("encoder", guide.encoder)
    watch("content encoder", guide.content_encoder)

    elbo = Trace_ELBO()(model, guide)

    def kept() -> int:
        elbo(x).backward()
        return sum(kept_bytes(lambda: elbo(x)))

    chunked = kept()
    assert seen == {"decoder": 6, "encoder": 5, "content encoder": 5}
    model.frames_at_once = guide.frames_at_once = None
    # What the LSTMs keep, in chunks or not, differs between releases of torch.
    assert kept() - chunked > 4 * x.nbytes


def test_control_goes_in_chunks(make_pair, x):
    model, guide = (module.eval() for module in make_pair())
    whole = pyro_dsae.reconstruct(model, guide, x)
    model.frames_at_once = guide.frames_at_once = 7
    seen = []
    model.decoder.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    torch.testing.assert_close(pyro_dsae.reconstruct(model, guide, x), whole)
    assert pyro_dsae.generate(model, batch_size=2, num_frames=9).shape == (2, 9, *FRAME)
    assert max(seen) == 7 and sum(seen) == 12 * 4 + 2 * 9


def test_is_saved_with_the_configuration(tmp_path):
    options = {**SIZES, "frames_at_once": 64}
    pyro_dsae.save(tmp_path, DSAE(FRAME, **options), Pairwise(FRAME, **options))
    assert [module.frames_at_once for module in pyro_dsae.load(tmp_path)] == [64, 64]


def test_at_least_one_frame(make_pair, x):
    model, guide = make_pair()
    model.frames_at_once = 0
    with pytest.raises(ValueError, match="frames_at_once must be at least 1, got 0"):
        model(batch_size=2)
    guide.frames_at_once = -3
    with pytest.raises(ValueError, match="frames_at_once must be at least 1, got -3"):
        guide(x)
