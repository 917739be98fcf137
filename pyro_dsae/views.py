r"""What each posterior sees of the data while it trains.

A guide may look at the data through a random view v: q(f | v(x)) or q(z | v(x)). For every draw of v
this is a posterior like any other, so the bound

.. math:: \log p(x) \ge E_v\, E_{q(f, z \mid v(x))} \left[\log p(x, f, z) - \log q(f, z \mid v(x))\right]

holds as it stands: the objective remains the ELBO, only the family of posteriors is smaller. What a view
hides cannot pass through its latent variable. Views act in training mode alone.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._numbers import check_whole
from .nn import FrameShape, filled, over_frames


class View(Protocol):
    """Maps sequences ``(N, T, *frame)`` to what a posterior sees of them, ``(N, T', *frame)``."""

    def __call__(self, x: Tensor) -> Tensor: ...


class Recolour(nn.Module):
    r"""Repaint each sequence by a random mixture of its channels, the same in all of its frames.

    .. math:: v(x) = \min(|W x|, 1),\quad W_{ij} \sim \mathcal N(0, 1)

    Black stays black, and shape and motion stay visible; which colour a thing has does not. Frames are
    ``(C, H, W)`` in [0, 1].

    >>> Recolour()(torch.rand(4, 8, 3, 16, 16)).shape
    torch.Size([4, 8, 3, 16, 16])
    >>> float(Recolour()(torch.zeros(4, 8, 3, 16, 16)).max())
    0.0
    """

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.randn(len(x), x.shape[2], x.shape[2], device=x.device, dtype=x.dtype)
        return torch.einsum("nij,ntjhw->ntihw", weight, x).abs_().clamp_(max=1)


class SomeFrames(nn.Module):
    """A view of some frames of each sequence: a subclass says which are :meth:`chosen`."""

    def chosen(self, mask: Tensor) -> Tensor:
        """Their places, ``(N, few)``, those present first, from which are present, ``(N, T)``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.of_present(x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device))[0]

    def of_present(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The same of frames present, ``(N, T)``: where these are too few, padding stands at the end."""
        order = self.chosen(mask)
        return x[torch.arange(len(x), device=x.device).unsqueeze(1), order], mask.gather(1, order)


class FewFrames(SomeFrames):
    """A few frames of each sequence, drawn without replacement and in random order.

    :param num_frames: how many, or the least and the most: then the number is drawn too, one for all
        sequences.

    >>> FewFrames(2)(torch.rand(4, 8, 3, 16, 16)).shape
    torch.Size([4, 2, 3, 16, 16])
    """

    def __init__(self, num_frames: int | tuple[int, int]) -> None:
        super().__init__()
        self.least, self.most = (
            (num_frames, num_frames) if isinstance(num_frames, int) else num_frames
        )
        if not 1 <= self.least <= self.most:
            raise ValueError(f"num_frames must be at least 1, and rise, got {num_frames}")

    def chosen(self, mask: Tensor) -> Tensor:
        few = self.most
        if self.least < self.most:
            few = int(torch.randint(self.least, self.most + 1, ()))
        places = torch.rand(mask.shape, device=mask.device).masked_fill_(~mask, 2.0)
        return places.argsort(dim=1)[:, :few]


class Even(SomeFrames):
    """So many frames of each sequence, evenly spaced and in order; all where there are no more.

    >>> Even(2)(torch.arange(8.0).view(1, 8, 1)).flatten().tolist()
    [2.0, 6.0]
    """

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        check_whole(1, num_frames=num_frames)
        self.num_frames = num_frames

    def chosen(self, mask: Tensor) -> Tensor:
        few, there = min(self.num_frames, mask.shape[1]), mask.sum(1, keepdim=True)
        i = torch.arange(few, device=mask.device)
        which = torch.where(there > few, (2 * i + 1) * there // (2 * few), i)
        return mask.int().argsort(dim=1, descending=True, stable=True).gather(1, which)


class ShuffleStrips(nn.Module):
    """Cut each frame into upright strips ``width`` pixels wide and put them into random order.

    What stands at which height stays visible, pose and direction do not.

    >>> x = torch.rand(4, 8, 3, 16, 16)
    >>> torch.allclose(ShuffleStrips(2)(x).sum(-1), x.sum(-1))
    True
    """

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        check_whole(1, width=width)
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        n, steps, channels, height, side = x.shape
        if side % self.width:
            raise ValueError(f"a frame's width of {side} cannot be cut into strips of {self.width}")
        strips = x.reshape(n, steps, channels, height, side // self.width, self.width)
        order = torch.rand(n, steps, 1, 1, side // self.width, 1, device=x.device).argsort(dim=4)
        return strips.take_along_dim(order, dim=4).reshape(x.shape)


class PixelDropout(nn.Module):
    """Black out pixels of each frame ``(C, H, W)``: a share of them, drawn for each frame from 0 to ``most``.

    Which colours there are stays visible; how much of each, such as how wide a body is, does not.

    >>> float((PixelDropout(0.5)(torch.ones(4, 8, 3, 16, 16)) == 0).float().mean()) < 0.5
    True
    """

    def __init__(self, most: float = 0.5) -> None:
        super().__init__()
        if not 0 < most <= 1:
            raise ValueError(f"most must be above 0 and up to 1, got {most}")
        self.most = most

    def forward(self, x: Tensor) -> Tensor:
        share = self.most * torch.rand(*x.shape[:2], 1, 1, 1, device=x.device)
        return x * (torch.rand_like(x[:, :, :1]) >= share)


class Jitter(nn.Module):
    """Shift each frame by up to ``pixels`` either way, and make it darker or brighter.

    What is left is what small motions of the camera and its light do not change. At the borders the
    nearest pixels are repeated. Frames are ``(C, H, W)`` in [0, 1].

    :param contrast: standard deviation of the logarithm of the factor of brightness.

    >>> Jitter(2)(torch.rand(4, 8, 3, 16, 16)).shape
    torch.Size([4, 8, 3, 16, 16])
    """

    def __init__(self, pixels: int, contrast: float = 0.2) -> None:
        super().__init__()
        check_whole(0, pixels=pixels)
        if contrast < 0:
            raise ValueError(f"contrast must not be negative, got {contrast}")
        self.pixels, self.contrast = pixels, contrast

    def forward(self, x: Tensor) -> Tensor:
        frames = x.flatten(0, 1)
        n, channels, height, width = frames.shape
        wide = F.pad(frames, (self.pixels,) * 4, mode="replicate")
        rows, columns = (
            torch.arange(side, device=x.device)
            + torch.randint(2 * self.pixels + 1, (n, 1), device=x.device)
            for side in (height, width)
        )
        rows = rows[:, None, :, None].expand(n, channels, height, wide.shape[-1])
        columns = columns[:, None, None, :].expand(n, channels, height, width)
        light = (self.contrast * torch.randn(n, 1, 1, 1, device=x.device)).exp()
        shifted = wide.take_along_dim(rows, 2).take_along_dim(columns, 3)
        return (light * shifted).clamp_(max=1).reshape(x.shape)


class Views(Protocol):
    """What a guide with views has."""

    training: bool
    frame_shape: FrameShape
    frames_at_once: int | None
    encoder: nn.Module
    content_encoder: nn.Module | None
    few_frames: int | None
    content_view: View | None
    dynamics_view: View | None


Seen = tuple[Tensor, ...]
"""Of frames ``(N, T', ...)``, and where there is a mask which of them are present, ``(N, T')``."""


def encode_views(guide: Views, x: Tensor, mask: Tensor | None = None) -> tuple[Seen, Seen]:
    """Frame features for f and for z, ``(N, T', features)`` each, with the mask if there is one.

    Those of absent frames are :func:`~pyro_dsae.nn.filled`. Where nothing tells f from z they are one, from
    one pass of the encoder.
    """

    def encode(encoder: nn.Module, x: Tensor, *mask: Tensor) -> Seen:
        h = over_frames(encoder, x, len(guide.frame_shape), guide.frames_at_once)
        return filled(h, *mask) if mask else h, *mask

    all_of_x: Seen = (x,) if mask is None else (x, mask)
    few = all_of_x
    if guide.few_frames is not None:
        few = look(
            FewFrames(guide.few_frames) if guide.training else Even(guide.few_frames), x, mask
        )
    x_f, x_z = (
        look(view, *seen) if guide.training and view else seen
        for view, seen in ((guide.content_view, few), (guide.dynamics_view, all_of_x))
    )
    h_z = encode(guide.encoder, *x_z)
    if x_f[0] is x_z[0] and guide.content_encoder is None:
        return h_z, h_z
    return encode(guide.content_encoder or guide.encoder, *x_f), h_z


def look(view: View, x: Tensor, mask: Tensor | None = None) -> Seen:
    """What a view shows of x ``(N, T, *frame)``."""
    if mask is None:
        return (view(x),)
    if isinstance(view, nn.Sequential):
        for part in view:
            x, mask = look(part, x, mask)
        return x, mask
    if isinstance(view, SomeFrames):
        return view.of_present(x, mask)
    seen = view(x)
    if seen.shape[:2] != mask.shape:
        raise ValueError(
            f"a view must keep all frames where some are absent, or be FewFrames: {type(view).__name__} "
            f"made {tuple(seen.shape[:2])} of {tuple(mask.shape)}"
        )
    return seen, mask
