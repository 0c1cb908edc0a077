"""The table of calls: every row, every error, every Deferred cancelled."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost

from nettool.mesh import (
    Added,
    AlreadyInUse,
    ConnectionGone,
    Disconnected,
    DuplicateId,
    Envelope,
    EnvelopeTooLarge,
    Mesh,
    MeshClosed,
    NotFound,
    QueueFull,
    Removed,
    UnknownScheme,
    transport,
)
from nettool.mesh.framing import HEADER
from nettool.mesh.incoming import Incoming
from nettool.settings import CHUNK
from tests.mesh.fakes import FakeWires


def result_of(deferred: Deferred[Any]) -> Any:
    """What it has fired with; its error, if it failed; "waits" if it has not fired."""
    results: list[Any] = []
    deferred.addCallbacks(results.append, lambda failure: results.append(failure.value))
    return results[0] if results else "waits"


# --- add, remove ----------------------------------------------------------------------------------


def test_an_id_is_taken_once() -> None:
    wires = FakeWires()
    wires.wire("a")
    with pytest.raises(DuplicateId, match="'a'"):
        wires.wire("a")
    assert wires.told == [Added("a")]


def test_a_connection_that_cannot_be_added_leaves_its_id_free() -> None:
    wires = FakeWires()
    wire = wires.wire("a")
    with pytest.raises(AlreadyInUse):
        wires.mesh.add(wire.owner, "b")
    wires.wire("b")
    assert wires.told == [Added("a"), Added("b")]


def test_a_connection_that_cannot_be_added_keeps_the_bounds_of_the_mesh_that_it_is_in() -> None:
    wires = FakeWires(outgoing=4)
    wire = wires.wire("a")
    wire.room = 0
    narrow = Mesh(1, 1, max_envelope=5, reactor=wires.clock)
    with pytest.raises(AlreadyInUse):
        narrow.add(wire.owner, "a")
    assert wire.max_envelope > 5
    for number in range(6):  # one is with the wire, which is blocked by it
        wires.mesh.send(Envelope("a", b"longer than five %d" % number))
        wires.settle()
        if number == 4:
            break
    with pytest.raises(QueueFull):
        wires.mesh.send(Envelope("a", b"5"))
    assert narrow.stats() == {}


def test_what_is_no_connection_is_refused_with_a_word_about_await() -> None:
    wires = FakeWires()
    for wrong in (transport("inproc", reactor=wires.clock).listen("inproc://no-connection"), None, "a"):
        with pytest.raises(TypeError, match="is an `await` missing"):
            wires.mesh.add(wrong, "a")  # type: ignore[arg-type]
        if isinstance(wrong, Deferred):
            result_of(result_of(wrong).close())
    assert wires.told == []


def test_a_connection_that_is_being_closed_is_added_to_nothing() -> None:
    wires = FakeWires()
    wire = wires.wire()
    wire.room = 0
    result_of(wire.owner.send(b"1"))
    wires.settle()
    closing = wire.owner.close()
    with pytest.raises(ConnectionGone, match="being closed"):
        wires.mesh.add(wire.owner, "a")
    wire.take()
    assert result_of(closing) is None and wires.told == []


def test_a_new_connection_is_told_before_what_it_brings() -> None:
    wires = FakeWires()
    wire = wires.wire()
    waiting = wire.owner.recv()
    wire.bring(b"1", b"2")
    assert result_of(waiting) == b"1"
    order: list[Any] = []
    wires.mesh.subscribe(order.append)
    wires.mesh.recv().addCallback(order.append)
    wires.mesh.add(wire.owner, "a")
    assert order == [Added("a"), Envelope("a", b"2")]


def test_a_connection_that_is_removed_as_soon_as_it_is_told_is_not_read() -> None:
    wires = FakeWires()
    removed: list[Any] = []
    wires.mesh.subscribe(lambda event: removed.append(wires.mesh.remove("a")) if isinstance(event, Added) else None)
    wire = wires.wire("a")
    assert not wire.reading
    wires.settle()
    assert result_of(removed[0]) is wire.owner
    assert not wire.reading


def test_who_has_ended_says_so_in_or_out_of_the_mesh_it_was_in() -> None:
    wires = FakeWires()
    wire = wires.wire("a")
    wire.end(ConnectionLost())
    for gone in (wire.owner.send(b""), wire.owner.recv()):
        error = result_of(gone)
        assert isinstance(error, ConnectionGone) and isinstance(error.reason, ConnectionLost)
    with pytest.raises(ConnectionGone):
        Mesh(reactor=wires.clock).add(wire.owner, "b")


def test_who_is_being_closed_takes_no_more_and_says_why() -> None:
    wires = FakeWires()
    wire = wires.wire()
    wire.room = 0
    waiting = [wire.owner.send(b"%d" % number * CHUNK) for number in range(200)]
    assert not waiting[-1].called
    closing = wire.owner.close()
    for refused in (wire.owner.send(b"more"), wire.owner.recv(), waiting.pop()):
        assert isinstance(result_of(refused), ConnectionGone)
    assert {type(result_of(sent)) for sent in waiting} == {type(None), ConnectionGone}
    wire.take()
    assert result_of(closing) is None


def test_everybody_who_asks_is_told_why_a_connection_was_lost() -> None:
    wires = FakeWires()
    wire = wires.wire("a")
    first, second, cancelled = wire.owner.lost, wire.owner.lost, wire.owner.lost
    cancelled.cancel()
    assert isinstance(result_of(cancelled), CancelledError)
    assert result_of(first) == "waits"
    reason = ConnectionLost()
    wire.end(reason)
    assert [result_of(lost) for lost in (second, wire.owner.lost, wire.owner.lost)] == [reason] * 3


def test_a_closed_mesh_gives_back_what_it_does_not_take() -> None:
    wires = FakeWires(outgoing=1)
    wire = wires.wire("a")
    wire.room = 0
    envelopes = [Envelope("a", b"%d" % number) for number in range(5)]
    wires.mesh.send(envelopes[0])
    wires.settle()
    wires.mesh.send(envelopes[1])
    waiting = wires.mesh.send_when_ready(envelopes[2])
    assert not waiting.called
    closing = wires.mesh.close()
    errors = [result_of(waiting), result_of(wires.mesh.send_when_ready(envelopes[3]))]
    with pytest.raises(MeshClosed) as sent:
        wires.mesh.send(envelopes[4])
    with pytest.raises(MeshClosed) as many:
        wires.mesh.send_many(envelopes)
    assert [error.envelope for error in (*errors, sent.value)] == envelopes[2:]
    assert many.value.envelopes == envelopes
    wire.take()
    assert result_of(closing) is None


def test_where_nothing_is_queued_no_time_is_enough_to_remove() -> None:
    wires = FakeWires()
    wire = wires.wire("a")
    removing = wires.mesh.remove("a", 0)
    wires.settle()
    assert result_of(removing) is wire.owner


def test_a_queue_that_is_full_of_bytes_is_not_counted_for_each_envelope(monkeypatch: pytest.MonkeyPatch) -> None:
    wires = FakeWires(incoming=10**6, incoming_bytes=10_000)
    counted: list[int] = []
    count = Incoming._count
    monkeypatch.setattr(Incoming, "_count", lambda self: (counted.append(len(self)), count(self)))
    for id in ("a", "b"):
        wires.wire(id).bring(*[b"x" * 10] * 5000)
    del counted[:]
    for _ in range(9_000):
        assert result_of(wires.mesh.recv()).payload == b"x" * 10
    # Twenty times what the queue holds, and each time when half of it has gone.
    assert 0 < len(counted) < 100


def test_what_came_before_a_connection_was_added_comes_first() -> None:
    wires = FakeWires()
    wire = wires.wire()
    waiting = wire.owner.recv()
    wire.bring(b"1", b"2", b"3")
    assert result_of(waiting) == b"1"
    assert not wire.reading
    wires.mesh.add(wire.owner, "a")
    assert wire.reading
    wire.bring(b"4")
    assert result_of(wires.mesh.recv_many(9)) == [("a", b"2"), ("a", b"3"), ("a", b"4")]


def test_a_connection_that_has_ended_is_added_told_and_gone() -> None:
    wires = FakeWires()
    wire = wires.wire()
    wire.owner.recv().addErrback(lambda _: None)
    wire.bring(b"1", b"2")
    wire.end(ConnectionLost())
    wires.mesh.add(wire.owner, "a")
    assert result_of(wires.mesh.recv()) == Envelope("a", b"2")
    wires.settle()
    assert wires.told == [Added("a"), Disconnected("a", wire.owner.reason, [])]


def test_max_envelope_goes_to_the_wire() -> None:
    wires = FakeWires(max_envelope=77)
    assert wires.wire("a").max_envelope == 77


def test_remove_waits_for_the_queue_and_takes_no_more() -> None:
    wires = FakeWires()
    wire = wires.wire("a")
    wire.room = 1
    for number in range(4):
        wires.mesh.send(Envelope("a", b"%d" % number))
        wires.settle()
    removing = wires.mesh.remove("a")
    wires.settle()
    assert not wire.reading
    with pytest.raises(NotFound) as refused:
        wires.mesh.send(Envelope("a", b"too late"))
    assert refused.value.envelope == Envelope("a", b"too late")
    assert wires.told == [Added("a")]
    wire.take()
    assert wire.taken == [b"0", b"1", b"2", b"3"]
    assert result_of(removing) is wire.owner
    assert wires.told == [Added("a"), Removed("a")]
    assert "a" not in wires.mesh.stats()
    wires.wire("a")


def test_remove_of_nobody_fails() -> None:
    assert isinstance(result_of(FakeWires().mesh.remove("a")), NotFound)


def test_a_remove_that_takes_too_long_or_is_cancelled_leaves_it_in_the_mesh() -> None:
    wires = FakeWires()
    wire = wires.wire("a")
    wire.room = 0
    wires.mesh.send(Envelope("a", b"1"))
    wires.settle()
    wires.mesh.send(Envelope("a", b"2"))
    slow = wires.mesh.remove("a", 3)
    wires.clock.advance(3)
    assert isinstance(result_of(slow), TimeoutError)
    given_up = wires.mesh.remove("a")
    given_up.cancel()
    assert isinstance(result_of(given_up), CancelledError)
    wires.mesh.send(Envelope("a", b"3"))
    wire.take()
    assert wire.taken == [b"1", b"2", b"3"] and wire.reading
    assert wires.told == [Added("a")] and not wires.clock.getDelayedCalls()


def test_a_connection_that_ends_while_it_is_removed() -> None:
    wires = FakeWires()
    wire = wires.wire("a")
    wire.room = 0
    wires.mesh.send(Envelope("a", b"1"))
    wires.settle()
    removing = wires.mesh.remove("a", 5)
    wires.mesh.close(0)
    error = result_of(removing)
    assert isinstance(error, MeshClosed | ConnectionGone)
    other = FakeWires()
    wire = other.wire("a")
    wire.room = 0
    other.mesh.send(Envelope("a", b"1"))
    other.settle()
    removing = other.mesh.remove("a")
    wire.end(ConnectionLost())
    assert isinstance(result_of(removing), ConnectionGone)
    assert other.told[-1] == Disconnected("a", wire.owner.reason, [Envelope("a", b"1")])


def test_an_envelope_of_a_removed_connection_keeps_its_id_and_what_had_no_room_stays_with_it() -> None:
    wires = FakeWires(incoming=2)
    wire = wires.wire("a")
    wire.bring(b"1", b"2", b"3", b"4")
    connection = result_of(wires.mesh.remove("a"))
    wires.settle()
    connection = connection if connection != "waits" else wire.owner
    assert result_of(wires.mesh.recv_many(9)) == [("a", b"1"), ("a", b"2")]
    assert result_of(wires.mesh.recv_many(9, 0)) == "waits"
    assert [result_of(connection.recv()), result_of(connection.recv())] == [b"3", b"4"]
    wires.clock.advance(0)


# --- send -----------------------------------------------------------------------------------------


def test_many_sends_of_one_turn_are_one_write() -> None:
    wires = FakeWires(outgoing=100)
    wire = wires.wire("a")
    for number in range(50):
        wires.mesh.send(Envelope("a", b"%d" % number))
    assert wire.writes == 0
    wires.settle()
    assert wire.writes == 1 and wire.taken == [b"%d" % number for number in range(50)]


def test_a_queue_that_becomes_full_is_written_out_while_the_wire_takes_it() -> None:
    wires = FakeWires(outgoing=4)
    wire = wires.wire("a")
    for number in range(10):
        wires.mesh.send(Envelope("a", b"%d" % number))
    assert wires.mesh.stats()["a"].queued_out <= 4
    wires.settle()
    assert wire.taken == [b"%d" % number for number in range(10)]


@pytest.mark.parametrize(("limits", "taken"), [({"outgoing": 4}, 4), ({"outgoing": 9, "outgoing_bytes": 25}, 2)])
def test_a_full_queue_refuses_with_the_envelope(limits: dict[str, int], taken: int) -> None:
    wires = FakeWires(**limits)
    wire = wires.wire("a")
    wire.room = 0
    wires.mesh.send(Envelope("a", b"on its way"))
    wires.settle()
    for _ in range(taken):
        wires.mesh.send(Envelope("a", b"x" * 10))
    with pytest.raises(QueueFull) as refused:
        wires.mesh.send(Envelope("a", b"y" * 10))
    assert refused.value.envelope == Envelope("a", b"y" * 10)
    assert wires.mesh.stats()["a"].queued_out == taken
    wire.take()
    assert len(wire.taken) == 1 + taken
    wires.mesh.send(Envelope("a", b"y" * 10))


def test_one_envelope_always_fits() -> None:
    wires = FakeWires(outgoing_bytes=1, incoming_bytes=1)
    wire = wires.wire("a")
    wire.room = 0
    wires.mesh.send(Envelope("a", b"on its way"))
    wires.settle()
    wires.mesh.send(Envelope("a", b"x" * 1000))
    with pytest.raises(QueueFull):
        wires.mesh.send(Envelope("a", b""))
    wire.bring(b"y" * 1000, b"z")
    assert not wire.reading
    assert result_of(wires.mesh.recv()).payload == b"y" * 1000
    assert wire.reading
    assert result_of(wires.mesh.recv()).payload == b"z"


def test_what_cannot_be_sent_at_all() -> None:
    wires = FakeWires(max_envelope=10)
    wires.wire("a")
    for wrong in (bytearray(b"x"), "x", memoryview(b"x"), None):
        with pytest.raises(TypeError, match="bytes"):
            wires.mesh.send(Envelope("a", wrong))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="bytes"):
            wires.mesh.send_many([Envelope("a", wrong)])  # type: ignore[arg-type]
    with pytest.raises(EnvelopeTooLarge, match="11 bytes"):
        wires.mesh.send(Envelope("a", b"x" * 11))
    wires.mesh.send(Envelope("a", b"x" * 10))
    with pytest.raises(NotFound, match="'b'"):
        wires.mesh.send(Envelope("b", b""))


def test_who_waits_for_room_comes_before_who_does_not() -> None:
    wires = FakeWires(outgoing=1)
    wire = wires.wire("a")
    wire.room = 0
    for word in (b"1", b"2"):
        wires.mesh.send(Envelope("a", word))
        wires.settle()
    waiting = [wires.mesh.send_when_ready(Envelope("a", word)) for word in (b"3", b"4", b"5")]
    waiting[1].cancel()
    wire.take(1)
    with pytest.raises(QueueFull):
        wires.mesh.send(Envelope("a", b"overtakes"))
    wire.take()
    wires.settle()
    assert wire.taken == [b"1", b"2", b"3", b"5"]
    assert [result_of(ready) for ready in (waiting[0], waiting[2])] == [None, None]
    assert isinstance(result_of(waiting[1]), CancelledError)
    wires.mesh.send(Envelope("a", b"6"))
    wires.settle()
    assert wire.taken[-1] == b"6"


def test_who_waits_for_room_is_told_of_the_end() -> None:
    wires = FakeWires(outgoing=1)
    wire = wires.wire("a")
    wire.room = 0
    for word in (b"1", b"2"):
        wires.mesh.send(Envelope("a", word))
        wires.settle()
    waiting = wires.mesh.send_when_ready(Envelope("a", b"3"))
    wire.end(ConnectionLost())
    error = result_of(waiting)
    assert isinstance(error, ConnectionGone) and error.envelope == Envelope("a", b"3")
    assert wires.told[-1].unsent == [Envelope("a", b"1"), Envelope("a", b"2")]
    assert isinstance(result_of(wires.mesh.send_when_ready(Envelope("a", b""))), NotFound)


def test_send_many_takes_what_it_can_and_keeps_the_order_of_each() -> None:
    wires = FakeWires(outgoing=2, max_envelope=5)
    slow, well = wires.wire("slow"), wires.wire("well")
    slow.room = 0
    wires.mesh.send(Envelope("slow", b"0"))
    wires.settle()
    sent = [Envelope(id, word) for id, word in zip(("slow", "well") * 4, (b"%d" % n for n in range(8)), strict=True)]
    with pytest.raises(QueueFull) as refused:
        wires.mesh.send_many([*sent, Envelope("nobody", b""), Envelope("well", b"toolong"), Envelope("well", b"9")])
    assert refused.value.envelope == sent[4]
    assert refused.value.envelopes == [
        sent[4],
        sent[6],
        Envelope("nobody", b""),
        Envelope("well", b"toolong"),
        Envelope("well", b"9"),
    ]
    wires.settle()
    slow.take()
    assert slow.taken == [b"0", b"0", b"2"] and well.taken == [b"1", b"3", b"5", b"7"]
    wires.mesh.send_many(iter(sent))
    wires.mesh.send_many([])
    plain: Any = [("well", b"8"), ("nobody", b"9")]  # which an envelope is, too
    with pytest.raises(NotFound):
        wires.mesh.send_many(plain)
    wires.mesh.send(plain[0])
    assert result_of(wires.mesh.send_when_ready(plain[0])) is None


def test_send_many_of_more_than_the_queue_has_room_for_goes_through_while_the_wire_takes_it() -> None:
    wires = FakeWires(outgoing=3)
    wire = wires.wire("a")
    wires.mesh.send(Envelope("a", b"first"))
    wires.mesh.send_many(Envelope("a", b"%d" % number) for number in range(100))
    wires.settle()
    assert wire.taken == [b"first", *(b"%d" % number for number in range(100))]


def test_send_many_sends_to_each_connection_at_once_and_nothing_if_one_is_no_bytes() -> None:
    wires = FakeWires(outgoing=2)
    a, b = wires.wire("a"), wires.wire("b")
    wrong: Any = Envelope("b", bytearray(b"x"))
    with pytest.raises(TypeError):
        wires.mesh.send_many([Envelope("a", b"0"), wrong])
    wires.mesh.send_many([Envelope(id, b"%d" % number) for number in range(100) for id in "ab"])
    wires.settle()
    assert a.taken == b.taken == [b"%d" % number for number in range(100)]
    assert a.writes == b.writes == 1


def test_send_many_gives_a_wire_chunks_until_it_is_blocked_and_the_queue_the_rest() -> None:
    wires = FakeWires(outgoing=4)
    wire = wires.wire("a")
    wire.room = 7
    payloads = [bytes([number]) * (CHUNK // 5 - HEADER) for number in range(20)]
    with pytest.raises(QueueFull) as refused:
        wires.mesh.send_many([Envelope("a", payload) for payload in payloads])
    # Five of them and their headers are a chunk: two chunks are with the wire, which has taken seven; four are queued.
    assert wire.writes == 2 and wires.mesh.stats()["a"].queued_out == 4
    assert refused.value.envelopes == [Envelope("a", payload) for payload in payloads[14:]]
    wire.take()
    wires.settle()
    assert wire.taken == payloads[:14]


def test_what_recv_many_brings_is_passed_on_whole_and_what_is_refused_of_it_is_told() -> None:
    wires = FakeWires(incoming=100, outgoing=2)
    a, b = wires.wire("a"), wires.wire("b")
    for wire in (a, b, a):
        wire.bring(b"1", b"2", b"3")
    many = result_of(wires.mesh.recv_many(100))
    a.room = 0
    with pytest.raises(QueueFull) as refused:
        wires.mesh.send_many(many)
        wires.mesh.send_many(many)
    assert a._held == [b"1", b"2", b"3"] * 2 and b.taken == [b"1", b"2", b"3"] * 2
    assert refused.value.envelopes == [Envelope("a", word) for word in (b"3", b"1", b"2", b"3")]
    assert [envelope.payload for envelope in many] == [b"1", b"2", b"3"] * 3
    result_of(wires.mesh.close(0))
    with pytest.raises(MeshClosed):
        wires.mesh.send_many(many)
    wires.mesh.send_many([])


# --- recv -----------------------------------------------------------------------------------------


def test_each_envelope_goes_to_one_receiver_the_longest_waiting_first() -> None:
    wires = FakeWires()
    wire = wires.wire("a")
    one, gone, many, late = wires.mesh.recv(), wires.mesh.recv(), wires.mesh.recv_many(2), wires.mesh.recv(5)
    gone.cancel()
    wire.bring(b"1", b"2", b"3")
    assert result_of(one) == Envelope("a", b"1")
    assert result_of(many) == [("a", b"2"), ("a", b"3")]
    assert isinstance(result_of(gone), CancelledError)
    wires.clock.advance(5)
    assert isinstance(result_of(late), TimeoutError)
    wire.bring(b"4")
    assert result_of(wires.mesh.recv(0)) == Envelope("a", b"4")
    assert not wires.clock.getDelayedCalls()


def test_recv_many_is_for_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FakeWires().mesh.recv_many(0)


def test_iteration_shares_the_queue_and_ends_with_the_mesh() -> None:
    wires = FakeWires()
    wire = wires.wire("a")
    heard: dict[str, list[bytes]] = {"x": [], "y": []}
    pauses: list[Deferred[None]] = []

    async def work(name: str) -> str:
        async for envelope in wires.mesh:
            heard[name].append(envelope.payload)
            pauses.append(Deferred())
            await pauses[-1]
        return f"{name} ended"

    workers = [Deferred.fromCoroutine(work(name)) for name in heard]
    wire.bring(b"1", b"2", b"3")
    assert heard == {"x": [b"1"], "y": [b"2"]}
    pauses[1].callback(None)
    assert heard == {"x": [b"1"], "y": [b"2", b"3"]}
    wires.mesh.close()
    pauses[0].callback(None)
    pauses[2].callback(None)
    assert [result_of(worker) for worker in workers] == ["x ended", "y ended"]
    assert sum(map(len, heard.values())) == 3


def test_a_receiver_that_is_cancelled_within_a_loop_takes_nothing() -> None:
    wires = FakeWires()
    wire = wires.wire("a")

    async def work() -> None:
        async for _ in wires.mesh:
            raise AssertionError("it was cancelled")

    worker = Deferred.fromCoroutine(work())
    worker.cancel()
    assert isinstance(result_of(worker), CancelledError)
    wire.bring(b"1")
    assert result_of(wires.mesh.recv()) == Envelope("a", b"1")


def test_a_full_queue_pauses_and_lets_each_have_its_turn() -> None:
    wires = FakeWires(incoming=4)
    a, b, c = (wires.wire(id) for id in "abc")
    a.bring(*(b"%d" % number for number in range(10)))
    b.bring(b"b", b"b", b"b", b"b", b"b")
    c.bring(b"c")
    assert [a.reading, b.reading, c.reading] == [False, False, False]
    stats = wires.mesh.stats()
    assert [stats[id].queued_in for id in "abc"] == [10, 5, 1]
    assert stats["a"].paused_since == 0.0
    order = [str(result_of(wires.mesh.recv()).id) for _ in range(16)]
    assert order.index("c") < 12  # the queue's four, then one round: four of b's, and a's
    assert [order.count(id) for id in "abc"] == [10, 5, 1]
    assert [a.reading, b.reading, c.reading] == [True, True, True]
    assert wires.mesh.stats()["a"].paused_since is None


def test_the_bound_in_bytes_pauses_too() -> None:
    wires = FakeWires(incoming=100, incoming_bytes=100)
    wire = wires.wire("a")
    for number in range(9):
        wire.bring(b"%d" % number * 10)
    assert wire.reading
    wire.bring(b"x" * 10, b"y" * 10, b"z" * 10)
    assert not wire.reading
    assert sum(size for _, size in wires.mesh._incoming.by_id().values()) <= 100
    assert [result_of(wires.mesh.recv()).payload[:1] for _ in range(12)] == [
        *(b"%d" % n for n in range(9)),
        b"x",
        b"y",
        b"z",
    ]
    assert wire.reading


READS = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(st.binary(max_size=12), min_size=1, max_size=9)), max_size=30
)


@given(READS, st.integers(1, 6), st.integers(1, 30), st.data())
def test_what_comes_in_is_received_once_in_order_and_within_the_bounds(
    reads: list[tuple[str, list[bytes]]], capacity: int, bound: int, data: Any
) -> None:
    wires = FakeWires(incoming=capacity, incoming_bytes=bound)
    sources = {id: wires.wire(id) for id in "abc"}
    sent: dict[str, list[bytes]] = {id: [] for id in "abc"}
    received: dict[str, list[bytes]] = {id: [] for id in "abc"}
    queue = wires.mesh._incoming

    def receive(limit: int) -> None:
        queued = len(queue)
        if queued and not limit:
            envelope = result_of(wires.mesh.recv())
            received[envelope.id].append(envelope.payload)
        elif queued:
            brought = result_of(wires.mesh.recv_many(limit))
            assert len(brought) == min(limit, queued)
            for envelope in brought:
                received[envelope.id].append(envelope.payload)

    for id, payloads in reads:
        if sources[id].reading:
            sources[id].bring(*payloads)
            sent[id] += payloads
        assert len(queue) <= capacity
        assert len(queue) <= 1 or sum(size for _, size in queue.by_id().values()) <= bound
        assert sum(count for count, _ in queue.by_id().values()) == len(queue)
        assert len(queue) or not wires.mesh._incoming.line
        for _ in range(data.draw(st.integers(0, 3))):
            receive(data.draw(st.integers(0, 4)))
    while len(queue):
        receive(3)
    assert received == sent
    assert all(source.reading for source in sources.values())


# --- the end --------------------------------------------------------------------------------------


def test_close_flushes_then_ends_and_receivers_get_what_is_there_first() -> None:
    wires = FakeWires()
    a, b = wires.wire("a"), wires.wire("b")
    a.bring(b"1", b"2")
    b.room = 0
    wires.mesh.send(Envelope("a", b"to a"))
    wires.mesh.send(Envelope("b", b"to b"))
    closing = wires.mesh.close(5)
    again = wires.mesh.close()
    wires.settle()
    assert a.taken == [b"to a"] and a.finished and not b.finished
    with pytest.raises(MeshClosed):
        wires.mesh.send(Envelope("b", b""))
    with pytest.raises(MeshClosed):
        wires.mesh.send_many([Envelope("b", b"")])
    with pytest.raises(MeshClosed):
        wires.wire("c")
    assert isinstance(result_of(wires.mesh.send_when_ready(Envelope("b", b""))), MeshClosed)
    assert result_of(closing) == "waits"
    wires.clock.advance(5)
    assert b.aborted
    assert [result_of(closing), result_of(again), result_of(wires.mesh.close())] == [None, None, None]
    assert [(event.id, event.unsent) for event in wires.told[2:]] == [("a", []), ("b", [Envelope("b", b"to b")])]
    assert all(isinstance(event.reason, MeshClosed) for event in wires.told[2:])
    assert result_of(wires.mesh.recv()) == Envelope("a", b"1")
    assert result_of(wires.mesh.recv_many(5)) == [("a", b"2")]
    assert isinstance(result_of(wires.mesh.recv()), MeshClosed)
    assert not wires.clock.getDelayedCalls()


def test_what_was_read_before_a_close_can_be_received_and_then_nothing() -> None:
    wires = FakeWires()
    wire = wires.wire()
    wire.room = 0
    result_of(wire.owner.send(b"out"))
    wires.settle()
    waiting = wire.owner.recv()
    wire.bring(b"1", b"2")
    assert result_of(waiting) == b"1"
    wire.owner.close()
    wire.owner.arrived([b"3"], 1)  # which a wire had read before it was paused
    assert not wire.reading
    assert [result_of(wire.owner.recv()) for _ in range(2)] == [b"2", b"3"]
    assert isinstance(result_of(wire.owner.recv()), ConnectionGone) and not wire.reading
    wire.take()
    assert isinstance(result_of(wire.owner.recv()), ConnectionGone)


def test_a_close_ends_what_is_being_removed_once() -> None:
    wires = FakeWires()
    wire = wires.wire("a")
    wires.wire("b")
    wire.room = 0
    wires.mesh.send(Envelope("a", b"1"))
    wires.settle()
    removing = wires.mesh.remove("a")
    closing = wires.mesh.close(1)
    assert isinstance(result_of(removing), MeshClosed)
    assert isinstance(result_of(wires.mesh.remove("b")), MeshClosed)
    removing.cancel()
    wires.clock.advance(1)
    assert result_of(closing) is None and not wires.clock.getDelayedCalls()
    assert {event.id: event.unsent for event in wires.told[2:]} == {"a": [Envelope("a", b"1")], "b": []}


def test_of_several_closes_the_shortest_time_holds_and_cancelling_one_cuts_off() -> None:
    for second in (1, 60):
        wires = FakeWires()
        wire = wires.wire("a")
        wire.room = 0
        wires.mesh.send(Envelope("a", b"1"))
        wires.settle()
        first, then = wires.mesh.close(10), wires.mesh.close(second)
        wires.clock.advance(min(second, 10) - 0.5)
        assert not wire.aborted
        wires.clock.advance(0.5)
        assert wire.aborted and result_of(first) is result_of(then) is None
    wires = FakeWires()
    wire = wires.wire("a")
    wire.room = 0
    wires.mesh.send(Envelope("a", b"1"))
    wires.settle()
    first, then = wires.mesh.close(10), wires.mesh.close(10)
    then.cancel()
    assert isinstance(result_of(then), CancelledError) and result_of(first) is None
    assert wire.aborted and wires.told[1:][0].unsent == [Envelope("a", b"1")]


def test_receivers_that_wait_are_told_of_the_close_and_those_who_wait_for_room_too() -> None:
    wires = FakeWires(outgoing=1)
    wire = wires.wire("a")
    wire.room = 0
    receivers = [wires.mesh.recv(9), wires.mesh.recv_many(3)]
    for word in (b"1", b"2"):
        wires.mesh.send(Envelope("a", word))
        wires.settle()
    ready = wires.mesh.send_when_ready(Envelope("a", b"3"))
    closing = wires.mesh.close()
    assert [type(result_of(receiver)) for receiver in receivers] == [MeshClosed, MeshClosed]
    assert isinstance(result_of(ready), MeshClosed)
    closing.cancel()
    assert isinstance(result_of(closing), CancelledError)
    assert wire.aborted and wires.told[-1].unsent == [Envelope("a", b"1"), Envelope("a", b"2")]
    assert not wires.clock.getDelayedCalls()


def test_a_subscriber_that_fails_or_unsubscribes_harms_nobody(logged_failures: Any) -> None:
    wires = FakeWires()
    heard: list[Any] = []

    def fail(event: object) -> None:
        raise ZeroDivisionError

    wires.mesh.subscribe(fail)
    unsubscribe = wires.mesh.subscribe(heard.append)
    wires.wire("a")
    unsubscribe()
    unsubscribe()
    wires.wire("b")
    assert heard == [Added("a")] and wires.told == [Added("a"), Added("b")]
    assert len(logged_failures.flush(ZeroDivisionError)) == 2


def test_capabilities_can_do_their_part_and_no_more() -> None:
    wires = FakeWires()
    wire = wires.wire()
    sender, receiver, lifecycle = wires.mesh.sender(), wires.mesh.receiver(), wires.mesh.lifecycle()
    lifecycle.add(wire.owner, "a")
    sender.send(Envelope("a", b"1"))
    sender.send_many([Envelope("a", b"2")])
    assert result_of(sender.send_when_ready(Envelope("a", b"3"))) is None
    wire.bring(b"4", b"5")
    assert result_of(receiver.recv()) == Envelope("a", b"4")
    assert result_of(receiver.recv_many(1)) == [("a", b"5")]
    assert result_of(lifecycle.remove("a")) == "waits"
    wires.settle()
    assert wire.taken == [b"1", b"2", b"3"]
    public = [{name for name in dir(part) if not name.startswith("_")} for part in (sender, receiver, lifecycle)]
    assert public == [{"send", "send_many", "send_when_ready"}, {"recv", "recv_many"}, {"add", "remove", "subscribe"}]


def test_stats_count_both_ways() -> None:
    wires = FakeWires()
    wire = wires.wire("a")
    wire.room = 1
    for word in (b"1", b"22", b"333"):
        wires.mesh.send(Envelope("a", word))
        wires.settle()
    wire.bring(b"4444", b"5")
    wires.mesh.recv()
    stats = wires.mesh.stats()["a"]
    assert (stats.sent, stats.queued_out, stats.queued_out_bytes, stats.blocked_since) == (2, 1, 3, 0.0)
    assert (stats.received, stats.queued_in, stats.queued_in_bytes, stats.paused_since) == (2, 1, 1, None)
    wire.end(ConnectionLost())
    assert wires.told[-1].unsent == [Envelope("a", b"22"), Envelope("a", b"333")]
    assert wire.owner.outgoing.sent == 1


@pytest.mark.parametrize(
    "name", ["incoming_capacity", "outgoing_capacity", "incoming_bytes", "outgoing_bytes", "max_envelope"]
)
def test_a_bound_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Mesh(**{name: 0})


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(UnknownScheme, match=r"gopher.*inproc, tcp, tls, unix, ws, wss"):
        transport("gopher://")


def test_all_names_are_in_the_package() -> None:
    import nettool.mesh

    assert sorted(nettool.mesh.__all__) == nettool.mesh.__all__
    assert all(hasattr(nettool.mesh, name) for name in nettool.mesh.__all__)
