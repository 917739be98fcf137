"""Laws of the dynamics z_1:T and of the content f, one file each: every one is a single Pyro distribution."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from .autoregressive import Autoregressive, AutoregressiveNormal
from .base import CausalLaw, ContentPrior, Prior
from .content import MixtureContent, NormalContent, NormalMixture
from .exchangeable import ExchangeableNormal
from .flow import Flow, FlowContent
from .hidden_markov import HiddenMarkov, HiddenMarkovLaw
from .kalman import Kalman, KalmanLaw
from .lengths import Lengths, up_to_lengths
from .linear_gaussian import LinearGaussian, LinearGaussianLaw
from .mixture import AutoregressiveMixture, Mixture

PRIORS: dict[str, type[Prior]] = {
    "autoregressive": Autoregressive,
    "mixture": Mixture,
    "linear_gaussian": LinearGaussian,
    "kalman": Kalman,
    "hidden_markov": HiddenMarkov,
}
CONTENT_PRIORS: dict[str, type[ContentPrior]] = {
    "normal": NormalContent,
    "mixture": MixtureContent,
    "flow": FlowContent,
}

Choice = str | Mapping[str, Any] | nn.Module


def make_prior(prior: Choice, z_dim: int, **defaults: Any) -> nn.Module:
    """The prior of z_1:T of a name, or of a name and options: ``{"name": "mixture", "components": 8}``.

    :param defaults: options for those that take them, such as ``hidden``. A module is given back as it is.
    :raises ValueError: if there is no prior of the name, or a module has another ``z_dim``.
    :raises TypeError: if the prior takes no such option.
    """
    return _make("prior", PRIORS, prior, "z_dim", z_dim, defaults)


def make_content_prior(prior: Choice, f_dim: int, **defaults: Any) -> nn.Module:
    """The prior of f, as :func:`make_prior` that of z."""
    return _make("content_prior", CONTENT_PRIORS, prior, "f_dim", f_dim, defaults)


def _make(
    argument: str,
    known: Mapping[str, type[nn.Module]],
    prior: Choice,
    size_name: str,
    size: int,
    defaults: Mapping[str, Any],
) -> nn.Module:
    if isinstance(prior, nn.Module):
        own = getattr(prior, size_name, size)
        if own != size:
            raise ValueError(f"{argument} has a {size_name} of {own}, the model of {size}")
        return prior
    options = {"name": prior} if isinstance(prior, str) else dict(prior)
    name = options.pop("name", None)
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"{argument} must be a module or one of {', '.join(known)}, got {name!r}")
    taken = [*inspect.signature(known[name]).parameters][1:]
    if wrong := sorted(options.keys() - {*taken}):
        raise TypeError(
            f"{argument} {name!r} takes {', '.join(taken) or 'no options'}, got {', '.join(wrong)}"
        )
    return known[name](size, **{k: v for k, v in {**defaults, **options}.items() if k in taken})


__all__ = [
    "CONTENT_PRIORS",
    "PRIORS",
    "Autoregressive",
    "AutoregressiveMixture",
    "AutoregressiveNormal",
    "CausalLaw",
    "Choice",
    "ContentPrior",
    "ExchangeableNormal",
    "Flow",
    "FlowContent",
    "HiddenMarkov",
    "HiddenMarkovLaw",
    "Kalman",
    "KalmanLaw",
    "Lengths",
    "LinearGaussian",
    "LinearGaussianLaw",
    "Mixture",
    "MixtureContent",
    "NormalContent",
    "NormalMixture",
    "Prior",
    "make_content_prior",
    "make_prior",
    "up_to_lengths",
]
