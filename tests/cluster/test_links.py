"""Links: which connection it is, what a cut takes, who is alive, how a node is dialled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectingCancelledError, ConnectionRefusedError
from twisted.internet.protocol import Factory
from twisted.logger import globalLogPublisher

from nettool.cluster import frames
from nettool.cluster.dialling import DIAL_TIME, LONGEST_DELAY, STEADY, backoff
from nettool.cluster.frames import BadFrame, Kind
from nettool.cluster.linked import Linked
from nettool.cluster.neighbour import Neighbour
from nettool.cluster.service import LinkService
from nettool.cluster.snapshots import LinkState
from nettool.embed.cable import Cut
from nettool.embed.cluster import Cluster
from nettool.embed.inside import InsideEndpoint
from nettool.errors import DropReason, LinkEnd
from tests.cluster.peers import Other, adds_up, link, log_in, reach


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(["node1", "node2"], drain_timeout="1s") as cluster:
        yield cluster
        adds_up(cluster)


@pytest.fixture
def alone() -> Iterator[Cluster]:
    """`node1`, which knows of a `node2` that the test speaks for, and of a `node0`."""
    with Cluster(["node1"], drain_timeout="1s") as cluster:
        service(cluster, "node1").know(b"node2")
        service(cluster, "node1").know(b"node0")
        yield cluster
        adds_up(cluster)


def service(cluster: Cluster, node: str) -> LinkService:
    links = cluster[node].links
    assert links is not None
    return links


def linked(cluster: Cluster, node: str) -> Linked:
    return service(cluster, node).linked


def neighbour(cluster: Cluster, node: str, other: bytes) -> Neighbour:
    return linked(cluster, node).neighbours[other]


# --- one link ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_two_nodes_that_dial_each_other_keep_one_link(seed: int) -> None:
    with Cluster(["node1", "node2"], seed=seed) as cluster:
        cluster.settle(5.0)
        for node, other in (("node1", b"node2"), ("node2", b"node1")):
            assert len(linked(cluster, node).connections) == 1
            assert neighbour(cluster, node, other).link is not None
        assert len(cluster.cable("node1", "node2").ends) == 2


def test_all_nodes_are_linked_with_all(cluster: Cluster) -> None:
    names = [f"node{n}" for n in range(6)]
    with Cluster(names, seed=1) as six:
        for name in names:
            assert {s.node.decode() for s in service(six, name).snapshot() if s.state is LinkState.UP} == {*names} - {
                name
            }


def test_a_second_connection_of_a_linked_instance_is_refused_if_the_link_answers(alone: Cluster) -> None:
    other = Other(b"node0")
    reach(alone["node1"], other).hello()
    alone.settle(0.1)
    assert other.heard(Kind.TAKE)
    second = Other(b"node0")
    reach(alone["node1"], second).hello()
    alone.settle(0.5)
    [ping] = other.heard(Kind.PING)
    assert not second.heard(Kind.TAKE) and not second.heard(Kind.ALREADY_LINKED)
    other.send(frames.render_number(Kind.PONG, frames.parse_number(ping)))
    alone.settle(0.1)
    assert second.heard(Kind.ALREADY_LINKED) and second.gone and not other.gone


def test_a_link_that_does_not_answer_within_two_seconds_is_replaced(alone: Cluster) -> None:
    other, second = Other(b"node0"), Other(b"node0")
    reach(alone["node1"], other).hello()
    alone.settle(0.1)
    reach(alone["node1"], second).hello(took=(linked(alone, "node1").instance, 0))
    alone.settle(1.9)
    assert not second.heard(Kind.TAKE)
    alone.settle(0.3)
    assert second.heard(Kind.TAKE) and other.gone
    link = neighbour(alone, "node1", b"node0").link
    assert link is not None and not link.over


def test_one_that_takes_the_links_place_and_says_what_cannot_be_ends_alone(alone: Cluster) -> None:
    """It is found out at the end of the link, in the upkeep of all links, and the node is dialled on."""
    address = Address(alone, refuses)
    service(alone, "node1").know(b"node0", [address])  # type: ignore[list-item]
    other, second = Other(b"node0"), Other(b"node0")
    reach(alone["node1"], other).hello()
    alone.settle(5.0)
    reach(alone["node1"], second).hello(took=(linked(alone, "node1").instance, 99))
    alone.settle(2.5)
    assert other.gone and second.refused()[0] == "bad-frame" and second.gone
    dialled = len(address.dialled)
    alone.settle(2 * LONGEST_DELAY)
    assert neighbour(alone, "node1", b"node0").link is None and len(address.dialled) > dialled


def test_a_newer_instance_takes_the_place_of_an_older_one_at_once(alone: Cluster) -> None:
    old, new = Other(b"node0", b"1" * 16), Other(b"node0", b"2" * 16)
    reach(alone["node1"], old).hello()
    alone.settle(0.1)
    reach(alone["node1"], new).hello()
    alone.settle(0.1)
    assert new.heard(Kind.TAKE) and old.gone
    assert old.refused()[0] == "replaced"


def test_an_older_instance_whose_hello_comes_late_does_not_end_a_living_link(alone: Cluster) -> None:
    new, old = Other(b"node0", b"2" * 16), Other(b"node0", b"1" * 16)
    reach(alone["node1"], new).hello()
    alone.settle(0.1)
    reach(alone["node1"], old).hello()
    alone.settle(0.1)
    new.send(frames.render_number(Kind.PONG, frames.parse_number(new.heard(Kind.PING)[0])))
    alone.settle(0.1)
    assert old.heard(Kind.ALREADY_LINKED) and not new.gone


def test_the_late_end_of_an_old_link_does_not_touch_a_newer_one(alone: Cluster) -> None:
    old, new = Other(), Other(instance=b"j" * 16)
    link(alone, old)
    known = neighbour(alone, "node1", b"node2")
    first = known.link
    link(alone, new)
    second = known.link
    assert first is not None and second is not None and second is not first
    first.lost(LinkEnd.LOST, "late", alone.clock.seconds())
    old.transport.loseConnection()  # type: ignore[union-attr]
    alone.settle(0.5)
    assert known.link is second and not new.gone


def test_a_connection_that_ends_before_it_is_the_link_does_not_touch_the_link(alone: Cluster) -> None:
    first, second = Other(b"node0"), Other(b"node0")
    reach(alone["node1"], first).hello()
    alone.settle(0.1)
    reach(alone["node1"], second).hello()
    alone.settle(0.1)
    second.transport.abortConnection()  # type: ignore[union-attr]
    alone.settle(0.1)
    link = neighbour(alone, "node1", b"node0").link
    assert link is not None and not link.over and not first.gone


def test_who_does_not_decide_waits_for_a_decision_only_so_long(alone: Cluster) -> None:
    other = reach(alone["node1"], Other())
    other.hello()
    alone.settle(9.0)
    assert not other.gone
    alone.settle(2.0)
    assert other.gone and linked(alone, "node1").ends[LinkEnd.NOT_TAKEN] == 1


# --- cuts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_a_cut_at_any_byte_loses_nothing_and_doubles_nothing(seed: int) -> None:
    chance = Random(seed)
    with Cluster(["node1", "node2"], seed=seed) as cluster:
        alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob", b"/join #t")
        bob.heard()
        written = 0
        for _ in range(15):
            lines = [chance.choice((b"bob: %d", b"#t: %d", b"bob@node2: %d")) % (written + n) for n in range(40)]
            written += len(lines)
            alice.say(*lines)
            cluster.pass_time(chance.randint(0, 10) / 1000)
            cluster.cut("node1", "node2", chance.choice((Cut.LOUD, Cut.LOUD, Cut.SILENT)))
            cluster.pass_time(chance.choice((0.0, 0.01)))
            cluster.mend("node1", "node2")
            cluster.pass_time(chance.choice((0.0, 0.3)))
        cluster.settle(3.0)
        assert [int(line.rpartition(b" ")[2]) for line in bob.heard()] == list(range(written))
        adds_up(cluster)
        assert cluster["node1"].totals().queued == 0


def test_what_was_sent_to_an_instance_that_is_gone_is_counted_and_the_rest_waits_on(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    log_in(cluster, "node2", b"bob", b"/join #t")
    cluster.cut("node1", "node2", Cut.SILENT)
    alice.say(b"bob@node2: sent", b"#t: sent too")
    cluster.settle(0.1)
    cluster.kill("node2")
    cluster.cut("node1", "node2", Cut.LOUD)
    cluster.settle(0.1)
    alice.say(b"bob@node2: waits", b"#t: for hearers who are gone")
    cluster.settle(0.1)
    cluster.start("node2")
    bob = cluster["node2"].connect(type(alice)())
    bob.say(b"bob")
    cluster.mend("node1", "node2")
    cluster.settle(5.0)
    assert bob.heard() == [b"ok login bob@node2", b"from alice@node1: waits"]
    totals = cluster["node1"].totals()
    assert totals.dropped == {DropReason.LINK_LOST: 2, DropReason.HEARER_GONE: 1} and totals.queued == 0


def test_a_node_that_says_it_took_what_was_never_sent_is_no_link(alone: Cluster) -> None:
    other = link(alone, Other())
    other.transport.loseConnection()  # type: ignore[union-attr]
    alone.settle(0.1)
    again = reach(alone["node1"], Other())
    again.hello(took=(linked(alone, "node1").instance, 99))
    alone.settle(0.1)
    again.send(bytes([Kind.TAKE]))
    alone.settle(0.1)
    assert again.refused()[0] == "bad-frame" and again.gone


def test_the_rest_is_sent_again_to_the_same_instance_and_only_that(alone: Cluster) -> None:
    alice = log_in(alone, "node1", b"alice")
    other = link(alone, Other())
    for line in (b"bob@node2: 1", b"carol@node2: 2", b"dave@node2: 3"):
        alice.say(line)
        alone.settle(0.01)
    sent = other.heard(Kind.DIRECT)
    assert [frames.parse_lines(frame).number for frame in sent] == [1, 2, 3]
    other.transport.loseConnection()  # type: ignore[union-attr]
    alone.settle(0.1)
    again = reach(alone["node1"], Other())
    again.hello(took=(linked(alone, "node1").instance, 1))
    alone.settle(0.1)
    again.send(bytes([Kind.TAKE]))
    alone.settle(0.1)
    assert again.heard(Kind.DIRECT) == sent[1:]
    again.send(frames.render_number(Kind.CONFIRM, 3))
    alone.settle(0.1)
    assert alone["node1"].totals().forwarded == 3 and alone["node1"].totals().queued == 0


def _talk(cluster: Cluster, alice: Any, bob: Any) -> None:
    """Frames go both ways, so that both have something to go on behind."""
    for _ in range(5):
        alice.say(b"bob: x")
        bob.say(b"alice: y")
        cluster.settle(0.2)


def _hear_each_other(cluster: Cluster, alice: Any, bob: Any) -> None:
    alice.heard(), bob.heard()
    alice.say(b"bob: after")
    bob.say(b"alice: after")
    cluster.settle(0.2)
    assert alice.heard() == [b"from bob@node2: after"] and bob.heard() == [b"from alice@node1: after"]


def test_a_node_that_was_removed_and_added_again_begins_anew_on_both_sides(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    _talk(cluster, alice, bob)
    service(cluster, "node2").forget(b"node1")
    cluster.settle(0.5)
    service(cluster, "node2").know(b"node1", [cluster.endpoint("node2", "node1")])
    cluster.settle(5.0)
    _hear_each_other(cluster, alice, bob)


def test_a_connection_with_older_hellos_does_not_take_the_place_of_a_link_that_has_ended(alone: Cluster) -> None:
    """Both dialled when they did not know each other: by those hellos, what is not confirmed would be forgotten."""
    alice = log_in(alone, "node1", b"alice")
    first, second = Other(b"node0"), Other(b"node0")
    reach(alone["node1"], first).hello()
    reach(alone["node1"], second).hello()
    alone.settle(0.1)
    assert first.heard(Kind.TAKE)
    alice.say(b"bob@node0: not confirmed")
    alone.settle(0.1)
    first.transport.loseConnection()  # type: ignore[union-attr]
    alone.settle(0.1)
    assert second.heard(Kind.ALREADY_LINKED) and not second.heard(Kind.TAKE)
    again = reach(alone["node1"], Other(b"node0"))
    again.hello(took=(linked(alone, "node1").instance, 0))
    alone.settle(0.1)
    assert again.heard(Kind.DIRECT) and alone["node1"].totals().dropped == {}


def test_a_hello_that_was_held_up_until_the_link_has_ended_begins_no_new_one(alone: Cluster) -> None:
    alice = log_in(alone, "node1", b"alice")
    first, second = Other(b"node0"), Other(b"node0")
    reach(alone["node1"], second)
    reach(alone["node1"], first).hello()
    alone.settle(0.1)
    first.send(next(frames.render_list(Kind.PEERS, [])))
    alice.say(b"bob@node0: not confirmed")
    alone.settle(0.1)
    assert first.heard(Kind.DIRECT)
    first.transport.loseConnection()  # type: ignore[union-attr]
    alone.settle(0.1)
    second.hello()
    alone.settle(0.1)
    assert second.heard(Kind.ALREADY_LINKED) and not second.heard(Kind.TAKE)
    assert alone["node1"].totals().dropped == {}


def test_lines_wait_until_the_other_node_knows_which_connection_is_the_link(alone: Cluster) -> None:
    """Cut before it does, it says that it never had a link: what was sent on it would be lost."""
    alice = log_in(alone, "node1", b"alice")
    alice.say(b"bob@node0: 1")
    first = Other(b"node0")
    reach(alone["node1"], first).hello()
    alone.settle(0.1)
    alice.say(b"bob@node0: 2")
    alone.settle(0.1)
    assert first.heard(Kind.TAKE) and not first.heard(Kind.DIRECT)
    first.transport.loseConnection()  # type: ignore[union-attr]
    alone.settle(0.1)
    second = Other(b"node0")
    reach(alone["node1"], second).hello()
    alone.settle(0.1)
    second.send(next(frames.render_list(Kind.PEERS, [])))
    alone.settle(0.1)
    alice.say(b"bob@node0: 3")
    alone.settle(0.1)
    texts = [part.data for frame in second.heard(Kind.NAMES) for part in frames.parse_names(frame)]
    texts += [frames.parse_lines(frame).data for frame in second.heard(Kind.DIRECT)]
    assert b"".join(texts) == b"1\n2\n3\n" and alone["node1"].totals().dropped == {}


def _lose_take(cluster: Cluster) -> None:
    """Cut when `node2`, which decides, has a link, and before `node1` knows of it."""
    mine, its = neighbour(cluster, "node2", b"node1"), neighbour(cluster, "node1", b"node2")
    while mine.link is None:
        first = min(call.getTime() for call in cluster.clock.getDelayedCalls())
        cluster.clock.advance(max(0.0, first - cluster.clock.seconds()))
    assert its.link is None
    cluster.cut("node1", "node2")
    cluster.settle(0.01)
    cluster.mend("node1", "node2")


def test_two_nodes_link_again_if_one_forgot_the_other_and_its_word_that_there_is_a_link_is_lost() -> None:
    with Cluster(["node1", "node2"], seed=0) as cluster:
        alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
        _talk(cluster, alice, bob)
        service(cluster, "node2").forget(b"node1")
        cluster.settle(0.01)
        service(cluster, "node2").know(b"node1", [cluster.endpoint("node2", "node1")])
        _lose_take(cluster)
        cluster.settle(5.0)
        _hear_each_other(cluster, alice, bob)
        assert sum(linked(cluster, "node2").ends.values()) < 5


# --- confirmations and heartbeats ------------------------------------------------------------------


def test_what_is_routed_is_confirmed_within_fifty_milliseconds(alone: Cluster) -> None:
    log_in(alone, "node1", b"bob")
    other = link(alone, Other())
    other.send(other.lines(Kind.DIRECT, b"bob", b"x\n"), other.lines(Kind.DIRECT, b"bob", b"y\n"))
    alone.settle(0.04)
    assert not other.heard(Kind.CONFIRM)
    alone.settle(0.02)
    assert other.heard(Kind.CONFIRM) == [frames.render_number(Kind.CONFIRM, 2)]


def test_it_is_confirmed_with_the_next_frame_that_goes_there(alone: Cluster) -> None:
    bob = log_in(alone, "node1", b"bob")
    other = link(alone, Other())
    other.send(other.lines(Kind.DIRECT, b"bob", b"x\n"))
    bob.say(b"mallory@node2: hello")
    alone.settle(0.01)
    assert other.heard(Kind.CONFIRM) == [frames.render_number(Kind.CONFIRM, 1)]


def test_much_is_confirmed_at_once(alone: Cluster) -> None:
    log_in(alone, "node1", b"bob")
    other = link(alone, Other())
    other.send(other.lines(Kind.DIRECT, b"bob", (b"x" * 1000 + b"\n") * 300))
    alone.settle(0.01)
    assert other.heard(Kind.CONFIRM) == [frames.render_number(Kind.CONFIRM, 1)]


@pytest.mark.parametrize("talks", [False, True], ids=["else silent", "talks"])
def test_a_node_that_answers_and_confirms_nothing_loses_the_link_and_what_waits_for_it_comes_back(
    talks: bool,
) -> None:
    with Cluster(["node1"], drain_timeout="1s", outbox_bytes="128KiB") as alone:
        service(alone, "node1").know(b"node2")
        alice = log_in(alone, "node1", b"alice")
        other = link(alone, Other())
        other.send(next(frames.render_list(Kind.PEERS, [])))
        alice.say(*[b"bob%d@node2: " % (n % 50) + b"z" * 1000 for n in range(600)])
        for _ in range(60):
            alone.settle(1.0)
            for ping in other.heard(Kind.PING):
                other.send(frames.render_number(Kind.PONG, frames.parse_number(ping)))
            if talks:
                other.send(frames.render_counts(Kind.WAITING, {}))
        assert other.gone and other.refused()[0] == "too-slow"
        known = neighbour(alone, "node1", b"node2")
        assert known.queue.backlog is None and sum(alone["node1"].totals().returned.values()) > 0
        adds_up(alone)


def test_a_node_that_confirms_late_keeps_the_link(alone: Cluster) -> None:
    """As over a network that is so slow that its answers come long after what they answer."""
    alice = log_in(alone, "node1", b"alice")
    other = link(alone, Other())
    late: list[bytes] = []
    for n in range(200):
        alice.say(b"bob@node2: %d" % n)
        alone.settle(1.0)
        late += [frames.render_number(Kind.PONG, frames.parse_number(ping)) for ping in other.heard(Kind.PING)]
        if n % 25 == 24:
            other.send(*late, frames.render_number(Kind.CONFIRM, other.last_number))
            late.clear()
    assert not other.gone


def test_an_idle_link_is_asked_every_ten_seconds_and_stays(cluster: Cluster) -> None:
    first = neighbour(cluster, "node1", b"node2").link
    cluster.settle(300.0)
    assert neighbour(cluster, "node1", b"node2").link is first and first is not None


def test_a_silent_network_is_noticed_from_both_sides_within_thirty_seconds(cluster: Cluster) -> None:
    cluster.cut("node1", "node2", Cut.SILENT)
    cluster.settle(31.0)
    assert neighbour(cluster, "node1", b"node2").link is None
    assert neighbour(cluster, "node2", b"node1").link is None
    assert linked(cluster, "node1").ends[LinkEnd.SILENT] == 1
    cluster.mend("node1", "node2")
    cluster.settle(LONGEST_DELAY)
    assert neighbour(cluster, "node1", b"node2").link is not None


def test_who_is_sent_much_and_says_nothing_is_dead_too(alone: Cluster) -> None:
    alice = log_in(alone, "node1", b"alice")
    other = link(alone, Other())
    for _ in range(32):
        alice.say(b"bob@node2: x")
        alone.settle(1.0)
    assert other.gone and linked(alone, "node1").ends[LinkEnd.SILENT] == 1


def test_a_full_queue_is_not_taken_for_a_dead_link(alone: Cluster) -> None:
    """It reads nothing for a while, and says so by pings of its own: the link stays, and lines wait."""
    alice = log_in(alone, "node1", b"alice")
    other = link(alone, Other())
    other.transport.pauseProducing()  # type: ignore[union-attr]
    for n in range(25):
        alice.say(*[b"#t: x", b"bob@node2: " + b"x" * 60_000] * 20)
        other.send(frames.render_number(Kind.PING, n))
        alone.settle(1.0)
    assert not other.gone
    assert neighbour(alone, "node1", b"node2").queue.queued() > 0


# --- dialling ------------------------------------------------------------------------------------


def test_the_time_between_dials_grows_to_its_limit_and_never_is_the_same_for_all() -> None:
    delays = [[backoff(Random(seed))(attempt) for attempt in range(1, 15)] for seed in range(50)]
    for of_one in delays:
        assert 0.05 <= of_one[0] <= 0.1 and 15.0 <= of_one[-1] <= 30.0
    assert len({of_one[-1] for of_one in delays}) == 50
    assert backoff(Random(1))(10_000) <= LONGEST_DELAY


class Address:
    """An endpoint that remembers when it was dialled, and does what a test says."""

    def __init__(self, cluster: Cluster, becomes: Any) -> None:
        self.cluster = cluster
        self.becomes = becomes
        self.dialled: list[float] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        self.dialled.append(self.cluster.clock.seconds())
        result: Deferred[Any] = self.becomes(factory)
        return result


def refuses(factory: Any) -> Deferred[Any]:
    return fail(ConnectionRefusedError())


def hangs(factory: Any) -> Deferred[Any]:
    return Deferred()


def test_links_that_end_as_soon_as_they_begin_are_dialled_less_and_less(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*ignored: Any) -> None:
        raise BadFrame("always")

    monkeypatch.setattr(neighbour(cluster, "node2", b"node1"), "topics_changed", refuse)
    cluster.cut("node1", "node2")
    cluster.mend("node1", "node2")
    cluster.settle(300.0)
    ends = sum(linked(cluster, "node2").ends.values())
    cluster.settle(300.0)
    assert 5 < sum(linked(cluster, "node2").ends.values()) - ends < 50
    monkeypatch.undo()
    cluster.settle(LONGEST_DELAY + STEADY)
    cluster.cut("node1", "node2")
    cluster.mend("node1", "node2")
    cluster.settle(0.2)
    assert neighbour(cluster, "node1", b"node2").link is not None, "the time begins anew, once a link has lasted"


def test_a_network_that_cuts_links_young_is_tried_again_within_seconds(cluster: Cluster) -> None:
    cluster.settle(STEADY)
    for _ in range(20):
        cluster.cut("node1", "node2")
        cluster.mend("node1", "node2")
        cluster.settle(2.0)
        assert neighbour(cluster, "node1", b"node2").link is not None


def test_addresses_are_tried_in_order_the_next_one_on_failure(alone: Cluster) -> None:
    cluster = alone
    first, second, third = Address(cluster, refuses), Address(cluster, hangs), Address(cluster, refuses)
    service(cluster, "node1").know(b"node2", [first, second, third])  # type: ignore[list-item]
    cluster.settle(0.01)
    assert (len(first.dialled), len(second.dialled), len(third.dialled)) == (1, 1, 0)
    cluster.settle(DIAL_TIME)
    assert len(third.dialled) == 1


def test_one_hanging_dial_holds_up_no_other_node(alone: Cluster) -> None:
    stuck, other = Address(alone, hangs), Address(alone, refuses)
    service(alone, "node1").know(b"node2", [stuck])  # type: ignore[list-item]
    service(alone, "node1").know(b"node0", [other])  # type: ignore[list-item]
    alone.settle(5.0)
    assert len(stuck.dialled) == 1 and len(other.dialled) > 4


@pytest.fixture
def told() -> Iterator[list[str]]:
    """Why nodes could not be reached."""
    errors: list[str] = []

    def see(event: dict[str, Any]) -> None:
        if event.get("event") == "node-unreachable":
            errors.append(event["error"])

    globalLogPublisher.addObserver(see)
    yield errors
    globalLogPublisher.removeObserver(see)


def is_cancelled(factory: Any) -> Deferred[Any]:
    """As a socket's endpoint does it."""
    return Deferred(lambda connecting: connecting.errback(ConnectingCancelledError("somewhere")))


def test_why_a_node_cannot_be_reached_is_told_once(alone: Cluster, told: list[str]) -> None:
    closed = Address(alone, refuses)
    service(alone, "node1").know(b"node2", [closed, closed])  # type: ignore[list-item]
    alone.settle(5.0)
    assert len(closed.dialled) > 6 and told == [str(ConnectionRefusedError())]


@pytest.mark.parametrize("endpoint", [hangs, is_cancelled])
def test_a_node_that_does_not_answer_is_told_and_a_dial_that_is_given_up_is_not(
    alone: Cluster, told: list[str], endpoint: Any
) -> None:
    links = service(alone, "node1")
    links.know(b"node2", [Address(alone, endpoint)])  # type: ignore[list-item]
    alone.settle(DIAL_TIME + 1.0)
    assert told == [f"no answer within {DIAL_TIME:g} s"]
    links.forget(b"node2")
    links.know(b"node0", [Address(alone, endpoint)])  # type: ignore[list-item]
    alone.settle(1.0)
    links.forget(b"node0")
    alone.settle(DIAL_TIME)
    assert len(told) == 1


def test_a_change_of_address_redials_at_once(alone: Cluster) -> None:
    old, new = Address(alone, refuses), Address(alone, refuses)
    service(alone, "node1").know(b"node2", [old])  # type: ignore[list-item]
    alone.settle(60.0)
    service(alone, "node1").know(b"node2", [new])  # type: ignore[list-item]
    assert new.dialled == [alone.clock.seconds()]
    alone.settle(120.0)
    assert old.dialled[-1] < new.dialled[0]


def test_a_change_of_address_redials_at_once_in_the_middle_of_a_dial(alone: Cluster) -> None:
    old, new = Address(alone, hangs), Address(alone, refuses)
    service(alone, "node1").know(b"node2", [old])  # type: ignore[list-item]
    service(alone, "node1").know(b"node2", [new])  # type: ignore[list-item]
    assert new.dialled == [alone.clock.seconds()]


def test_the_same_addresses_again_change_nothing(alone: Cluster) -> None:
    address = Address(alone, refuses)
    service(alone, "node1").know(b"node2", [address])  # type: ignore[list-item]
    alone.settle(60.0)
    times = len(address.dialled)
    service(alone, "node1").know(b"node2", [address])  # type: ignore[list-item]
    assert len(address.dialled) == times


def test_a_change_of_address_does_not_touch_a_link_that_there_is(cluster: Cluster) -> None:
    first = neighbour(cluster, "node1", b"node2").link
    moved = Address(cluster, refuses)
    service(cluster, "node1").know(b"node2", [moved])  # type: ignore[list-item]
    cluster.settle(5.0)
    assert neighbour(cluster, "node1", b"node2").link is first and not moved.dialled


def test_another_node_than_the_one_that_was_meant_is_refused(cluster: Cluster) -> None:
    service(cluster, "node1").know(b"node3", [cluster.endpoint("node1", "node2")])
    cluster.settle(1.0)
    assert linked(cluster, "node1").ends[LinkEnd.WRONG_NAME] >= 1
    assert linked(cluster, "node1").neighbours[b"node3"].link is None
    assert neighbour(cluster, "node1", b"node2").link is not None


def test_only_links_that_are_lost_are_dialled(cluster: Cluster) -> None:
    cluster.settle(100.0)
    ends = Counter(linked(cluster, "node1").ends) + Counter(linked(cluster, "node2").ends)
    assert ends[LinkEnd.ALREADY_LINKED] <= 2 and ends[LinkEnd.LOST] <= 2


def test_a_connection_that_is_made_after_its_node_was_forgotten_is_no_link(alone: Cluster) -> None:
    """The dial was under way when the node was removed, and nobody could call it back."""
    late: list[Any] = []

    def made_later(factory: Any) -> Deferred[Any]:
        late.append(factory)
        return Deferred()

    service(alone, "node1").know(b"node2", [Address(alone, made_later)])  # type: ignore[list-item]
    service(alone, "node1").forget(b"node2")
    other = Other()
    way = InsideEndpoint(alone.clock, "node2", Factory.forProtocol(lambda: other), lambda: True)  # type: ignore[arg-type]
    way.connect(late[0])
    alone.settle(0.1)
    other.hello()
    alone.settle(0.1)
    assert other.refused()[0] == "unknown-node" and other.gone
    assert b"node2" not in linked(alone, "node1").neighbours


def test_a_node_that_is_forgotten_and_known_again_while_it_is_dialled_is_linked_once(cluster: Cluster) -> None:
    for _ in range(5):
        service(cluster, "node1").forget(b"node2")
        service(cluster, "node1").know(b"node2", [cluster.endpoint("node1", "node2")])
        cluster.pass_time(0.0)
    cluster.settle(40.0)
    assert len(linked(cluster, "node1").connections) == 1 == len(linked(cluster, "node2").connections)


def test_a_node_that_is_removed_while_it_decides_never_becomes_the_link(alone: Cluster) -> None:
    bob = log_in(alone, "node1", b"bob")
    other = reach(alone["node1"], Other())
    other.hello()
    alone.settle(0.1)
    service(alone, "node1").forget(b"node2")
    other.send(
        bytes([Kind.TAKE]),
        next(frames.render_list(Kind.PEERS, [b"mallory"])),
        other.lines(Kind.DIRECT, b"bob", b"from a node that is trusted no more\n"),
    )
    bob.say(b"/who")
    alone.settle(0.1)
    assert bob.heard() == [b"peer bob", b"ok who 1"] and not linked(alone, "node1").connections
    assert other.refused()[0] == "removed" and other.gone


def test_a_connection_that_waits_to_replace_the_link_of_a_node_that_is_removed_ends_with_it(alone: Cluster) -> None:
    first, rival = Other(b"node0"), Other(b"node0")
    reach(alone["node1"], first).hello()
    alone.settle(0.1)
    reach(alone["node1"], rival).hello(took=(linked(alone, "node1").instance, 0))
    alone.settle(0.1)
    service(alone, "node1").forget(b"node0")
    alone.settle(0.1)
    assert first.gone and rival.gone and not rival.heard(Kind.TAKE) and not linked(alone, "node1").connections


def test_a_dial_made_before_a_node_was_removed_and_added_again_is_given_up(alone: Cluster) -> None:
    """Its hello was said for what was known of the node before."""
    old, new = Other(), Other()
    for other in (old, new):
        way = InsideEndpoint(alone.clock, "node2", Factory.forProtocol(lambda o=other: o), lambda: True)
        service(alone, "node1").know(b"node2", [way])
        alone.settle(0.01)
        if other is old:
            service(alone, "node1").forget(b"node2")
    alone.settle(0.1)
    assert old.gone and not new.gone


def test_a_line_that_waits_goes_to_one_of_a_nodes_addresses(alone: Cluster) -> None:
    alice = log_in(alone, "node1", b"alice")
    alice.say(b"bob@node2: once")
    alone.settle(0.1)
    others = [Other(), Other(), Other()]
    ways = [
        InsideEndpoint(alone.clock, "node2", Factory.forProtocol(lambda o=other: o), lambda: True) for other in others
    ]
    service(alone, "node1").know(b"node2", ways)
    alone.settle(0.1)
    assert [hasattr(other.transport, "write") for other in others] == [True, False, False]
    others[0].hello()
    others[0].send(bytes([Kind.TAKE]))
    alone.settle(0.1)
    assert len(others[0].heard(Kind.DIRECT)) == 1
    assert [hasattr(other.transport, "write") for other in others] == [True, False, False]


def test_a_failed_transfer_ends_that_link_at_both_ends_once_and_no_other() -> None:
    with Cluster(["node1", "node2", "node3"], drain_timeout="1s") as three:
        alice, bob = log_in(three, "node1", b"alice"), log_in(three, "node2", b"bob")
        before = {node: Counter(linked(three, node).ends) for node in three.nodes}
        kept = neighbour(three, "node1", b"node3").link
        alice.say(*[b"bob: " + b"x" * 10_000] * 100)
        bob.say(*[b"alice: " + b"x" * 10_000] * 100)
        three.clock.advance(0)
        three.cut("node1", "node2")
        three.settle(0.02)
        ended = {node: Counter(linked(three, node).ends) - before[node] for node in three.nodes}
        for node in ("node1", "node2"):
            ended[node].pop(LinkEnd.UNREACHABLE, 0)
            assert ended[node] == {LinkEnd.LOST: 1}
        assert not ended["node3"] and neighbour(three, "node1", b"node3").link is kept


# --- the end -------------------------------------------------------------------------------------


def test_a_node_that_stops_sends_what_was_written_first(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    alice.say(*[b"bob: %d" % n for n in range(5000)])
    cluster.clock.advance(0)
    node = cluster["node1"]
    cluster.stop("node1")
    cluster.settle(0.2)
    assert len(bob.heard()) == 5000
    totals = node.totals()
    assert totals.adds_up and totals.queued == 0 and totals.forwarded == 5000


def test_a_node_that_stops_gives_back_what_waits_for_a_node_that_is_away(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    cluster.cut("node1", "node2")
    alice.say(b"bob@node2: x")
    cluster.settle(0.1)
    node = cluster["node1"]
    cluster.stop("node1")
    assert b"returned bob@node2 shutdown: x" in alice.heard()
    totals = node.totals()
    assert totals.adds_up and totals.queued == 0


def test_snapshots_say_what_is_up_and_what_waits(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    log_in(cluster, "node2", b"bob", b"/join #t")
    [snapshot] = service(cluster, "node1").snapshot()
    assert (snapshot.node, snapshot.state, snapshot.peers, snapshot.topics) == (b"node2", LinkState.UP, 1, 1)
    assert snapshot.queued_lines == snapshot.unconfirmed_lines == 0
    cluster.cut("node1", "node2")
    alice.say(b"bob@node2: x")
    cluster.settle(2.0)
    [snapshot] = service(cluster, "node1").snapshot()
    assert (snapshot.state, snapshot.queued_lines) == (LinkState.DOWN, 1)
    assert 1.9 < snapshot.oldest <= 2.0 and snapshot.where == ""
    for phase in snapshot.phases:
        assert phase.started == phase.finished + phase.in_flight
