"""
What goes out on one connection to another node.

In: words of the link itself; frames from the queue to that node, once this connection is the link.  Out: chunks for the
pump.  Never: a frame with lines before the link is taken, or on a connection that is the link no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf

from nettool.cluster.frames import Kind
from nettool.cluster.news import News
from nettool.cluster.queue import LinkQueue
from nettool.errors import ReturnReason
from nettool.interfaces import IPump, ISender
from nettool.mesh.framing import join
from nettool.outbox.backlog import Backlog
from nettool.outbox.passage import Transfer
from nettool.settings import CHUNK, MIB

SAID = 32 * MIB
"""Bytes of words of its own that a link keeps for a node that does not read."""

WORD = 64
"""Bytes that each of them is charged beside its own: what it takes in memory, about."""


class Outlet:
    """To a pump it is what a peer's `Outbox` is.

    Invariant: what was said by the link goes before lines that are taken later; as long as they are joined, the queue
    is blocked exactly while this is, or has no `source`.
    """

    def __init__(self, owner: ISender) -> None:
        self.owner = owner
        """Whose name a log has for it: the link."""
        self.pump: IPump | None = None
        self.blocked = True  # until there is a transport
        self.closed: ReturnReason | None = None
        self.queue: LinkQueue | None = None
        self.source: LinkQueue | None = None
        """The same, once its lines may be taken."""
        self.before_lines: Callable[[], None] = lambda: None
        """Called before something is taken: the link may say what it owes."""
        self.too_much: Callable[[], None] = lambda: None
        """Called when the other node does not read what the link itself has to say."""
        self.news = News()
        """Of peers and topics; goes out behind what was said."""
        self._said: list[bytes] = []
        self._said_bytes = 0

    def say(self, *payloads: bytes) -> None:
        """A word of the link's own, soon."""
        if self.closed is None:
            if not self._said:
                self.wake()
            self._said += payloads
            self._said_bytes += sum(map(len, payloads)) + WORD * len(payloads)
            if self._said_bytes > SAID:
                self._said_bytes = 0
                self.too_much()

    def tell_all(self, kind: Kind, words: Iterable[bytes]) -> None:
        """These are all peers or topics here."""
        self.news.all(kind, words)
        self.wake()

    def tell(self, kind: Kind, word: bytes, there: bool) -> None:
        """A peer or a topic came or went."""
        if not self.news:
            self.wake()
        self.news.change(kind, word, there)

    def wake(self) -> None:
        """There is something to take."""
        if self.pump is not None and not self.blocked:
            self.pump.wake()

    # The queue's side

    def join(self, queue: LinkQueue, *, waits: bool = False) -> None:
        """This connection is the link: take from the queue, or have its lines wait for `go_on`."""
        self.queue = queue
        queue.wake, queue.flush, queue.watch = self.wake, self._flush, self._watch
        if not waits:
            self.go_on()

    def go_on(self) -> None:
        """Take from the queue from now on."""
        self.source = queue = self.queue
        if queue is not None:
            queue.blocked = self.blocked
            self.wake()

    def leave(self) -> None:
        """It is not any more."""
        queue, self.queue, self.source = self.queue, None, None
        self.news.clear()
        if queue is not None:
            queue.cut()

    def _flush(self, now: float) -> None:
        if self.pump is not None:
            self.pump.flush(now)

    def _watch(self) -> None:
        if self.pump is not None:
            self.pump.watch()

    # The pump's side

    def block(self) -> None:
        """See `Outbox`."""
        self.blocked = True
        if self.queue is not None:
            self.queue.block()

    def unblock(self) -> None:
        """See `Outbox`."""
        self.blocked = False
        if self.queue is not None:
            self.queue.blocked = self.source is None

    @property
    def ready(self) -> Sequence[object]:
        """See `Outbox`: the pump asks again as long as there may be more."""
        return self._said or ((self.news,) if self.news else self._lines)

    @property
    def _lines(self) -> Sequence[object]:
        return () if self.source is None else self.source.to_send

    part = None
    """What is larger than a chunk goes as a whole: it is a frame."""

    def begin_transfer(self, size: int, now: float) -> Transfer:
        """See `Outbox`: lines on a link have a transfer of their own, which a confirmation ends."""
        return Transfer(size, {}, (), now)

    def take(self, now: float) -> bytes | None:
        """See `Outbox`."""
        self.before_lines()
        payloads, self._said, self._said_bytes = self._said, [], 0
        if self.news:
            payloads += self.news.take(CHUNK - sum(map(len, payloads)))
        if self.source is not None:
            payloads += self.source.take(CHUNK - sum(map(len, payloads)))
        return join(payloads) if payloads else None

    def made_room(self, now: float) -> None:
        """See `Outbox`."""
        if self.queue is not None:
            self.queue.made_room(now)

    @property
    def backlog(self) -> Backlog | None:
        """See `Outbox`."""
        return None if self.queue is None else self.queue.backlog

    @property
    def full_since(self) -> float:
        """See `Outbox`."""
        return inf if self.backlog is None else self.backlog.full_since

    @property
    def full(self) -> bool:
        """See `Outbox`."""
        return self.full_since < inf

    def close(self) -> None:
        """Nothing more goes out."""
        self.leave()
        self._said.clear()
        self.blocked, self.closed = True, ReturnReason.DISCONNECTED
