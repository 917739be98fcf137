"""The networks that no other test looks into."""

from __future__ import annotations

import pytest
import torch
from conftest import kept_bytes
from torch import nn
from torch.nn import functional as F

import pyro_dsae
from pyro_dsae.nn import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    ConvMaps,
    GaussianHead,
    ModulatedDecoder,
    PairSummary,
    PooledEncoder,
    SortedEncoder,
    frame_decoder,
    keep_variance,
)
from pyro_dsae.nn.dense import SLOPE


def by_hand(summary: PairSummary, h: torch.Tensor) -> torch.Tensor:
    """The same convolution over every concatenated pair, as the paper describes it."""
    weight, bias = summary.halves.weight, summary.halves.bias
    joint = torch.cat(weight.chunk(2), dim=1)  # (hidden, 2 channels, kernel, kernel)
    joint_bias = sum(bias.chunk(2))
    steps = h.shape[1]
    pairs = [(i, j) for i in range(steps) for j in range(steps) if i != j or steps == 1]
    maps = [
        F.relu(F.conv2d(torch.cat([h[:, i], h[:, j]], dim=1), joint, joint_bias, padding="same"))
        for i, j in pairs
    ]
    pooled = torch.stack(maps).mean(0)
    return F.relu(summary.dense(F.relu(summary.conv(pooled)).flatten(1)))


SIDES = [(8, 8), (24, 24), (50, 37), (16, 32)]


@pytest.mark.parametrize("sides", SIDES, ids=str)
class TestFramesOfAnySize:
    """A border of black is put around what the convolutions cannot halve, and cut off again."""

    @pytest.mark.parametrize("encoder", [ConvEncoder, PooledEncoder])
    def test_encoders_see_every_pixel(self, sides, encoder):
        x = torch.rand(2, 3, *sides, requires_grad=True)
        encoder((3, *sides), 6, channels=2)(x).square().sum().backward()
        seen = x.grad.abs().sum((0, 1)) > 0
        if encoder is ConvEncoder:  # the other passes on the highest places alone
            assert seen.all()
        assert seen.any()

    def test_maps_are_those_of_the_frame_with_its_border(self, sides):
        maps = ConvMaps((2, *sides), channels=2)
        whole = [-(-side // 16) * 16 for side in sides]
        framed = torch.zeros(3, 2, *whole)
        top, left = ((w - side) // 2 for w, side in zip(whole, sides, strict=True))
        x = torch.rand(3, 2, *sides)
        framed[..., top : top + sides[0], left : left + sides[1]] = x
        torch.testing.assert_close(maps(x), maps.conv(framed))
        assert maps(x).shape[1:] == maps.shape
        torch.testing.assert_close(maps.canvas.cut(framed), x)

    def test_decoders_draw_every_pixel(self, sides):
        for decoder in (
            ConvDecoder(5, (3, *sides), channels=2),
            ModulatedDecoder(3, 2, (3, *sides), channels=2),
        ):
            frames = decoder(torch.randn(2, 4, 5))
            assert frames.shape == (2, 4, 3, *sides) and frames.is_contiguous()
            assert frames.std((0, 1)).min() > 0

    def test_models_learn(self, sides):
        sizes = {"f_dim": 4, "z_dim": 2, "channels": 4, "hidden": 16}
        torch.manual_seed(0)
        model = pyro_dsae.Unordered((1, *sides), modulated=True, **sizes)
        guide = pyro_dsae.Pairwise((1, *sides), content_encoder="pooled", **sizes)
        x = torch.zeros(8, 3, 1, *sides)
        x[:4, :, :, : sides[0] // 2] = 1
        losses = pyro_dsae.fit(model, guide, x, steps=40, lr=1e-2, device="cpu").losses
        assert losses[-1] < 0.5 * losses[0]


def test_sides_that_fit_have_no_border(monkeypatch):
    def never(*args):
        raise AssertionError("padded")

    encoder, decoder = ConvEncoder((1, 32, 16), 4), ConvDecoder(4, (1, 32, 16))
    monkeypatch.setattr(F, "pad", never)
    assert decoder(encoder(torch.rand(2, 1, 32, 16))).shape == (2, 1, 32, 16)
    with pytest.raises(AssertionError, match="padded"):
        ConvEncoder((1, 30, 16), 4)(torch.rand(2, 1, 30, 16))


@pytest.mark.parametrize("patch", [2, 4])
@pytest.mark.parametrize("sides", [(64, 64), (40, 24), (33, 17)], ids=str)
class TestPatches:
    def test_cost_and_see_what_folded_frames_do(self, sides, patch):
        """The maps are those of a network without patches over the frame folded by torch's own fold."""
        whole = [-(-side // (16 * patch)) * 16 * patch for side in sides]
        pads = [w - side for w, side in zip(whole, sides, strict=True)]
        x = torch.rand(3, 2, *sides)
        maps = ConvMaps((2, *sides), channels=2, patch=patch)
        framed = F.pad(
            x, (pads[1] // 2, pads[1] - pads[1] // 2, pads[0] // 2, pads[0] - pads[0] // 2)
        )
        plain = ConvMaps((2 * patch**2, *(side // patch for side in whole)), channels=2)
        plain.load_state_dict(maps.state_dict())
        torch.testing.assert_close(maps(x), plain(F.pixel_unshuffle(framed, patch)))

    def test_every_pixel_is_seen_and_drawn(self, sides, patch):
        x = torch.rand(2, 3, *sides, requires_grad=True)
        ConvEncoder((3, *sides), 6, 2, patch)(x).square().sum().backward()
        assert (x.grad.abs().sum((0, 1)) > 0).all()
        assert PooledEncoder((3, *sides), 6, 2, patch)(x).shape == (2, 6)
        for decoder in (
            ConvDecoder(5, (3, *sides), 2, patch),
            ModulatedDecoder(3, 2, (3, *sides), 2, patch),
        ):
            frames = decoder(torch.randn(2, 4, 5))
            assert frames.shape == (2, 4, 3, *sides) and frames.is_contiguous()
            assert frames.std((0, 1)).min() > 0


def test_patches_are_of_images():
    for make in (pyro_dsae.DSAE, pyro_dsae.Factorised):
        with pytest.raises(ValueError, match=r"patch must be 1 for frames \(bins,\), got 2"):
            make((20,), f_dim=4, z_dim=2, channels=2, hidden=8, patch=2)
        with pytest.raises(ValueError, match="patch must be at least 1, got 0"):
            make((3, 32, 32), f_dim=4, z_dim=2, channels=2, hidden=8, patch=0)


class TestPairSummary:
    @pytest.mark.parametrize("steps", [1, 2, 5])
    def test_is_the_convolution_over_concatenated_pairs(self, steps):
        summary = PairSummary((3, 4, 2), 8)
        h = torch.randn(2, steps, 3, 4, 2)
        torch.testing.assert_close(summary(h), by_hand(summary, h), rtol=1e-4, atol=1e-5)

    def test_signals_neither_fade_nor_grow(self):
        summary = PairSummary((128,), 256)
        first, second = summary.halves(F.leaky_relu(torch.randn(500, 128, 1, 1), SLOPE)).chunk(2, 1)
        assert (first + second.roll(1, 0)).square().mean().item() == pytest.approx(1, rel=0.1)

    def test_vectors_are_maps_of_one_place(self):
        summary = PairSummary((6,), 8)
        h = torch.randn(2, 4, 6)
        torch.testing.assert_close(
            summary(h), by_hand(summary, h[..., None, None]), rtol=1e-4, atol=1e-5
        )

    def test_the_order_of_frames_does_not_matter_and_the_frames_do(self):
        summary = PairSummary((3, 2, 2), 16)
        h = torch.randn(2, 7, 3, 2, 2)
        torch.testing.assert_close(summary(h), summary(h[:, torch.randperm(7)]))
        assert not torch.allclose(summary(h), summary(h[:, :6]), atol=1e-3)

    def test_chunks_change_neither_value_nor_gradient(self):
        h = torch.randn(2, 6, 3, 2, 2)
        found = []
        for pairs_at_once in (1, 13, 36):
            torch.manual_seed(0)
            summary = PairSummary((3, 2, 2), 8, pairs_at_once=pairs_at_once)
            leaf = h.clone().requires_grad_()
            out = summary(leaf)
            out.square().sum().backward()
            found.append((out, leaf.grad, summary.halves.weight.grad))
        for other in found[1:]:
            torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-5)

    def test_chunks_bound_what_the_backward_pass_keeps(self):
        def kept(pairs_at_once: int) -> int:
            summary = PairSummary((4, 2, 2), 8, pairs_at_once=pairs_at_once)
            h = torch.randn(1, 32, 4, 2, 2, requires_grad=True)
            return max(kept_bytes(lambda: summary(h)))

        assert kept(64) < kept(32 * 32) / 4


def test_all_widths_can_be_given():
    maps = ConvMaps((3, 32, 16), (4, 6, 8, 10))
    assert [layer.out_channels for layer in maps.conv[::2]] == [4, 6, 8, 10]
    assert maps(torch.rand(2, 5, 3, 32, 16)).shape == (2, 5, *maps.shape) == (2, 5, 10, 2, 1)
    decoder = ConvDecoder(3, (3, 32, 16), (4, 6, 8, 10))
    assert [layer.in_channels for layer in decoder.deconv[1::2]] == [10, 8, 6, 4]
    with pytest.raises(ValueError, match="channels must be a number or 4 of them, got"):
        ConvEncoder((3, 32, 16), 8, (4, 6, 8))


@pytest.mark.parametrize("modulated", [False, True])
def test_dense_layers_before_the_deconvolutions(modulated):
    decoder = frame_decoder(3, 2, (1, 16, 16), 4, modulated, dense=(7, 9))
    sizes = [(layer.in_features, layer.out_features) for layer in [*decoder.dense][::2]]
    assert sizes[:2] == [(2 if modulated else 5, 7), (7, 9)] and decoder.dense[-1].in_features == 9
    latent = torch.randn(4, 6, 5, requires_grad=True)
    frames = decoder(latent)
    assert frames.shape == (4, 6, 1, 16, 16)
    frames.square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in decoder.parameters())
    assert (latent.grad.abs().amax((0, 1)) > 0).all()
    with pytest.raises(ValueError, match="dense must be at least 1, got 0"):
        frame_decoder(3, 2, (1, 16, 16), 4, modulated, dense=(7, 0))
    with pytest.raises(TypeError, match="dense must be the widths of layers, got 7"):
        frame_decoder(3, 2, (1, 16, 16), 4, modulated, dense=7)


def test_without_dense_layers_the_latents_are_laid_out_at_once():
    """Weights saved before there were any fit."""
    for decoder in (ConvDecoder(5, (1, 16, 16), 4), ModulatedDecoder(3, 2, (1, 16, 16), 4)):
        assert type(decoder.dense) is nn.Linear and "dense.weight" in decoder.state_dict()


def test_frames_that_are_no_images_have_further_layers():
    layers = [m for m in frame_decoder(3, 2, (10,), 4, dense=(7, 9)) if hasattr(m, "in_features")]
    assert [layer.out_features for layer in layers] == [7, 9, 32, 32, 10]
    with pytest.raises(ValueError, match="dense must be at least 1, got 0"):
        frame_decoder(3, 2, (10,), 4, dense=(7, 0))


@pytest.mark.parametrize("make", [ConvMaps, lambda shape: ConvEncoder(shape, 4)])
@pytest.mark.parametrize("shape", [(20,)])
def test_convolutions_are_of_images(make, shape):
    with pytest.raises(
        ValueError, match=r"frame_shape must be \(channels, height, width\), got \(20,\)"
    ):
        make(shape)


@pytest.mark.parametrize("patch", [1, 2])
def test_sorted_rows_do_not_say_where_but_at_which_height_and_in_what_colour(patch):
    encoder = SortedEncoder((3, 32, 24), 12, 4, patch)
    x = torch.rand(2, 5, 3, 32, 24)
    everywhere = torch.rand(2, 5, 1, 32, 24).argsort(-1)  # each row in an order of its own
    torch.testing.assert_close(encoder(x.take_along_dim(everywhere, -1)), encoder(x))
    for changed in (x.flip(-2), x.flip(-3)):
        assert not torch.allclose(encoder(changed), encoder(x), atol=1e-2)
    plain = ConvEncoder((3, 32, 24), 12, 4, patch)
    plain.load_state_dict(encoder.state_dict())
    rows = sorted(range(24), key=lambda i: -float(x[0, 0, :, 7, i].mean()))
    framed = x.take_along_dim(x.mean(-3, keepdim=True).argsort(-1, descending=True), -1)
    torch.testing.assert_close(framed[0, 0, :, 7], x[0, 0, :, 7, rows])
    torch.testing.assert_close(encoder(x), plain(framed))


@pytest.mark.parametrize("side", [32, 64])
def test_pooled_features_do_not_say_where(side):
    encoder = PooledEncoder((1, side, side), 12, 4)
    thing = torch.rand(side // 8, side // 8)

    def at(row: int, column: int) -> torch.Tensor:
        x = torch.zeros(1, 1, side, side)
        x[0, 0, row : row + side // 8, column : column + side // 8] = thing
        return encoder(x)

    # A step of the coarsest map, well inside the frame: exactly the same features.
    step = 2 ** (side.bit_length() - 4)
    row = 3 * side // 8
    torch.testing.assert_close(at(row, row), at(row + step, row))
    other = torch.rand(2, 3, 1, side, side)
    assert encoder(other).shape == (2, 3, 12)
    assert not torch.allclose(encoder(other)[0, 0], encoder(other)[0, 1])


def test_pooled_features_do_not_say_how_often():
    """Of each map the highest value: two of a thing, far apart, are as one."""
    encoder = PooledEncoder((1, 32, 128), 12, 4)
    one = torch.zeros(1, 1, 32, 128)
    one[..., 14:18, 30:34] = torch.rand(4, 4)
    torch.testing.assert_close(encoder(one + one.roll(64, -1)), encoder(one))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(128, 256), (500, 128)),
        (nn.Conv2d(32, 64, 4, 2), (8, 32, 20, 20)),
        (nn.ConvTranspose2d(32, 64, 4, 2), (8, 32, 20, 20)),
    ],
    ids=["dense", "convolution", "deconvolution"],
)
def test_signals_neither_fade_nor_grow(layer, shape):
    keep_variance(layer)
    out = layer(F.leaky_relu(torch.randn(shape), SLOPE))
    inside = out[..., 4:-4, 4:-4] if out.dim() == 4 else out
    assert inside.square().mean().item() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_laws_are_of_single_precision(dtype):
    with torch.autocast("cpu", dtype):
        loc, scale = GaussianHead(4, 2)(torch.randn(3, 4))
    assert loc.dtype == scale.dtype == torch.float32


def test_an_mlp_ends_in_a_dense_layer():
    h = torch.randn(5, 3)
    mlp = MLP(3, 2)  # its bias starts at 0
    torch.testing.assert_close(mlp(-h), -mlp(h))
    assert not torch.allclose(MLP(3, 4, 2)(-h), -MLP(3, 4, 2)(h))
