"""The broker: names, heirs, notices, lines given back, and the end."""

from __future__ import annotations

import pytest

from nettool.broker.broker import Broker, JoinOutcome, LoginOutcome
from nettool.errors import CloseReason, DropReason, ErrorCode, ReturnReason
from nettool.outbox.batch import Batch, Kind
from nettool.settings import TAKEOVER_DRAIN, Live, OnNameTaken, PeerSettings, Settings
from tests.broker.member import Member


class Town:
    """A broker, and members that log in."""

    def __init__(self, **peers: object) -> None:
        self.live = Live(Settings(peers=PeerSettings(**peers)))  # type: ignore[arg-type]
        self.broker = Broker(self.live)

    def stranger(self, name: bytes) -> Member:
        return Member(name, self.broker, self.live)

    def member(self, name: bytes, *topics: bytes) -> Member:
        member = self.stranger(name)
        assert self.broker.log_in(member, 1.0) is LoginOutcome.DONE
        for topic in topics:
            assert self.broker.join(member, topic) is JoinOutcome.DONE
        return member

    def say(self, sender: Member, line: bytes) -> None:
        lines = [line + b"\n"]
        if not self.broker.routing.route_block(sender, lines[0], 2.0):
            assert self.broker.routing.route_lines(sender, lines, 0, 2.0) == 1


@pytest.fixture
def town() -> Town:
    return Town()


# Names


def test_a_name_that_is_taken_is_refused_and_its_holder_keeps_it(town: Town) -> None:
    holder, newcomer = town.member(b"alice"), town.stranger(b"alice")
    assert town.broker.log_in(newcomer, 2.0) is LoginOutcome.TAKEN
    town.broker.peer_leaves(newcomer, 3.0)
    town.broker.peer_ended(newcomer, ReturnReason.DISCONNECTED, 3.0)
    assert town.broker.directory.names == {b"alice": holder}
    assert holder.closed == []
    assert town.broker.log_in(town.stranger(b"alice"), 4.0) is LoginOutcome.TAKEN


def test_who_leaves_holds_the_name_until_the_connection_has_ended(town: Town) -> None:
    alice, bob = town.member(b"alice", b"#t"), town.member(b"bob")
    town.broker.peer_leaves(alice, 2.0)
    assert town.broker.directory.who() == [b"bob"]
    assert town.broker.directory.heard() == []
    assert town.broker.log_in(town.stranger(b"alice"), 2.0) is LoginOutcome.TAKEN
    town.say(bob, b"alice: hi")
    assert bob.got() == [b"error no-such-peer: alice"]
    town.broker.peer_ended(alice, ReturnReason.DISCONNECTED, 3.0)
    assert town.broker.log_in(town.stranger(b"alice"), 3.0) is LoginOutcome.DONE


def test_a_late_end_of_an_old_connection_does_not_free_the_new_ones_name(town: Town) -> None:
    old = town.member(b"alice")
    town.broker.peer_ended(old, ReturnReason.DISCONNECTED, 2.0)
    new = town.member(b"alice", b"#t")
    town.broker.peer_leaves(old, 3.0)
    town.broker.peer_ended(old, ReturnReason.DISCONNECTED, 3.0)
    assert town.broker.directory.names == {b"alice": new}
    assert town.broker.directory.hearers(b"#t") == [b"alice"]
    assert town.broker.log_in(town.stranger(b"alice"), 4.0) is LoginOutcome.TAKEN


def test_a_takeover_waits_for_the_end_of_the_older_connection() -> None:
    town = Town(on_name_taken=OnNameTaken.TAKEOVER)
    old, new = town.member(b"alice"), town.stranger(b"alice")
    assert town.broker.log_in(new, 2.0) is LoginOutcome.WAITS
    assert old.closed == [(CloseReason.TAKEN_OVER, TAKEOVER_DRAIN)]
    town.broker.peer_leaves(old, 2.0)
    assert town.broker.directory.who() == []
    assert new.names_given == []
    assert town.broker.log_in(town.stranger(b"alice"), 2.5) is LoginOutcome.TAKEN
    town.broker.peer_ended(old, ReturnReason.DISCONNECTED, 3.0)
    assert new.names_given == [3.0]
    assert town.broker.directory.names == {b"alice": new}
    assert town.broker.log_in(town.stranger(b"alice"), 4.0) is LoginOutcome.WAITS


def test_an_heir_that_has_left_inherits_nothing_and_frees_nothing() -> None:
    town = Town(on_name_taken=OnNameTaken.TAKEOVER)
    old, heir = town.member(b"alice"), town.stranger(b"alice")
    town.broker.log_in(heir, 2.0)
    town.broker.peer_ended(heir, ReturnReason.DISCONNECTED, 2.0)
    second = town.stranger(b"alice")
    assert town.broker.log_in(second, 2.0) is LoginOutcome.WAITS
    town.broker.peer_ended(old, ReturnReason.DISCONNECTED, 3.0)
    assert heir.names_given == []
    assert second.names_given == [3.0]


# Notices


def test_watchers_hear_of_others_that_come_and_go_but_not_of_themselves() -> None:
    town = Town(on_name_taken=OnNameTaken.TAKEOVER)
    watcher = town.member(b"watcher")
    town.broker.watch(watcher, True)
    town.broker.watch(watcher, True)
    alice = town.member(b"alice")
    town.broker.watch(alice, True)
    heir = town.stranger(b"alice")
    town.broker.log_in(heir, 2.0)
    town.broker.peer_leaves(alice, 2.0)
    town.broker.peer_leaves(alice, 2.0)
    town.broker.peer_ended(alice, ReturnReason.DISCONNECTED, 3.0)
    assert watcher.got() == [b"notice here: alice", b"notice gone: alice", b"notice here: alice"]
    assert heir.got() == []
    town.broker.watch(watcher, False)
    town.broker.watch(watcher, False)
    town.member(b"bob")
    assert watcher.got() == []
    assert town.broker.ledger.accepted == 0


# Topics


def test_only_what_can_be_a_topic_is_joined(town: Town) -> None:
    alice = town.member(b"alice")
    assert town.broker.join(alice, b"t") is JoinOutcome.BAD_TOPIC
    assert town.broker.leave(alice, b"t") is False
    assert town.broker.leave(alice, b"#t") is True
    assert alice.topics is None


@pytest.mark.parametrize("most", [2, 0])
def test_topics_are_limited_but_joining_one_of_them_again_is_not(most: int) -> None:
    town = Town(max_joins=most)
    alice = town.member(b"alice", b"#1", b"#2")
    assert town.broker.join(alice, b"#2") is JoinOutcome.DONE
    assert town.broker.join(alice, b"#3") is (JoinOutcome.TOO_MANY if most else JoinOutcome.DONE)


# What is given back


def test_a_text_goes_back_to_its_sender_as_he_addressed_it(town: Town) -> None:
    alice, bob = town.member(b"alice"), town.member(b"bob")
    town.say(alice, b"bob@node1: from alice: hi")
    town.say(alice, b"bob: 1")
    town.say(alice, b"bob: 2")
    town.broker.peer_ended(bob, ReturnReason.DISCONNECTED, 3.0)
    assert alice.got() == [
        b"returned bob@node1 disconnected: from alice: hi",
        b"returned bob disconnected: 1",
        b"returned bob disconnected: 2",
    ]
    assert town.broker.ledger.returned == {ReturnReason.DISCONNECTED: 3}
    assert town.broker.snapshot().adds_up


@pytest.mark.parametrize("reason", ReturnReason)
def test_of_a_mixed_batch_each_part_ends_as_its_kind_does(town: Town, reason: ReturnReason) -> None:
    alice = town.member(b"alice")
    data = b"from alice: 1\nfrom alice to #t: 2\nfrom alice: 3\n"
    town.broker.give_back(Batch(Kind.MIXED, alice, b"bob", data, 3, 1.0), reason, 2.0)
    assert alice.got() == [b"returned bob %b: 1" % reason.value, b"returned bob %b: 3" % reason.value]
    dropped = DropReason.SHUTDOWN if reason is ReturnReason.SHUTDOWN else DropReason.HEARER_GONE
    assert town.broker.ledger.dropped == {dropped: 1}


@pytest.mark.parametrize("reason", ReturnReason)
def test_lines_given_back_that_come_back_again_are_counted(town: Town, reason: ReturnReason) -> None:
    alice = town.member(b"alice")
    town.broker.give_back(Batch(Kind.RETURNED, alice, b"bob", b"returned bob x: 1\n", 1, 1.0), reason, 2.0)
    dropped = DropReason.SHUTDOWN if reason is ReturnReason.SHUTDOWN else DropReason.SENDER_GONE
    assert town.broker.ledger.dropped == {dropped: 1}
    assert alice.outbox.empty


@pytest.mark.parametrize("kind", [Kind.ANSWER, Kind.NOTICE])
def test_answers_and_notices_that_come_back_are_nothing(town: Town, kind: Kind) -> None:
    alice = town.member(b"alice")
    town.broker.give_back(Batch(kind, alice, b"", b"ok\n", 0, 1.0), ReturnReason.DISCONNECTED, 2.0)
    assert town.broker.ledger.dropped == {}
    assert alice.outbox.empty


def test_nothing_goes_to_a_namesake_of_a_sender_who_has_left(town: Town) -> None:
    alice, bob = town.member(b"alice"), town.member(b"bob")
    town.say(alice, b"bob: hi")
    town.broker.peer_ended(alice, ReturnReason.DISCONNECTED, 2.0)
    namesake = town.member(b"alice")
    town.broker.peer_ended(bob, ReturnReason.DISCONNECTED, 3.0)
    assert namesake.outbox.empty
    assert town.broker.ledger.dropped == {DropReason.SENDER_GONE: 1}


def test_what_nobody_wrote_goes_back_to_nobody(town: Town) -> None:
    town.broker.give_back(Batch(Kind.DIRECT, None, b"bob", b"from x: 1\n", 1, 1.0), ReturnReason.DISCONNECTED, 2.0)
    assert town.broker.ledger.dropped == {DropReason.SENDER_GONE: 1}


def test_a_peers_own_lines_to_itself_are_counted_when_it_ends(town: Town) -> None:
    alice = town.member(b"alice")
    town.say(alice, b"alice: note to self")
    town.broker.peer_ended(alice, ReturnReason.DISCONNECTED, 2.0)
    assert town.broker.ledger.dropped == {DropReason.SENDER_GONE: 1}
    assert town.broker.snapshot().adds_up


def test_an_error_is_answered_and_counted_by_its_code(town: Town) -> None:
    alice = town.member(b"alice")
    town.broker.refuse(alice, ErrorCode.BAD_TOPIC, b"t", 2.0)
    assert alice.got() == [b"error bad-topic: t"]
    assert town.broker.ledger.refused == {ErrorCode.BAD_TOPIC: 1}


# The end of the node


def test_at_shutdown_lines_go_back_to_those_who_have_taken_all_of_theirs(town: Town) -> None:
    alice, bob, carol = town.member(b"alice"), town.member(b"bob"), town.member(b"carol", b"#t")
    town.say(alice, b"bob: 1")
    town.say(alice, b"#t: 2")
    town.say(bob, b"carol: 3")
    town.broker.shut_down(3.0)
    assert alice.got() == [b"returned bob shutdown: 1"]
    assert bob.outbox.empty and bob.outbox.closed is ReturnReason.SHUTDOWN
    assert carol.outbox.empty and carol.outbox.closed is ReturnReason.SHUTDOWN
    assert town.broker.ledger.dropped == {DropReason.SHUTDOWN: 2}
    assert town.broker.ledger.returned == {ReturnReason.SHUTDOWN: 1}
    assert town.broker.snapshot().adds_up


def test_what_waits_is_found_by_walking_those_who_leave_too(town: Town) -> None:
    alice, bob = town.member(b"alice"), town.member(b"bob")
    town.say(alice, b"bob: hi")
    town.broker.peer_leaves(bob, 2.0)
    snapshot = town.broker.snapshot()
    assert snapshot.queued == 1
    assert snapshot.adds_up
    assert bob.got() == [b"from alice: hi"]


def test_nobody_is_told_of_its_own_coming(town: Town) -> None:
    alice = town.stranger(b"alice")
    town.broker.watch(alice, True)
    assert town.broker.log_in(alice, 1.0) is LoginOutcome.DONE
    assert alice.got() == []


def test_lists_are_made_once_for_all_who_ask_and_anew_after_a_change(town: Town) -> None:
    alice = town.member(b"alice", b"#t")
    who, heard = town.broker.who(), town.broker.heard()
    assert (who, heard) == (b"peer alice\nok who 1\n", b"topic #t 1\nok topics 1\n")
    assert town.broker.who() is who
    assert town.broker.heard() is heard
    town.member(b"bob", b"#t")
    assert town.broker.who() == b"peer alice\npeer bob\nok who 2\n"
    assert town.broker.heard() == b"topic #t 2\nok topics 1\n"
    town.broker.leave(alice, b"#t")
    assert town.broker.heard() == b"topic #t 1\nok topics 1\n"
