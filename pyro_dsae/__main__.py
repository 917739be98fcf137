"""``python -m pyro_dsae --version``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .versions import __version__


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m pyro_dsae")
    parser.add_argument("--version", action="version", version=f"pyro-dsae {__version__}")
    parser.parse_args(arguments)
    parser.print_help()


if __name__ == "__main__":
    main()
