"""The tables of README and docs, from ``benchmarks/results``: no figure in them is typed.

A table stands between ``<!-- table: NAME -->`` and ``<!-- /table -->``; NAME is a function of a file of
``benchmarks/table``, a subject each.

    python benchmarks/tables.py            # writes them
    python benchmarks/tables.py --check    # names the pages that would change, and fails
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from table import TABLES, Rows

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted(ROOT.glob("docs/*.md"))]
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def render(rows: Rows) -> str:
    """As Markdown."""
    lines = ["|" + "".join(f" {cell} |" if cell else " |" for cell in row) for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def filled(text: str) -> str:
    """A page with each of its tables made anew; one without rows leaves its markers alone."""

    def made(found: re.Match[str]) -> str:
        rows = TABLES[found[2]]()
        return f"{found[1]}\n{render(rows)}\n\n{found[3]}" if rows else found[1] + found[3]

    return MARKED.sub(made, text)


def main() -> int:
    """Write, or check."""
    options = argparse.ArgumentParser(description="The tables of README and docs.")
    options.add_argument("--check", action="store_true", help="write nothing; fail if one differs")
    check, stale = options.parse_args().check, list[Path]()
    for page in PAGES:
        text = page.read_text()
        if filled(text) != text:
            stale.append(page)
            print(f"{page.relative_to(ROOT)}: {'differs' if check else 'written'}")
            if not check:
                page.write_text(filled(text))
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
