"""
What all connections of a mesh have brought and nobody has received: one bounded queue, shared by its receivers.

In: payloads, a read of one connection at a time; receivers.  Out: each envelope to one receiver; connections told to
pause, and to go on.  Never: more queued than the bounds; an envelope that came first and is received after another of
its connection.

A read that does not fit goes into the queue as far as it does.  Its connection is paused and stands in line with the
rest.  When receivers have taken half of the queue, the connections in line put in more, each in its turn: a connection
that has put in what there was room for goes to the end of the line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Hashable, Iterable
from functools import partial
from itertools import repeat
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nettool.mesh.envelope import Envelope
from nettool.mesh.errors import MeshClosed

_new: Any = tuple.__new__


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


def _envelopes(source: Source, payloads: list[bytes]) -> list[Envelope]:
    return list(map(_new, repeat(Envelope), zip(repeat(source.id), payloads, strict=False)))


class Incoming:
    """The queue.

    Invariants: somebody waits only while the queue is empty; a source is in line exactly while it has something
    pending; the queue is empty only if nobody is in line.
    """

    def __init__(self, capacity: int, bound: int, clock: IReactorTime) -> None:
        self.capacity = capacity
        self.bound = bound
        self._clock = clock
        self.queue: deque[Envelope] = deque()
        self._low = capacity // 2
        self._held = 0
        """At least the bytes in the queue: what is taken is not counted off, since only a full queue needs to know."""
        self.line: deque[Source] = deque()
        self._receivers: deque[_Receiver] = deque()
        self.closed = False

    # What comes in

    def arrived(self, source: Source, payloads: list[bytes], size: int) -> None:
        """A read of this source brought these; `size` is at least the bytes in them."""
        queue = self.queue
        if not queue:
            if self._receivers and len(payloads) <= min(self._receivers[0].limit or 0, self.capacity):
                self._hand_over(source, payloads)
                return
            self._held = 0
        if source.pending:
            source.pending += payloads
        elif not self.line and len(queue) + len(payloads) <= self.capacity and self._held + size <= self.bound:
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
        receiver.deferred.callback(_envelopes(source, payloads))

    def _put(self, source: Source, payloads: list[bytes], size: int) -> None:
        self.queue.extend(_envelopes(source, payloads))
        source.received += len(payloads)
        self._held += size

    def refill(self) -> None:
        """Let those in line put in what there is room for."""
        queue, line = self.queue, self.line
        if self._held >= self.bound:
            self._count()
            if self._held > self.bound // 2 and queue:
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
        room = self.capacity - len(self.queue)
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
                if self._held + more > self.bound and (count or self.queue):
                    break
            size = more
            count += 1
        return count, size

    def _count(self) -> None:
        self._held = sum(len(envelope[1]) for envelope in self.queue)

    def put_back(self, envelopes: Iterable[Envelope]) -> None:
        """These were received by somebody who had gone away meanwhile: they are the oldest."""
        self.queue.extendleft(reversed(list(envelopes)))
        self._serve()

    # What goes out

    def _serve(self) -> None:
        queue, receivers = self.queue, self._receivers
        while receivers and queue:
            receiver = receivers.popleft()
            receiver.stop()
            if receiver.limit is None:
                receiver.deferred.callback(self.pop())
            elif receiver.limit:
                receiver.deferred.callback(self.pop_many(receiver.limit))
            else:
                receiver.deferred.callback(None)

    def pop(self) -> Envelope:
        """The oldest envelope."""
        envelope = self.queue.popleft()
        if self.line and len(self.queue) <= self._low:
            self.refill()
        return envelope

    def pop_many(self, limit: int) -> list[Envelope]:
        """The oldest ones, at most so many."""
        queue = self.queue
        if limit >= len(queue):
            envelopes = list(queue)
            queue.clear()
        else:
            envelopes = [queue.popleft() for _ in range(limit)]
        if self.line and len(queue) <= self._low:
            self.refill()
        return envelopes

    def recv(self, timeout: float | None) -> Deferred[Envelope]:
        """See `Mesh.recv`."""
        if self.queue:
            return succeed(self.pop())
        return self._wait(None, timeout)

    def recv_many(self, limit: int, timeout: float | None) -> Deferred[list[Envelope]]:
        """See `Mesh.recv_many`."""
        if limit < 1:
            raise ValueError(f"recv_many is for at least one envelope, not {limit}")
        if self.queue:
            return succeed(self.pop_many(limit))
        return self._wait(limit, timeout)

    async def iterate(self) -> AsyncIterator[Envelope]:
        """Every envelope that no other receiver has, until the mesh is closed and all was received."""
        queue, line, low = self.queue, self.line, self._low
        popleft = queue.popleft
        while True:
            while queue:
                envelope = popleft()
                if line and len(queue) <= low:
                    self.refill()
                yield envelope
            if self.closed:
                return
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
