"""What waits in an outbox: two lanes, each with its bound, its patience and its episode, and one order."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.errors import DropReason, ReturnReason
from nettool.outbox.backlog import MARKED, MERGED
from nettool.outbox.batch import CHARGE, Batch, Kind
from nettool.settings import CHUNK, RETURNS_FACTOR, DeliverySettings, Settings, TopicOverflow
from tests.outbox.place import BOUND, Place, Sender, filling

HALF = BOUND // 2


@pytest.fixture
def alice() -> Sender:
    return Sender(b"alice")


@pytest.fixture
def bob() -> Sender:
    return Sender(b"bob")


# Bounds and gates


def test_a_lane_under_its_bound_makes_nobody_wait(alice: Sender) -> None:
    place = Place()
    place.direct(alice, b"." * (BOUND - CHARGE - len(b"from alice: \n") - 1))
    assert not alice.waits
    assert not place.outbox.full
    assert place.backlog.deadline() == inf
    place.direct(alice, b"")
    assert alice.waits
    assert place.outbox.full


@pytest.mark.parametrize("kind", ["direct", "topic"])
def test_exactly_those_wait_whose_lines_fill_the_lane(kind: str, alice: Sender, bob: Sender) -> None:
    place, carol, dora = Place(), Sender(b"carol"), Sender(b"dora")
    put = getattr(place, kind)
    other = place.topic if kind == "direct" else place.direct
    other(dora, b"in the other lane")
    put(alice, filling(HALF))
    assert not alice.waits
    put(bob, filling(HALF))
    assert alice.waits
    assert bob.waits
    put(carol, b"after it was full")
    assert carol.waits
    assert not dora.waits
    assert not place.owner.waits


def test_topic_lines_never_cost_the_senders_of_direct_lines_anything(alice: Sender, bob: Sender) -> None:
    place = Place(topic_patience=0.0)
    for _ in range(10):
        place.topic(bob, filling(BOUND))
        place.direct(alice, b"x")
    assert not alice.waits
    assert not place.back
    place.now += 100
    place.direct(alice, b"y")
    assert not place.back


def test_a_charge_for_each_batch_is_held_too(alice: Sender, bob: Sender) -> None:
    place = Place()
    for _ in range(BOUND // CHARGE // 2):
        place.direct(alice, b"")
        place.direct(bob, b"")
    assert alice.waits


def test_no_bound_is_no_bound(alice: Sender) -> None:
    place = Place(outbox_bytes=0)
    for _ in range(50):
        place.direct(alice, b"." * BOUND)
        place.topic(alice, b"." * BOUND)
        place.returned(b"." * BOUND)
    place.time_passes(1000)
    assert not alice.waits
    assert not place.owner.waits
    assert not place.outbox.full
    assert len(place.take_all()) == 150
    assert not place.ledger.dropped


# The end of an episode


@pytest.mark.parametrize("kind", ["direct", "topic"])
def test_senders_go_on_when_the_lane_is_under_its_low_water_mark_and_not_before(kind: str, alice: Sender) -> None:
    place = Place(outbox_bytes=4 * 256 * 1024)
    put = getattr(place, kind)
    for number in range(5):
        put(alice, b"%d" % number + b"." * 220 * 1024)
    place.take(2)
    assert alice.waits
    place.take(1)
    assert not alice.waits
    assert place.backlog.deadline() == inf


def test_senders_go_on_when_all_that_waited_was_taken(alice: Sender) -> None:
    place = Place()
    place.direct(alice, filling(BOUND))
    place.take(1)
    assert not alice.waits
    assert place.outbox.backlog is None


def test_senders_go_on_when_the_outbox_is_closed(alice: Sender, bob: Sender) -> None:
    place = Place()
    place.direct(alice, filling(BOUND))
    place.topic(bob, filling(BOUND))
    place.answer(filling(BOUND))
    assert alice.waits and bob.waits and place.owner.waits
    place.outbox.close(ReturnReason.DISCONNECTED, place.now)
    assert not (alice.waits or bob.waits or place.owner.waits)


def test_a_sender_held_by_both_lanes_goes_on_when_the_last_lets_it_go(alice: Sender) -> None:
    place = Place()
    place.direct(alice, filling(BOUND))
    place.topic(alice, filling(BOUND))
    assert len(alice.gates) == 2
    place.time_passes(0.1)
    assert len(alice.gates) == 1
    place.time_passes(4.9)
    assert not alice.waits


# Patience


@pytest.mark.parametrize(("kind", "patience"), [("direct", 5.0), ("topic", 0.1)])
def test_patience_is_once_for_an_episode_however_many_senders_there_are(
    kind: str, patience: float, alice: Sender, bob: Sender
) -> None:
    place = Place()
    put = getattr(place, kind)
    put(alice, filling(BOUND))
    full = place.now
    assert place.backlog.deadline() == full + patience
    place.time_passes(patience * 0.75)
    put(bob, b"later")
    assert place.backlog.deadline() == full + patience
    assert bob.waits
    place.time_passes(patience * 0.2)
    assert alice.waits
    assert bob.waits
    place.now = full + patience
    place.backlog.tick(place.now)
    assert not alice.waits
    assert not bob.waits
    assert place.backlog.deadline() == inf
    put(alice, b"more")
    assert not alice.waits
    assert place.outbox.full


@pytest.mark.parametrize("kind", ["direct", "topic"])
def test_patience_is_over_in_time_where_no_timer_runs(kind: str, alice: Sender, bob: Sender) -> None:
    place = Place(direct_patience=2.0, topic_patience=2.0)
    put = getattr(place, kind)
    put(alice, filling(BOUND))
    for _ in range(8):
        place.now += 0.25
        put(bob, filling(HALF))
    assert not alice.waits and not bob.waits
    for _ in range(50):
        place.now += 0.25
        put(bob, filling(HALF))
    lane = getattr(place.backlog, kind)
    assert not bob.waits
    assert lane.held <= (BOUND + CHARGE if kind == "topic" else BOUND + 8 * (HALF + CHARGE))


def test_the_next_episode_has_its_own_patience(alice: Sender) -> None:
    place = Place()
    for _ in range(3):
        place.direct(alice, filling(BOUND))
        assert alice.waits
        place.time_passes(5)
        assert not alice.waits
        place.take_all()


@pytest.mark.parametrize("kind", ["direct", "topic"])
def test_no_patience_makes_nobody_wait(kind: str, alice: Sender) -> None:
    place = Place(direct_patience=0.0, topic_patience=0.0)
    put = getattr(place, kind)
    put(alice, filling(BOUND))
    assert not alice.waits
    assert place.outbox.full
    assert place.backlog.deadline() == inf


@pytest.mark.parametrize("kind", ["direct", "topic"])
def test_patience_for_ever_is_never_over(kind: str, alice: Sender) -> None:
    place = Place(direct_patience=inf, topic_patience=inf)
    put = getattr(place, kind)
    put(alice, filling(BOUND))
    place.time_passes(1e9)
    put(alice, filling(BOUND))
    assert alice.waits
    assert place.backlog.deadline() == inf
    assert not place.back
    assert not place.ledger.dropped


# After patience: lines to the name


def test_after_patience_lines_to_the_name_are_given_back_until_low_water(alice: Sender, bob: Sender) -> None:
    place = Place(outbox_bytes=4 * 256 * 1024)
    for number in range(5):
        place.direct(alice, b"%d" % number + b"." * 220 * 1024)
    place.time_passes(5)
    refused = place.direct(bob, b"no")
    assert place.back == [(refused, ReturnReason.QUEUE_FULL, place.now)]
    place.take(2)
    again = place.direct(alice, b"not yet")
    assert [batch for batch, _, _ in place.back] == [refused, again]
    place.topic(alice, b"of the other kind")
    place.answer(b"ok")
    assert len(place.back) == 2
    place.take(1)
    place.direct(bob, b"yes")
    assert len(place.back) == 2
    assert place.take_all()[-3:] == [b"from alice to #t: of the other kind", b"ok", b"from bob: yes"]


def test_of_a_mixed_batch_only_the_lines_to_the_name_are_given_back(alice: Sender) -> None:
    place = Place(direct_patience=0.0)
    place.direct(alice, filling(BOUND))
    data = b"from alice: 1\nfrom alice to #t: 2\nfrom alice: 3\n"
    place.outbox.put(Batch(Kind.MIXED, alice, b"owner", data, 3, place.now))
    assert [(bytes(batch.data), batch.lines) for batch, _, _ in place.back] == [
        (b"from alice: 1\n", 1),
        (b"from alice: 3\n", 1),
    ]
    assert place.take_all()[1:] == [b"from alice to #t: 2"]


# After patience: topic lines


def test_after_patience_topic_lines_push_out_the_oldest_by_whole_batches_to_the_bound(alice: Sender) -> None:
    place = Place()
    for number in range(8):
        place.topic(alice, b"%d" % number, b"." * 700, topic=b"#t%d" % (number % 2))
    assert alice.waits
    assert not place.ledger.dropped
    place.time_passes(0.1)
    assert not alice.waits
    dropped = place.ledger.dropped[DropReason.LAGGED]
    kept = [line for line in place.take_all() if not line.startswith(b"error")]
    assert dropped == 2 * 4
    assert kept[0] == b"from alice to #t0: 4"
    assert len(kept) == 2 * 8 - dropped


def test_dropping_never_ends_the_episode(alice: Sender) -> None:
    place = Place(topic_patience=0.0)
    place.topic(alice, filling(BOUND))
    place.topic(alice, b"x", topic=b"#u")
    for _ in range(5):
        place.topic(alice, b"." * 10 * BOUND, topic=b"#v")
        assert place.outbox.full
    place.topic(alice, b"small")
    assert place.outbox.full
    assert not alice.waits
    assert place.take_all()[-1] == b"from alice to #t: small"
    assert not place.outbox.full


def test_lost_lines_are_told_in_their_place_one_line_for_each_topic(alice: Sender, bob: Sender) -> None:
    place = Place(topic_patience=0.0)
    place.direct(bob, b"first")
    place.topic(alice, b"1", b"2", topic=b"#t")
    place.topic(alice, b"3", topic=b"#u")
    place.topic(alice, b"4", topic=b"#t")
    place.direct(bob, b"second")
    place.topic(alice, b"5", topic=b"#t")
    place.direct(bob, b"third")
    place.topic(alice, b"." * BOUND)
    place.topic(alice, b"6", topic=b"#u")
    assert place.take_all() == [
        b"from bob: first",
        b"error lagged: #t 3",
        b"error lagged: #u 1",
        b"from bob: second",
        b"error lagged: #t 1",
        b"from bob: third",
        b"error lagged: #t 1",
        b"from alice to #u: 6",
    ]
    assert place.ledger.dropped == {DropReason.LAGGED: 6}


def test_lines_that_are_lost_after_a_loss_was_told_are_told_anew(alice: Sender) -> None:
    place = Place(topic_patience=0.0)
    place.topic(alice, b"." * BOUND)
    assert place.take_all() == [b"error lagged: #t 1"]
    place.topic(alice, b"." * BOUND)
    assert place.take_all() == [b"error lagged: #t 1"]


def test_nothing_to_a_name_is_merged_into_what_came_before_a_loss(alice: Sender, bob: Sender) -> None:
    place = Place(topic_patience=0.0)
    place.direct(bob, b"before")
    place.topic(alice, b"." * BOUND)
    place.direct(bob, b"after")
    assert place.take_all() == [b"from bob: before", b"error lagged: #t 1", b"from bob: after"]


def test_topics_of_a_batch_to_several_are_told_apart(alice: Sender) -> None:
    place = Place(topic_patience=0.0)
    data = b"from alice to #t: 1\nfrom alice to #u: from alice to #t: 2\nfrom alice to #t: " + b"." * BOUND + b"\n"
    place.outbox.put(Batch(Kind.TOPIC, alice, b"", data, 3, place.now))
    assert place.take_all() == [b"error lagged: #t 2", b"error lagged: #u 1"]


def test_marks_stay_small_however_many_topics_lose_lines(alice: Sender, bob: Sender) -> None:
    place = Place(outbox_bytes=1024, topic_patience=0.0)
    amount = MARKED + 50
    for number in range(amount):
        place.topic(alice, filling(1024), topic=b"#t%d" % number)
        place.direct(bob, b"%d" % number) if number < 3 else place.answer(b"pong")
    told = [line for line in place.take_all() if line.startswith(b"error lagged")]
    assert told == [b"error lagged: #t%d 1" % number for number in range(amount)]


def test_disconnect_instead_of_dropping(alice: Sender) -> None:
    place = Place(topic_overflow=TopicOverflow.DISCONNECT)
    place.topic(alice, filling(BOUND))
    assert not place.backlog.too_slow
    place.time_passes(0.1)
    assert place.backlog.too_slow
    assert not alice.waits
    assert not place.ledger.dropped
    place.topic(alice, b"more")
    assert len(place.backlog.batches()) == 1


# Notices


def test_notices_are_dropped_like_topic_lines_and_make_nobody_wait(alice: Sender) -> None:
    place = Place(topic_patience=0.1)
    for _ in range(3):
        place.notice(b"somebody")
    place.direct(alice, b"between")
    for _ in range(2):
        place.notice(b"else")
    place.topic(alice, filling(BOUND), filling(BOUND))
    assert alice.waits
    place.time_passes(0.1)
    assert place.take_all() == [
        b"error lagged: /watch 3",
        b"from alice: between",
        b"error lagged: /watch 2",
        b"error lagged: #t 2",
    ]
    assert place.ledger.dropped == {DropReason.LAGGED: 2}


# Answers and lines given back


def test_answers_make_only_their_own_peer_wait_and_without_patience(alice: Sender) -> None:
    place = Place()
    place.answer(filling(BOUND))
    assert place.owner.waits
    assert place.outbox.owner_waits
    place.direct(alice, b"x")
    assert alice.waits
    place.time_passes(1e6)
    assert not alice.waits
    assert place.owner.waits
    place.take_all()
    assert not place.owner.waits
    assert not place.outbox.owner_waits


def test_answers_that_come_while_others_fill_the_lane_make_the_peer_wait_too(alice: Sender) -> None:
    place = Place()
    place.direct(alice, filling(BOUND))
    assert not place.outbox.owner_waits
    place.time_passes(5)
    place.answer(b"pong")
    assert place.outbox.owner_waits


def test_the_peers_own_lines_to_itself_make_it_wait_with_patience() -> None:
    place = Place()
    place.direct(place.owner, filling(BOUND))
    assert place.owner.waits
    assert not place.outbox.owner_waits
    place.time_passes(5)
    assert not place.owner.waits


def test_lines_are_given_back_up_to_four_times_the_bound_and_the_rest_is_told_once(alice: Sender) -> None:
    place = Place()
    text = b"." * (BOUND // 2)
    for _ in range(20):
        place.returned(text, text)
    lost = place.ledger.dropped[DropReason.RETURN_OVERFLOW]
    held = sum(CHARGE + len(batch.data) for batch in place.backlog.batches())
    assert held <= RETURNS_FACTOR * BOUND + CHARGE
    assert place.owner.waits
    lines = place.take_all()
    assert lines[-1] == b"error returns-lost: %d" % lost
    assert len(lines) - 1 + lost == 40
    assert lost
    assert place.ledger.returned == {ReturnReason.QUEUE_FULL: 40 - lost}
    assert place.outbox.backlog is None


def test_a_loss_after_one_that_was_told_is_told_again() -> None:
    place = Place()
    for _ in range(2):
        place.returned(b"." * BOUND * 5)
        assert place.take_all() == [b"error returns-lost: 1"]


def test_an_answer_after_lost_returns_does_not_take_their_place() -> None:
    place = Place()
    place.returned(b"." * BOUND * 5)
    place.answer(b"bye taken-over")
    place.returned(b"." * BOUND * 5)
    assert place.take_all() == [b"error returns-lost: 2", b"bye taken-over"]


# Order, and merging


def test_there_is_one_order_across_both_lanes(alice: Sender, bob: Sender) -> None:
    place = Place(outbox_bytes=0)
    wanted = []
    for number, (kind, sender) in enumerate([*zip("ddttdtddtttdtd", [alice, bob] * 7, strict=True)] * 3):
        text = b"%d" % number
        if kind == "d":
            place.direct(sender, text)
            wanted.append(b"from " + sender.name + b": " + text)
        else:
            place.topic(sender, text)
            wanted.append(b"from " + sender.name + b" to #t: " + text)
    assert place.take_all() == wanted


@pytest.mark.parametrize("kind", ["direct", "topic", "answer", "returned", "notice"])
def test_small_batches_that_follow_each_other_are_charged_once(kind: str, alice: Sender) -> None:
    place = Place(outbox_bytes=0)
    put = getattr(place, kind)
    for number in range(10):
        put(alice, b"%d" % number) if kind in ("direct", "topic") else put(b"%d" % number)
    (merged,) = place.backlog.batches()
    assert merged.lines == (0 if kind in ("answer", "notice") else 10)
    if kind == "notice":
        assert merged.by_topic() == {b"/watch": 10}
    assert [line[-1:] for line in place.take_all()] == [b"%d" % number for number in range(10)]


def test_what_differs_or_is_large_is_not_merged(alice: Sender, bob: Sender) -> None:
    place = Place(outbox_bytes=0)
    place.direct(alice, b"1")
    place.direct(bob, b"2")
    place.direct(bob, b"3", address=b"owner@node1")
    place.direct(bob, b"." * MERGED, address=b"owner@node1")
    place.returned(b"4")
    place.answer(b"5")
    place.topic(alice, b"6")
    place.topic(alice, b"7", topic=b"#u")
    assert len(place.backlog.batches()) == 8
    several = Batch(Kind.TOPIC, alice, b"", b"from alice to #t: 8\n", 1, place.now)
    place.outbox.put(several)
    place.outbox.put(several)
    assert len(place.backlog.batches()) == 10


def test_a_merged_batch_is_no_other_outboxs_business(alice: Sender) -> None:
    one, other = Place(outbox_bytes=0), Place(outbox_bytes=0)
    shared = one.topic(alice, b"1")
    other.outbox.put(shared)
    one.topic(alice, b"2")
    one.topic(alice, b"3")
    assert other.take_all() == [b"from alice to #t: 1"]
    assert len(one.take_all()) == 3


# Settings that change


def test_a_bound_that_changes_counts_at_once(alice: Sender) -> None:
    place = Place()
    place.direct(alice, filling(BOUND))
    place.live.replace(Settings(delivery=DeliverySettings(outbox_bytes=0)))
    place.outbox.made_room(place.now)
    assert not alice.waits
    assert not place.outbox.full


@pytest.mark.parametrize("spent", [False, True])
def test_a_bound_that_becomes_unlimited_drops_nothing(spent: bool, alice: Sender) -> None:
    place = Place()
    place.topic(alice, filling(BOUND))
    if spent:
        place.time_passes(1)
    place.live.replace(Settings(delivery=DeliverySettings(outbox_bytes=0)))
    before = dict(place.ledger.dropped)
    place.time_passes(1)
    place.topic(alice, b"x", topic=b"#u")
    assert place.ledger.dropped == before


# All of it


@given(
    st.sampled_from([300, 1000, 3000, 0]),
    st.sampled_from([0.0, 1.0, inf]),
    st.sampled_from([0.0, 0.5, inf]),
    st.lists(
        st.tuples(
            st.sampled_from(["direct", "topic", "mixed", "take", "time"]),
            st.integers(0, 2),
            st.integers(1, 3),
            st.sampled_from([0, 30, 300]),
        ),
        max_size=60,
    ),
)
def test_whatever_comes_each_line_is_taken_given_back_or_told_as_lost(
    bound: int, direct_patience: float, topic_patience: float, steps: list[tuple[str, int, int, int]]
) -> None:
    place = Place(bound, direct_patience, topic_patience)
    senders = [Sender(b"a"), Sender(b"b"), Sender(b"c")]
    put: list[bytes] = []
    taken: list[bytes] = []
    for number, (what, who, amount, size) in enumerate(steps):
        texts = [b"%d/%d" % (number, index) + b"." * size for index in range(amount)]
        sender = senders[who]
        match what:
            case "direct":
                put += bytes(place.direct(sender, *texts).data).split(b"\n")[:-1]
            case "topic":
                put += bytes(place.topic(sender, *texts).data).split(b"\n")[:-1]
            case "mixed":
                lines = [
                    b"from " + sender.name + (b" to #t" if index % 2 else b"") + b": " + text
                    for index, text in enumerate(texts)
                ]
                data = b"".join(line + b"\n" for line in lines)
                place.outbox.put(Batch(Kind.MIXED, sender, b"owner", data, len(lines), place.now))
                put += lines
            case "take":
                taken += place.take().split(b"\n")[:-1]
            case "time":
                place.time_passes(amount / 4)
        queued = sum(batch.lines for batch in place.outbox.batches())
        back = sum(batch.lines for batch, _, _ in place.back)
        dropped = sum(place.ledger.dropped.values())
        assert len(put) == place.ledger.delivered + back + dropped + queued
        assert place.outbox.queued() == queued
    taken += place.take_all()
    told = sum(int(line.split()[-1]) for line in taken if line.startswith(b"error lagged: #t "))
    assert told == sum(place.ledger.dropped.values())
    got = [line for line in taken if line.startswith(b"from ")]
    places = {line: index for index, line in enumerate(put)}
    assert [places[line] for line in got] == sorted(places[line] for line in got)
    back_lines = [line for batch, _, _ in place.back for line in bytes(batch.data).split(b"\n")[:-1]]
    assert len(set(got) | set(back_lines)) == len(got) + len(back_lines) == len(put) - told
    assert not any(sender.waits for sender in senders)


def test_notices_have_a_bound_though_nobody_can_be_made_to_wait_for_them(alice: Sender) -> None:
    place = Place(topic_patience=inf)
    text = filling(BOUND)
    place.topic(alice, text)
    for _ in range(1000):
        place.notice(b"carol")
    place.direct(alice, b"between")
    place.notice(b"carol")
    assert place.backlog.topic.held <= BOUND + 3 * CHARGE
    assert place.take_all() == [
        b"from alice to #t: " + text,
        b"error lagged: /watch 1000",
        b"from alice: between",
        b"error lagged: /watch 1",
    ]


def test_losses_told_among_topic_lines_never_make_the_owner_wait(
    alice: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("backlog", "queue"):
        monkeypatch.setattr(f"nettool.outbox.{module}.CHUNK", BOUND // 3)
    place = Place(topic_patience=60.0)

    def fill() -> None:
        while not place.outbox.full:
            place.topic(alice, filling(BOUND // 4))

    fill()
    place.notice(b"carol")  # lost, since nobody can be made to wait for it
    while place.outbox.full:
        place.take()
    fill()
    assert alice.waits
    assert not place.owner.waits
    place.take_all()
    assert not alice.waits
    assert place.outbox.empty


@pytest.mark.parametrize("kind", ["direct", "topic"])
def test_a_large_batch_that_is_on_its_way_when_the_transport_stops_counts_in_its_lane(
    kind: str, alice: Sender, bob: Sender
) -> None:
    place = Place(outbox_bytes=2 * CHUNK)
    place.outbox.unblock()
    getattr(place, kind)(alice, *[b"." * 1000] * 1000)
    assert place.outbox.take(place.now) is not None
    place.outbox.block()
    assert place.outbox.full
    assert alice.waits
    assert place.watched
    getattr(place, kind)(bob, b"one more")
    assert bob.waits
    place.take_all()
    assert not alice.waits
    assert not bob.waits
    assert place.outbox.empty
    assert place.ledger.delivered == 1001


def test_a_mark_of_very_many_topics_is_larger_than_a_chunk_and_goes_whole(alice: Sender) -> None:
    place = Place(outbox_bytes=4 * CHUNK)
    topics = [b"#%04d" % number + b"x" * 250 for number in range(1000)]
    for _ in range(3):
        for topic in topics:
            place.topic(alice, b"." * 2000, topic=topic)
    place.time_passes(1.0)
    place.topic(alice, b".", topic=topics[0])
    lost = place.ledger.dropped[DropReason.LAGGED]
    lines = place.take_all()
    told = [line for line in lines if line.startswith(b"error lagged: ")]
    assert sum(map(len, told)) > CHUNK
    assert sum(int(line.split()[-1]) for line in told) == lost
    assert len(lines) - len(told) == 3001 - lost
    assert place.outbox.empty
    assert not alice.waits


def test_patience_that_is_ended_from_outside_ends_as_by_time_and_once(alice: Sender) -> None:
    place = Place(topic_patience=60.0)
    place.topic(alice, b"there is room")
    place.backlog.lose_patience(place.now)
    assert place.ledger.dropped == {}
    for _ in range(3):
        place.topic(alice, filling(BOUND))
    assert alice.waits
    place.backlog.lose_patience(place.now)
    assert not alice.waits
    dropped = place.ledger.dropped[DropReason.LAGGED]
    assert dropped
    place.backlog.lose_patience(place.now)
    assert place.ledger.dropped[DropReason.LAGGED] == dropped


def test_what_is_told_of_lost_returns_can_be_shed_and_later_losses_are_told_anew() -> None:
    place = Place()
    place.returned(b"kept")
    place.backlog.tell_lost(2, place.now)
    assert place.backlog.shed(place.backlog.direct).kind is Kind.RETURNED
    place.backlog.shed(place.backlog.direct)
    assert place.backlog.direct.held == 0
    place.backlog.tell_lost(1, place.now)
    assert place.take_all() == [b"error returns-lost: 1"]
