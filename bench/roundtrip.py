"""The time for one line there and one back, with nothing else under way.

In: a plan with two peers, a dialect, their sockets.  Out: the time of each round trip, in seconds.
Never: two lines under way at once; an answer that is not compared to the byte.

The sockets block: an epoll would be two more system calls in each direction, of the generator's and not the server's.
"""

from __future__ import annotations

import socket
import struct
import time

from bench.connections import ANSWER_SECONDS, RunFailed
from bench.dialects import Dialect
from bench.machine import Stopwatch
from bench.plan import Plan


def round_trips(
    plan: Plan, dialect: Dialect, sockets: dict[bytes, socket.socket], count: int, watch: Stopwatch
) -> list[float]:
    """Let the first two peers send each other so many lines in turn."""
    asking, answering = plan.peers[:2]
    text = plan.text(asking.name, 0)
    question = dialect.publish((answering.name,), text)
    question_due = dialect.delivery(asking.name, answering.name, answering, text)
    answer = dialect.publish((asking.name,), text)
    answer_due = dialect.delivery(answering.name, asking.name, asking, text)
    here, there = sockets[asking.name], sockets[answering.name]
    for opened in (here, there):
        opened.settimeout(None)
        # A timeout of the kernel's, since Python's own would be a poll() before each recv().
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(ANSWER_SECONDS))
    now = time.perf_counter
    times = []
    with watch:
        for _ in range(count):
            started = now()
            here.send(question)
            _expect(there, question_due)
            there.send(answer)
            _expect(here, answer_due)
            times.append(now() - started)
    return times


def _expect(opened: socket.socket, due: bytes) -> None:
    """Read exactly this."""
    try:
        got = opened.recv(len(due))
        while len(got) < len(due):
            more = opened.recv(len(due) - len(got))
            if not more:
                break
            got += more
    except OSError as error:
        raise RunFailed(f"no line came: {error}") from None
    if got != due:
        raise RunFailed(f"{got!r} came, not {due!r}")


def _timeval(seconds: float) -> bytes:
    """The kernel's struct timeval."""
    return struct.pack("@ll", int(seconds), 0)
