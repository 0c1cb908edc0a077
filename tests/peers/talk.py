"""A session with fakes around it: its shell and its pump do nothing by themselves."""

from __future__ import annotations

from math import inf
from typing import Any, Self

from zope.interface import implementer

from nettool.broker.broker import Broker
from nettool.interfaces import IGate, IPump, ISender, IShell
from nettool.outbox.queue import Outbox
from nettool.peers.session import Session
from nettool.settings import Live


@implementer(IShell)
class FakeShell:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.reading = True
        self.is_to_read_on = False
        self.logins = 0
        self.drains: list[float] = []
        self.aborts = 0
        self.slice: int | None = None
        """How often it has time for what began at one moment; for ever if that is not set."""
        self._since: tuple[float, int] = (0.0, 0)

    def stop_reading(self) -> None:
        self.reading = False

    def read_on(self) -> None:
        self.is_to_read_on = True

    def has_time(self, since: float) -> bool:
        if self.slice is None:
            return True
        before, times = self._since
        self._since = (since, times + 1 if since == before else 1)
        return self._since[1] <= self.slice

    def logged_in(self) -> None:
        self.logins += 1

    def end_within(self, seconds: float) -> None:
        self.drains.append(seconds)

    def abort(self) -> None:
        self.aborts += 1


@implementer(IPump)
class FakePump:
    """Takes what there is when it is told to, as a transport without end would."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.taken = bytearray()
        self.watches = 0
        outbox.pump = self
        outbox.unblock()

    def wake(self) -> None:
        pass

    def flush(self, now: float) -> None:
        while not self.outbox.blocked and (chunk := self.outbox.take(now)) is not None:
            self.taken += chunk

    def watch(self) -> None:
        self.watches += 1

    def stalls_at(self) -> float:
        return inf


@implementer(IGate)
class FakeGate:
    """Remembers who has left."""

    def __init__(self) -> None:
        self.forgotten: list[ISender] = []

    def forget(self, sender: ISender, now: float) -> None:
        self.forgotten.append(sender)


class Talk:
    """One peer's session, and what the test does to it.  Every call happens a little later than the one before."""

    now = 0.0

    def __init__(self, broker: Broker, live: Live) -> None:
        self.shell = FakeShell()
        self.session = Session(broker, live, self.shell)
        self.pump = FakePump(self.session.outbox)

    def tell(self, event: str, *arguments: Any) -> None:
        """Call this of the session's, with the time."""
        Talk.now += 0.001
        getattr(self.session, event)(*arguments, Talk.now)

    def login(self, name: bytes) -> Self:
        assert self.ask(name) == [b"ok login " + name + b"@node1"]
        return self

    def say(self, *lines: bytes) -> None:
        self.tell("received", b"".join(line + b"\n" for line in lines))

    def ask(self, *lines: bytes) -> list[bytes]:
        self.say(*lines)
        return self.hear()

    def hear(self) -> list[bytes]:
        """The lines that were taken since the last time."""
        self.pump.flush(Talk.now)
        heard = bytes(self.pump.taken)
        self.pump.taken.clear()
        assert heard == b"" or heard.endswith(b"\n")
        return heard.split(b"\n")[:-1]

    def stop_taking(self) -> None:
        """The transport takes nothing from now on."""
        self.session.outbox.block()

    def take_on(self) -> list[bytes]:
        """The transport takes all that there is."""
        self.session.outbox.unblock()
        heard = self.hear()
        self.session.outbox.made_room(Talk.now)
        return heard

    def read_on(self) -> None:
        """What the shell does when it was asked to read on."""
        assert self.shell.is_to_read_on
        self.shell.is_to_read_on = False
        self.tell("go_on")
        if self.session.wants_input:
            self.shell.reading = True
