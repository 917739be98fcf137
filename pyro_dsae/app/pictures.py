"""What the page shows, as frames ``(sequences, T, channels, height, width)``, by :mod:`pyro_dsae.control`.

Entries are of any lengths; where one stands beside another, it starts anew when it has ended.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .. import control
from .directions import Directions
from .entries import Entry
from .turns import alone


def looped(x: Tensor, steps: int) -> Tensor:
    """``steps`` frames of x, ``(T, ...)``, from the start again where it ends."""
    return x[torch.arange(steps) % len(x)]


@alone
def swap(model: nn.Module, content: Entry, motion: Entry) -> Tensor:
    """Content, motion, and the content in the motion: ``(3, T, ...)``, T of the motion."""
    swapped = control.generate(model, f=content.f[None], z=motion.z[None])[0].cpu()
    return torch.stack([looped(content.x, len(motion.x)), motion.x, swapped])


@alone
def mixed(
    model: nn.Module, a: Entry, b: Entry, content_share: float, motion_share: float
) -> Tensor:
    """On the lines from the content of ``a`` to that of ``b``, and from motion to motion: ``(1, T, ...)``.

    T is that of ``b``.

    :param content_share: of ``b`` in f: 0 for the content of ``a``, 1 for that of ``b``.
    :param motion_share: of ``b`` in z.
    """
    f = a.f.lerp(b.f, content_share)
    z = looped(a.z, len(b.z)).lerp(b.z, motion_share)
    return control.generate(model, f=f[None], z=z[None])


@alone
def moved(
    model: nn.Module,
    content: Entry,
    motion: Entry,
    directions: Directions,
    f_moves: Sequence[float],
    z_moves: Sequence[float],
) -> Tensor:
    """As it is, and with f and all z_t moved along principal directions: ``(2, T, ...)``.

    :param f_moves: standard deviations, one for each of the first directions of f.
    :param z_moves: the same of z.
    """
    f = content.f + torch.tensor([*f_moves], dtype=torch.float32) @ directions.f[: len(f_moves)]
    z = motion.z + torch.tensor([*z_moves], dtype=torch.float32) @ directions.z[: len(z_moves)]
    both = torch.stack([content.f, f]), torch.stack([motion.z, z])
    return control.generate(model, f=both[0], z=both[1])


@alone
def fresh_dynamics(model: nn.Module, content: Entry, steps: int, draws: int = 4) -> Tensor:
    """One content in motions drawn from the prior: ``(draws, steps, ...)``."""
    return control.generate(model, f=content.f.expand(draws, -1), num_frames=steps)


@alone
def fresh_contents(model: nn.Module, motion: Entry, steps: int, draws: int = 4) -> Tensor:
    """Contents drawn from the prior in one motion, which goes on as its prior does.

    Frames are ``(draws, steps, ...)``.
    """
    z = motion.z[:steps].expand(draws, -1, -1)
    return control.generate(model, z=z, num_frames=steps)


@alone
def forecasts(
    model: nn.Module, guide: nn.Module, entry: Entry, seen: int, ahead: int, futures: int = 3
) -> Tensor:
    """The sequence, and futures after ``seen`` frames, which are faded.

    Frames are ``(1 + futures, seen + ahead, ...)``. In the sequence itself, what is past its end is white.
    """
    x = entry.x[:seen]
    after = control.forecast(model, guide, x[None], ahead, num_futures=futures)[:, 0].cpu()
    past = (1 + x) / 2
    truth = entry.x[seen : seen + ahead]
    missing = torch.ones(ahead - len(truth), *x.shape[1:])
    rows = [torch.cat([past, truth, missing]), *(torch.cat([past, future]) for future in after)]
    return torch.stack(rows)


@alone
def compared(pairs: Sequence[tuple[nn.Module, nn.Module]], content: Entry, motion: Entry) -> Tensor:
    """Content, motion, and the one in the other, as they are and by each pair: ``(3, 1 + pairs, T, ...)``.

    T is that of the motion. Nobody has seen the one in the other as it is: that is white. Each pair takes the
    two sequences apart by itself.
    """
    steps = len(motion.x)
    given = [looped(content.x, steps), motion.x, torch.ones_like(motion.x)]
    columns = [torch.stack(given)]
    for model, guide in pairs:
        of_content, of_motion = (
            control.infer(guide, x[None], model=model) for x in (content.x, motion.x)
        )
        own = control.generate(model, f=of_content["f"], z=of_content["z"])[0].cpu()
        f, z = torch.cat([of_motion["f"], of_content["f"]]), of_motion["z"].repeat(2, 1, 1)
        moving = control.generate(model, f=f, z=z).cpu()
        columns.append(torch.stack([looped(own, steps), *moving]))
    return torch.stack(columns, dim=1)


@alone
def matrix(model: nn.Module, contents: Sequence[Entry], motions: Sequence[Entry]) -> Tensor:
    """Every content in every motion: ``(contents, motions, T, ...)``, T of the shortest motion."""
    steps = min(len(motion.z) for motion in motions)
    f = torch.stack([content.f for content in contents]).repeat_interleave(len(motions), 0)
    z = torch.stack([motion.z[:steps] for motion in motions]).repeat(len(contents), 1, 1)
    return control.generate(model, f=f, z=z).unflatten(0, (len(contents), len(motions)))
