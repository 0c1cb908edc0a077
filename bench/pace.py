"""A stream of a fixed rate, one burst each millisecond, beside which something else is timed.

In: a plan whose third peer sends to the fourth, a dialect, their sockets, lines a second.
Out: a turn of an epoll loop at a time, with the other sockets that became readable.
Never: a rate that the server did not keep, taken for one that it kept; a line of the stream that did not arrive.
"""

from __future__ import annotations

import select
import socket
import time

from bench.connections import ANSWER_SECONDS, RunFailed
from bench.dialects import Dialect
from bench.load import CHUNK, DISCARD, RECEIVE, encode
from bench.plan import Plan

BURST_SECONDS = 0.001
KEPT = 0.95
"""A server that has delivered less than this share of what was to be sent until the end does not keep the rate."""
LONGEST_SECONDS = 10.0
"""So long are round trips waited for beside a server that is overrun."""


class PacedStream:
    """The stream.  Invariant: what has been offered is never ahead of the clock; what was late is made up for."""

    READABLE = select.EPOLLIN

    def __init__(
        self, plan: Plan, dialect: Dialect, sockets: dict[bytes, socket.socket], lines_per_second: int
    ) -> None:
        sender, hearer = plan.peers[2:4]
        block = encode(plan, dialect)
        self.rate = lines_per_second
        self.sender, self.hearer = sockets[sender.name], sockets[hearer.name]
        self.sends = memoryview(block.sends[sender.name])
        self.block_bytes = len(self.sends) // 2
        self.line_bytes = self.block_bytes // block.lines
        self.due_bytes = block.due[hearer.name] // block.lines
        self.sent = self.got = 0
        self.buffer = bytearray(RECEIVE)
        self.poll = select.epoll()
        for opened in (self.sender, self.hearer):
            opened.setblocking(False)
        self.poll.register(self.hearer, select.EPOLLIN)

    def __enter__(self) -> PacedStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.poll.close()

    def begin(self) -> None:
        """The rate counts from now on."""
        self.started = self.next_burst = time.perf_counter()

    @property
    def over(self) -> bool:
        """Whether all this has taken too long."""
        return time.perf_counter() - self.started > LONGEST_SECONDS

    def turn(self) -> set[int]:
        """Send a burst if it is time, wait for the next at most, and receive: the other sockets that are readable."""
        now = time.perf_counter()
        if now >= self.next_burst:
            self._send(int((now - self.started) * self.rate) * self.line_bytes)
            self.next_burst += BURST_SECONDS * max(1, int((now - self.next_burst) / BURST_SECONDS))
        readable = {fd for fd, _ in self.poll.poll(max(0.0, self.next_burst - now))}
        if self.hearer.fileno() in readable:
            self._receive()
            readable.remove(self.hearer.fileno())
        return readable

    def end(self) -> None:
        """The rate counts no more."""
        self.seconds = time.perf_counter() - self.started
        self.in_time = self.got // self.due_bytes

    def rest(self) -> None:
        """Send the rest of a line, and wait for all that is still due."""
        whole = -(-self.sent // self.line_bytes)
        deadline = time.perf_counter() + ANSWER_SECONDS
        while self.sent < whole * self.line_bytes or self.got < whole * self.due_bytes:
            if time.perf_counter() > deadline:
                raise RunFailed(f"{whole * self.due_bytes - self.got} bytes of the stream are missing")
            self._send(whole * self.line_bytes)
            if self.poll.poll(0.01):
                self._receive()
        if self.got > whole * self.due_bytes:
            raise RunFailed(f"the stream delivered {self.got - whole * self.due_bytes} bytes too much")

    def shortfall(self) -> str | None:
        """What is to be said if the server did not keep the rate."""
        if self.in_time >= KEPT * self.rate * self.seconds:
            return None
        return f"delivers {self.in_time / self.seconds:,.0f} of {self.rate:,} lines a second"

    def _send(self, until: int) -> None:
        """Send up to so many bytes of the stream, or what the kernel takes of them."""
        while self.sent < until:
            at = self.sent % self.block_bytes
            try:
                self.sent += self.sender.send(self.sends[at : at + min(CHUNK, until - self.sent)])
            except BlockingIOError:
                return
            except OSError as error:
                raise RunFailed(f"the stream could not be sent: {error}") from None

    def _receive(self) -> None:
        try:
            count = self.hearer.recv_into(self.buffer, RECEIVE, DISCARD)
        except BlockingIOError:
            return
        except OSError as error:
            raise RunFailed(f"the stream's hearer lost its connection: {error}") from None
        if not count:
            raise RunFailed("the stream's hearer was closed by the server")
        self.got += count
