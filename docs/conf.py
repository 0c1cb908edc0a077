"""Sphinx settings.  The pages are Markdown; `tox -e docs` builds them with every warning an error."""

import re
import sys
from pathlib import Path

from twisted.internet import interfaces

from nettool import __version__

sys.path.insert(0, str(Path(__file__).parent))  # for source_links

project = "nettool"
author = "the nettool authors"
copyright = "2026, the nettool authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "source_links"]
source_suffix = {".md": "markdown"}
# Fragments are not pages: they become CHANGELOG.md.
exclude_patterns = ["_build", "news"]
nitpicky = True
# Types of Twisted and of the standard library have no pages here; our own must have.
nitpick_ignore_regex = [(r"py:.*", r"(?!nettool\b).*")]
nitpick_ignore = [
    ("py:class", "nettool.embed.node.P"),  # a type variable
    # What is behind these is nobody's to use.
    ("py:class", "nettool.mesh.crossing.Crossing"),
    ("py:class", "nettool.mesh.incoming.Incoming"),
    ("py:class", "nettool.mesh.turn.MeshTurn"),
    ("py:class", "nettool.cluster.neighbour.Neighbour"),
]
# Links to a heading (`page.md#heading`) are resolved for headings down to this depth, and a wrong one is a warning.
myst_heading_anchors = 4
# Links to other people's servers are checked by `tox -e links` only: a build must not depend on them.

# Docstrings are written as the code's comments are: `names` between single backticks, examples indented.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autoclass_content = "both"  # what a class is, and what its constructor takes
autodoc_typehints_format = "short"
# Interfaces of zope are no types: evaluated, they would be shown as `<InterfaceClass ...>`.
autodoc_type_aliases = {name: name for name in vars(interfaces) if name.startswith("I")}

html_theme = "alabaster"
html_theme_options = {"description": "a node that routes lines of text between named peers", "page_width": "60em"}
html_show_sourcelink = False


def mark_examples(app, what, name, obj, options, lines):
    """An indented paragraph of a docstring is an example."""
    marked = []
    within = False
    for line in lines:
        if line.startswith("    "):
            if not within and marked and not marked[-1]:
                marked += [".. code-block:: python", ""]
            within = True
        elif line:
            within = False
        marked.append(line)
    lines[:] = marked


def name_interfaces(app, what, name, obj, options, signature, result):
    """Where such a name is the parameter of a type, autodoc shows what it stands for meanwhile."""
    return signature, result and re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", result)


def setup(app):
    """See Sphinx."""
    app.connect("autodoc-process-docstring", mark_examples)
    app.connect("autodoc-process-signature", name_interfaces)
