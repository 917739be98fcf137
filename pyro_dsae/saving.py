"""A model with its guide, in a folder to keep or to share."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from torch import nn

from . import guides, models
from .data.settings import decoded, encoded
from .hub import read_json
from .program import Program

_FAMILIES = {"model": models, "guide": guides}
_INDEX = "index.json"
_DATA = "data.json"
_PAIR = [_INDEX, _DATA, *(f"{role}/*" for role in _FAMILIES)]


def save(
    folder: str | Path,
    model: nn.Module,
    guide: nn.Module,
    *,
    data: Any = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write both as safetensors with their configuration: ``folder/{model,guide}`` and an index.

    Both are written aside and then take the place of what was there: the folder holds the old pair or the
    new one, never half of each. Its other files stay.

    What JSON cannot hold is named by a warning: of networks of your own the weights are kept, and the
    networks are passed to :func:`load`; of views nothing is needed but to train on.

    :param data: what the pair has learnt from, :class:`~pyro_dsae.data.Clips`, ``Series`` or
        ``SpeechSegments``: how it is cut, resized and scaled on the way in is kept beside, for
        :func:`load_data`.
    :param dtype: of the weights in the files, such as ``torch.float16`` for half the size; :func:`load`
        gives float32 again. The pair itself stays as it is.
    :raises ValueError: if one of them is not a :class:`~pyro_dsae.program.Program`, or the guide is to share
        a module with the model, such as ``prior``, and does not; if a weight is too large for ``dtype``.

    >>> from tempfile import TemporaryDirectory
    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> model = pyro_dsae.DSAE((3, 16, 16), **sizes)
    >>> guide = pyro_dsae.Factorised((3, 16, 16), **sizes)
    >>> with TemporaryDirectory() as folder:
    ...     save(folder, model, guide)
    ...     print(sorted(path.name for path in Path(folder).iterdir()))
    ['guide', 'index.json', 'model']
    """
    pair: dict[str, Any] = {"model": model, "guide": guide}
    for role, program in pair.items():
        if not isinstance(program, Program):
            raise ValueError(f"{role} must be a Program, got {type(program).__name__}")
    for name in pair["guide"].of_the_model:
        if getattr(guide, name) is not getattr(model, name, None):
            raise ValueError(
                f"guide.{name} must be model.{name}, got one of its own: "
                "save each by its save_pretrained"
            )
    settings = None if data is None else encoded(data)
    if dtype is not None:
        pair = {role: _rounded(role, program, dtype) for role, program in pair.items()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".saving-") as aside:
        new = Path(aside, "new")
        for role, program in pair.items():
            program.save_pretrained(new / role)
        names = {role: type(program).__name__ for role, program in pair.items()}
        (new / _INDEX).write_text(json.dumps(names, indent=2) + "\n")
        if settings is not None:
            (new / _DATA).write_text(json.dumps(settings, indent=2) + "\n")
        _exchange(folder, new, Path(aside, "old"))


def _rounded(role: str, program: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy of a program whose weights are of another type."""
    rounded = deepcopy(program).to(dtype)
    for (name, weight), before in zip(
        rounded.state_dict().items(), program.state_dict().values(), strict=True
    ):
        if not torch.equal(weight.isfinite(), before.isfinite()):
            raise ValueError(
                f"dtype must hold all weights, got {dtype} and a {role} whose {name} goes up to "
                f"{float(before.abs().max()):.3g}"
            )
    return rounded


def _exchange(folder: Path, new: Path, old: Path) -> None:
    """Put the new pair in the place of the old one; all goes back if any of it fails.

    The index goes first and comes last: where it is, the pair is whole.
    """
    old.mkdir()
    names = (_INDEX, _DATA, *_FAMILIES)
    moves = [(folder / name, old / name) for name in names if (folder / name).exists()]
    made = [name for name in names if name != _DATA or (new / name).exists()]
    moves += [(new / name, folder / name) for name in reversed(made)]
    with ExitStack() as undo:
        for source, target in moves:
            os.replace(source, target)
            undo.callback(os.replace, target, source)
        undo.pop_all()


def load(
    folder: str | Path, *, revision: str | None = None, **options: Any
) -> tuple[nn.Module, nn.Module]:
    """The model and the guide that :func:`save` wrote, on the CPU and in evaluation mode.

    :param folder: or the id of such a folder at the Hugging Face hub, ``"owner/name"``, where no folder is
        called so: it is fetched once and kept in the hub's own cache.
    :param revision: branch, tag or commit, of an id at the hub.
    :param options: arguments of either in place of those saved, such as networks of your own:
        ``load(folder, encoder=..., decoder=...)``. What both take goes to both; what a guide shares with its
        model, such as ``prior``, it has from the model.
    :raises FileNotFoundError: if ``folder`` holds no pair, or a file of it is missing; here and at the hub.
    :raises ValueError: if a file is damaged, or weights are missing, left over or of another shape.
    :raises TypeError: if neither takes one of ``options``.

    >>> from tempfile import TemporaryDirectory
    >>> sizes = {"f_dim": 8, "z_dim": 4, "channels": 4, "hidden": 16}
    >>> pair = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Full((3, 16, 16), **sizes)
    >>> with TemporaryDirectory() as folder:
    ...     pyro_dsae.save(folder, *pair)
    ...     model, guide = load(folder)
    >>> type(model).__name__, type(guide).__name__
    ('DSAE', 'Full')
    """
    folder = _found(folder, revision)
    index, before = _read_index(folder)
    kinds = {role: _find(role, index, folder) for role in _FAMILIES}
    taken = {role: kind.arguments() for role, kind in kinds.items()}
    known = dict.fromkeys(name for names in taken.values() for name in names)
    if unknown := sorted(options.keys() - known.keys()):
        raise TypeError(
            f"load takes the arguments of {' and '.join(index[role] for role in kinds)}, "
            f"{', '.join(known)}, got {', '.join(unknown)}"
        )
    given = {role: {k: v for k, v in options.items() if k in taken[role]} for role in kinds}
    model = kinds["model"].from_pretrained(folder / "model", **given["model"])
    shared = {name: getattr(model, name) for name in kinds["guide"].of_the_model}
    guide = kinds["guide"].from_pretrained(folder / "guide", **{**given["guide"], **shared})
    # Saved anew in between, they might be of two pairs.
    return (model, guide) if _read_index(folder)[1] == before else load(folder, **options)


def load_data(
    folder: str | Path, source: Any, *, revision: str | None = None, **options: Any
) -> Any:
    """New data of the form that the pair of a folder has learnt from, which :func:`save` was given.

    Of the same class, cut, resized and scaled alike: ``Clips(source, size=..., rate=..., num_frames=...)``.

    :param folder: as of :func:`load`, which gives the pair.
    :param source: what the class reads: a folder of clips, series or speech, a file, arrays.
    :param options: arguments of the class, in place of those kept or beside them, such as
        ``windows="tiled"``.
    :raises FileNotFoundError: if ``folder`` holds no pair or nothing of its data, or there is no ``source``.
    :raises ValueError: if what it holds is damaged, or the data are not such as the class takes.

    >>> from tempfile import TemporaryDirectory
    >>> from pyro_dsae.data import Series
    >>> learnt = Series([10 * torch.randn(20, 2).numpy() + 5], num_frames=4)
    >>> pair = pyro_dsae.DSAE((2,), likelihood="normal"), pyro_dsae.Factorised((2,))
    >>> with TemporaryDirectory() as folder:
    ...     pyro_dsae.save(folder, *pair, data=learnt)
    ...     new = load_data(folder, [torch.full((6, 2), 5.0).numpy()])
    >>> x, _ = new[0]
    >>> x.shape, bool(x.abs().max() < 1)  # scaled as the others were
    (torch.Size([4, 2]), True)
    >>> new.restore(x)[0].round()
    tensor([5., 5.])
    """
    kind, settings = data_of(folder, revision=revision)
    if options.get("rate") is not None:  # in place of the other of the two
        settings.pop("stride", None)
    elif "stride" in options:
        settings.pop("rate", None)
    return kind(source, **{**settings, **options})


def data_of(folder: str | Path, *, revision: str | None = None) -> tuple[Any, dict[str, Any]]:
    """The class of the data that the pair of a folder has learnt from, and arguments that give their form.

    :raises FileNotFoundError: as of :func:`load_data`; and ValueError.

    >>> from tempfile import TemporaryDirectory
    >>> from pyro_dsae.data import Series
    >>> learnt = Series([torch.randn(20, 2).numpy()], num_frames=4)
    >>> pair = pyro_dsae.DSAE((2,), likelihood="normal"), pyro_dsae.Factorised((2,))
    >>> with TemporaryDirectory() as folder:
    ...     pyro_dsae.save(folder, *pair, data=learnt)
    ...     kind, settings = data_of(folder)
    >>> kind.__name__, settings["num_frames"]
    ('Series', 4)
    """
    found = _found(folder, revision)
    _read_index(found)
    path = found / _DATA
    if not path.is_file():
        raise FileNotFoundError(
            f"nothing of its data in {folder}: {_DATA} is missing, which save(..., data=...) writes"
        )
    return decoded(read_json(path), str(path))


def _found(folder: str | Path, revision: str | None) -> Path:
    """The folder itself, or the one that the hub's cache has of an id."""
    if Path(folder).is_dir() or isinstance(folder, Path) or folder.count("/") != 1:
        return Path(folder)
    try:
        return Path(snapshot_download(folder, revision=revision, allow_patterns=_PAIR))
    except (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    ) as error:
        raise FileNotFoundError(
            f"no model in {folder}: no such folder, and the hub has none: {' '.join(str(error).split())}"
        ) from error


def _read_index(folder: Path) -> tuple[dict[str, Any], tuple[int, int]]:
    """The names of the classes, and what tells this index from one written later."""
    index = folder / _INDEX
    if not index.is_file():
        raise FileNotFoundError(f"no model in {folder}: {_INDEX} is missing")
    written = index.stat()
    return read_json(index), (written.st_ino, written.st_mtime_ns)


def _find(role: str, index: dict[str, Any], folder: Path) -> type[Program]:
    """The class that the index names as its model, or as its guide."""
    family, name = _FAMILIES[role], index.get(role)
    if not isinstance(name, str) or name not in family.__all__:
        raise ValueError(
            f"{folder / _INDEX} must name as {role} one of {', '.join(family.__all__)}, got {name!r}; "
            f"load a class of your own by its from_pretrained({str(folder / role)!r})"
        )
    return getattr(family, name)
