"""The site: ``sphinx-build -W -b html docs site``. Tutorials are run, so it takes minutes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pyro_dsae

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "pyro-dsae"
author = copyright = "pyro-dsae contributors"  # noqa: A001 (Sphinx's own name)
version = release = pyro_dsae.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["jupyter_execute"]

html_theme = "furo"
html_static_path = ["_static"]  # voices to listen to
html_title = f"pyro-dsae {version}"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type"]

# Tutorials run whenever the site is built, unless SITE_EXECUTE says "off"; an error ends the build.
nb_execution_mode = os.environ.get("SITE_EXECUTE", "force")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 1800  # seconds, of a cell
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "remove"

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # what torch and Pyro say of theirs stands in their own pages
napoleon_google_docstring = True
napoleon_numpy_docstring = False

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {
    "index": "README.md",
    "benchmarks": "benchmarks/README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
}
"""Pages that stand in other folders of the repository; the page here holds what follows them."""
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")


def at_home(text: str, folder: Path, docname: str) -> str:
    """The links of a page of ``folder`` as they are from the page ``docname`` of the site.

    Pages of :data:`ELSEWHERE` are pages of the site; other files outside docs are downloads. A folder is no
    page: such a link becomes its text.
    """
    here = (ROOT / "docs" / docname).parent
    pages = {ROOT / path: ROOT / "docs" / f"{name}.md" for name, path in ELSEWHERE.items()}

    def follow(found: re.Match[str]) -> str:
        target = (folder / found[1]).resolve()
        return os.path.relpath(pages.get(target, target), here) + (found[2] or "")

    text = re.sub(
        r"(?<!!)\[([^]]+)\]\(([^)#:\s]+)\)",
        lambda link: link[1] if (folder / link[2]).is_dir() else link[0],
        text,
    )
    return LINK.sub(follow, text)


def read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the text of elsewhere before what the page itself holds."""
    if not (ROOT / "docs" / f"{docname}.md").is_file():
        return
    source[0] = at_home(source[0], (ROOT / "docs" / docname).parent, docname)
    if docname in ELSEWHERE:
        path = ROOT / ELSEWHERE[docname]
        source[0] = at_home(path.read_text(), path.parent, docname) + "\n" + source[0]


def setup(app: Sphinx) -> None:
    app.connect("source-read", read)
