"""
All peers' connections.

In: connections from any number of listeners.  Out: a protocol for each; a limit on their number; the drain at the end.
Never: a connection that it does not know of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from heapq import merge
from math import inf, isinf
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from nettool.broker.broker import Broker
from nettool.errors import CloseReason
from nettool.outbox.gates import Gate
from nettool.outbox.turn import Turn
from nettool.peers.protocol import PeerProtocol
from nettool.peers.ready import ReadySockets
from nettool.peers.session import Phase
from nettool.settings import SHUTDOWN_RETURNS, Live, Settings

REMEMBERED = 1000
"""Connections that are remembered when they have closed; as many again that never had a name."""


@dataclass(frozen=True, slots=True)
class ClosedConnection:
    """A connection that was, and why it is no more."""

    name: bytes
    """Empty if it never had one."""
    address: IAddress | None
    at: float
    """When it ended, in seconds of the node's clock."""
    reason: CloseReason
    seconds: float
    """For how long it was connected."""
    given_back: int
    """Texts to its name that were still queued: they went back to their senders, where those were still there."""
    lost: int
    """Other texts that were still queued: topic lines, and lines given back to it."""


class PeerFactory(Factory):
    """The peers of one node, whatever endpoint they came by.

    Invariant: `connections` are those that were made and are not lost; each is counted in `closed` once it is.
    """

    noisy = False
    _log = Logger()

    def __init__(self, broker: Broker, live: Live, clock: IReactorTime) -> None:
        self.broker = broker
        self.live = live
        self.clock = clock
        self.turn = Turn(clock)
        self.ready = ReadySockets(clock, self.turn.end_round)
        self.connections: dict[PeerProtocol, None] = {}
        self.closed: dict[CloseReason, int] = {}
        self._named_closed: deque[ClosedConnection] = deque(maxlen=REMEMBERED)
        self._nameless_closed: deque[ClosedConnection] = deque(maxlen=REMEMBERED)
        """Apart: a storm of those that never log in must not make the node forget why bob went."""
        self.received_lines = self.received_bytes = 0
        """By connections that are lost; those that are not know their own."""
        self.faults = 0
        self._admitted = 0
        self.stopping = Gate(broker.waits.drain)
        """Shut for all that have logged in, from the beginning of a drain on."""
        self.draining = False
        self.flush_elsewhere: Callable[[float], Coroutine[Any, Any, None]] | None = None
        """Waits, for so many seconds, until what was written to other nodes is there."""
        self._unflushed: set[PeerProtocol] = set()
        self._awaited: tuple[Callable[[], bool], Deferred[None]] | None = None

    def buildProtocol(self, addr: IAddress | None) -> PeerProtocol:  # type: ignore[override]
        """A protocol for a connection that is about to be made."""
        return PeerProtocol(self)

    # What connections tell

    def connected(self, connection: PeerProtocol) -> int:
        """One more; the limit if there are too many now, else 0."""
        self.connections[connection] = None
        connection.connected_at = self.clock.seconds()
        most = self.live.peers.max_peers
        if most and self._admitted >= most:
            return most
        self._admitted += 1
        connection.admitted = True
        return 0

    def disconnected(self, connection: PeerProtocol) -> None:
        """One less."""
        self.connections.pop(connection, None)
        self._admitted -= connection.admitted
        reason = connection.session.closing or CloseReason.DISCONNECTED
        self.closed[reason] = self.closed.get(reason, 0) + 1
        self._remember(connection, reason)
        self.received_lines += connection.session.received_lines
        self.received_bytes += connection.session.received_bytes
        self._one_flushed(connection)

    def _remember(self, connection: PeerProtocol, reason: CloseReason) -> None:
        session, now = connection.session, self.clock.seconds()
        given_back, lost = session.outbox.left
        closed = self._named_closed if session.name else self._nameless_closed
        closed.append(
            ClosedConnection(
                session.name, connection.peer, now, reason, now - connection.connected_at, given_back, lost
            )
        )

    def last_closed(self) -> list[ClosedConnection]:
        """The last `REMEMBERED` connections that closed, and as many that closed without a name; the newest first."""
        both = merge(self._named_closed, self._nameless_closed, key=lambda closed: closed.at)
        return list(both)[::-1]

    def broke(self) -> None:
        """A session had a fault of ours: it is counted, and leaves nothing behind."""
        self.faults += 1
        self.broker.routing.start_afresh()

    def settings_changed(self, before: Settings) -> None:
        """Other settings are in force: timers that present connections have set by those before are set anew."""
        now, peers, delivery = self.live, before.peers, before.delivery
        if (peers.login_timeout, delivery) == (now.peers.login_timeout, now.delivery):
            return
        for connection in tuple(self.connections):
            connection.settings_changed(before)

    # The end

    async def drain(self) -> None:
        """Stop reading, flush, give back, say `bye` and close: each with its limit of time."""
        self.draining = True
        now = self.clock.seconds()
        for connection in tuple(self.connections):
            if connection.session.phase in (Phase.LOGIN, Phase.WAITING):
                connection.session.close(CloseReason.SHUTDOWN, SHUTDOWN_RETURNS, now)
            else:
                self.stopping.shut(connection.session, now)
        self.turn.schedule()
        until = now + self.live.node.drain_timeout
        await self._flush(self.live.node.drain_timeout)
        if self.flush_elsewhere is not None:
            await self.flush_elsewhere(until - self.clock.seconds())
        self.broker.shut_down(self.clock.seconds())
        await self._flush(SHUTDOWN_RETURNS)
        for connection in tuple(self.connections):
            if connection.session.outbox.closed is not None and connection.session.phase is not Phase.GONE:
                self._cut_off(connection)
            else:
                connection.session.close(CloseReason.SHUTDOWN, SHUTDOWN_RETURNS, self.clock.seconds())
        self.turn.schedule()
        await self._until(lambda: not self.connections, inf)

    def abort(self) -> None:
        """End every connection at once; what is queued is given back to nobody, and counted."""
        self.draining = True
        self.broker.shut_down(self.clock.seconds())
        for connection in tuple(self.connections):
            self._cut_off(connection)

    def _cut_off(self, connection: PeerProtocol) -> None:
        connection.session.cut_off()
        connection.abort()

    async def _flush(self, seconds: float) -> None:
        """Wait until every outbox that is not closed is empty, or so many seconds."""
        end = self.clock.seconds() + seconds
        while True:
            waiting = [c for c in self.connections if c.session.outbox.closed is None]
            self._unflushed = set(waiting)
            for connection in waiting:
                connection.when_flushed(self._one_flushed)
            self.turn.run()
            await self._until(lambda: not self._unflushed, end - self.clock.seconds())
            # What comes back from one that ended meanwhile is on its way to those that were flushed before.
            self.turn.run()
            if self.clock.seconds() >= end or all(c.session.outbox.empty for c in waiting if c in self.connections):
                return

    def _one_flushed(self, connection: PeerProtocol) -> None:
        self._unflushed.discard(connection)
        self._look()

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until the condition holds, which is looked at whenever a connection ends or is flushed."""
        if condition():
            return
        fulfilled: Deferred[None] = Deferred()
        self._awaited = (condition, fulfilled)
        timer = None if isinf(seconds) else self.clock.callLater(max(seconds, 0.0), fulfilled.callback, None)
        await fulfilled
        self._awaited = None
        if timer is not None and timer.active():
            timer.cancel()

    def _look(self) -> None:
        if self._awaited is not None and self._awaited[0]():
            (_, fulfilled), self._awaited = self._awaited, None
            fulfilled.callback(None)
