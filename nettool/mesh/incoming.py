"""
What all connections of a mesh have brought and nobody has received: one bounded queue, shared by its receivers.

In: payloads, a read of one connection at a time; receivers.  Out: each envelope to one receiver; connections told to
pause, and to go on.  Never: more queued than the bounds; an envelope that came first and is received after another of
its connection; an envelope made before somebody takes it by itself.

A read that does not fit goes into the queue as far as it does.  Its connection is paused and stands in line with the
rest.  When receivers have taken half of the queue, the connections in line put in more, each in its turn: a connection
that has put in what there was room for goes to the end of the line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Hashable, Iterable
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nettool.mesh.envelope import Envelope
from nettool.mesh.envelopes import Envelopes, Run, made
from nettool.mesh.errors import MeshClosed


class Source(Protocol):
    """A connection, as the line sees it."""

    id: Hashable
    pending: list[bytes]
    """What it has read and not put in."""
    received: int

    def pause(self) -> None:
        """Bring nothing more for now."""

    def go_on(self) -> None:
        """Bring more."""


class _Receiver:
    """Somebody who waits: for one envelope, for at most `limit`, or (`limit` 0) to be told that there are some."""

    __slots__ = ("deferred", "limit", "timer")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.deferred: Deferred[Any]
        self.timer: IDelayedCall | None = None

    def stop(self) -> None:
        if self.timer is not None and self.timer.active():
            self.timer.cancel()


class Incoming:
    """The queue.

    Invariants: somebody waits only while the queue is empty; a source is in line exactly while it has something
    pending; the queue is empty only if nobody is in line.
    """

    def __init__(self, capacity: int, bound: int, clock: IReactorTime) -> None:
        self.capacity = capacity
        self.bound = bound
        self._clock = clock
        self._made: deque[Envelope] = deque()
        """The oldest ones, made to be taken one by one."""
        self._runs: deque[Run] = deque()
        """All others, as they were read."""
        self._gone = 0
        """How many of the oldest run have been taken: a small piece of a long run costs no copy of the rest."""
        self._in_runs = 0
        self._low = 0
        """Those in line put in more when no more than so many are queued: half of what was, when there was no room."""
        self._held = 0
        """At least the bytes in the queue: what is taken is not counted off, since only a full queue needs to know."""
        self.line: deque[Source] = deque()
        self._receivers: deque[_Receiver] = deque()
        self.closed = False

    def __len__(self) -> int:
        return len(self._made) + self._in_runs

    # What comes in

    def arrived(self, source: Source, payloads: list[bytes], size: int) -> None:
        """A read of this source brought these; `size` is at least the bytes in them."""
        queued = len(self._made) + self._in_runs
        if not queued:
            if self._receivers and len(payloads) <= min(self._receivers[0].limit or 0, self.capacity):
                self._hand_over(source, payloads)
                return
            self._held = 0
        if source.pending:
            source.pending += payloads
        elif not self.line and queued + len(payloads) <= self.capacity and self._held + size <= self.bound:
            self._put(source, payloads, size)
        else:
            source.pending = payloads
            self.line.append(source)
            self.refill()
        if self._receivers:
            self._serve()
        if source.pending:
            source.pause()

    def _hand_over(self, source: Source, payloads: list[bytes]) -> None:
        """All of it to the receiver of many who waits longest: it need not go through the queue, which is empty."""
        receiver = self._receivers.popleft()
        receiver.stop()
        source.received += len(payloads)
        receiver.deferred.callback(Envelopes.of([(source.id, payloads)]))

    def _put(self, source: Source, payloads: list[bytes], size: int) -> None:
        self._runs.append((source.id, payloads))
        self._in_runs += len(payloads)
        source.received += len(payloads)
        self._held += size

    def refill(self) -> None:
        """Let those in line put in what there is room for."""
        self._fill()
        self._low = len(self) // 2

    def _fill(self) -> None:
        line = self.line
        if self._held >= self.bound:
            self._count()
            if self._held > self.bound // 2 and len(self):
                return
        while line:
            source = line[0]
            count, size = self._fits(source.pending)
            if not count:
                return
            self._put(source, source.pending[:count], size)
            del source.pending[:count]
            line.popleft()
            if source.pending:
                line.append(source)
            else:
                source.go_on()

    def _fits(self, payloads: list[bytes]) -> tuple[int, int]:
        """How many of these there is room for, and their bytes; one always fits into an empty queue."""
        room = self.capacity - len(self)
        if room <= 0:
            return 0, 0
        if room < len(payloads):
            payloads = payloads[:room]
        size = sum(map(len, payloads))
        if self._held + size <= self.bound:
            return len(payloads), size
        count = size = 0
        for payload in payloads:
            more = size + len(payload)
            if self._held + more > self.bound:
                self._count()
                if self._held + more > self.bound and (count or len(self)):
                    break
            size = more
            count += 1
        return count, size

    def _count(self) -> None:
        self._held = sum(size for _, size in self.by_id().values())

    def by_id(self) -> dict[Hashable, tuple[int, int]]:
        """Envelopes and bytes that are queued, of each connection."""
        counts: dict[Hashable, tuple[int, int]] = {}
        gone = self._gone
        for id, payloads in [*self._runs, *((id, [payload]) for id, payload in self._made)]:
            count, size = counts.get(id, (0, 0))
            if gone:  # of the first one only
                payloads, gone = payloads[gone:], 0
            counts[id] = count + len(payloads), size + sum(map(len, payloads))
        return counts

    def put_back(self, envelopes: Iterable[Envelope]) -> None:
        """These were received by somebody who had gone away meanwhile: they are the oldest."""
        self._made.extendleft(reversed(back := list(envelopes)))
        self._held += sum(len(envelope.payload) for envelope in back)
        self._serve()

    # What goes out

    def _serve(self) -> None:
        receivers = self._receivers
        while receivers and len(self):
            receiver = receivers.popleft()
            receiver.stop()
            if receiver.limit is None:
                receiver.deferred.callback(self.pop())
            elif receiver.limit:
                receiver.deferred.callback(self.pop_many(receiver.limit))
            else:
                receiver.deferred.callback(None)

    def _make(self) -> None:
        """The oldest run is taken one by one from now on."""
        run = self._pop_run()
        self._in_runs -= len(run[1])
        self._made.extend(made(run))

    def _pop_run(self) -> Run:
        """The oldest run, or what is left of it."""
        id, payloads = self._runs.popleft()
        gone, self._gone = self._gone, 0
        return id, payloads[gone:] if gone else payloads

    def pop(self) -> Envelope:
        """The oldest envelope."""
        if not self._made:
            self._make()
        envelope = self._made.popleft()
        if self.line and len(self) <= self._low:
            self.refill()
        return envelope

    def pop_many(self, limit: int) -> Envelopes:
        """The oldest ones, at most so many."""
        envelopes = self._pop_made(limit) if self._made else Envelopes.of(self._pop_runs(limit))
        if self.line and len(self) <= self._low:
            self.refill()
        return envelopes

    def _pop_made(self, limit: int) -> Envelopes:
        single = self._made
        while len(single) < limit and self._runs:
            self._make()
        return Envelopes([single.popleft() for _ in range(min(limit, len(single)))])

    def _pop_runs(self, limit: int) -> list[Run]:
        runs, room = self._runs, limit
        popped: list[Run] = []
        while room and runs:
            id, payloads = runs[0]
            gone = self._gone
            if len(payloads) - gone > room:
                popped.append((id, payloads[gone : gone + room]))
                self._gone += room
                room = 0
            else:
                run = self._pop_run()
                popped.append(run)
                room -= len(run[1])
        self._in_runs -= limit - room
        return popped

    def recv(self, timeout: float | None) -> Deferred[Envelope]:
        """See `Mesh.recv`."""
        if self._made or self._runs:
            return succeed(self.pop())
        return self._wait(None, timeout)

    def recv_many(self, limit: int, timeout: float | None) -> Deferred[Envelopes]:
        """See `Mesh.recv_many`."""
        if limit < 1:
            raise ValueError(f"recv_many is for at least one envelope, not {limit}")
        if self._made or self._runs:
            return succeed(self.pop_many(limit))
        return self._wait(limit, timeout)

    async def iterate(self) -> AsyncIterator[Envelope]:
        """Every envelope that no other receiver has, until the mesh is closed and all was received."""
        single, line = self._made, self.line
        popleft = single.popleft
        while True:
            while single:
                envelope = popleft()
                if line and len(single) + self._in_runs <= self._low:
                    self.refill()
                yield envelope
            if self._runs:
                self._make()
            elif self.closed:
                return
            else:
                await self._wait(0, None)

    def _wait(self, limit: int | None, timeout: float | None) -> Deferred[Any]:
        if self.closed:
            return fail(MeshClosed())
        receiver = _Receiver(limit)
        receiver.deferred = Deferred(partial(self._forget, receiver))
        if timeout is not None:
            receiver.timer = self._clock.callLater(max(timeout, 0), self._time_out, receiver, timeout)
        self._receivers.append(receiver)
        return receiver.deferred

    def _forget(self, receiver: _Receiver, _: object = None) -> None:
        receiver.stop()
        self._receivers.remove(receiver)

    def _time_out(self, receiver: _Receiver, timeout: float) -> None:
        self._receivers.remove(receiver)
        receiver.deferred.errback(TimeoutError(f"nothing was received within {timeout:g} s"))

    def close(self) -> None:
        """Nothing will arrive any more: who waits is told; what is here can still be received."""
        self.closed = True
        receivers, self._receivers = self._receivers, deque()
        for receiver in receivers:
            receiver.stop()
            if receiver.limit == 0:
                receiver.deferred.callback(None)
            else:
                receiver.deferred.errback(MeshClosed())
