"""``python -m pyro_dsae.app MODEL --data FOLDER``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ..saving import load
from .entries import read_data

PRETRAINED = Path(__file__).parents[2] / "pretrained"


def shipped(folder: Path) -> Path | None:
    """A pair of images that ships with the checkout: sprites before all others; None where there is none."""
    found = sorted(path.parent for path in folder.glob("*/index.json"))
    return next((path for path in found if "sprites" in path.name), None)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("python -m pyro_dsae.app", description="See a pair at work.")
    made.add_argument("model", nargs="?", help="folder of a pair, or its id at the hub")
    made.add_argument(
        "--data",
        help="folder of clips or of LPC sheets, .npy, .npz, or 'procedural' (default: the model draws)",
    )
    made.add_argument("--against", metavar="OTHER", help="a second pair, to compare side by side")
    made.add_argument("--count", type=int, default=36, help="sequences to choose from (36)")
    made.add_argument("--frames", type=int, default=16, help="of a window of clips (16)")
    made.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    made.add_argument("--port", type=int, help="the first free one from 7860 on")
    made.add_argument("--no-browser", action="store_true", help="only say the address")
    return made


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
            from .page import Stage, build, serve
        except ImportError as error:
            sys.exit(f'the explorer needs Gradio: pip install "pyro-dsae[app]" ({error})')
        try:
            pair = load(model)
            against = (*load(options.against), options.against) if options.against else None
            entries = read_data(*pair, options.data, count=options.count, frames=options.frames)
            stage = Stage(*pair, entries, str(model), against)
        except (ImportError, OSError, ValueError) as error:
            sys.exit(str(error))
        data = f"of `{Path(options.data).name}`" if options.data else "that it draws"
        about = f"`{Path(model).name}` and sequences {data}"
        blocks = build(stage, folder, about=about)
        address = serve(
            blocks, host=options.host, port=options.port, browser=not options.no_browser
        )
        print(f"the explorer is at {address}, until Ctrl-C", flush=True)
        blocks.block_thread()


if __name__ == "__main__":
    main()
