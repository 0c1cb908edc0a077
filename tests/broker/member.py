"""A member of a broker that does nothing but remember what was asked of it.

In: the broker's calls.  Out: the lists of them.  Never: an answer of its own.
"""

from __future__ import annotations

from zope.interface import implementer

from nettool.broker.broker import Broker, IPeer
from nettool.errors import CloseReason
from nettool.interfaces import IGate, IPump
from nettool.outbox.queue import Outbox
from nettool.settings import Live


@implementer(IPeer, IPump)
class Member:
    """A peer without a conversation; its transport takes nothing until its outbox is unblocked."""

    def __init__(self, name: bytes, broker: Broker, live: Live) -> None:
        self.name = name
        self.topics: set[bytes] | None = None
        self.outbox = Outbox(self, live, broker)
        self.gates: list[IGate] = []
        self.closed: list[tuple[CloseReason, float]] = []
        self.names_given: list[float] = []

    def wait_for(self, gate: IGate, now: float) -> None:
        self.gates.append(gate)

    def go_on_after(self, gate: IGate) -> None:
        self.gates.remove(gate)

    def close(self, reason: CloseReason, drain: float, now: float) -> None:
        self.closed.append((reason, drain))

    def name_is_free(self, now: float) -> None:
        self.names_given.append(now)

    def wake(self) -> None:
        pass

    def flush(self, now: float) -> None:
        pass

    def watch(self) -> None:
        pass

    def got(self) -> list[bytes]:
        """Take all that is in the outbox, as lines; then its transport takes nothing again."""
        self.outbox.unblock()
        taken = []
        while (chunk := self.outbox.take(0.0)) is not None:
            taken.append(bytes(chunk))
        self.outbox.block()
        self.outbox.made_room(0.0)
        return b"".join(taken).split(b"\n")[:-1]
