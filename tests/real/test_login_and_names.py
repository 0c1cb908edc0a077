"""The first line: what a name may be, and who has it."""

import time
from collections.abc import Callable

import pytest

from tests.real.conftest import Start
from tests.real.node import KIB, MIB, RealPeer, Street, eventually, expect_closed_with, in_background, who

GOOD_NAMES = [
    "a",
    "alice",
    "Alice",
    "n" * 64,
    "\u00e9" * 32,
    "\U0001f600" * 16,
    "J\u00fcrgen",
    "e\u0301",
    "\u4f60\u597d",
    "0",
    "-",
    "_.-",
    "!\"$%&'()*+;<=>?[\\]^`{|}~",
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_name_that_follows_the_rule_logs_in(street: Street, name: str) -> None:
    peer = street.connect()
    peer.login(name)
    peer.say(name.encode() + b": me")
    peer.expect(b"from " + name.encode() + b": me")
    assert who(peer) == [name.encode()]


BAD_NAMES = [
    b"n" * 65,
    "\u00e9".encode() * 32 + b"x",
    "\u00e9".encode() * 33,
    b"a,b",
    b"a:b",
    b"a: b",
    b"a@node1",
    b"#a",
    b"a#",
    b"/quit",
    b"/who",
    b"a/b",
    b"a\tb",
    b"a\x00b",
    b"\x01",
    b"a\x7f",
    b"a\rb",
    b"\xff\xfe",
    b"a\x80",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xe9",
    b"a" + "\u0085".encode(),
    b"a" + "\u00a0".encode() + b"b",
    b"a" + "\u00ad".encode(),
    b"a" + "\u200b".encode(),
    b"a" + "\u200d".encode(),
    b"a" + "\u202e".encode(),
    b"a" + "\u2028".encode(),
    b"a" + "\u3000".encode(),
    "\ufeffa".encode(),
    b"a" + "\ue000".encode(),
    b"a" + "\U00100000".encode(),
    b"a" + "\u0378".encode(),
    b"a" + "\ufdd0".encode(),
    b"a" + "\U000e0041".encode(),
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_breaks_the_rule_is_told_and_closed(street: Street, name: bytes) -> None:
    stranger = street.connect()
    stranger.say(name, b"/who")
    assert expect_closed_with(stranger, b"bad-name")


@pytest.mark.parametrize("line", [b"alice secret", b"alice x", b"alice \xff\x00:@#/"])
def test_a_secret_is_ignored_by_a_node_that_asks_for_none(street: Street, line: bytes) -> None:
    alice = street.connect()
    alice.say(line, b"alice: me")
    alice.expect(b"ok login alice@node1", b"from alice: me")


def test_the_answer_to_the_first_line_comes_before_anything_else(street: Street) -> None:
    bob = street.peer("bob")
    bob.say(b"/watch")
    bob.expect(b"ok watch")
    for number in range(30):
        alice = street.connect()
        alice.send(b"alice%d\n/ping\nnobody: x\n" % number)
        bob.expect(b"notice here: alice%d" % number)
        bob.say(b"alice%d: hi" % number)
        alice.expect(b"ok login alice%d@node1" % number, b"pong", b"error no-such-peer: nobody", b"from bob: hi")


def test_names_differ_by_any_byte(street: Street) -> None:
    names = ["bob", "Bob", "bob.", "\u00e9", "e\u0301"]
    street.peers(*names)
    assert who(street.peer("asker")) == sorted([name.encode() for name in names] + [b"asker"])


def test_a_taken_name_is_refused_and_has_routed_nothing(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    for _ in range(10):
        false_bob = street.connect()
        false_bob.send(b"bob\nalice: evil\n/join #evil\nbob: evil\n/who\n")
        assert expect_closed_with(false_bob, b"name-taken") == b"bob"
    assert alice.barrier() == []
    assert bob.barrier() == []
    assert who(alice) == [b"alice", b"bob"]
    alice.say(b"/topics")
    alice.expect(b"ok topics 0")
    bob.say(b"alice: I am still bob")
    alice.expect(b"from bob: I am still bob")


def test_the_end_of_one_who_was_refused_frees_no_name(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    for ending in (RealPeer.close, RealPeer.reset, RealPeer.half_close):
        false_bob = street.connect()
        false_bob.say(b"bob")
        false_bob.expect(b"error name-taken: bob")
        ending(false_bob)
    for _ in range(5):
        assert street.try_login("bob") is None
    alice.say(b"bob: yours")
    bob.expect(b"from alice: yours")


@pytest.mark.parametrize("ending", [RealPeer.close, RealPeer.reset, RealPeer.quit, RealPeer.half_close])
def test_a_name_is_free_again_when_its_connection_has_ended(
    street: Street, ending: Callable[[RealPeer], object]
) -> None:
    alice = street.peer("alice")
    for number in range(2):
        bob = street.login_when_free("bob")
        alice.say(b"bob: %d" % number)
        bob.expect(b"from alice: %d" % number)
        ending(bob)
    assert alice.barrier() == []


def test_an_old_connection_never_frees_the_name_of_a_newer_one(street: Street) -> None:
    alice = street.peer("alice")
    old = street.peer("bob")
    old.half_close()  # the old one's reader has ended; the socket stays open here
    assert old.to_end() == [b"bye quit"]
    new = street.login_when_free("bob")
    old.close()
    for _ in range(20):
        assert street.try_login("bob") is None
    assert who(alice) == [b"alice", b"bob"]
    alice.say(b"bob: to the new one")
    new.expect(b"from alice: to the new one")


def test_a_name_that_comes_and_goes_many_times_is_never_lost_nor_doubled(street: Street) -> None:
    alice = street.peer("alice")
    for number in range(30):
        bob = street.login_when_free("bob")
        bob.say(b"/join #t", b"alice: here %d" % number)
        bob.expect(b"ok join #t")
        alice.expect(b"from bob: here %d" % number)
        alice.say(b"bob, #t: %d" % number)
        if number % 3 == 0:
            bob.expect(b"from alice: %d" % number, b"from alice to #t: %d" % number)
            bob.quit()
        elif number % 3 == 1:
            bob.reset()
        else:
            bob.close()
        alice.barrier()
    eventually(lambda: who(alice) == [b"alice"], "bob has gone")
    eventually(lambda: who(alice, b"#t") == [], "bob has left the topic")


# --- takeover


def test_a_takeover_ends_the_older_connection_and_gives_the_name_to_the_newer(start: Start) -> None:
    street = start("--on-name-taken", "takeover")
    alice, old = street.peer("alice"), street.hearer("bob", b"#t")
    new = street.connect()
    new.send(b"bob\nalice: it is me now\n")
    assert old.to_end() == [b"bye taken-over"]
    old.close()
    new.expect(b"ok login bob@node1")
    alice.expect(b"from bob: it is me now")
    assert who(alice) == [b"alice", b"bob"]
    assert who(alice, b"#t") == []
    alice.say(b"bob: hi")
    new.expect(b"from alice: hi")


def test_a_takeover_can_be_done_again_and_again(start: Start) -> None:
    street = start("--on-name-taken", "takeover")
    alice, bob = street.peers("alice", "bob")
    for number in range(4):
        new = street.connect()
        new.send(b"bob\n/ping\n")
        assert bob.to_end() == [b"bye taken-over"]
        if number % 2:
            bob.close()  # the others are left open: the node does not wait for them for ever
        new.expect(b"ok login bob@node1", b"pong")
        bob = new
    alice.say(b"bob: the last")
    bob.expect(b"from alice: the last")
    assert who(alice) == [b"alice", b"bob"]


def test_a_newcomer_waits_until_the_older_connection_has_ended(start: Start) -> None:
    street = start("--on-name-taken", "takeover", "--direct-patience", "20s", "--outbox-bytes", "32MiB")
    alice = street.peer("alice")
    text = b"x" * 1000
    amount = 8 * MIB // len(text)
    for _ in range(10):
        old = eventually(lambda: street.try_takeover("bob"), "bob is free")
        alice.send(b"".join(b"bob: %d %s\n" % (number, text) for number in range(amount)))
        assert alice.barrier() == []
        began = time.monotonic()
        new, second = street.connect(), street.connect()
        new.send(b"bob\nalice: from the new one\n")
        # From the takeover on the older one is out, and its name is still taken.
        eventually(lambda: who(alice) == [b"alice"], "the older one is out")
        alice.say(b"bob: for nobody")
        answer = alice.barrier()
        second.say(b"bob")
        told = second.line()
        if time.monotonic() - began > 0.9:
            street.close_only(old, new, second)  # too slow to have met the two: begin again
            alice.barrier()
            continue
        assert answer == [b"error no-such-peer: bob"]
        assert told == b"error name-taken: bob"
        assert second.to_end() == [b"bye name-taken"]
        # The older one never reads: after a second it is aborted, and what it did not take comes back.
        new.expect(b"ok login bob@node1")
        heard = alice.until(b"from bob: from the new one") + alice.barrier()
        assert heard
        numbers = [int(line.split()[3]) for line in heard if line.startswith(b"returned bob disconnected: ")]
        assert len(numbers) == len(heard)
        assert numbers == list(range(numbers[0], amount))
        alice.say(b"bob: to the new one")
        new.expect(b"from alice: to the new one")
        return
    raise AssertionError("this machine never was quick enough")


def test_who_is_taken_over_can_still_take_what_was_queued(start: Start) -> None:
    street = start("--on-name-taken", "takeover")
    alice, old = street.peers("alice", "bob")
    texts = [b"%d " % number + b"x" * 1000 for number in range(3000)]
    alice.say(*(b"bob: " + text for text in texts))
    assert alice.barrier() == []
    new = street.connect()
    taken = in_background(old.to_end)
    new.say(b"bob", b"/ping")
    assert taken.result() == [*(b"from alice: " + text for text in texts), b"bye taken-over"]
    old.close()
    new.expect(b"ok login bob@node1", b"pong")
    assert alice.barrier() == []


def test_a_takeover_needs_a_good_name(start: Start) -> None:
    street = start("--on-name-taken", "takeover")
    bob = street.peer("bob")
    stranger = street.connect()
    stranger.say(b"b@b")
    assert expect_closed_with(stranger, b"bad-name")
    assert bob.barrier() == []


def test_what_was_meant_for_one_is_never_given_to_the_next_of_that_name(street: Street) -> None:
    alice, bob = street.peer("alice"), street.peer("bob", receive_buffer=64 * KIB)
    amount = 3000
    alice.say(*(b"bob: %d %s" % (number, b"y" * 1000) for number in range(amount)))
    assert alice.barrier() == []
    bob.reset()
    new = street.login_when_free("bob")
    back = eventually(alice.barrier, "lines are given back")
    numbers = [int(line.removeprefix(b"returned bob disconnected: ").split()[0]) for line in back]
    assert numbers == list(range(amount - len(numbers), amount))
    assert new.barrier() == []
    assert alice.barrier() == []
