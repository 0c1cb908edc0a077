"""A program sends by itself: to a topic, a name, a name on another node by that node's name or one of its addresses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from nettool.cluster.resolver import Address
from nettool.embed import Cluster, Node, NotSent
from tests.cluster.peers import adds_up, log_in


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two nodes; to the first one the second has two addresses."""
    with Cluster(["node1", "node2"], drain_timeout="1s") as cluster:
        links = cluster["node1"].links
        assert links is not None
        addresses = (Address("10.0.0.2", 6389), Address("::1", 6389))
        links.know(b"node2", [cluster.endpoint("node1", "node2")] * 2, addresses)
        cluster.settle()
        yield cluster
        adds_up(cluster)


def test_a_program_sends_to_topics_and_names_wherever_they_are(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice", b"/join #t"), log_in(cluster, "node2", b"bob", b"/join #t")
    alice.heard(), bob.heard()
    node = cluster["node1"]
    node.send("alice", "here")
    node.send("bob", "by a bare name")
    node.send("bob@node2", "by an address")
    node.send("#t", b"to all\nof them")
    cluster.settle(0.2)
    assert alice.heard() == [
        b"from @node1: here",
        b"from @node1 to #t: to all",
        b"from @node1 to #t: of them",
    ]
    assert bob.heard() == [
        b"from @node1: by a bare name",
        b"from @node1: by an address",
        b"from @node1 to #t: to all",
        b"from @node1 to #t: of them",
    ]


@pytest.mark.parametrize("node", ["node2", "10.0.0.2:6389", "[::1]:6389"])
def test_a_node_is_known_by_its_name_or_by_any_of_its_addresses(cluster: Cluster, node: str) -> None:
    bob = log_in(cluster, "node2", b"bob")
    assert cluster["node1"].address("bob", node) == "bob@node2"
    cluster["node1"].send("bob", "hello", node=node)
    cluster.settle(0.2)
    assert bob.heard() == [b"from @node1: hello"]


def test_a_node_may_mean_itself(cluster: Cluster) -> None:
    assert cluster["node1"].address("alice", "node1") == "alice@node1"
    assert Node(Clock(), node_name="node9").address("alice", "node9") == "alice@node9"


@pytest.mark.parametrize("node", ["node3", "10.0.0.9:6389", "10.0.0.2", "10.0.0.2:1", "::1", "node2 "])
def test_what_is_no_node_is_said_to_be_none_and_nothing_is_sent(cluster: Cluster, node: str) -> None:
    with pytest.raises(LookupError, match="known by name or address: node2"):
        cluster["node1"].send("bob", "x", node=node)
    assert cluster["node1"].totals().accepted == 0


def test_an_address_of_two_nodes_means_none_of_them(cluster: Cluster) -> None:
    links = cluster["node1"].links
    assert links is not None
    links.know(b"node3", [cluster.endpoint("node1", "node2")], (Address("10.0.0.2", 6389),))
    with pytest.raises(LookupError, match="several nodes: node2, node3"):
        cluster["node1"].address("bob", "10.0.0.2:6389")


def test_a_node_whose_key_is_not_trusted_is_sent_nothing(cluster: Cluster) -> None:
    links = cluster["node1"].links
    assert links is not None
    links.trusts = lambda name: False
    with pytest.raises(LookupError, match="node2 is not trusted: add its line to trusted-nodes"):
        cluster["node1"].send("bob", "x", node="10.0.0.2:6389")


def test_a_node_alone_has_no_others() -> None:
    with Node(Clock(), node_name="node1") as node, pytest.raises(LookupError, match="this one is alone"):
        node.send("bob", "x", node="node2")


@pytest.mark.parametrize("to", ["nobody", "bob@node9", "a b", "#"])
def test_what_reaches_nobody_is_an_error(cluster: Cluster, to: str) -> None:
    with pytest.raises(NotSent):
        cluster["node1"].send(to, "x")


def test_who_does_not_read_makes_a_program_try_again(cluster: Cluster) -> None:
    bob = log_in(cluster, "node2", b"bob")
    bob.stop_reading()
    with pytest.raises(NotSent, match="waits for an outbox that is full"):
        for _ in range(200):
            cluster["node1"].send("bob", "x" * 60_000)
            cluster.pass_time(0.06)
    bob.read_on()
    cluster.settle(6.0)
    cluster["node1"].send("bob", "again")
    cluster.settle(0.2)
    assert bob.heard()[-1] == b"from @node1: again"
