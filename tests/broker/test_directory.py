"""Who is here, and who hears what."""

import pytest

from nettool.broker.broker import Broker
from nettool.broker.directory import Directory
from nettool.settings import Live, Settings
from tests.broker.member import Member


class Worked:
    """Something that was worked out from addresses."""

    def __init__(self, *addresses: bytes) -> None:
        self.addresses = frozenset(addresses)
        self.stale = False

    def let_go(self) -> None:
        self.stale = True


def member(name: bytes) -> Member:
    live = Live(Settings())
    return Member(name, Broker(live), live)


@pytest.fixture
def directory() -> Directory:
    return Directory()


def test_who_is_here_is_sorted_by_bytes(directory: Directory) -> None:
    assert directory.who() == []
    for name in (b"b", b"a", "é".encode(), b"B"):
        directory.add(member(name))
    assert directory.who() == [b"B", b"a", b"b", "é".encode()]
    assert directory.who() is directory.who()
    directory.remove(directory.names[b"a"])
    assert directory.who() == [b"B", b"b", "é".encode()]


def test_joining_twice_is_one_membership_and_leaving_twice_is_nothing(directory: Directory) -> None:
    alice, bob = member(b"alice"), member(b"bob")
    directory.join(bob, b"#t")
    directory.join(alice, b"#t")
    directory.join(alice, b"#t")
    directory.join(alice, b"#u")
    assert directory.hearers(b"#t") == [b"alice", b"bob"]
    assert directory.topics[b"#t"].hearers == (bob, alice)
    assert directory.heard() == [(b"#t", 2), (b"#u", 1)]
    directory.leave(bob, b"#t")
    directory.leave(bob, b"#t")
    directory.leave(bob, b"#never")
    assert bob.topics is None
    assert directory.hearers(b"#t") == [b"alice"]


def test_a_topic_exists_exactly_while_somebody_hears_it(directory: Directory) -> None:
    alice = member(b"alice")
    assert directory.hearers(b"#t") == []
    directory.join(alice, b"#t")
    assert directory.heard() == [(b"#t", 1)]
    directory.leave(alice, b"#t")
    assert directory.heard() == []
    assert directory.topics == {}


def test_who_is_removed_hears_nothing_any_more(directory: Directory) -> None:
    alice, bob = member(b"alice"), member(b"bob")
    for some in (alice, bob):
        directory.add(some)
        directory.join(some, b"#t")
    directory.join(alice, b"#u")
    directory.remove(alice)
    assert alice.topics is None
    assert directory.heard() == [(b"#t", 1)]
    assert directory.who() == [b"bob"]


def test_what_was_worked_out_is_stale_as_soon_as_one_of_its_addresses_changes(directory: Directory) -> None:
    alice = member(b"alice")
    changes = [
        (b"alice", lambda: directory.add(alice)),
        (b"#t", lambda: directory.join(alice, b"#t")),
        (b"#t", lambda: directory.leave(alice, b"#t")),
        (b"alice", lambda: directory.remove(alice)),
    ]
    for address, change in changes:
        touched, other = Worked(address, b"else"), Worked(b"else", b"#else")
        directory.depend(touched, touched.addresses)
        directory.depend(other, other.addresses)
        change()
        assert touched.stale
        assert not other.stale
        directory.release(other)
        assert other.stale


def test_a_join_that_changes_nothing_makes_nothing_stale(directory: Directory) -> None:
    alice = member(b"alice")
    directory.join(alice, b"#t")
    worked = Worked(b"#t")
    directory.depend(worked, worked.addresses)
    directory.join(alice, b"#t")
    directory.leave(alice, b"#u")
    assert not worked.stale


def test_what_is_released_twice_is_released(directory: Directory) -> None:
    one, other = Worked(b"#t"), Worked(b"#t")
    directory.depend(one, one.addresses)
    directory.depend(other, other.addresses)
    directory.release(one)
    directory.release(one)
    assert not other.stale
    directory.release(other)
    directory.release(other)
    assert other.stale


def test_who_is_not_on_another_node_does_not_leave_it(directory: Directory) -> None:
    bob = member(b"bob@node2")
    directory.remove_far(bob)
    directory.add_far(bob)
    assert directory.reach[b"bob@node2"] is bob
    assert directory.who() == [b"bob@node2"]
    directory.remove_far(bob)
    directory.remove_far(bob)
    assert b"bob@node2" not in directory.reach
    assert directory.who() == []


def test_a_node_leaves_only_the_topics_that_are_heard_there(directory: Directory) -> None:
    node, alice = member(b"node2"), member(b"alice")
    directory.leave_far(node, b"#t")
    node.topics = set()
    directory.join(alice, b"#t")
    directory.join_far(node, b"#u")
    directory.leave_far(node, b"#t")
    assert node.topics == {b"#u"}
    assert directory.topics[b"#t"].hearers == (alice,)
    directory.leave_far(node, b"#u")
    directory.leave_far(node, b"#u")
    assert b"#u" not in directory.topics
