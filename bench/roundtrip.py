"""The time for one line there and one back, with nothing else under way, or beside a stream of a fixed rate.

In: a plan whose first two peers exchange lines, a dialect, the sockets.  Out: the time of each round trip, in seconds.
Never: two lines of the round trips under way at once; an answer that is not compared to the byte.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass

from bench.connections import ANSWER_SECONDS, RunFailed
from bench.dialects import Dialect
from bench.machine import Stopwatch
from bench.pace import PacedStream
from bench.plan import Plan


@dataclass(frozen=True)
class Leg:
    """One direction: what goes into which socket, and what is to come out of the other."""

    sent: bytes
    due: bytes
    start: socket.socket
    end: socket.socket

    def expect(self) -> None:
        """Read exactly what is due."""
        try:
            got = self.end.recv(len(self.due))
            while len(got) < len(self.due):
                more = self.end.recv(len(self.due) - len(got))
                if not more:
                    break
                got += more
        except OSError as error:
            raise RunFailed(f"no line came: {error}") from None
        if got != self.due:
            raise RunFailed(f"{got!r} came, not {self.due!r}")


def round_trips(
    plan: Plan, dialect: Dialect, sockets: dict[bytes, socket.socket], count: int, watch: Stopwatch
) -> list[float]:
    """Let the first two peers send each other so many lines in turn.

    The sockets block: an epoll would be two more system calls in each direction, of the generator's.
    """
    there, back = _legs(plan, dialect, sockets)
    now = time.perf_counter
    times = []
    with watch:
        for _ in range(count):
            started = now()
            there.start.send(there.sent)
            there.expect()
            back.start.send(back.sent)
            back.expect()
            times.append(now() - started)
    return times


def loaded_round_trips(
    plan: Plan,
    dialect: Dialect,
    sockets: dict[bytes, socket.socket],
    count: int,
    lines_per_second: int,
    watch: Stopwatch,
) -> tuple[list[float], str | None]:
    """The same while the third peer sends to the fourth, and what is wrong if the server does not keep up with that.

    One thread does both, so a round trip has to wait for the generator where it is busy with the stream: some 10 µs in
    each burst, for every server alike.
    """
    legs = _legs(plan, dialect, sockets)
    now = time.perf_counter
    times: list[float] = []
    with PacedStream(plan, dialect, sockets, lines_per_second) as load:
        for leg in legs:
            load.poll.register(leg.end, load.READABLE)
        with watch:
            load.begin()
            leg, following = legs
            started = now()
            leg.start.send(leg.sent)
            while len(times) < count and not load.over:
                if leg.end.fileno() not in load.turn():
                    continue
                leg.expect()
                if leg is legs[1]:
                    ended = now()
                    times.append(ended - started)
                    started = ended
                leg, following = following, leg
                leg.start.send(leg.sent)
            load.end()
        leg.expect()
        load.rest()
    if not times:
        raise RunFailed(f"no round trip came back in {load.seconds:.0f} s")
    return times, load.shortfall()


def _legs(plan: Plan, dialect: Dialect, sockets: dict[bytes, socket.socket]) -> tuple[Leg, Leg]:
    asking, answering = plan.peers[:2]
    text = plan.text(asking.name, 0)
    here, there = sockets[asking.name], sockets[answering.name]
    for opened in (here, there):
        opened.settimeout(None)
        # A timeout of the kernel's, since Python's own would be a poll() before each recv().
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(ANSWER_SECONDS))
    return (
        Leg(
            dialect.publish((answering.name,), text),
            dialect.delivery(asking, answering.name, answering, text),
            here,
            there,
        ),
        Leg(
            dialect.publish((asking.name,), text),
            dialect.delivery(answering, asking.name, asking, text),
            there,
            here,
        ),
    )


def _timeval(seconds: float) -> bytes:
    """The kernel's struct timeval."""
    return struct.pack("@ll", int(seconds), 0)
