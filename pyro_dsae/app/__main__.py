"""``python -m pyro_dsae.app MODEL --data FOLDER``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from ..data import Clips
from ..saving import data_of, load
from .entries import read_data
from .recordings import Studio

Pair = tuple[nn.Module, nn.Module]
PRETRAINED = Path(__file__).parents[2] / "pretrained"


def shipped(folder: Path) -> Path | None:
    """A pair of images that ships with the checkout: sprites before all others; None where there is none."""
    found = sorted(path.parent for path in folder.glob("*/index.json"))
    return next((path for path in found if "sprites" in path.name), None)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("python -m pyro_dsae.app", description="See a pair at work.")
    made.add_argument(
        "model", nargs="?", help="folder of a pair, of images or of speech, or its id at the hub"
    )
    made.add_argument(
        "--data",
        help="folder of clips or of LPC sheets, .npy, .npz, or 'procedural' (default: the model draws)",
    )
    made.add_argument("--against", metavar="OTHER", help="a second pair, to compare side by side")
    made.add_argument("--count", type=int, default=36, help="sequences to choose from (36)")
    made.add_argument("--frames", type=int, help="of a window of clips (as learnt from, or 16)")
    made.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    made.add_argument("--port", type=int, help="the first free one from 7860 on")
    made.add_argument("--no-browser", action="store_true", help="only say the address")
    return made


def explorer(pair: Pair, name: str, options: argparse.Namespace, folder: str) -> Any:
    """The page of a pair of images."""
    from .page import Stage, build

    against = (*load(options.against), options.against) if options.against else None
    pace = _learnt(name)
    window = pace.pop("num_frames", 16)
    frames = window if options.frames is None else options.frames
    entries = read_data(*pair, options.data, count=options.count, frames=frames, pace=pace)
    stage = Stage(*pair, entries, name, against, pace)
    data = f"of `{Path(options.data).name}`" if options.data else "that it draws"
    return build(stage, folder, about=f"`{Path(name).name}` and sequences {data}")


def _learnt(name: str) -> dict[str, Any]:
    """Window and pace of the clips that a pair has learnt from, where it says so."""
    try:
        kind, settings = data_of(name)
    except FileNotFoundError:
        return {}
    of_clips = ("num_frames", "stride", "rate") if kind is Clips else ()
    return {key: settings[key] for key in of_clips if settings.get(key) is not None}


def voices(pair: Pair, name: str, options: argparse.Namespace, folder: str) -> Any:
    """The page of a pair of spectra."""
    from .voice_page import build_voices

    for option in ("data", "against", "frames"):
        if getattr(options, option) is not None:
            raise ValueError(f"--{option} goes with models of images, {name} is one of spectra")
    studio = Studio(*pair, name)
    rate, seconds = studio.spectrum.sample_rate, studio.num_frames * studio.spectrum.hop
    about = f"`{Path(name).name}`, of {rate / 1000:g} kHz, {seconds:g} seconds at a time"
    return build_voices(studio, about=about)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    model = options.model or shipped(PRETRAINED)
    if model is None:
        sys.exit(
            "name a pair, none ships here: python -m pyro_dsae.app FOLDER, as pyro_dsae.save wrote"
        )
    with TemporaryDirectory(prefix="pyro-dsae-app-") as folder:
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder}
        try:
            from .page import serve
        except ImportError as error:
            sys.exit(f'the explorer needs Gradio: pip install "pyro-dsae[app]" ({error})')
        try:
            pair = load(model)
            of_spectra = len(getattr(pair[0], "frame_shape", ())) == 1
            blocks = (voices if of_spectra else explorer)(pair, str(model), options, folder)
        except (ImportError, OSError, ValueError) as error:
            sys.exit(str(error))
        address = serve(
            blocks, host=options.host, port=options.port, browser=not options.no_browser
        )
        print(f"the explorer is at {address}, until Ctrl-C", flush=True)
        blocks.block_thread()


if __name__ == "__main__":
    main()
