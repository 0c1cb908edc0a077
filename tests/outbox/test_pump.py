"""The producer that empties an outbox into a transport, and the time that it keeps."""

from __future__ import annotations

import socket
from math import inf
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from nettool.errors import ReturnReason
from nettool.outbox.pump import Pump
from nettool.outbox.turn import CLOSE, Turn
from nettool.settings import CHUNK, KERNEL_SEND_BUFFER, DeliverySettings, Settings, TopicOverflow
from tests.outbox.place import BOUND, Place, Sender, filling
from tests.support.sockets import PollingReactor, tcp_transport
from tests.support.transport import SlowTransport

STALL = 30.0


class Conversation:
    """What a transport talks to: nobody."""

    def __init__(self) -> None:
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        raise AssertionError("nothing is said here")

    def connectionLost(self, reason: object) -> None:
        self.lost = True


class Line(Place):
    """An outbox with a pump and a transport, plain or with layers; `end` is where the bytes arrive."""

    def __init__(self, *, layered: bool = True, started: bool = True, **delivery: Any) -> None:
        super().__init__(**delivery)
        self.clock: Any = Clock() if layered else PollingReactor()
        self.clock.advance(self.now)
        self.turn = Turn(self.clock)
        self.given_up: list[float] = []
        self.broken: list[Failure] = []
        self.pump = Pump(self.outbox, self.live, self.clock, self.turn, self.given_up.append, self.broken.append)
        self.conversation: Any = Conversation()
        self.transport: Any
        self.end: Any
        if layered:
            self.transport = self.end = SlowTransport(self.conversation, self.clock)
        else:
            self.transport, self.end = tcp_transport(self.conversation, self.clock)
        if started:
            self.pump.start(self.transport)

    def settle(self) -> None:
        self.turn.run()
        self.clock.advance(0)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.now = self.clock.seconds()

    def clog(self, sender: Sender) -> None:
        """The peer takes nothing more, and the transport has a chunk."""
        self.end.room = 0
        self.topic(sender, b"." * CHUNK, topic=b"#clog")
        self.settle()
        assert self.outbox.blocked


@pytest.fixture
def alice() -> Sender:
    return Sender(b"alice")


@pytest.fixture(params=[True, False], ids=["layered", "plain"])
def layered(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


# Writing


def test_what_came_before_there_was_a_transport_is_written_at_its_start(layered: bool, alice: Sender) -> None:
    line = Line(layered=layered, started=False)
    batch = line.direct(alice, b"early")
    line.pump.start(line.transport)
    line.settle()
    assert line.end.received == batch.data


def test_many_batches_of_a_turn_are_one_write(layered: bool, alice: Sender) -> None:
    line = Line(layered=layered)
    line.direct(alice, b"1")
    line.topic(alice, b"2")
    assert line.end.received == b""
    line.settle()
    assert line.end.received == b"from alice: 1\nfrom alice to #t: 2\n"


def test_a_transport_that_asks_for_a_pause_gets_no_more_and_holds_a_chunk_at_most(layered: bool, alice: Sender) -> None:
    line = Line(layered=layered, outbox_bytes=0)
    line.end.room = 0
    data = b""
    for number in range(10):
        data += bytes(line.direct(alice, b"%d" % number + b"." * CHUNK).data)
        line.settle()
        if layered:
            assert line.end.held <= CHUNK
    assert line.outbox.blocked
    assert line.ledger.delivered <= 1
    for _ in range(200):
        line.end.take(CHUNK // 3)
        line.clock.advance(0)
        if layered:
            assert line.end.held <= CHUNK
    assert line.end.received == data
    assert not line.outbox.blocked
    assert line.outbox.empty


def test_a_small_remainder_pauses_a_plain_socket_too(alice: Sender) -> None:
    line = Line(layered=False)
    size = line.transport.bufferSize
    line.end.room = 5
    first = line.direct(alice, b"hello")
    line.settle()
    assert line.outbox.blocked
    assert line.transport.bufferSize == size
    second = line.direct(alice, b"again")
    line.settle()
    assert line.end.received == first.data[:5]
    line.end.take()
    line.settle()
    assert line.end.received == first.data + second.data
    assert not line.outbox.blocked


def test_a_plain_socket_is_written_to_at_once_and_its_kernel_buffer_is_kept_small(alice: Sender) -> None:
    line = Line(layered=False)
    assert line.end.options[socket.SOL_SOCKET, socket.SO_SNDBUF] == KERNEL_SEND_BUFFER
    assert line.end.options[socket.IPPROTO_TCP, socket.TCP_NODELAY] == 1
    assert line.end.options[socket.SOL_SOCKET, socket.SO_KEEPALIVE] == 1
    assert line.pump.half_closes
    batch = line.direct(alice, b"now")
    line.turn.run()
    assert line.end.received == batch.data


def test_what_has_layers_above_its_socket_is_no_plain_socket(alice: Sender) -> None:
    assert not Line().pump.half_closes


def test_a_write_to_a_lost_connection_is_the_transports_business(
    alice: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(layered=False)
    line.end.reset()
    line.direct(alice, b"into the void")
    line.settle()
    line.settle()
    assert line.conversation.lost
    line.pump.stop()


def test_nothing_is_written_to_a_plain_socket_that_is_closing_already(alice: Sender) -> None:
    line = Line(layered=False)
    line.transport.loseConnection()
    line.direct(alice, b"too late")
    line.turn.run()
    assert line.end.received == b""


def test_a_resumed_transport_is_not_written_to_after_the_end(layered: bool, alice: Sender) -> None:
    line = Line(layered=layered)
    line.clog(alice)
    line.outbox.close(ReturnReason.DISCONNECTED, line.now)
    line.pump.resumeProducing()
    assert line.outbox.blocked
    line.pump.stop()
    line.pump.resumeProducing()
    assert line.outbox.blocked
    line.pump.stopProducing()


# Patience


def test_senders_go_on_when_patience_is_over_or_when_there_is_room(layered: bool, alice: Sender) -> None:
    bob = Sender(b"bob")
    line = Line(layered=layered)
    line.clog(alice)
    line.direct(alice, filling(BOUND))
    line.topic(bob, filling(BOUND))
    assert alice.waits
    assert bob.waits
    line.pass_time(0.05)
    assert bob.waits
    line.pass_time(0.05)
    assert not bob.waits
    assert alice.waits
    line.pass_time(4.9)
    assert not alice.waits
    assert not line.back
    line.direct(alice, b"no")
    assert [reason for _, reason, _ in line.back] == [ReturnReason.QUEUE_FULL]
    line.end.take()
    line.settle()
    assert not line.outbox.full
    line.direct(alice, b"yes")
    line.settle()
    assert line.end.received.endswith(b"from alice: yes\n")
    assert len(line.back) == 1
    line.pump.stop()


def test_a_lane_with_less_patience_that_fills_later_is_not_forgotten(alice: Sender) -> None:
    line = Line()
    line.clog(alice)
    line.direct(alice, filling(BOUND))
    line.pass_time(1)
    bob = Sender(b"bob")
    line.topic(bob, filling(BOUND))
    line.pass_time(0.1)
    assert not bob.waits
    assert alice.waits


def test_a_hearer_that_is_too_slow_for_a_topic_is_given_up_in_the_next_turn_and_once(alice: Sender) -> None:
    line = Line(topic_overflow=TopicOverflow.DISCONNECT, topic_patience=0.0)
    line.clog(alice)
    line.topic(alice, filling(BOUND))
    line.topic(alice, filling(BOUND))
    assert line.given_up == []
    line.clock.advance(0)
    assert line.given_up
    line.given_up.clear()
    line.topic(alice, b"one more")
    line.outbox.close(ReturnReason.SLOW_CONSUMER, line.now)
    line.clock.advance(0)
    assert line.given_up == []


# Stalls


def test_a_full_outbox_whose_transport_takes_nothing_is_given_up(layered: bool, alice: Sender) -> None:
    line = Line(layered=layered)
    line.clog(alice)
    line.direct(alice, filling(BOUND))
    line.pass_time(STALL - 1)
    assert line.given_up == []
    line.pass_time(1)
    assert line.given_up == [STALL]


def test_an_outbox_that_is_not_full_is_not_given_up(layered: bool, alice: Sender) -> None:
    line = Line(layered=layered)
    line.clog(alice)
    line.direct(alice, b"x")
    line.pass_time(10 * STALL)
    assert line.given_up == []


def test_a_closing_outbox_is_given_up_however_little_is_in_it(layered: bool, alice: Sender) -> None:
    line = Line(layered=layered)
    line.clog(alice)
    line.pump.when_empty(lambda: pytest.fail("it is not empty"))
    line.pass_time(STALL)
    assert line.given_up == [STALL]


def test_a_stall_that_may_last_for_ever_does(alice: Sender) -> None:
    line = Line()
    line.live.replace(Settings(delivery=DeliverySettings(BOUND, inf, inf, stall_timeout=inf)))
    line.clog(alice)
    line.direct(alice, filling(BOUND))
    assert line.clock.getDelayedCalls() == []
    assert line.given_up == []


def test_a_chunk_that_is_taken_restarts_the_time(layered: bool, alice: Sender) -> None:
    line = Line(layered=layered, outbox_bytes=CHUNK)
    line.clog(alice)
    for _ in range(8):
        line.topic(alice, b"." * (CHUNK - 100), topic=b"#u")
    for _ in range(3):
        line.pass_time(STALL - 1)
        line.end.take(CHUNK + 100)
        line.clock.advance(0)
        line.topic(alice, b"." * (CHUNK - 100), topic=b"#u")
    assert line.given_up == []


def test_one_write_is_tried_before_a_plain_socket_is_given_up_and_a_byte_counts(alice: Sender) -> None:
    line = Line(layered=False)
    line.clog(alice)
    line.direct(alice, filling(BOUND))
    for _ in range(3):
        line.pass_time(STALL - 1)
        line.end.room = 1  # the kernel has room, and says nothing of it
        line.pass_time(1)
        assert line.given_up == []
    line.pass_time(STALL)
    assert line.given_up == [STALL]


def test_a_plain_socket_that_takes_all_by_the_last_write_is_not_given_up(alice: Sender) -> None:
    line = Line(layered=False)
    line.clog(alice)
    line.direct(alice, filling(BOUND))
    line.pass_time(STALL - 1)
    line.end.room = inf
    line.pass_time(1)
    assert line.given_up == []
    assert line.outbox.empty
    assert line.end.received.count(b"\n") == 2


# The end


def test_when_empty_is_called_once_when_all_has_gone(layered: bool, alice: Sender) -> None:
    line, called = Line(layered=layered), []
    line.direct(alice, b"last words")
    line.pump.when_empty(lambda: called.append(1))
    line.pump.when_empty(lambda: called.append(2))
    assert called == []
    line.clock.advance(0)
    assert called == [1, 2]
    line.direct(alice, b"more")
    line.settle()
    assert called == [1, 2]


def test_when_empty_waits_for_the_transports_own_buffer_too(layered: bool, alice: Sender) -> None:
    line, called = Line(layered=layered), []
    line.clog(alice)
    line.direct(alice, b"x")
    line.pump.when_empty(lambda: called.append(1))
    line.settle()
    line.end.take(CHUNK // 2)
    line.clock.advance(0)
    assert called == []
    line.end.take()
    line.clock.advance(0)
    assert called == [1]


def test_after_stop_there_is_no_timer_no_producer_and_no_call(layered: bool, alice: Sender) -> None:
    line = Line(layered=layered)
    line.clog(alice)
    line.direct(alice, filling(BOUND))
    line.pump.when_empty(lambda: pytest.fail("it was stopped"))
    line.pump.stop()
    line.pump.stop()
    line.end.take()
    line.pass_time(10 * STALL)
    assert line.given_up == []
    assert line.transport.producer is None


def test_after_stop_nothing_is_waited_for_and_a_line_can_still_be_put(layered: bool, alice: Sender) -> None:
    line, called = Line(layered=layered), []
    line.pump.stop()
    line.pump.when_empty(lambda: called.append(1))
    line.direct(alice, b"." * CHUNK)
    line.settle()
    assert called == [1]
    assert line.end.received == b""
    assert line.outbox.queued() == 1


# A turn


def test_calls_are_made_in_the_next_turn_in_order_and_pumps_are_flushed_after_them() -> None:
    clock = Clock()
    turn, called = Turn(clock), []
    turn.soon(lambda: called.append(1))
    turn.soon(lambda: turn.soon(lambda: called.append(3)))
    turn.soon(lambda: called.append(2))
    assert clock.getDelayedCalls()
    assert called == []
    clock.advance(0)
    clock.advance(0)
    assert called == [1, 2, 3]
    assert not clock.getDelayedCalls()


def test_a_call_that_fails_is_logged_and_the_others_are_made(logged_failures: Any) -> None:
    clock = Clock()
    turn, called = Turn(clock), []
    turn.soon(lambda: called.append(1 // 0))
    turn.soon(lambda: called.append(2))
    clock.advance(0)
    assert called == [2]
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


def test_a_pump_that_wakes_another_is_followed_by_it_in_the_same_run(alice: Sender) -> None:
    line = Line()
    line.pump.when_empty(lambda: line.direct(alice, b"said while flushing") and None)
    line.turn.run()
    line.settle()
    assert line.end.received == b"from alice: said while flushing\n"


def test_a_read_that_comes_alone_is_quiet_and_reads_that_follow_closely_are_not() -> None:
    turn = Turn(Clock())
    assert turn.is_quiet(1.0)
    assert not turn.is_quiet(1.0 + CLOSE / 2)
    assert not turn.is_quiet(1.0 + CLOSE)
    assert turn.is_quiet(1.0 + 3 * CLOSE)
    turn.schedule()
    assert not turn.is_quiet(2.0)
