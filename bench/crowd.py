"""Many connections that say who they are and nothing else: how fast they can come, and what each costs in memory.

In: a fresh server.  Out: logins a second, or bytes of the server's memory for each peer.
Never: a login that was not answered to the byte; a limit of descriptors that looks like the server's fault.
"""

from __future__ import annotations

import resource
import select
import socket
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from bench import machine
from bench.connections import CannotDo, RunFailed, answer_to_ping
from bench.launch import Running
from bench.load import STALL_SECONDS
from bench.machine import Stopwatch
from bench.measures import CALIBRATION_SECONDS, START_SECONDS, WARM_UP, Bed, Measure, Outcome
from bench.plan import Peer
from bench.quantities import IDLE, LOGINS
from bench.servers import HOST
from bench.settings import Settings

SOURCES = 32
"""Connections come from as many loopback addresses: a closed one keeps its port for a minute."""
# Linux: choose the port when the other end is known too, so that each source address has all ports.
IP_BIND_ADDRESS_NO_PORT = 24
SPARE_FILES = 200
FEW = 20


class Logins(Measure):
    """Connect, log in, hear the answer, close; so many at once.  The amount is connections."""

    title = "logins a second"
    quantities = (LOGINS,)
    delivers_texts = False

    def prepare(self, bed: Bed) -> int:
        with bed.started() as node:
            amount, at, amounts, watch = 50, 0, [1], Stopwatch(*node.pids)
            while watch.seconds < CALIBRATION_SECONDS:
                amount *= 2
                log_in(node, _crowd(amount, at), bed.settings.at_once, watch)
                at += amount
                amounts.append(round(amount * self.seconds(bed.settings) / watch.seconds))
        return max(amounts)

    def run(self, bed: Bed, amount: int) -> Outcome:
        before = max(1, round(amount * WARM_UP))
        with bed.started() as node:
            log_in(node, _crowd(before), bed.settings.at_once, Stopwatch(*node.pids))
            watch = Stopwatch(*node.pids)
            log_in(node, _crowd(amount, before), bed.settings.at_once, watch)
        return Outcome({LOGINS.key: bed.rate(amount, watch)}, watch)


class IdlePeers(Measure):
    """The growth of the server's memory while so many peers log in, and stay.  The amount is peers."""

    title = "memory of the server for each peer"
    quantities = (IDLE,)
    delivers_texts = False

    def __init__(self, peers: int) -> None:
        self.peers = peers

    def prepare(self, bed: Bed) -> int:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files < self.peers + SPARE_FILES:
            raise CannotDo(f"needs {self.peers + SPARE_FILES} open files, and ulimit -n is {files}")
        return self.peers

    def resized(self, bed: Bed, amount: int, outcome: Outcome) -> int:
        return amount

    def expected_seconds(self, settings: Settings, waiting: float, rounds: int) -> float:
        return (START_SECONDS + settings.idle_seconds + self.peers / 2500) * rounds

    def run(self, bed: Bed, amount: int) -> Outcome:
        dialect = bed.server.dialect
        with bed.started() as node, ExitStack() as stack:
            # What a server sets up once, for its first peers, is no later peer's.
            log_in(node, _crowd(FEW), bed.settings.at_once, Stopwatch(*node.pids))
            time.sleep(0.5)
            before = machine.memory(node.pid)
            watch = Stopwatch(*node.pids)
            peers = log_in(node, _crowd(amount, FEW), bed.settings.at_once, watch, stack)
            time.sleep(bed.settings.idle_seconds)
            after = machine.memory(node.pid)
            if before is None or after is None:
                raise CannotDo("this system does not tell how much memory a process uses")
            for opened in peers:
                said = answer_to_ping(opened, dialect)
                if said.replace(dialect.unasked, b"", bool(dialect.unasked)) != dialect.pong:
                    raise RunFailed(f"a peer that said nothing heard {said[:200]!r}")
        return Outcome({IDLE.key: (after - before) / amount}, watch)


@dataclass
class Login:
    """A connection that has said who it is and waits for the answer."""

    opened: socket.socket
    ends: tuple[bytes, ...]
    said: bytes = b""

    def answered(self) -> bool:
        """Take what is there; whether that was the end of the answer."""
        got = self.opened.recv(4096)
        self.said += got
        if not got:
            raise RunFailed(f"closed by the server at its login, which said {self.said!r}")
        return self.said.endswith(self.ends)


def log_in(
    node: Running, peers: Iterable[Peer], at_once: int, watch: Stopwatch, stack: ExitStack | None = None
) -> list[socket.socket]:
    """Connect and log in all of them, so many at once; closed as soon as they are answered, or kept on the stack."""
    dialect = node.server.dialect
    waiting = [(dialect.login(peer), dialect.ends(dialect.welcome(peer))) for peer in peers]
    waiting.reverse()
    under_way: dict[int, Login] = {}
    kept: list[socket.socket] = []
    try:
        with select.epoll() as poll, watch:
            while waiting or under_way:
                while waiting and len(under_way) < at_once:
                    login, ends = waiting.pop()
                    opened = _open(node.port, len(waiting))
                    under_way[opened.fileno()] = Login(opened, ends)
                    opened.send(login)
                    poll.register(opened, select.EPOLLIN)
                for fd in _readable(poll, under_way):
                    if not under_way[fd].answered():
                        continue
                    opened = under_way.pop(fd).opened
                    if stack is None:
                        opened.close()
                    else:
                        poll.unregister(fd)
                        kept.append(stack.enter_context(opened))
    except OSError as error:
        raise RunFailed(f"a login failed: {error}") from None
    finally:
        for left in under_way.values():
            left.opened.close()
    return kept


def _readable(poll: select.epoll, under_way: dict[int, Login]) -> list[int]:
    events = poll.poll(STALL_SECONDS)
    if not events:
        raise RunFailed(f"{len(under_way)} logins were not answered in {STALL_SECONDS:.0f} s")
    return [fd for fd, _ in events]


def _open(port: int, number: int) -> socket.socket:
    """Connected; on the loopback interface the kernel does that at once, whatever the server does."""
    opened = socket.socket()
    try:
        opened.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        opened.bind((f"127.0.0.{2 + number % SOURCES}", 0))
        opened.connect((HOST, port))
    except OSError:
        opened.close()
        raise
    return opened


def _crowd(count: int, start: int = 0) -> list[Peer]:
    return [Peer(b"idle%06d" % number) for number in range(start, start + count)]
