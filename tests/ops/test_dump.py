"""What USR2 writes to the log: all of a node, without holding it up, and no faster than the log is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from nettool.ops.dump import QUEUES, SLICE, WAIT, Dump, rows_of
from nettool.ops.logs.plain import plain
from tests.ops.nodes import SeenNode
from tests.support.street import kibibytes


class Seen:
    """Collects what is logged."""

    def __enter__(self) -> list[tuple[str, dict[str, Any]]]:
        self.events: list[tuple[str, dict[str, Any]]] = []
        globalLogPublisher.addObserver(self._observe)
        return self.events

    def __exit__(self, *_: object) -> None:
        globalLogPublisher.removeObserver(self._observe)

    def _observe(self, event: dict[str, Any]) -> None:
        if event["log_namespace"] == "nettool.ops.dump.Dump":
            self.events.append((event["event"], event))


def turns(clock: Clock, number: int = 20) -> None:
    for _ in range(number):
        clock.advance(0)


def test_rows_are_written_in_order_and_their_number_behind_them() -> None:
    clock = Clock()
    with Seen() as events:
        done = Dump(clock, lambda: [("a", 1), ("b", {"c": 2})], lambda: False).write()
        turns(clock)
    assert done.called
    assert [name for name, _ in events] == ["dump", "dump", "dumped"]
    assert [(event["kind"], event["row"]) for _, event in events[:2]] == [("a", 1), ("b", {"c": 2})]
    assert events[2][1]["rows"] == 2


def test_nothing_is_written_while_the_log_is_behind() -> None:
    clock, behind = Clock(), [True]
    with Seen() as events:
        done = Dump(clock, lambda: [("a", 1)], lambda: behind[0]).write()
        turns(clock)
        clock.advance(WAIT)
        assert events == []
        behind[0] = False
        turns(clock)
        assert events == [], "it looks again after a while"
        clock.advance(WAIT)
        turns(clock)
    assert done.called
    assert len(events) == 2


def test_others_have_their_turn_between_rows() -> None:
    clock = Clock()
    order = ""

    def rows() -> Iterator[tuple[str, object]]:
        nonlocal order
        for number in range(100):
            clock.rightNow += SLICE / 2
            order += "r"
            yield "a", number

    def other() -> None:
        nonlocal order
        order += "."
        if len(order) < 300:
            clock.callLater(0, other)

    with Seen():
        done = Dump(clock, rows, lambda: False).write()
        other()
        turns(clock, 300)
    assert done.called
    assert order.count("r") == 100
    assert max(map(len, order.split("."))) <= 3


def test_a_fault_in_the_rows_is_the_callers() -> None:
    clock = Clock()

    def rows() -> Iterator[tuple[str, object]]:
        yield "a", 1
        raise ZeroDivisionError

    failed: list[object] = []
    with Seen() as events:
        Dump(clock, rows, lambda: False).write().addErrback(lambda failure: failed.append(failure.type))
        turns(clock)
    assert failed == [ZeroDivisionError]
    assert len(events) == 1


def test_a_node_is_told_with_peers_topics_and_the_largest_queues() -> None:
    node = SeenNode(outbox_bytes=0).start()
    alice, *slow = node.peers(b"alice", *(b"slow%d" % number for number in range(QUEUES + 3)))
    alice.say(b"/join #news")
    for number, peer in enumerate(slow):
        peer.stop_reading()
        alice.say(*(b"slow%d: " % number + text for text in kibibytes(300 + number)))
    rows = list(rows_of(node.service))
    kinds = [kind for kind, _ in rows]
    assert kinds == ["node", *["peer"] * (QUEUES + 4), "topic", *["queue"] * QUEUES]
    queues: list[Any] = [row for kind, row in rows if kind == "queue"]
    sizes = sorted((row.queued_bytes for kind, row in rows if kind == "peer"), reverse=True)  # type: ignore[attr-defined]
    assert [queue.peer.queued_bytes for queue in queues] == sizes[:QUEUES]
    assert [filler.name for filler in queues[0].fillers] == ["alice"]
    json.dumps([plain(row) for _, row in rows], allow_nan=False)


def test_a_peer_that_goes_while_rows_are_written_has_no_queue_any_more() -> None:
    node = SeenNode().start()
    alice, bob = node.peers(b"alice", b"bob")
    bob.stop_reading()
    alice.say(*(b"bob: " + text for text in kibibytes(300)))
    rows = rows_of(node.service)
    assert next(rows)[0] == "node"
    bob.vanish()
    assert [kind for kind, _ in rows] == ["peer", "peer"]
