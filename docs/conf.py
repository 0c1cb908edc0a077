"""Sphinx settings.  The pages are Markdown; `tox -e docs` builds them with every warning an error."""

from importlib.metadata import version as installed_version

project = "nettool"
author = "the nettool authors"
copyright = "2026, the nettool authors"
version = release = installed_version("nettool")

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
# Fragments are not pages: they become CHANGELOG.md.
exclude_patterns = ["_build", "news"]
nitpicky = True
# Links to a heading (`page.md#heading`) are resolved for headings down to this depth, and a wrong one is a warning.
myst_heading_anchors = 4

html_theme = "alabaster"

# Links within the documentation are checked; other people's servers are not, since a build must not depend on them.
linkcheck_ignore = [r"https?://", r"mailto:"]
