"""Assertions on single lines that other tests once let pass when they were changed."""

from __future__ import annotations

import pyro
import pytest
import torch
from conftest import SIZES
from pyro import poutine
from torch import nn
from torch.nn import functional as F

import pyro_dsae
from pyro_dsae import KLWeights, views
from pyro_dsae.nn import GaussianHead, ModulatedDecoder, PooledEncoder


def test_forecast_gives_the_frames_to_come_and_not_those_seen(make_pair, x):
    """With dynamics that count on from the last step, frame by frame."""
    model, guide = make_pair()

    class Count(nn.Module):
        def forward(self, z, state=None):
            return z + 1, torch.full_like(z, 1e-6), state

    model.prior = Count()
    for head in (guide.f_head, guide.z_head[-1]):  # narrow posteriors: draws are means
        nn.init.constant_(head.dense.bias, -20.0)
        nn.init.zeros_(head.dense.weight[head.dense.out_features // 2 :])
    latents = pyro_dsae.infer(guide, x)
    last = latents["z"][:, -1:]
    to_come = torch.cat([last + k for k in (1, 2, 3)], dim=1)
    expected = pyro_dsae.generate(model, f=latents["f"], z=to_come)
    torch.testing.assert_close(
        pyro_dsae.forecast(model, guide, x, 3)[0], expected, atol=2e-2, rtol=0
    )


def test_kl_weights_multiply_the_scales_around_them_and_leave_data_alone(make_pair, x):
    model, _ = make_pair()
    with KLWeights({"f": 3.0, "x": 5.0}):
        nodes = poutine.trace(poutine.scale(model, scale=0.5)).get_trace(x).nodes
    assert nodes["f"]["scale"] == 1.5
    assert nodes["x"]["scale"] == nodes["z"]["scale"] == 0.5


def test_fit_clips_the_gradient(make_pair, x):
    norms = {}
    for clip in (None, 0.25):

        class Look(torch.optim.SGD):
            def step(self, closure=None, clip=clip):
                grads = [p.grad for group in self.param_groups for p in group["params"]]
                norms[clip] = float(torch.stack([g.norm() for g in grads if g is not None]).norm())

        pyro_dsae.fit(
            *make_pair(),
            x,
            steps=1,
            clip_norm=clip,
            optimizer=lambda parameters, look=Look: look(parameters, lr=1e-9),
            device="cpu",
            progress=False,
        )
    assert norms[None] > 1 and norms[0.25] == pytest.approx(0.25, rel=1e-3)


def test_evaluate_elbo_looks_through_no_view(make_pair, x):
    model, guide = make_pair()
    plain = pyro_dsae.evaluate_elbo(model.train(), guide.train(), x)
    guide.dynamics_view = guide.content_view = torch.zeros_like
    assert pyro_dsae.evaluate_elbo(model, guide, x) == plain


def test_f_gains_and_shifts_by_the_formula():
    decoder = ModulatedDecoder(2, 3, (1, 16, 16), channels=2)
    f, z = torch.randn(4, 2), torch.randn(4, 3)
    parameters = 0.5 * decoder.modulation(f)
    h = decoder.dense(z).reshape(4, *decoder.base)
    for layer, width in zip(decoder.deconv, decoder.widths, strict=True):
        gain, shift, parameters = parameters.tensor_split((width, 2 * width), dim=1)
        h = layer(F.leaky_relu(h * (1 + gain[..., None, None]) + shift[..., None, None], 0.2))
    torch.testing.assert_close(decoder(torch.cat([f, z], dim=1)), h)


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_a_head_starts_with_the_scale_it_is_given(scale):
    _, found = GaussianHead(8, 4, scale=scale)(torch.zeros(2, 8))
    torch.testing.assert_close(found, torch.full((2, 4), scale), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(("side", "halvings"), [(8, 1), (16, 1), (32, 2), (64, 3), (128, 4)])
def test_pooled_maps_are_of_about_8_by_8(side, halvings):
    encoder = PooledEncoder((1, side, side), 4, channels=2)
    maps = encoder.conv(torch.rand(1, 1, side, side))
    strides = [layer.stride[0] for layer in encoder.conv if isinstance(layer, nn.Conv2d)]
    assert strides == [2] * halvings + [1] * max(2, 4 - halvings)
    assert maps.shape[-1] == side >> halvings


def test_strips_are_shuffled_anew_in_every_frame():
    x = torch.arange(8.0).expand(2, 6, 1, 4, 8)
    orders = {tuple(row.tolist()) for row in views.ShuffleStrips(2)(x)[:, :, 0, 0].flatten(0, 1)}
    assert len(orders) > 6  # of 12 frames, 24 orders


def test_the_prior_of_unordered_frames_starts_as_wide_as_one():
    model = pyro_dsae.Unordered((3, 16, 16), **SIZES)
    nn.init.zeros_(model.prior[-1].dense.weight)
    law = model.p_z(torch.randn(3, 5), 2)
    torch.testing.assert_close(law.stddev, torch.ones(3, 2, 3), rtol=1e-3, atol=1e-3)


def test_noise_of_a_step_is_not_that_of_the_step_before(make_pair, x):
    seen = []

    class Look(poutine.messenger.Messenger):
        def _pyro_post_sample(self, msg):
            if msg["name"] == "f":
                seen.append(((msg["value"] - msg["fn"].mean) / msg["fn"].stddev).detach())

    with Look():
        pyro_dsae.fit(*make_pair(), x[:4], steps=3, lr=1e-9, device="cpu", progress=False)
    noise = seen[:: len(seen) // 3]
    assert len({float(n.sum()) for n in noise}) == 3
    assert len(pyro.get_param_store()) == 0
