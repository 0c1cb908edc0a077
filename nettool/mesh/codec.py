"""
What the bytes of a stream mean.

In: reads; payloads.  Out: payloads; pieces to be written.  Never: I/O, time.
"""

from __future__ import annotations

from typing import Any, Protocol

from nettool.mesh.errors import BadFrame
from nettool.mesh.framing import HEADER, Frames, header, join
from nettool.settings import CHUNK


class Codec(Protocol):
    """What a stream's bytes mean."""

    ready: bool
    """Its own handshake is over; until then `feed` brings nothing."""
    error: BadFrame | None
    """What the other end did wrong; nothing that follows is brought."""
    over: bool
    """The other end has said, in the codec's own way, that it sends no more."""

    def begin(self) -> bytes:
        """What is written first."""

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that are whole with this."""

    def answers(self) -> bytes:
        """What the codec itself has to say now, beside payloads; asked when it can be written."""

    def limit(self, max_envelope: int) -> None:
        """No payload longer than this."""

    def encode(self, payloads: list[bytes]) -> list[Any]:
        """What is written for these, in pieces of at most `CHUNK` bytes or so."""

    def size(self, length: int) -> int:
        """Bytes written for a payload of this length."""

    def farewell(self) -> bytes:
        """What is written last."""


class Int32Codec:
    """A 4-byte length before each payload."""

    ready = True
    over = False

    def __init__(self, max_envelope: int) -> None:
        self._frames = Frames(max_envelope)
        self.feed = self._frames.feed

    @property
    def error(self) -> BadFrame | None:
        """See `Codec`."""
        return self._frames.error

    def begin(self) -> bytes:
        """See `Codec`."""
        return b""

    answers = farewell = begin

    def limit(self, max_envelope: int) -> None:
        """See `Codec`."""
        self._frames.limit = max_envelope

    def encode(self, payloads: list[bytes]) -> list[Any]:
        """See `Codec`; of a large payload no copy is made."""
        first = payloads[0]
        if len(payloads) > 1 or len(first) < CHUNK:
            return [join(payloads)]
        return [header(len(first)) + first[:CHUNK], *views(first, CHUNK)]

    def size(self, length: int) -> int:
        """See `Codec`."""
        return HEADER + length


def views(data: bytes, start: int) -> list[memoryview]:
    """The rest of this, in chunks that are no copies."""
    view = memoryview(data)
    return [view[at : at + CHUNK] for at in range(start, len(data), CHUNK)]
