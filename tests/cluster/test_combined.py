"""All sources of addresses as one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from nettool.cluster.resolver import Address, CombinedResolver, parse_source
from tests.cluster.test_srv import srv


class Place:
    """A resolver of everything, on a clock."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.asked: list[Deferred[Any]] = []
        self.resolver = CombinedResolver(self.clock, b"node1", self._lookup, Random(1))
        self.news: list[frozenset[bytes]] = []
        self.resolver.subscribe(self.news.append)
        self.path = path

    def _lookup(self, _: str) -> Deferred[Any]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def use(self, *sources: str) -> None:
        self.resolver.use([parse_source(source) for source in sources])

    def write(self, content: str) -> None:
        self.path.write_text(content, encoding="utf-8")
        for _ in range(10):
            self.clock.advance(0.1)

    @property
    def nodes(self) -> dict[str, list[str]]:
        return {name.decode(): [*map(str, self.resolver.addresses(name))] for name in self.resolver.names()}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "nodes")
    place.write("")
    yield place
    if place.resolver.running:
        place.resolver.stopService()
    assert place.clock.getDelayedCalls() == []


def test_without_a_source_nobody_is_known(place: Place) -> None:
    place.resolver.startService()
    place.use()
    assert place.nodes == {} and place.news == [] and place.resolver.faults() == []


def test_what_is_configured_is_known_before_the_start(place: Place) -> None:
    place.use("node2=a:1,b:2", "node3=c:3")
    assert place.nodes == {"node2": ["a:1", "b:2"], "node3": ["c:3"]}
    assert place.news == [{b"node2", b"node3"}]


def test_addresses_are_in_the_order_of_the_sources_each_once(place: Place) -> None:
    place.write("node2 b:2,c:3\nnode4 d:4\n")
    place.resolver.startService()
    place.use("node2=a:1,b:2", f"file:{place.path}", "dns:example.net", "node2=e:5")
    place.asked[0].callback(([srv("node2.x", 6)], [], []))
    assert place.nodes == {"node2": ["a:1", "b:2", "c:3", "node2.x:6", "e:5"], "node4": ["d:4"]}


def test_a_list_that_is_the_same_everywhere_does_not_make_the_node_known_to_itself(place: Place) -> None:
    place.write("node1 a:1\nnode2 b:2\n")
    place.resolver.startService()
    place.use(f"file:{place.path}", "node1=a:1", "dns:example.net")
    place.asked[0].callback(([srv("node1.x"), srv("node3.x")], [], []))
    assert place.nodes == {"node2": ["b:2"], "node3": ["node3.x:6389"]}
    assert place.news == [{b"node2"}, {b"node3"}]


def test_an_exchange_leaves_the_sources_that_stay_and_is_told_as_one_change(place: Place) -> None:
    place.write("node2 a:1\nnode5 e:5\n")
    place.resolver.startService()
    place.use("node3=c:3", "dns:example.net", f"file:{place.path}")
    place.asked[0].callback(([srv("node4.x")], [], []))
    before = len(place.news)
    place.use("dns:example.net", "node2=a:1", "node6=f:6", "node6=f:6")
    assert place.nodes == {"node4": ["node4.x:6389"], "node2": ["a:1"], "node6": ["f:6"]}
    assert place.news[before:] == [{b"node3", b"node5", b"node6"}]
    assert len(place.asked) == 1, "what stays is not asked again"
    place.write("node2 z:1\n")
    assert place.news[before + 1 :] == [], "what is gone is watched no more"
    assert len(list(place.resolver)) == 3 and len(place.clock.getDelayedCalls()) == 1, "and has ended"


def test_an_exchange_of_which_nobody_is_different_is_no_news(place: Place) -> None:
    place.write("node2 a:1\n")
    place.resolver.startService()
    place.use(f"file:{place.path}")
    place.use("node2=a:1")
    assert place.news == [{b"node2"}]


def test_the_order_of_sources_counts_after_an_exchange(place: Place) -> None:
    place.use("node2=a:1", "node2=b:2")
    place.use("node2=b:2", "node2=a:1")
    assert place.nodes == {"node2": ["b:2", "a:1"]} and len(place.news) == 2


def test_what_a_source_learns_later_is_told(place: Place) -> None:
    place.resolver.startService()
    place.use("node2=a:1", f"file:{place.path}")
    place.write("node2 b:2\nnode3 c:3\n")
    place.write("node3 c:3\n")
    assert place.news == [{b"node2"}, {b"node2", b"node3"}, {b"node2"}]
    assert place.nodes == {"node2": ["a:1"], "node3": ["c:3"]}


def test_faults_are_told_for_each_source(place: Place) -> None:
    place.resolver.startService()
    place.use("node2=a:1", f"file:{place.path}", "dns:example.net")
    place.write("?\n")
    place.asked[0].errback(OSError("no network"))
    assert place.resolver.faults() == [
        f"{place.path}:1: expected NAME HOST:PORT[,HOST:PORT...], not '?'",
        "_nettool-link._tcp.example.net: OSError: no network",
    ]
    place.use("node2=a:1")
    assert place.resolver.faults() == []


def test_a_subscriber_may_exchange_the_sources_again(place: Place) -> None:
    end = place.resolver.subscribe(lambda _: (end(), place.use("node3=c:3")))
    place.use("node2=a:1")
    assert place.nodes == {"node3": ["c:3"]}
    assert place.news == [{b"node2"}, {b"node2", b"node3"}]


def test_it_ends_with_all_its_sources(place: Place) -> None:
    place.use(f"file:{place.path}", "dns:example.net")
    place.resolver.startService()
    assert len(place.asked) == 1
    place.resolver.stopService()
    assert place.clock.getDelayedCalls() == []


def test_by_itself_it_asks_the_servers_of_the_machine() -> None:
    clock = Clock()
    resolver = CombinedResolver(clock)
    resolver.use([parse_source("node2=a:1")])
    assert resolver.addresses(b"node2") == (Address("a", 1),)
