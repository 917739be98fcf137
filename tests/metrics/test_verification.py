"""Speaker verification: error rates worked by hand, and the bootstrap against explicit weights."""

import sys
import time

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import pyro_dsae
from pyro_dsae import control
from pyro_dsae.metrics import verification
from pyro_dsae.metrics.verification import (
    all_pairs,
    det_curve,
    equal_error_rate,
    mfcc_features,
    standardise,
    static_and_dynamic,
    utterance_features,
    verify,
)


def utterances(speakers, each, noise, dim=8, seed=0):
    """Features ``(speakers * each, dim)`` about a centre for each speaker, and who they are."""
    generator = torch.Generator().manual_seed(seed)
    speaker = torch.arange(speakers).repeat_interleave(each)
    centres = torch.randn(speakers, dim, generator=generator)
    return centres[speaker] + noise * torch.randn(
        len(speaker), dim, generator=generator
    ), 10 * speaker + 7


def trials(same, different):
    """Scores and kinds of pairs."""
    scores = torch.tensor([*same, *different])
    return scores, torch.arange(len(scores)) < len(same)


def test_all_pairs():
    features = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])
    scores, same = all_pairs(features, torch.tensor([5, 5, 9, 9]))
    # 01 02 03 12 13 23
    assert torch.equal(scores, torch.tensor([1.0, 0, -1, 0, -1, 0]).double())
    assert same.tolist() == [True, False, False, False, False, True]


@pytest.mark.parametrize(
    ("same", "different", "expected"),
    [
        ([0.9, 0.8], [0.1, 0.2, 0.3], 0.0),
        ([0.1, 0.2], [0.9, 0.8, 0.7], 1.0),
        # One of three is accepted before the second of two is.
        ([0.9, 0.4], [0.8, 0.3, 0.2], 1 / 3),
        # The tie at 0.5 leads from (0, 1/2) at once to (1/2, 0).
        ([0.9, 0.5], [0.5, 0.1], 0.25),
        # From (1/4, 2/3) to (3/4, 1/3), and from (0, 2/3) to (3/4, 1/3).
        ([0.9, 0.5, 0.1], [0.95, 0.5, 0.5, 0.2], 0.5),
        ([0.9, 0.5, 0.4], [0.5, 0.5, 0.5, 0.3], 6 / 13),
        ([0.5], [0.5, 0.5, 0.5], 0.5),
    ],
)
def test_equal_error_rate_by_hand(same, different, expected):
    scores, kinds = trials(same, different)
    assert equal_error_rate(scores, kinds) == pytest.approx(expected, abs=1e-12)
    order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(0))
    assert equal_error_rate(scores[order], kinds[order]) == pytest.approx(expected, abs=1e-12)


def test_equal_error_rate_without_information_is_a_half():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(20_000, generator=generator)
    same = torch.rand(20_000, generator=generator) < 0.1
    assert equal_error_rate(scores, same) == pytest.approx(0.5, abs=0.02)


def test_weights_are_repeats():
    scores, same = trials([0.9, 0.4, 0.3], [0.8, 0.4, 0.2, 0.1])
    weights = torch.tensor([2, 0, 3, 1, 2, 0, 1])
    repeated = equal_error_rate(scores.repeat_interleave(weights), same.repeat_interleave(weights))
    assert equal_error_rate(scores, same, weights) == pytest.approx(repeated)
    assert repeated == pytest.approx(0.6) and equal_error_rate(scores, same) < 0.5


def test_det_curve_runs_from_strict_to_lax():
    accepted, rejected = det_curve(*trials([0.9, 0.5], [0.5, 0.1]))
    assert accepted.tolist() == [0, 0, 0.5, 1]
    assert rejected.tolist() == [1, 0.5, 0, 0]
    accepted, rejected = det_curve(*trials([0.9, 0.8], [0.1, 0.2, 0.3]))
    assert (accepted[0], rejected[0], accepted[-1], rejected[-1]) == (0, 1, 1, 0)
    assert (accepted.diff() >= 0).all() and (rejected.diff() <= 0).all()


@pytest.mark.parametrize("rounded", [False, True])
def test_bootstrap_is_that_of_explicit_weights(rounded, monkeypatch):
    features, speakers = utterances(5, 4, 1.0)
    features, speakers = features[:-3], speakers[:-3]  # the last speaker has one utterance
    if rounded:  # so that scores tie
        features = features.sign()
    found = verify(features, speakers, resamples=40, confidence=0.8, seed=3)
    scores, same = all_pairs(features, speakers)
    left, right = torch.triu_indices(17, 17, 1)
    draws = verification._draws(torch.tensor([4, 4, 4, 4, 1]), 40, seed=3)
    assert (draws.sum(1) == 5).all()
    rates = []
    for w in draws:
        times = dict(zip([7, 17, 27, 37, 47], w.tolist(), strict=True))
        weights = [
            times[int(speakers[i])] * (1 if kind else times[int(speakers[j])])
            for i, j, kind in zip(left, right, same, strict=True)
        ]
        rates.append(equal_error_rate(scores, same, torch.tensor(weights)))
    assert [found["low"], found["high"]] == pytest.approx(np.quantile(rates, [0.1, 0.9]).tolist())
    monkeypatch.setattr(verification, "_ELEMENTS", 1)
    assert verify(features, speakers, resamples=40, confidence=0.8, seed=3) == found


def test_verify():
    features, speakers = utterances(8, 6, 1.0)
    found = verify(features, speakers, resamples=200)
    assert 0 < found["low"] < found["eer"] < found["high"] < 0.5
    assert found["eer"] == equal_error_rate(*all_pairs(features, speakers))
    assert (found["pairs"], found["utterances"], found["speakers"]) == (48 * 47 // 2, 48, 8)
    assert verify(features, speakers, resamples=200) == found
    assert verify(features, speakers, resamples=200, seed=1) != found
    narrow = verify(features, speakers, resamples=200, confidence=0.5)
    assert found["low"] < narrow["low"] <= narrow["high"] < found["high"]
    order = torch.randperm(48, generator=torch.Generator().manual_seed(1))
    shuffled = verify(features[order], speakers[order], resamples=200)
    assert shuffled == pytest.approx(found)
    perfect = verify(*utterances(8, 6, 0.0))
    assert perfect["eer"] == perfect["low"] == perfect["high"] == 0
    assert verify(torch.ones(6, 3), torch.tensor([0, 0, 1, 1, 2, 2]))["eer"] == 0.5


def test_interval_covers_the_truth():
    truth = equal_error_rate(*all_pairs(*utterances(300, 4, 1.0, dim=6, seed=100)))
    covered = 0
    for seed in range(40):
        found = verify(*utterances(12, 6, 1.0, dim=6, seed=seed), resamples=200)
        covered += found["low"] <= truth <= found["high"]
    assert covered >= 32


def test_two_speakers_are_always_both_drawn():
    draws = verification._draws(torch.tensor([3, 1]), 100, seed=0)
    assert draws.tolist() == [[1, 1]] * 100
    draws = verification._draws(torch.tensor([1, 1, 1, 2]), 100, seed=0)
    assert len(draws) == 100 and (draws[:, 3] > 0).all() and (draws[:, 3] < 4).all()


def test_bootstrap_of_an4_size_is_quick():
    features, speakers = utterances(10, 13, 1.0)
    start = time.perf_counter()
    found = verify(features, speakers)
    assert found["pairs"] == 8385
    assert time.perf_counter() - start < 10  # half a second on an idle core


def test_verification_says_what_is_wrong_with_its_input():
    features, speakers = utterances(3, 2, 1.0)
    with pytest.raises(ValueError, match="must be pairs of different speakers, got none of 15"):
        verify(features, torch.zeros(6, dtype=torch.long))
    with pytest.raises(ValueError, match="must be pairs of same speakers, got none of 15"):
        verify(features, torch.arange(6))
    bad = features.clone()
    bad[2, 1] = torch.nan
    with pytest.raises(ValueError, match=r"features must be finite, .* in 1 of 6 utterances"):
        verify(bad, speakers)
    with pytest.raises(ValueError, match=r"at least 2 utterances .*, got \(1, 8\) and \(1,\)"):
        verify(features[:1], speakers[:1])
    with pytest.raises(ValueError, match=r"got \(6, 8\) and \(5,\)"):
        all_pairs(features, speakers[:5])
    with pytest.raises(ValueError, match="resamples must be at least 1 .*, got 0 and 0.95"):
        verify(features, speakers, resamples=0)
    with pytest.raises(ValueError, match=r"confidence between 0 and 1, got 1000 and 1\.0"):
        verify(features, speakers, confidence=1.0)
    scores, same = trials([0.9], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"all be \(pairs,\), got \(3,\), \(2,\) and \(3,\)"):
        det_curve(scores, same[:2])
    with pytest.raises(ValueError, match="scores must be finite, got 1 of 3 not"):
        equal_error_rate(torch.tensor([0.9, torch.nan, 0.2]), same)
    with pytest.raises(ValueError, match=r"weights must not be negative, got -2\.0"):
        equal_error_rate(scores, same, torch.tensor([1.0, -2.0, 1.0]))
    with pytest.raises(ValueError, match="pairs of same speakers, got none"):
        equal_error_rate(scores, same, torch.tensor([0, 1, 1]))


def test_missing_libraries_are_named(monkeypatch):
    scores, same = trials([0.9], [0.1])
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(ImportError, match=r'pip install "pyro-dsae\[speech\]"'):
        equal_error_rate(scores, same)
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(ImportError, match=r'pip install "pyro-dsae\[speech\]"'):
        mfcc_features([np.zeros(16_000)], 16_000)


class Segments(TensorDataset):
    """Segments with labels, as speech gives them."""

    def __getitem__(self, i):
        x, utterance, speaker = super().__getitem__(i)
        return x, {"utterance": int(utterance), "speaker": int(speaker), "position": i}


def segments():
    """13 segments of utterances 4, 7 and 9 by speakers 2 and 0, in no order."""
    generator = torch.Generator().manual_seed(0)
    utterance = torch.tensor([7, 4, 7, 9, 4, 7, 9, 7, 4, 7, 7, 9, 7])
    x = torch.rand(13, 6, 8, generator=generator)
    return x, utterance, torch.where(utterance == 7, 0, 2)


@pytest.mark.parametrize("batch_size", [1, 4, 13, 100])
def test_features_of_an_utterance_are_the_mean_over_its_segments(batch_size):
    x, utterance, speaker = segments()
    seen = []

    def encode(batch):
        seen.append(len(batch))
        return {"first": batch[:, 0], "energy": batch.square().mean((1, 2))[:, None]}

    before = torch.random.get_rng_state()
    features, ids, speakers = utterance_features(
        encode, Segments(x, utterance, speaker), batch_size=batch_size
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert max(seen) <= batch_size and sum(seen) == 13
    assert ids.tolist() == [4, 7, 9] and speakers.tolist() == [2, 0, 2]
    assert {name: tuple(value.shape) for name, value in features.items()} == {
        "first": (3, 8),
        "energy": (3, 1),
    }
    for row, i in enumerate([4, 7, 9]):
        mine = x[utterance == i].double()
        assert torch.allclose(features["first"][row], mine[:, 0].mean(0))
        assert torch.allclose(features["energy"][row], mine.square().mean((1, 2)).mean(), atol=1e-6)


def test_two_speakers_have_no_interval():
    features, speakers = utterances(2, 6, 1.0)
    found = verify(features, speakers, resamples=50)
    assert 0 < found["eer"] < 1 and found["low"] is None and found["high"] is None
    features, speakers = utterances(3, 6, 1.0)
    assert verify(features, speakers, resamples=50)["low"] is not None


@pytest.mark.parametrize("name", ["Factorised", "Full", "Pairwise"])
def test_static_and_dynamic_are_posterior_means(name):
    guide = getattr(pyro_dsae, name)((8,), f_dim=5, z_dim=2, hidden=16)
    x, utterance, speaker = segments()
    encode = static_and_dynamic(guide)
    found = encode(x)
    assert guide.training
    latents = control.infer(guide.eval(), x)
    assert torch.equal(found["f"], latents["f"])
    assert torch.equal(found["z"], latents["z"].mean(1))
    features, _, speakers = utterance_features(encode, Segments(x, utterance, speaker))
    assert features["f"].shape == (3, 5) and features["z"].shape == (3, 2)
    assert verify(features["f"], speakers, resamples=10)["pairs"] == 3
    assert [*static_and_dynamic(guide, ["z"])(x)] == ["z"]
    with pytest.raises(ValueError, match="sites must be of the guide, f, z, got mu2"):
        static_and_dynamic(guide, ("mu2", "z"))(x)


def test_other_sites_than_f_and_z():
    guide = pyro_dsae.FHVAEGuide((8,), utterances=3, z1_dim=4, z2_dim=5, hidden=16)
    encode = static_and_dynamic(guide, ("mu2", "z1"))
    features, _, _ = utterance_features(encode, Segments(*segments()))
    assert {name: tuple(value.shape) for name, value in features.items()} == {
        "mu2": (3, 5),
        "z1": (3, 4),
    }


def test_utterance_features_says_what_is_wrong():
    x, utterance, speaker = segments()
    data = Segments(x, utterance, speaker)
    with pytest.raises(ValueError, match=r"first must be \(13, dim\) .*, got \(13, 6, 8\)"):
        utterance_features(lambda batch: {"first": batch}, data)
    two = speaker.clone()
    two[3] = 1
    with pytest.raises(ValueError, match="an utterance must have one speaker, got two for 9"):
        utterance_features(
            lambda batch: {"first": batch[:, 0]}, Segments(x, utterance, two), batch_size=2
        )
    with pytest.raises(ValueError, match="labels must hold utterance and speaker, got character"):
        utterance_features(lambda batch: {}, [(x[0], {"character": 1})])
    with pytest.raises(ValueError, match="dataset must hold segments, got none"):
        utterance_features(lambda batch: {}, Segments(x[:0], utterance[:0], speaker[:0]))


def noise(seconds=0.5, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(int(16_000 * seconds))


def test_mfcc_features_are_mean_and_covariance():
    import librosa

    wave = np.convolve(noise(), [1, 0.8, 0.3], "same")
    features = mfcc_features([wave, noise(seed=1)], 16_000, coefficients=5)
    assert features.shape == (2, 5 * 8 // 2) and features.dtype == torch.float64
    mfcc = librosa.feature.mfcc(
        y=wave, sr=16_000, n_mfcc=6, n_fft=512, win_length=400, hop_length=160, n_mels=40
    )[1:]
    expected = [
        mfcc.mean(1),
        np.log(mfcc.std(1)),
        np.corrcoef(mfcc)[np.triu_indices(5, 1)],
    ]
    assert np.allclose(features[0], np.concatenate(expected), atol=1e-4)
    loud = mfcc_features([8 * wave], 16_000, coefficients=5)
    assert torch.allclose(loud[0], features[0], atol=1e-4)
    assert mfcc_features([np.zeros(16_000)], 16_000).isfinite().all()
    assert mfcc_features([wave[::2]], 8_000).shape == (1, 230)


def test_mfcc_features_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"waves\[1\] .* at least 800 samples, got \(799,\), 0 of"):
        mfcc_features([noise(), noise()[:799]], 16_000)
    with pytest.raises(ValueError, match=r"waves\[0\] must be \(samples,\).*got \(2, 8000\)"):
        mfcc_features([np.stack([noise(), noise()])], 16_000)
    broken = noise()
    broken[:3] = np.nan
    with pytest.raises(ValueError, match=r"waves\[0\] .*, 3 of them not finite"):
        mfcc_features([broken], 16_000)
    with pytest.raises(ValueError, match="coefficients must be 2 to 39, got 40"):
        mfcc_features([noise()], 16_000, coefficients=40)


def test_standardise():
    train = torch.tensor([[1.0, 5.0, 2.0], [3.0, 9.0, 2.0]]).double()
    found = standardise(train, torch.cat([train, train[:1] + 2]))
    r = 0.5**0.5
    expected = torch.tensor([[-r, -r, 0], [r, r, 0], [r, 0, 2]]).double()
    assert torch.allclose(found, expected)
    with pytest.raises(ValueError, match=r"of one dim, .*got \(2, 3\) and \(2, 2\)"):
        standardise(train, train[:, :2])
    with pytest.raises(ValueError, match=r"at least 2 utterances, got \(1, 3\) and \(2, 3\)"):
        standardise(train[:1], train)


def test_mfcc_tell_speakers_apart(data_root):
    import soundfile

    if not (data_root / "an4").is_dir():
        pytest.skip(f"no AN4 at {data_root / 'an4'}")

    def read(split, count, each):
        speakers = sorted((data_root / "an4" / split).iterdir())[:count]
        files = [(i, file) for i, s in enumerate(speakers) for file in sorted(s.iterdir())[:each]]
        waves = [soundfile.read(file)[0] for _, file in files]
        return mfcc_features(waves, 16_000), torch.tensor([i for i, _ in files])

    train, _ = read("train", 30, 2)
    test, speakers = read("test", 10, 4)
    found = verify(standardise(train, test), speakers, resamples=100)
    assert found["eer"] < 0.25
    assert found["high"] < 0.4
