"""
What nodes say to each other: payloads of frames.

In: fields.  Out: bytes; and back, checked.  Never: trust in what a field says: `BadFrame` for anything that no node
would send.

Texts cross without what a receiver will see before them: the receiving node renders that.  So no node can speak in
another's name, and how many lines there are is counted by who takes them, not claimed by who sends them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from struct import Struct, error
from typing import Any

from nettool.errors import ReturnReason
from nettool.settings import KIB, MIB
from nettool.wire.names import MAX_NAME, is_name

VERSIONS = (1,)
"""Versions of this protocol that this node speaks."""

HELLO_BYTES = 4 * KIB
"""The longest hello, and the longest frame before a link is taken."""

FRAME_BYTES = 17 * MIB
"""The longest frame: the longest line there can be, what a read may bring beside it, and the fields."""

LIST_BYTES = 64 * KIB
"""Names in one frame of a list, about."""


class Kind(IntEnum):
    """The first byte of a frame."""

    HELLO = 0
    TAKE = 1
    """From the node whose name sorts higher: this connection is the link."""
    ALREADY_LINKED = 2
    """From that node: it is not."""
    REFUSED = 3
    """The sender ends the connection, and says why."""
    PING = 4
    PONG = 5
    CONFIRM = 6
    """The number of the last frame with lines that was routed."""
    WAITING = 7
    """How many bytes from the other node wait in the outboxes of those who do not take them as they come."""
    PEERS = 8
    """Names of peers that are here, or came or went."""
    TOPICS = 9
    """Topics that somebody hears here, or does now, or no more."""
    DIRECT = 10
    """Texts of one sender to one name."""
    TOPIC = 11
    """Texts of one sender to one topic."""
    SEVERAL = 12
    """Lines of one sender to topics, each as it was written."""
    RETURNED = 13
    """Texts that come back."""
    LAGGED = 14
    """Lines of topics that the sending node had to drop here, since the link was too slow."""
    NAMES = 15
    """Texts of one sender to several names, those to each together: what one read brought is one frame."""
    RETURNS_LOST = 16
    """Lines that could not be given back, since the link was too slow, by the login of who wrote them."""


NUMBERED = frozenset((Kind.DIRECT, Kind.TOPIC, Kind.SEVERAL, Kind.RETURNED, Kind.LAGGED, Kind.NAMES, Kind.RETURNS_LOST))


class BadFrame(ValueError):
    """What no node of this protocol says; the message says what was wrong with it."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame of each side."""

    name: bytes
    """Of the node."""
    instance: bytes
    """Of this run of it: 8 bytes of the time when it began, so that the later one of two is known, and 8 of chance."""
    took: tuple[bytes, int] | None = None
    """Of the node at the other end: the instance that it last had a link to, and the last number it routed from it."""
    versions: tuple[int, ...] = VERSIONS


@dataclass(slots=True)  # frozen, it would take 2 microseconds more to make
class Lines:
    """A frame with lines of one sender."""

    kind: Kind
    number: int
    login: int
    """Tells the sender from others who have the same name at other times; of RETURNED it is who gets the lines."""
    sender: bytes
    """His name on his node, nothing for the node itself; of RETURNED that of whom the lines had been for."""
    target: bytes
    """A name, or a topic; nothing for several of them and for RETURNED."""
    qualified: bool
    """Whether the sender wrote `name@node`."""
    reason: ReturnReason | None
    data: bytes


INSTANCE = 16
MOST = 2**63 - 1

LOGIN = 8
"""Bytes of a login's number, where it is a name."""

_HEAD = Struct(">BQIBBH")
_PART = Struct(">IBB")
_NUMBER = Struct(">BQ")
_COUNT = Struct(">I")
_REASONS = tuple(ReturnReason)
_REASON_NUMBERS = {reason: number for number, reason in enumerate(_REASONS)}
_QUALIFIED, _REASON_SHIFT = 1, 1


def render_hello(hello: Hello) -> bytes:
    """The payload of a hello."""
    fields: dict[str, Any] = {
        "nettool-link": list(hello.versions),
        "name": hello.name.decode(),
        "instance": hello.instance.hex(),
    }
    if hello.took is not None:
        fields["took"] = [hello.took[0].hex(), hello.took[1]]
    return bytes([Kind.HELLO]) + json.dumps(fields, ensure_ascii=False).encode()


def parse_hello(payload: bytes) -> Hello:
    """A hello, whatever its versions: those are looked at before anything that they might change."""
    try:
        fields = json.loads(payload[1:])
        versions = tuple(version for version in fields["nettool-link"] if isinstance(version, int))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise BadFrame("the hello cannot be read") from None
    if not set(versions) & set(VERSIONS):
        return Hello(b"", b"", None, versions)
    try:
        name, instance, took = fields["name"].encode(), bytes.fromhex(fields["instance"]), fields.get("took")
        taken = None if took is None else (bytes.fromhex(took[0]), took[1])
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        raise BadFrame("the hello lacks a field, or has one that cannot be read") from None
    if not is_name(name) or len(instance) != INSTANCE:
        raise BadFrame("the hello's name or instance cannot be one")
    if taken is not None and not (len(taken[0]) == INSTANCE and type(taken[1]) is int and 0 <= taken[1] <= MOST):
        raise BadFrame("the hello says it took what cannot be")
    return Hello(name, instance, taken, versions)


def render_lines(frame: Lines) -> bytes:
    """The payload of a frame with lines."""
    flags = frame.qualified * _QUALIFIED
    if frame.reason is not None:
        flags |= _REASON_NUMBERS[frame.reason] << _REASON_SHIFT
    head = _HEAD.pack(frame.kind, frame.number, frame.login, flags, len(frame.sender), len(frame.target))
    return b"".join((head, frame.sender, frame.target, frame.data))


MOST_PARTS = 2**16 - 1
"""Names that one NAMES frame may have texts for."""


def render_names(number: int, login: int, sender: bytes, parts: Sequence[tuple[bytes, bool, bytes]]) -> bytes:
    """The payload of NAMES: for each name whether the sender wrote `name@node`, and texts."""
    table = [_PART.pack(len(data), qualified, len(name)) for name, qualified, data in parts]
    head = _HEAD.pack(Kind.NAMES, number, login, 0, len(sender), len(parts))
    return b"".join((head, sender, *table, *[name for name, _, _ in parts], *[data for _, _, data in parts]))


def parse_names(payload: bytes) -> list[Lines]:
    """The frames to one name that it stands for, in their order, all with its number."""
    try:
        _, number, login, _, sender_size, count = _HEAD.unpack_from(payload)
    except error:
        raise BadFrame("a frame is shorter than its fields") from None
    start = _HEAD.size + sender_size
    name_at = start + count * _PART.size
    if not count or name_at > len(payload) or sender_size > MAX_NAME:
        raise BadFrame("a frame's fields are longer than it is")
    sender = payload[_HEAD.size : start]
    table = list(_PART.iter_unpack(payload[start:name_at]))
    data_at = name_at + sum([name_size for _, _, name_size in table])
    frames = []
    for size, qualified, name_size in table:
        name, data = payload[name_at : name_at + name_size], payload[data_at : data_at + size]
        if data[-1:] != b"\n" or len(data) != size:
            raise BadFrame("a frame ends in the middle of a line")
        frames.append(Lines(Kind.DIRECT, number, login, sender, name, bool(qualified), None, data))
        name_at += name_size
        data_at += size
    if data_at != len(payload):
        raise BadFrame("a frame is longer than its fields")
    return frames


def parse_lines(payload: bytes) -> Lines:
    """A frame with lines; the data is whole lines."""
    try:
        kind, number, login, flags, sender_size, target_size = _HEAD.unpack_from(payload)
    except error:
        raise BadFrame("a frame is shorter than its fields") from None
    start = _HEAD.size + sender_size
    end = start + target_size
    if end > len(payload) or sender_size > MAX_NAME:
        raise BadFrame("a frame's fields are longer than it is")
    number_of_reason = flags >> _REASON_SHIFT
    reason = None
    if kind == Kind.RETURNED:
        if number_of_reason >= len(_REASONS):
            raise BadFrame("lines come back for no reason that there is")
        reason = _REASONS[number_of_reason]
    data = payload[end:]
    if data[-1:] != b"\n":
        raise BadFrame("a frame ends in the middle of a line")
    sender = payload[_HEAD.size : start]
    return Lines(Kind(kind), number, login, sender, payload[start:end], bool(flags & _QUALIFIED), reason, data)


def render_number(kind: Kind, number: int) -> bytes:
    """The payload of CONFIRM, PING, PONG: a number."""
    return _NUMBER.pack(kind, number)


def parse_number(payload: bytes) -> int:
    """That number."""
    if len(payload) != _NUMBER.size:
        raise BadFrame("a frame with a number has another length")
    number: int = _NUMBER.unpack(payload)[1]
    return number


def render_counts(kind: Kind, counts: Mapping[bytes, int], number: int = 0) -> bytes:
    """The payload of WAITING, LAGGED and RETURNS_LOST: names, topics or logins, each with a count."""
    parts = [_NUMBER.pack(kind, number)]
    for word, count in counts.items():
        parts += (_COUNT.pack(min(count, 2**32 - 1)), _COUNT.pack(len(word)), word)
    return b"".join(parts)


def in_parts(counts: Mapping[bytes, int]) -> Iterator[Mapping[bytes, int]]:
    """The same counts for several frames, if one would be long."""
    part: dict[bytes, int] = {}
    size = 0
    for word, count in counts.items():
        if size > LIST_BYTES:
            yield part
            part, size = {}, 0
        part[word] = count
        size += len(word)
    yield part


def parse_counts(payload: bytes) -> tuple[int, dict[bytes, int]]:
    """The number, and the counts."""
    number, position, counts = parse_number(payload[: _NUMBER.size]), _NUMBER.size, {}
    while position < len(payload):
        try:
            (count,), (size,) = _COUNT.unpack_from(payload, position), _COUNT.unpack_from(payload, position + 4)
        except error:
            raise BadFrame("a list of counts ends in the middle") from None
        position += 8
        counts[payload[position : position + size]] = count
        position += size
    if position > len(payload):
        raise BadFrame("a list of counts ends in the middle")
    return number, counts


FIRST, LAST = 1, 2
"""Of a full list: its first frame, its last one."""

LISTED = 250
"""Words in one frame of a full list: 64 KiB of the longest, which do not keep other words waiting."""


def render_list(kind: Kind, full: Iterable[bytes]) -> Iterator[bytes]:
    """The payloads of a full list, which may be long: each is made when it is asked for."""
    left = iter(full)
    part, first = list(islice(left, LISTED)), FIRST
    while True:
        behind = list(islice(left, LISTED))
        yield bytes((kind, first | (0 if behind else LAST))) + b"\n".join([b"+" + word for word in part])
        if not behind:
            return
        part, first = behind, 0


def render_change(kind: Kind, word: bytes, there: bool) -> bytes:
    """The payload that one came or went."""
    return bytes((kind, 0)) + (b"+" if there else b"-") + word


def parse_list(payload: bytes) -> tuple[int, list[tuple[bytes, bool]]]:
    """Flags of a full list, and the words, each with whether it is there."""
    if len(payload) < 2:
        raise BadFrame("a list without flags")
    words = payload[2:].split(b"\n") if len(payload) > 2 else []
    for word in words:
        if word[:1] not in (b"+", b"-"):
            raise BadFrame("a list with an item that neither came nor went")
    return payload[1], [(word[1:], word[:1] == b"+") for word in words]


def render_refusal(code: str, detail: str) -> bytes:
    """The payload of a refusal: a word, and a sentence that says what to do."""
    return bytes([Kind.REFUSED]) + f"{code}: {detail}".encode()[: HELLO_BYTES - 1]


def parse_refusal(payload: bytes) -> tuple[str, str]:
    """The word and the sentence, for a log: whoever writes them there escapes them."""
    code, _, detail = payload[1:].decode("utf-8", "replace").partition(": ")
    return code, detail
