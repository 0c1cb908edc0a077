"""Without a key to go by a node links to nobody, unless a test says that it wants plain links on one machine."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock

from nettool.cluster.identity import Refused
from nettool.cluster.judges import is_nearby, trust_nearby, trust_nobody
from nettool.embed import Cluster, InsideAddress, Node
from nettool.errors import LinkEnd
from tests.cluster.peers import Other, reach


class From:
    """As much of a transport as a judge looks at."""

    def __init__(self, address: object) -> None:
        self.address = address

    def getPeer(self) -> object:
        return self.address


@pytest.mark.parametrize(
    ("address", "nearby"),
    [
        (IPv4Address("TCP", "127.0.0.1", 1), True),
        (IPv4Address("TCP", "127.9.9.9", 1), True),
        (IPv6Address("TCP", "::1", 1), True),
        (IPv6Address("TCP", "::ffff:127.0.0.1", 1), True),
        (UNIXAddress("/run/link"), True),
        (UNIXAddress(None), True),
        (IPv4Address("TCP", "10.0.0.1", 1), False),
        (IPv4Address("TCP", "0.0.0.0", 1), False),
        (IPv6Address("TCP", "::ffff:10.0.0.1", 1), False),
        (IPv6Address("TCP", "fe80::1%lo", 1), False),
        (IPv4Address("TCP", "localhost", 1), False),
        (InsideAddress("node1"), False),
        (None, False),
    ],
)
def test_only_the_loopback_interface_and_unix_sockets_are_nearby(address: object, nearby: bool) -> None:
    assert is_nearby(address) is nearby
    if nearby:
        trust_nearby(b"node2", From(address), b"")
    else:
        with pytest.raises(Refused) as caught:
            trust_nearby(b"node\n2", From(address), b"")
        assert "nettool.cluster.secured" in caught.value.here and "use TLS" in caught.value.there
        assert "\n" not in caught.value.here


def test_whoever_comes_is_refused_where_nothing_is_said() -> None:
    with pytest.raises(Refused):
        trust_nobody(b"node2", From(UNIXAddress("/run/link")), b"")


def test_a_node_that_was_given_no_judge_links_to_nobody_and_says_so() -> None:
    clock: Any = Clock()
    with Node(clock, node_name="node1") as node:
        links = node.link()
        links.know(b"node2")
        other = reach(node, Other())
        other.hello()
        for _ in range(10):
            clock.advance(0.01)
        code, detail = other.refused()
        assert code == "not-trusted" and "trusts nobody" in detail
        assert other.gone and links.linked.ends == {LinkEnd.NOT_TRUSTED: 1}


def test_a_cluster_in_memory_takes_no_connection_from_elsewhere() -> None:
    with Cluster(["node1"]) as cluster:
        links = cluster["node1"].links
        assert links is not None
        with pytest.raises(Refused):
            links.linked.judge(b"node2", From(IPv4Address("TCP", "127.0.0.1", 1)), b"")
