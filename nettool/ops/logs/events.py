"""
The events of the log: every name, what it means, and what it carries.

In: nothing.  Out: the table, which a test holds all log calls of nettool and docs/logs.md to.  Never: behaviour.

A log call names its event: `self._log.warn("... {name!r}", event="slow-consumer", name=...)`.  The rooms below know
nothing of this table; their calls are plain ones of `twisted.logger`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event."""

    level: str
    meaning: str
    fields: tuple[str, ...] = ()
    limited: bool = True
    """Whether a burst of it becomes a few lines and a count; not what is said once, or at an operator's wish."""
    withholds: bool = False
    """Whether its exception's message may quote a peer, and so is shown at level debug only."""


def _often(level: str, meaning: str, *fields: str) -> Event:
    """What others can bring about as often as they like."""
    return Event(level, meaning, fields)


def _always(level: str, meaning: str, *fields: str) -> Event:
    """What is said once, or when an operator asks for it: every time."""
    return Event(level, meaning, fields, limited=False)


def _fault(level: str, meaning: str, *fields: str) -> Event:
    """An exception where what peers sent is worked on."""
    return Event(level, meaning, fields, withholds=True)


EVENTS: Mapping[str, Event] = {
    # Begin and end
    "listening": _always("info", "A listener is bound: whoever waits for this may connect.", "node", "where"),
    "cannot-listen": _always(
        "critical", "An address cannot be bound; the process ends, or lives without that listener.", "where", "error"
    ),
    "names-unguarded": _always("warn", "`on-name-taken` is `takeover`: whoever can connect can take over any name."),
    "draining": _always("info", "The node was told to stop, and flushes.", "count"),
    "drain-failed": _fault("error", "The drain failed, and connections were cut off."),
    "stopping-at-once": _always("warn", "A second signal cut the drain short."),
    "closed": _always("info", "At the end: how many connections closed, by reason.", "closed"),
    "totals": _always("info", "At the end: the ledger.", "ledger"),
    # Peers
    "slow-consumer": _often("warn", "A peer does not read, and is disconnected.", "name", "peer"),
    "session-failed": _fault("error", "A fault in one peer's session: that peer is disconnected.", "name", "peer"),
    "read-failed": _fault("error", "A fault when a peer was read: that peer is disconnected.", "peer"),
    "flush-failed": _fault("critical", "A fault beside one peer's flush, which ended nobody's connection.", "name"),
    "turn-failed": _fault("critical", "A fault in a call that was put off to the next turn.", "call"),
    "inside-failed": _fault("error", "A protocol failed on a connection in memory, of an embedded node.", "peer"),
    # Descriptors: lines of Twisted's, which has them at level info and without a name
    "out-of-descriptors": _often("warn", "No file descriptor is left: raise `LimitNOFILE` or `ulimit -n`."),
    "connection-refused": _often("warn", "A connection was closed at once: no descriptor was left for it.", "address"),
    "accept-failed": _often("warn", "The system accepts no connection now.", "acceptError"),
    "descriptor-reserved": _often("debug", "Descriptors are free again."),
    # Signals
    "signal-failed": _always("error", "What a signal asks for failed; the node goes on.", "signal"),
    "nothing-to-reload": _always("info", "HUP came, and there is nothing that could be read again."),
    "dump": _always("info", "One row of what USR2 asks for.", "kind", "row"),
    "dumped": _always("info", "The end of what USR2 asks for.", "rows"),
    # systemd
    "systemd-unreachable": _always("error", "systemd is not told what the node does: `NOTIFY_SOCKET` fails.", "error"),
    # The log itself
    "log-rotated": _always("info", "The first line of a log file that was begun by USR1.", "path"),
    "log-not-rotated": _always("error", "The log file cannot be rotated, and goes on.", "path", "error"),
    "log-lost": _often("error", "So many lines could not be written: the disk is full, or nobody reads.", "lines"),
    "unloggable": _often("error", "An event that cannot be shown: a fault of whoever logged it.", "type"),
}

OF_TWISTED: Mapping[str, str] = {
    "EMFILE encountered; releasing reserved file descriptor.": "out-of-descriptors",
    "EMFILE recovery: Closed socket from {address}": "connection-refused",
    "Could not accept new connection ({acceptError})": "accept-failed",
    "Re-reserving EMFILE recovery file descriptor.": "descriptor-reserved",
}
"""Lines of Twisted's that mean something here, by their template."""
