"""The process's reactor, for callers that bring none.  Importing it installs it, so nothing else does."""

from __future__ import annotations

from typing import Any


def process_reactor() -> Any:
    """The one reactor of this process; installed now, as Twisted's default, if there was none."""
    from twisted.internet import reactor

    return reactor
