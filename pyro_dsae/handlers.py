"""Our own poutine messengers and what reads their traces: posterior means in place of draws."""

from __future__ import annotations

from typing import Any

from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample

from . import objectives
from ._moved import warn


def latent_sites(trace: Trace) -> list[str]:
    """Names of the latents that a guide's trace has drawn: no plates, no factors.

    >>> guide = pyro_dsae.Factorised((200,), f_dim=8, z_dim=4, hidden=16)
    >>> latent_sites(pyro.poutine.trace(guide).get_trace(torch.rand(5, 20, 200)))
    ['f', 'z']
    """
    return [
        name
        for name, site in trace.nodes.items()
        if site["type"] == "sample"
        and not site_is_subsample(site)
        and not (site["infer"] or {}).get("is_auxiliary")
    ]


class PosteriorMean(Messenger):
    """Give every latent site the mean of its distribution in place of a draw.

    >>> guide = pyro_dsae.Factorised((200,), f_dim=8, z_dim=4, hidden=16)
    >>> x = torch.rand(5, 20, 200)
    >>> torch.equal(PosteriorMean()(guide)(x)[0], PosteriorMean()(guide)(x)[0])
    True
    """

    def _pyro_sample(self, msg: Any) -> None:
        if msg["value"] is None and not site_is_subsample(msg):
            msg["value"] = msg["fn"].mean


def __getattr__(name: str) -> Any:
    if name in ("KLWeights", "piecewise_linear"):
        warn(f"{__name__}.{name}", f"pyro_dsae.objectives.{name}")
        return getattr(objectives, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
