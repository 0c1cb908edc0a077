"""The connections of a run: open, log in, ask whether all is done, close.

In: a running server and the peers of a plan.  Out: logged-in sockets, by name.
Never: a byte that nobody expected and nobody reports; a line that is sent before linked nodes know whom it is for.
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
PROBE_SECONDS = 0.05
TAKE_SECONDS = 0.001


class RunFailed(Exception):
    """A run that does not count: something is missing, too much, or the server closed."""


class CannotDo(Exception):
    """A run without a figure, and without a fault: this server, or this system, does not reach what is asked for."""


@contextmanager
def connected(node: Running, peers: Iterable[Peer]) -> Iterator[dict[bytes, socket.socket]]:
    """Connect and log in these peers one after the other; close them afterwards."""
    with ExitStack() as stack:
        sockets = {peer.name: stack.enter_context(_logged_in(node, peer)) for peer in peers}
        _see_that_nodes_know(node)
        _hear_the_unasked(sockets, node.server.dialect)
        yield sockets


def _logged_in(node: Running, peer: Peer) -> socket.socket:
    """A connection of this peer's, to its node, with everything read that was said at its login."""
    dialect = node.server.dialect
    opened = socket.create_connection((HOST, node.ports[peer.node]), timeout=ANSWER_SECONDS)
    try:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.sendall(dialect.login(peer))
        read_until(opened, *dialect.ends(dialect.welcome(peer)))
    except BaseException:
        opened.close()
        raise
    return opened


def _see_that_nodes_know(node: Running) -> None:
    """Wait until every node knows who is on every other one and what they hear.

    A node tells others of its peers and topics in the order in which they came.  So it is enough that lines reach one
    more peer that came last.
    """
    numbers = range(len(node.ports))
    if len(numbers) == 1:
        return
    probes = [Peer(b"probe%02d" % number, node=number) for number in numbers]
    with ExitStack() as stack:
        sockets = [stack.enter_context(_logged_in(node, probe)) for probe in probes]
        for one in numbers:
            for other in numbers:
                if one != other:
                    _reach(node.server.dialect, probes[one], sockets[one], probes[other], sockets[other])


def _reach(dialect: Dialect, asking: Peer, asks: socket.socket, answering: Peer, hears: socket.socket) -> None:
    """Send one line to the other again and again, until one has come."""
    text, heard = b"are you there?", b""
    due = dialect.delivery(asking, answering.name, answering, text)
    hears.settimeout(PROBE_SECONDS)
    deadline = time.monotonic() + ANSWER_SECONDS
    while due not in heard:
        if time.monotonic() > deadline:
            raise RunFailed(f"the nodes are not linked after {ANSWER_SECONDS:.0f} s; last heard {heard[-200:]!r}")
        asks.sendall(dialect.publish((answering.name,), text))
        try:
            heard += hears.recv(65536)
        except TimeoutError:
            pass


def settle(sockets: dict[bytes, socket.socket], dialect: Dialect) -> None:
    """Fail unless each peer's answer to a ping is all that is still to be read: nothing came too much."""
    time.sleep(AFTERWARDS_SECONDS)
    for name, opened in sockets.items():
        said = answer_to_ping(opened, dialect)
        if said != dialect.pong:
            raise RunFailed(f"{name.decode()} got {len(said) - len(dialect.pong)} bytes too much: {said[:100]!r}")


def answer_to_ping(opened: socket.socket, dialect: Dialect) -> bytes:
    """All that comes until the answer to a ping, with it, and with what the server says unasked right behind it."""
    opened.settimeout(ANSWER_SECONDS)
    opened.sendall(dialect.ping)
    return read_until(opened, *dialect.ends(dialect.pong))


def _hear_the_unasked(sockets: dict[bytes, socket.socket], dialect: Dialect) -> None:
    """Wait until the server has said to each what it says of its own accord, and take it: no run must count it."""
    if not dialect.unasked:
        return
    deadline = time.monotonic() + ANSWER_SECONDS
    for name, opened in sockets.items():
        opened.settimeout(max(deadline - time.monotonic(), TAKE_SECONDS))
        try:
            said = opened.recv(65536)
        except TimeoutError:
            continue
        if said != dialect.unasked:
            raise RunFailed(f"{name.decode()} heard {said[:200]!r}")


def read_until(opened: socket.socket, *ends: bytes) -> bytes:
    """What is read until it ends with one of these."""
    said = bytearray()
    while not said.endswith(ends):
        try:
            got = opened.recv(65536)
        except TimeoutError:
            raise RunFailed(f"no answer {ends[0]!r} in {ANSWER_SECONDS:.0f} s, only {bytes(said[-200:])!r}") from None
        except OSError as error:
            raise RunFailed(f"connection lost: {error}; last heard {bytes(said[-200:])!r}") from None
        if not got:
            raise RunFailed(f"closed by the server, which said {bytes(said[-200:])!r}")
        said += got
    return bytes(said)
