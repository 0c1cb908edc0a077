"""Whoever speaks to a node as no node does is refused: nothing is routed, and what is kept of it is bounded."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import globalLogPublisher

from nettool.cluster import frames, neighbour
from nettool.cluster.frames import Kind
from nettool.cluster.linked import STRANGERS, Linked
from nettool.embed.cluster import Cluster
from nettool.errors import LinkEnd, ReturnReason
from tests.cluster.peers import Other, Talker, adds_up, link, log_in, reach


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """One node, `node1`, that knows of a `node2` which a test speaks for."""
    with alone() as cluster:
        yield cluster


def alone() -> Cluster:
    cluster = Cluster(["node1"], outbox_bytes="256KiB", remote_window="64KiB")
    start = cluster.start

    def start_and_know(name: str) -> object:
        node = start(name)
        assert node.links is not None
        node.links.know(b"node2")
        return node

    cluster.start = start_and_know  # type: ignore[assignment, method-assign]
    return cluster


def linked(cluster: Cluster) -> Linked:
    links = cluster["node1"].links
    assert links is not None
    return links.linked


def ends(cluster: Cluster) -> list[LinkEnd]:
    return list(linked(cluster).ends.elements())


def test_an_old_version_is_refused_and_told_what_to_do(cluster: Cluster) -> None:
    other = reach(cluster["node1"], Other())
    other.hello(versions=(0,))
    cluster.settle(0.1)
    code, detail = other.refused()
    assert code == "version"
    assert "releases of nettool that have one in common" in detail
    assert other.gone and ends(cluster) == [LinkEnd.VERSION]


def test_a_later_version_that_knows_ours_too_is_taken(cluster: Cluster) -> None:
    other = reach(cluster["node1"], Other())
    other.hello(versions=(9, 1))
    cluster.settle(0.1)
    assert other.heard(Kind.HELLO) and not other.gone


@pytest.mark.parametrize(
    ("name", "reason"),
    [(b"node3", LinkEnd.UNKNOWN_NODE), (b"node1", LinkEnd.WRONG_NAME)],
    ids=["a node that nobody configured", "this node's own name"],
)
def test_a_name_that_cannot_be_the_other_nodes_is_refused(cluster: Cluster, name: bytes, reason: LinkEnd) -> None:
    other = reach(cluster["node1"], Other(name))
    other.hello()
    cluster.settle(0.1)
    assert other.refused()[0] == reason.value
    assert other.gone and ends(cluster) == [reason]


def test_a_hello_that_never_ends_is_given_five_seconds_and_four_kilobytes(cluster: Cluster) -> None:
    other = reach(cluster["node1"], Other())
    other.send_bytes((4000).to_bytes(4, "big") + b"\0")
    for _ in range(49):
        other.send_bytes(b"{")
        cluster.settle(0.1)
    assert not other.gone
    cluster.settle(0.3)
    assert other.refused()[0] == "hello-timeout" and other.gone


def test_who_says_nothing_is_given_five_seconds(cluster: Cluster) -> None:
    other = reach(cluster["node1"], Other())
    cluster.settle(4.9)
    assert not other.gone
    cluster.settle(0.3)
    assert other.gone


@pytest.mark.parametrize("size", [0, 4097, 2**32 - 1])
def test_a_hello_of_an_impossible_length_is_refused_at_its_header(cluster: Cluster, size: int) -> None:
    other = reach(cluster["node1"], Other())
    other.send_bytes(size.to_bytes(4, "big"))
    cluster.settle(0.1)
    assert other.refused()[0] == "bad-frame" and other.gone


@pytest.mark.parametrize(
    "hello",
    [
        b"",
        b"{",
        b"[" * 4000,
        b"[]",
        b'{"nettool-link": 1}',
        b'{"nettool-link": [1]}',
        b'{"nettool-link": [1], "name": "node2", "instance": "00"}',
        b'{"nettool-link": [1], "name": "no de", "instance": "' + b"00" * 16 + b'"}',
        b'{"nettool-link": [1], "name": "\\ud800", "instance": "' + b"00" * 16 + b'"}',
        b'{"nettool-link": [1], "name": "node2", "instance": "' + b"00" * 16 + b'", "took": ["00", 1]}',
        b'{"nettool-link": [1], "name": "node2", "instance": "' + b"00" * 16 + b'", "took": [1, 2]}',
        b'{"nettool-link": [1], "name": "node2", "instance": "'
        + b"00" * 16
        + b'", "took": ["'
        + b"00" * 16
        + b'", -1]}',
        b'{"nettool-link": [1], "name": "node2", "instance": "' + b"00" * 16 + b'", "took": {}}',
    ],
)
def test_a_hello_that_cannot_be_read_is_refused(cluster: Cluster, hello: bytes) -> None:
    other = reach(cluster["node1"], Other())
    other.send(b"\0" + hello)
    cluster.settle(0.1)
    assert other.refused()[0] == "bad-frame" and other.gone


def test_nothing_is_routed_before_the_link_is_taken(cluster: Cluster) -> None:
    bob = log_in(cluster, "node1", b"bob")
    other = reach(cluster["node1"], Other())
    other.hello()
    cluster.settle(0.1)
    other.send(other.lines(Kind.DIRECT, b"bob", b"early\n"))
    cluster.settle(0.1)
    assert other.refused()[0] == "bad-frame" and other.gone
    assert bob.heard() == [] and cluster["node1"].totals().accepted == 0


@pytest.mark.parametrize("name", [b"node2", b"node0"], ids=["that decides", "that waits"])
def test_nothing_long_is_kept_before_the_link_is_taken(cluster: Cluster, name: bytes) -> None:
    linked(cluster).add(b"node0")
    if name == b"node0":
        # So that the second one is decided on only when the first has answered.
        reach(cluster["node1"], Other(name)).hello()
    other = reach(cluster["node1"], Other(name))
    other.hello()
    cluster.settle(0.1)
    other.send_bytes((16 * 2**20).to_bytes(4, "big") + b"x" * 1000)
    cluster.settle(0.1)
    assert other.refused()[0] == "bad-frame" and other.gone


def test_what_comes_in_one_read_with_the_taking_is_a_frame_of_any_length(cluster: Cluster) -> None:
    bob = log_in(cluster, "node1", b"bob")
    other = reach(cluster["node1"], Other())
    other.hello()
    cluster.settle(0.1)
    other.send(bytes([Kind.TAKE]), other.lines(Kind.DIRECT, b"bob", b"x" * 30_000 + b"\n"))
    cluster.settle(0.1)
    assert bob.heard() == [b"from mallory@node2: " + b"x" * 30_000]


def test_a_frame_that_has_begun_when_the_link_is_taken_goes_on(cluster: Cluster) -> None:
    linked(cluster).add(b"node0")
    reach(cluster["node1"], Other(b"node0")).hello()
    cluster.settle(0.1)
    second = reach(cluster["node1"], Other(b"node0"))
    second.hello(took=(linked(cluster).instance, 0))
    cluster.settle(0.1)
    second.send_bytes(b"\0\0\0")
    cluster.settle(2.5)
    assert second.heard(Kind.TAKE)
    second.send_bytes(b"\x09" + frames.render_number(Kind.PING, 5))
    cluster.settle(0.1)
    assert second.heard(Kind.PONG) == [frames.render_number(Kind.PONG, 5)]


def test_only_the_node_that_decides_can_take_a_link(cluster: Cluster) -> None:
    linked(cluster).add(b"node0")
    other = reach(cluster["node1"], Other(b"node0"))
    other.hello()
    cluster.settle(0.1)
    assert other.heard(Kind.TAKE)  # node1 sorts higher, and has decided
    other.send(bytes([Kind.TAKE]))
    cluster.settle(0.1)
    assert other.refused()[0] == "bad-frame" and other.gone


QUEUE_FULL = ReturnReason.QUEUE_FULL
PARTS = [(b"bob", False, b"x\n"), (b"carol", True, b"y\n")]
NAMES = frames.render_names(2, 1, b"mallory", PARTS)

BAD = {
    "a number that leaves one out": lambda other: other.lines(Kind.DIRECT, b"bob", b"x\n", number=7),
    "a line that does not end": lambda other: other.lines(Kind.DIRECT, b"bob", b"x"),
    "no line": lambda other: other.lines(Kind.DIRECT, b"bob", b""),
    "fields longer than the frame": lambda other: other.lines(Kind.DIRECT, b"bob", b"x\n")[:20],
    "a sender who is a node by name": lambda other: other.lines(Kind.DIRECT, b"bob", b"x\n", sender=b"@node9"),
    "lines of nobody that come back": lambda other: other.lines(
        Kind.RETURNED, b"", b"x\n", sender=b"", reason=QUEUE_FULL
    ),
    "a sender with a line in its name": lambda other: other.lines(Kind.DIRECT, b"bob", b"x\n", sender=b"a\nb"),
    "a sender who names a node himself": lambda other: other.lines(Kind.DIRECT, b"bob", b"x\n", sender=b"a@node9"),
    "texts to several names that are longer than said": lambda other: NAMES + b"\n",
    "texts to several names that end before": lambda other: NAMES[:-2],
    "texts to several names, and to none": lambda other: frames.render_names(2, 1, b"mallory", []),
    "texts to several names with a number that leaves one out": lambda other: frames.render_names(9, 1, b"m", PARTS),
    "a receiver whose name is longer than one can be": lambda other: other.lines(Kind.DIRECT, b"x" * 256, b"x\n"),
    "a receiver on a third node": lambda other: other.lines(Kind.DIRECT, b"bob@node9", b"x\n"),
    "a receiver without a name among several": lambda other: frames.render_names(
        2, 1, b"mallory", [(b"", False, b"x\n")]
    ),
    "a topic that cannot be one": lambda other: other.lines(Kind.TOPIC, b"#a b", b"x\n"),
    "a name for a topic": lambda other: other.lines(Kind.TOPIC, b"bob", b"x\n"),
    "a command among topics": lambda other: other.lines(Kind.SEVERAL, b"", b"#t: x\n/quit\n"),
    "a name among topics": lambda other: other.lines(Kind.SEVERAL, b"", b"#t: x\nbob: y\n"),
    "lines that come back for no reason": lambda other: other.lines(Kind.RETURNED, b"", b"x\n")[:13] + b"\xff" * 99,
    "a confirmation of what was not sent": lambda other: frames.render_number(Kind.CONFIRM, 1),
    "a number that is too short": lambda other: frames.render_number(Kind.CONFIRM, 0)[:5],
    "counts that end in the middle": lambda other: frames.render_counts(Kind.WAITING, {b"bob": 1})[:-1],
    "a peer with a name that cannot be one": lambda other: frames.render_change(Kind.PEERS, b"a b", True),
    "a list that ends before it begins": lambda other: bytes([Kind.PEERS, frames.LAST]) + b"+carol",
    "a list of neither": lambda other: bytes([Kind.TOPICS, 0]) + b"#t",
    "a kind that there is not": lambda other: b"\x63",
    "nothing": lambda other: b"",
    "lost lines of what is no login": lambda other: frames.render_counts(Kind.RETURNS_LOST, {b"alice": 1}, 2),
    "a second hello": lambda other: b"\0{}",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_frame_that_no_node_sends_ends_that_link_and_nothing_else(cluster: Cluster, bad: object) -> None:
    bob = log_in(cluster, "node1", b"bob", b"/join #t")
    other = link(cluster, Other())
    other.send(other.lines(Kind.DIRECT, b"bob", b"good\n"))
    cluster.settle(0.1)
    other.send(bad(other))  # type: ignore[operator]
    cluster.settle(0.1)
    assert other.refused()[0] == "bad-frame" and other.gone
    assert bob.heard() == [b"from mallory@node2: good"]
    assert not bob.gone
    adds_up(cluster)


def test_a_frame_of_four_gigabytes_is_refused_at_its_header(cluster: Cluster) -> None:
    other = link(cluster, Other())
    other.send_bytes(b"\xff\xff\xff\xff")
    cluster.settle(0.1)
    assert other.refused()[0] == "bad-frame" and other.gone


@given(payloads=st.lists(st.binary(max_size=60), max_size=5), kind=st.sampled_from(Kind))
@settings(max_examples=150, deadline=None)
def test_whatever_comes_in_on_a_link_is_understood_or_ends_it(payloads: list[bytes], kind: Kind) -> None:
    with alone() as cluster:
        bob = cluster["node1"].connect(Talker())
        bob.say(b"bob")
        other = link(cluster, Other())
        other.send(*[bytes([kind]) + payload for payload in payloads], *payloads)
        cluster.settle(0.2)
        assert set(ends(cluster)) <= {LinkEnd.BAD_FRAME, LinkEnd.REFUSED}
        adds_up(cluster)


def test_a_node_cannot_speak_in_the_name_of_a_peer_that_is_here(cluster: Cluster) -> None:
    bob = log_in(cluster, "node1", b"bob")
    other = link(cluster, Other())
    other.send(other.lines(Kind.DIRECT, b"bob", b"one\nok login root@node1\n", sender=b"alice"))
    cluster.settle(0.1)
    assert bob.heard() == [b"from alice@node2: one", b"from alice@node2: ok login root@node1"]


def test_a_frame_that_comes_again_is_not_routed_again(cluster: Cluster) -> None:
    bob = log_in(cluster, "node1", b"bob")
    other = link(cluster, Other())
    frame = other.lines(Kind.DIRECT, b"bob", b"once\n")
    other.send(frame, frame, frame)
    cluster.settle(0.1)
    assert bob.heard() == [b"from mallory@node2: once"]
    assert other.heard(Kind.CONFIRM)[-1] == frames.render_number(Kind.CONFIRM, 1)


def test_a_crowd_that_says_nothing_is_bounded_and_keeps_no_node_out(cluster: Cluster) -> None:
    crowd = []
    for _ in range(3 * STRANGERS):
        crowd.append(reach(cluster["node1"], Other()))
        cluster.clock.advance(0)
    assert len(linked(cluster).connections) == STRANGERS
    assert [other.gone for other in crowd] == [True] * 2 * STRANGERS + [False] * STRANGERS
    other = link(cluster, Other())
    assert linked(cluster).neighbours[b"node2"].link is not None and not other.gone
    for _ in range(2 * STRANGERS):
        reach(cluster["node1"], Other())
        cluster.clock.advance(0)
    assert not other.gone, "who has said who he is makes room for nobody"


# --- floods --------------------------------------------------------------------------------------


def test_a_flood_for_one_who_does_not_read_is_bounded_and_comes_back(cluster: Cluster) -> None:
    """The node over there ignores the window: four of them are kept, the rest is given back at once."""
    bob = log_in(cluster, "node1", b"bob")
    other = link(cluster, Other())
    bob.stop_reading()
    texts = b"".join(b"%01000d\n" % n for n in range(60))
    for _ in range(100):
        other.send(other.lines(Kind.DIRECT, b"bob", texts))
        cluster.clock.advance(0)
    cluster.settle(0.2)
    [session] = [connection.session for connection in cluster["node1"].peers.connections]
    assert session.outbox.snapshot(0.0).held_bytes < 4 * 64 * 1024 + 128 * 1024
    assert other.heard(Kind.RETURNED)
    adds_up(cluster)


def test_a_flood_on_a_topic_whose_hearer_does_not_read_is_bounded(cluster: Cluster) -> None:
    bob = log_in(cluster, "node1", b"bob", b"/join #t")
    other = link(cluster, Other())
    bob.stop_reading()
    texts = b"".join(b"%01000d\n" % n for n in range(60))
    for _ in range(100):
        other.send(other.lines(Kind.TOPIC, b"#t", texts))
        cluster.clock.advance(0)
    [session] = [connection.session for connection in cluster["node1"].peers.connections]
    assert session.outbox.snapshot(0.0).held_bytes < 3 * 256 * 1024
    bob.read_on()
    cluster.settle()
    assert any(line.startswith(b"error lagged: #t ") for line in bob.heard())
    adds_up(cluster)


def test_a_flood_of_pings_that_reads_no_answer_keeps_nothing(cluster: Cluster) -> None:
    other = link(cluster, Other())
    other.transport.pauseProducing()  # type: ignore[union-attr]
    pings = [frames.render_number(Kind.PING, number) for number in range(20_000)]
    tracemalloc.start()
    try:
        for _ in range(5):
            other.send(*pings)
            cluster.clock.advance(0)
        assert tracemalloc.get_traced_memory()[0] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("full", [True, False], ids=["in one list", "one by one"])
def test_of_a_node_that_lists_too_many_peers_and_topics_no_more_are_kept_and_the_link_stays(
    cluster: Cluster, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbour, "MOST_PEERS", 100)
    monkeypatch.setattr(neighbour, "MOST_TOPICS", 100)
    told: list[str] = []
    see = lambda event: told.append(event["what"]) if event.get("event") == "too-many-there" else None  # noqa: E731
    globalLogPublisher.addObserver(see)
    other = link(cluster, Other())
    for kind, words in (
        (Kind.PEERS, [b"p%d" % n for n in range(150)]),
        (Kind.TOPICS, [b"#t%d" % n for n in range(150)]),
    ):
        changes = [*frames.render_list(kind, words)] if full else [frames.render_change(kind, w, True) for w in words]
        other.send(*changes, *changes)
        cluster.settle(0.1)
    globalLogPublisher.removeObserver(see)
    [known] = linked(cluster).neighbours.values()
    assert len(known.peers) == 100 and len(known.topics or ()) == 100
    assert not other.gone and told == ["peers", "topics"]
    other.send(frames.render_change(Kind.TOPICS, b"#t0", False), frames.render_change(Kind.TOPICS, b"#new", True))
    cluster.settle(0.1)
    assert b"#new" in (known.topics or ())


def test_senders_that_a_node_makes_up_are_forgotten_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nettool.cluster.arrivals.SENDERS", 50)
    log_in(cluster, "node1", b"bob", b"/join #t, #u")
    other = link(cluster, Other())
    for login in range(500):
        other.send(other.lines(Kind.SEVERAL, b"", b"#t: x\n#u: y\n" * 20, login=login))
    cluster.settle(0.1)
    [known] = linked(cluster).neighbours.values()
    assert len(known.arrivals._senders) == 50
    assert len(cluster["node1"].broker.arrivals._ways) <= 50


def test_word_of_lost_lines_to_one_who_does_not_read_is_bounded_and_adds_up(cluster: Cluster) -> None:
    """The node over there tells of losses without end: they become one word, in their place."""
    bob = log_in(cluster, "node1", b"bob", b"/join #t")
    other = link(cluster, Other())
    bob.stop_reading()
    [session] = [connection.session for connection in cluster["node1"].peers.connections]
    number = 0
    for _ in range(60):
        words = [frames.render_counts(Kind.LAGGED, {b"#t": 2}, number + n) for n in range(1, 1001)]
        number += len(words)
        other.send(*words)
        cluster.pass_time(0.01)
    assert session.outbox.snapshot(0.0).held_bytes < 2 * 256 * 1024
    assert session.wants_input, "he waits for nothing that he asked for"
    bob.read_on()
    cluster.settle()
    told = [int(line.rpartition(b" ")[2]) for line in bob.heard() if line.startswith(b"error lagged: #t ")]
    assert sum(told) == 2 * number
    adds_up(cluster)
