"""A whole cluster in memory: what a test of somebody's own may rely on."""

from __future__ import annotations

import pytest
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock

from nettool.cluster.snapshots import LinkState
from nettool.embed import Cluster, Cut
from nettool.errors import SettingError


class Peer(Protocol):
    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.gone = False

    def dataReceived(self, data: bytes) -> None:
        self.heard += data.split(b"\n")[:-1]

    def connectionLost(self, reason: object = None) -> None:
        self.gone = True

    def say(self, line: bytes) -> None:
        self.transport.write(line + b"\n")  # type: ignore[union-attr]


def log_in(cluster: Cluster, node: str, name: bytes) -> Peer:
    peer = cluster[node].connect(Peer())
    peer.say(name)
    cluster.settle()
    peer.heard.clear()
    return peer


def states(cluster: Cluster, node: str) -> dict[bytes, LinkState]:
    links = cluster[node].links
    assert links is not None
    return {snapshot.node: snapshot.state for snapshot in links.snapshot()}


def test_all_nodes_are_linked_when_the_block_begins_and_stopped_when_it_ends() -> None:
    with Cluster(["a", "b", "c"]) as cluster:
        assert states(cluster, "a") == {b"b": LinkState.UP, b"c": LinkState.UP}
        nodes = list(cluster.nodes.values())
    assert not cluster.nodes and not any(node.running for node in nodes)
    assert cluster.clock.getDelayedCalls() == []


def test_a_cluster_of_one_node_is_a_node() -> None:
    with Cluster(["alone"]) as cluster:
        peer = log_in(cluster, "alone", b"alice")
        peer.say(b"alice: myself")
        cluster.settle()
        assert peer.heard == [b"from alice: myself"]


def test_options_are_those_of_each_node_and_a_clock_may_be_given() -> None:
    clock = Clock()
    with Cluster(["a", "b"], clock, max_peers=1) as cluster:
        assert cluster.clock is clock
        log_in(cluster, "a", b"alice")
        late = cluster["a"].connect(Peer())
        cluster.settle()
        assert late.heard[0] == b"error too-many-peers: 1"
    with pytest.raises(SettingError), Cluster(["a"], max_peers="many"):
        pass


@pytest.mark.parametrize("how", Cut)
def test_nothing_goes_through_a_cable_that_is_cut_and_all_of_it_when_it_is_mended(how: Cut) -> None:
    with Cluster(["a", "b"]) as cluster:
        alice, bob = log_in(cluster, "a", b"alice"), log_in(cluster, "b", b"bob")
        cluster.cut("a", "b", how)
        alice.say(b"bob@b: x")
        cluster.settle()
        assert bob.heard == []
        assert states(cluster, "a")[b"b"] is (LinkState.UP if how is Cut.SILENT else LinkState.DOWN)
        cluster.mend("a", "b")
        cluster.settle(3)
        assert bob.heard == [b"from alice@a: x"]


def test_a_killed_node_says_nothing_and_its_peers_lose_their_connections() -> None:
    with Cluster(["a", "b"]) as cluster:
        alice, bob = log_in(cluster, "a", b"alice"), log_in(cluster, "b", b"bob")
        cluster.kill("b")
        cluster.settle(5)
        assert bob.gone and states(cluster, "a") == {b"b": LinkState.DOWN}
        alice.say(b"/who")
        cluster.settle()
        assert alice.heard == [b"peer alice", b"ok who 1"]
        cluster.start("b")
        cluster.settle(40)
        assert states(cluster, "a") == {b"b": LinkState.UP}


def test_the_same_seed_is_the_same_run() -> None:
    def run(seed: int) -> list[bytes]:
        with Cluster(["a", "b"], seed=seed) as cluster:
            alice, bob = log_in(cluster, "a", b"alice"), log_in(cluster, "b", b"bob")
            for number in range(50):
                alice.say(b"bob: %d" % number)
            cluster.pass_time(0.005)
            return list(bob.heard)

    assert run(1) == run(1)
