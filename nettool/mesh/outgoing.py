"""
What one connection still has to be sent.

In: payloads, at any time.  Out: lists of payloads for a wire that takes them, one for each turn; a refusal where the
queue is full; all of it back when the connection ends.  Never: more held than the bounds; one payload too large for
them is held alone.

While the wire takes what it is given, nothing is refused: a queue that becomes full is written out at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from nettool.interfaces import IFlushed
from nettool.mesh.errors import MeshError
from nettool.mesh.framing import HEADER
from nettool.settings import CHUNK

if TYPE_CHECKING:
    from nettool.mesh.turn import MeshTurn


@implementer(IFlushed)
class Outgoing:
    """The queue of one connection, and those who wait for room in it.

    Invariants: `held` is the bytes in `queue`, at most `bound`, unless it has a single payload; somebody waits only
    while there is no room for him; after `close` it is empty.
    """

    __slots__ = (
        "_admitting",
        "_bound",
        "_capacity",
        "_turn",
        "_waiting",
        "_when_empty",
        "_wire",
        "blocked_since",
        "closed",
        "held",
        "queue",
        "room",
        "sent",
        "soft",
    )

    def __init__(self, wire: Any, turn: MeshTurn, capacity: int, bound: int, max_envelope: int) -> None:
        self._wire = wire  # an IWire
        self._turn = turn
        self.queue: list[bytes] = []
        self.held = 0
        self.sent = 0
        """Payloads that the wire was given."""
        self.blocked_since: float | None = None
        self.closed: MeshError | None = None
        """Why nothing is taken any more."""
        self._admitting = False
        self._waiting: deque[tuple[bytes, Deferred[None]]] = deque()
        self._when_empty: list[Callable[[], None]] = []
        self.set_bounds(capacity, bound, max_envelope)

    def set_bounds(self, capacity: int, bound: int, max_envelope: int) -> None:
        """At most so many payloads, and so many bytes; no payload is longer than `max_envelope`."""
        self._capacity = capacity
        self._bound = bound
        self.room = 0 if self.closed is not None or self._waiting else capacity
        """For whoever appends by himself (`Mesh.send`): payloads that the queue may have before he asks `put`."""
        self.soft = min(bound, CHUNK, max_envelope)
        """The same for bytes; what is more goes through `put`, which writes it out or refuses it."""

    # What comes in

    def wake(self) -> None:
        """See `IFlushed`; called before the first payload is appended to an empty queue."""
        if not self._wire.blocked:
            self._turn.wake(self)

    def put(self, payload: bytes) -> bool:
        """Whether it was taken: there is room, or the wire makes some at once."""
        if self.closed is not None or self._waiting:
            return False
        return self._put(payload)

    def _put(self, payload: bytes) -> bool:
        size = len(payload)
        queue = self.queue
        if queue and (len(queue) >= self._capacity or self.held + size > self.soft):
            if self._wire.blocked:
                if len(queue) >= self._capacity or self.held + size > self._bound:
                    return False
            else:
                self.flush()  # a wire that ends tells so later, never within this
                queue = self.queue
        if not queue:
            self.wake()
        queue.append(payload)
        self.held += size
        return True

    def put_many(self, payloads: list[bytes], size: int) -> int:
        """How many of these, `size` bytes in all, were taken, from the first on."""
        if self.closed is not None or self._waiting:
            return 0
        queue = self.queue
        if len(queue) + len(payloads) <= self._capacity and self.held + size <= self.soft:
            if not queue:
                self.wake()
            queue += payloads
            self.held += size
            return len(payloads)
        taken = 0
        if not self._wire.blocked and len(payloads) > 1:
            # More than the queue may have, and the wire takes data: it never is in the queue.
            self.flush()
            while not self._wire.blocked and not self.queue and taken < len(payloads):
                count = _chunk(payloads[taken:] if taken else payloads)
                self._write(payloads[taken : taken + count])
                taken += count
        while taken < len(payloads) and self._put(payloads[taken]):
            taken += 1
        return taken

    def when_ready(self, payload: bytes) -> Deferred[None]:
        """Take it as soon as there is room, in the order of the calls."""
        ready: Deferred[None] = Deferred(self._forget)
        if self.closed is not None:
            ready.errback(self.closed)
        elif self.put(payload):
            ready.callback(None)
        else:
            self._waiting.append((payload, ready))
            self.room = 0  # whoever sends meanwhile would overtake
        return ready

    def _forget(self, ready: Deferred[None]) -> None:
        self._waiting = deque(entry for entry in self._waiting if entry[1] is not ready)
        self._admit()

    def _admit(self) -> None:
        """Let in those who wait, as far as there is room."""
        if self._admitting:
            return  # what is let in may be written out at once, which comes by here
        self._admitting = True
        while self._waiting and self.closed is None and self._put(self._waiting[0][0]):
            self._waiting.popleft()[1].callback(None)
        self._admitting = False
        if not self._waiting and self.closed is None:
            self.room = self._capacity

    # What goes out

    @property
    def who(self) -> str:
        """See `IFlushed`: a connection's id is the program's own, and in no log."""
        return ""

    def flush(self, now: float = 0.0) -> None:
        """See `IFlushed`; nothing here is measured by the time."""
        wire = self._wire
        while self.queue and not wire.blocked:
            if self.held <= CHUNK:
                payloads, self.queue, self.held = self.queue, [], 0
            else:
                payloads = self._cut()
            self._write(payloads)
        if self._waiting and not wire.blocked:
            self._admit()
        if self._when_empty and not self.queue and not self._waiting and not wire.blocked:
            calls, self._when_empty = self._when_empty, []
            for call in calls:
                call()

    def _write(self, payloads: list[bytes]) -> None:
        self.sent += len(payloads)
        self._wire.write(payloads)
        if self._wire.blocked and self.blocked_since is None:
            self.blocked_since = self._turn.clock.seconds()

    def _cut(self) -> list[bytes]:
        """The oldest payloads, as many as are a chunk together, but at least one."""
        payloads = self.queue[: _chunk(self.queue)]
        del self.queue[: len(payloads)]
        self.held -= sum(map(len, payloads))
        return payloads

    def writable(self) -> None:
        """The wire takes payloads again."""
        self.blocked_since = None
        self.flush()

    # The end

    def when_empty(self, call: Callable[[], None]) -> None:
        """Call this, once, when all that is queued has gone through the wire; never, if it is closed before."""
        self._when_empty.append(call)
        if not self._wire.blocked:
            self._turn.wake(self)

    def forget_when_empty(self, call: Callable[[], None]) -> None:
        """Do not call it after all."""
        self._when_empty = [other for other in self._when_empty if other != call]

    def refuse(self, reason: MeshError) -> None:
        """Take no more; who waits is told.  What is queued goes out all the same."""
        if self.closed is None:
            self.closed = reason
            self.room = 0
            waiting, self._waiting = self._waiting, deque()
            for _, ready in waiting:
                ready.errback(reason)

    def close(self, reason: MeshError) -> list[bytes]:
        """Nothing goes out any more: what was queued comes back."""
        left, self.queue, self.held = self.queue, [], 0
        self._when_empty = []
        self.refuse(reason)
        return left


def _chunk(payloads: list[bytes]) -> int:
    """How many of these, from the first on, are a chunk together, with a header each; at least one."""
    count = 0
    for held in accumulate([HEADER + len(payload) for payload in payloads]):
        if held > CHUNK:
            break
        count += 1
    return max(count, 1)
