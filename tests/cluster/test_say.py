"""What a node itself says, as an operator does on its console, is heard on other nodes as `@node`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nettool.embed.cluster import Cluster
from nettool.ops.levers import Levers
from tests.cluster.peers import adds_up, log_in


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(["node1", "node2"], drain_timeout="1s") as cluster:
        yield cluster
        adds_up(cluster)


def test_a_node_is_heard_on_another_by_name_and_by_topic_and_the_link_stays(cluster: Cluster) -> None:
    bob = log_in(cluster, "node2", b"bob", b"/join #t, #u")
    carol = log_in(cluster, "node2", b"carol")
    bob.heard()
    link = cluster["node1"].links.linked.neighbours[b"node2"].link  # type: ignore[union-attr]
    levers = Levers(cluster["node1"], drain=lambda: None)
    levers.say("#t", "to a topic\nand again")
    levers.say("bob", "to a name")
    levers.say("carol", "in the same turn")
    cluster.settle(0.2)
    assert carol.heard() == [b"from @node1: in the same turn"]
    assert bob.heard() == [
        b"from @node1 to #t: to a topic",
        b"from @node1 to #t: and again",
        b"from @node1: to a name",
    ]
    assert cluster["node1"].links.linked.neighbours[b"node2"].link is link  # type: ignore[union-attr]
