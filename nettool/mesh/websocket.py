"""
WebSocket, as far as bytes go: the handshake, messages, and the bounds that a server needs.

In: bytes from one end.  Out: whole messages; bytes to be written.  Never: I/O, time, more kept of a message than its
limit, a frame that is larger than the limit looked at beyond its header.

The protocol itself is wsproto's.  Its own is not: a bound on messages (an extension of ours sees each header before the
payload is kept), one pong for many pings, and the count of pings that nobody answered.
"""

from __future__ import annotations

from collections.abc import Sequence

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits
from wsproto.handshake import H11Handshake
from wsproto.utilities import ProtocolError, RemoteProtocolError

from nettool.mesh.errors import BadFrame, HandshakeFailed
from nettool.mesh.framing import keep

HEAD = 16 * 1024
"""Bytes of a request or a response, with all its headers."""

PING_EVERY = 30.0
"""Seconds between pings."""

UNANSWERED = 2
"""Pings without a pong after which the other end is taken for dead."""

NORMAL, GOING_AWAY = int(CloseReason.NORMAL_CLOSURE), int(CloseReason.GOING_AWAY)

_NO_BITS = RsvBits(False, False, False)


class BadMessage(BadFrame):
    """The other end broke the protocol, or a limit; `code` (1002, 1003, 1007, 1009) is what the close frame says."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class _Bounds(Extension):
    """Looks at each frame's header before its payload is kept.  Never offered nor agreed upon: it is ours alone."""

    name = "x-nettool-bounds"

    def __init__(self, limit: int, text: bool) -> None:
        self.limit = limit
        self.text = text
        self.why = ""
        self._size = 0

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        if opcode.iscontrol():
            return _NO_BITS
        if opcode is Opcode.TEXT and not self.text:
            self.why = "a text message came where messages are binary"
            return CloseReason.UNSUPPORTED_DATA
        if opcode is not Opcode.CONTINUATION:
            self._size = 0
        self._size += payload_length
        if self._size > self.limit:
            self.why = f"a message of {self._size} bytes or more was announced, and the limit is {self.limit}"
            return CloseReason.MESSAGE_TOO_BIG
        return _NO_BITS


class WebSocket:
    """One end, after the handshake.

    Invariant: after `error`, or `close_code`, nothing is brought any more.  Of a message at most `limit` bytes are
    kept.
    """

    def __init__(self, *, client: bool, limit: int, text: bool = True) -> None:
        """`limit` is in bytes of a message; without `text`, a text message is an error (1003)."""
        self.client = client
        self._bounds = _Bounds(limit, text)
        self._connection = Connection(ConnectionType.CLIENT if client else ConnectionType.SERVER, [self._bounds])
        self._parts: list[bytes | bytearray] = []
        self.error: BadMessage | None = None
        self.close_code: int | None = None
        """What the other end's close frame said, once it has come."""
        self.unanswered = 0
        """Pings since the last pong."""
        self._pong: bytes | None = None
        self._ping: Ping | None = None

    def set_limit(self, limit: int) -> None:
        """From the next frame on."""
        self._bounds.limit = limit

    def feed(self, data: bytes) -> list[bytes | str]:
        """The messages that are whole with this."""
        messages: list[bytes | str] = []
        connection = self._connection
        if self.error is not None or self.close_code is not None or connection.state is ConnectionState.CLOSED:
            return messages
        connection.receive_data(data)
        for event in connection.events():
            if isinstance(event, BytesMessage | TextMessage):
                self._message(event, messages)
            elif isinstance(event, Ping):
                self._ping = event  # the newest is enough (RFC 6455, 5.5.3): many pings cost one pong
            elif isinstance(event, Pong):
                self.unanswered = 0
            elif isinstance(event, CloseConnection):
                self._closed(event)
        return messages

    def _message(self, event: BytesMessage | TextMessage, messages: list[bytes | str]) -> None:
        data = event.data
        if event.message_finished and not self._parts:
            messages.append(data if isinstance(data, str) else bytes(data))
            return
        if data:
            keep(self._parts, data.encode() if isinstance(data, str) else bytes(data))
        if event.message_finished:
            whole, self._parts = b"".join(self._parts), []
            messages.append(whole.decode() if isinstance(data, str) else whole)

    def _closed(self, event: CloseConnection) -> None:
        self._parts = []
        if self._connection.state in (ConnectionState.REMOTE_CLOSING, ConnectionState.CLOSED):
            self.close_code = int(event.code)
        else:
            self.error = BadMessage(self._bounds.why or event.reason or "a bad frame", int(event.code))

    # What is to be written

    def answers(self) -> bytes:
        """The pong that is due, if one is."""
        ping, self._ping = self._ping, None
        if ping is None or self._connection.state is not ConnectionState.OPEN:
            return b""
        return self._connection.send(ping.response())

    def ping(self) -> bytes:
        """A ping, to be written; see `unanswered`."""
        self.unanswered += 1
        return self._connection.send(Ping())

    def message(self, data: bytes | str) -> bytes:
        """A message, to be written."""
        return self._connection.send(TextMessage(data) if isinstance(data, str) else BytesMessage(data))

    def size(self, length: int) -> int:
        """Bytes that `message` makes of so many."""
        return length + (2 if length < 126 else 4 if length < 65536 else 10) + (4 if self.client else 0)

    def close(self, code: int = NORMAL, reason: str = "") -> bytes:
        """A close frame, to be written last; after an error it says which.  Empty if one was written before."""
        if self.error is not None:
            code, reason = self.error.code, str(self.error)
        if self._connection.state not in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            return b""
        return self._connection.send(CloseConnection(code, reason))


class Opening:
    """The handshake of one end: bytes until the head is whole.

    Invariant: never more than `HEAD` bytes are kept.
    """

    def __init__(self) -> None:
        self._head = bytearray()

    def _cut(self, data: bytes) -> tuple[bytes, bytes] | None:
        """The head, once it is whole, and what came after it."""
        looked = max(len(self._head) - 3, 0)
        self._head += data
        end = self._head.find(b"\r\n\r\n", looked)
        if (end < 0 and len(self._head) > HEAD) or end > HEAD:
            raise HandshakeFailed(f"the head of the WebSocket handshake is longer than {HEAD} bytes")
        if end < 0:
            return None
        head, self._head = bytes(self._head), bytearray()
        return head[: end + 4], head[end + 4 :]


class ClientOpening(Opening):
    """The client's end."""

    def __init__(self, host: str, target: str, subprotocols: Sequence[str] = ()) -> None:
        super().__init__()
        self._handshake = H11Handshake(ConnectionType.CLIENT)
        self.request = self._handshake.send(Request(host=host, target=target, subprotocols=list(subprotocols)))
        """What is written first."""

    def feed(self, data: bytes) -> bytes | None:
        """What came after the server's answer; none if that is not whole yet.  Raises `HandshakeFailed`."""
        cut = self._cut(data)
        if cut is None:
            return None
        try:
            self._handshake.receive_data(cut[0])
            for event in self._handshake.events():
                if isinstance(event, AcceptConnection):
                    return cut[1]
                if isinstance(event, RejectConnection):
                    raise HandshakeFailed(f"the server refused the WebSocket with status {event.status_code}")
        except (ProtocolError, UnicodeError) as error:
            raise HandshakeFailed(f"what answered is no WebSocket server: {error}") from error
        raise HandshakeFailed("what answered is no WebSocket server")


class ServerOpening(Opening):
    """The server's end: after `feed` has brought the request, `accept` or `refuse` is written."""

    def __init__(self) -> None:
        super().__init__()
        self._handshake = H11Handshake(ConnectionType.SERVER)
        self.request: Request | None = None

    def feed(self, data: bytes) -> bytes | None:
        """What came after the request; none if that is not whole yet.

        Raises `HandshakeFailed`; then `refusal` is what to write.
        """
        cut = self._cut(data)
        if cut is None:
            return None
        try:
            self._handshake.receive_data(cut[0])
            for event in self._handshake.events():
                if isinstance(event, Request):
                    self.request = event
                    return cut[1]
        except (RemoteProtocolError, UnicodeError, ProtocolError) as error:
            raise HandshakeFailed(f"what came is no WebSocket handshake: {error}") from error
        raise HandshakeFailed("what came is no WebSocket handshake")

    def header(self, name: bytes) -> bytes | None:
        """A header of the request."""
        assert self.request is not None
        return next((value for key, value in self.request.extra_headers if key.lower() == name.lower()), None)

    def accept(self, subprotocol: str | None = None) -> bytes:
        """The answer that begins the WebSocket."""
        return self._handshake.send(AcceptConnection(subprotocol=subprotocol))

    @staticmethod
    def refusal(status: bytes = b"400 Bad Request") -> bytes:
        """The answer that does not."""
        return b"HTTP/1.1 %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status
