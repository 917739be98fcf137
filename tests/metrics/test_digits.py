"""Digits: the classifier, the grid of z, and regressions on position, on pairs whose answer is known."""

import gzip
from functools import partial

import numpy as np
import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro.nn import PyroModule
from torch.nn import functional as F

import pyro_dsae
from pyro_dsae import metrics
from pyro_dsae.metrics import DigitClassifier, digits

SIZE, SIDE = 16, 8
PLACES = SIZE - SIDE + 1


@pytest.fixture(scope="module")
def glyphs():
    """Ten 8 x 8 patterns of 4 x 4 blocks, no two alike: uint8."""
    blocks = torch.rand(10, 4, 4, generator=torch.Generator().manual_seed(5)) < 0.5
    images = 255 * blocks.to(torch.uint8)
    return images.repeat_interleave(2, 1).repeat_interleave(2, 2)


@pytest.fixture(scope="module")
def classifier(glyphs):
    labels = torch.arange(10)
    return metrics.train_digit_classifier(
        glyphs, labels, glyphs, labels, size=SIZE, steps=80, batch_size=32
    )


def draw(glyphs, which, corner):
    """Frames ``(*, 1, 16, 16)`` of glyphs at corners (x, y) in whole pixels."""
    grid = torch.arange(SIZE)
    x, y = (grid - corner[..., i, None] for i in (0, 1))
    inside = ((x >= 0) & (x < SIDE))[..., None, :] & ((y >= 0) & (y < SIDE))[..., :, None]
    frames = glyphs[
        which[..., None, None],
        y.clamp(0, SIDE - 1)[..., :, None],
        x.clamp(0, SIDE - 1)[..., None, :],
    ]
    return torch.where(inside, frames, 0).unsqueeze(-3) / 255


class Oracle(PyroModule):
    """f holds the digit, z the corner. ``leak``: z beyond its prior's mean changes the digit too."""

    def __init__(self, glyphs, leak=False):
        super().__init__()
        self.glyphs, self.leak = glyphs, leak

    def forward(self, x=None, *, batch_size=None, num_frames=None):
        n, steps = x.shape[:2] if x is not None else (batch_size, num_frames)
        with pyro.plate("sequences", n, dim=-1):
            f = pyro.sample("f", dist.Normal(torch.zeros(10), 1.0).to_event(1))
            loc = 0.1 * f[:, None, :2].expand(n, steps, 2)
            z = pyro.sample("z", dist.Normal(loc, 0.5).to_event(2))
            corner = ((z + 1) / 2 * PLACES).long().clamp(0, PLACES - 1)
            which = f.argmax(-1, keepdim=True).expand(n, steps)
            if self.leak:
                which = (which + (z[..., 0] > loc[..., 0]).long()) % 10
            mean = draw(self.glyphs, which, corner)
            pyro.sample("x", dist.Normal(mean, 0.1).to_event(4), obs=x)
        return mean


class OracleGuide(PyroModule):
    """f from the first frame's digit, ``shift`` further on; z is not asked for."""

    def __init__(self, glyphs, shift=0):
        super().__init__()
        corners = torch.cartesian_prod(torch.arange(PLACES), torch.arange(PLACES))
        table = draw(glyphs, torch.arange(10)[:, None].expand(10, len(corners)), corners[None])
        self.table, self.shift = table.flatten(0, 1).flatten(1), shift

    def forward(self, x, **_):
        found = torch.cdist(x[:, 0].flatten(1), self.table).argmin(-1) // PLACES**2
        with pyro.plate("sequences", len(x), dim=-1):
            f = 5.0 * F.one_hot((found + self.shift) % 10, 10)
            pyro.sample("f", dist.Normal(f, 0.1).to_event(1))
            pyro.sample("z", dist.Normal(torch.zeros(*x.shape[:2], 2), 1.0).to_event(2))


@pytest.fixture(scope="module")
def sequences(glyphs):
    """20 sequences of 6 frames, and their digits."""
    which = torch.arange(20) % 10
    corner = torch.randint(PLACES, (20, 6, 2), generator=torch.Generator().manual_seed(1))
    return draw(glyphs, which[:, None].expand(20, 6), corner), which


def test_classifier_finds_digits_wherever_they_stand(classifier, glyphs):
    assert classifier.accuracy >= 0.9
    assert not classifier.training
    corners = torch.cartesian_prod(torch.arange(PLACES), torch.arange(PLACES))
    which = torch.arange(10)[:, None].expand(10, len(corners))
    frames = draw(glyphs, which, corners[None].expand(10, -1, -1)).flatten(0, 1)
    with torch.no_grad():
        log_p = classifier(frames)
    assert torch.allclose(log_p.exp().sum(-1), torch.ones(len(frames)), atol=1e-5)
    assert (log_p.argmax(-1) == which.flatten()).float().mean() > 0.97


@pytest.mark.parametrize("size", [16, 20, 32, 64, 96])
def test_classifier_of_any_size(size):
    assert DigitClassifier(size).eval()(torch.rand(3, 1, size, size)).shape == (3, 10)


def test_classifier_learns_real_digits(data_root):
    folder = data_root / "mnist"
    raw = [
        np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8)[offset:].copy()
        for name, offset in (("t10k-images-idx3-ubyte.gz", 16), ("t10k-labels-idx1-ubyte.gz", 8))
    ]
    images = torch.from_numpy(raw[0]).view(-1, 1, 28, 28).float()
    images = F.avg_pool2d(images, 2).squeeze(1).round().byte()
    labels = torch.from_numpy(raw[1]).long()
    found = metrics.train_digit_classifier(
        images[:9000], labels[:9000], images[9000:], labels[9000:], size=18, steps=80
    )
    assert found.accuracy > 0.8


def test_training_is_determined_by_the_seed_and_leaves_the_global_one(glyphs):
    labels = torch.arange(10)
    state = torch.get_rng_state()
    first, again, other = (
        metrics.train_digit_classifier(
            glyphs, labels, glyphs, labels, size=SIZE, steps=2, batch_size=8, seed=seed
        ).state_dict()
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_classifier_is_trained_once_for_the_same_digits(glyphs, tmp_path, monkeypatch):
    calls = []
    train = metrics.train_digit_classifier

    def counted(*args, **kwargs):
        calls.append(args)
        return train(*args, **kwargs)

    monkeypatch.setattr(digits, "train_digit_classifier", counted)
    labels = torch.arange(10)

    def get(images=glyphs, labels=labels, **kwargs):
        kwargs = {"cache_dir": tmp_path / "new", "steps": 2, "size": SIZE, **kwargs}
        return metrics.load_or_train_digit_classifier(images, labels, glyphs, labels, **kwargs)

    first, again = get(), get()
    assert len(calls) == 1
    assert again.accuracy == first.accuracy
    assert not again.training
    x = torch.rand(3, 1, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(first(x), again(x))
    get(seed=1)
    get(steps=3)
    get(size=20)
    get(images=glyphs // 2)
    get(labels=labels.flip(0))
    assert len(calls) == 6
    assert len([*(tmp_path / "new").glob("digits-*.safetensors")]) == 6
    get(cache_dir=None)
    assert len(calls) == 7

    path = max((tmp_path / "new").glob("digits-20x20-*"))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.warns(UserWarning, match="training anew: .* is not a digit classifier"):
        get(size=20)
    assert len(calls) == 8


def test_classifier_says_what_is_wrong_with_its_input(glyphs):
    labels = torch.arange(10)

    def train(images=glyphs, labels=labels, test_images=glyphs, size=SIZE):
        metrics.train_digit_classifier(images, labels, test_images, torch.arange(10), size=size)

    with pytest.raises(ValueError, match=r"^images must be uint8 .* got torch.float32 \(10, 8, 8"):
        train(images=glyphs.float())
    with pytest.raises(ValueError, match=r"test_images must be uint8 \(digits, side, side\)"):
        train(test_images=glyphs[:, :4])
    with pytest.raises(ValueError, match="images must fit frames of side 6, got digits of side 8"):
        train(size=6)
    with pytest.raises(ValueError, match=r"labels of images must be \(10,\) .* 0 to 9, got \(9,\)"):
        train(labels=labels[:9])
    with pytest.raises(ValueError, match="values 0 to 9, got .* with 1 to 10"):
        train(labels=labels + 1)
    with pytest.raises(ValueError, match=r"frames must be \(batch, 1, height, width\), got \(2, 3"):
        DigitClassifier(SIZE)(torch.zeros(2, 3, SIZE, SIZE))


def test_grid_stands_at_the_quantiles_of_the_prior(glyphs):
    f = torch.randn(3, 10)
    z = metrics.latent_grid(Oracle(glyphs), f, points=5, coverage=0.8)
    assert z.shape == (3, 25, 2)
    share = dist.Normal(0.1 * f[:, None, :2], 0.5).cdf(z).unflatten(1, (5, 5))
    levels = torch.linspace(0.1, 0.9, 5)
    assert torch.allclose(share[..., 0], levels.expand(3, 5, 5), atol=1e-5)
    assert torch.allclose(share[..., 1], levels[:, None].expand(3, 5, 5), atol=1e-5)


def test_grid_of_a_real_model_has_a_prior_for_each_f():
    model = pyro_dsae.Unordered((1, 16, 16), f_dim=5, z_dim=2, channels=4, hidden=16)
    f = torch.randn(4, 5)
    loc, scale = model.prior(f)
    z = metrics.latent_grid(model, f, points=3)
    assert torch.allclose(z[:, 4], loc, atol=1e-6)
    assert torch.allclose(z[:, 8] - z[:, 4], 1.6449 * scale, rtol=1e-3)


def test_no_grid_where_there_is_none(make_pair, glyphs):
    f = torch.zeros(2, 5)
    with pytest.raises(ValueError, match=r"needs a 2-dimensional z .* got AutoregressiveNormal"):
        metrics.latent_grid(make_pair(z_dim=2)[0], f)
    wide = pyro_dsae.Unordered((1, 16, 16), f_dim=5, z_dim=3, channels=4, hidden=16)
    with pytest.raises(ValueError, match=r"got ExchangeableNormal of event shape \(1, 3\)"):
        metrics.latent_grid(wide, f)
    with pytest.raises(ValueError, match="points must be at least 2, got 1"):
        metrics.latent_grid(wide, f, points=1)
    with pytest.raises(ValueError, match="coverage must be between 0 and 1, got 1.0"):
        metrics.latent_grid(wide, f, coverage=1.0)


def test_digit_in_f_and_place_in_z_are_consistent(classifier, glyphs, sequences):
    pair = Oracle(glyphs), OracleGuide(glyphs)
    found = metrics.grid_consistency(*pair, classifier, *sequences, points=5, batch_size=8)
    assert set(found) == {"digit_consistency", "verdict_consistency", "source_accuracy"}
    assert min(found.values()) > 0.97


def test_digit_that_z_changes_is_not(classifier, glyphs, sequences):
    pair = Oracle(glyphs, leak=True), OracleGuide(glyphs)
    found = metrics.grid_consistency(*pair, classifier, *sequences, points=6)
    assert found["digit_consistency"] == pytest.approx(0.5, abs=0.05)
    assert found["verdict_consistency"] == pytest.approx(0.5, abs=0.05)
    assert found["source_accuracy"] > 0.97


def test_wrong_digit_and_wrong_label_are_told_apart(classifier, glyphs, sequences):
    x, which = sequences
    wrong_f = Oracle(glyphs), OracleGuide(glyphs, shift=1)
    found = metrics.grid_consistency(*wrong_f, classifier, x, which, points=4)
    assert max(found["digit_consistency"], found["verdict_consistency"]) < 0.05
    assert found["source_accuracy"] > 0.97
    right = Oracle(glyphs), OracleGuide(glyphs)
    found = metrics.grid_consistency(*right, classifier, x, (which + 1) % 10, points=4)
    assert max(found["digit_consistency"], found["source_accuracy"]) < 0.05
    assert found["verdict_consistency"] > 0.97


@pytest.mark.parametrize(("model_name", "z_dim"), [("Unordered", 2), ("Unordered", 4), ("DSAE", 2)])
def test_real_pair(classifier, sequences, model_name, z_dim):
    sizes = {"f_dim": 5, "z_dim": z_dim, "channels": 4, "hidden": 16}
    model = getattr(pyro_dsae, model_name)((1, SIZE, SIZE), **sizes)
    guide = pyro_dsae.Factorised((1, SIZE, SIZE), **sizes)
    seen = []
    hook = model.likelihood.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    state = torch.get_rng_state()
    found = metrics.grid_consistency(
        model, guide, classifier, *sequences, points=3, batch_size=8, seed=2
    )
    hook.remove()
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training and guide.training
    assert max(shape[0] * shape[1] for shape in seen) == 8 * 9
    again = metrics.grid_consistency(
        model, guide, classifier, *sequences, points=3, batch_size=8, seed=2
    )
    assert found == again
    assert found["digit_consistency"] < 0.5


def test_grid_says_what_is_wrong_with_its_input(classifier, glyphs, sequences):
    pair = Oracle(glyphs), OracleGuide(glyphs)
    x, which = sequences
    with pytest.raises(
        ValueError, match=r"x must be \(batch, time, 1, height, width\), got \(20, 1"
    ):
        metrics.grid_consistency(*pair, classifier, x[:, 0], which)
    with pytest.raises(ValueError, match=r"digits must be \(20,\), one a sequence, got \(20, 1\)"):
        metrics.grid_consistency(*pair, classifier, x, which[:, None])
    with pytest.raises(ValueError, match="points must be at least 2, got 0"):
        metrics.grid_consistency(*pair, classifier, x, which, points=0)


class Locator(PyroModule):
    """z is a function of the place of the bright pixel."""

    def __init__(self, chart):
        super().__init__()
        self.chart = chart

    def forward(self, x, **_):
        at = x.flatten(2).argmax(-1)
        place = torch.stack([at % SIZE, at // SIZE], -1) / SIZE
        with pyro.plate("sequences", len(x), dim=-1):
            pyro.sample("f", dist.Normal(torch.zeros(len(x), 1), 1.0).to_event(1))
            pyro.sample("z", dist.Normal(self.chart(place), 0.1).to_event(2))


@pytest.fixture(scope="module")
def dots():
    """40 sequences of 5 frames of one bright pixel, and its place."""
    corner = torch.randint(SIZE, (40, 5, 2), generator=torch.Generator().manual_seed(2))
    x = F.one_hot(corner[..., 1] * SIZE + corner[..., 0], SIZE**2).float()
    return x.view(40, 5, 1, SIZE, SIZE), corner / SIZE


def test_z_that_is_the_place_up_to_a_linear_map(dots):
    turn = torch.tensor([[2.0, 1.0, 0.5], [-1.0, 1.0, 0.0]])
    found = metrics.position_r2(Locator(lambda p: p @ turn + 3), *dots, batch_size=7)
    assert found == pytest.approx({"r2": 1.0, "r2_linear": 1.0, "inverse_r2": 1.0}, abs=1e-6)


def test_z_in_a_bent_chart(dots):
    found = metrics.position_r2(
        Locator(lambda p: torch.stack([p[..., 0] ** 3, (p[..., 1] - 0.5) ** 2], -1)), *dots
    )
    assert found["r2"] == pytest.approx(1.0, abs=1e-6)
    assert 0.4 < found["r2_linear"] < 0.95
    assert 0.3 < found["inverse_r2"] < 0.8  # the square loses one side from the other


def test_z_that_holds_no_place(dots):
    noise = torch.Generator().manual_seed(3)
    found = metrics.position_r2(Locator(lambda p: torch.randn(p.shape, generator=noise)), *dots)
    assert max(found.values()) < 0.1
    found = metrics.position_r2(Locator(lambda p: torch.zeros(*p.shape[:2], 2)), *dots)
    assert found["r2"] == found["r2_linear"] == 0.0
    assert found["inverse_r2"] < 0.1


def test_r2_is_that_of_sequences_not_fitted_to(dots):
    x, place = dots
    cut = place.clone()
    cut[20:] = torch.rand(20, 5, 2)
    assert metrics.position_r2(Locator(lambda p: p), x, place)["r2"] > 0.999
    assert metrics.position_r2(Locator(lambda p: p), x, cut)["r2"] < 0.1


def test_position_says_what_is_wrong_with_its_input(dots):
    x, place = dots
    guide = Locator(lambda p: p)
    with pytest.raises(ValueError, match="x must hold at least 4 sequences, got 3"):
        metrics.position_r2(guide, x[:3], place[:3])
    with pytest.raises(ValueError, match=r"positions must be \(40, 5, 2\), got \(40, 4, 2\)"):
        metrics.position_r2(guide, x, place[:, :4])
    with pytest.raises(ValueError, match="degree 3 in 2 dimensions has 10 terms, got 4 frames"):
        metrics.position_r2(guide, x[:4, :2], place[:4, :2])


class Templates(DigitClassifier):
    """Finds glyphs where they are, to the pixel: half of the probability is where each of two is."""

    def __init__(self, glyphs):
        super().__init__(SIZE, num_digits=2)
        self.kernels = torch.where(glyphs > 0, 1.0, -1.0).unsqueeze(1)

    def forward(self, frames):
        found = F.conv2d((frames > 0.5).float(), self.kernels).amax((-2, -1))
        whole = (self.kernels > 0).sum((-3, -2, -1))
        return (50.0 * (found >= whole)).log_softmax(-1)


@pytest.fixture(scope="module")
def pairs(glyphs):
    return Templates(glyphs)


def test_two_digits_are_named_in_any_order(glyphs, pairs):
    assert pairs.sets[:3].tolist() == [[0, 0], [0, 1], [0, 2]] and len(pairs.sets) == 55
    which = torch.cartesian_prod(torch.arange(10), torch.arange(10))
    apart = torch.tensor([[0, 0], [8, 8]]).expand(100, 2, 2)
    frames = draw(glyphs, which, apart).amax(1)
    assert torch.equal(pairs.named(frames), pairs.index(which))
    assert torch.equal(pairs.index(which), pairs.index(which.flip(1)))
    assert torch.equal(pairs.sets[pairs.index(which)], which.sort(-1).values)


def test_a_classifier_learns_frames_of_two(glyphs):
    labels, options = torch.arange(10), {"size": SIZE, "batch_size": 32}
    train = partial(metrics.train_digit_classifier, *(glyphs, labels) * 2, **options)
    accuracy = train(num_digits=2, steps=60, seed=1).accuracy
    assert accuracy == train(num_digits=2, steps=60, seed=1).accuracy > 0.05  # of 55 pairs


def test_one_digit_is_named_by_its_probability(classifier, glyphs):
    frames = draw(glyphs, torch.arange(10), torch.zeros(10, 2).long())
    with torch.no_grad():
        assert torch.equal(classifier.named(frames), classifier(frames).argmax(-1))


class TwoGlyphs(PyroModule):
    """f holds two glyphs as the ten counts of them, z the two corners."""

    def __init__(self, glyphs):
        super().__init__()
        self.glyphs = glyphs

    def forward(self, x=None, *, batch_size=None, num_frames=None):
        n, steps = x.shape[:2] if x is not None else (batch_size, num_frames)
        with pyro.plate("sequences", n, dim=-1):
            f = pyro.sample("f", dist.Normal(torch.zeros(10), 1.0).to_event(1))
            law = dist.Normal(torch.tensor([-1.0, -1.0, 1.0, 1.0]), 0.1).expand([n, steps, 4])
            z = pyro.sample("z", law.to_event(2))
            corner = ((z + 1) / 2 * (PLACES - 1)).round().long().clamp(0, PLACES - 1)
            which = f.topk(2).indices[:, None].expand(n, steps, 2)
            mean = draw(self.glyphs, which, corner.unflatten(-1, (2, 2))).amax(2)
            pyro.sample("x", dist.Normal(mean, 0.1).to_event(4), obs=x)
        return mean


def test_both_of_two_digits_stay(glyphs, pairs):
    model, which = TwoGlyphs(glyphs), torch.tensor([[1, 4], [9, 2], [5, 7]])
    f = F.one_hot(which, 10).sum(1).float()

    class Known(PyroModule):
        def forward(self, x, **_):
            with pyro.plate("sequences", len(x), dim=-1):
                pyro.sample("f", dist.Normal(f, 1e-6).to_event(1))

    x = model(batch_size=3, num_frames=2).detach()
    found = metrics.grid_consistency(model, Known(), pairs, x, which.flip(1), points=3)
    assert found["digit_consistency"] > 0.9
    with pytest.raises(ValueError, match=r"digits must be \(3, 2\), 2 a sequence, got \(3,\)"):
        metrics.grid_consistency(model, Known(), pairs, x, which[:, 0])
    with pytest.raises(ValueError, match="digits must be 0 to 9, got 1 to 10"):
        metrics.grid_consistency(model, Known(), pairs, x, which + torch.tensor([0, 3]))


@pytest.fixture(scope="module")
def two_dots():
    """60 sequences of 6 frames of a bright pixel in the left half and one in the right, and their places."""
    corner = torch.randint(SIZE, (60, 6, 2, 2), generator=torch.Generator().manual_seed(2))
    corner[..., 0] = corner[..., 0] // 2 + torch.tensor([0, SIZE // 2])
    x = F.one_hot(corner[..., 1] * SIZE + corner[..., 0], SIZE**2).float().sum(2)
    return x.view(60, 6, 1, SIZE, SIZE), corner / SIZE


class TwoLocator(PyroModule):
    """z is a function of the places of the bright pixels, left and right."""

    def __init__(self, chart):
        super().__init__()
        self.chart = chart

    def forward(self, x, **_):
        at = x.flatten(2).unflatten(-1, (SIZE, 2, SIZE // 2)).movedim(-2, 2).flatten(3).argmax(-1)
        across = at % (SIZE // 2) + torch.tensor([0, SIZE // 2])
        place = torch.stack([across, at // (SIZE // 2)], -1) / SIZE
        with pyro.plate("sequences", len(x), dim=-1):
            pyro.sample("f", dist.Normal(torch.zeros(len(x), 1), 1.0).to_event(1))
            pyro.sample("z", dist.Normal(self.chart(place), 0.1).to_event(2))


def test_places_of_two_are_matched_sequence_by_sequence(two_dots):
    x, places = two_dots
    turned = torch.rand(60, generator=torch.Generator().manual_seed(0)) < 0.5
    swapped = torch.where(turned[:, None, None, None], places.flip(2), places)
    guide = TwoLocator(lambda p: p.flatten(2))
    for given in (places, swapped):
        found = metrics.matched_position_r2(guide, x, given, batch_size=7)
        assert found["inverse_r2"] == pytest.approx(1.0, abs=1e-6)
        assert found["chance"] < 0.7
    noise = torch.Generator().manual_seed(3)
    nothing = TwoLocator(lambda p: torch.randn(*p.shape[:2], 4, generator=noise))
    found = metrics.matched_position_r2(nothing, x, swapped)
    assert abs(found["inverse_r2"] - found["chance"]) < 0.1


def test_matched_places_say_what_is_wrong(two_dots):
    x, places = two_dots
    guide = TwoLocator(lambda p: p.flatten(2))
    with pytest.raises(
        ValueError, match=r"positions must be \(60, 6, digits, 2\), got \(60, 6, 2\)"
    ):
        metrics.matched_position_r2(guide, x, places[:, :, 0])
    with pytest.raises(ValueError, match="x must hold at least 4 sequences, got 3"):
        metrics.matched_position_r2(guide, x[:3], places[:3])
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        metrics.matched_position_r2(guide, x, places, rounds=0)
