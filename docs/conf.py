"""Sphinx configuration. Builds offline: nothing is fetched. Warnings are errors (see the Makefile)."""

from medchain import __version__

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
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Examples of the pages run here. Examples of docstrings run in the namespace of their module, by pytest.
doctest_test_doctest_blocks = ""

html_theme = "furo"
html_title = f"medchain {release}"
html_copy_source = False
html_show_sphinx = False
