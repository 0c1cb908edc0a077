"""
Payloads over WebSocket: one envelope in one binary message.

In: a stream; payloads.  Out: payloads.  Never: a text message, a message that is longer than `max_envelope`, a page in
a browser as the other end.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost

from nettool.mesh.codec import views
from nettool.mesh.errors import BadFrame, HandshakeFailed
from nettool.mesh.heartbeat import Heartbeat
from nettool.mesh.stream import StreamWire
from nettool.mesh.websocket import GOING_AWAY, NORMAL, UNANSWERED, ClientOpening, ServerOpening, WebSocket
from nettool.settings import CHUNK

_IN_ORDER = (NORMAL, GOING_AWAY, 1005)


class WebSocketCodec:
    """See `Codec`."""

    def __init__(self, *, client: bool, target: str, max_envelope: int, host: str = "") -> None:
        self.socket = WebSocket(client=client, limit=max_envelope, text=False)
        self.ready = False
        self.error: BadFrame | None = None
        self.refused: HandshakeFailed | None = None
        self._target = target
        self._opening: ClientOpening | ServerOpening = ClientOpening(host, target) if client else ServerOpening()
        self._first = self._opening.request if isinstance(self._opening, ClientOpening) else b""
        self.size = self.socket.size
        self.limit = self.socket.set_limit
        self.answers = self.socket.answers
        self._farewell = b""

    @property
    def over(self) -> bool:
        """See `Codec`."""
        return self.socket.close_code is not None

    def begin(self) -> bytes:
        """See `Codec`."""
        first, self._first = self._first, b""
        return first

    def feed(self, data: bytes) -> list[bytes]:
        """See `Codec`."""
        if not self.ready:
            rest = self._open(data)
            if not rest:
                return []
            data = rest
        messages = [message for message in self.socket.feed(data) if isinstance(message, bytes)]
        self.error = self.socket.error
        return messages

    def _open(self, data: bytes) -> bytes | None:
        opening = self._opening
        if self.refused is not None:
            return None
        try:
            rest = opening.feed(data)
        except HandshakeFailed as failed:
            self._refuse(failed, ServerOpening.refusal())
            return None
        if rest is not None and isinstance(opening, ServerOpening):
            assert opening.request is not None
            if opening.request.target.partition("?")[0] != self._target:
                self._refuse(
                    HandshakeFailed("the client asked for another path"), ServerOpening.refusal(b"404 Not Found")
                )
                return None
            if opening.header(b"origin") is not None:
                self._refuse(HandshakeFailed("a browser's page asked"), ServerOpening.refusal(b"403 Forbidden"))
                return None
            self._first = opening.accept()
        self.ready = rest is not None
        return rest

    def _refuse(self, failed: HandshakeFailed, answer: bytes) -> None:
        self.refused = failed
        if isinstance(self._opening, ServerOpening):
            self._farewell = answer

    def encode(self, payloads: list[bytes]) -> list[Any]:
        """See `Codec`."""
        message = self.socket.message
        data = b"".join(map(message, payloads)) if len(payloads) > 1 else message(payloads[0])
        return [data] if len(data) <= 2 * CHUNK else [data[:CHUNK], *views(data, CHUNK)]

    def farewell(self) -> bytes:
        """See `Codec`."""
        return self.socket.close() if self.ready else self._farewell


class WebSocketWire(StreamWire):
    """One end of a WebSocket."""

    _codec: WebSocketCodec  # type: ignore[assignment]  # mypy: a property of it is read only
    _heartbeat: Heartbeat | None = None
    _reading = False

    def dataReceived(self, data: bytes) -> None:
        """Bytes came in."""
        super().dataReceived(data)
        if self._codec.refused is not None:
            self._end(self._codec.refused)

    def pause(self) -> None:
        """See `IWire`."""
        self._reading = False
        super().pause()

    def resume(self) -> None:
        """See `IWire`."""
        self._reading = True
        super().resume()

    def _began(self) -> None:
        self._heartbeat = Heartbeat(self._turn.clock, self._codec.socket, self._say, self._hears, self._dead)

    def _hears(self) -> bool:
        return self._reading and not self.blocked

    def _dead(self) -> None:
        self._end(ConnectionLost(f"{UNANSWERED} pings were not answered"))

    def _how_it_was_closed(self) -> BaseException:
        code = self._codec.socket.close_code
        if code in _IN_ORDER:
            return ConnectionDone()
        return ConnectionLost("without a close frame" if code is None else f"closed by the other end with code {code}")

    def _end(self, reason: BaseException) -> None:
        self._stop_heartbeat()
        super()._end(reason)

    def finish(self) -> None:
        """See `IWire`."""
        self._stop_heartbeat()
        super().finish()

    def _stop_heartbeat(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()
            self._heartbeat = None
