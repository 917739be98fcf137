"""One training step of two public implementations, from a checkout that the user has made.

    git clone https://github.com/yatindandi/Disentangled-Sequential-Autoencoder
    git clone https://github.com/JunwenBai/C-DSVAE

Their files are run as they are: their networks, their initialisation and their loss, with the optimiser and
the settings of their own training scripts. Two things keep them from running just so:

* The scripts parse arguments, load data and start to train as they are imported. Of a script only the
  function of the loss or of the step is taken, by its name; the modules beside it run whole.
* C-DSVAE writes ``.cuda()``. In its step, and unless the device is a CUDA device, that leaves a tensor where
  it is.

Outside of the step is what their loaders do: reading, scaling, augmented views, the move to the device. In it
is what their loops do with a batch, down to fetching the loss; but not their logs.
"""

from __future__ import annotations

import ast
import math
import runpy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Step = Callable[[], float]
Networks = tuple[nn.Module, nn.Module]


@dataclass(frozen=True)
class Peer:
    """A public implementation, and what ours must be set to for the nearest match.

    :param name: its repository.
    :param guide: the one of our guides nearest to its posterior.
    :param sizes: ``side`` of the frames, ``batch`` (its own), ``num_frames``, ``f_dim``, ``z_dim``,
        ``channels`` and ``hidden``.
    :param build_step: from the checkout, a batch and a device to a step.
    :param build_networks: from the checkout to the networks of single frames.
    :param path: the checkout.
    """

    name: str
    guide: str
    sizes: dict[str, Any]
    build_step: Callable[[Path, Tensor, torch.device], Step]
    build_networks: Callable[[Path], Networks]
    path: Path

    def make_step(self, x: Tensor, device: torch.device | str = "cpu") -> Step:
        """A function that does one training step on ``x`` and returns the loss per sequence.

        :param x: ``(batch, num_frames, 3, side, side)`` in [0, 1]; ValueError if not of the peer's sizes.
        """
        side = self.sizes["side"]
        sequence = (self.sizes["num_frames"], 3, side, side)
        if x.shape[1:] != sequence:
            raise ValueError(f"x must be (batch, {str(sequence)[1:]}, got {tuple(x.shape)}")
        return self.build_step(self.path, x, torch.device(device))

    def networks(self) -> Networks:
        """Its layers as an ``encoder`` for our guides and a ``decoder`` for our models, of new weights.

        The same ``sizes`` are not the same work: one peer's kernels are larger and its first layer keeps the
        side. On its own layers only what stands around them differs. The decoder's output is a mean, for a
        Normal; the first peer's is in [-1, 1].
        """
        return self.build_networks(self.path)


def load(path: Path) -> Peer:
    """The peer whose checkout is at ``path``; ValueError if it is neither's."""
    file = path / "model.py"
    source = file.read_text() if file.is_file() else ""
    for model, peer in _PEERS.items():
        if f"class {model}(" in source:
            return peer(path)
    raise ValueError(f"path must hold a model.py with a class {' or '.join(_PEERS)}, got {path}")


def _module(file: Path) -> SimpleNamespace:
    """All that a file defines; nothing of it stays in ``sys.modules``."""
    return SimpleNamespace(**runpy.run_path(str(file)))


def _function(script: Path, name: str, **names: Any) -> Callable:
    """One function of a script that is not run, with the ``names`` that it uses."""
    tree = ast.parse(script.read_text())
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    if not tree.body:
        raise ValueError(f"path must be a checkout with a function {name} in {script}, got none")
    exec(compile(tree, str(script), "exec"), names)
    return names[name]


@contextmanager
def _cuda_if_any(device: torch.device) -> Iterator[None]:
    """``tensor.cuda()`` leaves the tensor where it is, unless ``device`` is a CUDA device."""
    if device.type == "cuda":
        yield
        return
    Tensor.cuda = lambda tensor: tensor
    try:
        yield
    finally:
        del Tensor.cuda


class _OverBatch(nn.Sequential):
    """Layers for one batch axis, over any number of them.

    :param axes: of what one item is.
    """

    def __init__(self, axes: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        batch, item = x.shape[: -self.axes], x.shape[-self.axes :]
        return super().forward(x.reshape(-1, *item)).unflatten(0, batch)


def _dsae_step(path: Path, x: Tensor, device: torch.device) -> Step:
    """trainer.py: its frames are in [-1, 1]."""
    loss_fn = _function(path / "trainer.py", "loss_fn", F=F, torch=torch)
    model = _module(path / "model.py").DisentangledVAE(
        f_dim=256, z_dim=32, step=256, factorised=True, device=device
    )
    model.to(device).train()
    adam = torch.optim.Adam(model.parameters(), 0.0002)
    x = (2 * x - 1).to(device)

    def step() -> float:
        adam.zero_grad()
        f_mean, f_logvar, _, z_mean, z_logvar, _, p_mean, p_logvar, frames = model(x)
        loss, *_ = loss_fn(x, frames, f_mean, f_logvar, z_mean, z_logvar, p_mean, p_logvar)
        loss.backward()
        adam.step()
        return loss.item()

    return step


def _dsae_networks(path: Path) -> Networks:
    model = _module(path / "model.py").DisentangledVAE(factorised=True)
    encoder = _OverBatch(3, model.conv, nn.Flatten(), model.conv_fc, model.z_inter)
    to_maps = nn.Unflatten(1, (model.step, model.final_conv_size, model.final_conv_size))
    return encoder, _OverBatch(1, model.deconv_fc, to_maps, model.deconv)


def _cdsvae_step(path: Path, x: Tensor, device: torch.device) -> Step:
    """train_cdsvae.py, as run_cdsvae.sh calls it: a function of its own does the step, on three views.

    Their views lie in files: the same content in another order, the same motion in other colours. The size of
    the data set, that of Sprites, enters the loss by its logarithm.
    """
    settings = SimpleNamespace(
        f_dim=256,
        z_dim=32,
        g_dim=128,
        rnn_size=256,
        f_rnn_layers=1,
        frames=8,
        channels=3,
        loss_recon="L2",
        weight_f=1,
        weight_z=1,
        weight_c_aug=10,
        weight_m_aug=10,
        dataset_size=9000,
    )
    losses, information = _module(path / "loss.py"), _module(path / "mutual_info.py")
    train = _function(
        path / "train_cdsvae.py",
        "train",
        F=F,
        compute_mi=losses.compute_mi,
        log_density=information.log_density,
        logsumexp=information.logsumexp,
        math=math,
        torch=torch,
    )
    model = _module(path / "model.py").CDSVAE(settings)
    model.apply(_function(path / "utils.py", "init_weights", nn=nn))
    model.to(device).train()
    adam = torch.optim.Adam(model.parameters(), 0.001, betas=(0.9, 0.999))
    contrast = losses.contrastive_loss(tau=0.5, normalize=True)

    def reordered(frames: Tensor) -> Tensor:
        """As theirs: channels last in memory, channels first in shape."""
        return frames.movedim(2, -1).contiguous().to(device).movedim(-1, 2)

    views = [reordered(view) for view in (x, x[:, torch.randperm(x.shape[1])], x.flip(2))]

    def step() -> float:
        x, content, motion = views
        with _cuda_if_any(device):
            parts = train(x, None, None, content, motion, model, adam, contrast, settings)
        mse, kl_f, kl_z, contrast_f, contrast_z, mi_fz, *_ = map(float, parts)
        return mse + kl_f + kl_z + 10 * (contrast_f + contrast_z) + mi_fz

    return step


def _cdsvae_networks(path: Path) -> Networks:
    theirs, hidden, latents = _module(path / "model.py"), 256, 288
    encoder = _OverBatch(3, *theirs.encoder(hidden, 3).children(), nn.Flatten())
    to_maps = nn.Unflatten(1, (latents, 1, 1))
    return encoder, _OverBatch(1, to_maps, *theirs.decoder(latents, 3).children())


_SPRITES = {"side": 64, "num_frames": 8, "f_dim": 256, "z_dim": 32}
_PEERS = {
    "DisentangledVAE": partial(
        Peer,
        "yatindandi/Disentangled-Sequential-Autoencoder",
        "Factorised",
        {**_SPRITES, "batch": 25, "channels": (256, 256, 256, 256), "hidden": 512},
        _dsae_step,
        _dsae_networks,
    ),
    "CDSVAE": partial(
        Peer,
        "JunwenBai/C-DSVAE",
        "Full",
        {**_SPRITES, "batch": 128, "channels": 64, "hidden": 256},
        _cdsvae_step,
        _cdsvae_networks,
    ),
}
