"""The other end of a connection in memory: what a peer does, and what it hears."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IProtocolFactory

from tests.support.sockets import PollingReactor, tcp_transport
from tests.support.transport import SlowTransport


class MemoryPeer:
    """
    A peer that has connected.

    It is the same for a plain socket and for a transport with layers in between (`layered`), where there is no
    half-close.  Whatever it does has happened, and been answered, when the call returns: the clock's turn is run.
    """

    def __init__(self, factory: IProtocolFactory, reactor: PollingReactor, *, layered: bool = False) -> None:
        self.reactor = reactor
        protocol = factory.buildProtocol(None)
        assert protocol is not None
        self.protocol: Any = protocol
        self.end: Any
        """The peer's end: `SlowTransport` or `SlowSocket`."""
        self.transport: Any
        if layered:
            self.transport = self.end = SlowTransport(protocol, reactor)
            self._send = self.end.send
        else:
            self.transport, self.end = tcp_transport(protocol, reactor)
            self._send = self.end.send_input
        self._unread = bytearray()
        protocol.makeConnection(self.transport)
        self.settle()

    def settle(self) -> None:
        """Let happen what needs no time."""
        self.reactor.advance(0)

    def _then(self, call: Callable[..., None], *arguments: Any) -> None:
        call(*arguments)
        self.settle()

    # What it does

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        self._then(self._send, data)

    def say(self, *lines: bytes) -> None:
        """Send whole lines, in one read."""
        self.send(b"".join(line + b"\n" for line in lines))

    def ask(self, *lines: bytes) -> list[bytes]:
        """Send lines, and take what is heard then."""
        self.say(*lines)
        return self.hear()

    def login(self, name: bytes, node: bytes = b"node1") -> Self:
        """Log in, which has to succeed."""
        heard = self.ask(name)
        assert heard == [b"ok login " + name + b"@" + node]
        return self

    def stop_reading(self) -> None:
        """Take not a byte more."""
        self.end.room = 0

    def take(self, size: float = float("inf")) -> None:
        """Take so many bytes more."""
        self._then(self.end.take, size)

    def half_close(self) -> None:
        """Say no more."""
        self._then(self.end.end_input)

    def vanish(self) -> None:
        """Be gone, without a word."""
        self._then(self.end.reset)

    # What it hears

    def hear(self) -> list[bytes]:
        """The whole lines that were heard since the last time."""
        self.settle()
        self._unread += self.end.received
        self.end.received.clear()
        *lines, rest = bytes(self._unread).split(b"\n")
        self._unread[:] = rest
        return lines

    @property
    def at_end(self) -> bool:
        """Whether it has seen the end of what it is sent."""
        self.settle()
        return bool(self.end.end_sent)

    @property
    def was_cut_off(self) -> bool:
        """Whether the node has aborted the connection."""
        self.settle()
        if isinstance(self.end, SlowTransport):
            return self.end.lost is ConnectionAborted
        return bool(self.end.was_reset)

    @property
    def is_connected(self) -> bool:
        """Whether the node still keeps the connection, half-closed or not."""
        self.settle()
        return not (self.end.lost if isinstance(self.end, SlowTransport) else self.end.closed)

    @property
    def is_read(self) -> bool:
        """Whether the node reads from it."""
        self.settle()
        if isinstance(self.end, SlowTransport):
            return self.end.reading
        return self.transport in self.reactor.readers
