"""The base of every model and guide."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

from huggingface_hub import PyTorchModelHubMixin
from pyro.nn import PyroModule


class Program(PyroModule, PyTorchModelHubMixin):
    """A Pyro program whose weights are its own, with ``save_pretrained`` and ``from_pretrained``.

    Under ``module_local_params`` weights stay out of Pyro's global store, and programs do not share them by
    name. :class:`pyro.infer.SVI` still asks each weight for its unconstrained value, as if it came from
    there; a weight without constraint is its own.
    """

    content: ClassVar[tuple[str, ...]] = ("f",)
    """The sites of what stays over a sequence."""
    dynamics: ClassVar[tuple[str, ...]] = ("z",)
    """The sites of what moves."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for parameter in self.parameters():
            if not hasattr(parameter, "unconstrained"):
                parameter.unconstrained = weakref.ref(parameter)  # type: ignore[attr-defined]
        return super().__call__(*args, **kwargs)
