"""
The outbox of one connection.

In: batches, from the broker, at any time.  Out: chunks for the pump, at most `CHUNK` bytes each.
Never: a refusal; what cannot be kept goes back to the broker, with a reason.

While the transport takes data, batches pass through `ready`, which is emptied once a turn and costs next to nothing.
When it does not, what is left becomes a `Backlog`, which has the bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from nettool.errors import ReturnReason
from nettool.interfaces import IPump, IReturns, ISender
from nettool.outbox import facts
from nettool.outbox.backlog import Backlog
from nettool.outbox.batch import Batch, Kind
from nettool.outbox.facts import OutboxSnapshot
from nettool.settings import CHUNK, Live
from nettool.wire.lines import count

Chunk = bytes | bytearray | memoryview
"""What is handed to a transport at a time."""

_MIXED = Kind.MIXED.value  # looked up in its class it would cost 50 ns a batch


class Outbox:
    """What one connection still has to be sent.

    Invariant: lines leave in the order in which they came, but for dropped ones; `blocked` means that the transport
    takes nothing now, and only then is there a backlog; once `closed`, nothing is in it, and nothing stays in it.
    """

    __slots__ = (
        "_home",
        "_lagged",
        "_live",
        "_onlookers",
        "_part",
        "_ready_bytes",
        "backlog",
        "blocked",
        "closed",
        "left",
        "owner",
        "pump",
        "ready",
    )

    _onlookers: tuple[Callable[[Chunk], None], ...]
    """Only there where somebody looks on."""

    def __init__(self, owner: ISender, live: Live, home: IReturns) -> None:
        self.owner = owner
        self._live = live
        self._home = home
        self.pump: IPump | None = None
        self.ready: list[Batch] = []
        self._ready_bytes = 0
        self.backlog: Backlog | None = None
        self._part: _Part | None = None
        self.blocked = True  # until there is a transport
        self.closed: ReturnReason | None = None
        self.left = (0, 0)
        """Texts that were in it when it was closed: to its name, which go back to their senders, and all others."""
        self._lagged = 0

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
            self.pump.flush()

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
        if self._part is not None and self.closed is None:
            backlog = self._open_backlog()
            backlog.adopt(self._part.batch, self._part.left)
            if self.pump is not None and backlog.full:
                self.pump.watch()
        for batch in ready:
            self._put_back(batch)

    def unblock(self) -> None:
        """The transport takes data again; whoever calls this calls `take` until it is empty or blocked."""
        self.blocked = False

    def take(self) -> Chunk | None:
        """The next chunk, which counts as handed over; nothing if there is nothing."""
        if self._part is not None:
            return self._next_part(self._part)
        if self.backlog is not None:
            batches = self.backlog.take()
            self._look_whether_empty()
        elif self.ready:
            batches = self._take_ready()
        else:
            return None
        if len(batches) > 1:
            self._count(batches)
            return b"".join([batch.data for batch in batches])
        if len(batches[0].data) > CHUNK:
            self._part = _Part(batches[0])
            return self._next_part(self._part)
        self._count(batches)
        return batches[0].data

    def made_room(self) -> None:
        """The transport took what it was handed: senders that waited for this go on."""
        if self.backlog is not None:
            self.backlog.made_room()

    def _take_ready(self) -> list[Batch]:
        ready, size, taken = self.ready, 0, 0
        if self._ready_bytes <= CHUNK:
            self.ready, self._ready_bytes = [], 0
            return ready
        for batch in ready:
            size += len(batch.data)
            if size > CHUNK and taken:
                size -= len(batch.data)
                break
            taken += 1
        batches, self.ready = ready[:taken], ready[taken:]
        self._ready_bytes -= size
        return batches

    def _next_part(self, part: _Part) -> memoryview:
        chunk, lines = part.next()
        if part.done:
            self._part = None
        if self.backlog is not None:
            self.backlog.part_went(len(chunk), part.done)
            self._look_whether_empty()
        batch = part.batch
        if batch.kind <= _MIXED:
            self._home.ledger.deliver(lines)
        elif batch.reason is not None:
            self._home.ledger.give_back(lines, batch.reason)
        return chunk

    def _look_whether_empty(self) -> None:
        if self.backlog is not None and not self.backlog:
            self.backlog.made_room()
            assert not self.backlog.holds_anybody, "who waits for an empty outbox waits for ever"
            self._lagged += self.backlog.lagged
            self.backlog = None

    def _count(self, batches: list[Batch]) -> None:
        """These have been handed over."""
        texts = 0
        for batch in batches:
            if batch.kind <= _MIXED:
                texts += batch.lines
            elif batch.reason is not None:
                self._home.ledger.give_back(batch.lines, batch.reason)
        if texts:
            self._home.ledger.deliver(texts)

    # Its end

    @property
    def empty(self) -> bool:
        """Whether there is nothing left to hand over."""
        return not self.ready and self.backlog is None and self._part is None

    def seal(self, reason: ReturnReason) -> None:
        """Nothing comes in or goes out any more; `close` follows, which gives back what is in it."""
        self.blocked, self.closed = True, reason

    def close(self, reason: ReturnReason, now: float) -> None:
        """The connection is gone: what is left goes back, and so does whatever still comes."""
        left = self.batches()
        backlog = self.backlog
        self.seal(reason)
        self.ready, self._ready_bytes, self.backlog, self._part = [], 0, None, None
        if backlog is not None:
            self._lagged += backlog.lagged
            backlog.close()
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
        part = [] if self._part is None else [self._part.rest()]
        return part + self.ready + ([] if self.backlog is None else self.backlog.batches())

    def queued(self) -> int:
        """Copies of texts that are in it."""
        return 0 if self.empty else sum(batch.lines for batch in self.batches())

    def held(self) -> int:
        """Bytes in it, with a charge for each batch: what the bounds count."""
        return facts.held_by(self.batches())

    def snapshot(self, now: float) -> OutboxSnapshot:
        """See `OutboxSnapshot`; costs time in proportion to what is queued, and next to none if nothing is."""
        if self.empty:
            return facts.EMPTY
        batches, backlog, delivery = self.batches(), self.backlog, self._live.delivery
        return OutboxSnapshot(
            lines=sum(batch.lines for batch in batches),
            held_bytes=facts.held_by(batches),
            oldest=facts.oldest_in(batches, now),
            fillers=facts.fillers_of(batches),
            waiting=() if backlog is None else facts.waiting_at(backlog, now),
            full_for=facts.full_for(self.full_since, now),
            lanes=()
            if backlog is None
            else facts.lanes_of(backlog, delivery.direct_patience, delivery.topic_patience, now),
        )


class _Watched(Outbox):
    """An outbox at which somebody looks on."""

    __slots__ = ()

    def take(self) -> Chunk | None:
        """See `Outbox.take`."""
        chunk = super().take()
        if chunk is not None:
            for see in self._onlookers:
                see(chunk)
        return chunk


class _Part:
    """A batch larger than a chunk, on its way.

    Invariant: all before `position` was handed over; `lines` are the ends of lines behind it.
    """

    __slots__ = ("_position", "batch", "lines")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._position = 0
        self.lines = batch.lines

    @property
    def done(self) -> bool:
        return self._position == len(self.batch.data)

    @property
    def left(self) -> int:
        """Bytes that have not been handed over."""
        return len(self.batch.data) - self._position

    def next(self) -> tuple[memoryview, int]:
        """The next chunk, and how many lines it completes."""
        data, start = self.batch.data, self._position
        end = min(start + CHUNK, len(data))
        self._position = end
        before = self.lines
        if end == len(data):
            self.lines = 0
        elif before:  # counting the shorter side: the longer one costs as much as everything else here
            left = len(data) - end
            self.lines = count(bytes(data[end:])) if left < CHUNK else before - count(bytes(data[start:end]))
        return memoryview(data)[start:end], before - self.lines

    def rest(self) -> Batch:
        """What is left of it, from the beginning of the first unfinished line on."""
        batch = self.batch
        start = batch.data.rfind(b"\n", 0, self._position) + 1
        return Batch(
            batch.kind,
            batch.sender,
            batch.address,
            batch.data[start:],
            self.lines,
            batch.at,
            None,
            batch.reason,
        )
