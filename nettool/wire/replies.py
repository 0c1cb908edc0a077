"""
What a node says to a peer: each line as a value, parsed and rendered.

In: one line without its LF.  Out: one of the values of this file, or `BadReply`.  Never: a decision what to say.
`parse(render(reply))` is the reply.  The node's hot path renders deliveries by batch, with `direct_prefix` and
`topic_prefix`; a test holds that these give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class BadReply(ValueError):
    """A line that no node says."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The answer to the first line, before anything else."""

    name: bytes
    node: bytes


@dataclass(frozen=True, slots=True)
class Direct:
    """A text sent to this peer by name."""

    sender: bytes
    text: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """A text heard on a topic."""

    sender: bytes
    topic: bytes
    text: bytes


@dataclass(frozen=True, slots=True)
class Joined:
    """`ok join`."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class Left:
    """`ok leave`."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class PeerHere:
    """One line of the answer to `/who`."""

    name: bytes


@dataclass(frozen=True, slots=True)
class WhoEnd:
    """Its last line: how many there were."""

    count: int


@dataclass(frozen=True, slots=True)
class TopicHeard:
    """One line of the answer to `/topics`."""

    topic: bytes
    hearers: int


@dataclass(frozen=True, slots=True)
class TopicsEnd:
    """Its last line: how many there were."""

    count: int


@dataclass(frozen=True, slots=True)
class Watching:
    """`ok watch` or `ok unwatch`."""

    on: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """A peer came or went."""

    here: bool
    name: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to `/ping`; an empty token is none."""

    token: bytes = b""


@dataclass(frozen=True, slots=True)
class HelpLine:
    """One line of the answer to `/help`."""

    text: bytes


@dataclass(frozen=True, slots=True)
class HelpEnd:
    """Its last line."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A text of this peer's that will not be delivered, with the address as it was written."""

    address: bytes
    reason: bytes
    text: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """`error`: something is wrong."""

    code: bytes
    detail: bytes


@dataclass(frozen=True, slots=True)
class Bye:
    """The last line before the node closes."""

    reason: bytes


Reply = (
    LoggedIn
    | Direct
    | Heard
    | Joined
    | Left
    | PeerHere
    | WhoEnd
    | TopicHeard
    | TopicsEnd
    | Watching
    | Notice
    | Pong
    | HelpLine
    | HelpEnd
    | Returned
    | Refused
    | Bye
)


def render(reply: Reply) -> bytes:
    """The line of a reply, without its LF."""
    return _RENDERERS[type(reply)](reply)


def direct_prefix(sender: bytes) -> bytes:
    """What stands before each text of a sender to a name."""
    return b"from " + sender + b": "


def topic_prefix(sender: bytes) -> bytes:
    """What stands before each `#topic: text` of a sender."""
    return b"from " + sender + b" to "


def parse(line: bytes) -> Reply:
    """Any line of a node; `BadReply` for what is none."""
    word, _, rest = line.partition(b" ")
    parser = _PARSERS.get(word)
    if parser is None:
        raise BadReply(line)
    return parser(rest)


# Each renderer is only ever given a reply of its own type, which the table's type cannot say.
_RENDERERS: dict[type, Callable[[Any], bytes]] = {
    LoggedIn: lambda r: b"ok login %b@%b" % (r.name, r.node),
    Direct: lambda r: b"from %b: %b" % (r.sender, r.text),
    Heard: lambda r: b"from %b to %b: %b" % (r.sender, r.topic, r.text),
    Joined: lambda r: b"ok join %b" % r.topic,
    Left: lambda r: b"ok leave %b" % r.topic,
    PeerHere: lambda r: b"peer %b" % r.name,
    WhoEnd: lambda r: b"ok who %d" % r.count,
    TopicHeard: lambda r: b"topic %b %d" % (r.topic, r.hearers),
    TopicsEnd: lambda r: b"ok topics %d" % r.count,
    Watching: lambda r: b"ok watch" if r.on else b"ok unwatch",
    Notice: lambda r: b"notice %b: %b" % (b"here" if r.here else b"gone", r.name),
    Pong: lambda r: b"pong %b" % r.token if r.token else b"pong",
    HelpLine: lambda r: b"help %b" % r.text,
    HelpEnd: lambda r: b"ok help",
    Returned: lambda r: b"returned %b %b: %b" % (r.address, r.reason, r.text),
    Refused: lambda r: b"error %b: %b" % (r.code, r.detail),
    Bye: lambda r: b"bye %b" % r.reason,
}


def _matching(pattern: bytes, make: Callable[..., Reply]) -> Callable[[bytes], Reply]:
    compiled = re.compile(pattern, re.DOTALL)

    def parse_rest(rest: bytes) -> Reply:
        match = compiled.fullmatch(rest)
        if match is None:
            raise BadReply(rest)
        return make(*match.groups())

    return parse_rest


def _parse_ok(rest: bytes) -> Reply:
    word, _, rest = rest.partition(b" ")
    parser = _OKS.get(word)
    if parser is None:
        raise BadReply(rest)
    return parser(rest)


_OKS: dict[bytes, Callable[[bytes], Reply]] = {
    b"login": _matching(rb"([^@]+)@(.+)", LoggedIn),
    b"join": _matching(rb"(#.+)", Joined),
    b"leave": _matching(rb"(#.+)", Left),
    b"who": _matching(rb"(\d{1,18})", lambda count: WhoEnd(int(count))),
    b"topics": _matching(rb"(\d{1,18})", lambda count: TopicsEnd(int(count))),
    b"watch": _matching(b"", lambda: Watching(True)),
    b"unwatch": _matching(b"", lambda: Watching(False)),
    b"help": _matching(b"", HelpEnd),
}


def _make_from(sender: bytes, topic: bytes | None, text: bytes) -> Reply:
    return Direct(sender, text) if topic is None else Heard(sender, topic, text)


# Names and topics have neither white space nor colons, which makes every one of these patterns match in one way only.
# An address given back is as its sender wrote it, and that may be anything but a colon, a comma or outer white space.
_PARSERS: dict[bytes, Callable[[bytes], Reply]] = {
    b"ok": _parse_ok,
    b"from": _matching(rb"([^ :]+)(?: to (#[^ :]+))?: (.*)", _make_from),
    b"peer": _matching(rb"(.+)", PeerHere),
    b"topic": _matching(rb"(#[^ ]+) (\d{1,18})", lambda topic, hearers: TopicHeard(topic, int(hearers))),
    b"notice": _matching(rb"(here|gone): (.+)", lambda what, name: Notice(what == b"here", name)),
    b"pong": _matching(rb"(.*)", Pong),
    b"help": _matching(rb"(.*)", HelpLine),
    b"returned": _matching(rb"([^:]+) ([a-z-]+): (.*)", Returned),
    b"error": _matching(rb"([a-z-]+): (.*)", Refused),
    b"bye": _matching(rb"([a-z-]+)", Bye),
}
