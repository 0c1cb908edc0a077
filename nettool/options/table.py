"""
All options: one row for each.

In: nothing.  Out: the table of which flags, variables, keys, the default file, the reference page and the errors are
made.  Never: a default, unless it depends on the machine: those are in `nettool.settings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from nettool.errors import Mistake, SettingError
from nettool.options import kinds
from nettool.options.kinds import Kind
from nettool.settings import OnNameTaken, Settings, TopicOverflow

VARIABLE = "NETTOOL_"


class OnReload(Enum):
    """When a changed value is in force."""

    AT_ONCE = "at once"
    """For present connections too."""
    LISTENERS = "listeners"
    """New ones are bound first, then old ones are closed; who came by them stays."""
    RESTART = "restart"
    """Never: it needs a restart."""


@dataclass(frozen=True)
class Option:
    """One option, and where it can be written."""

    name: str
    """On the command line, without its dashes."""
    key: str
    """In a file: the section, a dot, the key in it."""
    kind: Kind
    help: str
    on_reload: OnReload = OnReload.AT_ONCE
    several: bool = False
    """Whether it may be given several times, so that its value is a tuple."""
    here: str = ""
    """What its default is, where that depends on the machine or the terminal."""
    example: str = ""
    """A value to show where the default would show nothing."""

    @property
    def variable(self) -> str:
        """In the environment."""
        return VARIABLE + self.name.upper().replace("-", "_")

    @property
    def group(self) -> str:
        """The section of a file, and the field of `Settings`."""
        return self.key.partition(".")[0]

    @property
    def field(self) -> str:
        """The field of that field."""
        return self.key.partition(".")[2].replace("-", "_")

    def of(self, settings: Settings) -> Any:
        """Its value there."""
        return getattr(getattr(settings, self.group), self.field)

    def parse(self, values: tuple[str, ...]) -> Any:
        """The value of what was written; `SettingError` for anything that it cannot be."""
        parsed: list[Any] = []
        mistakes: list[Mistake] = []
        for value in values:
            try:
                parsed.append(self.kind.parse(value))
            except SettingError as error:
                mistakes += error.mistakes
        if mistakes:
            raise SettingError(*mistakes)
        return tuple(parsed) if self.several else parsed[-1]

    def write(self, value: Any) -> str:
        """A value as it is written, several with a space between them; nothing for no value."""
        values = value if self.several else () if value is None else (value,)
        return " ".join(self.kind.write(value) for value in values)

    @property
    def default(self) -> str:
        """What holds if it is not written, for people."""
        return self.here or self.write(self.of(Settings())) or "off"

    @property
    def may_be_none(self) -> bool:
        """Whether several values may be none."""
        return self.several and not self.of(Settings())


_LISTENERS, _RESTART = OnReload.LISTENERS, OnReload.RESTART

TABLE = (
    Option(
        "node-name",
        "node.name",
        kinds.NAME,
        "This node's name.",
        _RESTART,
        here="the host's short name",
        example="node1",
    ),
    Option(
        "state-dir",
        "node.state-dir",
        kinds.DIRECTORY,
        "Where the node keeps what is its own, such as keys; made when there is something to keep.",
        _RESTART,
        here="$STATE_DIRECTORY, $XDG_STATE_HOME/nettool or ~/.local/state/nettool, the first that is set",
        example="/var/lib/nettool",
    ),
    Option("drain-timeout", "node.drain-timeout", kinds.DURATION, "Time to flush what is queued, at the end."),
    Option(
        "log-format",
        "log.format",
        kinds.one_word_of("text", "json"),
        "How the log is written, as text or json.",
        here="text on a terminal, else json",
        example="json",
    ),
    Option(
        "log-level",
        "log.level",
        kinds.one_word_of("debug", "info", "warn", "error", "critical"),
        "The lowest level that is logged: debug, info, warn, error or critical.",
    ),
    Option(
        "listen",
        "peers.listen",
        kinds.ENDPOINT,
        "Where peers connect: a Twisted server endpoint string, such as tcp:6388, unix:/run/nettool.sock or "
        "ssl:6390:privateKey=key.pem:certKey=cert.pem.",
        _LISTENERS,
        several=True,
    ),
    Option("max-line", "peers.max-line", kinds.SIZE, "Longest line, without its end: 64 bytes to 16MiB."),
    Option("max-peers", "peers.max-peers", kinds.COUNT, "Connections, logged in or not; 0 is unlimited."),
    Option("max-addresses", "peers.max-addresses", kinds.COUNT, "Addresses in one line; 0 is unlimited."),
    Option("max-joins", "peers.max-joins", kinds.COUNT, "Topics that one peer hears; 0 is unlimited."),
    Option("login-timeout", "peers.login-timeout", kinds.DURATION, "Time from connecting to saying a name."),
    Option(
        "on-name-taken",
        "peers.on-name-taken",
        kinds.one_of(OnNameTaken),
        "What becomes of a login under a name that is taken: reject it, or takeover, and the older connection goes.",
    ),
    Option(
        "outbox-bytes",
        "delivery.outbox-bytes",
        kinds.SIZE,
        "What is queued for one peer, lines to names and topic lines apart: at least twice max-line; 0 is unlimited.",
    ),
    Option(
        "direct-patience",
        "delivery.direct-patience",
        kinds.DURATION,
        "How long senders to a name wait when its queue is full; then lines for it are given back.",
    ),
    Option(
        "topic-patience",
        "delivery.topic-patience",
        kinds.DURATION,
        "How long senders to a topic wait when a hearer's queue is full.",
    ),
    Option(
        "topic-overflow",
        "delivery.topic-overflow",
        kinds.one_of(TopicOverflow),
        "What becomes of that hearer then: drop-oldest, and it is told how many lines it lost, or disconnect.",
    ),
    Option(
        "stall-timeout",
        "delivery.stall-timeout",
        kinds.DURATION,
        "How long a peer whose queue is full may read nothing: more than direct-patience.",
    ),
    Option(
        "link-listen",
        "links.listen",
        kinds.LINK_ENDPOINT,
        "Where other nodes connect, over TLS: a plain endpoint such as tcp:6389.",
        _LISTENERS,
        several=True,
        example="tcp:6389",
    ),
    Option(
        "link-connect",
        "links.connect",
        kinds.NODES,
        "Where other nodes are: one as NAME=HOST:PORT[,HOST:PORT...], a list of them as file:PATH, or those of a "
        "domain's SRV records as dns:NAME.",
        several=True,
        example="node2=10.0.0.2:6389",
    ),
    Option(
        "trusted-nodes",
        "links.trusted-nodes",
        kinds.TRUSTED_NODES,
        "The file of nodes that may link, a line of `nettool identity show` for each. A link to one that a reload does "
        "not find there any more is ended.",
        example="/etc/nettool/trusted-nodes",
    ),
    Option(
        "pending-timeout",
        "links.pending-timeout",
        kinds.DURATION,
        "How long lines wait for a node without a link to it, before they are given back.",
    ),
    Option(
        "presence-grace",
        "links.presence-grace",
        kinds.DURATION,
        "How long a node may be without a link before its peers have left.",
    ),
    Option(
        "remote-window",
        "links.remote-window",
        kinds.SIZE,
        "What may be under way to one receiver on another node, before its senders wait: 1KiB or more.",
    ),
    Option(
        "manhole",
        "manhole.listen",
        kinds.OWN_ENDPOINT,
        "Where the SSH console listens; on the loopback interface, unless it names one.",
        _LISTENERS,
        example="tcp:6022",
    ),
    Option(
        "authorized-keys",
        "manhole.authorized-keys",
        kinds.KEYS_FILE,
        "The public keys that may log in to the console, as sshd has them; read at each login.",
        _LISTENERS,
        example="/etc/nettool/authorized_keys",
    ),
    Option(
        "web",
        "web.listen",
        kinds.OWN_ENDPOINT,
        "Where metrics, health and the status page are served; on the loopback interface, unless it names one.",
        _LISTENERS,
        example="tcp:6390",
    ),
    Option(
        "web-token",
        "web.token",
        kinds.SECRET_FILE,
        "The file with the bearer token that requests for these must bring.",
        _LISTENERS,
        example="/etc/nettool/token",
    ),
)
"""All of them, in the order in which they are told."""

BY_NAME: Mapping[str, Option] = {option.name: option for option in TABLE}
BY_KEY: Mapping[str, Option] = {option.key: option for option in TABLE}
BY_VARIABLE: Mapping[str, Option] = {option.variable: option for option in TABLE}
SECTIONS = tuple(dict.fromkeys(option.group for option in TABLE))


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings with other values, by key."""
    for group in SECTIONS:
        changes = {BY_KEY[key].field: value for key, value in values.items() if BY_KEY[key].group == group}
        if changes:
            settings = replace(settings, **{group: replace(getattr(settings, group), **changes)})
    return settings
