"""The load generator: pre-encoded bytes out of many sockets, counted bytes in, one process, epoll.

In: a plan, a dialect, logged-in sockets.  Out: the time until the last byte that was due had come.
Never: a parsed line, a copied byte that nobody looks at, a run that ends before everything due has come.

What is due is known beforehand, to the byte and for each peer.  Received bytes are thrown away inside the kernel where
it can (MSG_TRUNC on Linux): copying them out would cost as much as the fastest server needs to send them.
"""

from __future__ import annotations

import select
import socket
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.connections import RunFailed
from bench.dialects import Dialect
from bench.machine import Stopwatch
from bench.plan import Plan

CHUNK = 256 * 1024
"""Offered to the kernel in one send; larger ones evict the processor's cache and are slower."""
RECEIVE = 1024 * 1024
STALL_SECONDS = 15.0
"""Without a byte for so long, a run has failed."""

DISCARD = socket.MSG_TRUNC if sys.platform == "linux" else 0


@dataclass(frozen=True)
class Block:
    """What one run repeats: each sender's bytes, and what each receiver gets for them."""

    sends: dict[bytes, bytes]
    """For a sender: the block, twice, so that a chunk can start anywhere in its first half."""
    due: dict[bytes, int]
    """For a receiver: bytes for one repetition."""
    deliveries: int
    lines: int
    """Of each sender."""


@dataclass
class Flow:
    """One connection during a run, and what it still has to send and to get."""

    name: bytes
    opened: socket.socket
    sends: memoryview = field(default_factory=lambda: memoryview(b""))
    block_bytes: int = 0
    unsent: int = 0
    line_bytes: int = 0
    """Of each line, where each is a send of its own."""
    missing: int = 0
    kept: bytearray | None = None
    """What came, where somebody wants to look at it."""


def encode(plan: Plan, dialect: Dialect) -> Block:
    """The bytes of a plan in a server's words."""
    sends: dict[bytes, bytes] = {}
    due: Counter[bytes] = Counter()
    deliveries = 0
    for sender, lines in plan.lines.items():
        block = b"".join(
            dialect.publish(addresses, plan.text(sender, number)) for number, addresses in enumerate(lines)
        )
        sends[sender] = block + block
        peer, text = plan.peer(sender), plan.text(sender, 0)
        for address, count in Counter(address for addresses in lines for address in addresses).items():
            for receiver in plan.receivers(sender, address, dialect.echoes):
                due[receiver.name] += count * len(dialect.delivery(peer, address, receiver, text))
                deliveries += count
    return Block(sends, dict(due), deliveries, max(len(lines) for lines in plan.lines.values()))


def flows_for(
    block: Block, repeats: int, sockets: dict[bytes, socket.socket], keep: bool = False, line_by_line: bool = False
) -> list[Flow]:
    """The connections of a run that sends the block so many times."""
    flows = []
    for name, opened in sockets.items():
        opened.setblocking(False)
        flow = Flow(name, opened, missing=block.due.get(name, 0) * repeats)
        if name in block.sends:
            flow.sends = memoryview(block.sends[name])
            flow.block_bytes = len(flow.sends) // 2
            flow.unsent = flow.block_bytes * repeats
            if line_by_line:
                flow.line_bytes = flow.block_bytes // block.lines
        if keep or not flow.missing:
            flow.kept = bytearray()
        flows.append(flow)
    return flows


def stream(flows: Iterable[Flow], watch: Stopwatch) -> None:
    """Send and receive everything as fast as the server allows, timed by the watch."""
    by_fd = {flow.opened.fileno(): flow for flow in flows}
    unfinished = sum(bool(flow.unsent) + bool(flow.missing) for flow in by_fd.values())
    buffer = bytearray(RECEIVE)
    with select.epoll() as poll:
        for fd, flow in by_fd.items():
            poll.register(fd, select.EPOLLIN | (select.EPOLLOUT if flow.unsent else 0))
        with watch:
            while unfinished:
                events = poll.poll(STALL_SECONDS)
                if not events:
                    raise RunFailed(_what_is_missing(by_fd.values()))
                for fd, event in events:
                    flow = by_fd[fd]
                    if event & ~select.EPOLLOUT and receive(flow, buffer):
                        unfinished -= 1
                    if event & select.EPOLLOUT and send(flow):
                        unfinished -= 1
                        poll.modify(fd, select.EPOLLIN)


def receive(flow: Flow, buffer: bytearray) -> bool:
    """Take what is there; whether that was the last byte due."""
    try:
        if flow.kept is None:
            count = flow.opened.recv_into(buffer, RECEIVE, DISCARD)
        else:
            count = flow.opened.recv_into(buffer)
            flow.kept += buffer[:count]
    except OSError as error:
        raise RunFailed(f"{flow.name.decode()} lost its connection: {error}") from None
    if not count:
        raise RunFailed(f"{flow.name.decode()} was closed by the server with {flow.missing} bytes missing")
    flow.missing -= count
    if flow.missing < 0:
        raise RunFailed(f"{flow.name.decode()} got more than was due, {-flow.missing} bytes: {flow.kept or b''!r}")
    return flow.missing == 0


def send(flow: Flow) -> bool:
    """Send what the kernel takes now; whether that was the last."""
    at = -flow.unsent % flow.block_bytes
    most = flow.line_bytes - at % flow.line_bytes if flow.line_bytes else CHUNK
    length = min(most, flow.unsent, len(flow.sends) - at)
    try:
        flow.unsent -= flow.opened.send(flow.sends[at : at + length])
    except OSError as error:
        raise RunFailed(f"{flow.name.decode()} could not send: {error}") from None
    return flow.unsent == 0


def _what_is_missing(flows: Iterable[Flow]) -> str:
    flows = list(flows)
    missing = [flow for flow in flows if flow.missing]
    unsent = sum(flow.unsent for flow in flows)
    return (
        f"nothing moved for {STALL_SECONDS:.0f} s: {sum(flow.missing for flow in missing)} bytes missing for"
        f" {len(missing)} peers, {unsent} bytes unsent"
    )
