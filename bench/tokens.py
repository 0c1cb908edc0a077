"""Each line answered by one: a peer that gets a line sends its next one, which waits behind no other of its own.

In: a plan of single names, a dialect, logged-in sockets.  Out: the seconds until a number of lines had arrived.
Never: two lines in one write, more lines under way than there are peers.

As many lines are under way as there are peers.  A server that is slower than the generator finds several sockets
readable at once, with one line in each, as from many people who type.
"""

from __future__ import annotations

import select
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle

from bench.connections import RunFailed
from bench.dialects import Dialect
from bench.load import RECEIVE, STALL_SECONDS
from bench.machine import Stopwatch
from bench.plan import Plan

BLOCK_LINES = 500


@dataclass(slots=True)
class Turn:
    """One peer: what it sends next, and how much it has sent and got."""

    name: bytes
    send: Callable[[bytes], int]
    recv_into: Callable[[bytearray], int]
    lines: Iterator[bytes]
    sent: int = 0
    got: int = 0
    rest: int = 0
    """Bytes of a line that has not come whole."""


def pass_tokens(
    plan: Plan, dialect: Dialect, sockets: dict[bytes, socket.socket], total: int, watch: Stopwatch
) -> None:
    """Keep lines under way until `total` have arrived, timed by the watch; then compare what each peer got."""
    plan = plan.cut(BLOCK_LINES)
    turns = {sockets[turn.name].fileno(): turn for turn in _turns(plan, dialect, sockets)}
    with select.epoll() as poll:
        for fd in turns:
            poll.register(fd, select.EPOLLIN)
        try:
            with watch:
                _pass(turns, poll, _width(plan, dialect), total)
        except OSError as error:
            raise RunFailed(f"a connection is lost or takes no line: {error}") from None
    _compare(plan, list(turns.values()))


def _pass(turns: dict[int, Turn], poll: select.epoll, width: int, total: int) -> None:
    """The timed part.  One function without calls of its own: it is what limits how fast a server can be measured."""
    buffer = bytearray(RECEIVE)
    unsent, missing = total, total
    for turn in list(turns.values())[:total]:
        turn.send(next(turn.lines))
        turn.sent += 1
        unsent -= 1
    while missing:
        events = poll.poll(STALL_SECONDS)
        if not events:
            raise RunFailed(f"nothing moved for {STALL_SECONDS:.0f} s: {missing} lines missing")
        for fd, _ in events:
            turn = turns[fd]
            count = turn.recv_into(buffer)
            if not count:
                raise RunFailed(f"{turn.name.decode()} was closed by the server")
            lines, turn.rest = divmod(count + turn.rest, width)
            turn.got += lines
            missing -= lines
            if lines > unsent:
                lines = unsent
            unsent -= lines
            turn.sent += lines
            while lines:
                turn.send(next(turn.lines))
                lines -= 1


def _turns(plan: Plan, dialect: Dialect, sockets: dict[bytes, socket.socket]) -> Iterator[Turn]:
    for peer in plan.peers:
        opened = sockets[peer.name]
        opened.setblocking(False)
        lines = [
            dialect.publish(addresses, plan.text(peer.name, number))
            for number, addresses in enumerate(plan.lines[peer.name])
        ]
        yield Turn(peer.name, opened.send, opened.recv_into, cycle(lines))


def _width(plan: Plan, dialect: Dialect) -> int:
    """The length of a delivery, which is the same from and to everyone."""
    sender, receiver = plan.peers[:2]
    return len(dialect.delivery(sender, receiver.name, receiver, plan.text(sender.name, 0)))


def _compare(plan: Plan, turns: list[Turn]) -> None:
    """Fail unless each peer got exactly as many lines as were sent to it, and no byte more."""
    due: Counter[bytes] = Counter()
    for turn in turns:
        block = plan.lines[turn.name]
        for number, addresses in enumerate(block):
            due.update({address: turn.sent // len(block) + (number < turn.sent % len(block)) for address in addresses})
    for turn in turns:
        if turn.got != due[turn.name] or turn.rest:
            raise RunFailed(f"{turn.name.decode()} got {turn.got} lines and {turn.rest} bytes, not {due[turn.name]}")
