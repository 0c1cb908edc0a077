"""Closing: every end is announced, nothing that was queued is lost before it, and no reset overtakes it."""

import select
import time
from contextlib import suppress

import pytest

from nettool.settings import LINGER
from tests.real.conftest import Start
from tests.real.node import (
    KIB,
    MIB,
    TCP,
    RealPeer,
    Street,
    eventually,
    expect_closed_with,
    in_background,
    who,
)

# --- the peer ends


def test_a_half_close_is_a_quit_and_the_replies_come_first(street: Street) -> None:
    bob = street.peer("bob")
    alice = street.connect()
    alice.send(b"alice\nbob: hello\n/ping 1\nnobody: x\n/who\n")
    alice.half_close()
    assert alice.to_end() == [
        b"ok login alice@node1",
        b"pong 1",
        b"error no-such-peer: nobody",
        b"peer alice",
        b"peer bob",
        b"ok who 2",
        b"bye quit",
    ]
    bob.expect(b"from alice: hello")


def test_everything_before_a_half_close_is_routed(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    amount = 50_000
    sent = in_background(alice.send, b"".join(b"bob: %d\n" % number for number in range(amount)))
    sent.result()
    alice.half_close()
    bob.expect_stream(b"".join(b"from alice: %d\n" % number for number in range(amount)))
    assert alice.to_end() == [b"bye quit"]


def test_a_long_answer_survives_a_half_close(street: Street) -> None:
    alice = street.peer("alice", receive_buffer=64 * KIB)
    topics = [b"#topic-%d" % number for number in range(1000)]
    for at in range(0, 1000, 50):
        alice.say(b"/join " + b", ".join(topics[at : at + 50]))
    alice.send(b"/topics\n" * 40)
    alice.half_close()
    answer = [*(b"topic " + topic + b" 1" for topic in sorted(topics)), b"ok topics 1000"]
    assert alice.to_end() == [*(b"ok join " + topic for topic in topics), *answer * 40, b"bye quit"]


@pytest.mark.parametrize("text", [b"bob: no end", b"/quit", b"x", b"/join #t"])
def test_what_is_left_without_its_line_feed_is_no_line(street: Street, text: bytes) -> None:
    alice, bob = street.peers("alice", "bob")
    alice.send(b"bob: whole\n" + text)
    alice.half_close()
    error, bye = alice.to_end()
    assert error.startswith(b"error bad-line: ")
    assert text.startswith(error.removeprefix(b"error bad-line: "))
    assert bye == b"bye quit"
    assert bob.barrier() == [b"from alice: whole"]


def test_too_much_without_a_line_feed_is_no_line_either(street: Street) -> None:
    alice = street.peer("alice")
    alice.send(b"/ping\n" + b"x" * 70_000)
    alice.half_close()
    pong, *errors, bye = alice.to_end()
    assert (pong, bye) == (b"pong", b"bye quit")
    assert errors
    assert all(line.startswith((b"error line-too-long: 65536", b"error bad-line: x")) for line in errors)


def test_a_name_without_its_line_feed_is_no_login(street: Street) -> None:
    alice = street.peer("alice")
    alice.say(b"/watch")
    alice.expect(b"ok watch")
    stranger = street.connect()
    stranger.send(b"bob")
    stranger.half_close()
    lines = stranger.to_end()
    assert not [line for line in lines if line.startswith(b"ok ")], lines
    assert alice.barrier() == []


def test_an_end_before_the_login_is_just_an_end(street: Street) -> None:
    alice = street.peer("alice")
    for end in (RealPeer.half_close, RealPeer.close, RealPeer.reset):
        end(street.connect())
    silent = street.connect()
    silent.half_close()
    assert [line for line in silent.to_end() if not line.startswith(b"bye ")] == []
    assert alice.barrier() == []


def test_quit_throws_away_what_comes_after_it(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    alice.send(b"bob: before\n/quit\nbob: after\n/ping after\n" + b"bob: much\n" * 200_000)
    assert alice.to_end() == [b"bye quit"]
    assert bob.barrier() == [b"from alice: before"]


@pytest.mark.parametrize("goodbye", [b"/quit\n", b""], ids=["quit", "half-close"])
def test_what_is_queued_for_a_peer_is_taken_before_its_end(street: Street, goodbye: bytes) -> None:
    alice, bob = street.peer("alice"), street.peer("bob", receive_buffer=64 * KIB)
    texts = [b"%d " % number + b"q" * 1000 for number in range(3000)]
    alice.say(*(b"bob: " + text for text in texts))
    assert alice.barrier() == []
    bob.send(goodbye)
    if not goodbye:
        bob.half_close()
    assert bob.to_end() == [*(b"from alice: " + text for text in texts), b"bye quit"]
    assert alice.barrier() == []


def test_who_pauses_for_longer_than_the_linger_still_gets_everything(street: Street) -> None:
    """The kernel holds what was handed to it: the node's close must not throw that away."""
    alice, bob = street.peer("alice"), street.peer("bob", receive_buffer=4 * KIB)
    texts = [b"%d " % number + b"p" * 1000 for number in range(200)]
    alice.say(*(b"bob: " + text for text in texts))
    assert alice.barrier() == []
    bob.send(b"/quit\n")
    time.sleep(LINGER + 1.5)  # this is the pause that is meant
    assert bob.to_end() == [*(b"from alice: " + text for text in texts), b"bye quit"]


def test_from_its_quit_on_a_peer_is_out_and_its_name_is_taken(street: Street) -> None:
    alice, bob = street.peer("alice"), street.hearer("bob", b"#t", receive_buffer=64 * KIB)
    texts = [b"%d " % number + b"q" * 1000 for number in range(3000)]
    alice.say(*(b"bob: " + text for text in texts))
    assert alice.barrier() == []
    bob.say(b"/quit")
    eventually(lambda: who(alice) == [b"alice"], "bob is out")
    assert who(alice, b"#t") == []
    alice.say(b"/topics", b"bob: late", b"#t: late", b"/ping")
    assert alice.until(b"pong") == [b"ok topics 0", b"error no-such-peer: bob"]
    assert street.try_login("bob") is None
    assert bob.to_end() == [*(b"from alice: " + text for text in texts), b"bye quit"]
    bob.close()
    assert street.login_when_free("bob").barrier() == []
    assert alice.barrier() == []


def test_a_peer_that_quits_and_never_reads_is_aborted_after_the_drain_timeout(start: Start) -> None:
    street = start("--drain-timeout", "1s")
    alice, bob = street.peer("alice"), street.peer("bob", receive_buffer=64 * KIB)
    amount = 3000
    alice.say(*(b"bob: %d %s" % (number, b"q" * 1000) for number in range(amount)))
    assert alice.barrier() == []
    bob.say(b"/quit")
    street.login_when_free("bob")
    back = eventually(alice.barrier, "lines are given back")
    assert all(line.startswith(b"returned bob disconnected: ") for line in back), back[0][:100]
    numbers = [int(line.split()[3]) for line in back]
    assert numbers == list(range(amount - len(numbers), amount))


def test_what_is_queued_for_one_who_vanishes_is_given_back_in_order(street: Street) -> None:
    alice, carol = street.peers("alice", "carol")
    bob = street.peer("bob", receive_buffer=64 * KIB)
    amount = 3000
    alice.say(*(b"bob@node1, carol: %d %s" % (number, b"q" * 1000) for number in range(amount // 2)))
    carol.expect_stream(b"".join(b"from alice: %d %s\n" % (number, b"q" * 1000) for number in range(amount // 2)))
    alice.say(*(b"bob: %d %s" % (number, b"q" * 1000) for number in range(amount // 2, amount)))
    assert alice.barrier() == []
    bob.reset()
    back = eventually(alice.barrier, "lines are given back")
    first = int(back[0].split()[3])
    assert back == [
        b"returned %s disconnected: %d %s" % (b"bob@node1" if number < amount // 2 else b"bob", number, b"q" * 1000)
        for number in range(first, amount)
    ]
    assert carol.barrier() == []


def test_what_was_queued_from_senders_who_have_left_harms_nobody(street: Street) -> None:
    carol = street.peer("carol")
    bob = street.peer("bob", receive_buffer=64 * KIB)
    alice = street.peer("alice")
    alice.say(*(b"bob: %d %s" % (number, b"q" * 1000) for number in range(3000)))
    assert alice.barrier() == []
    alice.quit()
    alice = street.login_when_free("alice")
    bob.reset()
    eventually(lambda: who(carol) == [b"alice", b"carol"], "bob has gone")
    street.login_when_free("bob").quit()
    assert alice.barrier() == []  # another connection, who did not send it


# --- the node ends


UNREAD = b"unread input: " + b"x" * 1000 + b"\n"


def send_and_ignore(peer: RealPeer, data: bytes) -> None:
    """Send until the other end has had enough."""
    try:
        peer.send(data)
    except OSError:
        pass


@pytest.mark.parametrize("round_number", range(3))
@pytest.mark.parametrize(
    ("first", "code"),
    [(b"b@d\n", b"bad-name"), (b"alice\n", b"name-taken"), (b"a" * 70_000 + b"\n", b"bad-name")],
    ids=["bad-name", "name-taken", "too-long"],
)
def test_no_reset_overtakes_the_last_lines(street: Street, first: bytes, code: bytes, round_number: int) -> None:
    street.peer("alice")
    stranger = street.connect()
    sent = in_background(send_and_ignore, stranger, first + UNREAD * 4000)
    assert expect_closed_with(stranger, code)
    stranger.close()
    sent.result()


def test_no_reset_overtakes_the_last_lines_of_one_who_is_one_too_many(start: Start) -> None:
    street = start("--max-peers", "1")
    street.peer("alice")
    for _ in range(5):
        stranger = street.connect()
        sent = in_background(send_and_ignore, stranger, b"bob\n" + UNREAD * 2000)
        assert expect_closed_with(stranger, b"too-many-peers") == b"1"
        stranger.close()
        sent.result()


def test_no_reset_overtakes_the_last_lines_of_a_quit(street: Street) -> None:
    alice, bob = street.peer("alice"), street.peer("bob", receive_buffer=64 * KIB)
    texts = [b"%d " % number + b"q" * 1000 for number in range(3000)]
    alice.say(*(b"bob: " + text for text in texts))
    assert alice.barrier() == []
    sent = in_background(send_and_ignore, bob, b"/quit\n" + UNREAD * 4000)
    bob.wait_readable()
    assert bob.to_end() == [*(b"from alice: " + text for text in texts), b"bye quit"]
    bob.close()
    sent.result()


def test_a_lingering_close_ends_even_if_the_peer_never_does(street: Street) -> None:
    """Its half is closed, ours is open: what we send is thrown away, until the node has had enough."""
    idle, pouring = street.peers("idle", "pouring")
    for peer in (idle, pouring):
        peer.say(b"/quit")
        assert peer.to_end() == [b"bye quit"]
        peer.send(b"thrown away\n")
    deadline = time.monotonic() + 20

    def pour() -> None:
        while time.monotonic() < deadline:
            pouring.send(UNREAD * 10)

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        pour()
    # The other end of a connection that has ended answers with a reset, and is noticed by the next thing sent.
    poll = select.poll()
    poll.register(idle.stream, select.POLLERR | select.POLLHUP)
    with suppress(BrokenPipeError, ConnectionResetError):
        while not poll.poll(100):
            idle.send(b"more\n")
            assert time.monotonic() < deadline, "it lingers for ever"


def test_each_end_has_its_reason(start: Start) -> None:
    street = start("--login-timeout", "500ms")
    alice = street.peer("alice")
    for first, code in ((b"b@d\n", b"bad-name"), (b"alice\n", b"name-taken"), (b"", b"login-timeout")):
        stranger = street.connect()
        stranger.send(first)
        expect_closed_with(stranger, code)
        stranger.close()
    assert alice.quit() == []


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_ends_are_the_same_on_every_kind_of_stream(
    start: Start, scheme: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("s") / "peers"
    street = start(listen=(TCP, f"unix:{path}"))
    alice, bob = street.peer("alice", scheme), street.peer("bob", scheme)
    amount = 3 * MIB // 1000
    alice.say(*(b"bob: %d %s" % (number, b"q" * 1000) for number in range(amount)))
    assert alice.barrier() == []
    bob.half_close()
    heard = bob.to_end()
    assert len(heard) == amount + 1
    assert heard[-1] == b"bye quit"
    bob.close()
    bob = street.login_when_free("bob")
    alice.half_close()
    assert alice.to_end() == [b"bye quit"]
    assert bob.quit() == []
