"""Looking on at what one peer is sent: it holds nobody up, and costs nothing where nobody looks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.ops.levers import Levers
from nettool.ops.tail import HELD, SHOWN, Tail
from nettool.outbox.batch import CHARGE
from nettool.outbox.queue import Outbox
from tests.ops.nodes import SeenNode
from tests.support.street import kibibytes


def tail_of(node: SeenNode, name: str) -> Tail:
    return Levers(node.service, drain=lambda: None).tail(name)


def test_a_tail_shows_what_a_peer_is_sent_from_now_on() -> None:
    node = SeenNode().start()
    alice, bob = node.peers(b"alice", b"bob")
    alice.say(b"bob: before")
    tail = tail_of(node, "bob")
    alice.say(b"bob: not yet")
    tail.start()
    alice.say(b"bob: one", b"bob: two")
    bob.say(b"/ping")
    assert tail.take(10) == ["from alice: one", "from alice: two", "pong"]
    assert tail.take(10) == []
    tail.stop()
    alice.say(b"bob: after")
    assert tail.take(10) == []
    assert bob.hear() == [b"from alice: " + t for t in (b"before", b"not yet", b"one", b"two")] + [
        b"pong",
        b"from alice: after",
    ]


def test_where_nobody_looks_on_an_outbox_is_as_it_was() -> None:
    node = SeenNode().start()
    _, bob = node.peers(b"alice", b"bob")
    outbox = bob.protocol.session.outbox
    assert type(outbox) is Outbox
    first, second = tail_of(node, "bob"), tail_of(node, "bob")
    first.start()
    second.start()
    assert type(outbox) is not Outbox and isinstance(outbox, Outbox)
    first.stop()
    first.stop()
    bob.say(b"/ping")
    assert (first.take(9), second.take(9)) == ([], ["pong"])
    second.stop()
    assert type(outbox) is Outbox, "what costs nothing is Outbox's own `take`"
    first.stop()


def test_text_is_escaped_and_long_lines_are_cut() -> None:
    node = SeenNode().start()
    alice, _ = node.peers(b"alice", b"bob")
    tail = tail_of(node, "bob")
    tail.start()
    alice.say(b"bob: \x1b]0;evil\x07\xff\r", b"bob: " + b"x" * 5000)
    shown, long = tail.take(10)
    assert shown == r"from alice: \x1b]0;evil\x07\xff"
    assert long == "from alice: " + "x" * (SHOWN - 12) + "..."


def test_lines_that_do_not_fit_are_counted_in_their_place() -> None:
    node = SeenNode().start()
    alice, bob = node.peers(b"alice", b"bob")
    tail = tail_of(node, "bob")
    tail.start()
    texts = kibibytes(100)
    alice.say(*(b"bob: " + text for text in texts))
    shown = tail.take(1000)
    left_out = 100 - (len(shown) - 1)
    assert shown[-1] == f"... {left_out} lines left out: more than can be shown"
    assert 0 < left_out < 50, "some 64 KiB of them were kept"
    alice.say(b"bob: and on")
    assert tail.take(10) == ["from alice: and on"]
    assert len(bob.hear()) == 101, "bob himself gets all"


def test_many_empty_texts_fill_a_tail_too() -> None:
    outbox = Outbox.__new__(Outbox)
    tail = Tail("bob", outbox)
    for _ in range(10 * HELD // CHARGE):
        tail._see(b"\n")
    assert tail.take(10_000)[-1].startswith("... ")
    assert tail._held == 0


@given(st.lists(st.binary(max_size=30), max_size=30), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_however_lines_are_cut_into_chunks_they_are_shown_whole_and_in_order(
    texts: list[bytes], cuts: list[int]
) -> None:
    lines = [b"%d " % number + text.replace(b"\n", b"") for number, text in enumerate(texts)]
    stream = b"".join(line + b"\n" for line in lines)
    tail = Tail("bob", Outbox.__new__(Outbox))
    at, turn, shown = 0, 0, []
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        tail._see(memoryview(stream)[at : at + size])
        at, turn = at + size, turn + 1
        shown += tail.take(2)
    while more := tail.take(1):
        shown += more
    assert [line.split(" ")[0] for line in shown] == [str(number) for number in range(len(lines))]


def test_a_tail_ends_with_its_connection() -> None:
    node = SeenNode().start()
    alice, bob = node.peers(b"alice", b"bob")
    tail = tail_of(node, "bob")
    tail.start()
    alice.say(b"bob: last")
    assert not tail.over
    bob.vanish()
    assert tail.over and tail.take(10) == ["from alice: last"]
    node.peers(b"bob")
    alice.say(b"bob: another bob")
    assert tail.take(10) == [], "it is of the connection, not of the name"


def test_a_fault_of_a_tail_is_not_the_peers(logged_failures: object, monkeypatch: pytest.MonkeyPatch) -> None:
    node = SeenNode().start()
    alice, bob = node.peers(b"alice", b"bob")
    tail = tail_of(node, "bob")
    monkeypatch.setattr(tail, "_add", lambda data: 1 / 0)
    tail.start()
    alice.say(b"bob: one")
    alice.say(b"bob: two")
    assert bob.hear() == [b"from alice: one", b"from alice: two"]
    assert bob.is_connected
    assert len(logged_failures.flush(ZeroDivisionError)) == 1, "it looks away after the first"  # type: ignore[attr-defined]


def test_a_line_larger_than_a_chunk_is_seen_as_one() -> None:
    from nettool.settings import CHUNK

    tail = Tail("bob", Outbox.__new__(Outbox))
    tail._see(memoryview(b"from alice: " + b"x" * (CHUNK - 12)))
    tail._see(memoryview(b"y" * CHUNK))
    tail._see(memoryview(b"y\nfrom alice: next\n"))
    long, after = tail.take(5)
    assert long == "from alice: " + "x" * (SHOWN - 12) + "..." and after == "from alice: next"
