"""The README's code and the example's command, as a newcomer runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_code_in_the_readme_runs(tmp_path):
    readme = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    losses = run(tmp_path, "-c", code + "\nprint(*swapped.shape, *wander.shape)").splitlines()
    assert float(losses[9]) < float(losses[0])
    assert losses[10] == "8 8 3 32 32 8 50 3 32 32"


def test_the_sprites_example_writes_all_that_it_promises(tmp_path):
    script = str(ROOT / "examples" / "sprites.py")
    out = tmp_path / "out"
    options = ["--judged", "90", "--device", "cpu", "--batch-size", "8", "--out", str(out)]
    printed = run(tmp_path, script, "--steps", "2", *options)
    assert printed.splitlines()[-1] == f"Figures, pictures and the model are in {out.resolve()}"
    figures = json.loads((out / "metrics.json").read_text())
    expected = {
        "judge": {"skin", "trousers", "tops", "hair", "action"},
        "protocol_a": {"skin", "trousers", "tops", "hair", "action"},
        "protocol_b": {"static_accuracy", "inception_score", "h_y_given_x", "h_y"},
        "protocol_b_reverse": {"action", "action_type", "direction"},
        "swap": {"static_accuracy", "action", "action_type", "direction"},
        "elbo": {"train", "test", "kl_f", "kl_z", "bits_per_dim"},
        "run": {
            "seconds",
            "sequences_per_second",
            "peak_memory_bytes",
            "device",
            "seed",
            "steps",
            "parameters",
        },
    }
    for group, keys in expected.items():
        assert keys <= set(figures[group]), group
    assert set(figures["protocol_a"]["hair"]) == {"disagreement", "kl_recon", "kl_random"}
    assert figures["run"]["steps"] == 2
    assert figures["judge"]["reliable"]
    names = "swap reconstructions fixed_f fixed_z samples forecast trajectories loss latents_arviz"
    for name in names.split():
        assert (out / f"{name}.png").stat().st_size > 1000, name
    for name in ("swap", "fixed_f", "fixed_z", "samples"):
        assert (out / f"{name}.gif").stat().st_size > 1000, name
    assert (out / "model" / "guide" / "model.safetensors").is_file()

    run(tmp_path, script, "--evaluate", str(out / "model"), *options[:4], "--out", str(tmp_path))
    evaluated = json.loads((tmp_path / "metrics.json").read_text())
    assert evaluated["swap"] == figures["swap"]
