"""The contract of `ICluster`: one node alone and linked nodes both keep it, and whatever else takes their place has to.

Each test is of a broker and its cluster, without a link: what holds for both, whatever other nodes there are.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from zope.interface.verify import verifyObject

from nettool.broker.broker import Broker
from nettool.broker.cluster import Alone, ICluster
from nettool.cluster.linked import Linked
from nettool.errors import ErrorCode, ReturnReason
from nettool.outbox.batch import Batch, Kind
from nettool.settings import Live, Settings
from tests.broker.member import Member


class Clock:
    """Time, and an alarm that nobody hears."""

    now = 5.0

    def seconds(self) -> float:
        return self.now

    def by(self, when: float) -> None:
        pass


Make = Callable[[Broker, Live], ICluster]


def alone(broker: Broker, live: Live) -> ICluster:
    return Alone()


def linked(broker: Broker, live: Live) -> ICluster:
    return Linked(broker, live, Clock().seconds, Clock(), b"i" * 16)


def linked_with_a_node_that_is_away(broker: Broker, live: Live) -> ICluster:
    cluster = Linked(broker, live, Clock().seconds, Clock(), b"i" * 16)
    cluster.add(b"node2")
    return cluster


class Scene:
    """A broker in a cluster, and two peers."""

    def __init__(self, make: Make) -> None:
        live = Live(Settings())
        self.broker = Broker(live)
        self.cluster = make(self.broker, live)
        self.broker.join_cluster(self.cluster)
        self.alice, self.bob = Member(b"alice", self.broker, live), Member(b"bob", self.broker, live)
        for peer in (self.alice, self.bob):
            self.broker.log_in(peer, 1.0)

    def route(self, *lines: bytes) -> None:
        block = [line + b"\n" for line in lines]
        at = 0
        while at < len(block):
            at = self.broker.routing.route_lines(self.alice, block, at, 2.0)


@pytest.fixture(params=[alone, linked, linked_with_a_node_that_is_away], ids=lambda make: make.__name__)
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param)


def test_it_has_every_method_of_the_interface(scene: Scene) -> None:
    assert verifyObject(ICluster, scene.cluster)


def test_who_is_here_is_reached_here_first(scene: Scene) -> None:
    scene.route(b"bob: 1", b"bob@node1: 2", b"bob, bob@node1: 3")
    assert scene.bob.got() == [b"from alice: 1", b"from alice: 2", b"from alice: 3"]


def test_nobody_is_at_a_node_that_there_is_not(scene: Scene) -> None:
    assert scene.cluster.find(b"bob@nowhere") is None
    scene.route(b"bob@nowhere: x", b"carol: y")
    assert scene.alice.got() == [b"error no-such-peer: bob@nowhere", b"error no-such-peer: carol"]
    assert scene.broker.snapshot().refused == {ErrorCode.NO_SUCH_PEER: 2}


def test_a_name_that_is_on_no_other_node_means_none(scene: Scene) -> None:
    assert list(scene.cluster.nodes_with(b"carol")) == []


def test_lines_of_a_sender_who_is_here_or_was_are_not_the_clusters_to_give_back(scene: Scene) -> None:
    batch = Batch(Kind.DIRECT, scene.alice, b"bob", b"from alice: x\n", 1, 2.0)
    assert not scene.cluster.give_back(batch, ReturnReason.DISCONNECTED, 3.0)
    scene.broker.peer_leaves(scene.alice, 3.0)
    assert not scene.cluster.give_back(batch, ReturnReason.DISCONNECTED, 3.0)
    assert scene.broker.ledger.accepted == 0


def test_telling_it_what_happens_disturbs_nobody(scene: Scene) -> None:
    scene.broker.join(scene.bob, b"#t")
    scene.route(b"#t: x")
    scene.broker.leave(scene.bob, b"#t")
    scene.broker.peer_leaves(scene.bob, 3.0)
    assert scene.bob.got() == [b"from alice to #t: x"]


def test_the_ledger_adds_up_until_its_end_and_then_nothing_is_queued_there(scene: Scene) -> None:
    scene.route(b"bob: 1", b"bob@node2: 2", b"carol@node2: 3", b"#t: 4")
    assert scene.broker.snapshot().adds_up
    scene.bob.got(), scene.alice.got()
    scene.broker.shut_down(9.0)
    assert scene.cluster.queued() == 0
    scene.alice.got()
    snapshot = scene.broker.snapshot()
    assert snapshot.adds_up and snapshot.queued == 0


def test_after_its_end_what_comes_for_other_nodes_goes_back_or_is_counted(scene: Scene) -> None:
    scene.broker.shut_down(9.0)
    scene.route(b"bob@node2: late")
    assert scene.cluster.queued() == 0 and scene.broker.snapshot().adds_up
