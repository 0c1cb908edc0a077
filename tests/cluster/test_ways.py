"""The way to another node, as its peers and that node find it: what waits for it, and what was sent on it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from nettool.cluster import frames
from nettool.cluster.frames import Kind
from nettool.cluster.neighbour import Neighbour
from nettool.cluster.sending import LOST_AFTER
from nettool.embed.cluster import Cluster
from nettool.errors import DropReason, LinkEnd
from nettool.peers.session import Session
from nettool.settings import LinkSettings
from tests.cluster.peers import Other, Talker, adds_up, link, log_in, reach


@pytest.fixture
def alone(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One node, which knows another one and dials nobody: nothing here rings but for what a test does."""
    with Cluster(["node1"], **{"drain_timeout": "1s", **getattr(request, "param", {})}) as cluster:
        links = cluster["node1"].links
        assert links is not None
        links.know(b"node2")
        yield cluster
        adds_up(cluster)


def options(**options: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("alone", [options], indirect=True, ids=["options"])


def way(cluster: Cluster) -> Neighbour:
    links = cluster["node1"].links
    assert links is not None
    return links.linked.neighbours[b"node2"]


def link_again(cluster: Cluster, other: Other, taken: int) -> Other:
    """Link as the instance that has taken so many frames of the one that is linked to."""
    reach(cluster["node1"], other)
    other.hello(took=(way(cluster).linked.instance, taken))
    cluster.settle(0.1)
    other.send(bytes([Kind.TAKE]))
    cluster.settle(0.1)
    return other


def cut(cluster: Cluster, other: Other) -> None:
    other.transport.abortConnection()  # type: ignore[union-attr]
    cluster.settle(0.1)
    assert way(cluster).link is None


# --- what another node says of receivers ------------------------------------------------------------


def test_an_impossible_receiver_costs_no_line_and_no_number_of_anybody_else(alone: Cluster) -> None:
    alice = log_in(alone, "node1", b"alice")
    other = link(alone, Other())
    other.send(other.lines(Kind.DIRECT, b"x" * 300, b"x\n"))
    alice.say(b"bob@node2: hello")
    alone.settle(0.2)
    assert other.gone and way(alone).last_end is not None
    assert way(alone).last_end.reason is LinkEnd.BAD_FRAME  # type: ignore[union-attr]
    again = link(alone, Other())
    [payload] = again.heard(Kind.DIRECT)
    assert frames.parse_lines(payload).number == 1 and frames.parse_lines(payload).data == b"hello\n"


# --- windows -----------------------------------------------------------------------------------------


@options(outbox_bytes="16KiB", max_line="4KiB")
def test_receivers_whose_lines_were_given_back_at_once_are_not_remembered(alone: Cluster) -> None:
    alice, carol = log_in(alone, "node1", b"alice"), log_in(alone, "node1", b"carol")
    other = link(alone, Other())
    other.transport.pauseProducing()  # type: ignore[union-attr]
    for n in range(100):
        carol.say(b"c%d@node2: " % n + b"x" * 4000)
        alone.settle(0.01)
    alone.settle(6)
    backlog = way(alone).queue.backlog
    assert backlog is not None and backlog.direct.spent
    under_way = dict(way(alone).under_way)
    alice.say(*[b"a%d@node2: x" % n for n in range(100)])
    alone.settle(0.1)
    assert alice.heard() == [b"returned a%d@node2 queue-full: x" % n for n in range(100)]
    assert dict(way(alone).under_way) == under_way


@options(remote_window="64KiB")
def test_a_closed_window_pauses_those_who_wrote_what_is_under_way_and_nobody_who_wrote_before(alone: Cluster) -> None:
    alice, carol, dave = [log_in(alone, "node1", name) for name in (b"alice", b"carol", b"dave")]
    other = link(alone, Other())
    for peer in (dave, carol, alice):
        peer.say(b"bob@node2: 1")
        alone.settle(0.01)
    other.send(frames.render_number(Kind.CONFIRM, 1))
    alone.settle(0.1)
    far = way(alone).far(b"bob")
    assert far.writers == (b"carol", b"alice")
    alice.say(*[b"bob@node2: " + b"x" * 1000] * 80)
    alone.settle(0.1)
    assert far.lane is not None and {sender.name for sender in far.lane.gate.waiting} == {b"alice", b"carol"}
    dave.say(b"/ping")
    alone.settle(0.1)
    assert dave.heard() == [b"pong"]


def sessions() -> int:
    gc.collect()
    return sum(isinstance(one, Session) for one in gc.get_objects())


def test_who_has_left_is_forgotten_though_lines_of_others_are_always_under_way(alone: Cluster) -> None:
    alice, other = log_in(alone, "node1", b"alice"), link(alone, Other())
    here = sessions()
    for n in range(100):
        peer = alone["node1"].connect(Talker())
        peer.say(b"p%d" % n, b"bob@node2: x", b"/quit")
        alone.settle(0.01)
        alice.say(b"bob@node2: steady")
        alone.settle(0.01)
        other.send(frames.render_number(Kind.CONFIRM, other.last_number - 1))
        alone.settle(0.1)
    assert way(alone).far(b"bob").writers == (b"alice",)
    assert sessions() < here + 30


@options(outbox_bytes="8KiB", max_line="4KiB", presence_grace="1h")
def test_nobody_waits_for_a_node_that_is_away_however_much_one_read_brings(alone: Cluster) -> None:
    alice, carol = log_in(alone, "node1", b"alice"), log_in(alone, "node1", b"carol")
    other = link(alone, Other())
    other.send(frames.render_change(Kind.PEERS, b"bob", True))
    alone.settle(0.1)
    cut(alone, other)
    bound = way(alone).queue.bounds.delivery.outbox_bytes
    alice.say(*[b"bob: " + b"x" * 1000] * 150)
    alone.settle(0.1)
    assert way(alone).queue.held_bytes > 2 * bound
    alice.say(b"/ping")
    alone.settle(0.1)
    assert alice.heard() == [b"pong"]
    carol.say(b"bob: small")
    alone.settle(0.1)
    assert way(alone).queue.held_bytes < bound
    assert alice.heard() == [b"returned bob node-unreachable: " + b"x" * 1000] * 150
    alone.settle(31)
    assert carol.heard() == [b"returned bob node-unreachable: small"]


# --- what was lost on the way --------------------------------------------------------------------------


def test_what_was_sent_to_a_node_that_never_comes_back_is_counted_as_lost(alone: Cluster) -> None:
    alice, other = log_in(alone, "node1", b"alice"), link(alone, Other())
    alice.say(b"bob@node2: sent", b"bob@node2: sent too")
    alone.settle(0.1)
    cut(alone, other)
    alone.settle(LOST_AFTER - 1)
    assert alone["node1"].totals().queued == 2
    alone.settle(1)
    totals = alone["node1"].totals()
    assert (totals.queued, totals.dropped) == (0, {DropReason.LINK_LOST: 2})
    assert way(alone).queue.quiet


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_an_instance_that_comes_back_after_that_finds_every_number_and_no_lost_line(alone: Cluster, taken: int) -> None:
    alice, other = log_in(alone, "node1", b"alice"), link(alone, Other())
    for n in range(3):
        alice.say(b"bob@node2: %d" % n)
        alone.settle(0.1)
    cut(alone, other)
    alone.settle(LOST_AFTER + 1)
    again = link_again(alone, Other(), taken)
    alice.say(b"bob@node2: new")
    alone.settle(0.1)
    numbered = [payload for payload in again.payloads if payload[0] in frames.NUMBERED]
    assert [int.from_bytes(payload[1:9], "big") for payload in numbered] == list(range(taken + 1, 5))
    assert [frames.parse_lines(payload).data for payload in again.heard(Kind.DIRECT)] == [b"new\n"]
    again.send(frames.render_number(Kind.CONFIRM, 4))
    alone.settle(0.1)
    assert not again.gone and way(alone).queue.quiet


@options(outbox_bytes="4KiB", max_line="1KiB")
@pytest.mark.parametrize("same", [True, False], ids=["the same instance", "another instance"])
def test_what_was_lost_for_an_instance_is_told_to_that_one_and_not_to_the_next(alone: Cluster, same: bool) -> None:
    alice, other = log_in(alone, "node1", b"alice"), link(alone, Other())
    other.send(frames.render_change(Kind.TOPICS, b"#t", True))
    alone.settle(0.1)
    cut(alone, other)
    alice.say(*[b"#t: " + b"x" * 900] * 100)
    alone.settle(0.1)
    lost = alone["node1"].totals().dropped[DropReason.LAGGED]
    assert lost
    later = Other() if same else Other(instance=b"j" * frames.INSTANCE)
    link_again(alone, later, 0)
    told = [frames.parse_counts(payload)[1] for payload in later.heard(Kind.LAGGED)]
    assert told == ([{b"#t": lost}] if same else [])


# --- what waits for a node that is away -------------------------------------------------------------


def test_a_line_for_a_node_that_never_was_linked_comes_back_in_time(alone: Cluster) -> None:
    alice = log_in(alone, "node1", b"alice")
    alice.say(b"bob@node2: hello")
    alone.settle(29)
    assert alice.heard() == []
    alone.settle(2)
    assert alice.heard() == [b"returned bob@node2 node-unreachable: hello"]


def test_a_line_for_a_node_that_has_long_been_away_comes_back_in_time(alone: Cluster) -> None:
    alice = log_in(alone, "node1", b"alice")
    cut(alone, link(alone, Other()))
    alone.settle(3600)
    for text in (b"one", b"two"):
        alice.say(b"bob@node2: " + text)
        alone.settle(31)
        assert alice.heard() == [b"returned bob@node2 node-unreachable: " + text]


@options(pending_timeout="1h")
def test_a_shorter_pending_timeout_is_in_force_for_what_waits_already(alone: Cluster) -> None:
    alice = log_in(alone, "node1", b"alice")
    alice.say(b"bob@node2: hello")
    alone.settle(10)
    node = alone["node1"]
    settings = node.live.settings
    links: LinkSettings = replace(settings.links, pending_timeout=1.0)
    node.put_in_force(replace(settings, links=links))
    alone.settle(0.1)
    assert alice.heard() == [b"returned bob@node2 node-unreachable: hello"]
