"""
The named levers: what an operator may do to a node.

In: a node, and what only its process can do (`drain`, `reload`).  Out: what was done, in words; `LeverError` for what
cannot be.  Never: a line past the broker's routing, or past an outbox's bound.
"""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from nettool.broker.directory import IMember
from nettool.errors import CloseReason, DropReason, ReturnReason, SettingError
from nettool.interfaces import IGate
from nettool.ops.tables import Report, duration, listed, number, printable, size
from nettool.ops.tail import Tail
from nettool.outbox.queue import Outbox
from nettool.peers.session import Phase, Session
from nettool.service import NodeService
from nettool.settings import READ
from nettool.wire.names import is_topic, name_fault


class LeverError(Exception):
    """What was asked for cannot be done; the message is for the operator, and escaped."""


class Levers:
    """What an operator may do.  Names and topics are text here."""

    def __init__(
        self, node: NodeService, *, drain: Callable[[], object], reload: Callable[[], str] | None = None
    ) -> None:
        """`drain`: begin the end of the process, or of whatever the node is part of.  `reload`: read the configuration
        again, and say what has changed, or `SettingError`; nothing where there is no configuration."""
        self._node = node
        self._drain = drain
        self._reload = reload
        self._speaker = _Speaker(b"@" + node.live.node.name)

    def kick(self, name: str, within: float | None = None) -> Report:
        """Throw a peer out: it is told `bye kicked`, and has `within` seconds (`drain-timeout`) for what is queued."""
        session = self._session(name)
        limit = self._node.live.node.drain_timeout if within is None else within
        queued = number(session.outbox.queued(), "line")
        session.close(CloseReason.KICKED, limit, self._now())
        return Report(f"{printable(name)} is thrown out, and has {duration(limit)} to take {queued} and its bye")

    def say(self, address: str, text: str | bytes) -> Report:
        """Send text to a topic or a name, as `@` and the node's name, which no peer can be called.

        It is routed as any peer's lines are.  Where they would wait nothing is sent, and that is a `LeverError`, as is
        what routing answers.
        """
        speaker, node = self._speaker, self._node
        lines = self._lines(address, text)
        if speaker.waits_for:
            raise LeverError(f"{self._name} waits for an outbox that is full; nothing was sent, try again")
        ledger = node.broker.ledger
        accepted, gone = ledger.accepted, ledger.dropped.get(DropReason.SENDER_GONE, 0)
        answers = speaker.say(node, lines, self._now())
        if answers:
            raise LeverError(printable("\n".join(answers)))
        copies = ledger.accepted - accepted
        # What is given back at once finds no peer of that name to take it.
        back = ledger.dropped.get(DropReason.SENDER_GONE, 0) - gone
        if back:
            raise LeverError(f"{number(back, 'line')} given back (queue-full): {printable(address)} does not read")
        if not copies:
            return Report(f"nobody hears {printable(address)}")
        return Report(f"{number(copies, 'copy', 'copies')} on the way, from {self._name}")

    def tail(self, name: str) -> Tail:
        """Look on at what a peer is sent; it begins when the tail is started."""
        return Tail(name, self._session(name).outbox)

    def drain(self) -> Report:
        """Stop accepting, flush, say `bye shutdown`, end."""
        if self._node.draining:
            raise LeverError("it drains already")
        limit = self._node.live.node.drain_timeout
        self._drain()
        return Report(
            f"{printable(self._node.live.node.name.decode())} drains, for at most {duration(limit)}, and ends"
        )

    def reload(self) -> Report:
        """Read the configuration again; what has changed."""
        if self._reload is None:
            raise LeverError("this node has no configuration that could be read again")
        try:
            return Report(printable(self._reload()))
        except SettingError as error:
            raise LeverError(printable(f"nothing was changed: {error}")) from None

    def _session(self, name: str) -> Session:
        """The session that holds a name, leaving or not."""
        wanted = _encoded(name)
        for connection in self._node.peers.connections:
            session = connection.session
            if wanted and session.name == wanted and session.phase not in (Phase.WAITING, Phase.GONE):
                return session
        names = [other.decode("utf-8", "backslashreplace") for other in self._node.broker.directory.who()]
        near = [other for other in names if name and name.lower() in other.lower()]
        hint = f"there is {listed(near[:5])}" if near else "who() lists those who are here"
        raise LeverError(printable(f"no-such-peer: {name}; {hint}"))

    def _lines(self, address: str, text: str | bytes) -> list[bytes]:
        where, data = _encoded(address), text if isinstance(text, bytes) else _encoded(text)
        name, at, node = where.partition(b"@")
        links = self._node.links
        there = node in (self._node.live.node.name, *(() if links is None else links.names))
        if not is_topic(where) and (name_fault(name) or (at and not there)):
            raise LeverError(f"no such address: {printable(address)}; it is a topic, as #news, or a name")
        lines = [where + b": " + line + b"\n" for line in data.split(b"\n")]
        longest = self._node.live.peers.max_line
        if any(len(line) > longest + 1 for line in lines):
            raise LeverError(f"line-too-long: {longest}")
        if sum(map(len, lines)) > READ:
            raise LeverError(f"at most {size(READ)} are sent at a time")
        return lines

    @property
    def _name(self) -> str:
        return printable(self._speaker.name.decode())

    def _now(self) -> float:
        return self._node.peers.clock.seconds()


@implementer(IMember)
class _Speaker:
    """The one who says what operators say: no peer, so nobody reads what it is answered but `say` itself."""

    topics: set[bytes] | None = None
    outbox: Outbox

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.waits_for: set[IGate] = set()

    def say(self, node: NodeService, lines: list[bytes], now: float) -> list[str]:
        """Have lines routed; the answers that came at once, each once."""
        self.outbox = Outbox(self, node.live, node.broker)  # it has no transport: what is put into it stays there
        routing, at, routed = node.broker.routing, 0, -1
        while routed != at < len(lines):
            routed, at = at, routing.route_lines(self, lines, at, now)
        routing.forget(self)
        answers = b"".join([bytes(batch.data) for batch in self.outbox.batches()])
        self.outbox.close(ReturnReason.DISCONNECTED, now)
        node.peers.turn.schedule()
        return list(dict.fromkeys(answers.decode("utf-8", "backslashreplace").splitlines()))

    def wait_for(self, gate: IGate, now: float) -> None:
        """See `ISender`."""
        self.waits_for.add(gate)

    def go_on_after(self, gate: IGate) -> None:
        """See `ISender`."""
        self.waits_for.discard(gate)


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise LeverError("that is no text: it has surrogates") from None
