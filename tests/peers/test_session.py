"""The session alone: every phase, every command and every error, to the byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from nettool.broker.broker import Broker, IPeer
from nettool.errors import CloseReason, DropReason, ErrorCode, ReturnReason
from nettool.interfaces import ISender, IShell
from nettool.peers.session import Phase
from nettool.settings import TAKEOVER_DRAIN, DeliverySettings, Live, OnNameTaken, PeerSettings, Settings
from nettool.wire.requests import HELP
from tests.peers.talk import FakeGate, FakeShell, Talk


class Room:
    """A broker, and talks with it."""

    def __init__(self) -> None:
        self.live = Live(Settings())
        self.broker = Broker(self.live)

    def set(self, **changes: Any) -> None:
        """Change settings of peers and of delivery, for those who are here too."""
        peers = {key: value for key, value in changes.items() if key in PeerSettings.__slots__}
        delivery = {key: value for key, value in changes.items() if key not in peers}
        self.live.replace(
            Settings(
                peers=replace(self.live.peers, **peers),
                delivery=replace(self.live.delivery, **delivery),
            )
        )

    def stranger(self) -> Talk:
        return Talk(self.broker, self.live)

    def peer(self, name: bytes) -> Talk:
        return self.stranger().login(name)

    def expect_balance(self) -> None:
        assert self.broker.snapshot().adds_up


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_session_is_a_peer_and_a_sender_and_its_fake_shell_is_a_shell(room: Room) -> None:
    talk = room.stranger()
    assert verifyObject(IPeer, talk.session)
    assert verifyObject(ISender, talk.session)
    assert verifyObject(IShell, FakeShell())


# --- login


def test_the_first_line_is_a_name_and_it_is_answered(room: Room) -> None:
    alice = room.stranger()
    assert alice.session.phase is Phase.LOGIN
    assert alice.hear() == []
    assert alice.ask(b"alice") == [b"ok login alice@node1"]
    assert alice.session.phase is Phase.READY
    assert alice.session.name == b"alice"
    assert alice.shell.logins == 1
    assert alice.session.wants_input


def test_empty_lines_are_ignored_before_the_login_and_after_it(room: Room) -> None:
    alice = room.stranger()
    assert alice.ask(b"", b"\r", b"", b"alice\r", b"", b"\r", b"/ping", b"", b"") == [b"ok login alice@node1", b"pong"]


def test_a_secret_is_ignored_by_a_node_that_asks_for_none(room: Room) -> None:
    assert room.stranger().ask(b"alice open sesame", b"/who") == [b"ok login alice@node1", b"peer alice", b"ok who 1"]


def test_what_follows_the_name_in_the_same_read_is_heeded(room: Room) -> None:
    bob = room.peer(b"bob")
    assert room.stranger().ask(b"alice", b"bob: hi", b"/ping") == [b"ok login alice@node1", b"pong"]
    assert bob.hear() == [b"from alice: hi"]


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        (b"a:", b"a name has none of # , / : @"),
        (b"a@node1", b"a name has none of # , / : @"),
        (b"/quit", b"a name has none of # , / : @"),
        (b"bob: hello", b"a name has none of # , / : @"),
        (b" alice", b"a name has 1 to 64 bytes"),
        (b"a" * 65, b"a name has 1 to 64 bytes"),
        (b"a\tb", b"a name has no white space, control, format, private or unassigned character"),
        (b"\xff", b"a name is valid UTF-8"),
        (b"x" * 65536, b"a name has 1 to 64 bytes"),
        (b"x" * 65537, b"the first line is over 65536 bytes"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_bad_name_is_told_and_closes(room: Room, name: bytes, detail: bytes) -> None:
    room.peer(b"bob")
    stranger = room.stranger()
    assert stranger.ask(name, b"bob: hi", b"alice") == [b"error bad-name: " + detail, b"bye bad-name"]
    assert stranger.session.phase is Phase.LEAVING
    assert stranger.session.closing is CloseReason.BAD_NAME
    assert stranger.session.name == b""
    assert stranger.shell.drains == [10.0]
    assert stranger.shell.logins == 0
    assert room.broker.snapshot().accepted == 0
    assert room.broker.snapshot().refused == {ErrorCode.BAD_NAME: 1}


def test_a_first_line_that_never_ends_is_a_bad_name(room: Room) -> None:
    stranger = room.stranger()
    stranger.tell("received", b"x" * 65538)
    assert stranger.hear() == [b"error bad-name: the first line is over 65536 bytes", b"bye bad-name"]


def test_a_taken_name_is_told_and_closes_and_has_routed_nothing(room: Room) -> None:
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    second = room.stranger()
    assert second.ask(b"alice", b"bob: I am alice") == [b"error name-taken: alice", b"bye name-taken"]
    assert second.session.closing is CloseReason.NAME_TAKEN
    assert second.session.name == b""
    second.tell("ended", ReturnReason.DISCONNECTED)
    assert alice.ask(b"/who") == [b"peer alice", b"peer bob", b"ok who 2"]
    assert bob.hear() == []
    assert room.stranger().ask(b"alice")[0] == b"error name-taken: alice"


def test_who_does_not_log_in_in_time_is_told_the_limit(room: Room) -> None:
    room.set(login_timeout=0.25)
    stranger = room.stranger()
    stranger.tell("login_timed_out")
    assert stranger.hear() == [b"error login-timeout: 0.25", b"bye login-timeout"]
    assert stranger.session.closing is CloseReason.LOGIN_TIMEOUT
    assert stranger.ask(b"alice") == []


def test_one_peer_too_many_is_told_the_limit_at_the_door(room: Room) -> None:
    stranger = room.stranger()
    stranger.tell("refuse_at_door", 5)
    assert stranger.hear() == [b"error too-many-peers: 5", b"bye too-many-peers"]
    assert stranger.session.closing is CloseReason.TOO_MANY_PEERS
    assert stranger.session.phase is Phase.LEAVING


# --- commands and errors

X60 = b"x" * 60

# What alice says, and what she hears; bob is here, and carol hears #news.
CONVERSATIONS: list[tuple[list[bytes], list[bytes]]] = [
    ([b"/who"], [b"peer alice", b"peer bob", b"peer carol", b"ok who 3"]),
    ([b"/who #news"], [b"peer carol", b"ok who 1"]),
    ([b"/who #silent"], [b"ok who 0"]),
    ([b"/who bob"], [b"error bad-topic: bob"]),
    ([b"/who #"], [b"error bad-topic: #"]),
    ([b"/who " + X60 + b"y"], [b"error bad-topic: " + X60]),
    ([b"/who #a #b"], [b"error bad-line: /who #a #b"]),
    ([b"/join #news"], [b"ok join #news"]),
    ([b"/join #b, #a,#b"], [b"ok join #b", b"ok join #a", b"ok join #b"]),
    ([b"/join #a, a, #b//c,, #c"], [b"ok join #a", b"error bad-topic: a", b"error bad-topic: #b//c", b"ok join #c"]),
    ([b"/join #" + X60 + b":"], [b"error bad-topic: #" + b"x" * 59]),
    ([b"/join"], [b"error bad-line: /join"]),
    (
        [b"/join #news", b"/join #news", b"/who #news"],
        [b"ok join #news"] * 2 + [b"peer alice", b"peer carol", b"ok who 2"],
    ),
    ([b"/leave #news"], [b"ok leave #news"]),
    ([b"/leave #a, a, #b"], [b"ok leave #a", b"error bad-topic: a", b"ok leave #b"]),
    ([b"/leave #/" + X60], [b"error bad-topic: #/" + b"x" * 58]),
    ([b"/leave ,"], [b"error bad-line: /leave ,"]),
    ([b"/join #a", b"/leave #a", b"/who #a"], [b"ok join #a", b"ok leave #a", b"ok who 0"]),
    ([b"/topics"], [b"topic #news 1", b"ok topics 1"]),
    (
        [b"/join #z, #a, #news", b"/topics"],
        [
            b"ok join #z",
            b"ok join #a",
            b"ok join #news",
            b"topic #a 1",
            b"topic #news 2",
            b"topic #z 1",
            b"ok topics 3",
        ],
    ),
    ([b"/topics please"], [b"error bad-line: /topics please"]),
    ([b"/watch"], [b"ok watch"]),
    ([b"/unwatch"], [b"ok unwatch"]),
    ([b"/ping"], [b"pong"]),
    ([b"/ping a  token: \xff"], [b"pong a  token: \xff"]),
    ([b"/ping 1", b"/ping 2"], [b"pong 1", b"pong 2"]),
    ([b"/help"], [*(b"help " + line for line in HELP), b"ok help"]),
    ([b"/quit"], [b"bye quit"]),
    ([b"/quit now"], [b"error bad-line: /quit now"]),
    ([b"/nonsense"], [b"error unknown-command: /nonsense"]),
    ([b"/nonsense with words"], [b"error unknown-command: /nonsense"]),
    ([b"/" + X60], [b"error unknown-command: /" + b"x" * 59]),
    ([b"/"], [b"error unknown-command: /"]),
    ([b"hello"], [b"error bad-line: hello"]),
    ([X60 + b"yz"], [b"error bad-line: " + X60]),
    ([b": hello"], [b"error bad-line: : hello"]),
    ([b"x" * 65537], [b"error line-too-long: 65536"]),
    ([b"/ping 1", b"x" * 65537, b"/ping 2"], [b"pong 1", b"error line-too-long: 65536", b"pong 2"]),
    ([b"dave: hi"], [b"error no-such-peer: dave"]),
    ([b"dave, bob, bob@node2: hi"], [b"error no-such-peer: dave", b"error no-such-peer: bob@node2"]),
    ([b"not a name: hi"], [b"error no-such-peer: not a name"]),
    ([b"#: hi"], [b"error no-such-peer: #"]),
    ([b"#nobody: hi"], []),
    ([b"bob: hi", b"alice: hi"], [b"from alice: hi"]),
    ([b", ".join(b"p%d" % n for n in range(101)) + b": hi"], [b"error too-many-addresses: 100"]),
]


@pytest.mark.parametrize(("said", "heard"), CONVERSATIONS, ids=lambda value: ascii(value[0] if value else "")[2:32])
def test_what_is_said_is_answered_to_the_byte(room: Room, said: list[bytes], heard: list[bytes]) -> None:
    alice, _, carol = room.peer(b"alice"), room.peer(b"bob"), room.peer(b"carol")
    carol.ask(b"/join #news")
    assert alice.ask(*said) == heard
    room.expect_balance()


@pytest.mark.parametrize(("said", "heard"), CONVERSATIONS, ids=lambda value: ascii(value[0] if value else "")[2:32])
def test_it_is_answered_the_same_in_one_read_with_other_things(
    room: Room, said: list[bytes], heard: list[bytes]
) -> None:
    alice, bob, carol = room.peer(b"alice"), room.peer(b"bob"), room.peer(b"carol")
    carol.ask(b"/join #news")
    rest = [] if b"/quit" in said else [b"pong end"]
    assert alice.ask(b"bob: first", b"", b"/ping begin", *said, b"/ping end", b"bob: last") == [
        b"pong begin",
        *heard,
        *rest,
    ]
    told = bob.hear()
    assert told[0] == b"from alice: first"
    assert (told[-1] == b"from alice: last") is bool(rest)


def test_an_error_is_counted_by_its_code(room: Room) -> None:
    alice = room.peer(b"alice")
    room.set(max_joins=1)
    alice.ask(b"hello", b"/x", b"/join a", b"/join #a, #b", b"dave: 1", b"dave: 2", b"x" * 70000)
    assert room.broker.snapshot().refused == {
        ErrorCode.BAD_LINE: 1,
        ErrorCode.UNKNOWN_COMMAND: 1,
        ErrorCode.BAD_TOPIC: 1,
        ErrorCode.TOO_MANY_TOPICS: 1,
        ErrorCode.NO_SUCH_PEER: 2,
        ErrorCode.LINE_TOO_LONG: 1,
    }


def test_a_peer_hears_as_many_topics_as_it_may_and_those_again(room: Room) -> None:
    room.set(max_joins=2)
    alice = room.peer(b"alice")
    assert alice.ask(b"/join #a, #b, #c, #a") == [
        b"ok join #a",
        b"ok join #b",
        b"error too-many-topics: 2",
        b"ok join #a",
    ]
    assert alice.ask(b"/leave #a", b"/join #c") == [b"ok leave #a", b"ok join #c"]
    room.set(max_joins=0)
    topics = [b"#t%d" % number for number in range(3000)]
    assert alice.ask(b"/join " + b", ".join(topics)) == [b"ok join " + topic for topic in topics]


def test_a_limit_that_changes_holds_for_those_who_are_here(room: Room) -> None:
    alice = room.peer(b"alice")
    room.set(max_line=64)
    assert alice.ask(b"/ping " + b"x" * 58, b"/ping " + b"x" * 59) == [b"pong " + b"x" * 58, b"error line-too-long: 64"]
    room.set(max_line=128)
    assert alice.ask(b"/ping " + b"x" * 59) == [b"pong " + b"x" * 59]


def test_a_watcher_is_told_who_comes_and_goes_but_not_of_itself(room: Room) -> None:
    alice = room.peer(b"alice")
    alice.ask(b"/watch")
    bob = room.peer(b"bob")
    bob.ask(b"/watch", b"/quit")
    assert alice.hear() == [b"notice here: bob", b"notice gone: bob"]
    alice.ask(b"/unwatch")
    room.peer(b"carol")
    assert alice.hear() == []
    assert bob.hear() == []


def test_a_pong_comes_after_the_errors_and_returns_of_what_was_sent_before_it(room: Room) -> None:
    room.set(outbox_bytes=1024, max_line=128, direct_patience=0.0)
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    bob.stop_taking()
    taken, back = [[b"%d " % number + b"x" * 100 for number in range(start, start + 20)] for start in (0, 20)]
    assert alice.ask(*(b"bob: " + text for text in taken)) == []
    assert alice.ask(*(b"bob: " + text for text in back), b"dave: x", b"nonsense", b"/ping 1") == [
        *(b"returned bob queue-full: " + text for text in back),
        b"error no-such-peer: dave",
        b"error bad-line: nonsense",
        b"pong 1",
    ]
    assert bob.take_on() == [b"from alice: " + text for text in taken]
    room.expect_balance()


# --- a read that is stopped in the middle

# A line whose answer is long, or that makes one, and what it is answered with.
ANSWERED: list[tuple[bytes, bytes]] = [
    (b"/ping %d " + b"p" * 50, b"pong %d " + b"p" * 50),
    (b"nonsense %d " + b"n" * 40, b"error bad-line: nonsense %d " + b"n" * 40),
    (b"nobody%d" + b"n" * 40 + b": x", b"error no-such-peer: nobody%d" + b"n" * 40),
    (b"/join #t%d", b"ok join #t%d"),
    (b"/unknown%d", b"error unknown-command: /unknown%d"),
]


@pytest.mark.parametrize(("said", "heard"), ANSWERED, ids=lambda value: ascii(value)[:12])
@pytest.mark.parametrize("between", [[], [b""], [b"bob: hi"], [b"x" * 200]], ids=["bare", "empty", "text", "too-long"])
def test_a_read_stops_in_the_middle_when_its_own_answers_fill_the_outbox_and_nothing_is_lost(
    room: Room, said: bytes, heard: bytes, between: list[bytes]
) -> None:
    room.set(outbox_bytes=4096, max_line=128, max_joins=0)
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    alice.stop_taking()
    alice.say(*(line for number in range(2000) for line in (said % number, *between)))
    assert not alice.shell.reading
    assert not alice.session.wants_input
    answers, rounds = [], 0
    while True:
        answers += alice.take_on()
        if not alice.shell.is_to_read_on:
            break
        alice.stop_taking()
        alice.read_on()
        rounds += 1
    wanted = [heard % number for number in range(2000)]
    assert [line for line in answers if line != b"error line-too-long: 128"] == wanted
    assert answers.count(b"error line-too-long: 128") == 2000 * (between == [b"x" * 200])
    assert bob.hear() == [b"from alice: hi"] * (2000 * (between == [b"bob: hi"]))
    assert alice.shell.reading
    assert rounds >= 1
    room.expect_balance()


def test_the_answers_to_a_stopped_read_are_few(room: Room) -> None:
    room.set(outbox_bytes=4096, max_line=128)
    alice = room.peer(b"alice")
    alice.stop_taking()
    alice.say(*[b"/ping " + b"x" * 100] * 100_000)
    held = alice.session.outbox.snapshot(Talk.now).held_bytes
    assert held < 2 * 4096
    alice.tell("ended", ReturnReason.DISCONNECTED)


def test_bytes_that_come_although_the_read_was_stopped_wait_behind_it(room: Room) -> None:
    room.set(outbox_bytes=1024, max_line=128)
    alice = room.peer(b"alice")
    alice.stop_taking()
    alice.say(*(b"/ping %d" % number for number in range(500)))
    alice.say(b"/ping 500", b"x" * 200, b"/ping 501")
    alice.tell("received", b"/pi")
    alice.tell("received", b"ng 502\n")
    answers = alice.take_on()
    while alice.shell.is_to_read_on:
        alice.read_on()
        answers += alice.take_on()
    assert answers == [
        *(b"pong %d" % number for number in range(501)),
        b"error line-too-long: 128",
        b"pong 501",
        b"pong 502",
    ]


def test_the_end_of_input_waits_for_what_is_left(room: Room) -> None:
    room.set(outbox_bytes=1024, max_line=128)
    alice = room.peer(b"alice")
    alice.stop_taking()
    alice.say(*(b"/ping %d" % number for number in range(500)))
    alice.tell("received", b"rest")
    alice.tell("end_of_input")
    assert alice.session.phase is Phase.READY
    answers = alice.take_on()
    while alice.shell.is_to_read_on:
        alice.read_on()
        answers += alice.take_on()
    assert answers == [*(b"pong %d" % number for number in range(500)), b"error bad-line: rest", b"bye quit"]
    assert alice.session.phase is Phase.LEAVING


def test_who_leaves_in_the_middle_of_a_stopped_read_has_said_no_more(room: Room) -> None:
    room.set(outbox_bytes=1024, max_line=128)
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    alice.stop_taking()
    alice.say(*(b"/ping %d" % number for number in range(500)), b"bob: too late")
    alice.tell("close", CloseReason.KICKED, 10.0)
    answers = alice.take_on()
    alice.read_on()
    answers += alice.hear()
    assert answers[-1] == b"bye kicked"
    assert len(answers) < 400
    assert bob.hear() == []


@pytest.mark.parametrize("slice_", [2, 3, 10])
def test_a_long_read_is_worked_off_in_slices_of_time_and_nothing_is_lost(room: Room, slice_: int) -> None:
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    alice.shell.slice = slice_
    lines, wanted = [], []
    for number in range(30):
        lines += [b"/ping %d" % number, b"bob: %d" % number, b"", b"x" * 70000 if number % 10 == 5 else b"", b"bad"]
        wanted += (
            [b"pong %d" % number] + [b"error line-too-long: 65536"] * (number % 10 == 5) + [b"error bad-line: bad"]
        )
    alice.say(*lines)
    answers, slices = alice.hear(), 0
    assert answers != wanted
    while alice.shell.is_to_read_on:
        assert not alice.shell.reading
        assert not alice.session.wants_input
        alice.read_on()
        answers += alice.hear()
        slices += 1
    assert answers == wanted
    assert bob.hear() == [b"from alice: %d" % number for number in range(30)]
    assert alice.shell.reading
    assert slices > 1


def test_the_end_of_input_waits_for_the_next_slice(room: Room) -> None:
    alice = room.peer(b"alice")
    alice.shell.slice = 3
    alice.say(*(b"/ping %d" % number for number in range(10)))
    alice.tell("end_of_input")
    answers = alice.hear()
    while alice.shell.is_to_read_on:
        alice.read_on()
        answers += alice.hear()
    assert answers == [*(b"pong %d" % number for number in range(10)), b"bye quit"]


# --- gates


def test_a_peer_is_read_again_when_the_last_of_its_gates_opens(room: Room) -> None:
    alice = room.peer(b"alice")
    first, second = FakeGate(), FakeGate()
    alice.session.wait_for(first, Talk.now)
    alice.session.wait_for(second, Talk.now)
    assert not alice.shell.reading
    assert not alice.session.wants_input
    alice.session.go_on_after(first)
    assert not alice.shell.is_to_read_on
    alice.session.go_on_after(second)
    alice.read_on()
    assert alice.shell.reading
    alice.session.go_on_after(second)
    assert not alice.shell.is_to_read_on


def test_a_gate_that_shuts_before_reading_goes_on_is_heeded(room: Room) -> None:
    alice = room.peer(b"alice")
    alice.shell.slice = 2
    alice.say(*(b"/ping %d" % number for number in range(5)))
    gate = FakeGate()
    alice.session.wait_for(gate, Talk.now)
    before = len(alice.hear())
    alice.read_on()
    assert alice.hear() == []
    assert not alice.shell.reading
    alice.session.go_on_after(gate)
    while alice.shell.is_to_read_on:
        alice.read_on()
    assert alice.hear() == [b"pong %d" % number for number in range(before, 5)]


def test_gates_forget_who_leaves_and_cannot_hold_who_has(room: Room) -> None:
    alice = room.peer(b"alice")
    before, after = FakeGate(), FakeGate()
    alice.session.wait_for(before, Talk.now)
    alice.tell("close", CloseReason.QUIT, 10.0)
    assert before.forgotten == [alice.session]
    alice.session.wait_for(after, Talk.now)
    assert after.forgotten == [alice.session]
    assert alice.session.wants_input
    alice.session.go_on_after(before)
    alice.read_on()
    assert alice.shell.reading


# --- takeover


@pytest.fixture
def takeover(room: Room) -> Room:
    room.set(on_name_taken=OnNameTaken.TAKEOVER)
    return room


def test_a_newcomer_takes_the_name_over_when_the_older_one_has_ended(takeover: Room) -> None:
    older, bob = takeover.peer(b"alice"), takeover.peer(b"bob")
    older.ask(b"/join #news")
    newcomer = takeover.stranger()
    assert newcomer.ask(b"alice", b"bob: hi", b"/ping") == []
    assert newcomer.session.phase is Phase.WAITING
    assert not newcomer.shell.reading
    assert not newcomer.session.wants_input
    assert newcomer.shell.logins == 0
    assert older.hear() == [b"bye taken-over"]
    assert older.session.closing is CloseReason.TAKEN_OVER
    assert older.shell.drains == [TAKEOVER_DRAIN]
    assert older.ask(b"bob: I am still here") == []
    assert bob.ask(b"alice: hi", b"/who #news") == [b"error no-such-peer: alice", b"ok who 0"]
    older.tell("ended", ReturnReason.DISCONNECTED)
    assert newcomer.session.phase is Phase.READY
    assert newcomer.hear() == [b"ok login alice@node1"]
    assert bob.hear() == []
    newcomer.read_on()
    assert newcomer.hear() == [b"pong"]
    assert newcomer.shell.reading
    assert bob.hear() == [b"from alice: hi"]


def test_a_newcomer_is_not_read_before_its_name_is_free(takeover: Room) -> None:
    older, newcomer = takeover.peer(b"alice"), takeover.stranger()
    newcomer.say(b"alice")
    newcomer.say(b"/ping 1")
    newcomer.say(b"/ping 2")
    newcomer.tell("go_on")
    assert newcomer.hear() == []
    older.tell("ended", ReturnReason.DISCONNECTED)
    newcomer.read_on()
    assert newcomer.hear() == [b"ok login alice@node1", b"pong 1", b"pong 2"]


def test_a_second_newcomer_finds_the_name_taken(takeover: Room) -> None:
    older, newcomer, third = takeover.peer(b"alice"), takeover.stranger(), takeover.stranger()
    newcomer.say(b"alice")
    assert third.ask(b"alice") == [b"error name-taken: alice", b"bye name-taken"]
    third.tell("ended", ReturnReason.DISCONNECTED)
    older.tell("ended", ReturnReason.DISCONNECTED)
    assert newcomer.hear() == [b"ok login alice@node1"]


@pytest.mark.parametrize("leave", ["end_of_input", "ended"])
def test_a_newcomer_that_leaves_while_it_waits_frees_the_place_for_another(takeover: Room, leave: str) -> None:
    older, newcomer, third = takeover.peer(b"alice"), takeover.stranger(), takeover.stranger()
    newcomer.say(b"alice")
    newcomer.tell(leave, *([ReturnReason.DISCONNECTED] if leave == "ended" else []))
    assert third.ask(b"alice") == []
    assert third.session.phase is Phase.WAITING
    older.tell("ended", ReturnReason.DISCONNECTED)
    assert third.hear() == [b"ok login alice@node1"]
    assert newcomer.hear() == ([b"bye quit"] if leave == "end_of_input" else [])


def test_a_name_is_free_when_both_the_older_and_the_newcomer_are_gone(takeover: Room) -> None:
    older, newcomer = takeover.peer(b"alice"), takeover.stranger()
    newcomer.say(b"alice")
    newcomer.tell("ended", ReturnReason.DISCONNECTED)
    older.tell("ended", ReturnReason.DISCONNECTED)
    assert newcomer.session.phase is Phase.GONE
    takeover.peer(b"alice")


def test_a_watcher_sees_the_older_one_go_and_the_newcomer_come(takeover: Room) -> None:
    watcher, older, newcomer = takeover.peer(b"watcher"), takeover.peer(b"alice"), takeover.stranger()
    watcher.ask(b"/watch")
    newcomer.say(b"alice")
    assert watcher.hear() == [b"notice gone: alice"]
    older.tell("ended", ReturnReason.DISCONNECTED)
    assert watcher.hear() == [b"notice here: alice"]


def test_lines_queued_for_the_older_one_are_not_for_the_newcomer(takeover: Room) -> None:
    older, bob, newcomer = takeover.peer(b"alice"), takeover.peer(b"bob"), takeover.stranger()
    older.stop_taking()
    bob.say(b"alice: for your eyes only")
    newcomer.say(b"alice")
    older.tell("ended", ReturnReason.DISCONNECTED)
    assert newcomer.hear() == [b"ok login alice@node1"]
    assert bob.hear() == [b"returned alice disconnected: for your eyes only"]
    takeover.expect_balance()


# --- the end


def quit_(talk: Talk) -> None:
    talk.say(b"/quit")


def end(talk: Talk) -> None:
    talk.tell("end_of_input")


def kick(talk: Talk) -> None:
    talk.tell("close", CloseReason.KICKED, 10.0)


@pytest.mark.parametrize(("leave", "word"), [(quit_, b"quit"), (end, b"quit"), (kick, b"kicked")])
def test_who_leaves_gets_a_bye_and_is_out_of_everything_but_its_name(
    room: Room, leave: Callable[[Talk], None], word: bytes
) -> None:
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    alice.ask(b"/join #news", b"/watch")
    leave(alice)
    assert alice.session.phase is Phase.LEAVING
    assert alice.shell.drains == [10.0]
    assert bob.ask(b"/who", b"/who #news", b"/topics", b"alice: hi", b"#news: hi") == [
        b"peer bob",
        b"ok who 1",
        b"ok who 0",
        b"ok topics 0",
        b"error no-such-peer: alice",
    ]
    room.peer(b"carol")
    assert alice.hear() == [b"bye " + word]
    assert room.stranger().ask(b"alice")[0] == b"error name-taken: alice"
    alice.tell("ended", ReturnReason.DISCONNECTED)
    assert alice.session.phase is Phase.GONE
    room.peer(b"alice")


def test_what_follows_a_quit_is_thrown_away(room: Room) -> None:
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    assert alice.ask(b"/ping", b"/quit", b"bob: x", b"x" * 70000, b"/ping") == [b"pong", b"bye quit"]
    assert alice.ask(b"bob: x", b"/ping") == []
    alice.tell("end_of_input")
    assert alice.hear() == []
    assert bob.hear() == []
    assert alice.session.wants_input


def test_who_leaves_takes_what_is_queued_first(room: Room) -> None:
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    alice.stop_taking()
    bob.say(b"alice: one", b"alice: two")
    alice.say(b"/quit")
    assert alice.take_on() == [b"from bob: one", b"from bob: two", b"bye quit"]
    room.expect_balance()


@pytest.mark.parametrize(
    ("rest", "answer"),
    [
        (b"", []),
        (b"bob: hi", [b"error bad-line: bob: hi"]),
        (b"/ping", [b"error bad-line: /ping"]),
        (b"y" * 100, [b"error bad-line: " + b"y" * 60]),
        (b"y" * 70000, [b"error line-too-long: 65536"]),
    ],
    ids=lambda value: ascii(value)[:12],
)
def test_what_is_left_without_its_end_is_no_line(room: Room, rest: bytes, answer: list[bytes]) -> None:
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    alice.tell("received", b"bob: whole\n" + rest)
    alice.tell("end_of_input")
    assert alice.hear() == [*answer, b"bye quit"]
    assert bob.hear() == [b"from alice: whole"]


def test_who_ends_before_the_login_gets_a_bye_too(room: Room) -> None:
    stranger = room.stranger()
    stranger.tell("received", b"ali")
    stranger.tell("end_of_input")
    assert stranger.hear() == [b"error bad-line: ali", b"bye quit"]
    assert stranger.session.phase is Phase.LEAVING


def test_there_is_one_bye_whatever_comes_later(room: Room) -> None:
    alice = room.peer(b"alice")
    alice.say(b"/quit")
    alice.tell("close", CloseReason.SHUTDOWN, 1.0)
    assert alice.hear() == [b"bye quit"]
    assert alice.session.closing is CloseReason.QUIT
    assert alice.shell.drains == [10.0, 1.0]
    alice.tell("ended", ReturnReason.DISCONNECTED)
    alice.tell("close", CloseReason.SHUTDOWN, 1.0)
    assert alice.shell.drains == [10.0, 1.0]
    assert alice.ask(b"/ping") == []


def test_a_connection_ends_once(room: Room) -> None:
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    bob.stop_taking()
    alice.say(b"bob: hi")
    bob.tell("ended", ReturnReason.DISCONNECTED)
    newer = room.peer(b"bob")
    bob.tell("ended", ReturnReason.DISCONNECTED)
    bob.tell("end_of_input")
    assert alice.ask(b"bob: hello again") == [b"returned bob disconnected: hi"]
    assert newer.hear() == [b"from alice: hello again"]
    room.expect_balance()


@pytest.mark.parametrize(("reason", "word"), [(reason, reason.value) for reason in ReturnReason])
def test_what_was_queued_is_given_back_with_the_reason(room: Room, reason: ReturnReason, word: bytes) -> None:
    alice, bob, carol = room.peer(b"alice"), room.peer(b"bob"), room.peer(b"carol")
    bob.ask(b"/join #news")
    bob.stop_taking()
    alice.say(b"bob: one", b"bob@node1: two", b"#news: three")
    carol.say(b"bob: four")
    carol.tell("ended", ReturnReason.DISCONNECTED)
    bob.tell("ended", reason)
    assert alice.hear() == [b"returned bob " + word + b": one", b"returned bob@node1 " + word + b": two"]
    dropped = room.broker.snapshot().dropped
    assert sum(dropped.values()) == 2
    assert dropped[DropReason.SENDER_GONE] == 1
    room.expect_balance()


def test_a_slow_consumer_whose_transport_takes_it_is_told(room: Room) -> None:
    alice = room.peer(b"alice")
    alice.tell("too_slow", 0.1)
    assert alice.hear() == [b"error slow-consumer: 0.1", b"bye slow-consumer"]
    assert alice.session.closing is CloseReason.SLOW_CONSUMER
    assert alice.shell.aborts == 0


def test_a_slow_consumer_whose_transport_takes_nothing_is_cut_off(room: Room) -> None:
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    bob.stop_taking()
    alice.say(b"bob: hi")
    bob.tell("too_slow", 30.0)
    assert bob.shell.aborts == 1
    assert bob.session.closing is CloseReason.SLOW_CONSUMER
    assert bob.session.phase is Phase.GONE
    assert alice.hear() == [b"returned bob slow-consumer: hi"]


def test_who_is_too_slow_to_leave_is_cut_off_and_has_left_nevertheless(room: Room) -> None:
    alice = room.peer(b"alice")
    alice.say(b"/quit")
    alice.tell("too_slow", 30.0)
    assert alice.shell.aborts == 1
    assert alice.session.closing is CloseReason.QUIT
    assert alice.session.phase is Phase.GONE


def test_the_settings_of_an_outbox_are_those_in_force(room: Room) -> None:
    assert room.live.delivery == DeliverySettings()
    room.set(outbox_bytes=1024, max_line=128)
    alice = room.peer(b"alice")
    alice.stop_taking()
    alice.say(*[b"/ping " + b"x" * 100] * 20)
    assert not alice.shell.reading
    assert alice.pump.watches


# Short reads: what happens to others while one is routed


def test_a_receiver_whose_outbox_fills_in_the_middle_of_a_short_read_makes_its_sender_wait(room: Room) -> None:
    alice, bob, carol = room.peer(b"alice"), room.peer(b"bob"), room.peer(b"carol")
    room.set(max_line=64, outbox_bytes=700)
    bob.stop_taking()
    alice.say(b"bob: 1", b"carol: 2", b"bob: " + b"3" * 50, b"carol: 4", b"bob: 5")
    carol.say(*[b"bob: " + b"x" * 50] * 3)
    alice.say(*[b"bob: " + b"y" * 50] * 3)
    assert not (alice.shell.reading and carol.shell.reading)
    room.expect_balance()
    assert carol.hear() == [b"from alice: 2", b"from alice: 4"]
    heard = [line for line in bob.take_on() if line.startswith(b"from alice")]
    assert heard == [b"from alice: " + text for text in (b"1", b"3" * 50, b"5", *[b"y" * 50] * 3)]
    for talk in (alice, carol):
        if not talk.shell.reading:
            talk.read_on()
        assert talk.shell.reading
    room.expect_balance()


def test_a_line_for_one_that_has_quit_before_it_in_the_same_round_is_answered(room: Room) -> None:
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    alice.say(b"bob: before")
    bob.say(b"/quit")
    assert alice.ask(b"alice: me", b"bob: after", b"alice: me too") == [
        b"from alice: me",
        b"error no-such-peer: bob",
        b"from alice: me too",
    ]
    assert bob.hear() == [b"from alice: before", b"bye quit"]
    room.expect_balance()


def test_a_sender_that_quits_behind_its_lines_in_a_short_read_has_said_them(room: Room) -> None:
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    alice.say(b"bob: one", b"bob: two", b"/quit", b"bob: three")
    assert bob.hear() == [b"from alice: one", b"from alice: two"]
    assert alice.hear() == [b"bye quit"]
    room.expect_balance()


def test_lines_of_a_short_read_come_back_from_one_that_ends_before_the_round_does(room: Room) -> None:
    alice, bob = room.peer(b"alice"), room.peer(b"bob")
    alice.say(b"bob: one", b"alice: two")
    bob.tell("ended", ReturnReason.DISCONNECTED)
    assert alice.hear() == [b"from alice: two", b"returned bob disconnected: one"]
    room.expect_balance()


def test_a_short_read_goes_to_who_has_the_name_and_not_to_who_waits_for_it(takeover: Room) -> None:
    alice, older = takeover.peer(b"alice"), takeover.peer(b"bob")
    newer = takeover.stranger()
    alice.say(b"bob: one")
    newer.say(b"bob")
    assert alice.ask(b"bob: two") == [b"error no-such-peer: bob"]
    assert older.hear() == [b"from alice: one", b"bye taken-over"]
    older.tell("ended", ReturnReason.DISCONNECTED)
    alice.say(b"bob: three")
    assert newer.hear() == [b"ok login bob@node1", b"from alice: three"]
    takeover.expect_balance()


@pytest.mark.parametrize("said", [[b"bob: 1"], [b"bob: 1", b"bob: 2"], [b"bob: 1", b"", b"#t: 2", b"/ping", b"bob: 3"]])
def test_lines_and_bytes_of_a_short_read_are_counted_once(room: Room, said: list[bytes]) -> None:
    alice, _ = room.peer(b"alice"), room.peer(b"bob")
    lines, size = alice.session.received_lines, alice.session.received_bytes
    alice.say(*said)
    assert alice.session.received_lines - lines == len([line for line in said if line])
    assert alice.session.received_bytes - size == sum(len(line) + 1 for line in said)
