"""Weights and configuration in a folder, or at the Hugging Face hub: what does not fit is named."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from huggingface_hub.utils import is_jsonable
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model
from torch import nn

M = TypeVar("M", bound="HubMixin")

_OF_THE_HUB = (
    *("revision", "cache_dir", "force_download", "local_files_only", "token"),
    *("proxies", "resume_download"),  # before huggingface_hub 1.0
)
CARD = """---
{{ card_data }}
---

# {{ name }}

`{{ module }}.{{ name }}`, a part of a disentangled sequential autoencoder, which takes sequences apart into
what stays (content) and what moves (dynamics).

| | |
|---|---|
| parameters | {{ parameters }} |
{%- for argument, value in arguments.items() %}
| `{{ argument }}` | {{ value }} |
{%- endfor %}

With its other half, from the folder that `pyro_dsae.save` wrote, or alone from the folder of this card:

```python
import pyro_dsae

model, guide = pyro_dsae.load(folder)
alone = {{ name }}.from_pretrained(folder)
```

What is not saved (modules of one's own) is passed by name to either.

- Li & Mandt, *Disentangled Sequential Autoencoder*, ICML 2018
- Helminger et al., *Disentangled Dynamic Representations from Unordered Data*, AABI 2018
- Hsu, Zhang & Glass, *Unsupervised Learning of Disentangled and Interpretable Representations from
  Sequential Data*, NeurIPS 2017
"""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of JSON.

    :raises FileNotFoundError: if there is no such file.
    :raises ValueError: if it holds anything else.
    """
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(found).__name__}")
    return found


def _encode(value: Any) -> Any:
    """What JSON can hold as it is; of anything else, that it was there."""
    kind = type(value)
    return value if is_jsonable(value) else {"not_saved": f"{kind.__module__}.{kind.__qualname__}"}


def _not_saved(config: dict[str, Any]) -> dict[str, str]:
    """The arguments that JSON could not hold, with their classes."""
    return {
        name: value["not_saved"]
        for name, value in config.items()
        if isinstance(value, dict) and value.keys() == {"not_saved"}
    }


def _part(weight: str) -> str:
    """Which of a module's own parts a weight is of: encoder, of encoder.0.bias."""
    return weight.partition(".")[0]


def _few(names: Iterable[str]) -> str:
    """The first five, and how many more."""
    names = sorted(names)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


class HubMixin(
    PyTorchModelHubMixin,
    model_card_template=CARD,
    library_name="pyro-dsae",
    tags=["disentanglement", "pyro", "variational-autoencoder"],
):
    """``save_pretrained`` and ``from_pretrained`` for a module, as safetensors and JSON.

    The arguments of ``__init__`` are kept where JSON can hold them. Of others, such as networks of one's own,
    the weights are kept: pass them by name to ``from_pretrained``.
    """

    training_only: ClassVar[frozenset[str]] = frozenset()
    """Arguments that act in training alone: without them a program loads, and evaluates as before."""

    of_the_model: ClassVar[frozenset[str]] = frozenset()
    """Arguments of a guide that are modules of the model, which the two share."""

    def __init_subclass__(cls, **options: Any) -> None:
        coders = {**options.pop("coders", {}), object: (_encode, lambda value: value)}
        super().__init_subclass__(coders=coders, **options)

    @classmethod
    def arguments(cls) -> list[str]:
        """The names that ``__init__`` takes, with those that it hands on to its bases."""
        names: dict[str, None] = {}
        for init in (vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base)):
            given = [*inspect.signature(init).parameters.values()][1:]
            several = {p.name for p in given if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
            names |= dict.fromkeys(p.name for p in given if p.name not in several)
            if not several:
                break
        return [*names]

    def _given(self) -> dict[str, Any]:
        """The arguments that this module was made with, as JSON holds them."""
        config = self._hub_mixin_config
        return config if isinstance(config, dict) else {}

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """A card with the class, its arguments, how to load it, and the papers."""
        given = {name: json.dumps(value) for name, value in sorted(self._given().items())}
        about = {
            "name": type(self).__name__,
            "module": type(self).__module__,
            "parameters": sum(p.numel() for p in self.parameters()),  # type: ignore[attr-defined]
            "arguments": {**given, **_not_saved(self._given())},
        }
        return super().generate_model_card(*args, **{**about, **kwargs})

    def _save_pretrained(self, save_directory: Path) -> None:
        for name, kind in _not_saved(self._given()).items():
            if name in self.of_the_model:
                continue
            but = ("but for its weights", "to load")
            if name in self.training_only:
                but = ("and acts in training alone", "to load to train on")
            warnings.warn(
                f"{type(self).__name__}: {name} ({kind}) is not saved, {but[0]}: "
                f"pass {name}=... {but[1]}",
                stacklevel=3,
            )
        # On a GPU the weights of an LSTM lie in one storage, which safetensors refuses: a copy has one each.
        super(HubMixin, deepcopy(self).cpu())._save_pretrained(save_directory)  # type: ignore[attr-defined]

    @classmethod
    def from_pretrained(
        cls: type[M], pretrained_model_name_or_path: str | Path, **options: Any
    ) -> M:
        """What ``save_pretrained`` wrote, in evaluation mode.

        :param pretrained_model_name_or_path: a folder; a string that names none is an id at the hub.
        :param options: arguments of ``__init__`` in place of those saved, such as networks of your own;
            ``map_location``, the device (default: the CPU); ``strict=False`` to take the weights that there
            are; for the hub, those of :meth:`huggingface_hub.PyTorchModelHubMixin.from_pretrained`.
        :raises FileNotFoundError: if the folder or one of its files is missing.
        :raises ValueError: if a file is damaged, or does not fit; says which, and what to pass.
        """
        folder, saved = Path(pretrained_model_name_or_path), {}
        if folder.is_dir():
            config = folder / CONFIG_NAME
            if cls.arguments() or config.is_file():
                saved = read_json(config)
        elif isinstance(pretrained_model_name_or_path, Path):
            raise FileNotFoundError(f"no {cls.__name__} in {folder}: there is no such folder")
        program = super().from_pretrained(pretrained_model_name_or_path, **options)
        unknown = saved.keys() - _not_saved(saved).keys() - program._given().keys()
        if unknown and program._given():
            raise ValueError(f"{config}: {cls.__name__} takes no {_few(unknown)}")
        return program

    @classmethod
    def _from_pretrained(
        cls: type[M],
        *,
        model_id: str,
        map_location: str = "cpu",
        strict: bool = True,
        **options: Any,
    ) -> M:
        hub = {name: options.pop(name) for name in _OF_THE_HUB if name in options}
        if Path(model_id).is_dir():
            file = Path(model_id, SAFETENSORS_SINGLE_FILE)
            if not file.is_file():
                raise FileNotFoundError(f"no {cls.__name__} in {model_id}: {file.name} is missing")
        else:
            file = Path(hf_hub_download(model_id, SAFETENSORS_SINGLE_FILE, **hub))
        absent = _not_saved(options)
        needed = absent.keys() - cls.training_only
        if needed and strict:
            raise ValueError(
                f"{file.with_name(CONFIG_NAME)}: {cls.__name__} was saved without "
                + ", ".join(f"{name} ({absent[name]})" for name in sorted(needed))
                + f": pass {', '.join(f'{name}=...' for name in sorted(needed))} to load"
            )
        try:
            program = cls(**{name: options[name] for name in options.keys() - absent.keys()})
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"{file.with_name(CONFIG_NAME)} does not make a {cls.__name__}: "
                + " ".join(str(error).split())
            ) from error
        program._load(file, map_location, strict)
        return program.to(map_location).eval()  # type: ignore[attr-defined]

    def _load(self, file: Path, device: str, strict: bool) -> None:
        """Take all weights from a file, or name those that do not fit."""
        module = cast(nn.Module, self)
        try:
            with safe_open(file, "pt") as stored:
                shapes = {name: [*stored.get_slice(name).get_shape()] for name in stored.keys()}  # noqa: SIM118
            own = {name: [*weight.shape] for name, weight in module.state_dict().items()}
            other = [name for name in own.keys() & shapes.keys() if own[name] != shapes[name]]
            missing, left = [*own.keys() - shapes.keys()], [*shapes.keys() - own.keys()]
            if not other:  # only this knows of weights that share a tensor
                missing, left = load_model(module, file, strict=False, device=device)
        except SafetensorError as error:
            raise ValueError(f"{file} is damaged, or not safetensors: {error}") from error
        left = [name for name in left if _part(name) not in self.training_only]
        faults = {
            "of another shape": [f"{name} {shapes[name]}, not {own[name]}" for name in other],
            "missing": missing if strict else [],
            "left over": left if strict else [],
        }
        said = "; ".join(f"{fault}: {_few(names)}" for fault, names in faults.items() if names)
        if said:
            parts = {_part(name) for name in [*other, *missing, *left]} & {*self.arguments()}
            given = ", ".join(f"{part}=..." for part in sorted(parts))
            how = f"; pass {given} to load if of your own" if given else ""
            raise ValueError(f"{file} does not fit {type(self).__name__}, {said}{how}")
