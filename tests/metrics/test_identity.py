"""Identity by the nearest f: people whose identity is known to be in some pixels and not in others."""

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro.nn import PyroModule

import pyro_dsae
from pyro_dsae import metrics


class RowGuide(PyroModule):
    """f is the mean of one row of pixels; remembers which sequences it has seen."""

    def __init__(self, row):
        super().__init__()
        self.row, self.seen = row, []

    def forward(self, x, **_):
        self.seen.append(x)
        with pyro.plate("sequences", len(x), dim=-1):
            f = x[:, :, 0, self.row].mean(1)
            pyro.sample("f", dist.Normal(f, 1.0).to_event(1))
            pyro.sample("z", dist.Normal(torch.zeros(*x.shape[:2], 1), 1.0).to_event(2))


@pytest.fixture
def people():
    """Six people, 4 to 9 frames each: row 0 says who they are, the rest is noise."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for length in range(4, 10):
        x = torch.rand(length, 1, 8, 8, generator=generator)
        x[:, 0, 0] = torch.rand(8, generator=generator)
        found.append(x)
    return found


def test_nearest_is_the_mean_of_both_directions():
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert metrics.nearest(a, 5 * a) == 1.0
    assert metrics.nearest(a, a[[1, 2, 0]]) == 0.0
    # Rows of a find rows 0, 1 and 0 of b; rows of b find rows 2, 1 and 1 of a.
    b = torch.tensor([[2.0, 1.0], [0.0, 1.0], [-1.0, 3.0]])
    assert metrics.nearest(a, b) == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_f_that_holds_the_identity_beats_pixels(people):
    found = metrics.identity(RowGuide(0), people)
    assert found["f"] == found["single"]["f"] == 1.0
    assert found["single"]["pixels"] < 0.95
    assert found["single"]["pixels"] < found["pixels"] < 1.0
    assert found["people"] == 6


def test_f_that_does_not_is_at_chance(people):
    assert metrics.identity(RowGuide(1), people, repeats=50)["single"]["f"] < 0.4


def test_pixels_are_a_guide_that_shows_the_mean_frame(people):
    flat = [x.reshape(len(x), 1, 1, 64) for x in people]
    found = metrics.identity(RowGuide(0), flat)
    assert found["f"] == found["pixels"]
    assert found["single"]["f"] == found["single"]["pixels"]


def test_centring_takes_away_what_all_share(people):
    bright = [x + 100 for x in people]
    assert metrics.identity(RowGuide(0), bright)["f"] == 1.0
    shifted = metrics.identity(RowGuide(0), bright)
    plain = metrics.identity(RowGuide(0), people)
    assert shifted["pixels"] == pytest.approx(plain["pixels"], abs=0.01)


def test_of_two_people_each_half_is_centred_by_itself(people):
    """Then they are opposites on either side: both are found, or neither."""
    noise = [x[:, :, 1:] for x in people[:2]]
    shares = {metrics.identity(RowGuide(0), noise, repeats=1, seed=s)["pixels"] for s in range(20)}
    assert shares == {0.0, 1.0}


def test_halves_are_disjoint_and_complete(people):
    named = [torch.full((len(x), 1, 8, 8), 0.0) for x in people]
    for i, x in enumerate(named):
        x += (100 * i + torch.arange(len(x))).view(-1, 1, 1, 1)
    guide = RowGuide(0)
    metrics.identity(guide, named, repeats=1)
    halves = [x for x in guide.seen if x.shape[1] > 1]
    frames = torch.cat([x[:, :, 0, 0, 0].flatten() for x in halves]).sort().values
    assert torch.equal(frames, torch.cat([x[:, 0, 0, 0] for x in named]))
    for x in halves:
        assert (x[:, :, 0, 0, 0] // 100 == x[:, :1, 0, 0, 0] // 100).all()
    singles = [x for x in guide.seen if x.shape[1] == 1]
    assert sum(map(len, singles)) == 12


def test_batches_are_bounded(people):
    guide = RowGuide(0)
    same = [x[:4] for x in people]
    metrics.identity(guide, same, repeats=1, frames_at_once=6)
    assert [tuple(x.shape[:2]) for x in guide.seen] == [(3, 2)] * 4 + [(6, 1)] * 2
    one = metrics.identity(RowGuide(0), people, frames_at_once=1)
    assert one == metrics.identity(RowGuide(0), people, frames_at_once=1000)


@pytest.mark.parametrize("name", ["Factorised", "Pairwise"])
def test_real_guide(name):
    guide = getattr(pyro_dsae, name)((1, 16, 16), f_dim=5, z_dim=2, channels=4, hidden=16)
    base = torch.rand(4, 1, 1, 16, 16)
    people = [(x + 0.1 * torch.rand(5, 1, 16, 16)).clamp(0, 1) for x in base]
    state = torch.get_rng_state()
    found = metrics.identity(guide, people, repeats=3, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert guide.training
    assert found == metrics.identity(guide, people, repeats=3, seed=1)
    assert found["pixels"] == 1.0


def test_says_what_is_wrong_with_its_input(people):
    with pytest.raises(ValueError, match="sequences must hold at least 2 people, got 1"):
        metrics.identity(RowGuide(0), people[:1])
    with pytest.raises(ValueError, match=r"sequences\[1\] must hold at least 4 frames, got 3"):
        metrics.identity(RowGuide(0), [people[0], people[1][:3]])
    with pytest.raises(
        ValueError, match=r"sequences\[1\] must be \(time, 1, 8, 8\), got \(5, 1, 8, 4"
    ):
        metrics.identity(RowGuide(0), [people[0], people[1][..., :4]])
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        metrics.identity(RowGuide(0), people, repeats=0)
    with pytest.raises(ValueError, match=r"at least 2 people, got \(3, 2\) and \(3, 4\)"):
        metrics.nearest(torch.zeros(3, 2), torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"got \(1, 2\) and \(1, 2\)"):
        metrics.nearest(torch.zeros(1, 2), torch.zeros(1, 2))
