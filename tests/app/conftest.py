"""A browser, and a pair of speech that has learned for some steps from sound that is written here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pytest

import pyro_dsae
from pyro_dsae.data import LogSpectrum, SpeechSegments

RATE, STEPS = 16_000, 150


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's chromium, driven by Playwright, with a microphone that beeps."""
    driver = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium here")
    media = [f"--use-fake-{what}-for-media-stream" for what in ("device", "ui")]
    with driver.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", *media])
        yield found
        found.close()


@pytest.fixture(scope="session")
def recorded() -> Callable[..., Path]:
    """Writes a hum, louder and softer, of a pitch in hertz."""
    soundfile = pytest.importorskip("soundfile")

    def write(
        path: Path, pitch: float, seconds: float = 1.0, *, rate: int = RATE, loud: float = 0.1
    ) -> Path:
        t = np.arange(int(seconds * rate)) / rate
        hum = sum(np.sin(2 * np.pi * k * pitch * t) / k for k in range(1, 12))
        noise = 0.03 * np.random.default_rng(0).normal(size=len(t))
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, loud * (hum * (1.2 + np.sin(12 * t)) + noise) / 2, rate)
        return path

    return write


@pytest.fixture(scope="session")
def speech(tmp_path_factory, recorded) -> Path:
    """A folder as ``examples/speech.py`` leaves it, of voices of 90 to 250 hertz."""
    pytest.importorskip("librosa")
    root = tmp_path_factory.mktemp("speech")
    pitches = np.geomspace(90, 250, 8).tolist()
    for speaker, pitch in enumerate(pitches):
        for i in range(2):
            name = f"{'fm'[pitch < 150]}{speaker}"
            recorded(root / "an4" / "train" / name / f"{i}.wav", pitch, 0.8 + 0.3 * i)
    data = SpeechSegments(
        root / "an4",
        segment_hop=5,
        spectrum=LogSpectrum(window=0.050),
        silence=30.0,
        cache_dir=root / "cache",
    )
    pyro.set_rng_seed(0)
    sizes = {"f_dim": 8, "z_dim": 4, "hidden": 64}
    model = pyro_dsae.DSAE((200,), likelihood="normal", **sizes)
    guide = pyro_dsae.Factorised((200,), content_encoder=True, **sizes)
    pyro_dsae.fit(model, guide, data, steps=STEPS, batch_size=32, lr=3e-3, progress=False)
    pyro_dsae.save(root / "model", model, guide, data=data)
    return root / "model"
