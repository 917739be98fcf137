"""Pairs in a folder: what is loaded is what was saved, or an error that names what is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from copy import deepcopy
from pathlib import Path

import huggingface_hub
import numpy as np
import pyro
import pytest
import torch
from conftest import SIZES, as_on_a_gpu
from pyro import distributions as dist
from safetensors.torch import load_file
from torch import nn

import pyro_dsae
from pyro_dsae import DSAE, Factorised, FHVAEGuide, Pairwise
from pyro_dsae.data import Clips, LogSpectrum, Series, SpeechSegments, write_shapes
from pyro_dsae.likelihoods import Normal
from pyro_dsae.program import Program
from pyro_dsae.views import Recolour, ShuffleStrips

FRAME = (3, 16, 16)


def encoder() -> nn.Module:
    return nn.Sequential(nn.Flatten(-3), nn.Linear(768, 16))


def decoder() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 768), nn.Unflatten(-1, FRAME))


class Transition(nn.Module):
    """Nothing to learn: its weights cannot tell that it is not the default."""

    def forward(self, z, state=None):
        return 0.9 * z, torch.ones_like(z), state


class Tinted(nn.Module):
    """A view with a weight."""

    def __init__(self):
        super().__init__()
        self.tint = nn.Parameter(torch.rand(3, 1, 1))

    def forward(self, x):
        return x * self.tint


@pytest.fixture
def folder(make_pair, tmp_path) -> Path:
    """A pair of the defaults."""
    pyro_dsae.save(tmp_path / "kept", *make_pair())
    return tmp_path / "kept"


def same(pair, other, x) -> None:
    """Both rebuild x alike, to the bit."""
    first, second = (pyro_dsae.reconstruct(*(p.eval() for p in each), x) for each in (pair, other))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def edit(path: Path, **values) -> None:
    """Set entries of a file of JSON; those of None are dropped."""
    now = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({name: now[name] for name in now if now[name] is not None}))


@pytest.mark.parametrize("likelihood", ["bernoulli", "normal"])
def test_gives_the_same_pair_and_says_nothing(make_pair, x, tmp_path, capfd, recwarn, likelihood):
    pair = make_pair(guide=pyro_dsae.Full, likelihood=likelihood)
    for scale in pair[0].likelihood.parameters():
        nn.init.constant_(scale, 0.3)  # as if learned
    pyro_dsae.save(tmp_path, *pair)
    loaded = pyro_dsae.load(tmp_path)
    assert [type(p) for p in loaded] == [type(p) for p in pair]
    assert not any(p.training for p in loaded)
    same(pair, loaded, x)
    for before, after in zip(pair, loaded, strict=True):
        weights = before.state_dict()
        assert all(torch.equal(weights[name], w) for name, w in after.state_dict().items())
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    each = ("README.md", "config.json", "model.safetensors")
    assert files == {
        "index.json",
        *(f"{role}/{name}" for role in ("model", "guide") for name in each),
    }
    assert capfd.readouterr() == ("", "") and not recwarn.list


@pytest.mark.parametrize("dtype", [None, torch.float32])
def test_weights_of_an_lstm_may_lie_in_one_storage(make_pair, x, tmp_path, dtype):
    pair = make_pair(guide=pyro_dsae.Full)
    as_on_a_gpu(*pair)
    storages = {id(module): module.state_dict() for module in pair}
    pyro_dsae.save(tmp_path, *pair, dtype=dtype)
    same(pair, pyro_dsae.load(tmp_path), x)
    for module in pair:  # as it was: still in one
        for name, weight in module.state_dict().items():
            assert weight.data_ptr() == storages[id(module)][name].data_ptr()


class TestNetworksOfTheUsersOwn:
    @pytest.mark.parametrize(
        ("name", "make"),
        [
            ("decoder", decoder),
            ("prior", Transition),
            ("likelihood", lambda: Normal(0.3, learn_scale=False)),
            ("encoder", encoder),
            ("content_encoder", encoder),
        ],
    )
    def test_are_passed_to_load(self, make_pair, x, tmp_path, name, make):
        guide_has = name.endswith("encoder")
        model = DSAE(FRAME, **SIZES, **({} if guide_has else {name: make()}))
        guide = Factorised(FRAME, **SIZES, **({name: make()} if guide_has else {}))
        program = guide if guide_has else model
        kind = re.escape(f"{type(program).__name__}: {name} (")
        with pytest.warns(UserWarning, match=rf"{kind}.*pass {name}=\.\.\. to load"):
            pyro_dsae.save(tmp_path, model, guide)
        words = rf"config.json: .* was saved without {name} \(.*\): pass {name}=\.\.\. to load"
        with pytest.raises(ValueError, match=words):
            pyro_dsae.load(tmp_path)
        same((model, guide), pyro_dsae.load(tmp_path, **{name: make()}), x)

    @pytest.fixture
    def own(self, tmp_path) -> tuple[Path, tuple[nn.Module, nn.Module]]:
        """As version 0.1.0 saved it: nothing tells of the networks but their weights."""
        pair = (
            DSAE(FRAME, **SIZES, decoder=decoder()),
            Factorised(FRAME, **SIZES, encoder=encoder()),
        )
        with pytest.warns(UserWarning, match="is not saved, but for its weights"):
            pyro_dsae.save(tmp_path, *pair)
        edit(tmp_path / "model/config.json", decoder=None)
        edit(tmp_path / "guide/config.json", encoder=None)
        return tmp_path, pair

    def test_of_version_0_1_are_named_by_their_weights(self, own, x):
        folder, pair = own
        words = (
            r"model/model.safetensors does not fit DSAE, missing: decoder.deconv.1.bias, "
            r".* and \d more; left over: decoder.0.bias, decoder.0.weight; "
            r"pass decoder=\.\.\. to load"
        )
        with pytest.raises(ValueError, match=words):
            pyro_dsae.load(folder)
        with pytest.raises(
            ValueError, match=r"does not fit Factorised.*pass encoder=\.\.\. to load"
        ):
            pyro_dsae.load(folder, decoder=decoder())
        same(pair, pyro_dsae.load(folder, decoder=decoder(), encoder=encoder()), x)

    def test_of_another_shape_are_named(self, own):
        wide = nn.Sequential(nn.Flatten(-3), nn.Linear(768, 17))
        words = r"of another shape: encoder.1.bias \[16\], not \[17\], .*encoder=\.\.\. to load"
        with pytest.raises(ValueError, match=words):
            pyro_dsae.load(own[0], decoder=decoder(), encoder=wide)
        words = (
            r"of another shape: encoder.1.bias.*; missing: encoder.2.bias, encoder.2.weight; pass"
        )
        with pytest.raises(ValueError, match=words):
            pyro_dsae.load(own[0], decoder=decoder(), encoder=wide.append(nn.Linear(17, 16)))

    def test_that_share_weights_load(self, x, tmp_path):
        def tied() -> nn.Module:
            square = nn.Linear(768, 768)
            return nn.Sequential(nn.Flatten(-3), square, nn.Tanh(), square, nn.Linear(768, 16))

        pair = DSAE(FRAME, **SIZES), Factorised(FRAME, **SIZES, encoder=tied())
        with pytest.warns(UserWarning, match="encoder"):
            pyro_dsae.save(tmp_path, *pair)
        same(pair, pyro_dsae.load(tmp_path, encoder=tied()), x)

    def test_from_pretrained_takes_what_fits_only_if_told(self, own):
        with pytest.raises(ValueError, match="left over: decoder"):
            DSAE.from_pretrained(own[0] / "model")
        model = DSAE.from_pretrained(own[0] / "model", strict=False)
        kept = own[1][0].state_dict()
        torch.testing.assert_close(
            model.prior.state_dict()["lstm.bias_hh_l0"], kept["prior.lstm.bias_hh_l0"]
        )


class TestOptions:
    def test_go_to_whichever_takes_them(self, folder):
        model, guide = pyro_dsae.load(folder, frames_at_once=3, content_view=Recolour())
        assert (model.frames_at_once, guide.frames_at_once) == (3, 3)
        assert isinstance(guide.content_view, Recolour)

    def test_that_neither_takes_are_listed(self, folder):
        words = (
            "arguments of DSAE and Factorised, frame_shape, prior, .*decoder.*, encoder, .*got ff"
        )
        with pytest.raises(TypeError, match=words):
            pyro_dsae.load(folder, ff=3, encoder=encoder())

    def test_of_another_size_do_not_fit(self, folder):
        with pytest.raises(ValueError, match=r"of another shape: .* \[.*\], not \[.*\]"):
            pyro_dsae.load(folder, z_dim=4)


class TestViews:
    """They act in training alone."""

    def test_are_not_needed_to_load(self, x, tmp_path):
        views = {"content_view": ShuffleStrips(4), "dynamics_view": lambda x: 1 - x}
        pair = DSAE(FRAME, **SIZES), Factorised(FRAME, **SIZES, **views)
        with pytest.warns(UserWarning, match="_view") as said:
            pyro_dsae.save(tmp_path, *pair)
        assert [str(w.message) for w in said] == [
            f"Factorised: {name}_view ({kind}) is not saved, and acts in training alone: "
            f"pass {name}_view=... to load to train on"
            for name, kind in (
                ("content", "pyro_dsae.views.ShuffleStrips"),
                ("dynamics", "builtins.function"),
            )
        ]
        same(pair, pyro_dsae.load(tmp_path), x)
        _, guide = pyro_dsae.load(tmp_path, **views)
        assert guide.content_view is views["content_view"]

    def test_with_weights_get_them_back(self, x, tmp_path):
        model = pyro_dsae.Unordered(FRAME, **SIZES)
        guide = Pairwise(FRAME, **SIZES, content_frames=2, content_view=Tinted())
        with pytest.warns(UserWarning, match="content_view"):
            pyro_dsae.save(tmp_path, model, guide)
        same((model, guide), pyro_dsae.load(tmp_path), x)
        again = pyro_dsae.load(tmp_path, content_view=Tinted())[1]
        assert torch.equal(again.content_view[1].tint, guide.content_view[1].tint)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "no weights": (
        lambda f: (f / "model/model.safetensors").unlink(),
        FileNotFoundError,
        "no DSAE in .*/model: model.safetensors is missing",
    ),
    "weights cut": (
        lambda f: cut(f / "guide/model.safetensors"),
        ValueError,
        "/guide/model.safetensors is damaged, or not safetensors: .",
    ),
    "empty weights": (
        lambda f: (f / "model/model.safetensors").write_bytes(b""),
        ValueError,
        "/model/model.safetensors is damaged, or not safetensors: .",
    ),
    "a pickle under their name": (
        lambda f: torch.save({}, f / "model/model.safetensors"),
        ValueError,
        "/model/model.safetensors is damaged, or not safetensors: .",
    ),
    "a pickle beside": (
        lambda f: (f / "model/model.safetensors").rename(f / "model/pytorch_model.bin"),
        FileNotFoundError,
        "model.safetensors is missing",
    ),
    "no configuration": (
        lambda f: (f / "guide/config.json").unlink(),
        FileNotFoundError,
        "/guide/config.json",
    ),
    "configuration cut": (
        lambda f: cut(f / "guide/config.json"),
        ValueError,
        "/guide/config.json is not JSON: ",
    ),
    "configuration of bytes": (
        lambda f: (f / "guide/config.json").write_bytes(b"\xff\xfe\x00\x00"),
        ValueError,
        "/guide/config.json is not JSON: ",
    ),
    "configuration of a list": (
        lambda f: (f / "model/config.json").write_text("[1]"),
        ValueError,
        "/model/config.json must hold a JSON object, got list",
    ),
    "configuration without a size": (
        lambda f: edit(f / "guide/config.json", f_dim=None),
        ValueError,
        r"/guide/model.safetensors does not fit Factorised, of another shape: f_head",
    ),
    "a size that is none": (
        lambda f: edit(f / "guide/config.json", f_dim="many"),
        ValueError,
        "/guide/config.json does not make a Factorised: .",
    ),
    "a negative size": (
        lambda f: edit(f / "model/config.json", z_dim=-3),
        ValueError,
        "/model/config.json does not make a DSAE: .",
    ),
    "an option that a guide lacks": (
        lambda f: edit(f / "guide/config.json", lags=2),
        ValueError,
        "/guide/config.json: Factorised takes no lags",
    ),
    "an option that a model lacks": (
        lambda f: edit(f / "model/config.json", lags=2),
        ValueError,
        "/model/config.json does not make a DSAE: .*lags",
    ),
    "no index": (
        lambda f: (f / "index.json").unlink(),
        FileNotFoundError,
        "no model in .*: index.json is missing",
    ),
    "index cut": (lambda f: cut(f / "index.json"), ValueError, "/index.json is not JSON: "),
    "index of a list": (
        lambda f: (f / "index.json").write_text('["DSAE"]'),
        ValueError,
        "/index.json must hold a JSON object, got list",
    ),
    "index without a guide": (
        lambda f: edit(f / "index.json", guide=None),
        ValueError,
        "/index.json must name as guide one of .*Factorised.*, got None",
    ),
    "index with another model": (
        lambda f: edit(f / "index.json", model="SequenceModel"),
        ValueError,
        "/index.json must name as model one of DSAE, .*, got 'SequenceModel'",
    ),
    "index with a number": (
        lambda f: edit(f / "index.json", model=3),
        ValueError,
        "/index.json must name as model one of DSAE, .*, got 3",
    ),
    "index with a pair exchanged": (
        lambda f: edit(f / "index.json", model="Factorised", guide="DSAE"),
        ValueError,
        "must name as model one of DSAE, .*, got 'Factorised'",
    ),
    "no model": (
        lambda f: shutil.rmtree(f / "model"),
        FileNotFoundError,
        "no DSAE in .*/model: there is no such folder",
    ),
    "no guide": (
        lambda f: shutil.rmtree(f / "guide"),
        FileNotFoundError,
        "no Factorised in .*/guide: there is no such folder",
    ),
    "nothing": (shutil.rmtree, FileNotFoundError, "no model in .*: index.json is missing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_named_in_one_line(folder, damage, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: asked.append(args))
    spoil, error, words = DAMAGES[damage]
    spoil(folder)
    with pytest.raises(error, match=words) as caught:
        pyro_dsae.load(folder)
    assert "\n" not in str(caught.value) and not asked


class Refuses(Factorised):
    """A guide whose weights cannot be written to the end."""

    def _save_pretrained(self, save_directory: Path) -> None:
        super()._save_pretrained(save_directory)
        raise OSError("no space left")


class Vanishes(Factorised):
    """A guide of which nothing is there when it comes to take its place."""

    def save_pretrained(self, *args, **kwargs):
        pass


class TestSave:
    @pytest.mark.parametrize("kind", [Refuses, Vanishes])
    def test_that_fails_leaves_the_old_pair(self, make_pair, x, folder, kind):
        (folder / "notes.txt").write_text("mine")
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        other = make_pair(seed=1)[0]
        with pytest.raises(OSError, match="no space left|No such file"):
            pyro_dsae.save(folder, other, kind(FRAME, **SIZES))
        after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert after == before
        same(make_pair(), pyro_dsae.load(folder), x)

    def test_takes_the_place_of_another_pair(self, make_pair, x, folder):
        (folder / "notes.txt").write_text("mine")
        pair = make_pair(guide=pyro_dsae.Full, f_dim=4)
        pyro_dsae.save(folder, *pair)
        same(pair, pyro_dsae.load(folder), x)
        names = {path.name for path in folder.iterdir()}
        assert names == {"model", "guide", "index.json", "notes.txt"}
        assert "| `f_dim` | 4 |" in (folder / "model/README.md").read_text()

    def test_at_no_moment_is_there_an_index_of_half_a_pair(self, make_pair, folder, monkeypatch):
        real, seen = os.replace, []

        def look(*paths):
            real(*paths)
            seen.append({path.name for path in folder.glob("[!.]*")})

        monkeypatch.setattr(os, "replace", look)
        pyro_dsae.save(folder, *make_pair(seed=1))
        assert len(seen) == 6
        assert all(names >= {"model", "guide"} for names in seen if "index.json" in names)

    def test_while_another_loads_gives_it_no_mixture(self, make_pair, x, tmp_path):
        def saved(seed):
            pair = DSAE(FRAME, **SIZES, decoder=decoder()), make_pair(seed=seed)[1]
            with pytest.warns(UserWarning, match="decoder"):
                pyro_dsae.save(tmp_path, *pair)
            return pair

        saved(1)
        later: list[tuple] = []
        network = decoder()
        # The model is being loaded; the guide's turn is next.
        network.register_load_state_dict_post_hook(
            lambda *_: None if later else later.append(saved(2))
        )
        loaded = pyro_dsae.load(tmp_path, decoder=network)
        same(later[0], loaded, x)

    def test_takes_programs_alone(self, make_pair, tmp_path):
        model, _ = make_pair()
        with pytest.raises(ValueError, match="guide must be a Program, got Linear"):
            pyro_dsae.save(tmp_path / "new", model, nn.Linear(2, 2))
        assert not (tmp_path / "new").exists()


class TestHalfPrecision:
    @pytest.mark.parametrize("guide", [Factorised, pyro_dsae.Structured])
    def test_halves_the_files_and_is_read_as_float32(self, x, tmp_path, guide):
        shared = guide is pyro_dsae.Structured  # whose prior is the model's
        model = DSAE(FRAME, **SIZES, prior="linear_gaussian" if shared else "mixture")
        pair = model, guide(FRAME, **SIZES, **({"prior": model.prior} if shared else {}))
        before = [program.state_dict() for program in deepcopy(pair)]
        pyro_dsae.save(tmp_path / "whole", *pair)
        pyro_dsae.save(tmp_path / "half", *pair, dtype=torch.float16)
        for role, program, was in zip(("model", "guide"), pair, before, strict=True):
            whole, half = (
                load_file(tmp_path / name / role / "model.safetensors")
                for name in ("whole", "half")
            )
            assert whole.keys() == half.keys()
            assert all(torch.equal(half[name], w.to(torch.float16)) for name, w in whole.items())
            assert all(torch.equal(w, was[name]) for name, w in program.state_dict().items())
        loaded = pyro_dsae.load(tmp_path / "half")
        assert {w.dtype for program in loaded for w in program.parameters()} == {torch.float32}
        rebuilt, near = (pyro_dsae.reconstruct(*(p.eval() for p in q), x) for q in (pair, loaded))
        assert 0 < (rebuilt - near).abs().max() < 0.01
        # To round what is rounded changes nothing.
        pyro_dsae.save(tmp_path / "again", *loaded, dtype=torch.float16)
        same(loaded, pyro_dsae.load(tmp_path / "again"), x)

    def test_refuses_weights_that_it_cannot_hold(self, make_pair, folder):
        model, guide = make_pair()
        nn.init.constant_(next(model.parameters()), 1e5)
        words = r"dtype must hold all weights, got torch.float16 and a model whose \S+ goes up to 1e\+05"
        with pytest.raises(ValueError, match=words):
            pyro_dsae.save(folder, model, guide, dtype=torch.float16)


class Quiet(DSAE):
    def __init__(self, frame_shape, *, volume: float = 1.0, **options):
        super().__init__(frame_shape, **options)
        self.volume = volume


def test_a_class_of_the_users_own_is_loaded_by_itself(make_pair, x, tmp_path):
    pair = Quiet(FRAME, volume=0.5, **SIZES), make_pair()[1]
    pyro_dsae.save(tmp_path, *pair)
    words = r"got 'Quiet'; load a class of your own by its from_pretrained\('.*/model'\)"
    with pytest.raises(ValueError, match=words):
        pyro_dsae.load(tmp_path)
    model = Quiet.from_pretrained(tmp_path / "model")
    assert model.volume == 0.5
    same(pair, (model, pair[1]), x)


def test_arguments_are_those_of_all_that_init_hands_on_to():
    assert Quiet.arguments()[:3] == ["frame_shape", "volume", "prior"]
    assert {"decoder", "frames_at_once"} < {*Quiet.arguments()}
    assert FHVAEGuide.arguments()[:2] == ["frame_shape", "utterances"]


def test_a_program_without_arguments(tmp_path):
    class Plain(Program):
        def __init__(self):
            super().__init__()
            self.loc = nn.Parameter(torch.tensor(3.0))

        def forward(self):
            return pyro.sample("x", dist.Normal(self.loc, 1.0))

    program = Plain()
    nn.init.constant_(program.loc, 7.0)
    program.save_pretrained(tmp_path)
    assert float(Plain.from_pretrained(tmp_path).loc.detach()) == 7


def test_the_card_says_what_it_is_and_how_to_load_it(folder):
    card = (folder / "guide/README.md").read_text()
    assert "library_name: pyro-dsae" in card
    assert "\n# Factorised\n" in card and "`pyro_dsae.guides.factorised.Factorised`" in card
    _, guide = pyro_dsae.load(folder)
    assert f"| parameters | {sum(p.numel() for p in guide.parameters())} |" in card
    assert "| `frame_shape` | [3, 16, 16] |\n" in card and "| `z_dim` | 3 |\n" in card
    assert "Li & Mandt, *Disentangled Sequential Autoencoder*, ICML 2018" in card
    assert "More Information Needed" not in card and "{{" not in card
    (script,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    load_both, alone = script.replace("(folder)", "({})").strip().rsplit("\n", 1)
    names: dict = {"Factorised": Factorised}
    exec(load_both.format(repr(str(folder))), names)
    exec(alone.format(repr(str(folder / "guide"))), names)
    assert type(names["model"]) is DSAE and type(names["alone"]) is Factorised


def test_an_id_of_the_hub_is_found_in_its_cache(make_pair, x, tmp_path, capfd):
    pair = make_pair()
    home = tmp_path / "models--someone--figures"
    pair[1].save_pretrained(home / "snapshots" / ("0" * 40))
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("0" * 40)
    options = {"cache_dir": tmp_path, "local_files_only": True}
    same(pair, (pair[0], Factorised.from_pretrained("someone/figures", **options)), x)


class TestPairsAtTheHub:
    @pytest.fixture(autouse=True)
    def _cached(self, make_pair, tmp_path, monkeypatch):
        """A pair as the hub's cache keeps it, and no network."""
        self.pair, home = make_pair(), tmp_path / "models--someone--figures"
        for revision, commit in (("main", "0" * 40), ("v1", "1" * 40)):
            pyro_dsae.save(
                home / "snapshots" / commit,
                *(self.pair if revision == "main" else make_pair(seed=1)),
            )
            (home / "refs").mkdir(exist_ok=True)
            (home / "refs" / revision).write_text(commit)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def test_are_found_by_their_id(self, x):
        same(self.pair, pyro_dsae.load("someone/figures"), x)

    def test_of_another_revision(self, x):
        f = pyro_dsae.infer(self.pair[1], x)["f"]
        assert not torch.equal(
            pyro_dsae.infer(pyro_dsae.load("someone/figures", revision="v1")[1], x)["f"], f
        )

    def test_that_are_not_there_are_named(self):
        with pytest.raises(
            FileNotFoundError, match="no model in someone/else: .* the hub has none"
        ):
            pyro_dsae.load("someone/else")
        with pytest.raises(FileNotFoundError, match="no model in .*/else: index.json is missing"):
            pyro_dsae.load(Path("someone/else"))


class TestData:
    """What was done to the data is kept with the pair, and done to others."""

    @pytest.fixture
    def series(self):
        return Series([np.random.default_rng(0).normal(7, 3, (30, 4))], num_frames=6, stride=2)

    @pytest.fixture
    def pair(self):
        return DSAE((4,), likelihood="normal", **SIZES), Factorised((4,), **SIZES)

    def test_series(self, series, pair, tmp_path):
        pyro_dsae.save(tmp_path / "model", *pair, data=series)
        pyro_dsae.load(tmp_path / "model")
        other = np.random.default_rng(1).normal(-50, 9, (15, 4))
        new = pyro_dsae.load_data(tmp_path / "model", [other], windows="tiled")
        assert torch.equal(new.scaling.mean, series.scaling.mean)
        assert torch.equal(new.scaling.scale, series.scaling.scale)
        x, _ = new[0]
        assert x.shape == (6, 4) and new.windows == "tiled"
        torch.testing.assert_close(new.restore(x), torch.from_numpy(other[:12:2]).float())
        with pytest.raises(ValueError, match="scaling must be of 3 channels, got"):
            pyro_dsae.load_data(tmp_path / "model", [other[:, :3]])

    def test_clips(self, pair, tmp_path):
        pytest.importorskip("av")
        write_shapes(tmp_path / "clips", 2, lengths=(20, 24))
        learnt = Clips(tmp_path / "clips", num_frames=5, rate=5, size=(16, 24), grey=True)
        pyro_dsae.save(tmp_path / "model", *pair, data=learnt.select([1], windows="tiled"))
        new = pyro_dsae.load_data(tmp_path / "model", tmp_path / "clips")
        assert new[0][0].shape == (5, 1, 16, 24) and new.settings == learnt.settings
        assert torch.equal(new.sequence(1), learnt.sequence(1)) and len(new) == 2
        every = pyro_dsae.load_data(tmp_path / "model", tmp_path / "clips", stride=2)
        assert every.settings["stride"] == 2 and "rate" not in every.settings
        assert len(every.sequence(0)) > len(new.sequence(0))
        slow = pyro_dsae.load_data(tmp_path / "model", tmp_path / "clips", rate=4, num_frames=4)
        assert slow.settings["rate"] == 4 and slow[0][0].shape == (4, 1, 16, 24)

    def test_speech(self, pair, tmp_path):
        soundfile = pytest.importorskip("soundfile")
        for speaker in ("anna", "ben"):
            path = tmp_path / "speech" / speaker / "1.wav"
            path.parent.mkdir(parents=True)
            sound = np.random.default_rng(len(speaker)).normal(0, 0.1, 8000)
            soundfile.write(path, sound, 8000)
        options = {"spectrum": LogSpectrum(8000, bins=100), "level": 0.1, "silence": 40.0}
        options["cache_dir"] = tmp_path / "cache"
        learnt = SpeechSegments(tmp_path / "speech", speakers=["anna"], num_frames=10, **options)
        pyro_dsae.save(tmp_path / "model", *pair, data=learnt)
        new = pyro_dsae.load_data(
            tmp_path / "model", tmp_path / "speech", cache_dir=tmp_path / "cache"
        )
        assert new.spectrum.settings == learnt.spectrum.settings and new.speakers == ["anna", "ben"]
        assert torch.equal(new.utterance(0), learnt.utterance(0)) and len(new) == 2 * len(learnt)
        assert new.settings.keys() == learnt.settings.keys()
        assert (new.level, new.num_frames, new.settings["silence"]) == (0.1, 10, 40.0)

    def test_a_pair_saved_anew_does_not_keep_the_data_of_another(self, series, pair, tmp_path):
        pyro_dsae.save(tmp_path, *pair, data=series)
        assert (tmp_path / "data.json").is_file()
        pyro_dsae.save(tmp_path, *pair)
        with pytest.raises(
            FileNotFoundError, match=r"nothing of its data in .*save\(\.\.\., data="
        ):
            pyro_dsae.load_data(tmp_path, [np.zeros((9, 4))])
        with pytest.raises(FileNotFoundError, match="no model in .*nowhere"):
            pyro_dsae.load_data(tmp_path / "nowhere", [np.zeros((9, 4))])

    def test_bad(self, series, pair, tmp_path):
        with pytest.raises(
            ValueError, match="data must be one of Clips, Series, Speech.* got Tensor"
        ):
            pyro_dsae.save(tmp_path / "none", *pair, data=torch.zeros(2))
        assert not (tmp_path / "none").exists()
        pyro_dsae.save(tmp_path, *pair, data=series)
        kept = tmp_path / "data.json"
        for text, words in (
            ("{", "data.json is not JSON"),
            ("{}", "data.json must name as data one of Clips, Series, SpeechSegments, got None"),
            (
                '{"data": "Series", "scaling": {"mean": [1]}}',
                "must hold settings of Series: .*scale",
            ),
            ('{"data": "Series", "scaling": 3}', "must hold settings of Series"),
            ('{"data": "Series", "colour": 3}', "must hold settings of Series, got colour"),
        ):
            kept.write_text(text)
            with pytest.raises(ValueError, match=words):
                pyro_dsae.load_data(tmp_path, [np.zeros((9, 4))])
