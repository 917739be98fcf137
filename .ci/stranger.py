"""What a stranger does first with an installed package: import, a training step, a swap, save and load."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import pyro_dsae
from pyro_dsae.data import ProceduralSprites

tag = sys.argv[1]
if tag and tag != f"v{pyro_dsae.__version__}":
    sys.exit(f"the tag must be v{pyro_dsae.__version__}, the version of the package, got {tag}")
home = Path(pyro_dsae.__file__).parent
if home.is_relative_to(Path.cwd()) and "site-packages" not in home.parts:
    sys.exit(f"the package must be the installed one, got {home}")

x = ProceduralSprites("test").frames[::80] / 255
sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
model, guide = pyro_dsae.DSAE((3, 32, 32), **sizes), pyro_dsae.Factorised((3, 32, 32), **sizes)
history = pyro_dsae.fit(model, guide, x, steps=2, batch_size=8, device="cpu", progress=False)
with TemporaryDirectory() as folder:
    pyro_dsae.save(folder, model, guide)
    model, guide = pyro_dsae.load(folder)
swapped = pyro_dsae.swap(model, guide, x[:4], x[4:8])
if not (
    swapped.shape == x[:4].shape and torch.isfinite(swapped).all() and len(history.losses) == 2
):
    sys.exit(f"a swap of {tuple(x[:4].shape)} gave {tuple(swapped.shape)}")
if not (home / "py.typed").is_file():
    sys.exit(f"{home} has no py.typed")
pyro_dsae.show_versions()
