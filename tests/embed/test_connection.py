"""What a connection does, in memory as over TCP: each of these tests holds for both."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from itertools import product
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from zope.interface.verify import verifyObject

from tests.embed.pairs import ClockPair, HalfTeller, InsidePair, Pair, Pull, Push, TcpPair, Teller, all_of

MANY = 300
"""Pieces of 64 KiB: more than all buffers of a connection on the loopback hold."""

Connect = Callable[..., Coroutine[Any, Any, Any]]


@pytest.fixture(params=[ClockPair, InsidePair, TcpPair], ids=["clock", "inside", "tcp"])
def connect(request: pytest.FixtureRequest) -> Any:
    """Connects two protocols; without any, two that know of half-closes."""
    pairs: list[Pair] = []

    async def connected(a: Teller | None = None, b: Teller | None = None) -> Pair:
        pair: Pair = request.param(a or HalfTeller(), b or HalfTeller())
        pairs.append(pair)
        await pair.begin()
        return pair

    yield connected
    for pair in pairs:
        pytest_twisted.blockon(Deferred.fromCoroutine(pair.end()))


# --- Bytes


async def test_an_end_is_a_transport(connect: Connect) -> None:
    pair = await connect()
    for interface in (ITransport, IConsumer, IPushProducer):
        assert verifyObject(interface, pair.a.end)


async def test_bytes_arrive_in_order_both_ways(connect: Connect) -> None:
    pair = await connect()
    for teller in pair.both:
        teller.end.write(b"one, ")
        teller.end.writeSequence([b"two, ", b"", b"three"])
        teller.end.write(b"")
    await pair.until(lambda: len(pair.a.received) == len(pair.b.received) == 15)
    assert pair.a.received == pair.b.received == b"one, two, three"
    assert pair.a.told == pair.b.told == ["made"]


async def test_much_arrives_whole(connect: Connect) -> None:
    pair = await connect()
    data = all_of(MANY)
    pair.a.end.write(data)
    await pair.until(lambda: len(pair.b.received) == len(data))
    assert pair.b.received == data


async def test_nobody_is_called_inside_a_write(connect: Connect) -> None:
    pair = await connect()
    reads: list[int] = []

    def answer() -> None:
        if pair.b.reads < 5:
            before = pair.a.reads, pair.b.reads
            pair.b.end.write(b"answer")
            assert (pair.a.reads, pair.b.reads) == before
            reads.append(pair.b.reads)

    pair.b.when_data = answer
    pair.a.when_data = lambda: pair.a.end.write(b"question")
    pair.a.end.write(b"question")
    assert (pair.a.reads, pair.b.reads) == (0, 0)
    await pair.until(lambda: pair.b.reads >= 5)
    assert reads == [1, 2, 3, 4]


async def test_only_bytes_can_be_written(connect: Connect) -> None:
    pair = await connect()
    for wrong in ("text", bytearray(b"x"), memoryview(b"x"), None):
        with pytest.raises(TypeError):
            pair.a.end.write(wrong)
        with pytest.raises(TypeError):
            pair.a.end.writeSequence([b"x", wrong])
    await pair.settle()
    assert pair.b.received == b""


# --- Pauses


async def test_who_pauses_gets_nothing_until_it_resumes(connect: Connect) -> None:
    pair = await connect()
    pair.b.end.pauseProducing()
    pair.a.end.write(b"x")
    await pair.settle()
    assert pair.b.received == b""
    pair.b.end.resumeProducing()
    await pair.until(lambda: pair.b.received)


async def test_a_pause_in_the_middle_of_a_read_holds_after_it(connect: Connect) -> None:
    pair = await connect()
    pair.b.when_data = lambda: pair.b.end.pauseProducing()
    data = all_of(20)
    pair.a.end.write(data)
    while len(pair.b.received) < len(data):
        reads = pair.b.reads
        await pair.until(lambda reads=reads: pair.b.reads == reads + 1)
        await pair.settle()
        assert pair.b.reads == reads + 1
        pair.b.end.resumeProducing()
    assert pair.b.received == data


async def test_a_push_producer_is_paused_when_nobody_reads_and_goes_on_when_somebody_does(connect: Connect) -> None:
    pair = await connect()
    pair.b.end.pauseProducing()
    push = Push(pair.a, MANY)
    push.start()
    await pair.settle()
    assert push.paused
    assert push.left
    pair.b.end.resumeProducing()
    await pair.until(lambda: len(pair.b.received) == MANY * 65536)
    assert pair.b.received == all_of(MANY)
    assert push.told[-1] == "done"


async def test_a_pull_producer_is_asked_for_as_much_as_there_is_room(connect: Connect) -> None:
    pair = await connect()
    pair.b.end.pauseProducing()
    pull = Pull(pair.a, MANY)
    pull.start()
    await pair.settle()
    assert pull.left
    pair.b.end.resumeProducing()
    await pair.until(lambda: len(pair.b.received) == MANY * 65536)
    assert pair.b.received == all_of(MANY)
    assert pull.told == []


async def test_a_pull_producer_that_has_nothing_yet_is_asked_no_more(connect: Connect) -> None:
    pair = await connect()

    class Slow(Pull):
        asked = 0

        def resumeProducing(self) -> None:
            self.asked += 1

    slow = Slow(pair.a, 1)
    slow.start()
    await pair.settle()
    assert slow.asked == 1
    pair.a.end.write(b"at last")
    await pair.until(lambda: slow.asked == 2 and pair.b.received == b"at last")


async def test_a_pause_does_not_stop_writing(connect: Connect) -> None:
    pair = await connect()
    pair.a.end.pauseProducing()
    pair.a.end.write(b"x")
    await pair.until(lambda: pair.b.received == b"x")


# Not over TCP: how far a kernel's buffers let two ends run ahead of each other is not the same each time.
@pytest.mark.parametrize("connect", [ClockPair, InsidePair], ids=["clock", "inside"], indirect=True)
async def test_who_does_not_read_what_it_cannot_answer_holds_the_other_up(connect: Connect) -> None:
    """A transport that is its own producer: an echo of bounded memory."""
    pair = await connect(b=Teller())
    pair.b.end.registerProducer(pair.b.end, True)
    pair.b.when_data = lambda: pair.b.end.write(bytes(pair.b.received)[-65536:])
    pair.a.end.pauseProducing()
    push = Push(pair.a, MANY)
    push.start()
    await pair.settle()
    assert push.paused
    pair.a.end.resumeProducing()
    await pair.until(lambda: len(pair.b.received) == MANY * 65536)
    pair.b.end.unregisterProducer()
    pair.a.end.loseConnection()
    await pair.until_lost()


async def test_a_second_producer_is_refused(connect: Connect) -> None:
    pair = await connect()
    first = Push(pair.a, 0)
    pair.a.end.registerProducer(first, True)
    with pytest.raises(RuntimeError):
        pair.a.end.registerProducer(Push(pair.a, 0), True)
    pair.a.end.unregisterProducer()
    pair.a.end.registerProducer(Push(pair.a, 0), True)
    pair.a.end.unregisterProducer()
    assert first.told == []


# --- Orderly ends


@pytest.mark.parametrize("kind", [Teller, HalfTeller])
async def test_a_close_delivers_all_that_was_written_before(connect: Connect, kind: type[Teller]) -> None:
    pair = await connect(kind(), Teller())
    data = all_of(MANY)
    pair.a.end.write(data)
    pair.a.end.loseConnection()
    assert pair.a.end.disconnecting
    await pair.until_lost()
    assert pair.b.received == data
    assert pair.a.told == pair.b.told == ["made", "lost: ConnectionDone"]


async def test_a_close_is_told_in_a_later_turn(connect: Connect) -> None:
    pair = await connect()
    pair.a.end.loseConnection()
    assert not pair.a.is_lost
    await pair.until(lambda: pair.a.is_lost)


async def test_who_closes_hears_nothing_more(connect: Connect) -> None:
    pair = await connect()
    pair.a.when_data = lambda: pair.a.end.loseConnection()
    pair.b.end.write(all_of(MANY))
    await pair.until(lambda: pair.a.is_lost)
    assert pair.a.reads == 1
    await pair.until(lambda: pair.b.is_lost)
    assert pair.b.told[-1] == "lost: ConnectionLost"


async def test_a_close_waits_for_a_pull_producer(connect: Connect) -> None:
    pair = await connect(b=Teller())
    Pull(pair.a, MANY).start()
    pair.a.end.loseConnection()
    await pair.until_lost()
    assert pair.b.received == all_of(MANY)


async def test_a_close_waits_for_a_push_producer_that_is_paused(connect: Connect) -> None:
    pair = await connect(b=Teller())
    pair.b.end.pauseProducing()
    push = Push(pair.a, MANY)
    push.start()
    await pair.settle()
    assert push.paused
    pair.a.end.loseConnection()
    await pair.settle()
    assert pair.a.told == pair.b.told == ["made"]
    push.left = 1
    pair.b.end.resumeProducing()
    await pair.until_lost()
    assert len(pair.b.received) == push.written


async def test_each_direction_ends_alone(connect: Connect) -> None:
    pair = await connect()
    data = all_of(MANY)
    pair.a.end.write(data)
    pair.a.end.loseWriteConnection()
    await pair.until(lambda: "read ended" in pair.b.told)
    assert pair.b.received == data
    await pair.until(lambda: pair.a.told == ["made", "write ended"])
    assert pair.b.told == ["made", "read ended"]
    pair.b.end.write(data)
    pair.b.end.loseWriteConnection()
    await pair.until(lambda: "read ended" in pair.a.told)
    assert pair.a.received == data
    await pair.until(lambda: "write ended" in pair.b.told)
    await pair.settle()
    assert not pair.a.is_lost and not pair.b.is_lost
    pair.a.end.loseConnection()
    pair.b.end.loseConnection()
    await pair.until_lost()
    assert pair.a.told == ["made", "write ended", "read ended", "lost: ConnectionDone"]
    assert pair.b.told == ["made", "read ended", "write ended", "lost: ConnectionDone"]


async def test_a_half_close_is_the_end_for_one_who_knows_no_half_close(connect: Connect) -> None:
    pair = await connect(b=Teller())
    pair.a.end.write(b"last")
    pair.a.end.loseWriteConnection()
    await pair.until(lambda: pair.b.is_lost)
    assert pair.b.told == ["made", "lost: ConnectionDone"]
    assert pair.b.received == b"last"
    await pair.until(lambda: pair.a.told == ["made", "write ended", "read ended"])


async def test_one_who_knows_no_half_close_can_do_it_and_hear_the_replies(connect: Connect) -> None:
    pair = await connect(a=Teller())
    pair.b.when_read_ended = lambda: (pair.b.end.write(b"reply"), pair.b.end.loseConnection())
    pair.a.end.write(b"request")
    pair.a.end.loseWriteConnection()
    await pair.until_lost()
    assert pair.a.received == b"reply"
    assert pair.a.told == ["made", "lost: ConnectionDone"]


async def test_the_end_of_input_waits_for_who_has_paused(connect: Connect) -> None:
    pair = await connect()
    pair.b.end.pauseProducing()
    pair.a.end.write(b"last")
    pair.a.end.loseWriteConnection()
    await pair.settle()
    assert pair.b.told == ["made"]
    pair.b.end.resumeProducing()
    await pair.until(lambda: pair.b.told == ["made", "read ended"])
    assert pair.b.received == b"last"


async def test_a_close_waits_for_who_has_paused(connect: Connect) -> None:
    pair = await connect(b=Teller())
    pair.b.end.pauseProducing()
    pair.a.end.write(b"last")
    pair.a.end.loseConnection()
    await pair.until(lambda: pair.a.is_lost)
    await pair.settle()
    assert pair.b.told == ["made"]
    pair.b.end.resumeProducing()
    await pair.until(lambda: pair.b.is_lost)
    assert pair.b.received == b"last"


# --- Ends that are not


async def test_an_abort_throws_away_what_was_written(connect: Connect) -> None:
    pair = await connect()
    pair.a.end.write(b"never")
    pair.a.end.abortConnection()
    assert not pair.a.is_lost, "told in a later turn"
    pair.a.end.write(b"nor this")
    await pair.until_lost()
    assert pair.b.received == b""
    assert pair.a.told == ["made", "lost: ConnectionAborted"]
    assert pair.b.told == ["made", "lost: ConnectionLost"]


async def test_an_abort_cuts_a_close_short(connect: Connect) -> None:
    pair = await connect()
    pair.b.end.pauseProducing()
    pair.a.end.write(all_of(MANY))
    pair.a.end.loseConnection()
    await pair.settle()
    assert not pair.a.is_lost
    pair.a.end.abortConnection()
    await pair.until(lambda: pair.a.is_lost)
    assert pair.a.told == ["made", "lost: ConnectionAborted"]
    pair.b.end.resumeProducing()
    await pair.until_lost()
    assert pair.b.told == ["made", "lost: ConnectionLost"]


async def test_who_writes_to_an_end_that_has_closed_is_told_of_a_reset(connect: Connect) -> None:
    pair = await connect()
    pair.a.end.loseConnection()
    await pair.until(lambda: pair.b.told == ["made", "read ended"])

    async def write() -> None:
        pair.b.end.write(b"x")
        await pair.settle()

    await write()  # over TCP the first write brings about the reset, the second finds it
    if not pair.b.is_lost:
        await write()
    await pair.until_lost()
    assert pair.b.told == ["made", "read ended", "lost: ConnectionLost"]


async def test_a_close_with_input_unread_delivers_what_was_written(connect: Connect) -> None:
    pair = await connect(b=Teller())
    pair.a.end.pauseProducing()
    pair.b.end.write(b"nobody reads this")
    await pair.settle()
    pair.a.end.write(b"last")
    pair.a.end.loseConnection()
    await pair.until_lost()
    assert pair.a.told == pair.b.told == ["made", "lost: ConnectionDone"]
    assert pair.b.received == b"last"


async def test_a_producer_that_writes_until_it_is_paused_has_an_end_when_nobody_is_there(connect: Connect) -> None:
    pair = await connect()
    pair.b.end.abortConnection()
    await pair.until(lambda: pair.b.is_lost)
    push = Push(pair.a, 10**9)
    if not pair.a.is_lost:
        push.start()
    await pair.until(lambda: pair.a.is_lost)
    assert push.told in ([], ["resume", "pause", "stop"])


async def test_a_producer_that_writes_until_it_is_paused_has_an_end_after_an_abort(connect: Connect) -> None:
    pair = await connect()
    pair.a.end.abortConnection()
    push = Push(pair.a, 10**9)
    push.start()
    await pair.until_lost()
    assert push.told == ["resume", "pause", "stop"]


async def test_a_producer_is_stopped_before_its_protocol_is_told(connect: Connect) -> None:
    pair = await connect()
    push = Push(pair.a, 1)
    pair.a.end.registerProducer(push, True)
    pair.a.when_lost = lambda: pair.a.told.append(f"producer: {push.told}")
    pair.b.end.abortConnection()
    await pair.until_lost()
    assert pair.a.told == ["made", "lost: ConnectionLost", "producer: ['stop']"]


async def test_what_is_done_after_the_end_does_nothing(connect: Connect) -> None:
    pair = await connect(b=Teller())
    pair.a.end.loseConnection()
    await pair.until_lost()
    for teller in pair.both:
        end = teller.end
        end.write(b"x")
        end.writeSequence([b"x"])
        end.loseConnection()
        end.abortConnection()
        end.pauseProducing()
        end.resumeProducing()
        end.stopProducing()
        for streaming in (True, False):
            push = Push(teller, 3)
            end.registerProducer(push, streaming)
            assert push.told == ["stop"]
    await pair.settle()
    assert pair.a.told == pair.b.told == ["made", "lost: ConnectionDone"]


ENDS = {
    "close": ["loseConnection"],
    "half-close": ["loseWriteConnection"],
    "half-close and close": ["loseWriteConnection", "loseConnection"],
    "abort": ["abortConnection"],
    "close and abort": ["loseConnection", "abortConnection"],
    "close twice": ["loseConnection", "loseConnection"],
    "abort twice": ["abortConnection", "abortConnection"],
    "nothing": [],
}


@pytest.mark.parametrize("a, b", list(product(ENDS, ENDS)))
@pytest.mark.parametrize("kind", [Teller, HalfTeller])
async def test_the_end_is_told_once_however_it_comes_about(
    connect: Connect, a: str, b: str, kind: type[Teller]
) -> None:
    pair = await connect(kind(), kind())
    for teller, words in ((pair.a, ENDS[a]), (pair.b, ENDS[b])):
        teller.end.write(b"some")
        for word in words:
            getattr(teller.end, word)()
    await pair.settle()
    for teller in pair.both:
        if not teller.is_lost:
            teller.end.loseConnection()
    await pair.until_lost()
    for teller in pair.both:
        assert sum(word.startswith("lost") for word in teller.told) == 1
        assert teller.told[-1].startswith("lost")
        assert b"some".startswith(bytes(teller.received))
    for teller, words in ((pair.a, ENDS[a]), (pair.b, ENDS[b])):
        if "abortConnection" in words:
            assert teller.told[-1] == "lost: ConnectionAborted"


# --- Whatever is done within a call


@pytest.mark.parametrize("event", ["when_made", "when_data", "when_read_ended", "when_write_ended", "when_lost"])
@pytest.mark.parametrize("deed", ["loseConnection", "abortConnection", "loseWriteConnection", "pauseProducing"])
async def test_an_end_may_be_brought_about_within_any_call(connect: Connect, event: str, deed: str) -> None:
    a = HalfTeller()
    if event == "when_lost" and deed == "loseWriteConnection":
        deed = "write"  # Twisted's own transports fail on the other
    setattr(a, event, lambda: getattr(a.end, deed)(*([b"x"] if deed == "write" else [])))
    pair = await connect(a)
    pair.b.end.write(b"hello")
    await pair.settle()
    if not a.is_lost:
        a.end.loseWriteConnection()
    await pair.settle()
    for teller in (pair.b, a):
        if not teller.is_lost:
            teller.end.loseConnection()
        await pair.settle()
    await pair.until_lost()
    for teller in pair.both:
        assert sum(word.startswith("lost") for word in teller.told) == 1
        assert teller.told[-1].startswith("lost")


@pytest.mark.parametrize("deed", ["loseConnection", "abortConnection", "pauseProducing"])
async def test_an_end_may_be_brought_about_within_a_pause(connect: Connect, deed: str) -> None:
    pair = await connect()
    pair.b.end.pauseProducing()
    push = Push(pair.a, MANY)
    push.when_paused = lambda: getattr(pair.a.end, deed)()
    push.start()
    await pair.settle()
    pair.b.end.resumeProducing()
    if deed == "pauseProducing":
        await pair.until(lambda: len(pair.b.received) == MANY * 65536)
        pair.a.end.loseConnection()
    else:
        await pair.until(lambda: pair.a.is_lost)
    await pair.until(lambda: pair.b.is_lost or "read ended" in pair.b.told)
    assert all_of(MANY).startswith(bytes(pair.b.received))


# --- Faults of protocols


class Fault(Exception):
    """What a protocol raises here."""


def fail() -> None:
    raise Fault


@pytest.mark.parametrize("event", ["when_data", "when_read_ended", "when_write_ended"])
async def test_a_fault_ends_the_connection_and_is_logged_once(
    connect: Connect, event: str, logged_failures: Any
) -> None:
    pair = await connect()
    setattr(pair.a, event, fail)
    pair.b.end.write(b"hello")
    pair.b.end.loseWriteConnection()
    pair.a.end.loseWriteConnection()
    await pair.until(lambda: pair.a.is_lost)
    assert pair.a.told[-1] == "lost: Fault"
    await pair.settle()
    if not pair.b.is_lost:
        pair.b.end.loseConnection()
    await pair.until_lost()
    assert [word for word in pair.a.told if word.startswith("lost")] == ["lost: Fault"]
    assert len([word for word in pair.b.told if word.startswith("lost")]) == 1
    assert len(logged_failures.flush(Fault)) == 1


async def test_a_fault_at_the_very_end_is_logged_and_costs_the_other_nothing(
    connect: Connect, logged_failures: Any
) -> None:
    pair = await connect(b=Teller())
    pair.a.when_lost = fail
    pair.a.end.write(b"last")
    pair.a.end.loseConnection()
    await pair.until_lost()
    assert pair.b.received == b"last"
    assert pair.b.told == ["made", "lost: ConnectionDone"]
    assert len(logged_failures.flush(Fault)) == 1


async def test_a_fault_of_a_producer_ends_the_connection(connect: Connect, logged_failures: Any) -> None:
    pair = await connect()

    class Faulty(Pull):
        def resumeProducing(self) -> None:
            if self.left == 1:
                fail()
            super().resumeProducing()

    Faulty(pair.a, 3).start()
    await pair.until(lambda: pair.a.is_lost)
    assert pair.a.told == ["made", "lost: Fault"]
    await pair.until(lambda: pair.b.is_lost or "read ended" in pair.b.told)
    assert len(logged_failures.flush(Fault)) == 1
