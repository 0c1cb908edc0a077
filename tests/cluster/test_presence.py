"""Presence: who is on other nodes, in `/who` and to those who watch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nettool.cluster import frames
from nettool.cluster.frames import Kind
from nettool.embed.cluster import Cluster
from tests.cluster.peers import Other, Talker, adds_up, link, log_in, reach


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(["node1", "node2", "node3"], drain_timeout="1s") as cluster:
        yield cluster


def who(cluster: Cluster, peer: Talker) -> list[bytes]:
    peer.heard()
    peer.say(b"/who")
    cluster.settle(0.1)
    *names, end = peer.heard()
    assert end == b"ok who %d" % len(names)
    return [line.removeprefix(b"peer ") for line in names]


def test_who_lists_those_on_other_nodes_sorted_by_bytes(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    log_in(cluster, "node2", b"alice")
    log_in(cluster, "node3", b"bob")
    assert who(cluster, alice) == [b"alice", b"alice@node2", b"bob@node3"]


def test_those_who_watch_see_them_come_and_go(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice", b"/watch")
    alice.heard()
    bob = log_in(cluster, "node2", b"bob")
    assert alice.heard() == [b"notice here: bob@node2"]
    bob.say(b"/quit")
    cluster.settle(0.2)
    assert alice.heard() == [b"notice gone: bob@node2"]


def test_a_cut_within_the_grace_is_noticed_by_nobody(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice", b"/watch")
    log_in(cluster, "node2", b"bob")
    alice.heard()
    cluster.cut("node1", "node2")
    cluster.settle(1.0)
    assert who(cluster, alice) == [b"alice", b"bob@node2"]
    cluster.mend("node1", "node2")
    cluster.settle(5.0)
    assert alice.heard() == []


def test_after_the_grace_all_of_a_nodes_peers_leave(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice", b"/watch")
    log_in(cluster, "node2", b"bob")
    log_in(cluster, "node2", b"carol")
    log_in(cluster, "node3", b"dave")
    alice.heard()
    cluster.cut("node1", "node2")
    cluster.settle(3.5)
    assert sorted(alice.heard()) == [b"notice gone: bob@node2", b"notice gone: carol@node2"]
    assert who(cluster, alice) == [b"alice", b"dave@node3"]


def test_only_differences_are_noticed_when_a_full_list_arrives(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice", b"/watch")
    bob = log_in(cluster, "node2", b"bob")
    log_in(cluster, "node2", b"carol")
    alice.heard()
    cluster.cut("node1", "node2")
    cluster.settle(0.1)
    bob.say(b"/quit")
    cluster.settle(0.2)
    dave = cluster["node2"].connect(Talker())
    dave.say(b"dave")
    cluster.settle(1.0)
    cluster.mend("node1", "node2")
    cluster.settle(2.0)
    assert sorted(alice.heard()) == [b"notice gone: bob@node2", b"notice here: dave@node2"]


def test_a_restart_within_the_grace_is_a_list_that_is_compared(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice", b"/watch")
    log_in(cluster, "node2", b"bob")
    alice.heard()
    cluster.kill("node2")
    cluster.start("node2")
    back = cluster["node2"].connect(Talker())
    back.say(b"bob")
    cluster.settle(5.0)
    assert alice.heard() in ([], [b"notice gone: bob@node2", b"notice here: bob@node2"])
    assert who(cluster, alice) == [b"alice", b"bob@node2"]


def test_names_are_unique_on_a_node_and_not_across_nodes(cluster: Cluster) -> None:
    log_in(cluster, "node1", b"bob")
    log_in(cluster, "node2", b"bob")
    late = cluster["node2"].connect(Talker())
    late.say(b"bob")
    cluster.settle(0.2)
    assert late.heard()[0] == b"error name-taken: bob"


def test_links_that_break_before_they_list_anybody_do_not_keep_its_peers_listed() -> None:
    with Cluster(["node1"], drain_timeout="1s") as cluster:
        links = cluster["node1"].links
        assert links is not None
        known = links.know(b"node2")
        alice = log_in(cluster, "node1", b"alice")
        other = link(cluster, Other())
        other.send(next(frames.render_list(Kind.PEERS, [b"bob"])))
        cluster.settle(0.1)
        other.transport.abortConnection()  # type: ignore[union-attr]
        cluster.settle(0.1)
        alice.say(b"bob: hello")
        for _ in range(20):
            other = reach(cluster["node1"], Other())
            other.hello(took=(links.linked.instance, 0))
            cluster.settle(0.1)
            other.send(bytes([Kind.TAKE]))
            other.transport.pauseProducing()  # type: ignore[union-attr]
            cluster.settle(0.1)
            other.transport.abortConnection()  # type: ignore[union-attr]
            cluster.settle(2.5)
        assert not known.peers
        adds_up(cluster)


def test_a_long_list_comes_in_several_frames_and_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nettool.cluster.frames.LISTED", 20)
    with Cluster(["node1"]) as cluster:
        links = cluster["node1"].links
        assert links is not None
        links.know(b"node2")
        for n in range(100):
            cluster["node1"].connect(Talker()).say(b"%050d" % n)
        cluster.settle(0.1)
        other = link(cluster, Other())
        frames = other.heard(Kind.PEERS)
        assert len(frames) > 1 and [frame[1] for frame in frames] == [1, *[0] * (len(frames) - 2), 2]
        assert sum(frame.count(b"+") for frame in frames) == 100


@pytest.mark.parametrize(
    "name", [b"a\xc2\x85b", b"a\xe2\x80\xa8b", b"a\xc2\xa0b", b"\xff", b"a\xc2", b"\xed\xa0\x80", b"a" * 65, b"a/b"]
)
def test_a_name_that_no_table_allows_ends_the_link(name: bytes) -> None:
    """Control characters and white space beyond ASCII, and what is no UTF-8, would reach terminals and logs."""
    with Cluster(["node1"]) as cluster:
        links = cluster["node1"].links
        assert links is not None
        links.know(b"node2")
        for kind in (Kind.PEERS, Kind.DIRECT):
            other = link(cluster, Other())
            alice = log_in(cluster, "node1", b"alice")
            other.send(
                bytes((kind, 0)) + b"+" + name
                if kind is Kind.PEERS
                else other.lines(kind, b"alice", b"x\n", sender=name)
            )
            cluster.settle(0.1)
            assert other.refused()[0] == "bad-frame" and other.gone and alice.heard() == []
            alice.say(b"/quit")
            cluster.settle(0.2)


@pytest.mark.parametrize("topic", [b"#\xf3\xa0\x80\x81new", b"#\xf3\xa0\x80\x81/new"])
def test_a_topic_that_tables_of_another_python_allow_keeps_the_link(topic: bytes) -> None:
    with Cluster(["node1"]) as cluster:
        links = cluster["node1"].links
        assert links is not None
        links.know(b"node2")
        other = link(cluster, Other())
        other.send(bytes((Kind.TOPICS, 0)) + b"+" + topic, other.lines(Kind.TOPIC, topic, b"x\n"))
        cluster.settle(0.1)
        assert not other.gone and links.linked.neighbours[b"node2"].topics == {topic}


def test_a_name_that_tables_of_another_python_allow_is_let_in() -> None:
    with Cluster(["node1"]) as cluster:
        links = cluster["node1"].links
        assert links is not None
        links.know(b"node2")
        other = link(cluster, Other())
        alice = log_in(cluster, "node1", b"alice")
        other.send(bytes((Kind.PEERS, 0)) + b"+\xf3\xa0\x80\x81new")
        cluster.settle(0.1)
        assert who(cluster, alice) == [b"alice", b"\xf3\xa0\x80\x81new@node2"]
