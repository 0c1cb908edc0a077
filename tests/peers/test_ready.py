"""Sockets read in one call: what reaches a connection, what goes back to the reactor, when it looks again."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet import interfaces
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from nettool.peers.ready import COST, FEW, LONGEST, LOOK, SOON, ReadySockets, can_read


@implementer(interfaces.IReactorFDSet)
class Reactor(Clock):
    """What the sockets are to a reactor, and how much time each look takes."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[Any] = []
        self.between: Callable[[], None] = lambda: None

    def addReader(self, reader: Any) -> None:
        if reader not in self.read:
            self.read.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.read:
            self.read.remove(reader)

    def seconds(self) -> float:
        self.between()
        return super().seconds()


class Transport:
    """As much of Twisted's transport as is asked, on a real socket; its protocol writes down what came."""

    bufferSize = 100

    def __init__(self, reactor: Reactor) -> None:
        self.reactor: Any = reactor
        self.socket, self.peer = socket.socketpair()
        self.socket.setblocking(False)
        self.protocol = self
        self.came: list[bytes] = []
        self.lost: list[type[BaseException]] = []
        self.aborted = False
        self.fails = False
        self.then: Callable[[], None] = lambda: None

    def getHandle(self) -> Any:
        return self

    def fileno(self) -> int:
        return self.socket.fileno()

    def recv(self, size: int) -> bytes:
        if self.fails:
            raise ConnectionResetError
        return self.socket.recv(size)

    def getPeer(self) -> str:
        return "a peer"

    def read(self, data: bytes, now: float) -> None:
        self.came.append(data)
        self.then()

    def pause(self) -> None:
        self.reactor.removeReader(self)

    def resume(self) -> None:
        self.reactor.addReader(self)

    def connectionLost(self, reason: Failure) -> None:
        self.lost.append(reason.type or Exception)
        self.pause()
        self.close()

    def abortConnection(self) -> None:
        self.aborted = True
        self.pause()

    def close(self) -> None:
        self.socket.close()
        self.peer.close()


class Street:
    """Sockets, and the reactor that they are read by."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.ends = 0
        self.waits = False
        self.ready = ReadySockets(self.reactor, self.end_of_turn)
        self.transports: list[Transport] = []

    def end_of_turn(self, now: float) -> bool:
        self.ends += 1
        return not self.waits

    def connect(self) -> Transport:
        transport = Transport(self.reactor)
        self.reactor.addReader(transport)
        self.ready.take_over(transport)
        self.transports.append(transport)
        return transport

    def close(self) -> None:
        for transport in self.transports:
            transport.pause()
            transport.close()
        assert self.reactor.read == [it for it in self.reactor.read if it is not self.ready]
        assert self.ready.fileno() == -1


@pytest.fixture
def street() -> Iterator[Street]:
    street = Street()
    yield street
    street.close()


def test_the_reactor_watches_one_descriptor_for_all(street: Street) -> None:
    one, other = street.connect(), street.connect()
    assert street.reactor.read == [street.ready]
    one.peer.send(b"one")
    other.peer.send(b"other")
    street.ready.doRead()
    assert (one.came, other.came, street.ends) == ([b"one"], [b"other"], 1)


def test_a_read_is_as_large_as_the_transport_says(street: Street) -> None:
    one = street.connect()
    one.peer.send(b"x" * 150)
    street.ready.doRead()
    one.bufferSize = 20
    street.ready.doRead()
    assert [len(data) for data in one.came] == [100, 20]


def test_a_paused_transport_is_not_read_before_it_resumes(street: Street) -> None:
    one, other = street.connect(), street.connect()
    one.pause()
    one.pause()
    one.peer.send(b"one")
    other.peer.send(b"other")
    street.ready.doRead()
    assert (one.came, other.came) == ([], [b"other"])
    one.resume()
    one.resume()
    street.ready.doRead()
    assert one.came == [b"one"]


def test_the_last_one_that_pauses_takes_the_descriptor_with_it_and_the_next_brings_it_back(street: Street) -> None:
    one = street.connect()
    one.pause()
    assert street.reactor.read == []
    street.ready.doRead()
    one.peer.send(b"one")
    one.resume()
    assert street.reactor.read == [street.ready]
    street.ready.doRead()
    assert one.came == [b"one"]


def test_one_that_another_pauses_in_the_same_round_is_not_read(street: Street) -> None:
    pair = street.connect(), street.connect()
    for one, other in (pair, pair[::-1]):
        one.then = other.pause
        one.peer.send(b"x")
    street.ready.doRead()
    assert sorted(len(one.came) for one in pair) == [0, 1]


def test_the_last_one_may_end_in_the_middle_of_its_own_read(street: Street) -> None:
    one = street.connect()
    one.then = one.abortConnection
    one.peer.send(b"x")
    street.ready.doRead()
    assert one.came == [b"x"]
    assert street.reactor.read == []


def test_an_end_of_input_is_the_reactors(street: Street) -> None:
    one, other = street.connect(), street.connect()
    one.peer.send(b"last")
    one.peer.shutdown(socket.SHUT_WR)
    street.ready.doRead()
    assert one.came == [b"last"]
    street.ready.doRead()
    assert street.reactor.read == [street.ready, one]
    assert one.reactor is street.reactor
    other.peer.send(b"x")
    street.ready.doRead()
    assert other.came == [b"x"]


def test_a_connection_that_both_sides_have_left_is_the_reactors_with_what_is_in_it(street: Street) -> None:
    one = street.connect()
    one.peer.send(b"last")
    one.peer.close()
    street.ready.doRead()
    assert one.came == []  # the reactor reads it
    assert street.reactor.read == [one]


def test_an_error_ends_that_connection_alone(street: Street) -> None:
    one, other = street.connect(), street.connect()
    one.fails = True  # a reset between the epoll's word and the read
    one.peer.send(b"x")
    street.ready.doRead()
    assert one.lost == [ConnectionLost]
    other.peer.send(b"x")
    street.ready.doRead()
    assert other.came == [b"x"]


def test_a_fault_ends_that_connection_alone_and_is_logged(street: Street, logged_failures: Any) -> None:
    one, other = street.connect(), street.connect()

    def fail() -> None:
        raise ZeroDivisionError

    one.then = fail
    one.peer.send(b"x")
    other.peer.send(b"x")
    street.ready.doRead()
    assert one.aborted
    assert other.came == [b"x"]
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


def test_something_that_is_ready_without_a_byte_is_waited_for(street: Street) -> None:
    one = street.connect()
    street.ready._read([(one.socket.fileno(), 1)])
    assert (one.came, one.lost) == ([], [])


def test_all_are_lost_with_the_reactor(street: Street) -> None:
    one, other = street.connect(), street.connect()
    street.ready.connectionLost(Failure(ConnectionLost()))
    assert one.lost == other.lost == [ConnectionLost]


def test_what_else_is_asked_of_the_reactor_reaches_it(street: Street) -> None:
    one = street.connect()
    called: list[int] = []
    one.reactor.callLater(0, called.append, 1)
    street.reactor.advance(0)
    assert called == [1]


def test_only_sockets_of_the_kernel_can_be_read_here() -> None:
    transport = Transport(Reactor())
    assert can_read(transport, transport.reactor)
    assert not can_read(transport, Clock())
    transport.close()
    assert not can_read(transport, transport.reactor)


# --- looking again


class Pair(Street):
    """A peer that answers, some time after the round in which it was read."""

    def __init__(self, delay: float) -> None:
        super().__init__()
        self.delay = delay
        self.one = self.connect()
        self.ready._looks = True
        self.looked = 0
        self.due = 0.0
        self.answers = 0

    def round(self, answers: int = 0) -> int:
        """One call of the reactor's, with so many answers to what it brings; how often it looked for them."""
        self.answers, self.looked = answers, 0
        self.reactor.between = lambda: None
        self.one.peer.send(b"x")
        self.reactor.between = self.time_passes
        self.ready.doRead()
        self.reactor.between = lambda: None
        return self.looked

    def end_of_turn(self, now: float) -> bool:
        self.due = self.reactor.rightNow + self.delay
        return super().end_of_turn(now)

    def time_passes(self) -> None:
        self.looked += 1
        self.reactor.rightNow += 1e-6
        if self.answers and self.reactor.rightNow >= self.due > 0:
            self.answers -= 1
            self.due = 0.0
            self.one.peer.send(b"x")


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    pair = Pair(LOOK / 2)
    yield pair
    pair.close()


def is_patient(pair: Pair) -> bool:
    return pair.round() > LOOK / 1e-6 / 2


def soon(pair: Pair, rounds: int) -> None:
    for _ in range(rounds):
        pair.reactor.rightNow += SOON / 2
        pair.round()


def test_it_does_not_look_again_where_that_has_not_paid(pair: Pair) -> None:
    pair.reactor.rightNow = 10.0
    for _ in range(20):
        pair.reactor.rightNow += 2 * SOON
        assert not is_patient(pair)


def test_it_looks_again_once_enough_rounds_came_soon(pair: Pair) -> None:
    pair.reactor.rightNow = 10.0
    pair.round()
    soon(pair, COST - 1)
    pair.reactor.rightNow += SOON / 2
    assert is_patient(pair)
    pair.reactor.rightNow += SOON / 2
    assert not is_patient(pair)  # in vain: it must come soon so many times again


def test_what_comes_while_it_looks_is_read_in_the_same_call(pair: Pair) -> None:
    pair.reactor.rightNow = 10.0
    pair.round()
    soon(pair, COST - 1)
    before = sum(map(len, pair.one.came))
    pair.reactor.rightNow += SOON / 2
    pair.round(answers=3)
    assert pair.answers == 0
    assert sum(map(len, pair.one.came)) - before == 4


def test_however_much_comes_the_reactor_has_its_turn(pair: Pair) -> None:
    pair.reactor.rightNow = 10.0
    pair.round()
    soon(pair, COST - 1)
    pair.reactor.rightNow += SOON / 2
    began = pair.reactor.rightNow
    pair.round(answers=10_000)
    assert pair.answers > 9_000
    assert pair.reactor.rightNow - began < LONGEST + 2 * LOOK


def test_it_does_not_look_again_while_something_waits_for_the_reactor(pair: Pair) -> None:
    pair.reactor.rightNow = 10.0
    pair.round()
    soon(pair, COST + 2)
    pair.waits = True
    pair.reactor.rightNow += SOON / 2
    assert not is_patient(pair)


def test_it_does_not_look_again_where_many_are_ready(pair: Pair) -> None:
    pair.reactor.rightNow = 10.0
    pair.round()
    soon(pair, COST - 2)
    for _ in range(FEW):
        pair.connect().peer.send(b"x")
    pair.reactor.rightNow += SOON / 2
    assert not is_patient(pair)


def test_on_one_core_it_never_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert not ReadySockets(Reactor(), lambda: True)._looks
