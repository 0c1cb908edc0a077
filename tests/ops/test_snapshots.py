"""What a node says about itself: who is here, who is slow, who waits because of whom, and who has gone."""

from __future__ import annotations

from dataclasses import fields
from math import inf

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from nettool.addresses import address_text
from nettool.ops import snapshots
from nettool.peers.factory import REMEMBERED
from nettool.settings import DeliverySettings, Settings
from tests.ops.nodes import SeenNode
from tests.support.street import kibibytes


def by_name(node: SeenNode) -> dict[str, snapshots.Peer]:
    return {peer.name: peer for peer in snapshots.peers(node.service)}


def with_slow_bob(node: SeenNode) -> None:
    """Alice and carol write more to bob, who reads nothing, than his outbox holds."""
    alice, bob, carol = node.peers(b"alice", b"bob", b"carol")
    bob.stop_reading()
    carol.say(b"bob: this one is in his transport, which takes no more then")
    carol.say(*(b"bob: " + text for text in kibibytes(100)))
    node.pass_time(1)
    alice.say(*(b"bob: " + text for text in kibibytes(1000)))
    node.pass_time(2)


# --- why a peer gets its lines late


def test_why_of_a_slow_reader_says_who_fills_it_who_waits_and_when_patience_ends() -> None:
    node = SeenNode().start()
    with_slow_bob(node)
    why = snapshots.why(node.service, "bob")
    assert why is not None
    assert why.peer.name == "bob" and why.blocked
    assert [filler.name for filler in why.fillers] == ["alice", "carol"], "the largest first"
    assert sum(filler.lines for filler in why.fillers) == why.peer.queued_lines
    assert why.peer.queued_bytes >= 256 * 1024
    assert why.peer.oldest == 3.0, "carol's lines came 3 s ago"
    assert why.peer.full_for == 2.0
    assert {(waiting.name, waiting.lane, waiting.seconds) for waiting in why.waiting} == {
        ("alice", "direct", 2.0),
        ("carol", "direct", 2.0),
    }
    direct, topic = why.lanes
    assert (direct.lane, direct.full_for, direct.patience, direct.patience_left, direct.patience_over) == (
        "direct",
        2.0,
        5.0,
        3.0,
        False,
    )
    assert (topic.lane, topic.held_bytes, topic.full_for, topic.patience_left) == ("topic", 0, None, None)
    assert why.given_up_in == 28.0
    assert (why.bound, why.low_water) == (256 * 1024, 128 * 1024)


def test_when_patience_is_over_nobody_waits_and_the_lane_says_so() -> None:
    node = SeenNode().start()
    with_slow_bob(node)
    node.pass_time(3)
    why = snapshots.why(node.service, "bob")
    assert why is not None
    assert not why.waiting
    assert why.lanes[0].patience_over and why.lanes[0].patience_left is None
    assert why.lanes[0].full_for == 5.0
    assert why.given_up_in == 25.0


def test_patience_for_ever_and_no_stall_timeout_are_told_as_such() -> None:
    node = SeenNode(direct_patience=inf, stall_timeout=inf).start()
    with_slow_bob(node)
    why = snapshots.why(node.service, "bob")
    assert why is not None
    assert why.lanes[0].patience_left == inf and why.given_up_in is None


def test_why_follows_a_bound_that_is_changed_while_it_is_full() -> None:
    node = SeenNode().start()
    with_slow_bob(node)
    node.service.live.replace(Settings(delivery=DeliverySettings(direct_patience=10.0)))
    why = snapshots.why(node.service, "bob")
    assert why is not None
    assert why.lanes[0].patience_left == 8.0 and why.bound == 4 * 1024 * 1024


def test_why_of_a_peer_that_reads_has_nothing_to_tell() -> None:
    node = SeenNode().start()
    node.peers(b"alice")
    why = snapshots.why(node.service, "alice")
    assert why is not None
    assert (why.blocked, why.lanes, why.fillers, why.waiting, why.given_up_in) == (False, (), (), (), None)


def test_why_of_nobody_is_nothing() -> None:
    node = SeenNode().start()
    node.connect()
    assert snapshots.why(node.service, "bob") is None
    assert snapshots.why(node.service, "") is None, "who has no name yet is not found by having none"
    assert snapshots.why(node.service, "\udcff") is None


def test_why_finds_a_peer_that_is_leaving() -> None:
    node = SeenNode().start()
    _, bob = node.peers(b"alice", b"bob")
    bob.stop_reading()
    bob.say(b"/ping", b"/quit")
    why = snapshots.why(node.service, "bob")
    assert why is not None
    assert why.peer.phase == "leaving"
    node.pass_time(4)
    assert (why := snapshots.why(node.service, "bob")) is not None
    assert why.given_up_in == 26.0


def test_who_does_not_read_his_own_answers_waits_for_himself() -> None:
    node = SeenNode().start()
    (alice,) = node.peers(b"alice")
    alice.stop_reading()
    alice.say(*[b"/ping " + b"x" * 1000] * 600)
    node.pass_time(7)
    peer = by_name(node)["alice"]
    assert peer.paused_by == ("alice",) and peer.paused_for == 7.0
    why = snapshots.why(node.service, "alice")
    assert why is not None
    assert [(waiting.name, waiting.lane) for waiting in why.waiting] == [("alice", "own")]
    assert why.peer.queued_lines == 0, "answers are no texts"


# --- peers


def test_peers_say_who_they_are_since_when_and_in_which_phase() -> None:
    node = SeenNode().start()
    node.pass_time(50)
    (alice,) = node.peers(b"alice")
    alice.say(b"/join #a, #b")
    node.pass_time(5)
    node.connect()
    peer, stranger = snapshots.peers(node.service)
    assert (peer.name, peer.node, peer.phase, peer.topics) == ("alice", "node1", "ready", 2)
    assert (peer.connected_at, peer.connected_for) == (50.0, 5.0)
    assert (peer.received_lines, peer.received_bytes) == (2, len(b"alice\n/join #a, #b\n"))
    assert (peer.queued_lines, peer.queued_bytes, peer.oldest, peer.full_for, peer.paused_for) == (0, 0, 0.0, 0.0, 0.0)
    assert (stranger.name, stranger.phase, stranger.connected_for) == ("", "login", 0.0)


def test_a_sender_is_told_with_all_who_hold_him_since_the_first_of_them() -> None:
    node = SeenNode(direct_patience=inf, stall_timeout=inf).start()
    alice, bob, carol = node.peers(b"alice", b"bob", b"carol")
    for slow in (bob, carol):
        slow.stop_reading()
    alice.say(*(address + text for text in kibibytes(600) for address in (b"bob: ", b"carol: ")))
    node.pass_time(3)
    peer = by_name(node)["alice"]
    assert set(peer.paused_by) == {"bob", "carol"} and peer.paused_for == 3.0
    bob.take()
    node.pass_time(1)
    assert by_name(node)["alice"].paused_by == ("carol",)
    assert by_name(node)["alice"].paused_for == 4.0
    carol.take()
    assert by_name(node)["alice"].paused_by == ()


def test_what_a_slow_hearer_lost_is_counted_for_him() -> None:
    node = SeenNode().start()
    alice, bob = node.peers(b"alice", b"bob")
    bob.say(b"/join #news")
    bob.hear()
    bob.stop_reading()
    for piece in range(4):
        alice.say(*(b"#news: " + text for text in kibibytes(300)))
        node.pass_time(0.2 + piece)
    lost = by_name(node)["bob"].lagged
    assert lost > 0
    bob.take()
    heard = bob.hear()
    assert sum(int(line.rpartition(b" ")[2]) for line in heard if line.startswith(b"error lagged")) == lost
    assert by_name(node)["bob"].lagged == lost, "it is not forgotten when the backlog has gone"


def test_during_a_drain_peers_are_paused_by_it() -> None:
    node = SeenNode().start()
    with_slow_bob(node)
    ended = node.service.stopService()
    node.pass_time(1)
    assert snapshots.DRAIN in by_name(node)["alice"].paused_by
    assert snapshots.state(node.service) == "draining"
    for _ in range(60):
        node.pass_time(1)
    assert ended.called


# --- the node


def test_stats_add_up_and_name_the_largest_queue() -> None:
    node = SeenNode().start()
    with_slow_bob(node)
    node.connect()
    stats = snapshots.stats(node.service)
    assert stats.ledger.adds_up and stats.ledger.delivered == 1
    assert stats.ledger.queued == by_name(node)["bob"].queued_lines > 0
    assert (stats.largest, stats.largest_queued_bytes) == ("bob", stats.queued_bytes)
    assert stats.queued_bytes == by_name(node)["bob"].queued_bytes
    assert (stats.full, stats.paused) == (1, 2)
    assert (stats.connections, stats.peers) == (4, 3)
    assert stats.phases == {"login": 1, "waiting": 0, "ready": 3, "leaving": 0, "gone": 0}
    assert stats.state == "running"


def test_a_node_is_starting_running_draining() -> None:
    node = SeenNode()
    assert snapshots.state(node.service) == "starting"
    node.start()
    assert snapshots.state(node.service) == "running"
    node.service.stopService()
    assert snapshots.state(node.service) == "draining"


def test_topics_are_told_with_their_hearers() -> None:
    node = SeenNode().start()
    alice, bob = node.peers(b"alice", b"bob")
    alice.say(b"/join #tea/\xc3\xa9t\xc3\xa9, #a")
    bob.say(b"/join #a")
    assert snapshots.topics(node.service) == [snapshots.Topic("#a", 2), snapshots.Topic("#tea/été", 1)]


def test_lists_are_ordered_by_a_field_and_only_a_part_of_them_is_made() -> None:
    node = SeenNode().start()
    with_slow_bob(node)
    peers = snapshots.peers(node.service)
    assert [peer.name for peer in peers] == ["alice", "bob", "carol"], "as they came"
    assert [peer.name for peer in snapshots.peers(node.service, "-name")] == ["carol", "bob", "alice"]
    assert [peer.name for peer in snapshots.peers(node.service, "-queued_bytes", 1)] == ["bob"]
    assert snapshots.peers(node.service, limit=1, offset=1) == [peers[1]]
    assert snapshots.peers(node.service, offset=3) == []
    for field in fields(snapshots.Peer):
        ordered = snapshots.peers(node.service, field.name)
        keys = [getattr(peer, field.name) for peer in ordered]
        assert keys == sorted(keys), field.name
    with pytest.raises(ValueError, match=r"expected one of name, node, .*, or one of them after a -, not 'colour'"):
        snapshots.peers(node.service, "colour")


def test_topics_and_closed_connections_are_ordered_too() -> None:
    node = SeenNode().start()
    alice, bob = node.peers(b"alice", b"bob")
    alice.say(b"/join #b, #c")
    bob.say(b"/join #a, #c")
    assert [topic.name for topic in snapshots.topics(node.service)] == ["#a", "#b", "#c"]
    assert [topic.name for topic in snapshots.topics(node.service, "-hearers", 2)] == ["#c", "#a"]
    for peer in (alice, bob):
        node.pass_time(1)
        peer.vanish()
    assert [gone.name for gone in snapshots.closed(node.service)] == ["bob", "alice"]
    assert [gone.name for gone in snapshots.closed(node.service, "closed_at")] == ["alice", "bob"]
    assert [gone.connected_for for gone in snapshots.closed(node.service, "-connected_for", 1, 1)] == [1.0]


def test_there_are_no_links() -> None:
    assert snapshots.links(SeenNode().start().service) == []


# --- who has gone


def test_closed_says_why_the_last_peers_went_and_what_was_left() -> None:
    node = SeenNode(stall_timeout=6.0).start()
    with_slow_bob(node)
    queued = by_name(node)["bob"].queued_lines
    dave, erin = node.peers(b"dave", b"erin")
    dave.say(b"/quit")
    dave.half_close()
    node.pass_time(1)
    erin.vanish()
    node.pass_time(5)
    bob, erin_gone, dave_gone = snapshots.closed(node.service)
    assert (dave_gone.name, dave_gone.reason, dave_gone.connected_for) == ("dave", "quit", 0.0)
    assert (erin_gone.name, erin_gone.reason, erin_gone.closed_at) == ("erin", "disconnected", 4.0)
    assert (bob.name, bob.reason, bob.connected_for) == ("bob", "slow-consumer", 9.0)
    assert (bob.given_back, bob.lost) == (queued, 0)
    node.expect_balance()


def test_topic_lines_that_are_left_are_told_as_lost() -> None:
    node = SeenNode().start()
    alice, bob = node.peers(b"alice", b"bob")
    bob.say(b"/join #news")
    bob.hear()
    bob.stop_reading()
    alice.say(*(b"#news: " + text for text in kibibytes(10)))
    alice.say(*(b"bob: " + text for text in kibibytes(3)))
    bob.vanish()
    (gone,) = snapshots.closed(node.service)
    # What the transport holds was handed over: only what waits in the outbox is left.
    ledger = node.service.broker.snapshot()
    assert gone.given_back == sum(ledger.returned.values()) and gone.lost == sum(ledger.dropped.values())
    assert (gone.given_back, gone.lost) != (0, 0)


def test_the_list_is_bounded_and_those_without_a_name_push_out_nobody_who_had_one() -> None:
    node = SeenNode().start()
    (bob,) = node.peers(b"bob")
    bob.vanish()
    for _ in range(REMEMBERED + 5):
        node.connect().vanish()
    closed = snapshots.closed(node.service)
    assert len(closed) == REMEMBERED + 1
    assert [gone for gone in closed if gone.name] == [closed[-1]]


# --- phases, pauses and bytes


def in_balance(stats: snapshots.Stats) -> None:
    assert stats.ledger.adds_up
    for passing in stats.passing:
        ended = passing.passed + passing.given_up + passing.taken_apart
        assert passing.started == ended + passing.in_flight, passing


def test_phases_end_as_often_as_they_begin_through_pauses_losses_and_the_end() -> None:
    node = SeenNode().start()
    alice, bob, carol, dave = node.peers(b"alice", b"bob", b"carol", b"dave")
    for hearer in (bob, carol, dave):
        hearer.say(b"/join #news")
        hearer.hear()
    for slow in (bob, carol):
        slow.stop_reading()
    texts = kibibytes(40)
    for step in range(30):
        alice.say(*(address + text for text in texts for address in (b"#news: ", b"bob: ", b"#news: ", b"dave: ")))
        in_balance(snapshots.stats(node.service))
        carol.take(30000 * (step % 3))
        dave.hear()
        node.pass_time(0.3)
        in_balance(snapshots.stats(node.service))
    bob.vanish()
    stats = snapshots.stats(node.service)
    in_balance(stats)
    phases = {(passing.phase, passing.mode): passing for passing in stats.passing}
    assert stats.ledger.returned and stats.ledger.dropped
    assert phases["outgoing-buffer", "direct"].given_up and phases["outgoing-buffer", "broadcast"].given_up
    assert phases["outgoing-buffer", "mixed"].taken_apart and phases["outgoing-buffer", "mixed"].passed
    assert phases["outgoing-transfer", "mixed"].given_up, "bob's transport held some when he went"
    assert phases["outgoing-buffer", "broadcast"].seconds > 0
    assert phases["outgoing-transfer", "broadcast"].seconds > 0
    ended = node.service.stopService()
    for _ in range(30):
        node.pass_time(1)
    assert ended.called
    stats = snapshots.stats(node.service)
    in_balance(stats)
    assert stats.ledger.queued == sum(passing.in_flight for passing in stats.passing) == 0


def test_pauses_count_those_who_wait_now() -> None:
    node = SeenNode().start()
    with_slow_bob(node)
    direct, topic, own, drain = snapshots.stats(node.service).waits
    assert (direct.lane, direct.filled, direct.pauses, direct.paused, direct.waiting) == ("direct", 1, 2, 4.0, 2)
    assert [wait.pauses for wait in (topic, own, drain)] == [0, 0, 0]
    node.pass_time(3)
    direct, *_ = snapshots.stats(node.service).waits
    assert (direct.paused, direct.waiting) == (10.0, 0), "patience was over after 5 s"


def test_what_those_who_have_gone_said_counts_on() -> None:
    node = SeenNode().start()
    alice, _ = node.peers(b"alice", b"bob")
    alice.say(b"bob: hello")
    before = snapshots.stats(node.service)
    assert (before.received_lines, before.received_bytes) == (3, len(b"alice\nbob\nbob: hello\n"))
    alice.vanish()
    after = snapshots.stats(node.service)
    assert (after.received_lines, after.received_bytes) == (before.received_lines, before.received_bytes)
    assert (after.connections, after.connections_made) == (1, 2)


# --- what is received


def test_lines_are_counted_as_they_are_received_whatever_becomes_of_them() -> None:
    node = SeenNode().start()
    alice, _ = node.peers(b"alice", b"bob")
    alice.say(b"bob: one", b"", b"#nobody: two", b"no colon", b"x" * 20000, b"dave: three", b"/ping", b"\r")
    assert by_name(node)["alice"].received_lines == 1 + 6
    alice.say(*[b"bob: many"] * 100)
    alice.say(*[b"bob: many", b"#nobody: many"] * 100)
    alice.send(b"bob: half a")
    alice.say(b" line")
    assert by_name(node)["alice"].received_lines == 7 + 100 + 200 + 1


# --- addresses


@pytest.mark.parametrize(
    "address, text",
    [
        (None, ""),
        (IPv4Address("TCP", "127.0.0.1", 6388), "127.0.0.1:6388"),
        (IPv6Address("TCP", "::1", 6388), "[::1]:6388"),
        (UNIXAddress("/run/nettool.sock"), "/run/nettool.sock"),
        (UNIXAddress(b"/run/\xff"), "/run/\\xff"),
        (UNIXAddress(None), "unix"),
        ("inside:1", "inside:1"),
    ],
)
def test_an_address_is_written_as_people_write_it(address: object, text: str) -> None:
    assert address_text(address) == text
