"""What a node is told of peers and topics on another: all of it, in order, and no more than there is to tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.cluster import frames, outlet
from nettool.cluster.frames import FIRST, LAST, LISTED, Kind
from nettool.cluster.news import News
from nettool.embed.cluster import Cluster
from tests.cluster.peers import Other, adds_up, link, log_in


def told(news: News, known: set[bytes], limit: int = 2**20) -> set[bytes]:
    """What the other node knows of topics, once it has taken all."""
    while news:
        for payload in news.take(limit):
            flags, changes = frames.parse_list(payload)
            if flags & FIRST:
                known = set()
            for word, there in changes:
                assert (word not in known) is there, "nothing is told that is known"
                known ^= {word}
    return known


def test_what_came_and_went_untold_leaves_nothing() -> None:
    news = News()
    for n in range(1000):
        news.change(Kind.TOPICS, b"#t%d" % n, True)
        news.change(Kind.TOPICS, b"#t%d" % n, False)
    assert not news and news.take(1000) == []


@given(st.lists(st.integers(0, 3) | st.just("take") | st.just("again")))
def test_whatever_happens_the_other_node_knows_in_the_end_what_is_so(steps: list[int | str]) -> None:
    news, here, known = News(), set[bytes](), set[bytes]()
    for step in steps:
        if step == "take":
            known = told(news, known, 1)
        elif step == "again":
            news.clear()
            news.all(Kind.TOPICS, here)
        else:
            word = b"#%d" % int(step)
            here ^= {word}
            news.change(Kind.TOPICS, word, word in here)
    assert told(news, known) == here


def test_a_full_list_has_one_beginning_and_one_end_however_long_it_is() -> None:
    for count in (0, 1, LISTED, LISTED + 1, 5 * LISTED):
        news = News()
        news.all(Kind.PEERS, [b"p%d" % n for n in range(count)])
        flags = [payload[1] for payload in news.take(2**30)]
        assert flags[0] & FIRST and flags[-1] & LAST and flags.count(0) == max(0, len(flags) - 2)
        assert len(flags) == max(1, -(-count // LISTED))


def test_one_peers_joining_and_leaving_does_not_end_a_link_that_is_held_up() -> None:
    with Cluster(["node1"], drain_timeout="1s") as cluster:
        links = cluster["node1"].links
        assert links is not None
        known = links.know(b"node2")
        alice, filler = log_in(cluster, "node1", b"alice"), log_in(cluster, "node1", b"filler")
        other = link(cluster, Other())
        assert known.link is not None
        out = known.link.outlet
        other.transport.pauseProducing()  # type: ignore[union-attr]
        for _ in range(20):
            filler.say(*[b"bob@node2: " + b"x" * 1000] * 60)
            cluster.settle(0.01)
        assert out.blocked
        topic = b"#" + b"t" * 255
        for _ in range(20):
            alice.say(*[b"/join " + topic, b"/leave " + topic] * 1000)
            cluster.pass_time(0.05)
        alice.say(b"/join #kept")
        cluster.pass_time(0.05)
        assert not out._said_bytes and len(out.news._changes) == 1
        other.transport.resumeProducing()  # type: ignore[union-attr]
        cluster.settle(1.0)
        assert other.heard(Kind.TOPICS)[1:] == [frames.render_change(Kind.TOPICS, b"#kept", True)]
        adds_up(cluster)


def test_lists_that_are_longer_than_a_link_keeps_words_do_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "SAID", 50_000)
    with Cluster(["node1", "node2"], drain_timeout="1s") as cluster:
        alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
        for n in range(10):
            alice.say(b"/join " + b", ".join(b"#t%d-%d-" % (n, i) + b"x" * 150 for i in range(100)))
        cluster.settle(0.5)
        cluster.cut("node1", "node2")
        cluster.mend("node1", "node2")
        cluster.settle(1.0)
        bob.say(b"#t9-99-" + b"x" * 150 + b": heard")
        cluster.settle(0.2)
        assert alice.heard()[-1].endswith(b": heard")
        adds_up(cluster)
