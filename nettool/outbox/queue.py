"""
The outbox of one connection.

In: batches, from the broker, at any time.  Out: chunks for the pump, at most `CHUNK` bytes each.
Never: a refusal; what cannot be kept goes back to the broker, with a reason.

While the transport takes data, batches pass through `ready`, which is emptied once a turn and costs next to nothing.
When it does not, what is left becomes a `Backlog`, which has the bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from math import inf

from nettool.errors import ReturnReason
from nettool.interfaces import IPump, IReturns, ISender
from nettool.outbox import facts
from nettool.outbox.backlog import Backlog
from nettool.outbox.batch import CHARGE, Batch, Kind
from nettool.outbox.facts import OutboxSnapshot
from nettool.outbox.part import Part
from nettool.outbox.passage import Transfer
from nettool.settings import CHUNK, Live

Chunk = bytes | bytearray | memoryview
"""What is handed to a transport at a time."""

AT_ONCE = 0.001
"""Seconds up to which what passes an open outbox has not waited: adding them up costs 2 % where batches are small."""

# Looked up in their class they would cost 50 ns a batch.
_DIRECT, _TOPIC, _MIXED = Kind.DIRECT, Kind.TOPIC, Kind.MIXED.value

_NOTHING: Mapping[Kind, tuple[int, int]] = {}


class Outbox:
    """What one connection still has to be sent.

    Invariant: lines leave in the order in which they came, but for dropped ones; `blocked` means that the transport
    takes nothing now, and only then is there a backlog; once `closed`, nothing is in it, and nothing stays in it.
    """

    __slots__ = (
        "_handed",
        "_handed_kind",
        "_handed_lines",
        "_home",
        "_lagged",
        "_ledger",
        "_live",
        "_onlookers",
        "_ready_bytes",
        "backlog",
        "blocked",
        "closed",
        "left",
        "owner",
        "part",
        "pump",
        "ready",
    )

    _onlookers: tuple[Callable[[Chunk], None], ...]
    """Only there where somebody looks on."""

    def __init__(self, owner: ISender, live: Live, home: IReturns) -> None:
        self.owner = owner
        self._live = live
        self._home = home
        self._ledger = home.ledger
        self.pump: IPump | None = None
        self.ready: list[Batch] = []
        self._ready_bytes = 0
        self.backlog: Backlog | None = None
        self.part: Part | None = None
        self.blocked = True  # until there is a transport
        self.closed: ReturnReason | None = None
        self.left = (0, 0)
        """Texts that were in it when it was closed: to its name, which go back to their senders, and all others."""
        self._lagged = 0
        self._handed_kind: Kind | None = None
        """What the last chunk was made of, if of one kind, with its lines; no batches, which would be kept alive."""
        self._handed_lines = 0
        self._handed = _NOTHING
        """The same for a chunk of several kinds: its texts, as lines and bytes."""

    # What comes in

    def put(self, batch: Batch) -> None:
        """Keep a batch until it can be sent.  Never fails, whatever has become of the connection."""
        if self.blocked:
            self._put_back(batch)
            return
        ready = self.ready
        if not ready:
            assert self.pump is not None
            self.pump.wake()
        ready.append(batch)
        size = self._ready_bytes = self._ready_bytes + len(batch.data)
        if size >= CHUNK:
            assert self.pump is not None
            self.pump.flush(batch.at)

    def _put_back(self, batch: Batch) -> None:
        if self.closed is not None:
            self._home.give_back(batch, self.closed, batch.at)
            return
        backlog = self._open_backlog()
        backlog.put(batch)
        if self.pump is not None and backlog.full:
            self.pump.watch()

    def _open_backlog(self) -> Backlog:
        if self.backlog is None:
            self.backlog = Backlog(self.owner, self._live, self._home)
        return self.backlog

    # What goes out

    def block(self) -> None:
        """The transport takes nothing now."""
        self.blocked = True
        ready, self.ready, self._ready_bytes = self.ready, [], 0
        if self.part is not None and self.closed is None:
            backlog = self._open_backlog()
            backlog.adopt(self.part.batch, self.part.left)
            if self.pump is not None and backlog.full:
                self.pump.watch()
        for batch in ready:
            self._put_back(batch)

    def unblock(self) -> None:
        """The transport takes data again; whoever calls this calls `take` until it is empty or blocked."""
        self.blocked = False

    def take(self, now: float) -> Chunk | None:
        """The next chunk, which counts as handed over; nothing if there is nothing."""
        if self.backlog is not None or self.part is not None or self._ready_bytes > CHUNK:
            return self._take_some(now)
        batches = self.ready
        if not batches:
            return None
        self.ready, self._ready_bytes = [], 0
        if len(batches) > 1:
            return self._together(batches, now)
        # One small batch is most of the traffic where lines come one by one: it is counted here, without a call.
        batch = batches[0]
        kind, data = batch.kind, batch.data
        if kind is _DIRECT:
            passage = self._ledger.direct
        elif kind is _TOPIC:
            passage = self._ledger.topic
        else:
            self._count_each(batches, now)
            return data
        self._handed_kind, self._handed_lines = kind, batch.lines
        lines = batch.lines
        passage.delivered += lines
        passage.bytes += len(data)
        waited = now - batch.at
        if waited > AT_ONCE:
            passage.seconds += lines * waited
        return data

    def _together(self, batches: list[Batch], now: float) -> bytes:
        """All batches of one turn as one chunk; how long they waited is estimated, to pay for it once a chunk."""
        data = b"".join([batch.data for batch in batches])
        kind, lines = batches[0].kind, 0
        for batch in batches:
            if batch.kind is not kind:
                break
            lines += batch.lines
        else:
            if kind <= _MIXED:
                self._handed_kind, self._handed_lines = kind, lines
                passage = self._ledger.passages[kind]
                passage.delivered += lines
                passage.bytes += len(data)
                waited = now - (batches[0].at + batches[-1].at) * 0.5
                if waited > AT_ONCE:
                    passage.seconds += lines * waited
                return data
        self._count_each(batches, now)
        return data

    def _take_some(self, now: float) -> Chunk:
        """A chunk where there is more than one, or something waits."""
        if self.part is not None:
            return self._next_part(self.part, now)
        backlog = self.backlog
        batches = self._first_ready() if backlog is None else backlog.take()
        self._look_whether_empty(now)
        if len(batches[0].data) > CHUNK:
            self.part = Part(batches[0])
            return self._next_part(self.part, now)
        if backlog is None:
            return self._together(batches, now)
        self._count_each(batches, now)
        return b"".join([batch.data for batch in batches])

    def _count_each(self, batches: list[Batch], now: float) -> None:
        """These have been handed over, and are of any kinds."""
        handed: dict[Kind, tuple[int, int]] = {}
        for batch in batches:
            if batch.kind <= _MIXED:
                self._count(batch, batch.lines, len(batch.data), now)
                lines, size = handed.get(batch.kind, (0, 0))
                handed[batch.kind] = (lines + batch.lines, size + len(batch.data))
            elif batch.reason is not None:
                self._ledger.give_back(batch.lines, batch.reason, len(batch.data))
        self._handed_kind, self._handed = None, handed or _NOTHING

    def _count(self, batch: Batch, lines: int, size: int, now: float) -> None:
        passage = self._ledger.passages[batch.kind]
        passage.delivered += lines
        passage.bytes += size
        passage.seconds += lines * max(now - batch.at, 0.0)

    def begin_transfer(self, size: int, now: float) -> Transfer:
        """The last chunk, of so many bytes, was not taken at once."""
        handed = self._handed if self._handed_kind is None else {self._handed_kind: (self._handed_lines, size)}
        return Transfer(size, handed, self._ledger.passages, now)

    def made_room(self, now: float) -> None:
        """The transport took what it was handed: senders that waited for this go on."""
        if self.backlog is not None:
            self.backlog.made_room(now)

    def _first_ready(self) -> list[Batch]:
        ready, size, taken = self.ready, 0, 0
        for batch in ready:
            size += len(batch.data)
            if size > CHUNK and taken:
                size -= len(batch.data)
                break
            taken += 1
        batches, self.ready = ready[:taken], ready[taken:]
        self._ready_bytes -= size
        return batches

    def _next_part(self, part: Part, now: float) -> memoryview:
        chunk, lines = part.next()
        batch = part.batch
        if part.done:
            self.part = None
        if self.backlog is not None:
            self.backlog.part_went(len(chunk), part.done)
            self._look_whether_empty(now)
        self._handed_kind, self._handed = None, _NOTHING
        if batch.kind <= _MIXED:
            self._handed_kind, self._handed_lines = batch.kind, lines
            self._count(batch, lines, len(chunk), now)
        elif batch.reason is not None:
            self._ledger.give_back(lines, batch.reason, len(chunk))
        return chunk

    def _look_whether_empty(self, now: float) -> None:
        if self.backlog is not None and not self.backlog:
            self.backlog.made_room(now)
            assert not self.backlog.holds_anybody, "who waits for an empty outbox waits for ever"
            self._lagged += self.backlog.lagged
            self.backlog = None

    # Its end

    @property
    def empty(self) -> bool:
        """Whether there is nothing left to hand over."""
        return not self.ready and self.backlog is None and self.part is None

    def seal(self, reason: ReturnReason) -> None:
        """Nothing comes in or goes out any more; `close` follows, which gives back what is in it."""
        self.blocked, self.closed = True, reason

    def close(self, reason: ReturnReason, now: float) -> None:
        """The connection is gone: what is left goes back, and so does whatever still comes."""
        left = self.batches()
        backlog = self.backlog
        self.seal(reason)
        self.ready, self._ready_bytes, self.backlog, self.part = [], 0, None, None
        if backlog is not None:
            self._lagged += backlog.lagged
            backlog.close(now)
        if left:
            direct = sum(batch.lines for batch in left if batch.kind is Kind.DIRECT)
            self.left = (direct, sum(batch.lines for batch in left) - direct)
        for batch in left:
            self._home.give_back(batch, reason, now)

    # Who looks on

    def add_onlooker(self, see: Callable[[Chunk], None]) -> None:
        """Show each chunk that is taken from now on to somebody else too, who must not raise, nor keep a `memoryview`.

        It costs nothing where nobody looks on: an outbox that is looked at is of another class meanwhile.
        """
        self._onlookers = (*self._onlookers, see) if isinstance(self, _Watched) else (see,)
        self.__class__ = _Watched

    def remove_onlooker(self, see: Callable[[Chunk], None]) -> None:
        """Show it nothing any more, whether it was shown anything or not."""
        if type(self) is _Watched:
            self._onlookers = tuple(other for other in self._onlookers if other != see)
            if not self._onlookers:
                self.__class__ = Outbox  # type: ignore[assignment]

    # What others may ask

    @property
    def owner_waits(self) -> bool:
        """Whether the owner's own answers fill it: the owner is not read, not even to the end of a read."""
        return self.backlog is not None and bool(self.backlog.own_gate.waiting)

    @property
    def full_since(self) -> float:
        """Since when senders wait for it, or its patience with them is over; infinity if neither is so."""
        return inf if self.backlog is None else self.backlog.full_since

    @property
    def full(self) -> bool:
        """Whether senders wait for it, or its patience with them is over."""
        return self.full_since < inf

    @property
    def lagged(self) -> int:
        """Topic lines that it has lost until now because it read too slowly."""
        return self._lagged + (0 if self.backlog is None else self.backlog.lagged)

    def batches(self) -> list[Batch]:
        """Everything in it, by walking it; a batch that is partly sent counts from its first unfinished line."""
        part = [] if self.part is None else [self.part.rest()]
        return part + self.ready + ([] if self.backlog is None else self.backlog.batches())

    def queued(self) -> int:
        """Copies of texts that are in it, those that are given back to its owner included."""
        if self.idle:
            return 0
        lines = sum([batch.lines for batch in self.ready])
        if self.part is not None:
            lines += self.part.lines
        if self.backlog is not None:
            lines += self.backlog.direct.lines + self.backlog.topic.lines
        return lines

    def held(self) -> int:
        """Bytes in it, with a charge for each batch: what the bounds count."""
        if self.idle:
            return 0
        if self.backlog is not None:
            return self.backlog.direct.held + self.backlog.topic.held
        part = 0 if self.part is None else CHARGE + self.part.left
        return part + sum([CHARGE + len(batch.data) for batch in self.ready])

    def on_their_way(self) -> dict[Kind, int]:
        """Copies of texts that are in it and not given back, by kind."""
        here: dict[Kind, int] = Counter()
        for batch in self.ready if self.part is None else [*self.ready, self.part.rest()]:
            if batch.kind <= _MIXED:
                here[batch.kind] += batch.lines
        if self.backlog is not None:
            here[Kind.DIRECT] += self.backlog.direct.lines - self.backlog.direct.returned
            here[Kind.TOPIC] += self.backlog.topic.lines
        return here

    def oldest(self, now: float) -> float:
        """Age in seconds of the oldest batch in it; 0 if there is none."""
        at = self.ready[0].at if self.ready else now
        if self.part is not None:
            at = min(at, self.part.batch.at)
        if self.backlog is not None:
            at = min(at, self.backlog.oldest_at)
        return max(now - at, 0.0)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to see: its transport takes data, and nothing is on its way to it."""
        return not self.blocked and not self.ready and self.part is None

    def snapshot(self, now: float) -> OutboxSnapshot:
        """See `OutboxSnapshot`; costs time in proportion to what is queued, and next to none if nothing is."""
        if self.empty:
            return facts.EMPTY
        return facts.snapshot_of(self.batches(), self.backlog, self._live.delivery, now)


class _Watched(Outbox):
    """An outbox at which somebody looks on."""

    __slots__ = ()

    def take(self, now: float) -> Chunk | None:
        """See `Outbox.take`."""
        chunk = super().take(now)
        if chunk is not None:
            for see in self._onlookers:
                see(chunk)
        return chunk
