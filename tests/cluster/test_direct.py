"""The direct sender: names here and there, lines that wait for a node, windows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nettool.cluster.linked import Linked
from nettool.embed.cable import Cut
from nettool.embed.cluster import Cluster
from nettool.errors import DropReason
from nettool.settings import KIB
from tests.cluster.peers import Talker, adds_up, log_in
from tests.cluster.simulation import small_buffers

NODES = ["node1", "node2", "node3"]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with small_buffers(), Cluster(NODES, outbox_bytes="256KiB", remote_window="64KiB", drain_timeout="1s") as cluster:
        yield cluster
        adds_up(cluster)


def linked(cluster: Cluster, node: str) -> Linked:
    links = cluster[node].links
    assert links is not None
    return links.linked


def ask(cluster: Cluster, peer: Talker, *lines: bytes, seconds: float = 0.2) -> list[bytes]:
    peer.say(*lines)
    cluster.settle(seconds)
    return peer.heard()


# --- addresses -----------------------------------------------------------------------------------


def test_a_name_here_comes_first_and_a_node_behind_it_tells_who_is_meant(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    here = log_in(cluster, "node1", b"bob")
    there = log_in(cluster, "node2", b"bob")
    assert ask(cluster, alice, b"bob: 1", b"bob@node2: 2", b"bob@node1: 3", b"bob, bob@node1, bob@node2: 4") == []
    assert here.heard() == [b"from alice: 1", b"from alice: 3", b"from alice: 4"]
    assert there.heard() == [b"from alice@node1: 2", b"from alice@node1: 4"]


def test_a_bare_name_goes_to_the_one_other_node_that_has_it_while_it_has_it(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    ask(cluster, alice, b"bob: over there")
    here = log_in(cluster, "node1", b"bob")
    ask(cluster, alice, b"bob: here")
    here.say(b"/quit")
    cluster.settle(0.2)
    ask(cluster, alice, b"bob: over there again")
    assert bob.heard() == [b"from alice@node1: over there", b"from alice@node1: over there again"]
    bob.say(b"/quit")
    cluster.settle(0.2)
    assert ask(cluster, alice, b"bob: nowhere") == [b"error no-such-peer: bob"]


def test_a_name_on_two_other_nodes_is_ambiguous_until_one_of_them_has_no_link(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    second, third = log_in(cluster, "node2", b"bob"), log_in(cluster, "node3", b"bob")
    assert ask(cluster, alice, b"bob: x") == [b"error ambiguous-name: bob node2 node3"]
    assert ask(cluster, alice, b"bob: y", b"dave: y", b"bob: y").count(b"error ambiguous-name: bob node2 node3") == 2
    cluster.cut("node1", "node3")
    assert ask(cluster, alice, b"bob: z") == []
    assert second.heard() == [b"from alice@node1: z"]
    cluster.mend("node1", "node3")
    cluster.settle()
    assert ask(cluster, alice, b"bob: x") == [b"error ambiguous-name: bob node2 node3"]
    assert third.heard() == []


@pytest.mark.parametrize("address", [b"bob@node9", b"bob@", b"@node2", b"b b@node2", b"bob@node2@node3", b"bob@NODE2"])
def test_a_node_that_nobody_configured_is_refused_at_once_and_nothing_is_kept(cluster: Cluster, address: bytes) -> None:
    alice = log_in(cluster, "node1", b"alice")
    assert ask(cluster, alice, address + b": x") == [b"error no-such-peer: " + address]
    assert cluster["node1"].totals().accepted == 0
    assert all(neighbour.queue.quiet for neighbour in linked(cluster, "node1").neighbours.values())


def test_a_line_that_finds_nobody_comes_back_as_it_was_addressed(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    assert ask(cluster, alice, b"bob@node2:  two  spaces ") == [b"returned bob@node2 no-such-peer:  two  spaces "]


def test_lines_of_one_read_for_several_on_another_node_cross_together_each_to_its_own(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    bob, carol = log_in(cluster, "node2", b"bob"), log_in(cluster, "node2", b"carol")
    here, there = [cluster[name].links for name in ("node1", "node2")]
    assert here is not None and there is not None
    before = there.linked.neighbours[b"node1"].arrivals.taken
    alice.say(b"bob: 1", b"carol: 2", b"nobody@node2: 3", b"carol: 4", b"bob: 5")
    cluster.settle(0.2)
    assert there.linked.neighbours[b"node1"].arrivals.taken == before + 1
    assert bob.heard() == [b"from alice@node1: 1", b"from alice@node1: 5"]
    assert carol.heard() == [b"from alice@node1: 2", b"from alice@node1: 4"]
    assert alice.heard() == [b"returned nobody@node2 no-such-peer: 3"]
    adds_up(cluster)


def test_two_spellings_of_one_receiver_keep_their_order(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    log_in(cluster, "node1", b"carol")
    addresses = [b"bob", b"bob@node2", b"carol"] * 20
    ask(cluster, alice, *[address + b": %d" % n for n, address in enumerate(addresses)])
    assert bob.heard() == [b"from alice@node1: %d" % n for n, a in enumerate(addresses) if a != b"carol"]


def test_names_and_topics_to_one_receiver_on_another_node_keep_their_order(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob", b"/join #t, #u")
    addresses = [b"bob", b"#t", b"bob@node2", b"#u", b"#t", b"nobody@node2"] * 30
    ask(cluster, alice, *[address + b": %d" % n for n, address in enumerate(addresses)])
    places = [int(line.rpartition(b" ")[2]) for line in bob.heard() if line.startswith(b"from")]
    assert places == [n for n, address in enumerate(addresses) if address != b"nobody@node2"]


def test_lines_come_back_to_the_login_that_wrote_them_and_to_no_later_one(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    cluster.cut("node1", "node2", Cut.SILENT)
    ask(cluster, alice, b"nobody@node2: mine")
    alice.say(b"/quit")
    cluster.settle(0.2)
    later = log_in(cluster, "node1", b"alice")
    cluster.mend("node1", "node2")
    cluster.settle()
    assert later.heard() == []
    assert cluster["node1"].totals().dropped == {DropReason.SENDER_GONE: 1}


def test_nothing_is_kept_of_senders_and_receivers_who_have_left(cluster: Cluster) -> None:
    bob = log_in(cluster, "node2", b"bob")
    for number in range(20):
        alice = log_in(cluster, "node1", b"alice")
        alice.say(b"bob: %d" % number, b"nobody@node2: %d" % number, b"/quit")
        cluster.settle(0.2)
    assert len(bob.heard()) == 20
    for node in cluster.nodes:
        known = linked(cluster, node)
        assert len(known.logins) == len(known._by_login) == len(cluster[node].broker.directory.names)
        assert not any(neighbour.under_way for neighbour in known.neighbours.values())


# --- without a link ------------------------------------------------------------------------------


def test_lines_wait_for_a_node_and_go_first_in_order_as_soon_as_it_is_linked(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    cluster.cut("node1", "node2")
    cluster.settle(5.0)
    assert ask(cluster, alice, *[b"bob@node2: %d" % n for n in range(300)]) == []
    assert cluster["node1"].totals().queued == 300
    cluster.mend("node1", "node2")
    while linked(cluster, "node1").neighbours[b"node2"].link is None:
        cluster.pass_time(0.01)
    alice.say(*[b"bob@node2: %d" % n for n in range(300, 400)])
    cluster.settle(0.2)
    assert bob.heard() == [b"from alice@node1: %d" % n for n in range(400)]


def test_lines_that_wait_too_long_come_back_and_topic_lines_are_counted(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    log_in(cluster, "node2", b"bob", b"/join #t")
    cluster.cut("node1", "node2")
    assert ask(cluster, alice, b"bob@node2: a", b"#t: b", b"bob@node2: c", seconds=29.0) == []
    cluster.settle(2.0)
    assert alice.heard() == [b"returned bob@node2 node-unreachable: a", b"returned bob@node2 node-unreachable: c"]
    assert cluster["node1"].totals().dropped == {DropReason.LINK_LOST: 1}


def test_each_line_has_its_own_time_to_wait(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    cluster.cut("node1", "node2")
    cluster.settle(0.1)
    ask(cluster, alice, b"bob@node2: early", seconds=20.0)
    assert ask(cluster, alice, b"bob@node2: late", seconds=15.0) == [b"returned bob@node2 node-unreachable: early"]
    cluster.settle(20.0)
    assert alice.heard() == [b"returned bob@node2 node-unreachable: late"]


def test_a_full_queue_gives_the_oldest_back_and_holds_up_nobody(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    cluster.cut("node1", "node2")
    cluster.settle(0.1)
    for n in range(300):
        alice.say(b"bob@node2: %03d " % n + b"x" * 10_000)
        cluster.clock.advance(0)
    cluster.settle(0.2)
    returned = [line[:45] for line in alice.heard()]
    assert returned[:2] == [b"returned bob@node2 node-unreachable: %03d " % n + b"xxxx" for n in (0, 1)]
    queue = linked(cluster, "node1").neighbours[b"node2"].queue
    assert queue.held_bytes <= 8 * 256 * KIB
    assert len(returned) + queue.queued() == 300
    assert ask(cluster, alice, b"/ping") == [b"pong"]


def test_a_node_that_is_away_pushes_out_nothing_that_waits_for_another(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    cluster.cut("node1", "node2")
    cluster.cut("node1", "node3")
    cluster.settle(0.1)
    ask(cluster, alice, b"carol@node3: waits")
    for n in range(300):
        alice.say(b"bob@node2: %03d " % n + b"x" * 10_000)
        cluster.clock.advance(0)
    cluster.settle(0.2)
    assert linked(cluster, "node1").neighbours[b"node3"].queue.queued() == 1


def test_a_node_that_is_no_more_configured_gives_back_what_waits_for_it(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    cluster.cut("node1", "node2")
    ask(cluster, alice, b"bob@node2: x")
    links = cluster["node1"].links
    assert links is not None
    links.forget(b"node2")
    assert ask(cluster, alice, b"bob@node2: y") == [
        b"returned bob@node2 node-unreachable: x",
        b"error no-such-peer: bob@node2",
    ]


# --- windows -------------------------------------------------------------------------------------


def fill(cluster: Cluster, peer: Talker, address: bytes, size: int, most: int = 2000) -> int:
    """Write to an address until the node reads no more; how many lines that were."""
    for n in range(most):
        peer.say(address + b": %d " % n + b"x" * size)
        cluster.pass_time(0.06)
        if waits(cluster, peer):
            return n + 1
    raise AssertionError("nobody made it wait")


def waits(cluster: Cluster, peer: Talker) -> bool:
    address = peer.transport.getHost()  # type: ignore[union-attr]
    [connection] = [
        connection
        for node in cluster.nodes.values()
        for connection in node.peers.connections
        if connection.transport.getPeer() == address  # type: ignore[union-attr]
    ]
    return not connection.session.wants_input


def test_a_closed_window_makes_exactly_his_senders_wait_until_he_reads(cluster: Cluster) -> None:
    alice, other = log_in(cluster, "node1", b"alice"), log_in(cluster, "node1", b"other")
    bob, carol = log_in(cluster, "node2", b"bob"), log_in(cluster, "node2", b"carol")
    bob.stop_reading()
    fill(cluster, alice, b"bob", 4000)
    cluster.settle(1.0)
    assert waits(cluster, alice) and not waits(cluster, other)
    other.say(b"carol: not held up")
    cluster.settle(0.1)
    assert carol.heard() == [b"from other@node1: not held up"]
    bob.read_on()
    cluster.settle(1.0)
    assert not waits(cluster, alice)
    places = [int(line.split()[2]) for line in bob.heard()]
    assert places == list(range(len(places)))


def test_after_patience_his_lines_come_back_until_he_reads(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    bob.stop_reading()
    sent = fill(cluster, alice, b"bob", 4000)
    cluster.settle(4.5)
    assert waits(cluster, alice)
    cluster.settle(1.0)
    assert not waits(cluster, alice)
    before = len(alice.heard())
    assert [line[:24] for line in ask(cluster, alice, b"bob: no")] == [b"returned bob queue-full:"]
    bob.read_on()
    cluster.settle(1.0)
    assert ask(cluster, alice, b"bob: yes") == []
    heard = bob.heard()
    assert heard[-1] == b"from alice@node1: yes" and len(heard) + before == sent + 1


def test_a_window_holds_what_was_promised_and_one_read_more(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    bob.stop_reading()
    fill(cluster, alice, b"bob", 4000)
    cluster.settle(0.5)
    far = linked(cluster, "node1").neighbours[b"node2"].peers[b"bob"]
    assert 64 * KIB <= far.ahead + far.there <= 64 * KIB + 160 * KIB
    links = cluster["node1"].links
    assert links is not None
    far_why = links.why(b"bob@node2")
    assert far_why is not None and far_why == links.why(b"bob")
    why = far_why.under_way
    assert [waiter.name for waiter in why.waiting] == [b"alice"]
    assert why.full_for > 0 and why.held_bytes >= 64 * KIB
    assert far_why.listed and far_why.writers == (b"alice",) and far_why.window == 64 * KIB
    assert links.why(b"bob@node9") is None
    assert [snapshot.closed_windows.keys() for snapshot in links.snapshot()] == [{b"bob@node2"}, set()]


def test_his_senders_go_on_when_half_of_his_window_is_free(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    bob.stop_reading()
    fill(cluster, alice, b"bob", 4000)
    cluster.settle(0.5)
    far = linked(cluster, "node1").neighbours[b"node2"].peers[b"bob"]
    for there, held_up in ((40 * KIB, True), (32 * KIB, True), (32 * KIB - 1, False)):
        far.waits_there(there)
        cluster.clock.advance(0)
        assert waits(cluster, alice) is held_up


def test_a_window_dies_with_its_link_and_starts_full_on_the_next(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    bob.stop_reading()
    fill(cluster, alice, b"bob", 4000)
    cluster.settle(0.5)
    assert waits(cluster, alice)
    cluster.cut("node1", "node2")
    cluster.settle(0.05)
    assert not waits(cluster, alice)
    cluster.mend("node1", "node2")
    cluster.settle(0.5)
    alice.say(b"bob: more")
    cluster.settle(1.0)
    bob.read_on()
    cluster.settle(1.0)
    places = [line.split()[2] for line in bob.heard()]
    assert places[-1] == b"more" and len(set(places)) == len(places)


def test_a_sender_who_leaves_while_he_waits_is_forgotten(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    bob.stop_reading()
    fill(cluster, alice, b"bob", 4000)
    alice.transport.abortConnection()  # type: ignore[union-attr]
    cluster.settle(0.5)
    bob.read_on()
    cluster.settle(1.0)
    node2 = linked(cluster, "node1").neighbours[b"node2"]
    assert not node2.under_way and not node2.closed_windows


def test_a_receiver_who_leaves_gives_back_what_waited_there(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    bob.stop_reading()
    sent = fill(cluster, alice, b"bob", 20_000)
    cluster.settle(0.5)
    bob.transport.abortConnection()  # type: ignore[union-attr]
    cluster.settle(1.0)
    assert not waits(cluster, alice)
    returned = alice.heard()
    assert returned and len(returned) <= sent
    assert {line.split(b" ")[2] for line in returned} <= {b"disconnected:", b"no-such-peer:"}
