"""A table of bad inputs: none passes in silence, none ends deep inside torch, none leaves half a file.

Each row is a call, and words of the one line that it is answered with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pyro
import pytest
import torch
from conftest import SIZES
from torch import nn

import pyro_dsae
from pyro_dsae import guides, likelihoods, metrics, models, priors, views
from pyro_dsae import nn as networks
from pyro_dsae.data import (
    BouncingBall,
    ProceduralSprites,
    RandomFrames,
    Sequences,
    Sprites,
    UnorderedFrames,
)

FRAME = (3, 16, 16)
X = torch.rand(4, 3, *FRAME)
FIT = {"steps": 1, "device": "cpu", "progress": False}


ERRORS = (ValueError, TypeError, FileNotFoundError, pyro_dsae.training.NonFiniteLossError)


class Here:
    """What the rows of a table share: a pair, and a folder that must stay empty."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.folder = folder
        self.model = models.DSAE(FRAME, **SIZES)
        self.guide = guides.Factorised(FRAME, **SIZES)
        self.normal = models.DSAE(FRAME, **SIZES, likelihood="normal")
        self.wide = guides.Factorised(FRAME, **{**SIZES, "f_dim": 4})
        self.flat = models.LSTMf(FRAME, **SIZES)
        self.fhvae = models.FHVAE((8,), z1_dim=2, z2_dim=3, channels=2, hidden=8)

    def fit(self, data=X, model=None, guide=None, **options):
        pyro_dsae.fit(model or self.model, guide or self.guide, data, **{**FIT, **options})


def rows_of_programs() -> dict[str, tuple[Callable, str]]:
    rows = {}
    for make in (models.DSAE, models.Unordered, models.LSTMf, guides.Factorised, guides.Pairwise):
        name = make.__name__
        for options, words in (
            ({"f_dim": 0}, "f_dim must be at least 1, got 0"),
            ({"z_dim": -2}, "z_dim must be at least 1, got -2"),
            ({"hidden": 0}, "hidden must be at least 1, got 0"),
            ({"hidden": 2.5}, "hidden must be a whole number, got 2.5"),
            ({"channels": 0}, "channels must be at least 1, got 0"),
            ({"channels": (2, 2)}, "channels must be a number or 4 of them"),
            ({"frames_at_once": 0}, "frames_at_once must be at least 1, got 0"),
        ):
            rows[f"{name} {options}"] = (lambda h, m=make, o=options: m(FRAME, **o), words)
        for frame in ((), (3, 4), (0, 16, 16), (3, 16.5, 16), "abc", (3, 7, 16), (3, 16, 4)):
            words = "at least 8" if frame in ((3, 7, 16), (3, 16, 4)) else "frame_shape must be"
            rows[f"{name} {frame!r}"] = (lambda h, m=make, f=frame: m(f), words)
    return rows


BAD_FRAMES = {
    "bytes as floats": (255 * X, r"in \[0, 1\] under the likelihood Bernoulli"),
    "minus one to one": (2 * X - 1, "got values from -"),
    "nan": (torch.full_like(X, math.nan), "x (must be|is not) finite|x is not finite"),
    "infinite": (torch.full_like(X, math.inf), "finite"),
    "no channels": (X[:, :, 0], r"x must be \(batch, time, channels, height, width\)"),
    "one sequence": (X[0], r"x must be \(batch, time, channels, height, width\)|frames must be"),
    "other frames": (torch.rand(4, 3, 3, 8, 8), r"with frames of \(3, 16, 16\)"),
    "no sequences": (X[:0], "must not be empty|at least 1 sequences|not empty"),
    "no frames": (X[:, :0], "must not be empty|not empty|frames must be"),
    "whole numbers": ((255 * X).long(), "uint8 or floats"),
    "yes or no": (X > 0.5, "uint8 or floats"),
}


def rows_of_frames() -> dict[str, tuple[Callable, str]]:
    calls: dict[str, Callable] = {
        "fit": lambda h, x: h.fit(x),
        "evaluate_elbo": lambda h, x: pyro_dsae.evaluate_elbo(h.model, h.guide, x),
        "reconstruct": lambda h, x: pyro_dsae.reconstruct(h.model, h.guide, x),
        "swap content": lambda h, x: pyro_dsae.swap(h.model, h.guide, x, X[: len(x)]),
        "swap dynamics": lambda h, x: pyro_dsae.swap(h.model, h.guide, X[: len(x)], x),
        "forecast": lambda h, x: pyro_dsae.forecast(h.model, h.guide, x, 2),
        "to_arviz": lambda h, x: pyro_dsae.to_arviz(h.model, h.guide, x, num_samples=2),
    }
    return {
        f"{call}: {kind}": (lambda h, f=function, x=x: f(h, x), words)
        for call, function in calls.items()
        for kind, (x, words) in BAD_FRAMES.items()
        # Three frames more or less are no other number of sequences for swap.
        if not (call.startswith("swap") and kind == "one sequence")
    }


def rows_of_pairs() -> dict[str, tuple[Callable, str]]:
    calls: dict[str, Callable] = {
        "fit": lambda h, m, g: h.fit(X, m, g),
        "evaluate_elbo": lambda h, m, g: pyro_dsae.evaluate_elbo(m, g, X),
        "reconstruct": lambda h, m, g: pyro_dsae.reconstruct(m, g, X),
        "swap": lambda h, m, g: pyro_dsae.swap(m, g, X, X),
        "forecast": lambda h, m, g: pyro_dsae.forecast(m, g, X, 2),
        "to_arviz": lambda h, m, g: pyro_dsae.to_arviz(m, g, X, num_samples=2),
    }
    pairs = {
        "f of 5 and 4": (
            lambda h: (h.model, h.wide),
            r"DSAE and Factorised do not fit: f is \(5\) and \(4\)",
        ),
        "z with time and without": (
            lambda h: (h.flat, h.guide),
            r"LSTMf and Factorised do not fit: z is \(3\) and \(time, 3\)",
        ),
        "frames": (
            lambda h: (h.model, guides.Full((3, 32, 16), **SIZES)),
            r"do not fit: frames are \(3, 16, 16\) and \(3, 32, 16\)",
        ),
        "other latents": (
            lambda h: (models.FHVAE(FRAME, channels=2, hidden=8), h.guide),
            "FHVAE and Factorised do not fit: latents are mu2, z2, z1 and f, z",
        ),
    }
    return {
        f"{call}: {kind}": (lambda h, f=function, p=pair: f(h, *p(h)), words)
        for call, function in calls.items()
        for kind, (pair, words) in pairs.items()
    }


def rows_of_fit() -> dict[str, tuple[Callable, str]]:
    options = [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": -3}, "steps must be at least 1, got -3"),
        ({"steps": 2.5}, "steps must be a whole number, got 2.5"),
        ({"steps": None}, "give one of steps and epochs"),
        ({"epochs": 1}, "give one of steps and epochs, got steps=1 and epochs=1"),
        ({"steps": None, "epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"lr": 0}, "lr must be positive, got 0"),
        ({"lr": -1e-3}, "lr must be positive, got -0.001"),
        ({"lr": math.nan}, "lr must be positive, got nan"),
        ({"clip_norm": -1}, "clip_norm must be positive, got -1"),
        ({"clip_norm": 0}, "clip_norm must be positive, got 0"),
        ({"schedule": "steep"}, "schedule must be one of cosine"),
        ({"precision": "int8"}, "precision must be 'auto', 'no' or 'bf16'"),
        ({"device": "banana"}, "device must be one of cpu.*got 'banana'"),
        ({"device": "cuda"}, "device must be one of cpu.*got 'cuda'"),
        ({"kl_weights": {"q": 1.0}}, "kl_weights must name some of f, z, got q"),
        ({"kl_weights": {"x": 1.0}}, "kl_weights must name some of f, z, got x"),
        ({"kl_weights": 4.0}, "kl_weights must be a weight by site"),
        ({"kl_weights": {"f": -1.0}}, "KL weights must not be negative"),
        ({"labels": ("speaker",)}, "DSAE takes batch_size, num_frames, mask beside x, got speaker"),
        ({"elbo": pyro.infer.JitTrace_ELBO()}, "elbo must not be JitTrace_ELBO.*torch.compile"),
        ({"elbo": "renyi"}, "elbo must be one of Pyro's ELBO objects, got 'renyi'"),
        ({"optimizer": pyro.optim.Adam({"lr": 1e-3})}, "optimizer must make a torch optimiser"),
        ({"optimizer": lambda parameters: None}, "optimizer must make a torch optimiser"),
        ({"num_workers": -1}, "num_workers must be at least 0, got -1"),
        ({"validate_every": 0}, "validate_every must be at least 1"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1"),
        ({"log_every": 0}, "log_every must be at least 1"),
        ({"validation": X[:0]}, "validation must hold at least 1 sequences|not hold|empty"),
    ]
    if torch.accelerator.is_available():
        options = [row for row in options if row[0].get("device") != "cuda"]
    return {
        f"fit {' '.join(o)} {i}": (
            lambda h, o=o: h.fit(**{"checkpoint_dir": h.folder, **o}),
            words,
        )
        for i, (o, words) in enumerate(options)
    }


def rows_of_control() -> dict[str, tuple[Callable, str]]:
    f, z = torch.zeros(4, 5), torch.zeros(4, 3, 3)
    given: list[tuple[dict, str]] = [
        ({"ff": f}, "the model has latents f, z, got ff"),
        ({"x": X}, "the model has latents f, z, got x"),
        ({"f": torch.zeros(5)}, r"f must be \(batch, 5\), got \(5,\)"),
        ({"f": torch.zeros(4)}, r"f must be \(batch, 5\), got \(4,\)"),
        ({"f": torch.zeros(4, 6)}, r"f must be \(batch, 5\), got \(4, 6\)"),
        ({"f": torch.zeros(0, 5)}, "f must not be empty"),
        ({"f": [0.0] * 5}, "f must be a tensor, got list"),
        ({"z": torch.zeros(4, 3)}, r"z must be \(batch, time, 3\), got \(4, 3\)"),
        ({"z": torch.zeros(4, 3, 2)}, r"z must be \(batch, time, 3\), got \(4, 3, 2\)"),
        ({"z": torch.zeros(4, 0, 3)}, "z must not be empty"),
        ({"f": f, "z": z[:2]}, "equally many sequences, got 4 of f, 2 of z"),
        ({"f": f, "batch_size": 5}, "f holds 4 sequences, expected 5"),
        ({"z": z, "num_frames": 2}, "z holds 3 frames, expected 2"),
        ({"num_frames": 0}, "num_frames must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": 1.5}, "batch_size must be a whole number, got 1.5"),
    ]
    rows = {
        f"generate {[*o]} {i}": (lambda h, o=o: pyro_dsae.generate(h.model, **o), words)
        for i, (o, words) in enumerate(given)
    }

    def conditioned(h, **data):
        pyro.poutine.condition(h.model, data=data)(batch_size=4, num_frames=8)

    return rows | {
        "conditioning on 3 of 8 frames": (
            lambda h: conditioned(h, z=z),
            r"z must be \(\*, 8, 3\), got \(4, 3, 3\)",
        ),
        "conditioning on an f of another size": (
            lambda h: conditioned(h, f=torch.zeros(4, 6)),
            r"f must be \(\*, 5\), got \(4, 6\)",
        ),
        "a model of no frames": (lambda h: h.model(num_frames=0), "num_frames must be at least 1"),
        "a model of no sequences": (
            lambda h: h.model(batch_size=0),
            "batch_size must be at least 1",
        ),
        "fhvae of no frames": (lambda h: h.fhvae(num_frames=0), "num_frames must be at least 1"),
        "infer: other frames": (
            lambda h: pyro_dsae.infer(h.guide, X[..., :8]),
            r"with frames of \(3, 16, 16\)",
        ),
        "infer: words": (lambda h: pyro_dsae.infer(h.guide, X > 0), "uint8 or floats"),
        "infer: nan": (lambda h: pyro_dsae.infer(h.guide, X * math.nan), "x must be finite"),
        "swap of 2 and 3": (
            lambda h: pyro_dsae.swap(h.model, h.guide, X[:2], X[:3]),
            "equally many sequences, got 2 and 3",
        ),
        "forecast of nothing": (
            lambda h: pyro_dsae.forecast(h.model, h.guide, X, 0),
            "must be at least 1, got 0 and 1",
        ),
        "no futures": (
            lambda h: pyro_dsae.forecast(h.model, h.guide, X, 1, num_futures=0),
            "must be at least 1, got 1 and 0",
        ),
        "to_arviz: no samples": (
            lambda h: pyro_dsae.to_arviz(h.model, h.guide, X, num_samples=0),
            "num_samples must be at least 1",
        ),
        "to_arviz: no batches": (
            lambda h: pyro_dsae.to_arviz(h.model, h.guide, X, batch_size=0),
            "batch_size must be at least 1",
        ),
        "to_arviz: predictive": (
            lambda h: pyro_dsae.to_arviz(h.model, h.guide, X, predictive="all"),
            "predictive must be 'draw', 'mean' or None",
        ),
        "to_arviz: coords": (
            lambda h: pyro_dsae.to_arviz(h.model, h.guide, X, num_samples=1, coords={"a": [1]}),
            "coords must name some of",
        ),
        "evaluate_elbo: no batches": (
            lambda h: pyro_dsae.evaluate_elbo(h.model, h.guide, X, batch_size=0),
            "batch_size must be at least 1",
        ),
        "load: nothing there": (lambda h: pyro_dsae.load(h.folder / "none"), "no model in|none"),
    }


ROWS_OF_PARTS: dict[str, tuple[Callable, str]] = {
    "KLWeights": (lambda h: pyro_dsae.KLWeights({"f": -1}), "must not be negative"),
    "piecewise_linear": (lambda h: pyro_dsae.piecewise_linear(), "increasing steps"),
    "piecewise_linear falling": (
        lambda h: pyro_dsae.piecewise_linear((2, 1.0), (1, 1.0)),
        "increasing steps",
    ),
    "likelihood by name": (
        lambda h: models.DSAE((20,), likelihood="poisson"),
        "likelihood must be one of bernoulli",
    ),
    "Normal of no scale": (lambda h: likelihoods.Normal(0.0), "scale must be positive, got 0"),
    "AutoregressiveNormal": (
        lambda h: priors.AutoregressiveNormal(h.model.prior, 0, 3),
        "num_frames must be at least 1, got 0",
    ),
    "AutoregressiveNormal past": (
        lambda h: priors.AutoregressiveNormal(h.model.prior, 2, 3, past=torch.zeros(3)),
        "past must be",
    ),
    "prefix_condition": (
        lambda h: priors.AutoregressiveNormal(h.model.prior, 2, 3).prefix_condition(
            torch.zeros(1, 2, 3)
        ),
        "z_past must have between 1 and 1 steps",
    ),
    "ExchangeableNormal": (
        lambda h: priors.ExchangeableNormal(torch.zeros(3), torch.ones(3), 0),
        "num_frames must be at least 1, got 0",
    ),
    "FewFrames": (lambda h: views.FewFrames(0), "num_frames must be at least 1"),
    "FewFrames falling": (lambda h: views.FewFrames((3, 2)), "num_frames must be at least 1"),
    "ShuffleStrips": (lambda h: views.ShuffleStrips(5)(X), "cannot be cut into strips of 5"),
    "ShuffleStrips of none": (lambda h: views.ShuffleStrips(0), "width must be at least 1, got 0"),
    "PixelDropout": (lambda h: views.PixelDropout(0.0), "most must be above 0 and up to 1"),
    "Jitter": (lambda h: views.Jitter(-1), "pixels must be at least 0, got -1"),
    "Jitter light": (lambda h: views.Jitter(1, -0.1), "contrast must not be negative"),
    "content_encoder": (
        lambda h: guides.Full(FRAME, content_encoder="pool"),
        "content_encoder must be a module, a bool or 'pooled'",
    ),
    "pooled spectra": (
        lambda h: guides.Full((20,), content_encoder="pooled"),
        r"must be \(channels, height, width\), got \(20,\)",
    ),
    "sorted spectra": (
        lambda h: guides.Full((20,), content_encoder="sorted"),
        r"must be \(channels, height, width\), got \(20,\)",
    ),
    "content_encoder of a list": (
        lambda h: guides.Full(FRAME, content_encoder=["sorted"]),
        "content_encoder must be a module, a bool or 'pooled' or 'sorted'",
    ),
    "FHVAE z1": (lambda h: models.FHVAE((8,), z1_dim=0), "z1_dim must be at least 1"),
    "FHVAE scale": (lambda h: models.FHVAE((8,), z2_scale=0.0), "z2_scale must be positive"),
    "FHVAEGuide": (
        lambda h: guides.FHVAEGuide((8,), utterances=0),
        "utterances must be at least 1",
    ),
    "PairSummary": (
        lambda h: guides.Pairwise(FRAME, **SIZES, pairs_at_once=0),
        "pairs_at_once must be at least 1, got 0",
    ),
    "over_frames": (
        lambda h: networks.over_frames(nn.Identity(), X, 3, 0),
        "frames_at_once must be at least 1",
    ),
    "Sequences of ints": (lambda h: Sequences(X.long()), "uint8 or floats|uint8"),
    "Sequences of two axes": (lambda h: Sequences(torch.rand(3, 4)), "time, "),
    "Sequences: labels": (
        lambda h: Sequences(X, {"a": torch.zeros(3)}),
        r"labels\['a'\] must be \(4,\), got \(3,\)",
    ),
    "Sequences: no file": (lambda h: Sequences(h.folder / "x.npy"), "no file of frames"),
    "ProceduralSprites": (lambda h: ProceduralSprites("valid"), "split must be"),
    "Sprites": (lambda h: Sprites(h.folder / "none"), "none"),
    "UnorderedFrames": (lambda h: UnorderedFrames(h.folder / "none"), "none"),
    "UnorderedFrames of none": (
        lambda h: UnorderedFrames(h.folder),
        "root must hold a folder of images",
    ),
    "RandomFrames": (lambda h: RandomFrames(0), "at least 1"),
    "BouncingBall": (lambda h: BouncingBall("valid"), "split must be"),
    "judge": (lambda h: metrics.Judge(heads=("shoes",)), "heads must be some of skin"),
    "judge of frames": (lambda h: metrics.Judge()(X), "x must be"),
    "digits": (
        lambda h: metrics.DigitClassifier()(X[0]),
        r"frames must be \(batch, 1, height, width\)",
    ),
    "position_r2": (
        lambda h: metrics.position_r2(h.guide, X[:3], torch.zeros(3, 3, 2)),
        "x must hold at least 4 sequences",
    ),
    "latent_grid": (
        lambda h: metrics.latent_grid(h.model, torch.zeros(1, 5), points=1),
        "points must be at least 2",
    ),
    "latent_grid of 3": (
        lambda h: metrics.latent_grid(models.Unordered(FRAME, **SIZES), torch.zeros(1, 5)),
        "2-dimensional z",
    ),
    "importance_bound": (
        lambda h: metrics.importance_bound(torch.zeros(0, 2)),
        "at least|must be|not be empty",
    ),
}

TABLE = {
    **rows_of_programs(),
    **rows_of_frames(),
    **rows_of_pairs(),
    **rows_of_fit(),
    **rows_of_control(),
    **ROWS_OF_PARTS,
}


def test_the_table_is_long_enough():
    assert len(TABLE) >= 150


@pytest.mark.parametrize("row", TABLE)
def test_bad_input(row, tmp_path):
    call, words = TABLE[row]
    here = Here(tmp_path)
    with pytest.raises(ERRORS) as e:
        call(here)
    message = str(e.value)
    assert re.search(words, message), message
    assert "\n" not in message and len(message) < 300
    assert not list(tmp_path.rglob("*")), "something was left behind"
