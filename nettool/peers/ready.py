"""
Plain sockets that can be read, all of them in one call of the reactor's.

In: transports of plain sockets.  Out: what came in on each, to its connection; then, once, the end of the turn.
Never: an end of input; a socket that has one goes back to the reactor, which knows what follows.

Twisted 26.10 wraps each event of each socket in a log context and asks its descriptor for its name and number: of the
12 microseconds that a line takes when it comes alone, 4.  An epoll is itself a descriptor that can be read while any of
its own can.  So the reactor watches one, and what is ready behind it is read in a loop of our own.

A loop that sleeps for the 30 microseconds in which a peer makes its answer has cold caches when it wakes: a round trip
between two peers takes 90 microseconds so, and 55 if the node looks again at once.  It does so for `LOOK`, and only
where that has paid: what looking in vain costs is bounded by `COST`, and peers that write now and then cost nothing.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

MOST = 256
"""Sockets that are read in a round, before what they brought is written."""

SMALL = 4096
"""Bytes of a read that takes no more than some microseconds to work off."""

FEW = 4
"""Sockets in a round up to which it is looked again: where there are more, there is enough to do elsewhere."""

LOOK = 0.000_05
"""Seconds for which it is looked again after a round; 20 to 100 microseconds made no difference."""

SOON = 0.000_1
"""Seconds after a round within which the next one would have been found by looking: waking up takes its part."""

COST = 4
"""Rounds that must have come soon for each time that was looked in vain: so it takes a fifth of a core at most."""

LONGEST = 0.000_5
"""Seconds after which the rest of the reactor has its turn, however much paid."""


def can_read(transport: Any, reactor: Any) -> bool:
    """Whether a plain socket's transport can be read here: there is an epoll, and the socket is one of the kernel's."""
    return hasattr(select, "epoll") and IReactorFDSet.providedBy(reactor) and transport.getHandle().fileno() >= 0


@implementer(IReadDescriptor)
class ReadySockets:
    """The plain sockets of one node's peers.

    Invariant: a transport is here exactly while it wants to read and has not come to its end; the reactor watches the
    epoll exactly while a transport is here.
    """

    _log = Logger()

    def __init__(self, reactor: Any, end_of_turn: Callable[[float], bool]) -> None:
        """`end_of_turn` is given the time, writes what was read, and tells whether nothing waits for the reactor."""
        self._reactor = reactor
        self._end_of_turn = end_of_turn
        self._epoll: select.epoll | None = None
        self._sockets: dict[int, tuple[Any, Callable[[int], bytes], Callable[[bytes, float], None]]] = {}
        """By descriptor: the transport, its socket's `recv`, and where that goes."""
        self._numbers: dict[Any, int] = {}
        self._stand_in = _StandIn(reactor, self)
        self._pays = 0
        """How many rounds came soon, `COST` taken off for each look in vain; looking pays from `COST` on."""
        self._looks = (os.cpu_count() or 1) > 1  # on one core nobody can write while we look
        self._ended_at = 0.0

    def take_over(self, transport: Any) -> None:
        """From now on read this transport here, whenever it would be read; its protocol has a `read(data, now)`."""
        self._reactor.removeReader(transport)
        transport.reactor = self._stand_in
        self.add(transport)

    def add(self, transport: Any) -> None:
        """It wants to read."""
        if transport in self._numbers:
            return
        if self._epoll is None:
            self._epoll = select.epoll()
            self._reactor.addReader(self)
        handle = transport.getHandle()
        number = handle.fileno()
        self._epoll.register(number, select.EPOLLIN)
        self._numbers[transport] = number
        self._sockets[number] = (transport, handle.recv, transport.protocol.read)

    def remove(self, transport: Any) -> None:
        """It does not any more, for now or for good."""
        number = self._numbers.pop(transport, None)
        if number is None or self._epoll is None:
            return
        del self._sockets[number]
        self._epoll.unregister(number)
        if not self._numbers:
            self._reactor.removeReader(self)
            self._epoll.close()
            self._epoll = None

    # What the reactor calls

    def fileno(self) -> int:
        """The epoll's own number."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def logPrefix(self) -> str:
        """What the reactor's own log lines of a read begin with."""
        return "peers"

    def doRead(self) -> None:
        """Read each socket that is ready, once; if they are few, look again whether there are more."""
        seconds = self._reactor.seconds
        began = seconds()
        if began - self._ended_at < SOON:
            self._pays = min(self._pays + 1, 2 * COST)
        events = self._poll()
        while events:
            read_at = self._read(events)
            # What a few small reads bring is written within microseconds; how long more of it waited is counted.
            idle = self._end_of_turn(read_at if len(events) <= FEW else seconds())
            self._ended_at = now = seconds()
            if not idle or len(events) > FEW or self._pays < COST or not self._looks or now - began > LONGEST:
                return
            events = self._poll()
            while not events and seconds() - now < LOOK:
                events = self._poll()
            self._pays = min(self._pays + 1, 2 * COST) if events else self._pays - COST

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends, and with it every connection."""
        for transport in tuple(self._numbers):
            transport.connectionLost(reason)

    def _poll(self) -> list[tuple[int, int]]:
        return [] if self._epoll is None else self._epoll.poll(0, MOST)

    def _read(self, events: list[tuple[int, int]]) -> float:
        """Read these; when the clock was looked at last."""
        sockets, readable = self._sockets, select.EPOLLIN
        now: float = self._reactor.seconds()
        for number, event in events:
            found = sockets.get(number)
            if found is None:
                continue  # one that was read before it in this round has ended or paused it
            transport, receive, read = found
            try:
                data = receive(transport.bufferSize) if event == readable else b""
                if data:
                    read(data, now)
                    if len(data) > SMALL:  # that took a time worth knowing
                        now = self._reactor.seconds()
                else:
                    self._give_back(transport)
            except BlockingIOError:
                pass
            except OSError:
                transport.connectionLost(Failure(CONNECTION_LOST))
            except Exception:  # past us it would reach the reactor, which would end all of them
                peer = transport.getPeer()
                self._log.failure("reading from {peer} failed", level=LogLevel.error, event="read-failed", peer=peer)
                transport.abortConnection()
        return now

    def _give_back(self, transport: Any) -> None:
        """There is more to it than bytes: the reactor finds out, as it would have without us."""
        self.remove(transport)
        transport.reactor = self._reactor
        self._reactor.addReader(transport)


class _StandIn:
    """What those transports take for their reactor: it is, but for reading."""

    def __init__(self, reactor: Any, sockets: ReadySockets) -> None:
        self._reactor = reactor
        self.addReader = sockets.add
        self.removeReader = sockets.remove

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)
