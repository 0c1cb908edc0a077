"""Plans: one column for all who are reached by the same addresses."""

import pytest

from nettool.broker.broker import Broker
from nettool.broker.plans import Plan
from nettool.outbox.batch import Kind
from nettool.settings import Live, Settings
from tests.broker.member import Member


@pytest.fixture
def broker() -> Broker:
    return Broker(Live(Settings()))


def members(broker: Broker, **topics: str) -> dict[str, Member]:
    made = {}
    for name, heard in topics.items():
        made[name] = Member(name.encode(), broker, Live(Settings()))
        broker.log_in(made[name], 0.0)
        for topic in heard.split():
            broker.join(made[name], topic.encode())
    return made


def shape(plan: Plan) -> set[tuple[Kind, bytes, frozenset[bytes]]]:
    return {
        (column.kind, column.address, frozenset(member.name for member in column.members)) for column in plan.columns
    }


def test_members_that_are_reached_by_the_same_addresses_share_a_column(broker: Broker) -> None:
    members(broker, alice="#t", bob="#t", carol="#t #u", dora="#u", erik="")
    plan = Plan(broker.directory, [b"#t", b"#u", b"dora", b"erik", b"#nobody"], None)
    assert shape(plan) == {
        (Kind.TOPIC, b"#t", frozenset((b"alice", b"bob"))),
        (Kind.TOPIC, b"", frozenset((b"carol",))),
        (Kind.MIXED, b"dora", frozenset((b"dora",))),
        (Kind.DIRECT, b"erik", frozenset((b"erik",))),
    }
    assert not plan.all_topics
    assert {address: len(lists) for address, lists in plan.lists.items()} == {
        b"#t": 2,
        b"#u": 2,
        b"dora": 1,
        b"erik": 1,
        b"#nobody": 0,
    }


def test_the_sender_is_left_out_of_topics_and_reached_by_name(broker: Broker) -> None:
    made = members(broker, alice="#t", bob="#t")
    plan = Plan(broker.directory, [b"#t", b"alice"], made["alice"])
    assert shape(plan) == {
        (Kind.TOPIC, b"#t", frozenset((b"bob",))),
        (Kind.DIRECT, b"alice", frozenset((b"alice",))),
    }
    assert Plan(broker.directory, [b"#t"], made["alice"]).all_topics


def test_the_columns_of_lines_are_those_they_are_in(broker: Broker) -> None:
    members(broker, alice="#t", bob="#u", carol="")
    plan = Plan(broker.directory, [b"#t", b"#u", b"carol"], None)
    found = plan.columns_of([b"#t: 1\n", b"carol: 2\n", b"#t: #u: 3\n"])
    assert {member.name for column in found for member in column.members} == {b"alice", b"carol"}


def test_a_plan_is_stale_when_an_address_of_it_changes(broker: Broker) -> None:
    made = members(broker, alice="#t", bob="")
    plan = Plan(broker.directory, [b"#t"], None)
    broker.join(made["bob"], b"#u")
    assert not plan.stale
    broker.join(made["bob"], b"#t")
    assert plan.stale


def test_a_plan_that_is_stale_keeps_nobody_who_has_gone(broker: Broker) -> None:
    made = members(broker, alice="#t", bob="#t")
    plan = Plan(broker.directory, [b"#t"], made["alice"])
    broker.peer_leaves(made["bob"], 0.0)
    assert plan.stale
    assert not plan.columns
    assert plan.excluded is None
