"""
The options: how each is written, and which setting it becomes.

In: an option's name and its written value, wherever they came from.  Out: checked `Settings`, or every mistake at once.
Never: a default (those are in `nettool.settings`), or a command line's grammar.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nettool.errors import SettingError
from nettool.settings import (
    OnNameTaken,
    Settings,
    TopicOverflow,
    parse_count,
    parse_duration,
    parse_size,
)
from nettool.wire.names import name_fault


@dataclass(frozen=True)
class Option:
    """One option: `group` and `field` say where in `Settings` its value goes."""

    name: str
    group: str
    field: str
    parse: Callable[[str], Any]
    """The value from its written form; `SettingError`, saying what was expected, for anything else."""
    help: str


def _parse_name(text: str) -> bytes:
    name = text.encode("utf-8", "surrogateescape")
    fault = name_fault(name)
    if fault:
        raise SettingError(f"expected a name, and {fault}; not {text!r}")
    return name


def _parse_dir(text: str) -> str:
    if os.path.exists(text) and not os.path.isdir(text):
        raise SettingError(f"expected a directory, which {text!r} is not")
    return text


def _choice(kind: type[TopicOverflow] | type[OnNameTaken]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise SettingError(f"expected {' or '.join(choice.value for choice in kind)}, not {text!r}") from None

    return parse


TABLE: Sequence[Option] = [
    Option("node-name", "node", "name", _parse_name, "This node's name. [default: the host's short name]"),
    Option("state-dir", "node", "state_dir", _parse_dir, "Where the node keeps what is its own. [default: none]"),
    Option("drain-timeout", "node", "drain_timeout", parse_duration, "Time to flush, at the end. [default: 10s]"),
    Option("max-line", "peers", "max_line", parse_size, "Longest line, without its end. [default: 64KiB]"),
    Option(
        "max-peers",
        "peers",
        "max_peers",
        parse_count,
        "Connections, logged in or not; 0 is unlimited. [default: 10000]",
    ),
    Option("max-addresses", "peers", "max_addresses", parse_count, "Addresses in one line. [default: 100]"),
    Option("max-joins", "peers", "max_joins", parse_count, "Topics that one peer hears. [default: 1000]"),
    Option("login-timeout", "peers", "login_timeout", parse_duration, "Time to log in. [default: 10s]"),
    Option("on-name-taken", "peers", "on_name_taken", _choice(OnNameTaken), "reject or takeover. [default: reject]"),
    Option(
        "outbox-bytes",
        "delivery",
        "outbox_bytes",
        parse_size,
        "Bound of each outbox, for each kind. [default: 4MiB]",
    ),
    Option("direct-patience", "delivery", "direct_patience", parse_duration, "Wait for a full name. [default: 5s]"),
    Option("topic-patience", "delivery", "topic_patience", parse_duration, "Wait for a full hearer. [default: 100ms]"),
    Option(
        "topic-overflow",
        "delivery",
        "topic_overflow",
        _choice(TopicOverflow),
        "What then: drop-oldest or disconnect. [default: drop-oldest]",
    ),
    Option(
        "stall-timeout",
        "delivery",
        "stall_timeout",
        parse_duration,
        "Abort who reads nothing so long. [default: 30s]",
    ),
]
"""All of them, in the order of `--help`; `--listen` alone is the command line's own."""


def settings_from(written: Mapping[str, str], otherwise: Settings | None = None) -> Settings:
    """Checked settings from written values by option; what is not there is as in `otherwise`.

    `SettingError` with every mistake, each naming its option; an option that there is not is one.
    """
    base = Settings() if otherwise is None else otherwise
    changes: dict[str, dict[str, Any]] = {"node": {}, "peers": {}, "delivery": {}}
    by_name = {option.name: option for option in TABLE}
    mistakes = []
    for name, text in written.items():
        option = by_name.get(name)
        if option is None:
            mistakes.append(f"{name}: there is no such option")
            continue
        try:
            changes[option.group][option.field] = option.parse(text)
        except SettingError as error:
            mistakes.append(f"{name}: {error}")
    settings = Settings(
        replace(base.node, **changes["node"]),
        replace(base.peers, **changes["peers"]),
        replace(base.delivery, **changes["delivery"]),
    )
    mistakes = mistakes or settings.check()
    if mistakes:
        raise SettingError("; ".join(mistakes))
    return settings
