"""What an operator may do: throw out, speak, look on, end; always by the node's own rules."""

from __future__ import annotations

import pytest

from nettool.errors import CloseReason, DropReason, SettingError
from nettool.ops.levers import LeverError, Levers
from nettool.peers.session import Phase
from nettool.settings import READ
from tests.ops.nodes import SeenNode
from tests.support.street import kibibytes


def levers_of(node: SeenNode) -> Levers:
    return Levers(node.service, drain=lambda: None)


# --- kick


def test_who_is_kicked_takes_what_is_queued_and_hears_why() -> None:
    node = SeenNode().start()
    alice, bob = node.peers(b"alice", b"bob")
    bob.stop_reading()
    alice.say(b"bob: in his transport", b"bob: queued")
    alice.say(b"bob: queued too")
    said = levers_of(node).kick("bob")
    assert said == "bob is thrown out, and has 10 s to take 1 line and its bye"
    assert alice.ask(b"bob: again") == [b"error no-such-peer: bob"]
    bob.take()
    assert bob.hear() == [b"from alice: " + t for t in (b"in his transport", b"queued", b"queued too")] + [
        b"bye kicked"
    ]
    bob.half_close()
    node.pass_time(3)
    assert node.service.peers.closed == {CloseReason.KICKED: 1}
    node.expect_balance()


def test_who_does_not_read_is_gone_when_the_time_is_over() -> None:
    node = SeenNode().start()
    alice, bob = node.peers(b"alice", b"bob")
    bob.stop_reading()
    alice.say(*(b"bob: " + text for text in kibibytes(10)))
    levers = levers_of(node)
    levers.kick("bob")
    node.pass_time(9)
    assert bob.is_connected
    levers.kick("bob", 0.5)  # who is leaving can be hurried
    node.pass_time(0.5)
    assert bob.was_cut_off
    node.expect_balance()


def test_there_must_be_somebody_to_kick() -> None:
    node = SeenNode().start()
    node.peers(b"Bobby", b"carol")
    for name, told in [
        ("bob", "no-such-peer: bob; there is Bobby"),
        ("dave", "no-such-peer: dave; who() lists those who are here"),
        ("", "no-such-peer: ; who() lists those who are here"),
        ("\x1b[2J", r"no-such-peer: \x1b[2J; who() lists those who are here"),
        ("\ud800", "that is no text: it has surrogates"),
    ]:
        with pytest.raises(LeverError) as raised:
            levers_of(node).kick(name)
        assert str(raised.value) == told


# --- say


def test_what_is_said_comes_from_a_sender_that_no_peer_can_be() -> None:
    node = SeenNode().start()
    alice, bob, carol = node.peers(b"alice", b"bob", b"carol")
    for peer in (alice, bob):
        peer.ask(b"/join #news")
    levers = levers_of(node)
    assert levers.say("#news", "down at five") == "2 copies on the way, from @node1"
    assert levers.say("carol", "you too") == "1 copy on the way, from @node1"
    assert levers.say("carol@node1", b"\xff") == "1 copy on the way, from @node1"
    assert levers.say("#nobody", "hello?") == "nobody hears #nobody"
    node.pass_time(0)
    assert alice.hear() == bob.hear() == [b"from @node1 to #news: down at five"]
    assert carol.hear() == [b"from @node1: you too", b"from @node1: \xff"]
    assert bob.ask(b"/who") == [b"peer alice", b"peer bob", b"peer carol", b"ok who 3"]
    assert bob.ask(b"@node1: thanks") == [b"error no-such-peer: @node1"]
    node.expect_balance()


def test_lines_of_a_text_are_lines() -> None:
    node = SeenNode().start()
    [bob] = node.peers(b"bob")
    levers_of(node).say("bob", "one\ntwo: three\n/quit")
    node.pass_time(0)
    assert bob.hear() == [b"from @node1: one", b"from @node1: two: three", b"from @node1: /quit"]


def test_what_comes_back_at_once_is_told() -> None:
    node = SeenNode().start()
    with pytest.raises(LeverError, match=r"^error no-such-peer: bob$"):
        levers_of(node).say("bob", "one\ntwo")
    assert node.service.broker.ledger.accepted == 0


@pytest.mark.parametrize(
    "address", ["", "/quit", "bob, carol", "bob:", "#a b", "bob@node2", "@node1", "#", "b\nob", "\x1b"]
)
def test_an_address_that_cannot_be_is_refused(address: str) -> None:
    node = SeenNode().start()
    node.peers(b"bob", b"carol")
    with pytest.raises(LeverError, match="no such address: "):
        levers_of(node).say(address, "text")
    assert node.service.broker.ledger.accepted == 0


def test_a_text_has_the_bounds_of_a_peers() -> None:
    node = SeenNode().start()
    node.peers(b"bob")
    with pytest.raises(LeverError, match="line-too-long: 16384"):
        levers_of(node).say("bob", "x" * 16384)
    with pytest.raises(LeverError, match=r"at most 160\.0 KiB are sent at a time"):
        levers_of(node).say("bob", "\n".join(["x" * 16000] * 11))
    with pytest.raises(LeverError, match="surrogates"):
        levers_of(node).say("bob", "\ud800")
    assert READ == 160 * 1024


def test_a_full_outbox_makes_the_speaker_wait_as_it_would_a_peer() -> None:
    node = SeenNode().start()
    _, bob = node.peers(b"alice", b"bob")
    bob.stop_reading()
    levers = levers_of(node)
    levers.say("bob", "in his transport")
    node.pass_time(0)
    for _ in range(20):
        try:
            levers.say("bob", "\n".join(["x" * 1000] * 100))
        except LeverError as error:
            assert str(error) == "@node1 waits for an outbox that is full; nothing was sent, try again"
            break
    else:
        raise AssertionError("it never waits")
    held = bob.protocol.session.outbox.held()
    assert held < 2 * 256 * 1024, "the bound, and what one text brings"
    with pytest.raises(LeverError, match="waits"):
        levers.say("alice", "the speaker waits as a whole")
    node.pass_time(6)  # patience is over
    with pytest.raises(LeverError, match=r"1 line given back \(queue-full\): bob does not read"):
        levers.say("bob", "late")
    assert levers.say("alice", "but others do") == "1 copy on the way, from @node1"
    bob.take()
    node.pass_time(0)
    assert levers.say("bob", "and he again, too") == "1 copy on the way, from @node1"
    node.expect_balance()
    assert node.service.broker.ledger.dropped == {DropReason.SENDER_GONE: 1}


def test_errors_without_end_do_not_hold_the_speaker_for_ever() -> None:
    """Its answers fill its own outbox, which nobody empties."""
    node = SeenNode(outbox_bytes=2 * 16 * 1024).start()
    levers = levers_of(node)
    for address in ("bob", "bob@node1"):  # by names at once, and line by line until its outbox is full
        with pytest.raises(LeverError, match=f"^error no-such-peer: {address}$"):
            levers.say(address, "\n" * 5000)
    node.peers(b"bob")
    assert levers.say("bob", "hello") == "1 copy on the way, from @node1"
    assert node.service.broker.ledger.accepted == 1


def test_who_writes_to_a_speaker_that_waits_is_not_held() -> None:
    node = SeenNode().start()
    _, bob = node.peers(b"alice", b"bob")
    bob.stop_reading()
    levers = levers_of(node)
    levers.say("bob", "x\n" * 100)
    node.pass_time(0)
    bob.vanish()
    node.pass_time(0)
    assert levers.say("alice", "here") == "1 copy on the way, from @node1"
    node.expect_balance()


# --- the others


def test_drain_and_reload_are_the_processs_own() -> None:
    node, done = SeenNode().start(), []
    levers = Levers(node.service, drain=lambda: done.append("drain"), reload=lambda: "max-line: 64KiB -> \x1b[31m")
    assert levers.drain() == "node1 drains, for at most 10 s, and ends"
    assert levers.reload() == r"max-line: 64KiB -> \x1b[31m"
    assert done == ["drain"]


def test_a_configuration_that_cannot_be_used_is_told_in_a_line() -> None:
    def reload() -> str:
        raise SettingError("max-line: expected 64 bytes to 16MiB, not \x1b")

    levers = Levers(SeenNode().start().service, drain=lambda: None, reload=reload)
    with pytest.raises(LeverError) as raised:
        levers.reload()
    assert str(raised.value) == r"nothing was changed: max-line: expected 64 bytes to 16MiB, not \x1b"


def test_what_drains_is_not_drained_again() -> None:
    node, done = SeenNode().start(), []
    levers = Levers(node.service, drain=lambda: done.append("drain"))
    node.service.stopService()
    with pytest.raises(LeverError, match="it drains already"):
        levers.drain()
    assert not done


def test_without_a_configuration_there_is_nothing_to_reload() -> None:
    with pytest.raises(LeverError, match="no configuration"):
        levers_of(SeenNode().start()).reload()


def test_a_tail_of_one_who_is_leaving_shows_his_last_lines() -> None:
    node = SeenNode().start()
    alice, bob = node.peers(b"alice", b"bob")
    bob.stop_reading()
    alice.say(b"bob: in his transport")
    alice.say(b"bob: last")
    bob.say(b"/quit")
    assert bob.protocol.session.phase is Phase.LEAVING
    tail = levers_of(node).tail("bob")
    tail.start()
    bob.take()
    assert tail.take(10) == ["from alice: last", "bye quit"]
