"""The broadcast sender: each line once over a link, only where it is heard; links that lag."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nettool.cluster.frames import Kind
from nettool.cluster.phases import Mode, PhaseName
from nettool.embed.cluster import Cluster
from nettool.errors import DropReason
from tests.cluster.peers import Other, adds_up, link, log_in
from tests.cluster.simulation import small_buffers


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(["node1", "node2", "node3"], drain_timeout="1s") as cluster:
        yield cluster
        adds_up(cluster)


def crossed(cluster: Cluster, node: str, other: bytes) -> int:
    """Lines of the broadcast sender that went from a node to another."""
    links = cluster[node].links
    assert links is not None
    return links.linked.neighbours[other].queue.phases.of(Mode.BROADCAST, PhaseName.OUTGOING_TRANSFER).finished


def test_a_line_crosses_a_link_once_however_many_hear_it_there(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    hearers = [log_in(cluster, "node2", b"p%d" % n, b"/join #t") for n in range(10)]
    for hearer in hearers:
        hearer.heard()
    alice.say(*[b"#t: %d" % n for n in range(50)])
    cluster.settle(0.2)
    assert crossed(cluster, "node1", b"node2") == 50
    for hearer in hearers:
        assert hearer.heard() == [b"from alice@node1 to #t: %d" % n for n in range(50)]


def test_no_byte_of_a_topic_goes_where_nobody_hears_it(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice", b"/join #t")
    bob = log_in(cluster, "node2", b"bob", b"/join #t", b"/leave #t")
    alice.say(b"#t: x", b"#u: y")
    cluster.settle(0.2)
    assert crossed(cluster, "node1", b"node2") == crossed(cluster, "node1", b"node3") == 0
    assert [line for line in bob.heard() if line.startswith(b"from")] == []
    assert cluster["node1"].totals().accepted == 0


def test_lines_cross_one_link_and_never_two(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice", b"/join #t")
    others = [log_in(cluster, node, b"p", b"/join #t") for node in ("node2", "node3")]
    alice.say(b"#t: one", b"#t: two")
    cluster.settle(0.2)
    for other in others:
        heard = [line for line in other.heard() if line.startswith(b"from")]
        assert heard == [b"from alice@node1 to #t: one", b"from alice@node1 to #t: two"]
    assert crossed(cluster, "node2", b"node3") == 0


def test_several_topics_in_one_read_reach_each_hearer_in_order(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    both = log_in(cluster, "node2", b"both", b"/join #t, #u")
    one = log_in(cluster, "node2", b"one", b"/join #u")
    alice.say(*[b"#%b: %d" % (b"tu"[n % 2 : n % 2 + 1], n) for n in range(200)])
    cluster.settle(0.2)
    numbers = [int(line.rpartition(b" ")[2]) for line in both.heard() if line.startswith(b"from")]
    assert numbers == list(range(200))
    numbers = [int(line.rpartition(b" ")[2]) for line in one.heard() if line.startswith(b"from")]
    assert numbers == list(range(1, 200, 2))


def test_interest_is_told_in_full_when_a_link_comes_up(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    bob = log_in(cluster, "node2", b"bob", b"/join #t")
    cluster.cut("node1", "node2")
    cluster.settle(0.1)
    bob.say(b"/leave #t", b"/join #u")
    cluster.settle(5.0)
    cluster.mend("node1", "node2")
    cluster.settle(5.0)
    bob.heard()
    alice.say(b"#t: nobody hears this", b"#u: this is heard")
    cluster.settle(0.2)
    assert bob.heard() == [b"from alice@node1 to #u: this is heard"]


def test_topics_and_who_hears_them_are_told_of_this_node_only(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice", b"/join #here")
    log_in(cluster, "node2", b"bob", b"/join #there, #here")
    alice.heard()
    alice.say(b"/topics", b"/who #there", b"/who #here")
    cluster.settle(0.2)
    assert alice.heard() == [b"topic #here 1", b"ok topics 1", b"ok who 0", b"peer alice", b"ok who 1"]


def test_a_cut_shorter_than_the_grace_loses_no_topic_line(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    bob = log_in(cluster, "node2", b"bob", b"/join #t")
    cluster.cut("node1", "node2")
    alice.say(*[b"#t: %d" % n for n in range(20)])
    cluster.settle(1.0)
    cluster.mend("node1", "node2")
    cluster.settle(3.0)
    heard = [line for line in bob.heard() if line.startswith(b"from")]
    assert heard == [b"from alice@node1 to #t: %d" % n for n in range(20)]


def test_a_link_that_lags_loses_the_oldest_and_hearers_are_told_in_their_place() -> None:
    """The other node takes nothing for longer than `topic-patience`; then it reads on, and hears of the loss first."""
    with small_buffers(), Cluster(["node1"], outbox_bytes="16KiB", max_line="4KiB", drain_timeout="1s") as cluster:
        links = cluster["node1"].links
        assert links is not None
        links.know(b"node2")
        other = link(cluster, Other())
        other.send(b"".join((bytes((Kind.TOPICS, 3)), b"+#t")))
        cluster.settle(0.1)
        alice = log_in(cluster, "node1", b"alice")
        other.transport.pauseProducing()  # type: ignore[union-attr]
        for n in range(200):
            alice.say(b"#t: %d " % n + b"x" * 2000)
            cluster.pass_time(0.01)
        lost = cluster["node1"].totals().dropped[DropReason.LAGGED]
        assert lost > 0
        other.transport.resumeProducing()  # type: ignore[union-attr]
        cluster.settle(1.0)
        [mark] = other.heard(Kind.LAGGED)
        assert mark.endswith(b"#t") and int.from_bytes(mark[9:13], "big") == lost
        adds_up(cluster)


def test_hearers_are_told_what_the_link_has_lost(cluster: Cluster) -> None:
    bob = log_in(cluster, "node1", b"bob", b"/join #t")
    links = cluster["node1"].links
    assert links is not None
    links.know(b"node9")
    other = link(cluster, Other(b"node9"))
    bob.heard()
    other.send(
        other.lines(Kind.TOPIC, b"#t", b"before\n"),
        b"\x0e" + (2).to_bytes(8, "big") + (7).to_bytes(4, "big") + (2).to_bytes(4, "big") + b"#t",
        other.lines(Kind.TOPIC, b"#t", b"after\n", number=3),
    )
    cluster.settle(0.1)
    assert bob.heard() == [
        b"from mallory@node9 to #t: before",
        b"error lagged: #t 7",
        b"from mallory@node9 to #t: after",
    ]
