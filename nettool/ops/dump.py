"""
What USR2 asks for: the node as it is now, in the log.

In: a node.  Out: a row of the log for the node, each peer, topic and link, and for the largest queues.
Never: a reactor held up: rows are written a few milliseconds at a time, and no faster than the log is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator, deferLater
from twisted.logger import Logger

from nettool.ops import snapshots
from nettool.service import NodeService

QUEUES = 20
"""The largest queues, and those on other nodes who are slow, are told with who fills them and who waits; each costs a
look at all peers."""

SLICE = 0.005
"""Seconds of a turn that may be spent on rows."""

WAIT = 0.05
"""Seconds until a log that is behind is looked at again."""

Rows = Iterable[tuple[str, object]]


class Dump:
    """Writes rows to the log, each as an event `dump`, and `dumped` behind the last."""

    _log = Logger()

    def __init__(self, reactor: Any, rows: Callable[[], Rows], is_behind: Callable[[], bool]) -> None:
        """`rows` gives kinds and plain data; `is_behind` says whether the log waits for whoever reads it."""
        self._reactor = reactor
        self._rows = rows
        self._is_behind = is_behind
        self._cooperator = Cooperator(self._slice, lambda call: reactor.callLater(0, call))

    def write(self) -> Deferred[Any]:
        """Write them; fires when the last one is written."""
        return self._cooperator.coiterate(self._write())

    def _slice(self) -> Callable[[], bool]:
        end = self._reactor.seconds() + SLICE
        return lambda: self._reactor.seconds() >= end

    def _write(self) -> Iterator[Deferred[None] | None]:
        count = 0
        for kind, row in self._rows():
            while self._is_behind():
                yield deferLater(self._reactor, WAIT)
            self._log.info("{kind}", event="dump", kind=kind, row=row)
            count += 1
            yield None
        self._log.info("{rows} rows", event="dumped", rows=count)


def rows_of(node: NodeService) -> Iterator[tuple[str, object]]:
    """All of a node, as it is when the first one is asked for; the queues as they are when it is their turn."""
    peers, topics, links = snapshots.peers(node), snapshots.topics(node), snapshots.links(node)
    yield "node", snapshots.stats(node)
    yield from (("peer", peer) for peer in peers)
    yield from (("topic", topic) for topic in topics)
    yield from (("link", link) for link in links)
    slow = [name for link in links for name in link.slow]
    largest = sorted((peer for peer in peers if peer.queued_bytes), key=lambda peer: -peer.queued_bytes)
    for name in [peer.name for peer in largest[:QUEUES]] + slow[:QUEUES]:
        queue = snapshots.why(node, name)
        if queue is not None:
            yield "queue", queue
