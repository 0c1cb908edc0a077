"""
Two protocols that are connected: in memory on a clock, in memory on the reactor, or over TCP on the loopback.

What a test does to either is the same for all three, so that what is promised of a connection in memory is held against
a real one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from nettool.embed.inside import InsideAddress
from nettool.embed.pipe import End


class Teller(Protocol):
    """Puts down what it is told, and does at each event what the test wants."""

    def __init__(self) -> None:
        self.told: list[str] = []
        """`made`, `read ended`, `write ended`, `lost: <reason>`; bytes are in `received`."""
        self.received = bytearray()
        self.reads = 0
        self.when_made: Callable[[], object] = lambda: None
        self.when_data: Callable[[], object] = lambda: None
        self.when_read_ended: Callable[[], object] = lambda: None
        self.when_write_ended: Callable[[], object] = lambda: None
        self.when_lost: Callable[[], object] = lambda: None

    @property
    def end(self) -> Any:
        return self.transport

    @property
    def is_lost(self) -> bool:
        return any(word.startswith("lost") for word in self.told)

    def connectionMade(self) -> None:
        self.told.append("made")
        self.when_made()

    def dataReceived(self, data: bytes) -> None:
        assert data
        assert not self.is_lost, "told something after its end"
        self.received += data
        self.reads += 1
        self.when_data()

    def connectionLost(self, reason: Failure | None = None) -> None:  # type: ignore[override]
        assert reason is not None
        self.told.append(f"lost: {reason.type.__name__}")
        self.when_lost()


@implementer(IHalfCloseableProtocol)
class HalfTeller(Teller):
    """One that hears of the end of each direction."""

    def readConnectionLost(self) -> None:
        assert not self.is_lost
        self.told.append("read ended")
        self.when_read_ended()

    def writeConnectionLost(self) -> None:
        assert not self.is_lost
        self.told.append("write ended")
        self.when_write_ended()


class Pair:
    """Two connected protocols: `a`, who came, and `b`, who was there."""

    def __init__(self, a: Teller, b: Teller) -> None:
        self.a = a
        self.b = b

    @property
    def both(self) -> tuple[Teller, Teller]:
        return self.a, self.b

    async def begin(self) -> None:
        """Connect them."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Let happen what needs no time; on a network, what needs next to none."""
        raise NotImplementedError

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for this; a test that waits in vain does not end, and so fails."""
        raise NotImplementedError

    async def until_lost(self) -> None:
        """Wait until both have heard of the end, and whatever might still follow."""
        await self.until(lambda: self.a.is_lost and self.b.is_lost)
        await self.settle()

    async def end(self) -> None:
        """Leave nothing behind."""
        for teller in self.both:
            if teller.transport is not None and not teller.is_lost:
                teller.end.abortConnection()
        await self.until(lambda: all(teller.is_lost or teller.transport is None for teller in self.both))


class ClockPair(Pair):
    """In memory, on a clock."""

    def __init__(self, a: Teller, b: Teller) -> None:
        super().__init__(a, b)
        self.clock = Clock()

    async def begin(self) -> None:
        ends = connected(self.clock, self.a, self.b)
        for end in ends:
            assert end.begin() is None
        await self.settle()

    async def settle(self) -> None:
        self.clock.advance(0)

    async def until(self, condition: Callable[[], object]) -> None:
        await self.settle()
        assert condition(), (self.a.told, self.b.told)
        assert not self.clock.getDelayedCalls()


class InsidePair(Pair):
    """In memory, on the reactor."""

    async def begin(self) -> None:
        for end in connected(_reactor(), self.a, self.b):
            assert end.begin() is None

    async def settle(self) -> None:
        for _ in range(20):
            await deferLater(_reactor(), 0)

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await deferLater(_reactor(), 0)


class TcpPair(InsidePair):
    """Over TCP."""

    async def begin(self) -> None:
        server, accepted = _Server(self.b), Deferred[None]()
        server.accepted = accepted
        port = await TCP4ServerEndpoint(_reactor(), 0, interface="127.0.0.1").listen(server)
        try:
            await connectProtocol(TCP4ClientEndpoint(_reactor(), "127.0.0.1", port.getHost().port), self.a)
            await accepted
        finally:
            await port.stopListening()


class _Server(Factory):
    noisy = False
    accepted: Deferred[None]

    def __init__(self, protocol: Teller) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:  # type: ignore[override]
        self.accepted.callback(None)
        return self._protocol


def connected(clock: Any, a: Teller, b: Teller, when_lost: Callable[[], object] | None = None) -> tuple[End, End]:
    """Two ends in memory, which are still to begin."""
    here, there = InsideAddress("node1", 1), InsideAddress("node1")
    near, far = End(clock, here, there, when_lost), End(clock, there, here)
    near.join(a, far)
    far.join(b, near)
    return near, far


def _reactor() -> Any:
    from twisted.internet import reactor

    return reactor


# --- Producers


@implementer(IPushProducer)
class Push:
    """Writes piece after piece, in one go, until it is paused; unregisters at the end."""

    def __init__(self, teller: Teller, pieces: int, size: int = 65536) -> None:
        self.told: list[str] = []
        self.teller = teller
        self.left = pieces
        self.size = size
        self.written = 0
        self.paused = False
        self.when_paused: Callable[[], object] = lambda: None

    def start(self) -> None:
        self.teller.end.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        self.told.append("pause")
        self.paused = True
        self.when_paused()

    def resumeProducing(self) -> None:
        self.told.append("resume")
        self.paused = False
        while self.left and not self.paused:
            self.left -= 1
            self.written += self.size
            self.teller.end.write(numbered(self.left, self.size))
        if not self.left and "done" not in self.told:
            self.told.append("done")
            self.teller.end.unregisterProducer()

    def stopProducing(self) -> None:
        self.told.append("stop")
        self.left = 0
        self.paused = True


@implementer(IPullProducer)
class Pull:
    """Writes one piece whenever it is asked; unregisters at the end."""

    def __init__(self, teller: Teller, pieces: int, size: int = 65536) -> None:
        self.told: list[str] = []
        self.teller = teller
        self.left = pieces
        self.size = size

    def start(self) -> None:
        self.teller.end.registerProducer(self, False)

    def resumeProducing(self) -> None:
        self.left -= 1
        self.teller.end.write(numbered(self.left, self.size))
        if not self.left:
            self.teller.end.unregisterProducer()

    def stopProducing(self) -> None:
        self.told.append("stop")


def numbered(number: int, size: int) -> bytes:
    """Bytes unlike those of any other number."""
    return (b"%d," % number * (size // 2))[:size]


def all_of(pieces: int, size: int = 65536) -> bytes:
    """What a producer writes in all."""
    return b"".join(numbered(number, size) for number in reversed(range(pieces)))
