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
    "listening": _always(
        "info", "A listener is bound: whoever waits for this may connect.", "node", "where", "purpose"
    ),
    "cannot-listen": _always(
        "critical", "An address cannot be bound; the process ends, or lives without that listener.", "where", "error"
    ),
    "configured": _always("info", "The file that the node was configured by.", "file", "digest"),
    "cannot-start": _always("error", "The node cannot start, and the process ends.", "error"),
    "config-warning": _always("warn", "Something that the configuration allows and that is worth knowing.", "warning"),
    "draining": _always("info", "The node was told to stop, and flushes.", "count"),
    "drain-failed": _fault("error", "The drain failed, and connections were cut off."),
    "stopping-at-once": _always("warn", "A second signal cut the drain short."),
    "closed": _always("info", "At the end: how many connections closed, by reason.", "closed"),
    "totals": _always("info", "At the end: the ledger.", "ledger"),
    # Peers
    "slow-consumer": _often("warn", "A peer does not read, and is disconnected.", "name", "peer"),
    "read-failed": _fault("error", "A fault beside one peer's reading: that peer is disconnected.", "peer"),
    "session-failed": _fault("error", "A fault in one peer's session: that peer is disconnected.", "name", "peer"),
    "flush-failed": _fault("critical", "A fault beside one peer's flush, which ended nobody's connection.", "name"),
    "turn-failed": _fault("critical", "A fault in a call that was put off to the next turn.", "call"),
    "inside-failed": _fault("error", "A protocol failed on a connection in memory, of an embedded node.", "peer"),
    # Descriptors: lines of Twisted's, which has them at level info and without a name
    "out-of-descriptors": _often("warn", "No file descriptor is left: raise `LimitNOFILE` or `ulimit -n`."),
    "connection-refused": _often("warn", "A connection was closed at once: no descriptor was left for it.", "address"),
    "accept-failed": _often("warn", "The system accepts no connection now.", "acceptError"),
    "descriptor-reserved": _often("debug", "Descriptors are free again."),
    # Other nodes
    "linked": _often("info", "There is a link to another node.", "node", "peer"),
    "link-closed": _often(
        "info", "A connection to another node ended as it should.", "ended", "node", "peer", "why", "detail"
    ),
    "link-ended": _often(
        "warn",
        "A connection to another node ended, or was refused, and what to do about it.",
        "ended",
        "node",
        "peer",
        "why",
        "detail",
        "advice",
    ),
    "node-unreachable": _often(
        "warn",
        "No connection to another node can be made; told once, until there is a link or the reason is another.",
        "node",
        "peer",
        "error",
        "advice",
    ),
    "too-many-there": _often(
        "error", "Another node has more peers or topics than are known here; told once a link.", "node", "most", "what"
    ),
    "link-failed": _fault("error", "A fault on a link: that link is ended, and redialled.", "node"),
    "links-failed": _fault("critical", "A fault beside the upkeep of links, which goes on."),
    "dial-failed": _often("error", "A fault in dialling another node, which is dialled again.", "node"),
    "key-made": _always("info", "This node's key was made, at its first start.", "path", "line"),
    "certificate-not-kept": _always("warn", "The certificate cannot be written beside the key; links go on.", "error"),
    "node-renamed": _always(
        "warn", "This node had another name: where it is trusted, its line has to change.", "was", "name", "line"
    ),
    "nodes-found": _often("info", "A list or a domain says where nodes are.", "where", "count"),
    "nodes-kept": _often("error", "It cannot be read or asked: what is known of nodes stays.", "fault"),
    "nodes-left-out": _often("warn", "Records that are no node's.", "service", "unusable"),
    "lookup-failed": _often("critical", "A fault in looking up nodes, which is tried again."),
    "watch-failed": _often("critical", "A fault in watching a list of nodes: it is watched no more."),
    "addresses-failed": _often("critical", "A fault in what follows addresses of nodes."),
    # The mesh
    "subscriber-failed": _often("critical", "A program's own callback for a mesh's events failed.", "told"),
    # The manhole
    "manhole-host-key": _always("info", "The host key of the manhole, made or found.", "word", "fingerprint", "path"),
    "manhole-entered": _always("info", "A key that may came in.", "key", "peer", "user"),
    "manhole-refused": _often("info", "A connection to the manhole was refused, and why.", "peer", "why"),
    "manhole-key-unknown": _often("info", "A key that is not in the file was shown.", "peer", "key"),
    "manhole-signature-wrong": _often("warn", "A key was shown by somebody who does not have it.", "peer", "key"),
    "manhole-shut": _often("error", "The file of authorized keys cannot be read: nobody may come in.", "path", "error"),
    "manhole-bad-key-line": _often("warn", "A line of that file opens nothing.", "path", "number", "error"),
    "manhole-failed": _often("error", "A fault in a connection to the manhole, which it ended.", "peer"),
    "console-command": _always("info", "What was entered at a console, and by which key.", "console", "key", "command"),
    "console-ended": _always("info", "A console has ended.", "console", "key"),
    "tail-failed": _fault("error", "A fault in a tail, which it ended; the peer's lines are not concerned.", "name"),
    # The web
    "web-refused": _often("warn", "A request to the web was not answered, and why.", "peer", "why"),
    "web-failed": _fault("error", "A fault in the answer to a request, which got 500.", "path"),
    # Signals
    "signal-failed": _always("error", "What a signal asks for failed; the node goes on.", "signal"),
    # Reloads
    "reloaded": _always("info", "The configuration was read again and is in force.", "changes"),
    "reload-refused": _always("error", "The configuration was read again, and nothing of it is in force.", "reason"),
    "reload-failed": _always("error", "A fault of the node's own in a reload."),
    "close-failed": _always("error", "A listener that is not wanted any more could not be closed.", "where", "error"),
    "exchange-failed": _always("error", "A listener's port could not be taken over by the next one.", "where"),
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
