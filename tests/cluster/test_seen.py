"""What is told of links: a line for each that comes up, goes down or is refused, with what to do; counts that stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.logger import formatEvent, globalLogPublisher

from nettool.cluster.ends import ADVICE, EXPECTED
from nettool.cluster.phases import Mode, PhaseName
from nettool.cluster.service import LinkService
from nettool.cluster.snapshots import LinkState, LinkTotals
from nettool.embed.cluster import Cluster
from nettool.errors import LinkEnd
from nettool.outbox.batch import Kind
from tests.cluster.peers import Other, adds_up, log_in, reach
from tests.support.street import kibibytes

Events = list[dict[str, Any]]


@pytest.fixture
def told() -> Iterator[Events]:
    """What is logged of links from now on."""
    events: Events = []

    def observe(event: dict[str, Any]) -> None:
        if str(event.get("event", "")).startswith(("link", "node-")):
            events.append(event)

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(["node1", "node2"]) as cluster:
        yield cluster


def links(cluster: Cluster, node: str = "node1") -> LinkService:
    found = cluster[node].links
    assert found is not None
    return found


def texts(events: Events, of: str = "") -> list[str]:
    return [formatEvent(event) for event in events if event["event"] == of or not of]


# --- the log


def test_every_end_that_is_told_has_advice() -> None:
    assert ADVICE.keys() == set(LinkEnd) and ADVICE.keys() > EXPECTED
    assert all(advice and not advice.endswith(".") for advice in ADVICE.values())


def test_a_cut_and_a_new_link_are_a_line_each_on_each_node(cluster: Cluster, told: Events) -> None:
    cluster.cut("node1", "node2")
    cluster.settle()
    ended = texts(told, "link-ended")
    assert len(ended) == 2
    assert ended[0].startswith("the link with node") and " ended: lost: " in ended[0] and "comes back" in ended[0]
    cluster.mend("node1", "node2")
    cluster.settle(30)
    assert len(texts(told, "linked")) == 2
    assert {event["node"] for event in told if event["event"] == "linked"} == {"node1", "node2"}


def test_a_node_that_cannot_be_reached_is_told_once_until_it_was_linked(cluster: Cluster, told: Events) -> None:
    for _ in range(2):
        told.clear()
        cluster.kill("node2")
        cluster.settle(300)
        [line] = texts(told, "node-unreachable")
        assert line.startswith("node2 cannot be reached at its address: ") and "see whether that node runs" in line
        assert links(cluster).ends()[LinkEnd.UNREACHABLE] > 5
        cluster.start("node2")
        cluster.settle(60)
        assert links(cluster).snapshot()[0].state is LinkState.UP


def test_a_node_that_is_refused_is_told_why_and_is_not_told_as_unreachable(cluster: Cluster, told: Events) -> None:
    before = links(cluster).ends()
    links(cluster).know(b"node3", [cluster.endpoint("node1", "node2")])
    cluster.settle(5)
    assert texts(told, "node-unreachable") == []
    assert "check the address (refused until then)" in texts(told, "link-ended")[0]
    assert links(cluster).ends().get(LinkEnd.UNREACHABLE) == before.get(LinkEnd.UNREACHABLE)
    [snapshot] = [each for each in links(cluster).snapshot() if each.node == b"node3"]
    assert snapshot.last_end is not None and snapshot.last_end.reason is LinkEnd.WRONG_NAME


def test_a_node_that_is_stopped_or_started_again_in_order_is_no_warning(cluster: Cluster, told: Events) -> None:
    cluster.stop("node2")
    assert texts(told, "link-ended") == []
    [one] = [event for event in told if event["node"] == "node2"]
    assert (one["event"], one["why"], one["detail"]) == ("link-closed", "shutdown", "it says so: the node is stopped")
    assert links(cluster).ends()[LinkEnd.SHUTDOWN] == 1


def test_the_name_of_a_node_that_nobody_knows_is_escaped(cluster: Cluster, told: Events) -> None:
    other = reach(cluster["node1"], Other("nodé9".encode()))
    other.hello()
    cluster.settle(0.1)
    [line] = texts(told, "link-ended")
    assert line.isascii() and r"nod\xe99" in line and "add it to the nodes (refused until then)" in line


# --- how the last link ended


def test_the_last_end_is_the_links_and_not_a_rivals(cluster: Cluster) -> None:
    [snapshot] = links(cluster).snapshot()
    assert snapshot.last_end is None or snapshot.last_end.reason is LinkEnd.UNREACHABLE
    rival = reach(cluster["node1"], Other(b"node2"))
    rival.hello()
    cluster.settle(0.1)
    before = links(cluster).snapshot()[0].last_end
    rival.transport.abortConnection()  # type: ignore[union-attr]
    cluster.settle()
    assert links(cluster).snapshot()[0].last_end == before
    cluster.cut("node1", "node2")
    cluster.settle(0.05)
    end = links(cluster).snapshot()[0].last_end
    assert end is not None and end.reason in (LinkEnd.LOST, LinkEnd.UNREACHABLE)
    assert 0 <= cluster.clock.seconds() - end.at < 0.1


# --- counts


def counted(totals: LinkTotals) -> dict[tuple[Mode, PhaseName], tuple[int, int]]:
    return {(phase.mode, phase.phase): (phase.started, phase.finished) for phase in totals.phases}


def test_no_count_becomes_less_when_a_node_is_not_known_any_more(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob", b"/join #t")
    alice.say(b"bob: 1", b"#t: 2", b"bob: 3")
    cluster.settle(0.2)
    cluster.cut("node1", "node2")
    alice.say(b"bob@node2: 4")
    cluster.settle(0.2)
    before = links(cluster).totals()
    assert counted(before)[Mode.DIRECT, PhaseName.OUTGOING_BUFFER] == (3, 2)
    assert counted(before)[Mode.BROADCAST, PhaseName.OUTGOING_TRANSFER] == (1, 1)
    links(cluster).forget(b"node2")
    cluster.settle(0.2)
    after = links(cluster).totals()
    assert counted(after)[Mode.DIRECT, PhaseName.OUTGOING_BUFFER] == (3, 3), "the one that waited went back"
    assert counted(after)[Mode.BROADCAST, PhaseName.OUTGOING_TRANSFER] == (1, 1)
    assert after.resent_lines == before.resent_lines
    links(cluster).know(b"node2", [cluster.endpoint("node1", "node2")])
    cluster.mend("node1", "node2")
    cluster.settle(30)
    alice.say(b"bob: 5")
    cluster.settle(0.2)
    assert counted(links(cluster).totals())[Mode.DIRECT, PhaseName.OUTGOING_TRANSFER] == (3, 3)
    assert bob.heard()[-1] == b"from alice@node1: 5"
    adds_up(cluster)


def test_a_snapshot_counts_what_a_walk_finds(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob", b"/join #t")
    bob.stop_reading()
    queue = links(cluster).linked.neighbours[b"node2"].queue
    seen = set()
    for number in range(60):
        if number == 30:
            cluster.cut("node1", "node2")
        alice.say(*(b"bob@node2: " + text for text in kibibytes(3)), b"#t: x")
        cluster.settle(0.003)
        [snapshot] = links(cluster).snapshot()
        batches = queue.batches()
        assert snapshot.queued_lines == sum(batch.lines for batch in batches)
        assert snapshot.unconfirmed_lines == sum(sent.lines for sent in queue.sent)
        on_their_way = queue.on_their_way()
        for kind, mode in ((Kind.DIRECT, Mode.DIRECT), (Kind.TOPIC, Mode.BROADCAST)):
            there = sum(sent.lines for sent in queue.sent if sent.mode is mode and sent.reason is None)
            assert on_their_way[kind] == there + sum(batch.lines for batch in batches if batch.kind is kind)
        now = cluster.clock.seconds()
        assert snapshot.oldest == max((now - batch.at for batch in batches), default=0.0)
        assert snapshot.unconfirmed_for == max((now - sent.at for sent in queue.sent), default=0.0)
        seen.add((bool(batches), bool(queue.sent)))
    assert (True, True) in seen or {(True, False), (False, True)} <= seen


# --- why


def test_why_finds_a_name_without_its_node_where_only_one_has_it() -> None:
    with Cluster(["node1", "node2", "node3"]) as cluster:
        log_in(cluster, "node2", b"bob")
        why = links(cluster).why(b"bob")
        assert why is not None and (why.name, why.listed) == (b"bob@node2", True)
        log_in(cluster, "node3", b"bob")
        assert links(cluster).why(b"bob") is None
        nobody = links(cluster).why(b"eve@node3")
        assert nobody is not None and not nobody.listed and nobody.under_way.lines == 0
        way = links(cluster).why(b"@node2")
        assert way is not None and way.name == b"@node2"
        for unknown in (b"eve", b"bob@node4", b"@node4", b""):
            assert links(cluster).why(unknown) is None
