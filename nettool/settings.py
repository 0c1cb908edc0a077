"""
Frozen settings: every limit with its unit and the reason for its default.

In: values, or their written form (`4MiB`, `100ms`).  Out: `Settings`, checked; `Live`, the one mutable cell through
which present connections see settings that change.  Never: where the values came from; that is
for `nettool.options`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from math import inf, isinf
from typing import Any, Protocol

from nettool.errors import Mistake, SettingError

KIB = 1024
MIB = 1024 * KIB

CHUNK = 256 * KIB
"""Bytes handed to a transport at a time.  What a transport holds is out of the node's reach, so it is kept small."""

READ = 160 * KIB
"""Bytes read from a socket at a time: what most reads make of it when prefixes are added is written in one chunk."""

KERNEL_SEND_BUFFER = 512 * KIB
"""Bytes asked for as a socket's SO_SNDBUF.

Left to itself the kernel buffers megabytes for one slow reader.  128 KiB cost 12 to 17 % of throughput; this nothing.
"""

LINGER = 2.0
"""Seconds for which a closing connection's input is read and thrown away, so that no reset overtakes its last lines."""

TAKEOVER_DRAIN = 1.0
"""Seconds that a connection whose name is taken over has to take what is queued for it."""

SHUTDOWN_RETURNS = 1.0
"""Seconds that senders have, at shutdown, to take the lines that are given back to them."""

RETURNS_FACTOR = 4
"""Lines given back are taken up to this many times `outbox-bytes`: they are the promise that nothing vanishes."""

BACKLOG = 4096
"""Connections the kernel queues before they are accepted; with Twisted's 50 a storm of them waits on retransmits."""


class TopicOverflow(Enum):
    """What becomes of a hearer that reads a topic too slowly for `topic-patience`."""

    DROP_OLDEST = "drop-oldest"
    DISCONNECT = "disconnect"


class OnNameTaken(Enum):
    """What becomes of a login under a name that is taken."""

    REJECT = "reject"
    TAKEOVER = "takeover"


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What concerns the node as a whole."""

    name: bytes = b"node1"
    """What stands behind the `@` of `ok login alice@node1`."""
    state_dir: str = ""
    """Where keys and certificates are kept, made when there is something to keep; empty: nowhere."""
    drain_timeout: float = 10.0
    """Seconds to flush outboxes at shutdown, and a leaving peer's own."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What a process writes to its log."""

    format: str | None = None
    """`text` or `json`; none: text on a terminal, else json."""
    level: str = "info"
    """The lowest level that is written, by twisted.logger's names."""


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """Limits on one connection and on their number; 0 is unlimited for the `max_` ones but `max_line`."""

    listen: tuple[str, ...] = ("tcp:6388:interface=127.0.0.1",)
    """Where a process's peers connect, by server endpoint strings; an embedded node has an argument for that."""
    max_line: int = 64 * KIB
    """Bytes of a line without its end; as much as a connection may make the node hold before a line is whole."""
    max_peers: int = 10000
    """Connections, logged in or not."""
    max_addresses: int = 100
    """Addresses in one line: bounds how many copies a byte of input can turn into, topics aside."""
    max_joins: int = 1000
    """Topics that one peer hears."""
    login_timeout: float = 10.0
    """Seconds from the connection to its name."""
    on_name_taken: OnNameTaken = OnNameTaken.REJECT
    """What becomes of a login under a name that is taken."""


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """Bounds and patience of every outbox."""

    outbox_bytes: int = 4 * MIB
    """For lines to names and for topic lines apart; 0 is unlimited.  Its half is the low-water mark."""
    direct_patience: float = 5.0
    """Seconds that senders to a name wait for a full outbox."""
    topic_patience: float = 0.1
    """Seconds that senders to a topic wait: a hearer that takes half the bound in this time loses nothing."""
    topic_overflow: TopicOverflow = TopicOverflow.DROP_OLDEST
    """What becomes of a hearer that is slower than that."""
    stall_timeout: float = 30.0
    """Seconds for which a full or closing outbox's transport may take nothing."""

    @property
    def low_water(self) -> int:
        """Bytes under which a full outbox is no longer full."""
        return self.outbox_bytes // 2


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What concerns other nodes."""

    listen: tuple[str, ...] = ()
    """Where a process's node is linked to, by server endpoint strings; TLS is laid over them."""
    connect: tuple[Any, ...] = ()
    """Where other nodes are, as `nettool.cluster.resolver.parse_source` has it."""
    trusted_nodes: str = ""
    """The file of nodes that may link; empty: none may."""
    pending_timeout: float = 30.0
    """Seconds that lines wait for a node without a link to it."""
    presence_grace: float = 3.0
    """Seconds without a link after which a node's peers have left."""
    remote_window: int = MIB
    """Bytes under way to one receiver on another node."""


@dataclass(frozen=True, slots=True)
class ManholeSettings:
    """The console of a process."""

    listen: str = ""
    """A server endpoint string; empty: there is no console."""
    authorized_keys: str = ""
    """The file of public keys that may log in; read at each login."""


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What a process tells over HTTP."""

    listen: str = ""
    """A server endpoint string; empty: nothing is told."""
    token: str = ""
    """The file that holds the bearer token which requests must bring; empty: they need none."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All of them.  `check` is the only place that knows what goes with what."""

    node: NodeSettings = field(default_factory=NodeSettings)
    peers: PeerSettings = field(default_factory=PeerSettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    links: LinkSettings = field(default_factory=LinkSettings)
    log: LogSettings = field(default_factory=LogSettings)
    manhole: ManholeSettings = field(default_factory=ManholeSettings)
    web: WebSettings = field(default_factory=WebSettings)

    def check(self) -> list[Mistake]:
        """Every mistake, each with the keys that bring it about; none for settings that can be used."""
        peers, delivery = self.peers, self.delivery
        mistakes = []
        if not 64 <= peers.max_line <= 16 * MIB:
            mistakes.append(Mistake(("peers.max-line",), "expected 64 bytes to 16MiB"))
        if delivery.outbox_bytes and delivery.outbox_bytes < 2 * peers.max_line:
            keys = ("delivery.outbox-bytes", "peers.max-line")
            mistakes.append(Mistake(keys, "expected 0 (unlimited) or at least twice max-line"))
        if not isinf(delivery.stall_timeout) and delivery.stall_timeout <= delivery.direct_patience:
            keys = ("delivery.stall-timeout", "delivery.direct-patience")
            mistakes.append(Mistake(keys, "expected more than direct-patience"))
        for key, seconds in (
            ("node.drain-timeout", self.node.drain_timeout),
            ("peers.login-timeout", peers.login_timeout),
            ("delivery.stall-timeout", delivery.stall_timeout),
            ("links.pending-timeout", self.links.pending_timeout),
            ("links.presence-grace", self.links.presence_grace),
        ):
            if not seconds > 0:
                mistakes.append(Mistake((key,), "expected a time above zero, or forever"))
        for key, said in (("links.listen", self.links.listen), ("links.connect", self.links.connect)):
            if said and not self.node.state_dir:
                mistakes.append(Mistake(("node.state-dir", key), "expected a directory, where the node's key is kept"))
                break
        if self.links.remote_window < KIB:
            mistakes.append(Mistake(("links.remote-window",), "expected 1KiB or more"))
        if self.manhole.listen and not self.manhole.authorized_keys:
            keys = ("manhole.authorized-keys", "manhole.listen")
            mistakes.append(Mistake(keys, "expected a file of public keys, without which nobody could log in"))
        if self.manhole.listen and not self.node.state_dir:
            keys = ("node.state-dir", "manhole.listen")
            mistakes.append(Mistake(keys, "expected a directory, where the manhole's host key is kept"))
        return mistakes

    def warnings(self) -> list[str]:
        """What can be used, and may not be meant."""
        warnings = []
        if self.peers.on_name_taken is OnNameTaken.TAKEOVER:
            warnings.append("on-name-taken is takeover: whoever can connect can take over any name")
        if (self.links.listen or self.links.connect) and not self.links.trusted_nodes:
            warnings.append("trusted-nodes names no file, so no node is trusted, and none can link")
        return warnings


class HasDelivery(Protocol):
    """Where the bounds that are in force now are found: the node's `Live`, or a link's."""

    @property
    def delivery(self) -> DeliverySettings:
        """Bounds and patience."""


class Live:
    """The settings in force now.

    Connections keep this cell, not its content, so that a change reaches those that are present.
    """

    __slots__ = ("delivery", "links", "node", "peers", "settings")

    def __init__(self, settings: Settings) -> None:
        self.replace(settings)

    def replace(self, settings: Settings) -> None:
        """Put other settings in force, at once and for all connections."""
        self.settings = settings
        self.node: NodeSettings = settings.node
        self.peers: PeerSettings = settings.peers
        self.delivery: DeliverySettings = settings.delivery
        self.links: LinkSettings = settings.links


_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ms|s|m|h)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d{1,15})(B|KiB|MiB|GiB)?", re.ASCII)
_BYTES = {None: 1, "B": 1, "KiB": KIB, "MiB": MIB, "GiB": 1024 * MIB}


def parse_duration(text: str) -> float:
    """Seconds from `100ms`, `10s`, `2m`, `1h`, `forever`, or a plain `0`; `SettingError` for anything else."""
    if text == "forever":
        return inf
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise SettingError(f"expected a time such as 100ms, 10s, 2m or forever, not {text!r}")
    return float(match[1]) * _SECONDS[match[2]]


def parse_size(text: str) -> int:
    """Bytes from `64KiB`, `4MiB`, `1GiB` or plain bytes; `SettingError` for anything else."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise SettingError(f"expected a size such as 64KiB, 4MiB or plain bytes, not {text!r}")
    return int(match[1]) * _BYTES[match[2]]


def parse_count(text: str) -> int:
    """A whole number, 0 or more; `SettingError` for anything else."""
    if re.fullmatch(r"\d{1,12}", text, re.ASCII) is None:
        raise SettingError(f"expected a whole number, 0 or more, not {text!r}")
    return int(text)


def decimal(number: float) -> bytes:
    """A limit as the protocol writes it: `10`, `0.1`, never `1e-05` or `10.0`."""
    return f"{number:.6f}".rstrip("0").rstrip(".").encode()


def write_duration(seconds: float) -> str:
    """What `parse_duration` reads, in the largest unit that gives a whole number."""
    if isinf(seconds):
        return "forever"
    for unit, size in reversed(_SECONDS.items()):
        number = round(seconds / size, 9)
        if seconds and number == int(number):
            return f"{int(number)}{unit}"
    return f"{seconds * 1000:.9f}".rstrip("0").rstrip(".") + "ms" if seconds else "0s"


def write_size(size: int) -> str:
    """What `parse_size` reads, in the largest unit that gives a whole number."""
    for unit, unit_size in (("GiB", 1024 * MIB), ("MiB", MIB), ("KiB", KIB)):
        if size and size % unit_size == 0:
            return f"{size // unit_size}{unit}"
    return str(size)
