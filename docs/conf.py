"""Sphinx configuration, for `make docs` (HTML) and `make man` (man pages)."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate
from sphinx.application import Sphinx

project = "notebake"
author = "The notebake authors"
copyright = "The notebake authors"
version = release = installed("notebake")

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
# Links to headings of other pages: PAGE.md#HEADING.
myst_heading_anchors = 3
nitpicky = True
# Otherwise `--option` in a help text would get a dash.
smartquotes = False

html_theme = "furo"
html_title = "notebake"
html_copy_source = False
html_show_sphinx = False

man_pages = generate.man_pages()
man_make_section_directory = True


def setup(app: Sphinx) -> None:
    """Write the generated pages before Sphinx looks for pages."""
    app.connect("builder-inited", _generate)


def _generate(app: Sphinx) -> None:
    try:
        generate.write(Path(app.srcdir))
    except generate.Undocumented as error:
        sys.exit(f"error: {error}")
