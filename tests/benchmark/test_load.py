"""How the load is written: in pieces as large as the kernel takes, or each line in a write of its own."""

from __future__ import annotations

import os
import socket

import pytest

from bench.dialects import Dialect, Mosquitto, Nats, Nettool, Redis
from bench.load import encode, flows_for, send, stream
from bench.machine import Stopwatch
from bench.plan import Peer, Plan

ALICE, BOB = Peer(b"peer000"), Peer(b"peer001")
PLAN = Plan((ALICE, BOB), {ALICE.name: ((BOB.name,), (ALICE.name,)) * 3}, 32)
REPEATS = 4


@pytest.mark.parametrize(
    "dialect", [Nettool(), Nats(), Redis(), Mosquitto()], ids=lambda dialect: type(dialect).__name__
)
def test_each_line_is_a_write_of_its_own_where_that_is_measured(dialect: Dialect) -> None:
    block = encode(PLAN, dialect)
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # a packet for each write
    with mine, theirs:
        flow = flows_for(block, REPEATS, {ALICE.name: mine}, line_by_line=True)[0]
        writes = []
        while flow.unsent:
            send(flow)
            writes.append(theirs.recv(65536))
    lines = [dialect.publish(addresses, PLAN.text(ALICE.name, n)) for n, addresses in enumerate(PLAN.lines[ALICE.name])]
    assert writes == lines * REPEATS


def test_what_the_kernel_did_not_take_of_a_line_goes_alone() -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, theirs:
        flow = flows_for(encode(PLAN, Nettool()), 1, {ALICE.name: mine}, line_by_line=True)[0]
        flow.unsent -= 10  # as after a write of which it took 10 bytes
        send(flow)
        send(flow)
        first, second = theirs.recv(65536), theirs.recv(65536)
    lines = [
        Nettool().publish(addresses, PLAN.text(ALICE.name, n)) for n, addresses in enumerate(PLAN.lines[ALICE.name])
    ]
    assert [first, second] == [lines[0][10:], lines[1]]


def test_without_that_a_write_has_as_many_lines_as_there_are() -> None:
    block = encode(PLAN, Nettool())
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, theirs:
        flow = flows_for(block, 1, {ALICE.name: mine})[0]
        send(flow)
        assert not flow.unsent
        assert theirs.recv(65536) == block.sends[ALICE.name][: flow.block_bytes]


def test_a_load_of_single_lines_ends_when_all_has_come() -> None:
    plan = Plan((ALICE, BOB), {ALICE.name: ((BOB.name,),) * 5}, 32)
    mine, theirs = socket.socketpair()
    bobs, his = socket.socketpair()
    with mine, theirs, bobs, his:
        texts = [Nettool().delivery(ALICE, BOB.name, BOB, plan.text(ALICE.name, number)) for number in range(5)]
        his.sendall(b"".join(texts) * REPEATS)
        flows = flows_for(encode(plan, Nettool()), REPEATS, {ALICE.name: mine, BOB.name: bobs}, line_by_line=True)
        stream(flows, Stopwatch(os.getpid()))
        assert not any(flow.unsent or flow.missing for flow in flows)
        assert theirs.recv(65536) == encode(plan, Nettool()).sends[ALICE.name][: flows[0].block_bytes] * REPEATS
