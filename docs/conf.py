"""Sphinx configuration. Builds offline: nothing is fetched. Warnings are errors (see the Makefile)."""

from __future__ import annotations

import contextlib
import io
import os
import re
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from medchain import __version__
from medchain.cli import main

project = "medchain"
author = "The medchain authors"
copyright = author
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
root_doc = "index"

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

default_role = "code"
"""Docstrings write names in single backticks."""

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"Archive": "medchain.ledger.archive.Archive"}
"""What a module names for type checkers alone; without it none of a signature's names could be resolved."""
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Examples of the pages run here. Examples of docstrings run in the namespace of their module, by pytest.
doctest_test_doctest_blocks = ""

html_theme = "furo"
html_title = f"medchain {release}"
html_copy_source = False
html_show_sphinx = False


class CommandHelp(SphinxDirective):
    """What ``medchain COMMAND --help`` prints, as a block."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        os.environ["COLUMNS"] = "96"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main([*self.arguments, "--help"])
        shown = " ".join(["$ medchain", *self.arguments, "--help"])
        text = f"{shown}\n{printed.getvalue()}"
        return [nodes.literal_block(text, text, language="none")]


def join_names(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """``header, dealing: …`` documents two names at once; Sphinx would take the first for the type of the second."""
    for number, line in enumerate(lines):
        if found := re.match(r":(?:ivar|param) (\w+(?:, \w+)+):", line):
            lines[number] = line.replace(found[1], found[1].replace(", ", "/"), 1)


def setup(app: Any) -> dict[str, bool]:
    """Add what is the project's own."""
    app.add_directive("command-help", CommandHelp)
    app.connect("autodoc-process-docstring", join_names, priority=900)  # after napoleon
    return {"parallel_read_safe": True}
