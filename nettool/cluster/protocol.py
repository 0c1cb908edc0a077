"""
The connection around a link.

In: Twisted's callbacks.  Out: the link's calls, with the time; its words and lines, by the same pump as a peer's.
Never: a decision; a fault of one connection that reaches another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from nettool.addresses import address_text
from nettool.cluster.link import Link
from nettool.cluster.linked import Linked
from nettool.errors import LinkEnd
from nettool.outbox.pump import Pump
from nettool.outbox.turn import Turn
from nettool.settings import CHUNK, LINGER

LINK_READ = CHUNK
"""Bytes that are read at once: what they bring for one receiver is one write.  To random names, over TLS, 1.4 times the
lines a second that Twisted's 64 KiB let pass."""

SMALL = 4096
"""Bytes of a read after which, if little else happens in this turn, what it brought is written at once."""


class Alarm:
    """Calls at the earliest of the times that were asked for; what is called says when next."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, turn: Turn) -> None:
        self._clock = clock
        self._turn = turn
        self._timer: IDelayedCall | None = None
        self.call: Callable[[float], float] = lambda now: float("inf")

    def by(self, when: float) -> None:
        """See `IAlarm`."""
        if when == float("inf"):
            return
        if self._timer is not None and self._timer.active():
            if self._timer.getTime() <= when:
                return
            self._timer.cancel()
        self._timer = self._clock.callLater(max(0.0, when - self._clock.seconds()), self._ring)

    def stop(self) -> None:
        """Not any more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _ring(self) -> None:
        self._timer = None
        try:
            when = self.call(self._clock.seconds())
        except Exception:
            self._log.failure("the links' upkeep failed", level=LogLevel.critical, event="links-failed")
            when = self._clock.seconds() + 1.0
        self._turn.schedule()
        self.by(when)


class LinkProtocol(Protocol):
    """One connection to another node.

    Invariant: `link.lost` is called exactly once, when the connection is gone.
    """

    _log = Logger()
    factory: LinkFactory

    def __init__(self, factory: LinkFactory) -> None:
        self.factory = factory
        self.link: Link | None = None
        self._pump: Pump | None = None
        self._timer: IDelayedCall | None = None
        self._lost = False

    # What Twisted tells

    def connectionMade(self) -> None:
        """A connection is there; over TLS the handshake follows, within the time for the hello."""
        factory = self.factory
        factory.connections[self] = None
        self.link = link = factory.linked.connected(self, factory.meant)
        self._pump = Pump(link.outlet, factory.linked.live, factory.clock, factory.turn, self._too_slow, self._broke)
        self._pump.start(self._transport)
        if self._pump.lowest is not None:
            self._pump.lowest.bufferSize = LINK_READ
        factory.made(link)
        factory.turn.schedule()

    def dataReceived(self, data: bytes) -> None:
        """Bytes came in."""
        factory, link = self.factory, self.link
        if link is None or link.over:
            return
        now = factory.clock.seconds()
        try:
            link.received(data, now)
        except Exception:
            self._broke(Failure())
            return
        if link.neighbour is not None and link.neighbour.arrivals.owes_much:
            link.outlet.wake()
        if len(data) <= SMALL and factory.turn.is_quiet(now):
            factory.turn.run()
        else:
            factory.turn.schedule()

    def connectionLost(self, reason: Failure = Failure(ConnectionAborted())) -> None:  # noqa: B008
        """The connection is gone."""
        self._lost = True
        self.factory.connections.pop(self, None)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._pump is not None:
            self._pump.stop()
        if self.link is not None:
            try:
                self.link.lost(LinkEnd.LOST, self.factory.explain(reason), self.factory.clock.seconds())
            except Exception:
                self._log.failure(
                    "the link with {node} failed", level=LogLevel.error, event="link-failed", node=self.link.who
                )
        self.factory.turn.schedule()

    # ILinkShell

    def close(self) -> None:
        """See `ILinkShell`."""
        if self._lost or self._pump is None:
            return
        self._timer = self.factory.clock.callLater(LINGER, self.abort)
        self._pump.when_empty(self._flushed)
        self.factory.turn.schedule()

    def _flushed(self) -> None:
        if not self._lost and self._pump is not None:
            self._pump.stop()
            self._transport.loseConnection()

    def abort(self) -> None:
        """See `ILinkShell`."""
        if not self._lost:
            if self._pump is not None:
                self._pump.stop()
            self._transport.abortConnection()

    @property
    def proof(self) -> Any:
        """See `ILinkShell`: the transport, of which TLS tells the other end's certificate."""
        return self._transport

    @property
    def where(self) -> str:
        """See `ILinkShell`."""
        return address_text(self._transport.getPeer())

    # What follows

    @property
    def _transport(self) -> Any:
        return self.transport

    def _too_slow(self, limit: float) -> None:
        if self.link is not None:
            now = self.factory.clock.seconds()
            self.link.end(LinkEnd.TOO_SLOW, f"its transport took nothing for {limit:g} s", now, tell=False)
        self.abort()

    def _broke(self, failure: Failure) -> None:
        """A fault of ours: it is logged, and ends this link; the cluster goes on."""
        linked = self.factory.linked
        if self.link is not None:
            self._log.failure(
                "the link with {node} failed",
                failure=failure,
                level=LogLevel.error,
                event="link-failed",
                node=self.link.who,
            )
            linked.broker.arrivals.start_afresh()
            self.link.end(LinkEnd.BROKEN, "a fault of the node's, see its log", self.factory.clock.seconds())
        self.abort()
        self.factory.turn.schedule()


class LinkFactory(Factory):
    """Connections to other nodes: those that came in, or those to one that is meant."""

    noisy = False

    def __init__(
        self,
        linked: Linked,
        clock: IReactorTime,
        turn: Turn,
        meant: bytes | None = None,
        made: Callable[[Link], object] = lambda link: None,
        explain: Callable[[Failure], str] = Failure.getErrorMessage,
    ) -> None:
        """`made` is told of each link at its beginning; `explain` says why a connection was lost."""
        self.linked = linked
        self.clock = clock
        self.turn = turn
        self.meant = meant
        self.made = made
        self.explain = explain
        self.connections: dict[LinkProtocol, None] = {}

    def buildProtocol(self, addr: IAddress | None) -> LinkProtocol:  # type: ignore[override]
        """A protocol for a connection that is about to be made."""
        return LinkProtocol(self)
