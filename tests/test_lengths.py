"""Control of sequences of different lengths, with frames missing, and of recordings too long for one pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import SIZES, every_pair
from pyro import poutine
from torch import nn

import pyro_dsae
from pyro_dsae import fit, forecast, impute, infer, infer_long, reconstruct, swap, to_arviz
from pyro_dsae.data import pad
from pyro_dsae.handlers import PosteriorMean
from pyro_dsae.priors.bridges import bridged

FRAME = (1, 8, 8)
LENGTHS = (6, 3, 1, 5)
PAIRS = every_pair()
each_pair = pytest.mark.parametrize("names", PAIRS, ids="-".join)


@pytest.fixture
def clips():
    return [torch.rand(n, *FRAME) for n in LENGTHS]


@each_pair
def test_latents_and_frames_are_those_of_each_sequence_alone(names, clips):
    model, guide = PAIRS[names](FRAME)
    x, mask = pad(clips)
    x[~mask] = torch.nan
    latents, frames = infer(guide, x, mask=mask), reconstruct(model, guide, x, mask=mask)
    swapped = swap(model, guide, x, x.flip(0), content_mask=mask, dynamics_mask=mask.flip(0))
    for n, clip in enumerate(clips):
        for site, alone in infer(guide, clip[None]).items():
            found = latents[site][n]
            if alone.dim() == 3:
                assert not found[len(clip) :].any()
                found = found[: len(clip)]
            torch.testing.assert_close(found, alone[0], rtol=1e-4, atol=1e-5)
        alone = reconstruct(model, guide, clip[None])[0]
        torch.testing.assert_close(frames[n, : len(clip)], alone, rtol=1e-4, atol=1e-5)
        other = clips[3 - n]
        alone = swap(model, guide, clip[None], other[None])[0]
        torch.testing.assert_close(swapped[n, : len(other)], alone, rtol=1e-4, atol=1e-5)
        assert not frames[n, len(clip) :].any() and not swapped[n, len(other) :].any()


class Still(nn.Module):
    """Dynamics that stay as they are."""

    def forward(self, z, state=None):
        return z, torch.full_like(z, 1e-6), state


def test_a_forecast_starts_where_each_sequence_ends(clips):
    model = pyro_dsae.DSAE(FRAME, **SIZES, prior=Still())
    guide = pyro_dsae.Factorised(FRAME, **SIZES)
    for head in (guide.f_head, guide.z_head[-1]):  # narrow posteriors: draws are means
        nn.init.constant_(head.dense.bias, -20.0)
        nn.init.zeros_(head.dense.weight[head.dense.out_features // 2 :])
    clips[1] = clips[1].expand(2, 3, *FRAME).flatten(0, 1)  # as long as the first
    x, mask = pad(clips)
    x[~mask] = torch.nan
    futures = forecast(model, guide, x, 3, num_futures=2, mask=mask)
    assert futures.shape == (2, 4, 3, *FRAME)
    for n, clip in enumerate(clips):
        last = reconstruct(model, guide, clip[None])[0, -1]
        torch.testing.assert_close(futures[:, n], last.expand(2, 3, *FRAME), atol=2e-2, rtol=0)


@each_pair
def test_forecasts_of_every_pair(names, clips):
    model, guide = PAIRS[names](FRAME)
    x, mask = pad(clips)
    mask[0, 2] = False
    futures = forecast(
        model, guide, x.masked_fill(~mask.view(4, 6, 1, 1, 1), torch.nan), 2, mask=mask
    )
    assert futures.shape == (1, 4, 2, *FRAME) and futures.isfinite().all()


@each_pair
def test_what_is_present_is_kept_and_what_is_not_is_the_models(names, clips):
    model, guide = PAIRS[names](FRAME)
    x, mask = pad(clips)
    mask[0, 2:4] = mask[3, 0] = False
    x[~mask] = torch.nan
    filled = impute(model, guide, x, mask)
    assert filled[mask].equal(x[mask])
    within = torch.arange(6) < torch.tensor(LENGTHS).unsqueeze(1)
    gaps = within & ~mask
    assert filled[gaps].equal(reconstruct(model, guide, x, mask=mask)[gaps])
    assert not filled[~within].any()


def bumps(n, steps=12, bins=16):
    """A bump of 16 bins that wanders: how it goes on is anyone's guess, what lies between is not."""
    start, walk = torch.rand(n, 1) * bins, torch.randn(n, steps).cumsum(1)
    place = torch.nn.functional.avg_pool1d(walk.unsqueeze(1), 3, 1, 1).squeeze(1) * 1.5
    far = (torch.arange(bins) - (start + place).unsqueeze(-1) + bins / 2) % bins - bins / 2
    return torch.exp(-0.3 * far**2)


def test_a_gap_is_filled_from_both_sides():
    """After a short training, nearer to the truth than the future that the frames before it let expect."""
    sizes = {"f_dim": 2, "z_dim": 4, "hidden": 48}
    torch.manual_seed(1)
    model = pyro_dsae.DSAE((16,), **sizes, residual=True)
    guide = pyro_dsae.Full((16,), **sizes)
    x = bumps(512)
    mask = torch.ones(512, 12, dtype=torch.bool)
    starts = torch.randint(1, 8, (512, 1))
    steps = torch.arange(12)
    mask &= (steps < starts) | (steps >= starts + 3)
    data = pyro_dsae.data.Sequences(x, {"mask": mask})
    fit(model, guide, data, steps=300, batch_size=32, lr=5e-3, device="cpu", progress=False)
    x = bumps(128)
    mask = ((steps < 5) | (steps >= 8)).expand(128, 12)
    filled = impute(model, guide, x.masked_fill(~mask.unsqueeze(-1), torch.nan), mask)
    ahead = forecast(model, guide, x[:, :5], 3, num_futures=20).mean(0)
    of_gap, of_ahead, of_hold = (
        float((frames - x[:, 5:8]).square().mean()) for frames in (filled[:, 5:8], ahead, x[:, 4:5])
    )
    assert of_gap < 0.7 * of_ahead and of_gap < 0.7 * of_hold


def test_paths_follow_the_priors_smoothing_law():
    """Under a linear law a gap is a Normal that the law's covariance tells: drawn paths have its moments."""
    model = pyro_dsae.DSAE((4,), f_dim=2, z_dim=1, hidden=8, prior="linear_gaussian")
    steps, rows = 6, 3
    law, f = model.p_z(torch.zeros(1, 2), steps), torch.zeros(rows, 2)
    mask = torch.tensor([[1, 0, 0, 1, 1, 1], [0, 1, 0, 0, 1, 1], [1, 1, 1, 1, 0, 0]]).bool()
    with torch.no_grad():
        draws = law.sample((200_000,))[..., 0].double()
        z = 0.5 * torch.randn(rows, steps, 1)
        many = [x.repeat(400, *[1] * (x.dim() - 1)) for x in (f, z, mask)]
        found = bridged(model.p_z, *many, paths=300, sample=True)[..., 0].unflatten(0, (400, rows))
        likeliest = bridged(model.p_z, f, z, mask, paths=300)
    covariance, mean = draws.T.cov(), draws.mean(0)
    for i, row in enumerate(mask):
        within = torch.arange(steps) <= row.nonzero().max()
        gap, seen = within & ~row, within & row
        assert found[:, i][:, ~gap].equal(z[i, ~gap, 0].expand(400, -1))
        assert likeliest[i, ~gap].equal(z[i, ~gap])
        if not gap.any():
            continue
        gain = covariance[gap][:, seen] @ covariance[seen][:, seen].inverse()
        expected = mean[gap] + gain @ (z[i, seen, 0].double() - mean[seen])
        spread = (covariance[gap][:, gap] - gain @ covariance[seen][:, gap]).diagonal().sqrt()
        drawn = found[:, i][:, gap].double()
        assert ((drawn.mean(0) - expected).abs() < 0.25 * spread).all()
        torch.testing.assert_close(drawn.std(0), spread, rtol=0.2, atol=0)


@pytest.mark.parametrize("prior", [*pyro_dsae.priors.PRIORS])
def test_every_prior_bridges_a_gap(prior, clips):
    x, mask = pad(clips)
    mask[0, 2:4] = mask[3, 0] = False
    x[~mask] = torch.nan
    model = pyro_dsae.DSAE(FRAME, f_dim=3, z_dim=2, channels=2, hidden=8, prior=prior)
    guide = pyro_dsae.Factorised(FRAME, f_dim=3, z_dim=2, channels=2, hidden=8)
    filled = impute(model, guide, x, mask, paths=20, sample=True)
    assert filled[mask].equal(x[mask]) and torch.isfinite(filled).all()


def test_by_paths_a_gap_does_not_pull_at_its_ends(clips, monkeypatch):
    """z of each stretch of present frames is that of the stretch alone, given f of all."""
    x, mask = pad(clips)
    mask[0, 2:4] = mask[3, 0] = False
    model, guide = PAIRS["DSAE", "Full"](FRAME)
    handed = {}
    real = pyro_dsae.control.bridged

    def look(p_z, f, z, mask, paths, **how):
        handed.update(f=f, z=z)
        return real(p_z, f, z, mask, paths, **how)

    monkeypatch.setattr(pyro_dsae.control, "bridged", look)
    impute(model, guide, x, mask, paths=5)
    f = infer(guide, x, mask=mask)["f"]
    assert handed["f"].equal(f)
    end = 1 + int(mask[0].nonzero().max())
    for row, part in ((0, slice(0, 2)), (0, slice(4, end)), (3, slice(1, 1 + int(mask[3].sum())))):
        guide.eval()
        with torch.no_grad(), PosteriorMean():
            given = poutine.condition(guide, data={"f": f[row, None]})
            trace = poutine.trace(given).get_trace(x[row, None, part])
        torch.testing.assert_close(
            handed["z"][row, part], trace.nodes["z"]["value"][0], atol=1e-6, rtol=1e-5
        )


def test_the_model_says_which_reading_of_the_present_frames_goes_better(clips, monkeypatch):
    """Sequence by sequence: what is read stretch by stretch stands where it is likelier, nowhere else."""
    x, mask = pad(clips)
    mask[0, 2:4] = mask[3, 1:3] = False
    model, guide = PAIRS["DSAE", "Factorised"](FRAME)
    z = infer(guide, x, mask=mask)["z"]

    def filled(apart):
        monkeypatch.setattr(pyro_dsae.control, "_apart", lambda *_, **__: apart)
        torch.manual_seed(0)
        return impute(model, guide, x, mask, paths=5)

    far = z + 1e3 * torch.tensor([0.0, 0, 0, 1])[:, None, None]
    monkeypatch.setattr(pyro_dsae.control, "bridged", lambda p_z, f, z, *_, **__: z)
    at_once, found = filled(z), filled(far)
    assert found.equal(at_once)
    monkeypatch.setattr(
        pyro_dsae.control, "infer", lambda *_, **__: {**infer(guide, x, mask=mask), "z": far}
    )
    assert filled(z).equal(at_once) and not filled(far)[3].equal(at_once[3])


def test_paths_need_a_prior_over_frames(clips):
    names = next(names for names in PAIRS if names[0] == "LSTMf")
    x, mask = pad(clips)
    with pytest.raises(ValueError, match="a z for each frame, such as DSAE, got LSTMf"):
        impute(*PAIRS[names](FRAME), x, mask, paths=20)
    with pytest.raises(ValueError, match="paths must be"):
        impute(*PAIRS["DSAE", "Full"](FRAME), x, mask, paths=0)


def test_arviz_says_nothing_of_what_is_not(clips):
    model, guide = PAIRS["DSAE", "Full"](FRAME)
    x, mask = pad(clips)
    mask[0, 2] = False
    x[~mask] = torch.nan
    found = to_arviz(model, guide, x, num_samples=3, mask=mask)
    past = torch.arange(6) >= torch.tensor(LENGTHS).unsqueeze(1)
    assert np.isnan(found["observed_data"]["x"].values).any((2, 3, 4)).tolist() == (~mask).tolist()
    for group in ("posterior", "posterior_predictive"):
        for site in {"z", "x"} & {*found[group]}:
            values = found[group][site].values
            nan = np.isnan(values).any((0, 1, *range(4, values.ndim)))
            assert nan.tolist() == past.tolist()
    assert not np.isnan(found["posterior"]["f"].values).any()
    assert np.isfinite(found["log_likelihood"]["x"].values).all()
    assert np.isfinite(found["sample_stats"]["log_weight"].values).all()


def test_windows_are_inferred_alone_and_joined():
    _, guide = PAIRS["DSAE", "Full"](FRAME)
    x = torch.rand(2, 23, *FRAME)
    latents, starts = infer_long(guide, x, window=8, overlap=4, batch_size=3)
    assert starts.tolist() == [0, 4, 8, 12, 15]
    assert latents["f"].shape == (2, 5, 5) and latents["z"].shape == (2, 23, 3)
    ends = [0, 6, 10, 14, 17, 23]  # in the middle of what windows share, rounded down
    ends[4] = (12 + 8 + 15) // 2
    for w, start in enumerate(starts.tolist()):
        alone = infer(guide, x[:, start : start + 8])
        torch.testing.assert_close(latents["f"][:, w], alone["f"])
        own = slice(ends[w], ends[w + 1])
        here = slice(ends[w] - start, ends[w + 1] - start)
        torch.testing.assert_close(latents["z"][:, own], alone["z"][:, here])


def test_windows_of_recordings_with_gaps_and_of_their_own_lengths():
    """A gap is told by a window that sees its end; what none tells is NaN; past the end z is 0."""
    _, guide = PAIRS["DSAE", "Full"](FRAME)
    x, mask = torch.rand(3, 23, *FRAME), torch.ones(3, 23, dtype=torch.bool)
    mask[0, 5:10] = mask[1, 10:] = mask[2, 4:19] = False
    x[~mask] = torch.nan
    latents, starts = infer_long(guide, x, window=8, overlap=4, batch_size=3, mask=mask)
    assert starts.tolist() == [0, 4, 8, 12, 15]
    alone = [
        infer(guide, x[[n], s : s + 8], mask=mask[[n], s : s + 8])
        for n, s in ((0, 0), (0, 4), (0, 8), (1, 4), (2, 0), (2, 12))
    ]
    z = latents["z"]
    torch.testing.assert_close(z[0, :5], alone[0]["z"][0, :5])
    torch.testing.assert_close(z[0, 5:10], alone[1]["z"][0, 1:6])
    torch.testing.assert_close(z[0, 10:14], alone[2]["z"][0, 2:6])
    torch.testing.assert_close(z[1, 8:10], alone[3]["z"][0, 4:6])
    torch.testing.assert_close(z[2, :4], alone[4]["z"][0, :4])
    torch.testing.assert_close(z[2, 12:17], alone[5]["z"][0, :5])
    assert not z[1, 10:].any() and z[2, 4:12].isnan().all()
    assert z[0].isfinite().all() and z[2, 12:].isfinite().all()
    nothing = latents["f"].isnan().all(-1)
    assert nothing.tolist() == [
        [False] * 5,
        [False] * 3 + [True] * 2,
        [False, True, True, False, False],
    ]
    assert not latents["f"][~nothing].isnan().any()
    whole = infer_long(guide, x[:1, 10:], window=8, overlap=4)[0]
    masked = infer_long(guide, x[:1, 10:], window=8, overlap=4, mask=mask[:1, 10:])[0]
    for site, values in whole.items():
        torch.testing.assert_close(masked[site], values)


@each_pair
def test_one_window_is_infer(names):
    _, guide = PAIRS[names](FRAME)
    x = torch.rand(2, 5, *FRAME)
    latents, starts = infer_long(guide, x.numpy(), window=9, overlap=0)
    assert starts.tolist() == [0]
    for site, expected in infer(guide, x).items():
        found = latents[site] if expected.dim() == 3 else latents[site][:, 0]
        torch.testing.assert_close(found, expected)


def test_ten_minutes_from_a_file(tmp_path):
    """15,000 frames of 64 x 64: f says where the content changes, and no more than a batch is read."""
    torch.manual_seed(0)
    guide = pyro_dsae.Factorised((1, 64, 64), f_dim=2, z_dim=2, channels=1, hidden=4, patch=4)
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (1, 15_000, 1, 64, 64))
    x[:, 9_000:] = 255
    seen = []
    guide.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[:-3]))
    latents, starts = infer_long(guide, np.load(tmp_path / "x.npy", mmap_mode="r"), batch_size=4)
    assert {*seen} <= {(n, 64) for n in range(1, 5)}
    assert latents["z"].shape == (1, 15_000, 2) and latents["z"].isfinite().all()
    moved = latents["f"][0].diff(dim=0).abs().sum(1) > 1e-4
    assert [int(starts[w + 1]) for w in moved.nonzero()] == [s for s in starts if 8_936 < s < 9_048]


def test_bad_windows():
    _, guide = PAIRS["DSAE", "Full"](FRAME)
    with pytest.raises(
        ValueError, match="overlap must be at least 0 and less than window, 8, got 8"
    ):
        infer_long(guide, torch.rand(1, 20, *FRAME), window=8, overlap=8)
    few = torch.zeros(1, 20, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"a frame, got none present in sequences \[0\]"):
        infer_long(guide, torch.rand(1, 20, *FRAME), mask=few)
    with pytest.raises(ValueError, match=r"mask must be bools .* of \(1, 20\), got \(1, 19\)"):
        infer_long(guide, torch.rand(1, 20, *FRAME), mask=few[:, 1:])
    with pytest.raises(ValueError, match=r"x must hold frames, got \(1, 0, 1, 8, 8\)"):
        infer_long(guide, torch.rand(1, 0, *FRAME))
    with pytest.raises(ValueError, match="window must be at least 1, got 0"):
        infer_long(guide, torch.rand(1, 20, *FRAME), window=0)
    with pytest.raises(ValueError, match=r"x must be \(batch, time, channels, height, width\)"):
        infer_long(guide, torch.rand(20, *FRAME))
