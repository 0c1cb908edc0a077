"""What is a connection's in memory alone: exact bounds, the order of things, and that nothing of it is left."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from nettool.embed.pipe import End
from nettool.interfaces import IOwnTransport
from nettool.settings import KERNEL_SEND_BUFFER, READ
from tests.embed.pairs import HalfTeller, Pull, Push, Teller, connected


class Pipe:
    """Two ends on a clock, both begun."""

    def __init__(self, a: Teller | None = None, b: Teller | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.a, self.b = a or HalfTeller(), b or HalfTeller()
        self.ends = connected(self.clock, self.a, self.b, **options)
        for end in self.ends:
            assert end.begin() is None

    @property
    def both(self) -> tuple[Teller, Teller]:
        return self.a, self.b

    def settle(self) -> None:
        self.clock.advance(0)
        assert not self.clock.getDelayedCalls()


def test_an_end_says_what_the_other_has_not_taken() -> None:
    pipe = Pipe()
    assert verifyObject(IOwnTransport, pipe.a.end)
    pipe.b.when_data = lambda: pipe.b.end.pauseProducing()
    pipe.a.end.write(b"x" * 1000 * 1000)
    assert pipe.a.end.held == 1000 * 1000
    pipe.settle()
    assert pipe.a.end.held == 1000 * 1000 - READ
    assert pipe.b.end.held == 0


@pytest.mark.parametrize("make", [Push, Pull])
def test_a_producer_is_held_up_after_the_size_of_a_sockets_buffer(make: type[Push] | type[Pull]) -> None:
    pipe = Pipe()
    pipe.b.end.pauseProducing()
    make(pipe.a, 1000, 4096).start()
    pipe.settle()
    assert pipe.a.end.held == KERNEL_SEND_BUFFER + 4096


def test_a_producer_goes_on_as_soon_as_there_is_room() -> None:
    pipe = Pipe()
    pipe.b.when_data = lambda: pipe.b.end.pauseProducing()
    push = Push(pipe.a, 1000, 4096)
    push.start()
    pipe.settle()
    assert push.told == ["resume", "pause", "resume", "pause"]
    assert pipe.a.end.held == KERNEL_SEND_BUFFER + 4096
    pipe.settle()
    assert push.told == ["resume", "pause", "resume", "pause"]


def test_a_read_is_of_limited_size_and_each_has_a_turn_of_its_own() -> None:
    pipe = Pipe()
    sizes: list[int] = []
    calls: list[int] = []
    pipe.b.when_data = lambda: (sizes.append(len(pipe.b.received)), pipe.clock.callLater(0, calls.append, len(sizes)))
    pipe.a.end.write(b"x" * (3 * READ + 1))
    pipe.settle()
    assert sizes == [READ, 2 * READ, 3 * READ, 3 * READ + 1]
    assert calls == [1, 2, 3, 4]


def test_the_end_of_input_is_told_once_though_reading_is_resumed() -> None:
    pipe = Pipe()
    pipe.a.end.loseWriteConnection()
    pipe.settle()
    pipe.b.end.resumeProducing()
    pipe.settle()
    assert pipe.b.told == ["made", "read ended"]


def test_what_was_sent_before_a_close_is_heard_though_it_is_answered_in_vain() -> None:
    """A script that says much and goes: nothing of it is lost, as it would be to a reset on a network."""
    pipe = Pipe()
    pipe.b.when_data = lambda: pipe.b.end.write(b"x" * len(pipe.b.received))
    pipe.a.end.write(b"x" * 10 * READ)
    pipe.a.end.loseConnection()
    pipe.b.end.registerProducer(Push(pipe.b, 0), True)
    pipe.settle()
    assert len(pipe.b.received) == 10 * READ
    assert pipe.a.told == ["made", "lost: ConnectionDone"]
    assert pipe.b.told == ["made", "lost: ConnectionLost"]


def test_who_answers_in_vain_and_does_not_read_is_told_at_once() -> None:
    pipe = Pipe()
    pipe.b.end.pauseProducing()
    pipe.a.end.write(b"x" * READ)
    pipe.a.end.loseConnection()
    pipe.settle()
    assert pipe.b.told == ["made"]
    pipe.b.end.write(b"x")
    pipe.settle()
    assert pipe.b.told == ["made", "lost: ConnectionLost"]


def test_what_nobody_will_read_is_not_kept() -> None:
    pipe = Pipe()
    pipe.a.end.pauseProducing()
    pipe.b.end.pauseProducing()
    pipe.b.end.write(b"x" * KERNEL_SEND_BUFFER)
    pipe.a.end.write(b"x" * KERNEL_SEND_BUFFER)
    pipe.a.end.loseConnection()
    pipe.settle()
    assert (pipe.a.end.held, pipe.b.end.held) == (KERNEL_SEND_BUFFER, 0)
    pipe.b.end.abortConnection()
    pipe.settle()
    assert (pipe.a.end.held, pipe.b.end.held) == (0, 0)


def test_one_who_is_aborted_is_told_though_it_has_paused() -> None:
    pipe = Pipe()
    pipe.b.end.pauseProducing()
    pipe.a.end.write(b"x")
    pipe.settle()
    pipe.a.end.abortConnection()
    pipe.settle()
    assert pipe.b.told == ["made", "lost: ConnectionLost"]
    assert pipe.b.received == b""


def test_the_first_end_is_told_to_whoever_made_it_after_its_protocol() -> None:
    told: list[str] = []
    pipe = Pipe(when_lost=lambda: told.append("end"))
    pipe.a.when_lost = lambda: told.append("protocol")
    pipe.b.end.abortConnection()
    pipe.settle()
    assert told == ["protocol", "end"]


def test_options_of_a_socket_are_accepted_and_there_is_no_socket() -> None:
    end = Pipe().a.end
    end.setTcpNoDelay(False)
    end.setTcpKeepAlive(True)
    assert end.getTcpNoDelay()
    assert not end.getTcpKeepAlive()
    assert not hasattr(end, "getHandle")
    assert (end.getHost().number, end.getPeer().number) == (1, 0)


def test_nothing_is_left_of_connections_that_have_ended() -> None:
    clock = Clock()

    def come_and_go(number: int) -> None:
        a, b = Teller(), HalfTeller()
        ends = connected(clock, a, b)
        for end in ends:
            end.begin()
        a.end.write(b"x" * 1000)
        b.end.write(b"x" * 1000)
        getattr(ends[number % 2], ("loseConnection", "abortConnection")[number // 2 % 2])()
        clock.advance(0)
        assert a.is_lost
        assert b.is_lost or "read ended" in b.told

    gc.collect()
    before = sum(isinstance(thing, End) for thing in gc.get_objects())
    for number in range(1000):
        come_and_go(number)
    gc.collect()
    assert sum(isinstance(thing, End) for thing in gc.get_objects()) == before
    assert not clock.getDelayedCalls()


# --- Any script of actions

WORDS = ["write", "write much", "pause", "resume", "half-close", "close", "abort", "push", "pull", "echo"]
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(WORDS), st.booleans()), st.tuples(st.just("turn"), st.integers(min_value=1, max_value=3))
)


class Player:
    """One end of a script: what it has written that counts, and what it has done."""

    def __init__(self, teller: Teller) -> None:
        self.teller = teller
        self.written = bytearray()
        self.done: set[str] = set()
        self.producers = 0

    @property
    def may_write(self) -> bool:
        return not (self.teller.is_lost or self.done & {"half-close", "abort"})

    def write(self, data: bytes) -> None:
        if self.may_write:
            self.written += data
        self.teller.end.write(data)

    def act(self, word: str) -> None:
        end = self.teller.end
        if word in ("push", "pull", "echo"):
            if not self.producers and self.may_write:
                self.producers += 1
                self.produce(word)
            return
        self.done.add(word)
        match word:
            case "write":
                self.write(b"%d," % len(self.written))
            case "write much":
                self.write(b"%d;" % len(self.written) * 60_000)
            case "pause":
                end.pauseProducing()
            case "resume":
                end.resumeProducing()
            case "half-close":
                end.loseWriteConnection()
            case "close":
                end.loseConnection()
            case "abort":
                end.abortConnection()

    def produce(self, word: str) -> None:
        """Produce by what is written through this player."""
        if word == "echo":
            self.teller.end.registerProducer(self.teller.end, True)
            return
        made: Push | Pull = Push(self.teller, 40) if word == "push" else Pull(self.teller, 20)
        made.teller = _Through(self)  # type: ignore[assignment]
        made.start()


class _Through:
    """What a producer takes for its protocol and its transport."""

    def __init__(self, player: Player) -> None:
        self.end = self
        self.write = player.write
        self.registerProducer = player.teller.end.registerProducer
        self.unregisterProducer = player.teller.end.unregisterProducer


def play(script: list[tuple[str, Any]], kinds: tuple[type[Teller], type[Teller]]) -> tuple[list[str], Any]:
    """Do as the script says, and then end; whatever has been told, in its order."""
    pipe = Pipe(kinds[0](), kinds[1]())
    a, b = players = Player(pipe.a), Player(pipe.b)
    story: list[str] = []

    def look() -> None:
        for here, there in ((a, b), (b, a)):
            assert here.written.startswith(bytes(there.teller.received))
        story.append(f"{pipe.a.told} {len(pipe.a.received)} {pipe.b.told} {len(pipe.b.received)}")

    def turns(number: int) -> None:
        for call in pipe.clock.getDelayedCalls()[:number]:
            # One turn of one end: the clock itself would go on until nothing is left to do.
            pipe.clock.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)

    for word, value in script:
        if word == "turn":
            turns(value)
        else:
            players[value].act(word)
        look()
    for player in players:
        player.teller.end.resumeProducing()
    pipe.settle()
    look()
    return story, (pipe, a, b)


KINDS = st.tuples(st.sampled_from([Teller, HalfTeller]), st.sampled_from([Teller, HalfTeller]))


@given(st.lists(ACTIONS, max_size=30), KINDS)
def test_any_script_keeps_the_promises_of_a_connection(
    script: list[tuple[str, Any]], kinds: tuple[type[Teller], type[Teller]]
) -> None:
    """Bytes arrive in order and are a beginning of those that were written; an end in order delivers all of them; the
    end is told once."""
    _, (pipe, a, b) = play(script, kinds)
    for here, there in ((a, b), (b, a)):
        if there.teller.told[-1] == "lost: ConnectionLost":
            assert here.done & {"close", "abort"}
        elif not there.done & {"close", "abort"} and "abort" not in here.done:
            assert there.teller.received == here.written
    for end in pipe.ends:
        end.unregisterProducer()
        end.loseConnection()
    pipe.settle()
    if not pipe.a.is_lost or not pipe.b.is_lost:
        # As over TCP: two that close and do not read, each with more to send than the other's kernel takes.
        assert all(end.held > KERNEL_SEND_BUFFER for end in pipe.ends)
        pipe.a.end.abortConnection()
        pipe.settle()
    for teller in pipe.both:
        assert [word.startswith("lost") for word in teller.told].count(True) == 1
        assert teller.told[-1].startswith("lost")
        for once in ("made", "read ended", "write ended"):
            assert teller.told.count(once) <= 1
    for here, there in ((a, b), (b, a)):
        assert here.written.startswith(bytes(there.teller.received))


@given(st.lists(ACTIONS, max_size=30), KINDS)
def test_the_same_script_has_the_same_story(
    script: list[tuple[str, Any]], kinds: tuple[type[Teller], type[Teller]]
) -> None:
    assert play(script, kinds)[0] == play(script, kinds)[0]


@given(
    st.lists(st.binary(max_size=3 * READ // 100).map(lambda data: data * 100), max_size=8),
    st.lists(st.sampled_from(["pause", "resume"]), max_size=8),
)
def test_all_that_is_written_arrives_however_it_is_cut(pieces: list[bytes], habits: list[str]) -> None:
    pipe = Pipe(b=Teller())
    reader = Player(pipe.b)
    pipe.b.when_data = lambda: reader.act(habits.pop()) if habits else None
    for piece in pieces:
        pipe.a.end.write(piece)
    pipe.a.end.loseConnection()
    while not pipe.b.is_lost:
        pipe.settle()
        pipe.b.end.resumeProducing()
    assert pipe.b.received == b"".join(pieces)
    assert pipe.a.told == pipe.b.told == ["made", "lost: ConnectionDone"]


def test_a_fault_at_the_beginning_ends_the_connection_in_the_next_turn(
    logged_failures: Any,
) -> None:
    clock, a, b = Clock(), Teller(), Teller()
    near, far = connected(clock, a, b)
    a.when_made = lambda: 1 / 0
    assert far.begin() is None
    failure = near.begin()
    assert failure is not None
    assert failure.check(ZeroDivisionError)
    assert a.told == ["made"]
    clock.advance(0)
    assert a.told == ["made", "lost: ZeroDivisionError"]
    assert b.told == ["made", "lost: ConnectionLost"]
    assert logged_failures.flush() == [], "it was returned to who began it"


@pytest.mark.parametrize("fault", ["stopProducing", "when_lost"])
def test_a_fault_in_what_is_told_beside_the_protocol_keeps_nobody_from_being_told(
    fault: str, logged_failures: Any
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    class Faulty(Push):
        def stopProducing(self) -> None:
            fail()

    when_lost: Callable[[], object] = fail if fault == "when_lost" else lambda: None
    pipe = Pipe(b=Teller(), when_lost=when_lost)
    if fault == "stopProducing":
        pipe.a.end.registerProducer(Faulty(pipe.a, 1), True)
    pipe.a.end.abortConnection()
    pipe.settle()
    assert pipe.a.told == ["made", "lost: ConnectionAborted"]
    assert pipe.b.told == ["made", "lost: ConnectionLost"]
    assert len(logged_failures.flush(ZeroDivisionError)) == 1
