"""
What an operator finds at the prompt.

In: a node and its levers.  Out: a namespace: commands whose results print, live views, the node itself.
Never: a change but by a lever.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from enum import Enum
from typing import Any

from nettool import __version__
from nettool.cluster.neighbour import Neighbour
from nettool.ops import snapshots
from nettool.ops.console.elsewhere import links_table, remark, there_in_words
from nettool.ops.console.words import why_in_words
from nettool.ops.levers import LeverError, Levers
from nettool.ops.queues import Queue, queues
from nettool.ops.tables import Report, Shown, Table, duration, number, printable, size
from nettool.ops.tail import Tail
from nettool.peers.session import Session
from nettool.service import NodeService
from nettool.settings import Live


class Command(Shown):
    """Something to call, which says so when it is not called."""

    def __init__(self, call: Callable[..., object]) -> None:
        self._call = call
        self.__doc__ = inspect.getdoc(call)
        self.__name__ = call.__name__
        self.__signature__ = inspect.signature(call)

    def __call__(self, *arguments: Any, **named: Any) -> object:
        return self._call(*arguments, **named)

    @property
    def usage(self) -> str:
        """How it is called, without types."""
        parameters = [
            p.name if p.default is p.empty else f"{p.name}={p.default!r}"
            for p in self.__signature__.parameters.values()
        ]
        return f"{self.__name__}({', '.join(parameters)})"

    def show(self, most: int | None = None, width: int | None = None) -> str:
        """See `Shown`."""
        return f"{self.usage}: {self.__doc__}"


class Commands:
    """The commands, as the operator calls them; those of `_COMMANDS`, in the order of the help."""

    def __init__(self, node: NodeService, levers: Levers) -> None:
        self._node = node
        self._levers = levers

    def namespace(self) -> dict[str, Any]:
        """A new one, for one console."""
        node = self._node
        named: dict[str, Any] = {name: Command(getattr(self, name)) for name in _COMMANDS}
        return named | {
            "node": node,
            "broker": node.broker,
            "peers": Peers(node, self.who),
            "topics": Topics(node),
            "links": Links(node, self.links),
            "config": Config(node.live),
        }

    def help(self) -> str:
        """What there is."""
        commands = [Command(getattr(self, name)) for name in _COMMANDS]
        widest = max(len(command.usage) for command in commands)
        lines = [f"  {command.usage:{widest}}  {str(command.__doc__).splitlines()[0]}" for command in commands]
        return "\n".join([f"nettool {__version__}, {printable(self._node.live.node.name.decode())}", "", *lines, _MORE])

    def addresses(self, stem: str) -> Iterable[str]:
        """Names and topics that begin so, for completion."""
        directory = self._node.broker.directory
        known = (name for name, _ in directory.heard()) if stem.startswith("#") else iter(directory.who())
        return (text for text in map(_text, known) if text.startswith(stem))

    # The commands

    def who(self) -> Table[snapshots.Peer]:
        """Who is here: all connections, by name."""
        peers = [peer for peer in snapshots.peers(self._node) if peer.phase != "gone"]
        return Table(_WHO, sorted(peers, key=lambda peer: (not peer.name, peer.name)), "nobody is here")

    def queues(self) -> Table[Queue]:
        """What is queued for peers and other nodes, the most first."""
        return Table(_QUEUES, queues(self._node), "nothing is queued")

    def links(self) -> Table[snapshots.Link]:
        """Other nodes, and what is on the way to them."""
        return links_table(snapshots.links(self._node))

    def why(self, name: str) -> Report:
        """Why a peer gets its lines late, here or at another node."""
        why = snapshots.why(self._node, name)
        if why is None:
            raise LeverError(printable(f"no-such-peer: {name}; {self._where_to_look(name)}"))
        if isinstance(why, snapshots.There):
            return Report(there_in_words(why))
        return Report(why_in_words(why, self._node.live.delivery))

    def _where_to_look(self, name: str) -> str:
        links = self._node.links
        nodes = [] if links is None else links.linked.nodes_with(name.encode("utf-8", "surrogateescape"))
        if len(nodes) > 1:
            return f"say which one: {', '.join(f'{name}@{_text(node)}' for node in nodes[:5])}"
        if "@" in name:
            return "links() lists the nodes that are known"
        return "closed() lists those who have gone"

    def closed(self) -> Table[snapshots.Closed]:
        """Who has gone, and why, the last first."""
        now = self._node.peers.clock.seconds()
        ago = {"ago": lambda gone: duration(now - gone.closed_at)}
        return Table(_CLOSED_NAME | ago | _CLOSED, snapshots.closed(self._node), "nobody has gone")

    def stats(self) -> Table[tuple[str, str]]:
        """The node as a whole, with the ledger."""
        return Table({"": lambda row: row[0], " ": lambda row: row[1]}, list(_facts(snapshots.stats(self._node))))

    def kick(self, name: str, within: float | None = None) -> Report:
        """Throw a peer out; it has drain-timeout for what is queued."""
        return self._levers.kick(name, within)

    def say(self, address: str, text: str) -> Report:
        """Send text to a topic or a name, as @ and the node's name."""
        return self._levers.say(address, text)

    def tail(self, name: str) -> Tail:
        """Show what a peer is sent, until Ctrl-C."""
        return self._levers.tail(name)

    def drain(self) -> Report:
        """Stop accepting, flush, say bye, end the node."""
        return self._levers.drain()

    def reload(self) -> Report:
        """Read the configuration again, and say what has changed."""
        return self._levers.reload()


_COMMANDS = ("who", "queues", "links", "why", "tail", "closed", "stats", "say", "kick", "reload", "drain")

_MORE = """
  node, broker, config           the node itself, and the settings in force
  peers["bob"], topics["#news"]  sessions, and names of hearers
  links["node2"]                 what this node keeps of another one
  help(anything)                 what Python knows of it

Everything else is Python, and runs in the node: while it runs nothing else
does. A loop without an end stops the node for good, a long one for as long as
it takes. What is raised harms nothing. Results of Deferreds and coroutines are
shown when they come; `await` works. Tab completes, also names within quotes.
Ctrl-D leaves."""


# Views that are as the node is when they are looked at


class Peers(Shown, Mapping[str, Session]):
    """Sessions by name, as they are now."""

    def __init__(self, node: NodeService, who: Callable[[], Shown]) -> None:
        self._names = node.broker.directory.names
        self._who = who

    def __getitem__(self, name: str) -> Session:
        return self._names[name.encode("utf-8", "surrogateescape")]  # type: ignore[return-value]

    def __iter__(self) -> Iterator[str]:
        return iter([_text(name) for name in sorted(self._names)])

    def __len__(self) -> int:
        return len(self._names)

    def show(self, most: int | None = None, width: int | None = None) -> str:
        """See `Shown`."""
        return self._who().show(most, width)


class Topics(Shown, Mapping[str, list[str]]):
    """Names of hearers by topic, as they are now."""

    def __init__(self, node: NodeService) -> None:
        self._node = node

    def __getitem__(self, topic: str) -> list[str]:
        hearers = self._node.broker.directory.hearers(topic.encode("utf-8", "surrogateescape"))
        if not hearers:
            raise KeyError(topic)
        return [_text(name) for name in hearers]

    def __iter__(self) -> Iterator[str]:
        return iter([topic.name for topic in snapshots.topics(self._node)])

    def __len__(self) -> int:
        return len(self._node.broker.directory.near)

    def show(self, most: int | None = None, width: int | None = None) -> str:
        """See `Shown`."""
        columns: _Columns = {"topic": lambda topic: topic.name, "hearers": lambda topic: topic.hearers}
        return Table(columns, snapshots.topics(self._node), "nobody hears any topic").show(most, width)


class Links(Shown, Mapping[str, Neighbour]):
    """Other nodes by name, as they are now; called, their table."""

    def __init__(self, node: NodeService, table: Callable[[], Table[snapshots.Link]]) -> None:
        self._node = node
        self._table = table

    def __call__(self) -> Table[snapshots.Link]:
        return self._table()

    @property
    def _neighbours(self) -> Mapping[bytes, Neighbour]:
        return {} if self._node.links is None else self._node.links.linked.neighbours

    def __getitem__(self, name: str) -> Neighbour:
        return self._neighbours[name.encode("utf-8", "surrogateescape")]

    def __iter__(self) -> Iterator[str]:
        return iter([_text(name) for name in sorted(self._neighbours)])

    def __len__(self) -> int:
        return len(self._neighbours)

    def show(self, most: int | None = None, width: int | None = None) -> str:
        """See `Shown`."""
        return self._table().show(most, width)


class Config:
    """The settings in force now, by group: `config.delivery.outbox_bytes`."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def __getattr__(self, group: str) -> Any:
        return getattr(self._live, group)

    def __dir__(self) -> list[str]:
        return list(Live.__slots__)

    def __repr__(self) -> str:
        rows = [
            (f"{group}.{field.name.replace('_', '-')}", _written(getattr(getattr(self._live, group), field.name)))
            for group in sorted(Live.__slots__)
            for field in fields(getattr(self._live, group))
        ]
        return repr(Table({"setting": lambda row: row[0], "in force": lambda row: row[1]}, rows))


def _written(value: object) -> str:
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float):
        return "forever" if value == float("inf") else f"{value:g} s"
    return "none" if value in ((), "", None) else str(value)


# Columns

_Columns = dict[str, Callable[[Any], object]]

_WHO: _Columns = {
    "name": lambda peer: peer.name or f"({peer.phase})",
    "address": lambda peer: peer.address,
    "for": lambda peer: duration(peer.connected_for),
    "said": lambda peer: peer.received_lines,
    "topics": lambda peer: peer.topics,
    "queued": lambda peer: size(peer.queued_bytes) if peer.queued_bytes else "",
    "oldest": lambda peer: duration(peer.oldest) if peer.oldest else "",
    "lagged": lambda peer: peer.lagged,
    "": lambda peer: _remark(peer),
}

_QUEUES: _Columns = {
    "name": lambda queue: queue.name or f"({queue.of.phase})",
    "lines": lambda queue: queue.queued_lines,
    "queued": lambda queue: size(queue.queued_bytes),
    "oldest": lambda queue: duration(queue.oldest),
    "full for": lambda queue: duration(queue.full_for) if queue.full_for else "",
    "": lambda queue: _remark_on(queue),
}

_CLOSED_NAME: _Columns = {"name": lambda gone: gone.name or "(no name)"}

_CLOSED: _Columns = {
    "why": lambda gone: gone.reason,
    "address": lambda gone: gone.address,
    "was here": lambda gone: duration(gone.connected_for),
    "given back": lambda gone: gone.given_back,
    "lost": lambda gone: gone.lost,
}


def _remark(peer: snapshots.Peer) -> str:
    """What is unusual about a peer, in a few words."""
    words = [] if peer.phase == "ready" or not peer.name else [peer.phase]
    if peer.paused_by:
        whom = ", ".join("itself" if name == peer.name else name for name in peer.paused_by[:3])
        words.append(f"waits {duration(peer.paused_for)} for {whom}" + (", ..." if len(peer.paused_by) > 3 else ""))
    return "; ".join(words)


def _remark_on(queue: Queue) -> str:
    if isinstance(queue.of, snapshots.Peer):
        return _remark(queue.of)
    return remark(queue.of) if queue.of is not None else ""


def _facts(stats: snapshots.Stats) -> Iterator[tuple[str, str]]:
    yield "node", f"{stats.node}, nettool {stats.version}, {stats.state}"
    yield "listening on", ", ".join(stats.listening)
    yield "peers", f"{stats.peers:,}"
    yield "connections", f"{stats.connections:,}" + _in_brackets(stats.phases)
    yield "topics", f"{stats.topics:,}"
    if sum(stats.links.states.values()):
        yield "other nodes", f"{sum(stats.links.states.values()):,}" + _in_brackets(stats.links.states)
        yield "link ends", f"{sum(stats.links.ends.values()):,}" + _in_brackets(stats.links.ends)
    yield "queued", size(stats.queued_bytes)
    if stats.largest_queued_bytes:
        yield "most of it", f"{size(stats.largest_queued_bytes)} for {stats.largest or 'one without a name'}"
    yield "full", number(stats.full, "outbox", "outboxes")
    yield "waiting", number(stats.paused, "peer")
    ledger = stats.ledger
    yield "accepted", f"{ledger.accepted:,}"
    yield "delivered", f"{ledger.delivered:,}"
    for word, counts in (("returned", ledger.returned), ("dropped", ledger.dropped)):
        yield word, f"{sum(counts.values()):,}" + _in_brackets({_text(key.value): n for key, n in counts.items()})
    yield "queued lines", f"{ledger.queued:,}"
    refused = {_text(key.value): n for key, n in ledger.refused.items()}
    yield "refused", f"{sum(refused.values()):,}" + _in_brackets(refused)
    yield "closed", f"{sum(stats.closed.values()):,}" + _in_brackets(stats.closed)
    yield "faults", f"{stats.faults:,}"


def _in_brackets(counts: Mapping[str, int]) -> str:
    told = [f"{word} {count:,}" for word, count in counts.items() if count]
    return f" ({', '.join(told)})" if told else ""


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
