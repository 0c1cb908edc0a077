"""
Bytes to payloads and back: a 4-byte big-endian length, then so many bytes.

In: chunks of a stream, cut anywhere.  Out: for each chunk a list of the payloads that it completes; for a list of
payloads one chunk.  Never: more kept than one incomplete payload; a byte kept of one that is longer than the limit.

It is what `twisted.protocols.basic.Int32StringReceiver` speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from struct import Struct

from nettool.mesh.errors import FrameTooLong

HEADER = 4
_LENGTH = Struct(">I")
_unpack = _LENGTH.unpack_from
_pack = _LENGTH.pack

MANY = 1024
"""Parts of what is not whole yet from which on they are kept as one: each is an object of some 40 bytes."""

RUN = 8
"""Payloads from which on it pays to look whether they are all of one length."""


class Frames:
    """One direction of a connection, inwards.

    Invariant: what is kept is less than a whole frame; after `error` nothing is kept or brought any more.
    """

    __slots__ = ("_have", "_need", "_parts", "error", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Bytes of the longest payload that is let in."""
        self.error: FrameTooLong | None = None
        self._parts: list[bytes | bytearray] = []
        """The beginning of a frame, as it came: joined once, when the frame is whole."""
        self._have = 0
        self._need = HEADER
        """Bytes that must be there before anything can be said."""

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that are whole with this; those before a frame that is too long are brought, too."""
        if self.error is not None:
            return []
        if self._parts:
            keep(self._parts, data)
            self._have += len(data)
            if self._have < self._need:
                return []
            data = b"".join(self._parts)
            self._parts = []
        payloads: list[bytes] = []
        position = self._cut(data, payloads)
        self._have = len(data) - position
        if self._have and self._need:
            self._parts.append(data[position:] if position else data)
        return payloads

    def _cut(self, data: bytes, payloads: list[bytes]) -> int:
        """Bring all whole frames; where they end.  `_need` is then what the next one takes, as far as that is known."""
        position, end, limit = 0, len(data), self.limit
        append, unpack = payloads.append, _unpack
        last = -1
        while end - position >= HEADER:
            (length,) = unpack(data, position)
            if length > limit:
                self.error = FrameTooLong(length, limit)
                self._need = 0
                return position
            start = position + HEADER
            after = start + length
            if after > end:
                self._need = HEADER + length
                return position
            if length == last and (end - position) >= RUN * (after - position):
                # Two of one length, and room for more: take all that follow with the same length at once.
                position = _cut_run(data, position, length, payloads)
                last = -1
                continue
            append(data[start:after])
            last = length
            position = after
        self._need = HEADER
        return position


def keep(parts: list[bytes | bytearray], part: bytes) -> None:
    """Add a part of what is not whole yet.  Many small ones become one that grows in place."""
    parts.append(part)
    if len(parts) >= MANY:
        first, *others = parts
        grown = first if isinstance(first, bytearray) else bytearray(first)
        grown += b"".join(others)
        parts[:] = [grown]


def _cut_run(data: bytes, position: int, length: int, payloads: list[bytes]) -> int:
    """Bring the frames from here on that have this length, in a few calls for all; where they end.

    The four bytes of each header are compared as columns: a slice with the frame's size as its step.
    """
    stride = HEADER + length
    count = (len(data) - position) // stride
    end = position + count * stride
    for index, byte in enumerate(_pack(length)):
        column = data[position + index : end : stride]
        same = len(column) - len(column.lstrip(bytes((byte,))))
        if same < count:
            count = same
            end = position + count * stride
    frames = Struct(f"{HEADER}x{length}s").iter_unpack(memoryview(data)[position:end])
    payloads.extend(chain.from_iterable(frames))
    return end


def join(payloads: Sequence[bytes]) -> bytes:
    """The frames of all these payloads, in one piece."""
    if len(payloads) == 1:
        payload = payloads[0]
        return _pack(len(payload)) + payload
    if len(payloads) >= RUN and len(lengths := set(map(len, payloads))) == 1:
        header = _pack(lengths.pop())
        return header + header.join(payloads)
    return b"".join(chain.from_iterable(zip(map(_pack, map(len, payloads)), payloads, strict=True)))


def header(length: int) -> bytes:
    """What goes before a payload of this length."""
    return _pack(length)
