"""
What can go wrong: error codes, reasons for giving back, dropping and closing.

In: nothing.  Out: enumerations whose values are the words of the protocol, and the exceptions of the pure rooms.
Never: behaviour.  A reason is named here or it does not exist; a test holds the protocol's tables against these.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum


class ErrorCode(bytes, Enum):
    """The code of an `error` line."""

    BAD_NAME = b"bad-name"
    NAME_TAKEN = b"name-taken"
    LOGIN_TIMEOUT = b"login-timeout"
    TOO_MANY_PEERS = b"too-many-peers"
    SLOW_CONSUMER = b"slow-consumer"
    BAD_LINE = b"bad-line"
    BAD_TOPIC = b"bad-topic"
    UNKNOWN_COMMAND = b"unknown-command"
    LINE_TOO_LONG = b"line-too-long"
    TOO_MANY_ADDRESSES = b"too-many-addresses"
    TOO_MANY_TOPICS = b"too-many-topics"
    NO_SUCH_PEER = b"no-such-peer"
    AMBIGUOUS_NAME = b"ambiguous-name"
    LAGGED = b"lagged"
    RETURNS_LOST = b"returns-lost"


class CloseReason(bytes, Enum):
    """Why a connection was closed: the word of its `bye`, or what happened to it where no `bye` could be said."""

    QUIT = b"quit"
    SHUTDOWN = b"shutdown"
    KICKED = b"kicked"
    TAKEN_OVER = b"taken-over"
    BAD_NAME = b"bad-name"
    NAME_TAKEN = b"name-taken"
    LOGIN_TIMEOUT = b"login-timeout"
    TOO_MANY_PEERS = b"too-many-peers"
    SLOW_CONSUMER = b"slow-consumer"
    DISCONNECTED = b"disconnected"
    """The peer or the network ended the connection; nothing can be said to it."""
    BROKEN = b"broken"
    """An exception in this peer's session: a fault of ours, logged."""


class ReturnReason(bytes, Enum):
    """Why a text comes back to its sender."""

    QUEUE_FULL = b"queue-full"
    DISCONNECTED = b"disconnected"
    SLOW_CONSUMER = b"slow-consumer"
    NO_SUCH_PEER = b"no-such-peer"
    """On the node that it was sent to; where there is none here, it is an error instead."""
    NODE_UNREACHABLE = b"node-unreachable"
    SHUTDOWN = b"shutdown"


class DropReason(bytes, Enum):
    """Why a copy of a text was neither delivered nor given back."""

    LAGGED = b"lagged"
    """A topic line that its hearer lost because it read too slowly; it is told by `error lagged`."""
    HEARER_GONE = b"hearer-gone"
    """A topic line still queued when its hearer's connection ended."""
    SENDER_GONE = b"sender-gone"
    """A line to be given back whose sender has left."""
    RETURN_OVERFLOW = b"return-overflow"
    """A line to be given back to a sender who does not read; it is told by `error returns-lost`."""
    LINK_LOST = b"link-lost"
    """A line that was sent to another node, which ended before it said what had become of it; or a topic line that
    waited for a link for too long."""
    SHUTDOWN = b"shutdown"
    """A line that the node's own end left no time to deliver or to give back."""


class LinkEnd(StrEnum):
    """Why a connection to another node ended, or was not made the link."""

    LOST = "lost"
    """The network or the other node ended the connection."""
    UNREACHABLE = "unreachable"
    """No connection could be made to any of the node's addresses."""
    SILENT = "silent"
    """Nothing was heard for too long, or a ping was not answered."""
    REPLACED = "replaced"
    """Another connection is the link now."""
    ALREADY_LINKED = "already-linked"
    """There is a link, and this connection is not it."""
    HELLO_TIMEOUT = "hello-timeout"
    CROWDED_OUT = "crowded-out"
    """Too many others had connected, and not said who they are, before it did."""
    NOT_TAKEN = "not-taken"
    """The other node, which decides, said nothing."""
    VERSION = "version"
    """The two speak no common version of the protocol."""
    NOT_TRUSTED = "not-trusted"
    WRONG_NAME = "wrong-name"
    """Another node answered than the one that was meant, or one with this node's own name."""
    UNKNOWN_NODE = "unknown-node"
    BAD_FRAME = "bad-frame"
    """It said what no node says."""
    REFUSED = "refused"
    """The other node ended it, and said why."""
    TOO_SLOW = "too-slow"
    """Its transport took nothing for `stall-timeout`, or it did not confirm what it had read."""
    REMOVED = "removed"
    """The node is not configured or trusted any more."""
    SHUTDOWN = "shutdown"
    BROKEN = "broken"
    """An exception: a fault of ours, logged."""


class RefusalReason(bytes, Enum):
    """Why another node is refused."""

    NOT_TRUSTED = b"not-trusted"
    """Neither its name nor its key is known."""
    OTHER_KEY = b"other-key"
    """Its name is trusted with another key."""
    OTHER_NAME = b"other-name"
    """Its key is trusted under another name."""
    SAME_NAME = b"same-name"
    """It has this node's name."""
    SAME_KEY = b"same-key"
    """It has this node's key: it is this node, or has a copy of its state directory."""
    NOT_MEANT = b"not-meant"
    """It is another node than the one that was dialled."""
    BAD_NAME = b"bad-name"
    """It gives a name that cannot be one."""
    NO_CERTIFICATE = b"no-certificate"
    """It has shown no certificate."""
    WRONG_KEY_KIND = b"wrong-key-kind"
    """The key of its certificate is none that a node has."""
    NOT_A_LINK = b"not-a-link"
    """It speaks TLS, but not a link's."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that settings cannot be."""

    keys: tuple[str, ...]
    """The key that is wrong, as `peers.max-line`, then those that make it so; none where no key is to blame."""
    text: str
    """What was expected."""
    place: str = ""
    """Where it was written, as `node.toml:3: peers.max-line`, `NETTOOL_MAX_LINE` or `--max-line`; empty: nowhere."""

    def __str__(self) -> str:
        place = self.place or "".join(self.keys[:1])
        words = f"{place}: {self.text}" if place else self.text
        # One line, whatever somebody has written as a key or as the name of a file.
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


class SettingError(ValueError):
    """A setting has a value that it cannot have; the message says what was expected, and of which setting."""

    def __init__(self, *mistakes: Mistake | str) -> None:
        self.mistakes = [mistake if isinstance(mistake, Mistake) else Mistake((), mistake) for mistake in mistakes]
        super().__init__("; ".join(str(mistake) for mistake in self.mistakes))
