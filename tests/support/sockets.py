"""
Twisted's own TCP transport, on a socket in memory.

What is a plain socket's own is decided by the transport's type, so only `tcp.Connection` itself will do where a socket
is written to at once, or closed by half.
"""

from __future__ import annotations

import socket
import struct
from errno import ECONNRESET, EPIPE, EWOULDBLOCK
from itertools import count
from math import inf
from typing import Any

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure


class PollingReactor(MemoryReactorClock):
    """
    A clock that is also what `poll` is to a real reactor.

    In `advance(0)`, whatever is ready to be read or written is called, until nothing is.  Only selectables that have a
    `SlowSocket` are looked at.
    """

    SPINNING = 100_000
    """Turns without time passing after which something is ready for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._is_due = False
        self._turns = (0.0, 0)

    def addReader(self, reader: Any) -> None:
        super().addReader(reader)
        self.look()

    def addWriter(self, writer: Any) -> None:
        super().addWriter(writer)
        self.look()

    def look(self) -> None:
        """Something may be ready."""
        if not self._is_due:
            self._is_due = True
            self.callLater(0, self._poll)

    def _poll(self) -> None:
        self._is_due = False
        now, turns = self._turns
        self._turns = (self.seconds(), turns + 1 if now == self.seconds() else 0)
        assert turns < self.SPINNING, "the reactor spins"
        for selectable in sorted({*self.readers, *self.writers}, key=lambda it: it.socket.number):
            # Reading comes first, as in Twisted's reactors, and may end the connection.
            if selectable in self.readers and selectable.socket.readable:
                self.look()
                self._after(selectable, selectable.doRead(), True)
            if selectable in self.writers and selectable.socket.room:
                self.look()
                self._after(selectable, selectable.doWrite(), False)

    def _after(self, selectable: Any, why: Any, was_read: bool) -> None:
        """What a reactor does with what a read or a write says."""
        if why is None:
            return
        self.removeReader(selectable)
        if was_read and isinstance(why, ConnectionDone):
            selectable.readConnectionLost(Failure(CONNECTION_DONE))
        else:
            self.removeWriter(selectable)
            selectable.connectionLost(Failure(why))


class SlowSocket:
    """
    The node's end of a connection; its other end is the test's.

    The kernel takes what is sent as far as there is `room`, which is infinite to begin with: into `received`.
    """

    family = socket.AF_INET
    _numbers = count()

    def __init__(self, reactor: PollingReactor) -> None:
        self.reactor = reactor
        self.number = next(self._numbers)
        self.room: float = inf
        self.received = bytearray()
        self.end_sent = False
        self.closed = False
        self.was_reset = False
        """It was closed so that bytes on their way are thrown away."""
        self.options: dict[tuple[int, int], Any] = {}
        self._input = bytearray()
        self._end_of_input = False
        self._gone = False

    # What the test does

    def send_input(self, data: bytes) -> None:
        self._input += data
        self.reactor.look()

    def end_input(self) -> None:
        self._end_of_input = True
        self.reactor.look()

    def reset(self) -> None:
        self._gone = True
        self.reactor.look()

    def take(self, size: float = inf) -> None:
        self.room += size
        self.reactor.look()

    @property
    def unread(self) -> int:
        return len(self._input)

    @property
    def readable(self) -> bool:
        return bool(self._input or self._end_of_input or self._gone)

    # What Twisted does

    def recv(self, size: int) -> bytes:
        if self._gone:
            raise ConnectionResetError(ECONNRESET, "reset by the peer")
        if not self.readable:
            raise BlockingIOError(EWOULDBLOCK, "nothing to read")
        data = bytes(self._input[:size])
        del self._input[:size]
        return data

    def send(self, data: Any) -> int:
        if self._gone:
            raise BrokenPipeError(EPIPE, "reset by the peer")
        assert not self.end_sent, "written to after its end"
        size = int(min(self.room, len(data)))
        if not size:
            raise BlockingIOError(EWOULDBLOCK, "no room")
        self.received += data[:size]
        self.room -= size
        return size

    def shutdown(self, how: int) -> None:
        assert how in (socket.SHUT_WR, socket.SHUT_RDWR)
        self.end_sent = True

    def close(self) -> None:
        self.closed = self.end_sent = True

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        self.options[level, name] = value
        if (level, name) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self.was_reset = struct.unpack("ii", value) == (1, 0)

    def setblocking(self, blocking: bool) -> None:
        assert not blocking

    def fileno(self) -> int:
        return -1 - self.number

    def getpeername(self) -> tuple[str, int]:
        return ("198.51.100.1", 40000 + self.number)

    def getsockname(self) -> tuple[str, int]:
        return ("198.51.100.2", 6388)


def tcp_transport(protocol: Any, reactor: PollingReactor) -> tuple[tcp.Server, SlowSocket]:
    """A transport as a listening port makes it, which the protocol still has to be told of."""
    sock = SlowSocket(reactor)
    transport: Any = tcp.Server(sock, protocol, sock.getpeername(), None, sock.number, reactor)
    transport.repstr = f"<connection {sock.number} in memory>"
    return transport, sock
