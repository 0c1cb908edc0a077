"""A run in which a line is missing, doubled, foreign or late does not count."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from bench import connections, load, pace, readers
from bench.check import _compare
from bench.connections import RunFailed, settle
from bench.dialects import Nettool
from bench.load import encode, flows_for, stream
from bench.machine import Stopwatch
from bench.pace import PacedStream
from bench.plan import Peer, Plan
from bench.readers import send_and_read

ALICE, BOB, CAROL, DAVE = (Peer(name) for name in (b"peer000", b"peer001", b"peer002", b"peer003"))
PLAN = Plan((ALICE, BOB), {ALICE.name: ((BOB.name,),) * 100}, 32)
DELIVERIES = [Nettool().delivery(ALICE, BOB.name, BOB, PLAN.text(ALICE.name, number)) for number in range(100)]

Ends = dict[bytes, socket.socket]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Ends, Ends]]:
    """The benchmark's ends of connections, and a server's; nobody is waited for long."""
    monkeypatch.setattr(load, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(readers, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(pace, "ANSWER_SECONDS", 0.2)
    pairs = {peer.name: socket.socketpair() for peer in (ALICE, BOB, CAROL, DAVE)}
    yield {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}
    for pair in pairs.values():
        pair[0].close()
        pair[1].close()


def _run(plan: Plan, ends: Ends) -> None:
    mine = {peer.name: ends[peer.name] for peer in plan.peers}
    stream(flows_for(encode(plan, Nettool()), 1, mine), Stopwatch(os.getpid()))


def test_a_run_in_which_everything_comes_counts(ends: tuple[Ends, Ends]) -> None:
    ends[1][BOB.name].sendall(b"".join(DELIVERIES))
    _run(PLAN, ends[0])


def test_a_run_in_which_a_line_is_missing_fails(ends: tuple[Ends, Ends]) -> None:
    ends[1][BOB.name].sendall(b"".join(DELIVERIES[1:]))
    with pytest.raises(RunFailed, match=f"{len(DELIVERIES[0])} bytes missing for 1 peers"):
        _run(PLAN, ends[0])


def test_a_run_in_which_a_byte_is_missing_fails(ends: tuple[Ends, Ends]) -> None:
    ends[1][BOB.name].sendall(b"".join(DELIVERIES)[:-1])
    with pytest.raises(RunFailed, match="1 bytes missing"):
        _run(PLAN, ends[0])


def test_a_run_in_which_a_line_comes_twice_fails(ends: tuple[Ends, Ends]) -> None:
    ends[1][BOB.name].sendall(b"".join([*DELIVERIES, DELIVERIES[0]]))
    with pytest.raises(RunFailed, match="more than was due"):
        _run(PLAN, ends[0])


def test_what_comes_after_a_run_is_too_much(ends: tuple[Ends, Ends]) -> None:
    ends[1][BOB.name].sendall(b"late\npong ready\n")
    with pytest.raises(RunFailed, match="peer001 got 5 bytes too much"):
        settle({BOB.name: ends[0][BOB.name]}, Nettool())


def test_a_run_in_which_the_server_closes_fails(ends: tuple[Ends, Ends]) -> None:
    ends[1][BOB.name].close()
    with pytest.raises(RunFailed, match=r"closed by the server|lost its connection"):
        _run(PLAN, ends[0])


NUMBERED = {b"one\n": (b"alice", 1), b"two\n": (b"alice", 2), b"new\n": (b"bob", 1)}


@pytest.mark.parametrize(
    ("got", "complaint"),
    [
        (b"one\ntwo\n", "did not get 1 lines"),
        (b"two\none\nnew\n", "got line 1 of alice after line 2"),
        (b"one\none\ntwo\nnew\n", "not due, or not again"),
        (b"one\nsix\ntwo\nnew\n", "b'six"),
    ],
)
def test_the_check_of_contents_tells_what_is_wrong(got: bytes, complaint: str) -> None:
    with pytest.raises(RunFailed, match=complaint):
        _compare(b"dave", got, dict(NUMBERED))


def test_the_check_of_contents_lets_senders_come_in_any_order() -> None:
    _compare(b"dave", b"new\none\ntwo\n", dict(NUMBERED))
    _compare(b"dave", b"one\nnew\ntwo\n", dict(NUMBERED))


# --- the stream beside which round trips are timed ------------------------------------------------

BESIDE = Plan((ALICE, BOB, CAROL, DAVE), {CAROL.name: ((DAVE.name,),) * 100}, 32)
SENT = len(Nettool().publish((DAVE.name,), BESIDE.text(CAROL.name, 0)))
DELIVERED = Nettool().delivery(CAROL, DAVE.name, DAVE, BESIDE.text(CAROL.name, 0))


def _paced(ends: tuple[Ends, Ends], missing: int = 0) -> PacedStream:
    """A stream of 1,000 lines a second for about 50 ms, of which a server delivers all lines but some."""
    with PacedStream(BESIDE, Nettool(), ends[0], 1000) as load:
        load.begin()
        while load.sent < 50 * SENT:
            load.turn()
        load.next_burst += 60
        ends[1][DAVE.name].sendall(DELIVERED * (load.sent // SENT - missing))
        load.turn()
        load.end()
        load.rest()
        return load


def test_a_rate_that_was_kept_is_no_shortfall(ends: tuple[Ends, Ends]) -> None:
    load = _paced(ends)
    load.seconds = load.in_time / 1000
    assert load.shortfall() is None


def test_a_rate_that_was_not_kept_is_told(ends: tuple[Ends, Ends]) -> None:
    load = _paced(ends)
    load.seconds = load.in_time / 500
    assert load.shortfall() == "delivers 500 of 1,000 lines a second"


def test_a_line_of_the_stream_that_never_comes_fails_the_run(ends: tuple[Ends, Ends]) -> None:
    with pytest.raises(RunFailed, match="bytes of the stream are missing"):
        _paced(ends, missing=1)


# --- beside a slow reader -------------------------------------------------------------------------

TOPIC = b"#room00"
HEARERS = Plan((ALICE, Peer(BOB.name, (TOPIC,)), Peer(CAROL.name, (TOPIC,))), {ALICE.name: ((TOPIC,),) * 10}, 32)
HEARD = b"".join(Nettool().delivery(ALICE, TOPIC, BOB, HEARERS.text(ALICE.name, number)) for number in range(10))


def _serve(ends: Ends, delivered: dict[bytes, bytes | None]) -> None:
    """A server that delivers this after the sender's ping, and closes whom it delivers nothing."""
    said = b""
    while not said.endswith(Nettool.ping):
        said += ends[ALICE.name].recv(65536)
    for name, heard in delivered.items():
        if heard is None:
            ends[name].close()
        else:
            ends[name].sendall(heard)
    ends[ALICE.name].sendall(Nettool.pong)
    for name, heard in delivered.items():
        if heard is not None and select.select([ends[name]], [], [], 1)[0] and ends[name].recv(100) == Nettool.ping:
            ends[name].sendall(Nettool.pong)


def _readers(ends: tuple[Ends, Ends], delivered: dict[bytes, bytes | None]) -> list[tuple[int, bool]]:
    mine = {peer.name: ends[0][peer.name] for peer in HEARERS.peers}
    server = threading.Thread(target=_serve, args=(ends[1], delivered))
    server.start()
    try:
        block = encode(HEARERS, Nettool())
        found = send_and_read(HEARERS, Nettool(), block, 1, mine, Stopwatch(os.getpid()))
    finally:
        server.join(5)
    return [(reader.got, reader.closed) for reader in found]


def test_what_those_who_read_get_is_counted_to_the_byte(ends: tuple[Ends, Ends]) -> None:
    found = _readers(ends, {BOB.name: HEARD, CAROL.name: HEARD[: len(HEARD) // 2]})
    assert found == [(len(HEARD), False), (len(HEARD) // 2, False)]


def test_who_is_closed_is_told_and_holds_up_nobody(ends: tuple[Ends, Ends]) -> None:
    assert _readers(ends, {BOB.name: HEARD, CAROL.name: None}) == [(len(HEARD), False), (0, True)]


def test_more_than_was_sent_fails_the_run(ends: tuple[Ends, Ends]) -> None:
    with pytest.raises(RunFailed, match="6 bytes too much"):
        _readers(ends, {BOB.name: HEARD + b"extra\n", CAROL.name: HEARD})
