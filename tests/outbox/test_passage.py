"""What has passed through outboxes: phases that end as often as they begin, and the time that they took."""

from __future__ import annotations

import pytest

from nettool.errors import ReturnReason
from nettool.outbox.batch import Batch, Kind
from nettool.outbox.passage import Passage
from nettool.settings import CHUNK
from tests.outbox.place import BOUND, Place, Sender, filling
from tests.outbox.test_pump import Line


@pytest.fixture
def alice() -> Sender:
    return Sender(b"alice")


@pytest.fixture(params=[True, False], ids=["layered", "plain"])
def layered(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def in_transfer(passage: Passage) -> int:
    return passage.held - passage.taken - passage.lost


# --- the outgoing buffer


def test_a_batch_that_is_written_at_once_took_no_time(alice: Sender) -> None:
    place = Place()
    place.outbox.unblock()
    batch = place.direct(alice, b"1", b"2")
    place.outbox.take(batch.at)
    direct = place.ledger.direct
    assert (direct.delivered, direct.bytes, direct.seconds) == (2, len(batch.data), 0.0)


def test_time_in_the_buffer_is_summed_over_lines_by_mode(alice: Sender) -> None:
    place = Place()
    place.direct(alice, b"1", b"2")
    place.now += 3
    place.topic(alice, b"3")
    place.now += 1
    place.take()
    assert (place.ledger.direct.seconds, place.ledger.topic.seconds) == (2 * 4.0, 1.0)


def test_batches_of_one_turn_have_waited_since_the_middle_of_it(alice: Sender) -> None:
    place = Place()
    place.outbox.unblock()
    for _ in range(3):
        place.topic(alice, b"1")
        place.now += 0.1
    place.outbox.take(place.now)
    assert place.ledger.topic.seconds == pytest.approx(3 * 0.2)


def test_kinds_that_leave_in_one_chunk_are_counted_each_by_itself(alice: Sender) -> None:
    place = Place()
    place.outbox.unblock()
    place.answer(b"ok")
    place.direct(alice, b"1")
    place.topic(alice, b"2")
    place.returned(b"3")
    data = b"from alice: 4\nfrom alice to #t: 5\n"
    place.outbox.put(Batch(Kind.MIXED, alice, b"owner", data, 2, place.now))
    place.now += 1
    place.outbox.take(place.now)
    counts = [(passage.delivered, passage.bytes, passage.seconds) for passage in place.ledger.passages]
    assert counts == [(1, 14, 1.0), (1, 20, 1.0), (2, 34, 2.0)]
    assert place.ledger.returned_bytes == {ReturnReason.QUEUE_FULL: len(b"returned bob queue-full: 3\n")}


def test_a_clock_that_is_set_back_takes_nothing_off(alice: Sender) -> None:
    place = Place()
    place.outbox.unblock()
    for batches in (1, 2):
        for _ in range(batches):
            place.direct(alice, b"1")
        place.outbox.take(place.now - 3600)
    place.outbox.block()
    place.direct(alice, b"2")
    place.outbox.unblock()
    place.outbox.take(place.now - 3600)
    assert place.ledger.direct.seconds == 0.0


def test_a_large_batch_passes_chunk_by_chunk(alice: Sender) -> None:
    place = Place(outbox_bytes=0)
    place.outbox.unblock()
    text = b"." * (CHUNK // 3)
    batch = place.direct(alice, *[text] * 10)
    place.now += 1
    place.outbox.take(place.now)
    assert (place.ledger.direct.delivered, place.ledger.direct.bytes) == (2, CHUNK)
    while place.outbox.take(place.now) is not None:
        pass
    assert (place.ledger.direct.delivered, place.ledger.direct.bytes) == (10, len(batch.data))
    assert place.ledger.direct.seconds == 10.0


def test_mixed_lines_that_wait_go_on_as_direct_and_broadcast_ones(alice: Sender) -> None:
    place = Place()
    place.outbox.put(Batch(Kind.MIXED, alice, b"owner", b"from alice: 1\nfrom alice to #t: 2\n", 2, place.now))
    direct, topic, mixed = place.ledger.passages
    assert (mixed.told_apart, direct.from_mixed, topic.from_mixed) == (2, 1, 1)
    place.take()
    assert (mixed.delivered, direct.delivered, topic.delivered) == (0, 1, 1)


# --- the outgoing transfer


def test_a_transport_that_takes_all_has_no_transfer(layered: bool, alice: Sender) -> None:
    line = Line(layered=layered)
    line.direct(alice, b"1")
    line.settle()
    assert line.pump.transfer is None
    assert line.ledger.direct.held == 0


def test_a_transfer_ends_when_the_transport_has_taken_all(layered: bool, alice: Sender) -> None:
    line = Line(layered=layered)
    line.end.room = 10
    batch = line.direct(alice, b"1", b"." * CHUNK)
    line.settle()
    while not line.outbox.blocked:
        line.settle()
    transfer = line.pump.transfer
    assert transfer is not None
    line.pass_time(3)
    for _ in range(3):
        line.end.take(len(batch.data))
        line.clock.advance(0)
    assert line.pump.transfer is None
    direct = line.ledger.direct
    assert direct.held == direct.taken > 0
    assert direct.transfer_seconds == 3.0 * direct.taken
    assert (direct.lost, direct.untaken_bytes) == (0, 0)


def test_a_transfer_is_counted_by_mode_and_without_answers(alice: Sender) -> None:
    line = Line(layered=False)
    line.end.room = 5
    line.answer(b"ok")
    direct, topic = line.direct(alice, b"1"), line.topic(alice, b"2", b"3")
    line.settle()
    transfer = line.pump.transfer
    assert transfer is not None
    assert transfer.counts == {Kind.DIRECT: (1, len(direct.data)), Kind.TOPIC: (2, len(topic.data))}
    assert transfer.bytes == 3 + len(direct.data) + len(topic.data)
    assert (in_transfer(line.ledger.direct), in_transfer(line.ledger.topic)) == (1, 2)


def test_what_a_lost_connection_took_is_counted_as_lost_once(layered: bool, alice: Sender) -> None:
    line = Line(layered=layered)
    line.end.room = 0
    line.topic(alice, b"1", b"." * CHUNK)
    line.settle()
    held = line.ledger.topic.held
    assert held > 0
    line.pump.stop()
    line.pump.stop()
    assert (line.ledger.topic.lost, in_transfer(line.ledger.topic)) == (held, 0)
    assert line.ledger.topic.untaken_bytes > 0


# --- who is made to wait


def test_pauses_and_their_time_are_counted_by_what_senders_wait_for(alice: Sender) -> None:
    place, bob = Place(), Sender(b"bob")
    place.direct(alice, filling(BOUND))
    place.now += 1
    place.direct(bob, b"x")
    place.now += 1
    assert (place.waits.direct.filled, place.waits.direct.pauses, place.waits.direct.paused) == (1, 2, 0.0)
    place.take()
    assert place.waits.direct.paused == 3.0
    assert (place.waits.topic.filled, place.waits.topic.pauses) == (0, 0)


def test_patience_ends_pauses_and_a_new_episode_begins_others(alice: Sender) -> None:
    place = Place()
    for _ in range(2):
        place.topic(alice, filling(BOUND))
        place.time_passes(0.1)
        place.take_all()
    assert (place.waits.topic.filled, place.waits.topic.pauses) == (2, 2)
    assert place.waits.topic.paused == pytest.approx(0.2)


def test_who_waits_for_his_own_answers_is_counted_apart() -> None:
    place = Place()
    place.answer(filling(BOUND))
    place.now += 2
    place.outbox.close(ReturnReason.DISCONNECTED, place.now)
    assert (place.waits.own.pauses, place.waits.own.paused) == (1, 2.0)
    assert place.waits.direct.pauses == 0
