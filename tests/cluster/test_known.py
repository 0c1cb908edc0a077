"""What is known of where nodes are, and who is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from nettool.cluster.resolver import (
    Address,
    CombinedResolver,
    FileResolver,
    INodeResolver,
    KnownNodes,
    SrvResolver,
    StaticResolver,
)
from tests.conftest import LoggedFailures

A, B = Address("a", 1), Address("b", 2)
News = list[frozenset[bytes]]


@pytest.fixture
def known() -> KnownNodes:
    return KnownNodes()


@pytest.fixture
def news(known: KnownNodes) -> News:
    heard: News = []
    known.subscribe(heard.append)
    return heard


def test_every_resolver_keeps_the_contract() -> None:
    for kind in (KnownNodes, StaticResolver, FileResolver, SrvResolver, CombinedResolver):
        assert INodeResolver.implementedBy(kind)
    assert verifyObject(INodeResolver, KnownNodes())


def test_a_node_that_is_not_known_has_no_address(known: KnownNodes) -> None:
    assert known.addresses(b"node2") == ()
    assert list(known.names()) == []


def test_subscribers_hear_who_was_added_moved_reordered_or_removed(known: KnownNodes, news: News) -> None:
    known.become({b"added": (A,), b"stays": (A, B)})
    known.become({b"added": (A, B), b"stays": (A, B), b"new": (B,)})
    known.become({b"added": (B, A), b"stays": (A, B)})
    assert news == [{b"added", b"stays"}, {b"added", b"new"}, {b"added", b"new"}]
    assert known.addresses(b"added") == (B, A)
    assert set(known.names()) == {b"added", b"stays"}


def test_what_is_no_change_is_no_news(known: KnownNodes, news: News) -> None:
    known.become({})
    known.become({b"node2": (A,)})
    known.become({b"node2": (A,)})
    assert len(news) == 1


def test_a_node_without_an_address_is_not_known(known: KnownNodes, news: News) -> None:
    known.become({b"node2": ()})
    assert list(known.names()) == [] and news == []


def test_the_news_come_when_they_are_true(known: KnownNodes) -> None:
    seen: list[object] = []
    known.subscribe(lambda changed: seen.append([known.addresses(name) for name in changed]))
    known.become({b"node2": (A,)})
    known.become({})
    assert seen == [[(A,)], [()]]


def test_who_has_unsubscribed_hears_nothing_more_not_even_of_this_change(known: KnownNodes) -> None:
    heard: list[str] = []
    known.subscribe(lambda _: end_second())
    end_second = known.subscribe(lambda _: heard.append("second"))
    end_third = known.subscribe(lambda _: heard.append("third"))
    known.become({b"node2": (A,)})
    end_third()
    end_third()
    known.become({})
    assert heard == ["third"]


def test_one_callback_may_be_subscribed_twice(known: KnownNodes) -> None:
    heard: News = []
    end = known.subscribe(heard.append)
    known.subscribe(heard.append)
    known.become({b"node2": (A,)})
    end()
    known.become({})
    assert len(heard) == 3


def test_a_subscriber_that_fails_keeps_nothing_from_the_others(
    known: KnownNodes, logged_failures: LoggedFailures
) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    known.subscribe(fail)
    heard: News = []
    known.subscribe(heard.append)
    known.become({b"node2": (A,)})
    assert heard == [{b"node2"}]
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


def test_who_subscribes_in_a_callback_hears_of_the_next_change(known: KnownNodes) -> None:
    heard: News = []
    known.subscribe(lambda _: known.subscribe(heard.append))
    known.become({b"node2": (A,)})
    assert heard == []
    known.become({})
    assert heard == [{b"node2"}]


states = st.dictionaries(st.sampled_from([b"x", b"y", b"z"]), st.lists(st.sampled_from([A, B]), unique=True).map(tuple))


@given(st.lists(states))
def test_who_follows_the_news_knows_what_is_known(all_states: list[dict[bytes, tuple[Address, ...]]]) -> None:
    known = KnownNodes()
    followed: dict[bytes, tuple[Address, ...]] = {}

    def follow(changed: frozenset[bytes]) -> None:
        assert changed
        for name in changed:
            assert followed.get(name, ()) != known.addresses(name)
            followed[name] = known.addresses(name)

    known.subscribe(follow)
    for state in all_states:
        known.become(state)
        assert {name: all_of for name, all_of in followed.items() if all_of} == {
            name: all_of for name, all_of in state.items() if all_of
        }
