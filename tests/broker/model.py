"""A router of a few plain lines, and connections whose transports take what a test lets them take.

In: lines as a peer writes them; what a test lets happen.  Out: what the protocol says becomes of each line alone.
Never: a batch, a plan, or anything else that makes the router under test fast.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from zope.interface import implementer

from nettool.broker.broker import Broker
from nettool.broker.routing import Routing
from nettool.errors import ErrorCode, ReturnReason
from nettool.interfaces import IPump, IShell
from nettool.peers.session import Phase, Session
from nettool.settings import Live, Settings
from nettool.wire.names import is_topic

WHITE = b" \t\n\r\x0b\x0c"


@dataclass(frozen=True)
class Sent:
    """One copy of a text on its way: who gets it, by which address as it was written, and the line that he reads."""

    receiver: bytes
    address: bytes
    line: bytes
    text: bytes
    topic: bool


@dataclass(frozen=True)
class Wrong:
    """A line, or one address of it, that is answered with an error."""

    code: ErrorCode
    detail: bytes


@dataclass
class World:
    """Who is here and who hears what."""

    names: set[bytes] = field(default_factory=set)
    topics: Mapping[bytes, Iterable[bytes]] = field(default_factory=dict)
    node: bytes = b"node1"
    max_addresses: int = 100

    def route(self, sender: bytes, line: bytes) -> list[Sent | Wrong]:
        """What becomes of one line, without its LF, that is no command and not empty."""
        head, colon, text = line.partition(b":")
        addresses = [word.strip(WHITE) for word in head.split(b",") if word.strip(WHITE)]
        if not colon or not addresses:
            return [Wrong(ErrorCode.BAD_LINE, line[:60])]
        if self.max_addresses and len(addresses) > self.max_addresses:
            return [Wrong(ErrorCode.TOO_MANY_ADDRESSES, b"%d" % self.max_addresses)]
        text = text[1:] if text.startswith(b" ") else text
        outcomes: list[Sent | Wrong] = []
        reached = set()
        for address in dict.fromkeys(addresses):
            if is_topic(address):
                shown = b"from " + sender + b" to " + address + b": " + text
                hearers = [name for name in self.topics.get(address, ()) if name != sender]
                outcomes += [Sent(name, address, shown, text, True) for name in hearers]
                continue
            name = address.removesuffix(b"@" + self.node)
            if name not in self.names:
                outcomes.append(Wrong(ErrorCode.NO_SUCH_PEER, address))
            elif name not in reached:
                reached.add(name)
                outcomes.append(Sent(name, address, b"from " + sender + b": " + text, text, False))
        return outcomes


class Observed(Routing):
    """Routing that tells what it has routed, line by line, after it has."""

    told: Callable[[Any, list[bytes]], None] = staticmethod(lambda sender, lines: None)
    _within = False

    def route_first(self, sender: Any, block: bytes, now: float) -> tuple[int, bytes]:
        within, self._within = self._within, True  # a block of one address goes on to `route_block`
        try:
            routed, left = super().route_first(sender, block, now)
        finally:
            self._within = within
        if routed:
            self.told(sender, block.split(b"\n")[:routed])
        return routed, left

    def route_block(self, sender: Any, block: bytes, now: float) -> bool:
        done = super().route_block(sender, block, now)
        if done and not self._within:
            self.told(sender, block.split(b"\n")[:-1])
        return done

    def route_lines(self, sender: Any, lines: list[bytes], at: int, now: float) -> int:
        self._within = True  # a few lines are routed as blocks of their own
        try:
            end = super().route_lines(sender, lines, at, now)
        finally:
            self._within = False
        self.told(sender, [line[:-1] for line in lines[at:end]])
        return end


class Street:
    """A broker with connections around it, a clock that is a number, and turns that end when the test says so."""

    def __init__(self, settings: Settings) -> None:
        self.now = 1000.0
        self.live = Live(settings)
        self.broker = Broker(self.live)
        self.connections: list[Connection] = []
        self.soon: list[Callable[[], None]] = []
        self.awake: list[Connection] = []
        self.has_time = True

    def connect(self, name: bytes = b"") -> Connection:
        """Another connection, with its first line said if it has a name."""
        connection = Connection(self)
        self.connections.append(connection)
        if name:
            connection.says(name)
        return connection

    def end_turn(self) -> None:
        """Whatever was put off is done: calls in their order, then one flush for each outbox."""
        calls, self.soon = self.soon, []
        for call in calls:
            call()
        awake, self.awake = self.awake, []
        for connection in awake:
            connection.flush(self.now)
        for connection in self.connections:
            connection.finish()

    def settle(self) -> None:
        """Turns, until nothing is put off any more."""
        while self.soon or self.awake:
            self.end_turn()

    def pass_time(self, seconds: float) -> None:
        """Timers go off, each at its time."""
        end = self.now + seconds
        while True:
            due = min((connection.due for connection in self.connections), default=inf)
            if due > end:
                break
            self.now = max(self.now, due)
            for connection in self.connections:
                connection.tick()
        self.now = end


@implementer(IShell, IPump)
class Connection:
    """A session's shell and its outbox's pump in one, around a transport that takes as many writes as it is let."""

    def __init__(self, street: Street) -> None:
        self.street = street
        self.got = bytearray()
        """What the transport was handed."""
        self.reads_input = True
        self.closing = False
        self.dead = False
        """The connection is gone, whoever found out."""
        self.resumed = 0
        """How often its transport has asked for more."""
        self._aborted = False
        self._writes = inf
        self._moved_at = street.now
        self._patience_due = inf
        self._closes_at = inf
        self.session = Session(street.broker, street.live, self)
        self.outbox = self.session.outbox
        self.outbox.pump = self
        self.outbox.unblock()

    # What the peer does

    def says(self, *lines: bytes) -> None:
        """One read of these lines."""
        self.session.received(b"".join(line + b"\n" for line in lines), self.street.now)

    def stops_reading(self) -> None:
        """Its transport takes one more write, and then asks for a pause."""
        self._writes = 1

    def reads(self, writes: float = inf) -> None:
        """Its transport takes so many writes."""
        self._writes = writes
        if self.outbox.blocked and not self._aborted and not self.dead and self.outbox.closed is None:
            self._moved_at = self.street.now
            self.resumed += 1
            self.outbox.unblock()
            self.flush(self.street.now)
            self.outbox.made_room(self.street.now)

    def vanishes(self) -> None:
        """The connection is lost."""
        if not self.dead:
            self.dead = True
            self.session.ended(ReturnReason.DISCONNECTED, self.street.now)

    @property
    def heard(self) -> list[bytes]:
        """The whole lines that its transport was handed."""
        return bytes(self.got).split(b"\n")[:-1]

    @property
    def here(self) -> bool:
        """Whether it can be written to and may write."""
        return self.session.phase is Phase.READY

    @property
    def gone(self) -> bool:
        """Whether nothing more can be written to it, which frees its name."""
        return self.session.phase is Phase.GONE

    @property
    def too_slow(self) -> bool:
        """Whether the stall timeout could find it too slow."""
        stalled = self.street.now - self._moved_at >= self.street.live.delivery.stall_timeout
        return not self.gone and stalled and self.outbox.blocked and (self.outbox.full or self.closing)

    def give_up(self) -> None:
        """What the pump does when it has found it too slow."""
        if not self.dead and self.outbox.closed is None:
            self.session.too_slow(1.0, self.street.now)

    # IShell

    def stop_reading(self) -> None:
        self.reads_input = False

    def read_on(self) -> None:
        self.street.soon.append(self._read_on)

    def _read_on(self) -> None:
        if not self.dead:
            self.session.go_on(self.street.now)
            if self.session.wants_input:
                self.reads_input = True

    def has_time(self, since: float) -> bool:
        return self.street.has_time

    def logged_in(self) -> None:
        pass

    def end_within(self, seconds: float) -> None:
        self.closing = True
        self._closes_at = self.street.now + seconds

    def abort(self) -> None:
        self._aborted = True
        self.street.soon.append(self.vanishes)

    # IPump

    def wake(self) -> None:
        self.street.awake.append(self)

    def flush(self, now: float) -> None:
        while not (self.outbox.blocked or self._aborted or self.dead):
            chunk = self.outbox.take(now)
            if chunk is None:
                break
            self.got += chunk
            self._writes -= 1
            if self._writes <= 0:
                self._moved_at = self.street.now
                self.outbox.block()

    def watch(self) -> None:
        backlog = self.outbox.backlog
        if backlog is not None:
            self._patience_due = backlog.deadline()
            if backlog.too_slow:
                self.street.soon.append(self.give_up)

    # Time

    @property
    def due(self) -> float:
        """When its next timer goes off."""
        return inf if self.dead else min(self._patience_due, self._closes_at)

    def tick(self) -> None:
        """Its timers, where it is time."""
        now = self.street.now
        if self._patience_due <= now:
            self._patience_due = inf
            if self.outbox.backlog is not None:
                self.outbox.backlog.tick(now)
            self.watch()
        if self._closes_at <= now:
            self._closes_at = inf
            self.abort()

    def finish(self) -> None:
        """The close goes on when all is flushed."""
        if self.closing and not self.dead and self.outbox.empty and not self.outbox.blocked:
            self.street.soon.append(self.vanishes)


def tally(lines: Iterable[bytes]) -> Counter[bytes]:
    """How often each `error` code came; `lagged` and `returns-lost` are told of, not answered."""
    return Counter(line for line in lines if line.startswith(b"error ") and not line.startswith(LOSSES))


LOSSES = (b"error lagged: ", b"error returns-lost: ")
