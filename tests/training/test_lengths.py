"""Training on sequences of different lengths, and with frames missing."""

from __future__ import annotations

import numpy as np
import pyro
import pytest
import torch
from accelerate import Accelerator
from conftest import SIZES
from PIL import Image
from torch import nn
from torch.utils.data import Dataset, Subset

import pyro_dsae
from pyro_dsae import evaluate_elbo, fit
from pyro_dsae.data import Sequences, Series, SpeechSegments, UnorderedFrames, pad
from pyro_dsae.handlers import PosteriorMean
from pyro_dsae.metrics import active_units, evidence, mutual_information, rates
from pyro_dsae.training.batches import Batches, in_order

FRAME = (1, 8, 8)
CPU = {"device": "cpu", "progress": False}


@pytest.fixture
def pair():
    return pyro_dsae.DSAE(FRAME, **SIZES), pyro_dsae.Full(FRAME, **SIZES)


@pytest.fixture
def clips():
    return [torch.rand(3 + n % 4, *FRAME) for n in range(12)]


def test_pad():
    x, mask = pad([torch.ones(2, 3), torch.ones(1, 3).numpy()])
    assert x.tolist() == [[[1, 1, 1], [1, 1, 1]], [[1, 1, 1], [0, 0, 0]]]
    assert mask.tolist() == [[True, True], [True, False]]
    bytes_, mask = pad([torch.ones(2, 3).byte(), torch.ones(1, 3).byte()], [[False, True], [True]])
    assert bytes_.dtype == torch.uint8
    assert mask.tolist() == [[False, True], [True, False]]
    with pytest.raises(ValueError, match=r"mask must be bools \(2,\), .* got \(1,\) of torch.bool"):
        pad([torch.ones(2, 3)], [[True]])
    with pytest.raises(ValueError, match=r"frames of a batch must be of one shape .* sequence 1"):
        pad([torch.ones(2, 3), torch.ones(2, 4)])


def state(pair):
    return nn.ModuleList(pair).state_dict()


@pytest.mark.parametrize("elbo", [None, pyro.infer.RenyiELBO(num_particles=2)], ids=["", "Renyi"])
def test_clips_of_any_length_train(pair, clips, elbo):
    history = fit(*pair, clips, steps=30, batch_size=6, lr=3e-3, validation=clips, elbo=elbo, **CPU)
    assert sum(history.losses[-5:]) < sum(history.losses[:5])
    alone = evaluate_elbo(*pair, clips)
    assert alone["bits_per_dim"] > 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mask_is_passed_on_and_what_it_hides_is_not_seen(clips, workers):
    """As items with a label, named or not; in one array; and whatever stands in absent frames."""
    mask = torch.rand(12, 6) < 0.7
    mask[:, 2] = True
    x, _ = pad([*clips[:11], torch.rand(6, *FRAME)])
    mask[:11] &= torch.arange(6) < torch.tensor([len(c) for c in clips[:11]]).unsqueeze(1)
    hidden = ~mask.view(12, 6, 1, 1, 1)
    results = []
    for fill in (0.3, torch.nan):
        seen = x.masked_fill(hidden, fill)
        for data, labels in (
            ([(s, {"mask": m}) for s, m in zip(seen, mask, strict=True)], ()),
            ([(s, {"mask": m}) for s, m in zip(seen, mask, strict=True)], ("mask",)),
            (Sequences(seen, {"mask": mask}), ()),
        ):
            pyro.set_rng_seed(0)
            both = pyro_dsae.DSAE(FRAME, **SIZES), pyro_dsae.Full(FRAME, **SIZES)
            history = fit(
                *both, data, steps=4, batch_size=5, num_workers=workers, labels=labels, **CPU
            )
            results.append((history.losses, evaluate_elbo(*both, data)))
    plain = fit(*both, x, steps=4, batch_size=5, **CPU).losses
    assert plain[0] != pytest.approx(results[0][0][0])
    for losses, scores in results:
        assert losses == results[0][0]
        assert scores == pytest.approx(results[0][1], rel=1e-6)


def test_a_bound_is_the_mean_of_those_of_the_sequences(pair, clips):
    with PosteriorMean():  # in place of draws
        together, found = (call(*pair, clips, batch_size=5) for call in (evaluate_elbo, rates))
        parts = [evaluate_elbo(*pair, clip[None]) for clip in clips]
    for name in ("elbo", "log_likelihood", "kl_z"):
        mean = sum(part[name] for part in parts) / 12
        assert together[name] == pytest.approx(mean, rel=1e-5)
    dims = sum(map(len, clips)) * 64 / 12
    bits = -together["elbo"] / (dims * torch.log(torch.tensor(2.0)))
    assert together["bits_per_dim"] == pytest.approx(float(bits))
    per_frame = together["kl_z"] / (dims / 64 * torch.log(torch.tensor(2.0)))
    assert found["z_bits_per_frame"] == pytest.approx(float(per_frame), rel=1e-5)


def test_validation_of_a_part_of_masked_sequences(pair, clips):
    x, mask = pad(clips)
    data = Sequences(x.masked_fill(~mask.view(12, -1, 1, 1, 1), torch.nan), {"mask": mask})
    fit(*pair, data, steps=2, batch_size=5, validation=data, **CPU)
    seen, labels = next(in_order(Subset(data, [3, 1]), 4, torch.device("cpu")))
    assert labels["mask"].equal(mask[[3, 1]]) and seen.equal(x[[3, 1]])


def test_evidence_counts_frames_that_are_present(pair, clips):
    x, mask = pad(clips)
    nan = Sequences(x.masked_fill(~mask.view(12, -1, 1, 1, 1), torch.nan), {"mask": mask})
    first, second = (evidence(*pair, data, num_samples=30) for data in (clips, nan))
    assert first == second
    dims = float(mask.sum()) * 64 / 12 * torch.log(torch.tensor(2.0))
    assert first["bits_per_dim"] == pytest.approx(float(-first["elbo"] / dims))
    assert active_units(pair[1], clips) == active_units(pair[1], nan)
    assert mutual_information(pair[1], clips) == mutual_information(pair[1], nan)
    with pytest.raises(ValueError, match="site must be one vector a sequence .*, got 'z'"):
        mutual_information(pair[1], clips, site="z")
    with pytest.raises(ValueError, match="must hold whole sequences of one length"):
        pyro_dsae.metrics.content_dynamics_information(pair[1], clips, components=2)


def test_programs_and_labels_without_masks(pair, clips, x):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, x, *, batch_size=None, num_frames=None):
            raise AssertionError("not reached")

    for call in (fit, evaluate_elbo):
        options = {"steps": 1, **CPU} if call is fit else {}
        with pytest.raises(ValueError, match="Own takes batch_size, num_frames beside x, got mask"):
            call(Own(), Own(), clips, **options)
    with pytest.raises(ValueError, match=r"mask must be bools \(3,\), .* got \(2,\)"):
        fit(*pair, [(clips[0], {"mask": torch.ones(2, dtype=torch.bool)})], steps=1, **CPU)
    with pytest.raises(
        ValueError, match=r"labels\['mask'\] must be bools \(12, 4\), .* of torch.int64"
    ):
        Sequences(x, {"mask": torch.ones(12, 4, dtype=torch.long)})


class Clips(Dataset):
    """Items that draw nothing, and say how long they are or not."""

    def __init__(self, items, lengths=None):
        self.items = items
        if lengths is not None:
            self.lengths = lengths

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def test_windows_of_one_length_are_drawn_whatever_their_recordings_have(tmp_path):
    """They are not sorted: no batch comes again in the next epoch."""
    for n in range(24):
        (tmp_path / f"{n:02}").mkdir()
        for t in range(3 + n):
            Image.new("L", (16, 16)).save(tmp_path / f"{n:02}" / f"{t}.png")
    series = Series([np.zeros((20 + n, 2)) for n in range(24)], num_frames=16)
    pictures = UnorderedFrames(tmp_path, num_frames=2, size=16, keep="memory")
    for data, label in ((series, "series"), (pictures, "sequence")):
        batches = Batches(data, 6, Accelerator(cpu=True), 0, 0)
        found = [frozenset(known[label].tolist()) for _, known in batches.from_step(0, 12)]
        assert len({*found}) > 10, found
    assert SpeechSegments.item_lengths is None  # whose lengths are of utterances
    whole = Series(
        [np.random.default_rng(n).normal(size=(20 + n, 2)) for n in range(24)], num_frames=None
    )
    backwards = whole.select([*range(23, -1, -1)])
    assert whole.item_lengths == backwards.item_lengths[::-1] == [*range(20, 44)]
    sizes = {"f_dim": 4, "z_dim": 2, "channels": 4, "hidden": 8}
    trained = pyro_dsae.DSAE((2,), likelihood="normal", **sizes), pyro_dsae.Full((2,), **sizes)
    assert len(fit(*trained, whole, steps=2, batch_size=4, **CPU).losses) == 2  # padded, and masked
    listed = [whole[i][0] for i in range(24)]
    assert evaluate_elbo(*trained, whole, batch_size=5) == evaluate_elbo(
        *trained, listed, batch_size=5
    )


def test_batches_are_of_similar_length():
    clips = [(torch.zeros(1 + (7 * n) % 50, 2), {"who": n}) for n in range(203)]
    data = Clips(clips, [len(x) for x, _ in clips])

    def read(data, seed=0, start=0, workers=0):
        batches = Batches(data, 4, Accelerator(cpu=True), workers, seed)
        return [known["who"].tolist() for _, known in batches.from_step(start, 100)]

    def padding(data):
        batches = Batches(data, 4, Accelerator(cpu=True), 0, 0)
        epoch = batches.from_step(0, len(batches))
        masks = [labels.get("mask", torch.ones(1)) for _, labels in epoch]
        return 1 - sum(m.sum() for m in masks) / sum(m.numel() for m in masks)

    assert padding(data) == padding(clips) < 0.1 < 0.3 < padding(Clips(clips))
    order = read(data)
    assert order == read(clips) == read(data, workers=1) != read(data, seed=1)
    assert order[60:] == read(data, start=60) and order[:50] != order[50:]
    assert len({who for batch in order[:50] for who in batch}) == 200
    longest = [max(1 + (7 * who) % 50 for who in batch) for batch in order[:16]]
    assert longest != sorted(longest) and longest != sorted(longest, reverse=True)
