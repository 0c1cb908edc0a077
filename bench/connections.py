"""The connections of a run: open, log in, ask whether all is done, close.

In: a running server and the peers of a plan.  Out: logged-in sockets, by name.
Never: a byte that nobody expected and nobody reports.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from bench.dialects import Dialect
from bench.launch import Running
from bench.plan import Peer
from bench.servers import HOST

ANSWER_SECONDS = 10.0
AFTERWARDS_SECONDS = 0.02


class RunFailed(Exception):
    """A run that does not count: something is missing, too much, or the server closed."""


class CannotDo(Exception):
    """A run without a figure, and without a fault: this server, or this system, does not reach what is asked for."""


@contextmanager
def connected(node: Running, peers: Iterable[Peer]) -> Iterator[dict[bytes, socket.socket]]:
    """Connect and log in these peers one after the other; close them afterwards."""
    dialect = node.server.dialect
    with ExitStack() as stack:
        sockets: dict[bytes, socket.socket] = {}
        for peer in peers:
            opened = stack.enter_context(socket.create_connection((HOST, node.port), timeout=ANSWER_SECONDS))
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.sendall(dialect.login(peer))
            read_until(opened, dialect.welcome(peer))
            sockets[peer.name] = opened
        _hear_the_unasked(sockets, dialect)
        yield sockets


def settle(sockets: dict[bytes, socket.socket], dialect: Dialect) -> None:
    """Fail unless each peer's answer to a ping is all that is still to be read: nothing came too much."""
    time.sleep(AFTERWARDS_SECONDS)
    for name, opened in sockets.items():
        said = answer_to_ping(opened, dialect)
        if said != dialect.pong:
            raise RunFailed(f"{name.decode()} got {len(said) - len(dialect.pong)} bytes too much: {said[:100]!r}")


def answer_to_ping(opened: socket.socket, dialect: Dialect) -> bytes:
    """All that comes until the answer to a ping, with it."""
    opened.settimeout(ANSWER_SECONDS)
    opened.sendall(dialect.ping)
    return read_until(opened, dialect.pong)


def _hear_the_unasked(sockets: dict[bytes, socket.socket], dialect: Dialect) -> None:
    """Wait until the server has said what it says of its own accord, and take it: it must not be counted in a run."""
    if not dialect.unasked:
        return
    time.sleep(dialect.unasked_seconds)
    for name, opened in sockets.items():
        opened.setblocking(False)
        try:
            said = opened.recv(65536)
        except BlockingIOError:
            continue
        if said != dialect.unasked:
            raise RunFailed(f"{name.decode()} heard {said[:200]!r}")


def read_until(opened: socket.socket, end: bytes) -> bytes:
    """What is read until it ends so."""
    said = bytearray()
    while not said.endswith(end):
        try:
            got = opened.recv(65536)
        except TimeoutError:
            raise RunFailed(f"no answer {end!r} in {ANSWER_SECONDS:.0f} s, only {bytes(said[-200:])!r}") from None
        except OSError as error:
            raise RunFailed(f"connection lost: {error}; last heard {bytes(said[-200:])!r}") from None
        if not got:
            raise RunFailed(f"closed by the server, which said {bytes(said[-200:])!r}")
        said += got
    return bytes(said)
