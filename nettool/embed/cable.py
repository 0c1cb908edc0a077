"""
A cable between two nodes in memory, which can be cut.

In: who dials whom.  Out: connections as `nettool.embed.pipe` has them, as long as the cable is whole.
Never: a byte through a cable that is cut.

A cut is one of two: *loud*, both ends are told that the connection is lost and whoever dials is refused; or *silent*,
nobody is told anything, whoever dials waits, and what was on its way arrives when the cable is whole again.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from nettool.embed.inside import InsideAddress
from nettool.embed.pipe import End
from nettool.settings import READ


class Cut(Enum):
    """What is wrong with a cable."""

    LOUD = "loud"
    SILENT = "silent"


class Cable:
    """Between two nodes, for all connections that they make.

    Invariant: `ends` are those that are not lost.
    """

    def __init__(self, clock: IReactorTime, chance: Random | None = None) -> None:
        """With `chance`, what is written arrives late, in pieces of any size, cut anywhere."""
        self._clock = clock
        self._chance = chance
        self.cut: Cut | None = None
        self.ends: dict[CableEnd, None] = {}

    def cut_now(self, how: Cut) -> None:
        """Cut it."""
        self.cut = how
        if how is Cut.LOUD:
            for end in tuple(self.ends):
                end.breaks()

    def mend(self) -> None:
        """It is whole again."""
        self.cut = None
        for end in tuple(self.ends):
            end.go_on()

    def piece(self) -> int:
        """Bytes that are read at most at a time."""
        if self._chance is None:
            return READ
        return self._chance.choice((1, 3, 7, 100, 1000, READ)) if self._chance.random() < 0.3 else READ

    def delay(self) -> float:
        """Seconds until the next piece arrives."""
        return 0.0 if self._chance is None else self._chance.choice((0.0, 0.001, 0.004))

    def connect(
        self, here: str, there: str, dialling: IProtocolFactory, answering: IProtocolFactory
    ) -> Deferred[IProtocol]:
        """A connection, or what becomes of a dial otherwise."""
        if self.cut is Cut.LOUD:
            return fail(ConnectionRefusedError(f"the cable to {there} is cut"))
        if self.cut is Cut.SILENT:
            return Deferred()
        near_address, far_address = InsideAddress(here), InsideAddress(there)
        client, server = dialling.buildProtocol(far_address), answering.buildProtocol(near_address)
        assert client is not None and server is not None
        near = CableEnd(self._clock, near_address, far_address)
        far = CableEnd(self._clock, far_address, near_address)
        for end, protocol, other in ((near, client, far), (far, server, near)):
            end.lay(self, here if end is near else there)
            end.join(protocol, other)
        for end in (far, near):
            end.begin()
        return succeed(client)


class CableEnd(End):
    """One end of a connection through a cable."""

    _cable: Cable
    _ends_here = False
    """This end is closed by its own protocol, which a cut cannot hinder."""

    def lay(self, cable: Cable, here: str) -> None:
        """It goes through this cable, from that node."""
        self.here = here
        self._cable = cable
        cable.ends[self] = None

    def go_on(self) -> None:
        """The cable is whole."""
        self._soon()

    def breaks(self) -> None:
        """The connection is lost."""
        self._ends_here = True
        self._be_lost(ConnectionLost())

    def vanish(self) -> None:
        """The process at this end is dead: the other end finds the connection lost, and nothing goes out any more."""
        self._unread.clear()
        self._half_closing = True
        self._other._be_lost(ConnectionLost())

    def abortConnection(self) -> None:
        """See `End`."""
        self._ends_here = True
        super().abortConnection()

    def loseConnection(self) -> None:
        """See `End`."""
        self._ends_here = True
        super().loseConnection()

    def _soon(self) -> None:
        if not self._turn_is_due and not self.lost:
            self._turn_is_due = True
            self._clock.callLater(self._cable.delay(), self._turn)

    def _turn(self) -> None:
        if self._cable.cut is Cut.SILENT and not self._ends_here:
            self._turn_is_due = False
            return
        super()._turn()

    def _read(self, most: int) -> None:
        if self._cable.cut is None:
            super()._read(min(most, self._cable.piece()))

    def _lose(self, reason: Exception) -> None:
        self._cable.ends.pop(self, None)
        super()._lose(reason)


@implementer(IStreamClientEndpoint)
class CableEndpoint:
    """How one node dials another by a cable."""

    def __init__(self, cable: Cable, here: str, there: str, answering: Callable[[], IProtocolFactory | None]) -> None:
        """`answering` is what takes connections there; nothing while that node does not run."""
        self._cable = cable
        self._here = here
        self._there = there
        self._answering = answering

    def connect(self, factory: Any) -> Deferred[IProtocol]:
        """See `IStreamClientEndpoint`."""
        answering = self._answering()
        if answering is None and self._cable.cut is None:
            return fail(ConnectionRefusedError(f"the node {self._there} does not run"))
        if answering is None:
            answering = factory  # a cut cable asks nobody
        return self._cable.connect(self._here, self._there, factory, answering)
