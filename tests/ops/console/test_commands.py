"""What an operator finds at the prompt: tables, live views, and why bob gets his lines late."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Any

import pytest

from nettool.ops.console.commands import Commands
from nettool.ops.levers import LeverError, Levers
from nettool.settings import TopicOverflow
from tests.ops.nodes import SeenNode
from tests.support.street import kibibytes


class Desk:
    """The commands of a node, for one who types them."""

    def __init__(self, **settings: Any) -> None:
        self.node = SeenNode(**settings).start()
        self.commands = Commands(self.node.service, Levers(self.node.service, drain=lambda: None))
        self.names = self.commands.namespace()

    def ask(self, source: str) -> str:
        """What is printed for it."""
        return repr(eval(source, {}, self.names))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def slow_bob(desk: Desk) -> None:
    """Alice and carol write more to bob, who reads nothing, than his outbox holds."""
    alice, bob, carol = desk.node.peers(b"alice", b"bob", b"carol")
    bob.stop_reading()
    carol.say(b"bob: this one is in his transport, which takes no more then")
    carol.say(*(b"bob: " + text for text in kibibytes(100)))
    desk.node.pass_time(1)
    alice.say(*(b"bob: " + text for text in kibibytes(1000)))
    desk.node.pass_time(2)


# --- tables


def test_who_shows_everybody_by_name(desk: Desk) -> None:
    desk.node.peers(b"carol", b"alice")
    desk.node.connect()
    desk.node.pass_time(75)
    desk.node.connect()
    lines = desk.ask("who()").splitlines()
    assert lines[0].split() == ["name", "address", "for", "said", "topics", "queued", "oldest", "lagged"]
    assert [line.split()[0] for line in lines[1:]] == ["alice", "carol", "(login)"]
    assert lines[1].split()[1].startswith("198.51.100.1:4") and "1 min 15 s" in lines[1]
    assert [peer.name for peer in eval("who()", {}, desk.names)] == ["alice", "carol", ""]


def test_who_says_who_waits_for_whom(desk: Desk) -> None:
    slow_bob(desk)
    lines = {line.split()[0]: line for line in desk.ask("who()").splitlines()}
    assert lines["alice"].endswith("waits 2.0 s for bob") and lines["carol"].endswith("waits 2.0 s for bob")
    assert "MiB" in lines["bob"] or "KiB" in lines["bob"]


def test_queues_shows_who_has_something_queued_the_most_first(desk: Desk) -> None:
    assert desk.ask("queues()") == "nothing is queued"
    slow_bob(desk)
    lines = desk.ask("queues()").splitlines()
    assert lines[0].split() == ["name", "lines", "queued", "oldest", "full", "for"]
    assert [line.split()[0] for line in lines[1:]] == ["bob", "alice", "carol"]


def test_closed_says_why_the_last_ones_went(desk: Desk) -> None:
    assert desk.ask("closed()") == "nobody has gone"
    alice, bob = desk.node.peers(b"alice", b"bob")
    alice.say(b"/quit")
    alice.half_close()
    desk.node.pass_time(30)
    bob.vanish()
    desk.node.pass_time(5)
    first, second = desk.ask("closed()").splitlines()[1:]
    assert first.split()[:4] == ["bob", "5.0", "s", "disconnected"]
    assert second.split()[:4] == ["alice", "35", "s", "quit"]


def test_stats_tells_of_the_node_as_a_whole(desk: Desk) -> None:
    alice, _bob = desk.node.peers(b"alice", b"bob")
    alice.say(b"bob: 1", b"nobody: 2", b"/join #x")
    facts = dict((line + "  ").split("  ", 1) for line in desk.ask("stats()").splitlines())
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    assert facts["node"] == "node1, nettool 0.1.0, running"
    assert facts["connections"] == "2 (ready 2)"
    assert (facts["accepted"], facts["delivered"], facts["queued lines"]) == ("1", "1", "0")
    assert facts["refused"] == "1 (no-such-peer 1)"
    slow_bob(Desk())
    assert desk.ask("links") == desk.ask("links()") == "no other node is known"


def test_stats_names_who_has_most_queued() -> None:
    desk = Desk()
    slow_bob(desk)
    assert " for bob" in desk.ask("stats()") and "1 outbox" in desk.ask("stats()") and "2 peers" in desk.ask("stats()")


def test_names_of_peers_are_escaped_everywhere(desk: Desk) -> None:
    """No name has such characters; were one let in by another table of Unicode, it would be shown escaped."""
    [bob] = desk.node.peers(b"bob")
    evil = "\x1b[2J\u202e".encode()
    session = bob.protocol.session
    directory = desk.node.service.broker.directory
    del directory.names[session.name]
    session.name = evil
    directory.names[evil] = session
    bob.say(b"/join #x")
    name = evil.decode()
    for source in ("who()", "peers", "topics", f"why({name!r})", "stats()", f"kick({name!r})", "queues()"):
        printed = desk.ask(source)
        assert printed.replace("\n", "").isprintable(), source


# --- the others


def test_a_command_that_is_not_called_says_how(desk: Desk) -> None:
    assert desk.ask("kick") == "kick(name, within=None): Throw a peer out; it has drain-timeout for what is queued."
    for name in desk.names:
        assert desk.ask(name)


def test_the_help_has_every_command(desk: Desk) -> None:
    text = desk.commands.help()
    for name, value in desk.names.items():
        assert (f"  {name}(" if callable(value) else name) in text
    assert "loop without an end" in text
    assert max(map(len, text.splitlines())) <= 90


def test_levers_are_pulled_by_name(desk: Desk) -> None:
    alice, bob = desk.node.peers(b"alice", b"bob")
    assert desk.ask('say("alice", "hi")') == "1 copy on the way, from @node1"
    desk.node.pass_time(0)
    assert alice.hear() == [b"from @node1: hi"]
    assert desk.ask('kick("bob", within=1)').startswith("bob is thrown out, and has 1.0 s")
    assert bob.hear() == [b"bye kicked"]
    with pytest.raises(LeverError):
        desk.ask("reload()")
    assert "drains" in desk.ask("drain()")


def test_views_are_as_the_node_is(desk: Desk) -> None:
    peers, topics, config = desk.names["peers"], desk.names["topics"], desk.names["config"]
    assert (list(peers), len(peers), repr(peers)) == ([], 0, "nobody is here")
    assert (list(topics), len(topics), repr(topics)) == ([], 0, "nobody hears any topic")
    alice, bob = desk.node.peers(b"alice", "jürgen".encode())
    bob.say(b"/join #news, #other")
    alice.say(b"/join #news")
    assert list(peers) == ["alice", "jürgen"] and peers["jürgen"] is bob.protocol.session and "x" not in peers
    assert dict(topics) == {"#news": ["alice", "jürgen"], "#other": ["jürgen"]} and "#x" not in topics
    assert repr(topics).splitlines()[1:] == ["#news         2", "#other        1"]
    with pytest.raises(KeyError):
        peers["bob"]
    assert config.delivery.outbox_bytes == 256 * 1024
    assert "delivery.outbox-bytes" in repr(config) and "delivery" in dir(config)
    with pytest.raises(AttributeError):
        assert config.nothing


def test_addresses_are_completed(desk: Desk) -> None:
    alice, _ = desk.node.peers(b"alice", b"albert")
    alice.say(b"/join #alpha, #beta")
    assert list(desk.commands.addresses("al")) == ["albert", "alice"]
    assert list(desk.commands.addresses("#")) == ["#alpha", "#beta"]


# --- why


def test_why_of_a_slow_reader_says_all_that_one_who_was_called_at_night_needs(desk: Desk) -> None:
    slow_bob(desk)
    lines = desk.ask('why("bob")').splitlines()
    assert lines[0].startswith("bob, at 198.51.100.1:4") and lines[0].endswith(" for 3.0 s.")
    assert lines[1].startswith("Queued: ") and lines[1].endswith("; the oldest for 3.0 s.")
    assert lines[2] == "Its connection takes nothing now."
    assert lines[3].startswith("Of lines to its name, ")
    assert lines[3].endswith(" of 256.0 KiB are held: full for 2.0 s, and until it is under 128.0 KiB.")
    assert lines[4] == (
        "  Senders wait for 3.0 s more (direct-patience is 5.0 s), then new ones are given back (queue-full)."
    )
    assert lines[5] == "Who fills it:"
    assert [line.split()[0] for line in lines[6:9]] == ["from", "alice", "carol"]
    assert lines[9] == "Who is not read because of it:"
    assert sorted(line.split() for line in lines[10:13]) == [
        ["alice", "2.0", "s", "lines", "to", "its", "name"],
        ["carol", "2.0", "s", "lines", "to", "its", "name"],
        ["name", "for", "with"],
    ]
    assert lines[13:] == [
        "If its connection takes nothing for 28 s more (stall-timeout), it is ended, and what is queued goes back."
    ]


def test_why_says_when_patience_is_over(desk: Desk) -> None:
    slow_bob(desk)
    desk.node.pass_time(3)
    text = desk.ask('why("bob")')
    assert "  direct-patience, 5.0 s, is over: new ones are given back (queue-full)." in text
    assert "Who is not read" not in text


def test_why_of_one_who_waits_says_for_whom(desk: Desk) -> None:
    slow_bob(desk)
    text = desk.ask('why("alice")')
    assert "Nothing is queued for alice: what is sent to it is handed to its connection at once." in text
    assert "alice is itself not read, for 2.0 s, because of bob's outbox." in text


def test_why_of_one_who_does_not_read_its_own_answers(desk: Desk) -> None:
    [bob] = desk.node.peers(b"bob")
    bob.stop_reading()
    for _ in range(100):
        bob.say(*[b"/help"] * 50)
    desk.node.pass_time(1)
    text = desk.ask('why("bob")')
    assert "itself" in text and "its own answers" in text
    assert "bob is itself not read, for 1.0 s, because of its own answers." in text


@pytest.mark.parametrize(
    ("overflow", "told"),
    [
        (TopicOverflow.DROP_OLDEST, "the oldest are dropped (lagged)"),
        (TopicOverflow.DISCONNECT, "the connection is ended (slow-consumer)"),
    ],
)
def test_why_of_a_slow_hearer_says_what_becomes_of_topic_lines(overflow: TopicOverflow, told: str) -> None:
    desk = Desk(topic_overflow=overflow, topic_patience=2.0)
    alice, bob = desk.node.peers(b"alice", b"bob")
    bob.say(b"/join #x")
    bob.stop_reading()
    alice.say(b"#x: in his transport")
    alice.say(*(b"#x: " + text for text in kibibytes(300)))
    desk.node.pass_time(1)
    text = desk.ask('why("bob")')
    assert "Of topic lines, " in text and f"Senders wait for 1.0 s more (topic-patience is 2.0 s), then {told}" in text
    if overflow is TopicOverflow.DROP_OLDEST:
        desk.node.pass_time(2)
        assert "topic lines because it read too slowly" in desk.ask('why("bob")')


def test_why_of_bounds_and_patience_without_an_end() -> None:
    desk = Desk(direct_patience=inf, stall_timeout=inf)
    slow_bob(desk)
    text = desk.ask('why("bob")')
    assert "  Senders wait for as long as that takes: direct-patience is forever." in text
    assert "stall-timeout" not in text


def test_why_of_an_unlimited_outbox() -> None:
    desk = Desk(outbox_bytes=0)
    slow_bob(desk)
    text = desk.ask('why("bob")')
    assert "without a bound, are held: not full, so nobody waits for them." in text


def test_why_of_one_who_is_leaving(desk: Desk) -> None:
    alice, bob = desk.node.peers(b"alice", b"bob")
    bob.stop_reading()
    alice.say(b"bob: in his transport")
    alice.say(b"bob: queued")
    bob.say(b"/quit")
    assert "and leaving: it only takes what is queued" in desk.ask('why("bob")')


def test_why_in_a_drain(desk: Desk) -> None:
    alice, bob = desk.node.peers(b"alice", b"bob")
    bob.stop_reading()
    alice.say(b"bob: in his transport")
    alice.say(b"bob: queued")
    desk.node.service.stopService()
    desk.node.pass_time(1)
    assert "because of the drain" in desk.ask('why("alice")')
    bob.take()
    desk.node.pass_time(5)


def test_why_of_nobody_says_where_to_look(desk: Desk) -> None:
    with pytest.raises(LeverError, match=r"no-such-peer: bob; closed\(\) lists those who have gone"):
        desk.ask('why("bob")')


def test_the_namespace_is_one_consoles_own(desk: Desk, tmp_path: Path) -> None:
    one, two = desk.commands.namespace(), desk.commands.namespace()
    one["who"] = None
    assert two["who"] is not None
