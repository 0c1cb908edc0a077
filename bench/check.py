"""Before any time is taken: does the server deliver each line, whole, once, in its sender's order, to whom it is due?

In: the first lines of a plan, a dialect, logged-in sockets.  Out: nothing, or a failure that says what is wrong.
Never: part of a timed run, which only counts bytes.
"""

from __future__ import annotations

import os
import socket

from bench.connections import RunFailed
from bench.dialects import Dialect
from bench.load import encode, flows_for, stream
from bench.machine import Stopwatch
from bench.plan import Plan

DELIVERIES = 20_000


def check_contents(plan: Plan, dialect: Dialect, sockets: dict[bytes, socket.socket]) -> None:
    """Send the first lines of each sender once and compare everything that comes."""
    each = encode(plan.cut(1), dialect).deliveries
    plan = plan.cut(max(2, DELIVERIES // each))
    flows = flows_for(encode(plan, dialect), 1, sockets, keep=True)
    stream(flows, Stopwatch(os.getpid()))
    due = _due(plan, dialect)
    for flow in flows:
        _compare(flow.name, bytes(flow.kept or b""), due.get(flow.name, {}))


def _due(plan: Plan, dialect: Dialect) -> dict[bytes, dict[bytes, tuple[bytes, int]]]:
    """For each receiver: what it is to get, and whose line of which number that is."""
    due: dict[bytes, dict[bytes, tuple[bytes, int]]] = {}
    for sender, lines in plan.lines.items():
        for number, addresses in enumerate(lines):
            text = plan.text(sender, number)
            for address in addresses:
                for receiver in plan.receivers(sender, address, dialect.echoes):
                    delivery = dialect.delivery(plan.peer(sender), address, receiver, text)
                    due.setdefault(receiver.name, {})[delivery] = (sender, number)
    return due


def _compare(receiver: bytes, got: bytes, due: dict[bytes, tuple[bytes, int]]) -> None:
    """Take `got` apart into deliveries that are due, each once, those of a sender with rising numbers."""
    lengths = {len(delivery) for delivery in due}
    latest: dict[bytes, int] = {}
    at = 0
    while at < len(got):
        found = next((got[at : at + length] for length in lengths if got[at : at + length] in due), None)
        if found is None:
            raise RunFailed(f"{receiver.decode()} got {got[at : at + 100]!r}, which is not due, or not again")
        sender, number = due.pop(found)
        if number < latest.get(sender, -1):
            raise RunFailed(f"{receiver.decode()} got line {number} of {sender.decode()} after line {latest[sender]}")
        latest[sender] = number
        at += len(found)
    if due:
        raise RunFailed(f"{receiver.decode()} did not get {len(due)} lines, such as {next(iter(due))!r}")
