"""Real sockets, and other ends that do what they should not."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet import reactor as real_reactor
from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import deferLater
from twisted.protocols.basic import Int32StringReceiver
from zope.interface import implementer

from nettool.mesh import BadAddress, Disconnected, Envelope, HandshakeFailed, Mesh, UnknownScheme, transport
from nettool.mesh.framing import join
from nettool.mesh.testing import BOUND, Ends, fails, fill, turn
from tests.mesh.certificates import client_options, server_options
from tests.mesh.test_websocket import BINARY, CLOSE, PING, TEXT, frame

reactor: Any = real_reactor


@pytest.fixture
def raw() -> Iterator[Callable[[str], socket.socket]]:
    """Connect a plain socket, that does not wait, to an endpoint."""
    opened: list[socket.socket] = []

    def connect(endpoint: str) -> socket.socket:
        host, _, port = endpoint.partition("://")[2].partition("/")[0].rpartition(":")
        sock = socket.create_connection((host, int(port)), timeout=BOUND)
        sock.setblocking(False)
        opened.append(sock)
        return sock

    yield connect
    for sock in opened:
        sock.close()


def reset(sock: socket.socket) -> None:
    """Close it so that the other end sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def read(sock: socket.socket, until: Callable[[bytes], bool]) -> bytes:
    """What comes, until that is so or nothing more comes."""
    data = b""
    while not until(data):
        try:
            more = sock.recv(65536)
        except BlockingIOError:
            await deferLater(reactor, 0.001)
            continue
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more
    return data


class Hub:
    """A listener whose connections are all in one mesh, by number; beside them one that behaves."""

    def __init__(self, listener: Any, ends: Ends) -> None:
        self.listener = listener
        self.ends = ends

    @classmethod
    async def open(cls, scheme: str, **options: Any) -> Hub:
        listener = await transport(scheme, **options).listen(f"{scheme}://127.0.0.1:0")
        return cls(listener, Ends())

    async def accept(self, id: str) -> None:
        self.ends.there.add(await self.listener.accept(BOUND), id)

    async def ended(self) -> Disconnected:
        return await self.ends.disconnected(self.ends.told_there)

    async def close(self) -> None:
        await self.listener.close()
        await self.ends.here.close(0)
        await self.ends.there.close(0)


async def websocket(sock: socket.socket) -> None:
    """Shake hands as a client, by hand."""
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    head = await read(sock, lambda data: b"\r\n\r\n" in data)
    assert head.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head


BAD = {
    "four gibibytes": ("tcp", join([b"good"]) + b"\xff\xff\xff\xff" + bytes(1000), "4294967295"),
    "a text message": ("ws", frame(BINARY, b"good") + frame(TEXT, b"x"), "text"),
    "an oversize message": ("ws", frame(BINARY, b"good") + frame(BINARY, length=2**24 + 1), str(2**24 + 1)),
    "oversize in fragments": (
        "ws",
        frame(BINARY, b"good") + frame(BINARY, bytes(9), fin=False) + frame(0, length=2**24 - 8),
        str(2**24 + 1),
    ),
    "an endless ping": ("ws", frame(BINARY, b"good") + frame(PING, length=2**20), "ontrol frame"),
    "no mask": ("ws", frame(BINARY, b"good") + frame(BINARY, b"x", mask=False), "mask"),
    "a close with a code": ("ws", frame(BINARY, b"good") + frame(CLOSE, struct.pack(">H", 1011)), "1011"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_peer_ends_its_own_connection_with_a_reason(case: str, raw: Any) -> None:
    scheme, data, reason = BAD[case]
    hub = await Hub.open(scheme)
    bad = raw(hub.listener.endpoint)
    if scheme == "ws":
        await websocket(bad)
    await hub.accept("bad")
    hub.ends.here.add(await transport(scheme).connect(hub.listener.endpoint), "well")
    await hub.accept("well")
    bad.sendall(data)
    event = await hub.ended()
    assert event.id == "bad" and reason in str(event.reason)
    assert await hub.ends.there.recv(BOUND) == Envelope("bad", b"good")
    hub.ends.here.send(Envelope("well", b"still here"))
    assert await hub.ends.there.recv(BOUND) == Envelope("well", b"still here")
    said = await read(bad, lambda _: False)
    assert scheme != "ws" or said[:1] == b"\x88"
    bad.close()
    await hub.close()


@pytest.mark.parametrize("scheme", ["ws", "tls", "wss"])
async def test_a_handshake_that_never_ends_hinders_nobody_and_is_ended(scheme: str, raw: Any) -> None:
    options = {} if scheme == "ws" else {"options": server_options()}
    hub = await Hub.open(scheme, handshake_timeout=0.5, **options)
    silent = raw(hub.listener.endpoint)
    other = transport(scheme, options=client_options())
    hub.ends.here.add(await other.connect(hub.listener.endpoint), "well")
    await hub.accept("well")
    hub.ends.here.send(Envelope("well", b"first"))
    assert await hub.ends.there.recv(BOUND) == Envelope("well", b"first")
    assert await read(silent, lambda _: False) == b""
    silent.close()
    await hub.close()


@pytest.mark.parametrize("scheme", ["ws", "tls", "wss"])
async def test_a_server_that_never_shakes_hands_is_given_up(scheme: str) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    endpoint = f"{scheme}://127.0.0.1:{server.getsockname()[1]}"
    there = transport(scheme, options=client_options(), handshake_timeout=0.2)
    assert "0.2 s" in str(await fails(there.connect(endpoint), HandshakeFailed))
    connecting = transport(scheme, options=client_options()).connect(endpoint)
    await turn(20)
    connecting.cancel()
    await fails(connecting, BaseException)
    server.close()
    await turn(5)


# --- whom TLS trusts ------------------------------------------------------------------------------

# (the host in the certificate, who signed it, whom the client trusts, whether that will do)
CERTIFICATES = [
    ("127.0.0.1", "ours", "ours", True),
    ("127.0.0.1", "theirs", "ours", False),
    ("127.0.0.2", "ours", "ours", False),
    ("localhost", "ours", "ours", False),
]


@pytest.mark.parametrize("scheme", ["tls", "wss"])
@pytest.mark.parametrize(("host", "signer", "trusted", "good"), CERTIFICATES)
async def test_a_certificate_is_verified_against_the_address_asked_for(
    scheme: str, host: str, signer: str, trusted: str, good: bool
) -> None:
    hub = await Hub.open(scheme, options=server_options(host, signer))
    client = transport(scheme, options=client_options(trusted))
    if good:
        connection = await client.connect(hub.listener.endpoint)
        assert connection.peer_certificate is not None
        (await hub.listener.accept(BOUND)).abort()
        connection.abort()
    else:
        error = await fails(client.connect(hub.listener.endpoint), HandshakeFailed)
        assert error.__cause__ is not None and str(error)
    await hub.close()


async def test_a_name_is_verified_too() -> None:
    hub = await Hub.open("tls", options=server_options("localhost"))
    port = hub.listener.endpoint.rpartition(":")[2]
    client = transport("tls", options=client_options())
    connection = await client.connect(f"tls://localhost:{port}")
    (await hub.listener.accept(BOUND)).abort()
    connection.abort()
    await hub.close()


async def test_without_options_the_systems_authorities_decide() -> None:
    hub = await Hub.open("tls", options=server_options())
    await fails(transport("tls").connect(hub.listener.endpoint), HandshakeFailed)
    await hub.close()


async def test_options_that_verify_nobody_are_refused_and_a_creator_of_ones_own_is_not() -> None:
    hub = await Hub.open("tls", options=server_options("127.0.0.2", "theirs"))
    careless = CertificateOptions()
    error = await fails(transport("tls", options=careless).connect(hub.listener.endpoint), ValueError)
    assert "trustRoot" in str(error)
    await fails(transport("tls", options="no").connect(hub.listener.endpoint), TypeError)
    await fails(transport("tls").listen("tls://127.0.0.1:0"), ValueError)
    await fails(transport("tls", options="no").listen("tls://127.0.0.1:0"), TypeError)

    @implementer(IOpenSSLClientConnectionCreator)
    class Meant:
        def clientConnectionForTLS(self, protocol: Any) -> Any:
            return careless.clientConnectionForTLS(protocol)

    connection = await transport("tls", options=Meant()).connect(hub.listener.endpoint)
    (await hub.listener.accept(BOUND)).abort()
    connection.abort()
    await hub.close()


async def test_a_client_that_speaks_no_tls_is_ended(raw: Any) -> None:
    hub = await Hub.open("tls", options=server_options())
    plain = raw(hub.listener.endpoint)
    plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
    await read(plain, lambda _: False)
    plain.close()
    await hub.close()


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "tcp://nowhere",
        "tcp://h:port",
        "tcp://h:70000",
        "tcp://h:1/path",
        "tcp://user@h:1",
        "tcp://[::1:5",
        "tls://h",
        "ws://h/path",
        "unix://relative",
        "inproc://",
        "localhost:70000",
    ],
)
async def test_an_address_that_cannot_be_read_is_named(address: str) -> None:
    for call in (transport("").connect, transport("").listen):
        assert address in str(await fails(call(address), BadAddress))


@pytest.mark.parametrize("address", ["nowhere", "tcp:127.0.0.1:5", "udp://127.0.0.1:5", "inproc:name", ""])
async def test_an_address_that_no_transport_takes_is_named(address: str) -> None:
    for call in (transport("").connect, transport("").listen):
        failure = await fails(call(address), UnknownScheme)
        assert repr(address.partition("://")[0]) in str(failure)


@pytest.mark.parametrize("name", ["[", "a]b", "#", "?x=1"])
async def test_any_name_is_one_inside_the_process(name: str) -> None:
    listener = await transport("").listen(f"inproc://{name}")
    near = await transport("").connect(listener.endpoint)
    far = await listener.accept()
    await near.send(b"hello")
    assert await far.recv() == b"hello"
    await gatherResults([near.close(), far.close(), listener.close()])


async def test_ipv6_and_names() -> None:
    for address in ("tcp://[::1]:0", "tcp://localhost:0"):
        listener = await transport("").listen(address)
        assert listener.endpoint.startswith(address[:-1]) and not listener.endpoint.endswith(":0")
        near = await transport("").connect(listener.endpoint)
        far = await listener.accept(BOUND)
        near.abort()
        far.abort()
        await listener.close()


async def test_a_unix_socket_that_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    program = (
        "import os; from twisted.internet import reactor; from nettool.mesh import transport\n"
        f"transport('unix').listen('unix://{tmp_path}/s').addBoth(lambda _: os._exit(3))\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 3
    assert (tmp_path / "s").exists()
    await fails(transport("unix").connect(f"unix://{tmp_path}/s"), ConnectError)
    listener = await transport("unix").listen(f"unix://{tmp_path}/s")
    near = await transport("unix").connect(listener.endpoint)
    near.abort()
    (await listener.accept(BOUND)).abort()
    await listener.close()
    assert not (tmp_path / "s").exists()


# --- other programs -------------------------------------------------------------------------------


async def test_int32_string_receiver_on_the_other_end_works_both_ways() -> None:
    class Echo(Int32StringReceiver):
        def stringReceived(self, string: bytes) -> None:
            self.sendString(string.upper())

    # It connects to a mesh ...
    hub = await Hub.open("tcp")
    host, port = hub.listener.endpoint.removeprefix("tcp://").split(":")
    echo = await TCP4ClientEndpoint(reactor, host, int(port)).connect(Factory.forProtocol(Echo))
    await hub.accept("echo")
    for size in (0, 1, 90_000):
        hub.ends.there.send(Envelope("echo", b"x" * size))
        assert await hub.ends.there.recv(BOUND) == Envelope("echo", b"X" * size)
    echo.transport.loseConnection()
    await hub.ended()
    await hub.close()
    # ... and a mesh connects to it.
    port = reactor.listenTCP(0, Factory.forProtocol(Echo), interface="127.0.0.1")
    mesh = Mesh()
    mesh.add(await transport("tcp").connect(f"tcp://127.0.0.1:{port.getHost().port}"), "echo")
    mesh.send_many(Envelope("echo", b"%d" % number) for number in range(1000))
    heard = []
    while len(heard) < 1000:
        heard += [envelope.payload for envelope in await mesh.recv_many(1000, BOUND)]
    assert heard == [b"%d" % number for number in range(1000)]
    await mesh.close()
    await port.stopListening()


async def test_a_websocket_library_on_the_other_end_works_both_ways(raw: Any) -> None:
    from wsproto import ConnectionType, WSConnection
    from wsproto.events import AcceptConnection, BytesMessage, Ping, Pong, Request

    hub = await Hub.open("ws")
    sock = raw(hub.listener.endpoint)
    client = WSConnection(ConnectionType.CLIENT)
    sock.sendall(client.send(Request(host="h", target="/")))
    client.receive_data(await read(sock, lambda data: b"\r\n\r\n" in data))
    assert [type(event) for event in client.events()] == [AcceptConnection]
    await hub.accept("ws")
    sock.sendall(client.send(BytesMessage(b"one")) + client.send(Ping(b"p")) + client.send(BytesMessage(b"two")))
    assert [(await hub.ends.there.recv(BOUND)).payload for _ in range(2)] == [b"one", b"two"]
    hub.ends.there.send(Envelope("ws", b"three"))
    client.receive_data(await read(sock, lambda data: b"three" in data and b"p" in data))
    assert {type(event) for event in client.events()} == {Pong, BytesMessage}
    sock.close()
    await hub.close()


# --- nothing is lost silently ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
async def test_resets_at_random_moments_lose_nothing_silently(seed: int, raw: Any) -> None:
    """What a bad peer has read whole is a beginning of what was taken, and `unsent` is an end of it.

    Between the two is what the kernel had when the connection was reset: at most its buffers.
    """
    random = Random(seed)
    hub = await Hub.open("tcp")
    for round in range(8):
        sock = raw(hub.listener.endpoint)
        id = f"{seed}-{round}"
        await hub.accept(id)
        taken, heard = [], b""
        for number in range(random.randrange(1, 200)):
            payload = b"%d " % number + random.randbytes(random.choice((0, 10, 3_000, 60_000)))
            try:
                hub.ends.there.send(Envelope(id, payload))
                taken.append(payload)
            except Exception:
                await turn()
            if random.random() < 0.2:
                await turn()
                try:
                    heard += sock.recv(random.randrange(1, 100_000))
                except BlockingIOError:
                    pass
        sock.sendall(join([b"x" * 100])[: random.randrange(1, 104)])
        if random.random() < 0.3:
            heard += await read(sock, lambda data: len(data) > random.randrange(100_000) or len(data) < 10**9)
        reset(sock)
        while not any(event.id == id for event in hub.ends.told_there if isinstance(event, Disconnected)):
            await turn()
        event = next(e for e in hub.ends.told_there if isinstance(e, Disconnected) and e.id == id)
        unsent = [envelope.payload for envelope in event.unsent]
        assert taken[len(taken) - len(unsent) :] == unsent
        stream = b"".join(join([payload]) for payload in taken[: len(taken) - len(unsent)])
        # Part of the first that is unsent may have been read, but never all of it.
        beyond = join([unsent[0]]) if unsent else b""
        assert (stream + beyond).startswith(heard) and (not unsent or len(heard) < len(stream + beyond))
        assert len(stream) - len(heard) < 8 * 1024 * 1024
    await hub.close()


async def test_memory_stays_bounded_beside_many_that_send_and_never_read(raw: Any) -> None:
    hub = await Hub.open("tcp")
    socks = []
    for number in range(20):
        socks.append(raw(hub.listener.endpoint))
        await hub.accept(str(number))
    blob = join([bytes(1000)] * 100)
    for _ in range(50):
        for sock in socks:
            try:
                sock.send(blob)
            except BlockingIOError:
                pass
        await turn()
    stats = hub.ends.there.stats()
    queued = sum(stat.queued_in_bytes for stat in stats.values())
    # The queue's 64 envelopes, and of each connection one read.
    assert queued <= 64 * 1000 + 20 * 160 * 1024
    assert all(stat.paused_since is not None for stat in stats.values())
    for number in range(20):
        await fill(hub.ends.there, str(number), 100_000)
    stats = hub.ends.there.stats()
    assert all(stat.queued_out <= 16 for stat in stats.values())
    await hub.close()
