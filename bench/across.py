"""What is measured only of linked nodes: one receiver there who never reads, and what crosses the link.

In: a plan of pairs from one node to the other, or of one sender and the hearers of a topic.  Out: the rate of the pairs
beside the one that is stuck, and both nodes' memory; the bytes that the nodes said to each other.
Never: bounds that were chosen for this; a line that the others lost and nobody counts; a byte of the link's that is
not counted.
"""

from __future__ import annotations

import os
import select
import socket
import time
from dataclasses import dataclass, replace

from bench import machine
from bench.connections import connected, settle
from bench.dialects import Dialect
from bench.load import CHUNK, DISCARD, RECEIVE, STALL_SECONDS, Block, Flow, encode, flows_for, receive, send, stream
from bench.machine import Stopwatch
from bench.measures import WARM_UP, Bed, Outcome, Stream
from bench.plan import Plan
from bench.quantities import (
    CARRIED,
    GROWTH_HERE,
    GROWTH_THERE,
    HELD_UP,
    KEPT,
    LOST,
    RATE_BESIDE,
    RATE_WITHOUT,
)
from bench.relay import Relay
from bench.slow import Beside, Half, Sockets

CARRIED_LINES = 20_000


@dataclass
class Stuck:
    """A sender whose receiver does not read: it sends as much as it is let, and reads what comes back."""

    opened: socket.socket
    sends: memoryview
    sent: int = 0
    back: int = 0
    closed: bool = False

    def turn(self, event: int, buffer: bytearray) -> None:
        """Send and read what there is; a connection that is lost sends no more."""
        size = len(self.sends) // 2
        try:
            if event & ~select.EPOLLOUT:
                got = self.opened.recv_into(buffer, RECEIVE, DISCARD)
                self.back += got
                self.closed = not got
            if event & select.EPOLLOUT:
                at = self.sent % size
                self.sent += self.opened.send(self.sends[at : at + min(CHUNK, size)])
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True


class SlowAcross(Beside):
    """Pairs whose lines share one link; the last one's receiver never reads."""

    quantities = (KEPT, HELD_UP, RATE_BESIDE, RATE_WITHOUT, GROWTH_HERE, GROWTH_THERE, LOST)

    def healthy(self, plan: Plan) -> Plan:
        *_, sender = plan.lines
        receiver = plan.peers[-1]
        return plan.without(plan.peer(sender), receiver)

    def copies(self, healthy: Plan) -> int:
        return len(healthy.lines)

    def send(
        self, plan: Plan, dialect: Dialect, block: Block, repeats: int, sockets: Sockets, watch: Stopwatch
    ) -> None:
        stream(flows_for(block, repeats, sockets), watch)

    def more(self, beside: Half, without: Half) -> dict[str, float | None]:
        return dict(zip((GROWTH_HERE.key, GROWTH_THERE.key), beside.growth, strict=True))

    def half(self, bed: Bed, plan: Plan, amount: int) -> Half:
        healthy = self.healthy(bed.plan)
        block = encode(healthy, bed.server.dialect)
        repeats = max(1, round(amount / block.lines))
        with bed.started(own_bounds=True) as node, connected(node, plan.peers) as sockets:
            mine = {peer.name: sockets[peer.name] for peer in healthy.peers}
            stream(flows_for(block, max(1, round(repeats * WARM_UP)), mine), Stopwatch(*node.pids))
            settle(mine, bed.server.dialect)
            for pid in node.pids:
                machine.forget_peak(pid)
            before = [machine.memory(pid) for pid in node.pids]
            stuck = _stuck(bed, sockets) if plan is bed.plan else None
            watch, flows = Stopwatch(*node.pids), flows_for(block, repeats, mine)
            seconds = _stream_beside(flows, stuck, watch)
            peaks = [machine.peak_memory(pid) for pid in node.pids]
        due = sum(block.due.values()) * repeats
        missing = sum(flow.missing for flow in flows)
        lines = block.deliveries * repeats
        return Half(
            rate=lines * (1 - missing / due) / seconds,
            growth=tuple(_growth(one, other) for one, other in zip(before, peaks, strict=True)),
            lost=lines * missing / due,
            watch=watch,
            seconds=seconds,
            remark="" if stuck is None else _fate(stuck),
        )


class Carried(Stream):
    """What two nodes say to each other while so many lines go to a topic.  Nothing is timed."""

    title = "bytes on the link"
    quantities = (CARRIED,)

    def amount(self, bed: Bed, node: object, sockets: object) -> int:
        return CARRIED_LINES

    def resized(self, bed: Bed, amount: int, outcome: Outcome) -> int:
        return amount

    def run(self, bed: Bed, amount: int) -> Outcome:
        dialect = bed.server.dialect
        block = encode(bed.plan.cut(amount), dialect)
        repeats = max(1, round(amount / block.lines))
        watch = Stopwatch(os.getpid())
        with Relay() as relay, bed.started(relay=relay) as node, connected(node, bed.plan.peers) as sockets:
            settle(sockets, dialect)
            before = relay.carried
            stream(flows_for(block, repeats, sockets), watch)
            settle(sockets, dialect)
            carried = relay.carried - before
        return Outcome({CARRIED.key: carried / (block.lines * repeats)}, watch)


def _stuck(bed: Bed, sockets: dict[bytes, socket.socket]) -> Stuck:
    *_, sender = bed.plan.lines
    only = replace(bed.plan, lines={sender: bed.plan.lines[sender]})
    opened = sockets[sender]
    opened.setblocking(False)
    return Stuck(opened, memoryview(encode(only, bed.server.dialect).sends[sender]))


def _stream_beside(flows: list[Flow], stuck: Stuck | None, watch: Stopwatch) -> float:
    """As `stream`, with one more sender; the seconds until the last byte, also where some never came."""
    by_fd = {flow.opened.fileno(): flow for flow in flows}
    unfinished = sum(bool(flow.unsent) + bool(flow.missing) for flow in flows)
    buffer = bytearray(RECEIVE)
    with select.epoll() as poll:
        for fd, flow in by_fd.items():
            poll.register(fd, select.EPOLLIN | (select.EPOLLOUT if flow.unsent else 0))
        if stuck is not None:
            poll.register(stuck.opened, select.EPOLLIN | select.EPOLLOUT)
        with watch:
            moved = started = time.perf_counter()
            while unfinished and time.perf_counter() - moved < STALL_SECONDS:
                for fd, event in poll.poll(1.0):
                    own = by_fd.get(fd)
                    if own is None:
                        assert stuck is not None
                        stuck.turn(event, buffer)
                        if stuck.closed:
                            poll.unregister(fd)
                        continue
                    moved = time.perf_counter()
                    if event & ~select.EPOLLOUT and receive(own, buffer):
                        unfinished -= 1
                    if event & select.EPOLLOUT and send(own):
                        unfinished -= 1
                        poll.modify(fd, select.EPOLLIN)
    return moved - started


def _growth(before: int | None, peak: int | None) -> float | None:
    return None if before is None or peak is None else float(max(0, peak - before))


def _fate(stuck: Stuck) -> str:
    """What became of the pair that was stuck."""
    mib = 1024 * 1024
    said = f"its sender could send {stuck.sent / mib:.0f} MiB and got {stuck.back / mib:.0f} MiB back"
    return said + ("; its sender was closed" if stuck.closed else "")
