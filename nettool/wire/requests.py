"""
What a peer says to a node: each line as a value, parsed and rendered.

In: one line without its LF.  Out: one of the values of this file, or `BadLine`.  Never: whether an address exists, or
whether a limit is kept; that is for those who know the node.  `parse(render(request))` is the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

EXCERPT = 60
"""Bytes of a peer's own words that an error repeats."""


LONG_LIST = 16 * 1024
"""Bytes of a list of topics that are worked off at a time: at 2 bytes and 2 microseconds an item, 16 ms."""

_ITEM = re.compile(rb"[^\s,][^,]*")


class BadLine(ValueError):
    """A line that is neither a command nor `address: text`, or a command with the wrong number of words."""


@dataclass(frozen=True, slots=True)
class Login:
    """The first line.  An empty secret is no secret."""

    name: bytes
    secret: bytes = b""


@dataclass(frozen=True, slots=True)
class Send:
    """A text for addresses, as they were written, in order, none of them empty, at least one."""

    addresses: tuple[bytes, ...]
    text: bytes


@dataclass(frozen=True, slots=True)
class Join:
    """Items of `/join`, which need not be topics."""

    items: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Leave:
    """Items of `/leave`, which need not be topics."""

    items: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Who:
    """Who is here, or who hears what is named, if anything is."""

    topic: bytes = b""


@dataclass(frozen=True, slots=True)
class Topics:
    """Which topics are heard."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Be told as peers come and go."""


@dataclass(frozen=True, slots=True)
class Unwatch:
    """No longer."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a `pong`; the token is the rest of the line, and may be empty."""

    token: bytes = b""


@dataclass(frozen=True, slots=True)
class Help:
    """The commands, for a human."""


@dataclass(frozen=True, slots=True)
class Quit:
    """Take what is queued, then close."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A command that there is not, by its word."""

    command: bytes


Request = Send | Join | Leave | Who | Topics | Watch | Unwatch | Ping | Help | Quit | Unknown


def parse_login(line: bytes) -> Login:
    """The first line; whether its name can be one is not asked here."""
    name, _, secret = line.partition(b" ")
    return Login(name, secret)


def parse(line: bytes) -> Request:
    """Any line after the first, but an empty one; `BadLine` for what is none of them."""
    if line[:1] != b"/":
        return parse_send(line)
    command, _, rest = line.partition(b" ")
    parser = _PARSERS.get(command)
    return Unknown(command) if parser is None else parser(rest)


def parse_send(line: bytes) -> Send:
    """`<address>[, <address>]...: <text>`: cut at the first colon, one space after it dropped."""
    head, colon, text = line.partition(b":")
    addresses = _items(head) if colon else ()
    if not addresses:
        raise BadLine
    return Send(addresses, text[1:] if text[:1] == b" " else text)


def lists_more_than(line: bytes, most: int) -> bool:
    """Whether a text has more addresses than that; found without making them all, since a line may have millions."""
    colon = line.find(b":")
    return colon >= 0 and next(islice(_ITEM.finditer(line, 0, colon), most, None), None) is not None


def in_parts(line: bytes) -> list[bytes]:
    """A long `/join` or `/leave` as shorter ones that say the same; any other line as it is.  Each with its LF."""
    word, _, rest = line.partition(b" ")
    if len(line) <= LONG_LIST or word not in (b"/join", b"/leave"):
        return [line]
    parts, start = [], 0
    while start < len(rest):
        end = rest.find(b",", start + LONG_LIST)
        end = len(rest) if end < 0 else end
        part = rest[start:end].strip(b", \t\n\r\x0b\x0c")
        if part:
            parts.append(word + b" " + part + b"\n")
        start = end + 1
    return parts or [line]


def render(request: Login | Request) -> bytes:
    """The line of a request, without its LF.  Fields are taken as they are: none is checked."""
    match request:
        case Login(name, secret):
            return name + b" " + secret if secret else name
        case Send(addresses, text):
            return b", ".join(addresses) + b": " + text
        case Join(items) | Leave(items):
            return _WORDS[type(request)] + b" " + b", ".join(items)
        case Unknown(word):
            return word
        case Who(rest) | Ping(rest):
            return _WORDS[type(request)] + (b" " + rest if rest else b"")
        case _:
            return _WORDS[type(request)]


def _items(text: bytes) -> tuple[bytes, ...]:
    """The elements of a list: white space around them is dropped, empty ones are ignored."""
    return tuple(item for item in map(bytes.strip, text.split(b",")) if item)


def _listed(make: Callable[[tuple[bytes, ...]], Request]) -> Callable[[bytes], Request]:
    def parse_list(rest: bytes) -> Request:
        items = _items(rest)
        if not items:
            raise BadLine
        return make(items)

    return parse_list


def _bare(request: Request) -> Callable[[bytes], Request]:
    def parse_bare(rest: bytes) -> Request:
        if rest.strip():
            raise BadLine
        return request

    return parse_bare


def _parse_who(rest: bytes) -> Request:
    words = rest.split(None, 2)
    if len(words) > 1:
        raise BadLine
    return Who(*words)


_PARSERS: dict[bytes, Callable[[bytes], Request]] = {
    b"/join": _listed(Join),
    b"/leave": _listed(Leave),
    b"/who": _parse_who,
    b"/topics": _bare(Topics()),
    b"/watch": _bare(Watch()),
    b"/unwatch": _bare(Unwatch()),
    b"/ping": Ping,
    b"/help": _bare(Help()),
    b"/quit": _bare(Quit()),
}

_WORDS: dict[type, bytes] = {
    Join: b"/join",
    Leave: b"/leave",
    Who: b"/who",
    Topics: b"/topics",
    Watch: b"/watch",
    Unwatch: b"/unwatch",
    Ping: b"/ping",
    Help: b"/help",
    Quit: b"/quit",
}

HELP = (
    b"<address>[, <address>]...: <text>   send the text; an address is a name, name@node or #topic",
    b"/join #topic[, #topic]...   hear a topic",
    b"/leave #topic[, #topic]...   stop hearing it",
    b"/who [#topic]   who is here, or who hears the topic",
    b"/topics   which topics are heard here",
    b"/watch   be told as peers come and go",
    b"/unwatch   no longer",
    b"/ping [token]   answered in order with everything sent before it",
    b"/help   this",
    b"/quit   take what is queued, then close",
)
"""What `/help` says, a line each."""
