"""Addresses from SRV records, with answers made up, on a clock."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.names.error import DNSNameError, DNSServerError

from nettool.cluster.resolver import Address, SrvResolver
from nettool.cluster.resolver.srv import JITTER, LEAST, LOOKUP_TIME, MOST, RETRY_MOST, Record, in_order
from tests.cluster.secrets import as_texts, logged

SERVICE = "_nettool-link._tcp.example.net"


def srv(
    target: str, port: int = 6389, priority: int = 0, weight: int = 0, ttl: int = 60, owner: str = SERVICE
) -> dns.RRHeader:
    return dns.RRHeader(owner, dns.SRV, dns.IN, ttl, dns.Record_SRV(priority, weight, port, target, ttl))


class Asked:
    """A resolver on a clock, and the answers it waits for."""

    def __init__(self, seed: int = 0) -> None:
        self.clock = Clock()
        self.asked: list[tuple[float, str]] = []
        self.cancelled = 0
        self.waiting: Deferred[Any] | None = None
        self.resolver = SrvResolver("example.net", self._lookup, self.clock, Random(seed))
        self.news: list[frozenset[bytes]] = []
        self.resolver.subscribe(self.news.append)

    def _lookup(self, name: str) -> Deferred[Any]:
        assert self.waiting is None, "one look at a time"
        self.asked.append((self.clock.seconds(), name))
        self.waiting = Deferred(self._cancel)
        return self.waiting

    def _cancel(self, _: object) -> None:
        self.cancelled += 1
        self.waiting = None

    def answer(self, *records: dns.RRHeader) -> None:
        assert self.waiting is not None
        waiting, self.waiting = self.waiting, None
        waiting.callback((list(records), [], []))

    def fail(self, error: Exception) -> None:
        assert self.waiting is not None
        waiting, self.waiting = self.waiting, None
        waiting.errback(error)

    def until_asked(self) -> float:
        """Let time pass until it asks again; how long that took."""
        [call] = self.clock.getDelayedCalls()
        before = self.clock.seconds()
        self.clock.advance(call.getTime() - before)
        assert self.waiting is not None
        return self.clock.seconds() - before

    @property
    def nodes(self) -> dict[bytes, tuple[Address, ...]]:
        return {name: self.resolver.addresses(name) for name in self.resolver.names()}


@pytest.fixture
def asked() -> Any:
    asked = Asked()
    asked.resolver.startService()
    yield asked
    if asked.resolver.running:
        asked.resolver.stopService()
    assert asked.clock.getDelayedCalls() == []


def test_it_asks_for_the_service_of_the_domain_when_it_starts(asked: Asked) -> None:
    assert asked.asked == [(0.0, SERVICE)]
    with logged() as events:
        asked.answer(srv("node2.example.net"), srv("node3.example.net", 6390))
    assert asked.nodes == {
        b"node2": (Address("node2.example.net", 6389),),
        b"node3": (Address("node3.example.net", 6390),),
    }
    assert asked.news == [{b"node2", b"node3"}]
    assert as_texts(events) == [f"addresses of nodes in {SERVICE}: 2"]


def test_a_nodes_name_is_the_first_label_in_lower_case(asked: Asked) -> None:
    asked.answer(srv("NODE2.Example.NET"), srv("node2.backup.example"), srv("node3"))
    assert set(asked.nodes) == {b"node2", b"node3"}
    assert set(asked.nodes[b"node2"]) == {Address("NODE2.Example.NET", 6389), Address("node2.backup.example", 6389)}


def test_a_nodes_addresses_are_in_the_order_of_their_priorities(asked: Asked) -> None:
    asked.answer(
        srv("node2.c", priority=20), srv("node3.x", priority=1), srv("node2.a", priority=0), srv("node2.b", priority=10)
    )
    assert [address.host for address in asked.nodes[b"node2"]] == ["node2.a", "node2.b", "node2.c"]


def test_the_order_by_chance_is_drawn_again_only_when_the_nodes_records_change() -> None:
    """Else each answer would be news, and links would be dialled again for nothing."""
    for seed in range(10):
        asked = Asked(seed)
        asked.resolver.startService()
        of_node2 = [srv(f"node2.{letter}", weight=10) for letter in "abcdef"]
        asked.answer(*of_node2, srv("node3.x"))
        first = asked.nodes[b"node2"]
        for number in range(5):
            asked.until_asked()
            of_node2 = of_node2[1:] + of_node2[:1]  # as servers do it
            asked.answer(*of_node2, srv("node3.x", 7000 + number))
        assert asked.nodes[b"node2"] == first
        assert asked.news == [{b"node2", b"node3"}] + [{b"node3"}] * 5
        asked.until_asked()
        asked.answer(*of_node2[:-1], srv("node3.x", 7004))
        assert asked.news[-1] == {b"node2"}
        asked.resolver.stopService()


@pytest.mark.parametrize(
    "lives, seconds",
    [([60], 60), ([300, 60, 120], 60), ([0], LEAST), ([1], LEAST), ([86400], MOST), ([2**31 - 1], MOST)],
)
def test_it_asks_again_when_the_shortest_life_is_over_within_bounds(
    lives: list[int], seconds: float, asked: Asked
) -> None:
    asked.answer(*(srv(f"node{number}.x", ttl=life) for number, life in enumerate(lives)))
    waited = asked.until_asked()
    assert seconds <= waited <= seconds * (1 + JITTER)


def test_an_alias_counts_for_how_long_an_answer_holds(asked: Asked) -> None:
    alias = dns.RRHeader(SERVICE, dns.CNAME, dns.IN, 20, dns.Record_CNAME("other.example.net", 20))
    asked.answer(alias, srv("node2.x", ttl=600, owner="other.example.net"))
    assert set(asked.nodes) == {b"node2"}
    assert 20 <= asked.until_asked() <= 20 * (1 + JITTER)


def test_who_is_not_in_an_answer_any_more_is_gone(asked: Asked) -> None:
    asked.answer(srv("node2.x"), srv("node3.x"))
    asked.until_asked()
    asked.answer(srv("node3.x"))
    assert set(asked.nodes) == {b"node3"} and asked.news == [{b"node2", b"node3"}, {b"node2"}]


@pytest.mark.parametrize(
    "error, meaning",
    [
        (DNSNameError(), "there is no such name"),
        (DNSServerError(), "the server answers DNSServerError"),
        (ConnectionRefusedError("x\ny"), r"ConnectionRefusedError: Connection was refused by other side: x\ny."),
        (None, "there is no record of a node"),
    ],
)
def test_a_negative_answer_keeps_what_is_known_and_is_told_once(
    error: Exception | None, meaning: str, asked: Asked
) -> None:
    asked.answer(srv("node2.x"))
    with logged() as events:
        waits = []
        for _ in range(6):
            waits.append(asked.until_asked())
            if error is None:
                asked.answer()
            else:
                asked.fail(error)
            assert asked.resolver.fault == f"{SERVICE}: {meaning}"
    assert as_texts(events) == [f"nodes stay where they were: {SERVICE}: {meaning}"]
    assert set(asked.nodes) == {b"node2"} and len(asked.news) == 1
    for waited, least in zip(waits[1:], (5, 10, 20, 40, RETRY_MOST), strict=True):
        assert least <= waited <= least * (1 + JITTER)
    asked.until_asked()
    with logged() as events:
        asked.answer(srv("node2.x"), srv("node3.x"))
    assert as_texts(events) == [f"addresses of nodes in {SERVICE}: 2"]
    assert asked.resolver.fault == "" and set(asked.nodes) == {b"node2", b"node3"}
    asked.until_asked()
    asked.fail(DNSNameError())
    assert 5 <= asked.until_asked() <= 5 * (1 + JITTER), "patience begins anew"


def test_no_answer_in_time_keeps_what_is_known(asked: Asked) -> None:
    asked.answer(srv("node2.x"))
    asked.until_asked()
    asked.clock.advance(LOOKUP_TIME)
    assert asked.cancelled == 1
    assert asked.resolver.fault == f"{SERVICE}: no server has answered in time"
    assert set(asked.nodes) == {b"node2"}
    assert asked.until_asked() >= 5


@pytest.mark.parametrize(
    "bad, said",
    [
        (srv("node3.x", port=0), "node3.x: its port is 0"),
        (srv("no de.x"), "no de.x: a name has no white space, control, format, private or unassigned character"),
        (srv(b"n\xc3\xb6de.x"), r"n\xc3\xb6de.x: and a host's name has letters, digits, hyphens and dots"),  # type: ignore[arg-type]
        (srv("node3.-"), "node3.-: and a host's name has letters, digits, hyphens and dots"),
        (srv("10.0.0.3"), None),
        (srv("node3\n.x"), r"node3\n.x: a name has no white space, control"),
    ],
)
def test_a_record_that_is_no_nodes_is_left_out_and_told(bad: dns.RRHeader, said: str | None, asked: Asked) -> None:
    with logged() as events:
        asked.answer(srv("node2.x"), bad)
    if said is None:
        # A node called 10 would be strange, but an address in the place of a name is what some write.
        assert asked.nodes[b"10"] == (Address("10.0.0.3", 6389),)
    else:
        assert set(asked.nodes) == {b"node2"}
        assert f"records of {SERVICE} that are no node's are left out: {said}" in as_texts(events)[0]
        asked.until_asked()
        with logged() as events:
            asked.answer(srv("node2.x"), bad)
        assert events == [], "it is told once"


def test_an_answer_of_nothing_but_nonsense_keeps_what_is_known(asked: Asked) -> None:
    asked.answer(srv("node2.x"))
    asked.until_asked()
    asked.answer(srv("node3.x", port=0))
    assert set(asked.nodes) == {b"node2"} and asked.resolver.fault == f"{SERVICE}: there is no record of a node"


def test_the_root_as_target_says_that_there_is_nobody(asked: Asked) -> None:
    asked.answer(srv("node2.x"))
    asked.until_asked()
    asked.answer(srv(""))
    assert asked.nodes == {} and asked.resolver.fault == ""
    assert 60 <= asked.until_asked() <= 60 * (1 + JITTER)


def test_a_fault_of_ours_is_logged_and_the_looks_go_on(asked: Asked, logged_failures: Any) -> None:
    assert asked.waiting is not None
    waiting, asked.waiting = asked.waiting, None
    waiting.callback(None)
    assert "TypeError" in asked.resolver.fault
    assert len(logged_failures.flush(TypeError)) == 1
    asked.until_asked()
    asked.answer(srv("node2.x"))
    assert set(asked.nodes) == {b"node2"}


def test_at_its_end_a_look_is_broken_off_and_no_timer_is_left(asked: Asked) -> None:
    with logged() as events:
        asked.resolver.stopService()
    assert asked.cancelled == 1 and asked.resolver.fault == "" and events == []
    assert asked.clock.getDelayedCalls() == []
    asked.resolver.startService()
    assert len(asked.asked) == 2
    asked.answer(srv("node2.x"))
    asked.resolver.stopService()
    assert asked.clock.getDelayedCalls() == [] and set(asked.nodes) == {b"node2"}


# --- the order ------------------------------------------------------------------------------------

records = st.lists(
    st.builds(
        Record,
        st.integers(0, 3),
        st.sampled_from([0, 1, 10, 65535]),
        st.integers(1, 65535),
        st.sampled_from(["a", "b", "c"]),
    ),
    max_size=6,
)


@given(records, st.integers())
def test_every_address_is_there_once_and_a_lower_priority_never_goes_before(of: list[Record], seed: int) -> None:
    ordered = in_order(of, Random(seed))
    assert Counter(ordered) == Counter({Address(record.host, record.port) for record in of})
    best = {Address(r.host, r.port): min(o.priority for o in of if (o.host, o.port) == (r.host, r.port)) for r in of}
    priorities = [best[address] for address in ordered]
    assert priorities == sorted(priorities)


def test_weights_are_the_proportions_of_chance() -> None:
    of = [Record(0, weight, 1, host) for host, weight in (("none", 0), ("one", 10), ("three", 30))]
    chance = Random(6389)
    first = Counter(in_order(of, chance)[0].host for _ in range(10_000))
    assert first["one"] / first["three"] == pytest.approx(1 / 3, rel=0.1)
    assert 0 < first["none"] < 500, "without weight the chance is small, and there is one"


def test_records_without_weights_are_in_any_order() -> None:
    of = [Record(0, 0, 1, "a"), Record(0, 0, 1, "b")]
    assert {in_order(of, Random(seed))[0].host for seed in range(50)} == {"a", "b"}
