"""
The producer that empties an outbox into a transport.

In: a transport's `pauseProducing` and `resumeProducing`, the end of a turn of the reactor.  Out: chunks written, the
outbox told when it is blocked and when time has passed.  Never: more than `CHUNK` bytes in the transport's own buffer.

The kernel reports a socket as writable when a third of its buffer is free, which a slow reader may take long to bring
about.  So before a connection is given up one more write is tried.  What else is known of transports is in `sink`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf, isinf
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from nettool.errors import ReturnReason
from nettool.interfaces import IPump, ISender
from nettool.outbox.backlog import Backlog
from nettool.outbox.passage import Transfer
from nettool.outbox.queue import Chunk
from nettool.outbox.sink import Sink
from nettool.outbox.turn import Turn
from nettool.settings import Live


class Pumped(Protocol):
    """What a pump empties: a peer's `Outbox`, or what goes out on a link."""

    pump: IPump | None
    blocked: bool
    closed: ReturnReason | None

    @property
    def owner(self) -> ISender:
        """Whose it is."""

    @property
    def ready(self) -> Sequence[object]:
        """What there is to take, if anything."""

    @property
    def part(self) -> object:
        """What was taken in part, if anything."""

    @property
    def backlog(self) -> Backlog | None:
        """What waits while the transport takes nothing."""

    @property
    def full_since(self) -> float:
        """See `Outbox`."""

    @property
    def full(self) -> bool:
        """See `Outbox`."""

    def take(self, now: float) -> Chunk | None:
        """See `Outbox`."""

    def begin_transfer(self, size: int, now: float) -> Transfer:
        """See `Outbox`."""

    def block(self) -> None:
        """See `Outbox`."""

    def unblock(self) -> None:
        """See `Outbox`."""

    def made_room(self, now: float) -> None:
        """See `Outbox`."""


@implementer(IPushProducer, IPump)
class Pump:
    """Moves one outbox's chunks to one transport.

    Invariant: the outbox is blocked exactly while the transport has asked for a pause, or there is no transport.
    """

    __slots__ = (
        "_broke",
        "_clock",
        "_closing_since",
        "_failed",
        "_gave_up",
        "_give_up",
        "_live",
        "_moved_at",
        "_sink",
        "_timer",
        "_transfer",
        "_turn",
        "_waiting",
        "half_closes",
        "is_plain",
        "lowest",
        "outbox",
    )

    def __init__(
        self,
        outbox: Pumped,
        live: Live,
        clock: IReactorTime,
        turn: Turn,
        give_up: Callable[[float], None],
        broke: Callable[[Failure], None],
    ) -> None:
        """`give_up` is called with the limit, in seconds, when the peer is too slow, and `broke` after a fault of the
        transport's or ours: each must end the connection."""
        self.outbox = outbox
        self._live = live
        self._clock = clock
        self._turn = turn
        self._give_up = give_up
        self._broke = broke
        self._gave_up = False
        self._failed = False
        self._waiting: list[Callable[[], None]] | None = None
        self._sink: Any = None  # a Sink, while there is a transport that is written to
        self.lowest: Any = None
        """The transport of the socket itself, below TLS if there is any; nothing in memory."""
        self.is_plain = False
        """Whether nothing lies between us and the socket."""
        self.half_closes = False
        """Whether the transport can close its writing side alone."""
        self._moved_at = 0.0
        self._closing_since = 0.0
        self._timer: IDelayedCall | None = None
        self._transfer: Transfer | None = None
        outbox.pump = self

    def start(self, transport: ITransport) -> None:
        """Register with the transport and write to it from now on."""
        sink = self._sink = Sink(transport)
        self.lowest, self.is_plain, self.half_closes = sink.lowest, sink.plain, sink.half_closes
        self._moved_at = self._clock.seconds()
        sink.register(self)
        self.outbox.unblock()
        self.flush(self._moved_at)

    # The transport's side

    def pauseProducing(self) -> None:
        """The transport's buffer has something in it; called within `write`."""
        self._moved_at = self._clock.seconds()
        if not self.outbox.blocked:
            self.outbox.block()

    def resumeProducing(self) -> None:
        """The transport's buffer is empty."""
        self._moved_at = now = self._clock.seconds()
        if self._transfer is not None:
            transfer, self._transfer = self._transfer, None
            transfer.taken(now)
        if self._sink is None or self._failed or self.outbox.closed is not None:
            return
        self.outbox.unblock()
        self.flush(now)
        self.outbox.made_room(now)

    def stopProducing(self) -> None:
        """The transport is gone; its protocol hears of it by `connectionLost`."""

    # The outbox's side

    @property
    def who(self) -> str:
        """See `IPump`."""
        return self.outbox.owner.name.decode("utf-8", "replace")

    def wake(self) -> None:
        """See `IPump`."""
        self._turn.add(self)

    def flush(self, now: float) -> None:
        """See `IPump`.  A fault here is this connection's, never that of whoever sent to it."""
        outbox, chunk = self.outbox, None
        try:
            while not outbox.blocked:
                chunk = outbox.take(now)
                if chunk is None:
                    break
                self._sink.write(chunk)
                if not outbox.ready and outbox.backlog is None and outbox.part is None:
                    break
            if chunk is not None and outbox.blocked:
                self._begin_transfer(len(chunk), now)
        except Exception:
            self._fail()
        if self._waiting is not None and not outbox.blocked:
            waiting, self._waiting = self._waiting, None
            for call in waiting:
                try:
                    call()
                except Exception:
                    self._fail()

    def _begin_transfer(self, size: int, now: float) -> None:
        """The transport has not taken the last chunk yet, and will say so when it has."""
        if self._transfer is None:  # else it has resumed us within our own write, and was handed more
            self._transfer = self.outbox.begin_transfer(size, now)

    @property
    def transfer(self) -> Transfer | None:
        """What the transport was handed and has not taken yet, as far as it tells."""
        return self._transfer

    def _fail(self) -> None:
        """End the connection in the next turn: what was half written must not be followed by anything."""
        self._failed = True
        self.outbox.block()
        self._turn.soon(partial(self._broke, Failure()))

    # Time

    def watch(self) -> None:
        """See `IPump`; also called when the connection begins to close."""
        if self.outbox.backlog is not None and self.outbox.backlog.too_slow and not self._gave_up:
            self._gave_up = True
            self._turn.soon(self._too_slow_for_topics)
        due = self._due()
        if self._timer is not None and self._timer.active():
            if self._timer.getTime() <= due:
                return
            self._timer.cancel()
        self._timer = None if isinf(due) else self._clock.callLater(max(0.0, due - self._clock.seconds()), self._tick)

    def settings_changed(self, stalls_sooner: bool) -> None:
        """Wait by the times that are in force now; a stall that may last less long than before begins anew."""
        if stalls_sooner:
            self._moved_at = self._clock.seconds()
        if self._timer is not None or self.outbox.full or self._waiting is not None:
            self.watch()

    def _due(self) -> float:
        backlog = self.outbox.backlog
        patience = inf if backlog is None else backlog.deadline()
        return min(patience, self._stalls_at())

    def stalls_at(self) -> float:
        """See `IPump`."""
        return self._stalls_at()

    def _stalls_at(self) -> float:
        """When it has taken nothing for too long, counted from when that began to matter."""
        since = min(self.outbox.full_since, inf if self._waiting is None else self._closing_since)
        if self.outbox.blocked and not isinf(since):
            return max(self._moved_at, since) + self._live.delivery.stall_timeout
        return inf

    def _tick(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        if self.outbox.backlog is not None:
            self.outbox.backlog.tick(now)
        if self._stalls_at() <= now:
            if not self._probe():
                self._give_up(self._live.delivery.stall_timeout)
                return
            self._moved_at = now
        self.watch()

    def _probe(self) -> bool:
        """Try one write; whether the kernel took a byte by it, or by one of the reactor's since the last time."""
        sink = self._sink
        if sink is None:
            return False
        held, moved_at = sink.left, self._moved_at
        if self.lowest is not None:
            self.lowest.doWrite()  # an error is found again by the reactor, or by the abort that follows
        sink.left = sink.held
        # Where it took all, the transport has resumed us within that write, and we have handed it more.
        return bool(sink.left < held or self._moved_at > moved_at)

    def _too_slow_for_topics(self) -> None:
        if self.outbox.closed is None:
            self._give_up(self._live.delivery.topic_patience)

    # The end

    def when_empty(self, call: Callable[[], None]) -> None:
        """Call this, once, when all that is in the outbox has gone; on a plain socket, its buffer's content too."""
        if self._sink is None:
            self._turn.soon(call)
            return
        if self._waiting is None:
            self._waiting = []
            self._closing_since = self._clock.seconds()
        self._waiting.append(call)
        if self.outbox.blocked:
            self.watch()
        else:
            self._turn.add(self)
            self._turn.schedule()

    def stop(self) -> None:
        """Write nothing any more, and let the transport close."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._waiting = None
        if self._transfer is not None:
            self._transfer.lost()
            self._transfer = None
        if not self.outbox.blocked:
            self.outbox.block()
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.unregister()
