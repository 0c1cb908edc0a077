"""The outbox of one connection: through it while the transport takes data, a backlog while it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.errors import ReturnReason
from nettool.outbox.batch import CHARGE, Batch, Kind
from nettool.outbox.facts import Filler, LaneName, LaneSnapshot, OutboxSnapshot, Waiter
from nettool.settings import CHUNK
from tests.outbox.place import BOUND, Place, Sender, filling


@pytest.fixture
def alice() -> Sender:
    return Sender(b"alice")


@pytest.fixture
def place() -> Place:
    """Its transport takes data."""
    made = Place()
    made.outbox.unblock()
    return made


def chunks(place: Place) -> list[bytes]:
    """All that can be taken, as it is taken."""
    taken = []
    while (chunk := place.outbox.take(place.now)) is not None:
        taken.append(bytes(chunk))
    return taken


def test_while_the_transport_takes_data_nobody_waits_and_nothing_is_bounded(place: Place, alice: Sender) -> None:
    for _ in range(20):
        place.direct(alice, filling(BOUND))
        place.topic(alice, filling(BOUND))
    assert not alice.waits
    assert not place.outbox.full
    assert not place.outbox.owner_waits
    assert place.outbox.backlog is None
    assert place.outbox.queued() == 40
    assert not place.outbox.empty
    assert b"".join(chunks(place)).count(b"\n") == 40
    assert place.outbox.empty
    assert place.ledger.delivered == 40


def test_the_pump_is_woken_once_for_all_that_comes_until_it_is_emptied(place: Place, alice: Sender) -> None:
    place.direct(alice, b"1")
    place.direct(alice, b"2")
    assert place.woken == 1
    assert len(chunks(place)) == 1
    place.direct(alice, b"3")
    assert place.woken == 2
    assert place.flushed == 0


def test_the_pump_flushes_at_once_when_a_chunk_is_full(place: Place, alice: Sender) -> None:
    place.direct(alice, b"." * (CHUNK // 2))
    assert place.flushed == 0
    place.direct(alice, b"." * (CHUNK // 2))
    assert place.flushed == 1


def test_chunks_are_of_whole_batches_while_these_fit(place: Place, alice: Sender) -> None:
    batches = [place.direct(alice, b"." * size) for size in (CHUNK // 2, CHUNK // 3, CHUNK // 2, 5)]
    first, second = chunks(place)
    assert first == batches[0].data + batches[1].data
    assert second == batches[2].data + batches[3].data


@pytest.mark.parametrize("blocked", [False, True])
def test_a_batch_over_a_chunk_is_handed_over_in_chunks_and_counted_as_its_lines_end(
    blocked: bool, alice: Sender
) -> None:
    place = Place(outbox_bytes=0)
    if not blocked:
        place.outbox.unblock()
    texts = [b"%d" % number + b"." * (CHUNK // 3) for number in range(10)]
    batch = place.direct(alice, *texts)
    place.outbox.unblock()
    handed = b""
    while (chunk := place.outbox.take(place.now)) is not None:
        assert len(chunk) <= CHUNK
        handed += chunk
        assert place.ledger.delivered == handed.count(b"\n")
        assert place.outbox.queued() == 10 - place.ledger.delivered
        assert place.outbox.empty == (handed == batch.data)
    assert handed == batch.data


def test_lines_given_back_that_are_over_a_chunk_are_counted_too(place: Place) -> None:
    place.returned(*[b"." * (CHUNK // 3)] * 4)
    place.outbox.take(place.now)
    assert place.ledger.returned == {ReturnReason.QUEUE_FULL: 2}
    chunks(place)
    assert place.ledger.returned == {ReturnReason.QUEUE_FULL: 4}


def test_an_answer_over_a_chunk_is_no_text(place: Place) -> None:
    place.answer(b"peer x\n" * CHUNK + b"ok who %d" % CHUNK)
    assert len(chunks(place)) == 8
    assert place.ledger.delivered == 0
    assert place.ledger.returned == {}


def test_what_is_partly_handed_over_goes_first_and_is_never_dropped(alice: Sender) -> None:
    place = Place(topic_patience=0.0)
    place.outbox.unblock()
    batch = place.topic(alice, b"." * 2 * CHUNK)
    chunk = place.outbox.take(place.now)
    assert chunk is not None
    handed = bytes(chunk)
    place.outbox.block()
    for _ in range(10):
        place.topic(alice, b"." * BOUND, topic=b"#u")
    assert place.outbox.queued() == 1
    handed += b"".join(place.take() for _ in range(5))
    assert handed == batch.data + b"error lagged: #u 10\n"


def test_a_close_gives_back_from_the_first_unfinished_line_on(place: Place, alice: Sender) -> None:
    texts = [b"%d" % number + b"." * (CHUNK // 3) for number in range(6)]
    place.direct(alice, *texts)
    place.outbox.take(place.now)
    delivered = place.ledger.delivered
    place.outbox.close(ReturnReason.DISCONNECTED, 200.0)
    ((rest, reason, now),) = place.back
    assert delivered == 2
    assert (rest.lines, rest.kind, rest.address, rest.sender) == (4, Kind.DIRECT, b"owner", alice)
    assert rest.data == b"".join(b"from alice: " + text + b"\n" for text in texts[2:])
    assert (reason, now) == (ReturnReason.DISCONNECTED, 200.0)


def test_a_close_in_the_middle_of_a_chunk_of_whole_lines_gives_back_the_rest(place: Place, alice: Sender) -> None:
    text = b"." * (CHUNK // 2 - len(b"from alice: \n"))
    place.direct(alice, text, text, text)
    place.outbox.take(place.now)
    place.outbox.close(ReturnReason.DISCONNECTED, 200.0)
    assert place.ledger.delivered == 2
    assert [batch.lines for batch, _, _ in place.back] == [1]


def test_what_is_blocked_waits_and_what_comes_later_follows_it(place: Place, alice: Sender) -> None:
    place.direct(alice, b"1")
    place.topic(alice, b"2")
    place.outbox.block()
    assert place.outbox.backlog is not None
    place.direct(alice, b"3")
    assert place.watched == 0
    assert place.take_all() == [b"from alice: 1", b"from alice to #t: 2", b"from alice: 3"]
    assert place.outbox.backlog is None


def test_the_pump_watches_the_time_while_a_lane_is_full(place: Place, alice: Sender) -> None:
    place.direct(alice, filling(BOUND))
    place.outbox.block()
    assert place.watched == 1


def test_before_there_is_a_pump_an_outbox_is_full_all_the_same(alice: Sender) -> None:
    place = Place()
    place.outbox.pump = None
    place.direct(alice, filling(BOUND))
    assert alice.waits
    assert place.watched == 0


def test_a_mixed_batch_passes_whole_while_the_transport_takes_data(place: Place, alice: Sender) -> None:
    data = b"from alice: 1\nfrom alice to #t: 2\n"
    place.outbox.put(Batch(Kind.MIXED, alice, b"owner", data, 2, 1.0))
    assert chunks(place) == [data]
    assert place.ledger.delivered == 2


@pytest.mark.parametrize("ready", [False, True])
def test_a_close_gives_everything_back_exactly_once(ready: bool, alice: Sender) -> None:
    place = Place()
    if ready:
        place.outbox.unblock()
    put = [place.direct(alice, b"1"), place.topic(alice, b"2"), place.returned(b"3"), place.answer(b"4")]
    place.outbox.close(ReturnReason.SLOW_CONSUMER, 200.0)
    assert {batch for batch, _, _ in place.back} == set(put)
    assert {(reason, now) for _, reason, now in place.back} == {(ReturnReason.SLOW_CONSUMER, 200.0)}
    assert place.outbox.empty
    assert place.outbox.queued() == 0
    place.outbox.close(ReturnReason.DISCONNECTED, 201.0)
    assert len(place.back) == len(put)


def test_what_comes_after_the_close_goes_back_at_once_with_the_reason_of_the_close(alice: Sender) -> None:
    place = Place()
    place.outbox.close(ReturnReason.DISCONNECTED, 200.0)
    late = place.direct(alice, b"late")
    assert place.back == [(late, ReturnReason.DISCONNECTED, place.now)]
    assert place.outbox.take(place.now) is None
    place.outbox.made_room(place.now)


def test_a_sealed_outbox_takes_nothing_in_and_keeps_what_it_has(alice: Sender) -> None:
    place = Place()
    kept = place.direct(alice, b"kept")
    place.outbox.seal(ReturnReason.SHUTDOWN)
    late = place.direct(alice, b"late")
    assert [batch for batch, _, _ in place.back] == [late]
    place.outbox.close(ReturnReason.SHUTDOWN, 200.0)
    assert [batch for batch, _, _ in place.back] == [late, kept]


def test_a_snapshot_says_who_fills_it_who_waits_and_for_how_long(alice: Sender) -> None:
    place, bob = Place(), Sender(b"bob")
    assert place.outbox.snapshot(place.now) == OutboxSnapshot(0, 0, 0.0, (), (), 0.0, ())
    first = place.direct(alice, b"1", b"2")
    place.now += 1
    second = place.topic(bob, filling(BOUND))
    place.notice(b"carol")
    snapshot = place.outbox.snapshot(place.now + 2)
    assert snapshot == OutboxSnapshot(
        lines=3,
        held_bytes=3 * CHARGE + len(first.data) + len(second.data),  # the notice found no room: it is only counted
        oldest=3.0,
        fillers=(Filler(b"bob", 1, len(second.data)), Filler(b"alice", 2, len(first.data))),
        waiting=(Waiter(b"bob", LaneName.TOPIC, 2.0),),
        full_for=2.0,
        lanes=(
            LaneSnapshot(LaneName.DIRECT, CHARGE + len(first.data), None, False, None),
            LaneSnapshot(LaneName.TOPIC, 2 * CHARGE + len(second.data), 2.0, False, 0.0),
        ),
    )


def test_an_episode_lasts_until_the_transport_has_taken_so_much_of_a_large_batch_too(alice: Sender) -> None:
    place = Place(outbox_bytes=4 * CHUNK)
    place.direct(alice, *[b"." * 1000] * 5 * (CHUNK // 1000))
    for _ in range(3):
        place.take(1)
        assert alice.waits
    place.take(1)
    assert not alice.waits


@given(
    st.lists(st.integers(0, 700), min_size=1, max_size=12),
    st.integers(0, 30),
    st.sampled_from([Kind.DIRECT, Kind.RETURNED]),
)
def test_wherever_a_batch_is_cut_its_lines_are_counted_once(sizes: list[int], taken: int, kind: Kind) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nettool.outbox.queue.CHUNK", 100)
        patch.setattr("nettool.outbox.backlog.CHUNK", 100)
        place = Place(outbox_bytes=0)
        lines = [b"from alice: " + b"." * size + b"\n" for size in sizes]
        reason = ReturnReason.QUEUE_FULL if kind is Kind.RETURNED else None
        place.outbox.put(Batch(kind, Sender(b"alice"), b"", b"".join(lines), len(lines), 1.0, None, reason))
        handed = place.take(taken)
        whole = handed.count(b"\n")
        assert place.ledger.delivered + sum(place.ledger.returned.values()) == whole
        assert place.outbox.queued() == len(lines) - whole
        place.outbox.close(ReturnReason.DISCONNECTED, 2.0)
        assert b"".join(bytes(batch.data) for batch, _, _ in place.back) == b"".join(lines[whole:])
        assert sum(batch.lines for batch, _, _ in place.back) == len(lines) - whole


def test_whoever_looks_on_sees_what_is_taken_and_nothing_where_there_is_nothing(place: Place, alice: Sender) -> None:
    seen: list[bytes] = []
    see = lambda chunk: seen.append(bytes(chunk))  # noqa: E731
    place.outbox.add_onlooker(see)
    assert place.outbox.take(place.now) is None
    assert seen == []
    place.direct(alice, b"hi")
    assert chunks(place) == seen == [b"from alice: hi\n"]
    place.outbox.remove_onlooker(see)
    place.direct(alice, b"unseen")
    assert chunks(place) == [b"from alice: unseen\n"]
    assert seen == [b"from alice: hi\n"]
