"""
The options: how each is written, and which setting it becomes.

In: flags, variables, a file.  Out: checked `Settings`, or every mistake at once, each with its place; the table of all
options as a file of defaults and as a page.  Never: a default (those are in `nettool.settings`), or a command line.
"""

from nettool.options.sources import Configuration, Reading, from_keywords, settle
from nettool.options.table import BY_KEY, BY_NAME, TABLE, OnReload, Option, with_values

__all__ = [
    "BY_KEY",
    "BY_NAME",
    "TABLE",
    "Configuration",
    "OnReload",
    "Option",
    "Reading",
    "from_keywords",
    "settle",
    "with_values",
]
