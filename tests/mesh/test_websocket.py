"""WebSocket as bytes: what a bad peer sends, and what is kept of it."""

from __future__ import annotations

from itertools import pairwise
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from nettool.mesh import HandshakeFailed
from nettool.mesh.framing import MANY
from nettool.mesh.heartbeat import Heartbeat
from nettool.mesh.websocket import HEAD, PING_EVERY, ClientOpening, ServerOpening, WebSocket
from nettool.mesh.ws import WebSocketCodec

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, length: int | None = None, mask: bool = True
) -> bytes:
    """A frame as a client sends it, written by hand; the mask is zero.  `length` may lie."""
    size = len(payload) if length is None else length
    first, bit = (128 if fin else 0) | opcode, 128 if mask else 0
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65536:
        head = pack(">BBH", first, bit | 126, size)
    else:
        head = pack(">BBQ", first, bit | 127, size)
    return head + (bytes(4) if mask else b"") + payload


def server(limit: int = 1000, *, text: bool = True) -> WebSocket:
    return WebSocket(client=False, limit=limit, text=text)


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(0, 5_000), max_size=8), st.booleans())
def test_every_cut_of_the_bytes_gives_the_same_messages(payloads: list[bytes], cuts: list[int], client: bool) -> None:
    sender, receiver = WebSocket(client=client, limit=300), WebSocket(client=not client, limit=300)
    stream = b"".join(map(sender.message, payloads))
    assert len(stream) == sum(sender.size(len(payload)) for payload in payloads)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    messages = []
    for start, end in pairwise(edges):
        messages += receiver.feed(stream[start:end])
    assert messages == payloads


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 100_000])
def test_sizes_are_told_exactly(size: int) -> None:
    for client in (True, False):
        socket = WebSocket(client=client, limit=10**6)
        assert len(socket.message(bytes(size))) == socket.size(size)


# (what comes, the code of the close frame)
BAD = [
    (frame(BINARY, b"x" * 1001), 1009),
    (frame(BINARY, length=1001), 1009),
    (frame(BINARY, length=2**62), 1009),
    (frame(BINARY, b"x" * 600, fin=False) + frame(CONTINUATION, length=401), 1009),
    (frame(BINARY, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 300, fin=False) + frame(0, length=101), 1009),
    (frame(BINARY, b"x", mask=False), 1002),
    (frame(CONTINUATION, b"x"), 1002),
    (frame(BINARY, b"x", fin=False) + frame(BINARY, b"y"), 1002),
    (frame(PING, b"x", fin=False), 1002),
    (frame(PING, length=126), 1002),
    (frame(3, b"x"), 1002),
    (bytes((128 | 64 | BINARY, 128)) + bytes(4), 1002),
    (frame(CLOSE, b"x"), 1002),
    (frame(CLOSE, pack(">H", 1006)), 1002),
    (frame(TEXT, b"\xff\xfe"), 1007),
]


@pytest.mark.parametrize(("data", "code"), BAD)
def test_what_breaks_the_protocol_or_a_limit_is_answered_with_its_code(data: bytes, code: int) -> None:
    socket = server()
    good = frame(BINARY, b"good")
    assert socket.feed(good + data + good) == [b"good"]
    assert socket.error is not None and socket.error.code == code and str(socket.error)
    assert socket.feed(good) == []
    farewell = socket.close()
    assert farewell[0] == 128 | CLOSE and farewell[2:4] == pack(">H", code)


def test_a_text_message_where_messages_are_binary_is_1003() -> None:
    socket = server(text=False)
    assert socket.feed(frame(BINARY, b"1") + frame(TEXT, b"2")) == [b"1"]
    assert socket.error is not None and socket.error.code == 1003
    assert server().feed(frame(TEXT, "grüße".encode())) == ["grüße"]


def test_fragments_with_pings_between_are_one_message() -> None:
    socket = server()
    parts = [
        frame(BINARY, b"a", fin=False),
        frame(PING, b"1"),
        frame(0, b"", fin=False),
        frame(PING, b"2"),
        frame(0, b"b"),
    ]
    assert socket.feed(b"".join(parts)) == [b"ab"]
    assert socket.answers() == frame(PONG, b"2", mask=False)
    assert socket.answers() == b""


def test_a_hundred_thousand_pings_cost_one_pong_and_endless_empty_fragments_nothing() -> None:
    socket = server()
    socket.feed(frame(PING, b"x" * 125) * 100_000)
    assert len(socket.answers()) == 127
    socket.feed(frame(BINARY, b"", fin=False) + frame(0, b"", fin=False) * 10_000)
    assert socket._parts == []
    assert socket.feed(frame(0, b"end")) == [b"end"]


def test_nothing_of_a_message_that_is_too_long_is_kept() -> None:
    socket = server(limit=1000)
    socket.feed(frame(BINARY, length=1001))
    for _ in range(100):
        socket.feed(b"x" * 65_536)
    assert len(socket._connection._proto._frame_decoder.buffer) < 100


def test_the_other_ends_close_is_told_and_answered() -> None:
    socket = server()
    assert socket.feed(frame(BINARY, b"1") + frame(CLOSE, pack(">H", 1001)) + frame(BINARY, b"2")) == [b"1"]
    assert socket.close_code == 1001 and socket.error is None
    assert socket.close() == frame(CLOSE, pack(">H", 1000), mask=False)
    assert socket.close() == b"" and socket.answers() == b""
    silent = server()
    silent.feed(frame(CLOSE))
    assert silent.close_code == 1005


# --- the handshake --------------------------------------------------------------------------------


def test_both_ends_agree_whatever_the_cuts() -> None:
    for step in (1, 7, 10_000):
        client, server_end = ClientOpening("127.0.0.1:80", "/mesh"), ServerOpening()
        request = client.request + b"rest"
        pieces = [server_end.feed(request[at : at + step]) for at in range(0, len(client.request), step)]
        assert server_end.request is not None and server_end.request.target == "/mesh"
        assert (pieces[-1] or b"").startswith(b"rest"[: len(pieces[-1] or b"")])
        answer = server_end.accept() + b"more"
        assert [client.feed(answer[at : at + step]) for at in range(0, len(answer) - 4, step)][-1] is not None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"hello\r\n\r\n",
        b"x" * (HEAD + 1),
        b"GET / HTTP/1.1\r\nX: " + b"x" * HEAD + b"\r\n\r\n",
    ],
)
def test_what_is_no_handshake_is_refused(data: bytes) -> None:
    with pytest.raises(HandshakeFailed):
        ServerOpening().feed(data)


def test_a_handshake_that_never_ends_keeps_no_more_than_a_head() -> None:
    opening = ServerOpening()
    with pytest.raises(HandshakeFailed, match="longer than"):
        for _ in range(1000):
            assert opening.feed(b"X: " + b"x" * 100 + b"\r\n") is None
    assert len(opening._head) <= HEAD + 105


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_a_server_that_refuses_or_is_none_is_told(answer: bytes) -> None:
    with pytest.raises(HandshakeFailed, match=r"refused|no WebSocket server"):
        ClientOpening("h", "/").feed(answer)


def asked(target: str = "/mesh", **headers: str) -> WebSocketCodec:
    codec = WebSocketCodec(client=False, target="/mesh", max_envelope=100)
    request = ClientOpening("h", target).request
    extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    codec.feed(request[:-2] + extra + b"\r\n")
    return codec


def test_another_path_and_a_browsers_page_are_refused() -> None:
    assert asked().ready and b" 101 " in asked().begin()
    for codec, status in ((asked("/other"), b"404"), (asked(Origin="https://evil.example"), b"403")):
        assert not codec.ready and codec.refused is not None
        assert status in codec.farewell() and codec.begin() == b""


# --- pings ----------------------------------------------------------------------------------------


class Beating:
    def __init__(self) -> None:
        self.clock = Clock()
        self.socket = server()
        self.said: list[bytes] = []
        self.hears = True
        self.dead = 0
        self.heart = Heartbeat(self.clock, self.socket, self.said.append, lambda: self.hears, self._die)

    def _die(self) -> None:
        self.dead += 1


def test_two_pings_without_an_answer_are_the_end() -> None:
    it = Beating()
    for _ in range(5):
        it.clock.advance(PING_EVERY)
        it.socket.feed(frame(PONG))
    assert len(it.said) == 5 and not it.dead
    for _ in range(3):
        it.clock.advance(PING_EVERY)
    assert len(it.said) == 7 and it.dead == 1 and not it.clock.getDelayedCalls()


def test_pings_whose_answers_nobody_reads_prove_nothing() -> None:
    it = Beating()
    it.clock.advance(PING_EVERY)
    it.hears = False
    for _ in range(10):
        it.clock.advance(PING_EVERY)
    it.hears = True
    it.clock.advance(PING_EVERY)
    it.clock.advance(PING_EVERY)
    assert not it.dead
    it.heart.stop()
    assert not it.clock.getDelayedCalls()


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_in_tiny_fragments_is_kept_in_few_pieces(opcode: int) -> None:
    socket = server(10**6)
    fragments = ["ä"] * 5000
    assert socket.feed(frame(opcode, "ä".encode(), fin=False)) == []
    for fragment in fragments:
        assert socket.feed(frame(CONTINUATION, fragment.encode(), fin=False)) == []
        assert len(socket._parts) < MANY
    whole = "ä" * 5002
    assert socket.feed(frame(CONTINUATION, "ä".encode())) == [whole if opcode == TEXT else whole.encode()]
