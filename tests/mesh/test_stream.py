"""A wire on a socket in memory: what the kernel takes, what it does not, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.mesh import Envelope, HandshakeFailed, Mesh, NotFound, QueueFull
from nettool.mesh.codec import Int32Codec
from nettool.mesh.connection import CLOSE_TIMEOUT
from nettool.mesh.framing import Frames, join
from nettool.mesh.stream import HANDSHAKE_TIMEOUT, StreamWire
from nettool.mesh.turn import MeshTurn
from nettool.mesh.websocket import WebSocket
from nettool.mesh.ws import WebSocketCodec, WebSocketWire
from nettool.settings import CHUNK, LINGER
from tests.mesh.test_mesh import result_of
from tests.support.sockets import PollingReactor, tcp_transport
from tests.support.transport import SlowTransport


class Street:
    """Connections of one mesh on sockets in memory."""

    def __init__(self, **capacities: int) -> None:
        self.reactor = PollingReactor()
        self.turn = MeshTurn(self.reactor)
        self.mesh = Mesh(**capacities, reactor=self.reactor)
        self.told: list[Any] = []
        self.mesh.subscribe(self.told.append)

    def connect(self, id: str, limit: int = 10**7, scheme: str = "tcp") -> tuple[StreamWire, Any]:
        wire = StreamWire(self.turn, Int32Codec(limit), "tcp")
        if scheme == "ws":
            wire = WebSocketWire(self.turn, WebSocketCodec(client=False, target="/", max_envelope=limit), "ws")
        transport, sock = tcp_transport(wire, self.reactor)
        wire.makeConnection(transport)
        transport.startReading()
        if scheme == "ws":
            sock.send_input(UPGRADE)
            self.settle()
        self.mesh.add(wire.owner, id)
        self.settle()
        return wire, sock

    def settle(self) -> None:
        self.reactor.advance(0)

    def received(self) -> list[bytes]:
        """The payloads of all that has come in."""
        return [envelope.payload for envelope in result_of(self.mesh.recv_many(1000))]


def frames_in(data: bytes | bytearray) -> list[bytes]:
    return Frames(10**9).feed(bytes(data))


def test_one_write_for_a_turn_and_none_by_way_of_the_reactor() -> None:
    street = Street()
    _, sock = street.connect("a")
    for number in range(100):
        street.mesh.send(Envelope("a", b"%d" % number))
    assert not sock.received
    street.settle()
    assert frames_in(sock.received) == [b"%d" % number for number in range(100)]


def test_an_answer_to_a_small_read_goes_out_with_it() -> None:
    street = Street()
    _, sock = street.connect("a")
    street.reactor.advance(1)

    async def echo() -> None:
        async for envelope in street.mesh:
            street.mesh.send(envelope)

    from twisted.internet.defer import Deferred

    Deferred.fromCoroutine(echo())
    sock.send_input(join([b"ping"]))
    street.settle()
    assert frames_in(sock.received) == [b"ping"]
    street.mesh.close(0)
    street.settle()


SIZES = st.lists(st.integers(0, 3) | st.integers(0, 3 * CHUNK), min_size=1, max_size=12)


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def messages_in(data: bytes | bytearray) -> list[Any]:
    _head, _, frames = bytes(data).partition(b"\r\n\r\n")
    return list(WebSocket(client=True, limit=10**9).feed(frames))


def send_some(mesh: Mesh, payloads: list[bytes], at_once: bool) -> list[bytes]:
    """Send these one by one or at once; what was taken of them."""
    if at_once:
        try:
            mesh.send_many(Envelope("a", payload) for payload in payloads)
        except (QueueFull, NotFound) as error:
            return payloads[: len(payloads) - len(error.envelopes)]
        return payloads
    taken = []
    for payload in payloads:
        try:
            mesh.send(Envelope("a", payload))
            taken.append(payload)
        except (QueueFull, NotFound):
            pass
    return taken


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
@given(SIZES, st.lists(st.integers(0, 2 * CHUNK), max_size=8), st.data())
def test_each_envelope_that_was_taken_arrives_or_is_unsent(
    scheme: str, sizes: list[int], takes: list[int], data: Any
) -> None:
    """Wherever the kernel stops and the connection ends: what arrived whole and what is unsent are what was sent."""
    street = Street(outgoing_capacity=3)
    _, sock = street.connect("a", scheme=scheme)
    sock.room = data.draw(st.integers(0, CHUNK))
    taken: list[bytes] = []
    left = [bytes((number,)) * size for number, size in enumerate(sizes)]
    while left:
        count = data.draw(st.integers(1, 6))
        taken += send_some(street.mesh, left[:count], at_once=data.draw(st.booleans()))
        del left[:count]
        if takes and data.draw(st.booleans()):
            sock.take(takes.pop())
            street.settle()
    if data.draw(st.booleans()):
        street.settle()
    sock.reset()
    street.settle()
    street.reactor.advance(LINGER)
    [*_, event] = street.told
    arrived = frames_in(sock.received) if scheme == "tcp" else messages_in(sock.received)
    assert arrived + [envelope.payload for envelope in event.unsent] == taken


@pytest.mark.parametrize("length", [0, 1])
def test_what_a_transport_holds_is_bounded_however_small_the_envelopes_are(length: int) -> None:
    street = Street(outgoing_capacity=4)
    wire, sock = street.connect("a")
    sock.room = 0
    with pytest.raises(QueueFull) as full:
        street.mesh.send_many([Envelope("a", b"x" * length)] * 500_000)
    assert wire._held() <= CHUNK
    assert len(full.value.envelopes) > 400_000


def test_what_a_transport_holds_is_bounded_whatever_is_queued() -> None:
    street = Street(outgoing_capacity=1000)
    wire, sock = street.connect("a")
    sock.room = 0
    for _ in range(100):
        street.mesh.send(Envelope("a", bytes(100_000)))
    street.mesh.send(Envelope("a", bytes(5_000_000)))
    street.settle()
    held = 0
    while wire.blocked:
        held = max(held, wire._held())
        sock.take(10_000)
        street.settle()
    assert 0 < held <= CHUNK + 100_000
    sock.take()
    street.settle()
    assert len(frames_in(sock.received)) == 101


def test_a_close_while_a_large_payload_is_half_written_sends_the_rest_first() -> None:
    street = Street()
    _, sock = street.connect("a")
    sock.room = 100
    street.mesh.send(Envelope("a", bytes(3 * CHUNK)))
    street.settle()
    street.mesh.send(Envelope("a", b"the last"))
    closing = street.mesh.close(60)
    street.reactor.advance(LINGER + 1)
    assert not closing.called and not sock.end_sent
    sock.take()
    street.settle()
    assert frames_in(sock.received) == [bytes(3 * CHUNK), b"the last"]
    assert sock.end_sent and not closing.called
    sock.end_input()
    street.settle()
    assert closing.called and not sock.was_reset


def test_who_closes_reads_on_for_a_while_so_that_no_reset_overtakes_the_last_words() -> None:
    street = Street()
    _, sock = street.connect("a")
    street.mesh.send(Envelope("a", b"the last"))
    closing = street.mesh.close()
    sock.send_input(join([b"unread"] * 1000))
    street.settle()
    assert sock.end_sent and not sock.unread and not closing.called
    street.reactor.advance(LINGER)
    street.settle()
    assert closing.called and sock.closed and not sock.was_reset


def test_a_length_that_is_too_long_ends_the_connection_with_what_was_before() -> None:
    street = Street()
    _, sock = street.connect("a", 10**6)
    _, other = street.connect("b")
    sock.send_input(join([b"good"]) + b"\xff\xff\xff\xff" + b"x" * 100)
    street.settle()
    [event] = street.told[2:]
    assert event.id == "a" and "4294967295" in str(event.reason)
    other.send_input(join([b"well"]))
    street.settle()
    assert street.received() == [b"good", b"well"]
    street.reactor.advance(LINGER)
    street.settle()
    assert sock.closed


@pytest.mark.parametrize("how", ["bad length", "half-close", "close"])
def test_who_breaks_the_protocol_and_never_reads_loses_the_socket_all_the_same(how: str) -> None:
    street = Street()
    _, sock = street.connect("a")
    sock.room = len(join([b"all that the kernel holds"]))
    street.mesh.send(Envelope("a", b"all that the kernel holds"))
    street.settle()
    if how == "bad length":
        sock.send_input(b"\xff\xff\xff\xff")
    elif how == "half-close":
        sock.end_input()
    else:
        result_of(street.mesh.close(CLOSE_TIMEOUT))
    street.settle()
    for seconds in (LINGER, CLOSE_TIMEOUT):
        assert not sock.closed
        street.reactor.advance(seconds)
        street.settle()
    assert sock.closed and not street.reactor.getDelayedCalls()


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_reset_or_an_end_in_the_middle_of_a_frame_is_an_end(cut: int) -> None:
    for how in ("reset", "end_input"):
        street = Street()
        _, sock = street.connect("a")
        sock.send_input(join([b"whole"]) + join([b"half"])[:cut])
        street.settle()
        getattr(sock, how)()
        street.settle()
        [event] = street.told[1:]
        assert event.id == "a" and str(event.reason) and event.unsent == []
        assert street.received() == [b"whole"] + [b"half"] * (cut == 8)
        street.reactor.advance(LINGER)
        street.settle()


def test_a_paused_connection_is_not_read() -> None:
    street = Street(incoming_capacity=2)
    _, sock = street.connect("a")
    sock.send_input(join([b"1", b"2", b"3"]))
    street.settle()
    sock.send_input(join([b"4"]))
    street.settle()
    assert sock.unread
    street.mesh.recv_many(2)
    street.settle()
    assert not sock.unread


# --- layers above the socket ----------------------------------------------------------------------


def test_a_handshake_that_never_ends_is_ended() -> None:
    street = Street()
    for codec in (WebSocketCodec(client=False, target="/", max_envelope=100), Int32Codec(100)):
        secure = isinstance(codec, Int32Codec)
        wire = StreamWire(street.turn, codec, "tls", secure=secure)
        failed: list[Any] = []
        wire.opened.addErrback(failed.append)
        transport = SlowTransport(wire, street.reactor)
        wire.makeConnection(transport)
        for _ in range(int(HANDSHAKE_TIMEOUT) - 1):
            if not secure:  # TLS brings nothing before it is agreed upon
                transport.send(b"X")
            street.reactor.advance(1)
        assert not failed
        street.reactor.advance(1)
        street.settle()
        assert failed[0].check(HandshakeFailed) and "10 s" in str(failed[0].value)
        assert transport.lost


def websocket(street: Street) -> tuple[WebSocketWire, SlowTransport]:
    from nettool.mesh.websocket import ClientOpening

    wire = WebSocketWire(street.turn, WebSocketCodec(client=False, target="/", max_envelope=1000), "ws")
    transport = SlowTransport(wire, street.reactor)
    wire.makeConnection(transport)
    transport.send(ClientOpening("h", "/").request)
    street.settle()
    street.mesh.add(wire.owner, "ws")
    street.settle()
    assert b" 101 " in transport.received
    transport.received.clear()
    return wire, transport


def test_pings_are_answered_and_one_pong_waits_while_nothing_is_taken() -> None:
    from tests.mesh.test_websocket import PING, frame

    street = Street()
    _, transport = websocket(street)
    transport.send(frame(PING, b"1"))
    street.settle()
    assert bytes(transport.received) == b"\x8a\x011"
    transport.room = 0
    for _ in range(100):
        street.mesh.send(Envelope("ws", b"x" * 900))
    street.settle()
    held = transport.held
    for _ in range(1000):
        transport.send(frame(PING, b"x" * 100))
        street.settle()
    assert transport.held == held > 64 * 1024
    transport.take()
    street.settle()
    assert bytes(transport.received).count(b"\x8ad") == 1
    street.mesh.close(0)
    street.settle()


def test_a_websocket_that_answers_no_ping_is_ended() -> None:
    from nettool.mesh.websocket import PING_EVERY

    street = Street()
    _, transport = websocket(street)
    for _ in range(3):
        street.reactor.advance(PING_EVERY)
    [event] = street.told[1:]
    assert "pings" in str(event.reason)
    street.reactor.advance(LINGER)
    street.settle()
    assert transport.lost and not street.reactor.getDelayedCalls()


@pytest.mark.parametrize(("data", "code"), [("text", 1003), ("oversize", 1009), ("unmasked", 1002), ("closed", None)])
def test_a_bad_websocket_peer_ends_its_own_connection_and_is_told_why(data: str, code: int | None) -> None:
    from struct import pack

    from tests.mesh.test_websocket import BINARY, CLOSE, TEXT, frame

    sent = {
        "text": frame(TEXT, b"x"),
        "oversize": frame(BINARY, length=2**24 + 1),
        "unmasked": frame(BINARY, b"x", mask=False),
        "closed": frame(CLOSE, pack(">H", 1011)),
    }[data]
    street = Street()
    _, transport = websocket(street)
    _, other = street.connect("b")
    transport.send(frame(BINARY, b"good") + sent)
    street.settle()
    event = next(event for event in street.told if event.id == "ws" and hasattr(event, "reason"))
    assert str(event.reason) and (code is None or event.reason.code == code)
    assert bytes(transport.received)[:1] == b"\x88"
    assert code is None or bytes(transport.received)[2:4] == pack(">H", code)
    other.send_input(join([b"well"]))
    street.settle()
    assert street.received() == [b"good", b"well"]
    street.reactor.advance(LINGER)
    street.settle()
    assert transport.lost
