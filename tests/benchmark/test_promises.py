"""What the benchmark takes for granted of each server, against the real ones."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from bench.connections import answer_to_ping, connected, read_until
from bench.launch import running
from bench.plan import Peer
from bench.servers import SERVERS, Server

KEYS = [
    "nettool",
    "bare",
    pytest.param("nats", marks=pytest.mark.system("nats-server")),
    pytest.param("redis", marks=pytest.mark.system("redis-server")),
    pytest.param("mosquitto", marks=pytest.mark.system("mosquitto")),
]
ALICE, BOB = Peer(b"alice"), Peer(b"bob", (b"#tea",))


def _sent_and_due(server: Server, count: int, text: bytes) -> tuple[bytes, bytes]:
    """Lines to a name and a topic, alternately."""
    addresses = [(b"bob", b"#tea")[number % 2] for number in range(count)]
    texts = [b"%06d " % number + text for number in range(count)]
    lines = list(zip(addresses, texts, strict=True))
    sent = b"".join(server.dialect.publish((address,), one) for address, one in lines)
    return sent, b"".join(server.dialect.delivery(ALICE, address, BOB, one) for address, one in lines)


@pytest.mark.parametrize("key", KEYS)
def test_the_answer_to_a_ping_comes_after_everything_sent_before(key: str) -> None:
    server = SERVERS[key]
    sent, due = _sent_and_due(server, 3000, b"hello")
    with running(server, None) as node, connected(node, (ALICE, BOB)) as sockets:
        sockets[b"alice"].settimeout(60)
        sockets[b"alice"].sendall(sent + server.dialect.ping)
        assert read_until(sockets[b"alice"], server.dialect.pong) == server.dialect.pong
        # All of it has been routed now, so bob's own answer comes behind it.
        assert answer_to_ping(sockets[b"bob"], server.dialect) == due + server.dialect.pong


@pytest.mark.parametrize("key", KEYS)
def test_nothing_is_dropped_for_a_hearer_that_pauses(key: str) -> None:
    server = SERVERS[key]
    # More than the kernel holds for a connection, less than nettool's outbox.
    sent, due = _sent_and_due(server, 24_000, b"x" * 1000)
    with running(server, None) as node, connected(node, (ALICE, BOB)) as sockets:
        sockets[b"alice"].settimeout(60)
        sender = threading.Thread(target=sockets[b"alice"].sendall, args=(sent,))
        sender.start()
        time.sleep(1)
        got = _read(sockets[b"bob"], len(due))
        sender.join(60)
        assert got == due
        assert answer_to_ping(sockets[b"bob"], server.dialect) == server.dialect.pong


def _read(opened: socket.socket, count: int) -> bytes:
    opened.settimeout(60)
    got = bytearray()
    while len(got) < count:
        more = opened.recv(1024 * 1024)
        assert more, "closed"
        got += more
    return bytes(got)
