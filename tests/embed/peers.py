"""Peers of an embedded node: what they say, what they hear, and how they read."""

from __future__ import annotations

from typing import Any, Self

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from nettool.embed import Node


class Peer(Protocol):
    """Somebody's protocol: hears lines, and says them."""

    def __init__(self) -> None:
        self.unread = bytearray()
        self.ends: list[str] = []
        self.awaited: tuple[int, Deferred[list[bytes]]] | None = None

    @property
    def end(self) -> Any:
        return self.transport

    def say(self, *lines: bytes) -> None:
        self.end.write(b"".join(line + b"\n" for line in lines))

    def dataReceived(self, data: bytes) -> None:
        self.unread += data
        self._look()

    def connectionLost(self, reason: Failure | None = None) -> None:  # type: ignore[override]
        assert reason is not None
        self.ends.append(reason.type.__name__)
        self._look()

    def hear(self) -> list[bytes]:
        """The whole lines since the last time."""
        *lines, rest = bytes(self.unread).split(b"\n")
        self.unread[:] = rest
        return lines

    def lines(self, number: int) -> Deferred[list[bytes]]:
        """The next so many lines, as soon as they are there, or all if the connection ends before."""
        assert self.awaited is None
        told: Deferred[list[bytes]] = Deferred()
        self.awaited = (number, told)
        self._look()
        return told

    def _look(self) -> None:
        if self.awaited is None:
            return
        number, told = self.awaited
        if self.ends or self.unread.count(b"\n") >= number:
            self.awaited = None
            lines = self.hear()
            self.unread[:0] = b"".join(line + b"\n" for line in lines[number:])
            told.callback(lines[:number])


class ClockPeer(Peer):
    """A peer of a node on a clock, where whatever it does has happened when the call returns."""

    def __init__(self, node: Node, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        assert node.connect(self) is self
        clock.advance(0)

    def say(self, *lines: bytes) -> None:
        super().say(*lines)
        self.clock.advance(0)

    def hear(self) -> list[bytes]:
        self.clock.advance(0)
        return super().hear()

    def ask(self, *lines: bytes) -> list[bytes]:
        """Say lines, and take what is heard then."""
        self.say(*lines)
        return self.hear()

    def login(self, name: bytes, node: bytes = b"node1") -> Self:
        """Log in, which has to succeed."""
        assert self.ask(name) == [b"ok login %b@%b" % (name, node)]
        return self

    def stop_reading(self) -> None:
        self.end.pauseProducing()

    def read_on(self) -> None:
        self.end.resumeProducing()
        self.clock.advance(0)

    def take_once(self) -> None:
        """Take one read, and pause again."""
        reads = self.unread[:]
        self.end.resumeProducing()
        while self.unread == reads:
            call = self.clock.calls[0]
            self.clock.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)
        self.end.pauseProducing()
        self.clock.advance(0)


def peers(node: Node, clock: Clock, *names: bytes) -> list[ClockPeer]:
    """Peers that are logged in."""
    return [ClockPeer(node, clock).login(name, node.live.node.name) for name in names]
