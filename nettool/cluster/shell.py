"""
What links ask of the world around them.

In: nothing.  Out: the two contracts that a transport and a clock have to keep.  Never: a transport, a clock.
"""

from __future__ import annotations

from typing import Any, Protocol


class IAlarm(Protocol):
    """Sees to it that `Linked.tick` is called."""

    def by(self, when: float) -> None:
        """At this time at the latest."""


class ILinkShell(Protocol):
    """What a link asks of the connection around it."""

    def close(self) -> None:
        """Send what was said, then close."""

    def abort(self) -> None:
        """End it at once."""

    @property
    def proof(self) -> Any:
        """By what the other node proves who it is: what `Linked.judge` takes."""

    @property
    def where(self) -> str:
        """The other end's address, for a log."""
