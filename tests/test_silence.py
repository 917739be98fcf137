"""What used to go wrong without a word."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pyro
import pytest
import torch
from conftest import SIZES, every_pair
from pyro import distributions as dist
from pyro import poutine
from pyro.infer import RenyiELBO, ReweightedWakeSleep, Trace_ELBO, TraceGraph_ELBO
from pyro.nn import PyroModule, PyroSample
from torch import nn

import pyro_dsae
from pyro_dsae import views
from pyro_dsae.checks import as_frames

CPU = {"device": "cpu", "progress": False}
PAIRS = every_pair()


def modes(*programs):
    return [module.training for program in programs for module in program.modules()]


class TestControlIsEvaluation:
    @pytest.fixture
    def pair(self, make_pair):
        model, guide = make_pair()
        guide.content_view = nn.Sequential(views.FewFrames(2), views.ShuffleStrips(4))
        guide.dynamics_view = views.Recolour()
        return model, guide

    def test_two_swaps_after_fit_are_the_same(self, pair, x):
        pyro_dsae.fit(*pair, x, steps=2, **CPU)
        assert not any(modes(*pair))
        first, second = (pyro_dsae.swap(*pair, x[:6], x[6:]) for _ in range(2))
        assert torch.equal(first, second)

    def test_whatever_the_mode_which_stays(self, pair, x):
        model, guide = pair
        expected = pyro_dsae.infer(guide.eval(), x)
        model.train(), guide.train()
        guide.encoder.eval()
        before = modes(*pair)
        for call in (
            lambda: pyro_dsae.infer(guide, x),
            lambda: pyro_dsae.infer(poutine.scale(guide, scale=2.0), x),
        ):
            found = call()
            assert all(torch.equal(found[name], expected[name]) for name in expected)
        seen = []
        guide.content_view.register_forward_hook(lambda *_: seen.append(1))
        for call in (
            lambda: pyro_dsae.generate(model, num_frames=2),
            lambda: pyro_dsae.reconstruct(model, guide, x),
            lambda: pyro_dsae.swap(model, guide, x, x),
            lambda: pyro_dsae.forecast(model, guide, x, 2),
            lambda: pyro_dsae.evaluate_elbo(model, guide, x),
            lambda: pyro_dsae.to_arviz(model, guide, x, num_samples=2),
        ):
            call()
            assert seen == [] and modes(*pair) == before

    def test_no_gradients(self, pair, x):
        assert not pyro_dsae.reconstruct(*pair, x).requires_grad
        assert all(not value.requires_grad for value in pyro_dsae.infer(pair[1], x).values())


class TestFramesAsTheyCome:
    def test_bytes_float64_and_arrays(self, make_pair, x):
        model, guide = make_pair()
        frames = (255 * x).byte()
        expected = pyro_dsae.infer(guide, frames.float() / 255)
        for same in (frames, frames.numpy(), frames.double() / 255, frames.numpy() / 255.0):
            found = pyro_dsae.infer(guide, same)
            for name, value in expected.items():
                torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
            assert pyro_dsae.swap(model, guide, same, same).dtype == torch.float32
        assert pyro_dsae.infer(guide.double(), x)["f"].dtype == torch.float64

    def test_frames_go_where_the_weights_are(self, make_pair, x):
        """The meta device stands for an accelerator; a bool of it, which a check would need, it has not."""
        _, guide = make_pair()
        moved = as_frames(guide.to("meta"), (255 * x).byte())
        assert moved.device.type == "meta" and moved.dtype == torch.float32

    def test_latents_go_where_the_weights_are(self):
        f, seen = torch.zeros(2, 5), []

        def look(*, batch_size, num_frames):
            seen.append(pyro.sample("f", dist.Normal(torch.zeros(2, 5), 1.0).to_event(2)))
            return torch.zeros(batch_size, num_frames)

        class Elsewhere(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = nn.Parameter(torch.zeros(1, device="meta"))

            def forward(self, **sizes):
                return look(**sizes)

        pyro_dsae.generate(Elsewhere(), f=f, num_frames=3)
        assert seen[0].device.type == "meta"

    def test_the_ends_of_the_range_are_within(self, make_pair, x):
        assert pyro_dsae.reconstruct(*make_pair(), x.round()).isfinite().all()

    def test_a_normal_likelihood_takes_any_range(self, make_pair, x):
        model, guide = make_pair(likelihood="normal")
        assert pyro_dsae.reconstruct(model, guide, 5 * x - 2).isfinite().all()

    def test_a_range_that_only_some_batches_leave(self, make_pair, x):
        bad = x.clone()
        bad[7, 2, 0, 3, 3] = 3.0
        with pytest.raises(ValueError, match=r"x must be in \[0, 1\].* to 3, in steps 0 to 11"):
            pyro_dsae.fit(*make_pair(), bad, steps=12, batch_size=1, seed=1, **CPU)


class TestAPartOfZ:
    @pytest.mark.parametrize("names", [*PAIRS][:6], ids="-".join)
    def test_goes_on_by_the_prior(self, names):
        model, _ = PAIRS[names]((3, 16, 16))
        f, z = torch.randn(4, 5), torch.randn(4, 3, 3)
        both = [pyro_dsae.generate(model, f=f, z=z, num_frames=8) for _ in range(2)]
        assert both[0].shape == (4, 8, 3, 16, 16)
        torch.testing.assert_close(both[0][:, :3], pyro_dsae.generate(model, f=f, z=z))
        assert not torch.allclose(both[0][:, 3:], both[1][:, 3:])
        assert pyro_dsae.generate(model, z=z, num_frames=5).shape[1] == 5

    def test_has_the_law_of_prefix_condition(self, make_pair):
        model, _ = make_pair()

        class Drift(nn.Module):
            def forward(self, z, state=None):
                return z + 1, torch.full_like(z, 1e-6), state

        model.prior = Drift()
        z = torch.randn(2, 3, 3)
        whole = torch.cat([z, z[:, -1:] + torch.tensor([1.0, 2.0]).reshape(1, 2, 1)], dim=1)
        f = torch.randn(2, 5)
        torch.testing.assert_close(
            pyro_dsae.generate(model, f=f, z=z, num_frames=5),
            pyro_dsae.generate(model, f=f, z=whole),
            atol=1e-4,
            rtol=0,
        )

    def test_of_unordered_frames_follows_the_f_that_is_drawn(self):
        """p(z | f) of what follows is that of the content that is drawn with it."""
        model = pyro_dsae.Unordered((3, 16, 16), **SIZES)

        class Loud(nn.Module):
            def forward(self, f):
                return 100 * f[..., :3].sign(), torch.full_like(f[..., :3], 1e-6)

        model.prior = Loud()
        seen = {}

        class Look(poutine.messenger.Messenger):
            def _pyro_post_sample(self, msg):
                seen[msg["name"]] = msg["value"]

        with Look():
            pyro_dsae.generate(model, z=torch.zeros(6, 2, 3), num_frames=3)
        assert torch.equal(seen["z"][:, 2].sign(), seen["f"][:, :3].sign())


class TestObjectives:
    @pytest.mark.parametrize(
        "elbo",
        [
            RenyiELBO(alpha=0, num_particles=2),
            RenyiELBO(alpha=0, num_particles=2, vectorize_particles=True, max_plate_nesting=1),
            TraceGraph_ELBO(),
            ReweightedWakeSleep(num_particles=2, vectorize_particles=False),
        ],
        ids=lambda elbo: type(elbo).__name__,
    )
    def test_fit_takes_those_without_a_differentiable_loss(self, make_pair, x, elbo):
        history = pyro_dsae.fit(*make_pair(), x, steps=60, lr=1e-3, elbo=elbo, **CPU)
        assert sum(history.losses[-5:]) < sum(history.losses[:5])

    def test_their_loss_and_gradient_are_of_a_sequence(self, make_pair, x):
        """Loss and one step of plain descent are the same by TraceGraph_ELBO and by Trace_ELBO."""
        losses, weights = [], []
        for elbo in (TraceGraph_ELBO(), Trace_ELBO()):
            pair = make_pair()
            history = pyro_dsae.fit(
                *pair,
                x,
                steps=1,
                elbo=elbo,
                clip_norm=None,
                schedule="constant",
                optimizer=lambda parameters: torch.optim.SGD(parameters, 1e-4),
                **CPU,
            )
            losses.append(history.losses)
            weights.append(torch.cat([p.detach().flatten() for m in pair for p in m.parameters()]))
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)


class TestPyrosSetting:
    SCRIPT = """
import json, pyro, torch
from pyro import distributions as dist
from pyro.infer import SVI, Trace_ELBO
pyro.settings.set(module_local_params={before})
import pyro_dsae
assert pyro.settings.get("module_local_params") is {before}
def model(x):
    loc = pyro.param("loc", torch.tensor(0.0))
    pyro.sample("x", dist.Normal(loc, 1.0), obs=x)
class Net(pyro.nn.PyroModule):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)
    def forward(self, x):
        pyro.sample("y", dist.Normal(self.linear(x).sum(), 1.0), obs=x.sum())
trainer = SVI(model, lambda x: None, pyro.optim.Adam({{"lr": 0.1}}), Trace_ELBO())
trainer.step(torch.tensor(2.0))
net = SVI(Net(), lambda x: None, pyro.optim.Adam({{"lr": 0.1}}), Trace_ELBO())
if not {before}:
    net.step(torch.ones(1))
sizes = dict(f_dim=2, z_dim=2, channels=2, hidden=4)
ours = pyro_dsae.DSAE((8,), **sizes), pyro_dsae.Factorised((8,), **sizes)
svi = SVI(*ours, pyro.optim.Adam({{"lr": 0.1}}), Trace_ELBO())
before = [p.detach().clone() for m in ours for p in m.parameters()]
svi.step(torch.rand(2, 3, 8))
moved = sum(not torch.equal(a, b) for a, b in zip(before, (p for m in ours for p in m.parameters())))
print(json.dumps([sorted(pyro.get_param_store().keys()), moved == len(before)]))
"""

    @pytest.mark.parametrize("before", [False, True])
    def test_stays_as_the_user_has_it(self, before):
        script = self.SCRIPT.format(before=before)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        store = ["loc"] if before else ["linear$$$bias", "linear$$$weight", "loc"]
        assert json.loads(done.stdout) == [store, True]

    def test_our_programs_inside_another(self, make_pair, x):
        """A program of ours as a part of a user's own, under Pyro's default."""

        class Around(PyroModule):
            def __init__(self, part):
                super().__init__()
                self.part = part
                self.scale = PyroSample(dist.LogNormal(0.0, 1.0))

            def forward(self, x):
                return self.scale * self.part(x)

        model, _ = make_pair()
        trace = poutine.trace(Around(model)).get_trace(x)
        assert {"scale", "f", "z", "x"} <= set(trace.nodes)


def test_arviz_takes_every_pair():
    for make in PAIRS.values():
        model, guide = make((8,))
        idata = pyro_dsae.to_arviz(model, guide, torch.rand(3, 4, 8), num_samples=5)
        for name, shape in model.latents.items():
            expected = (1, 5, 3, *(4 if side is None else side for side in shape))
            assert idata["posterior"][name].shape == expected
            assert idata["prior"][name].shape == expected
        assert np.isfinite(idata["sample_stats"]["log_weight"].values).all()
