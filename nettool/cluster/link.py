"""
One connection to another node: who that is, whether it is the link, whether it is alive.

In: bytes, time, the end of the connection; what the neighbour decides.  Out: words of the link's own; frames, each to
whom it concerns.  Never: a transport, a clock of its own; a frame with lines before the link is taken.

    GREETING ---both hellos---> DECIDING ---take---> OPEN ---anything wrong, or the connection's end---> ENDED
        |                          |                                                                      ^
        +--------------------------+------refused, already linked, too late-------------------------------+

The node whose name sorts higher decides, alone; the other one waits for its word.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from twisted.logger import Logger
from zope.interface import implementer

from nettool.cluster import frames
from nettool.cluster.ends import end_said
from nettool.cluster.frames import NUMBERED, BadFrame, Hello, Kind
from nettool.cluster.identity import Refused
from nettool.cluster.judges import escaped
from nettool.cluster.outlet import Outlet
from nettool.cluster.shell import ILinkShell
from nettool.errors import LinkEnd
from nettool.interfaces import IGate, ISender
from nettool.mesh.framing import HEADER, Frames

if TYPE_CHECKING:
    from nettool.cluster.linked import Linked
    from nettool.cluster.neighbour import Neighbour

HELLO_TIME = 5.0
"""Seconds from the connection to the other node's whole hello."""

DECISION_TIME = 10.0
"""Seconds for the node that decides: an older link may have 2 of them to answer."""

ANSWER_TIME = 2.0
"""Seconds for a link to answer, when another connection could take its place."""

PING_EVERY = 10.0
"""Seconds of silence after which the other node is asked whether it is there."""

SILENCE = 30.0
"""Seconds of silence after which the link is dead."""


class Phase(Enum):
    """Where a connection is."""

    GREETING = "greeting"
    DECIDING = "deciding"
    OPEN = "open"
    ENDED = "ended"


class Refusal(Exception):
    """The connection ends, for a reason that the other node is told."""

    def __init__(self, reason: LinkEnd, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@implementer(ISender)
class Link:
    """One connection to another node.

    Invariant: once ENDED it says and does nothing any more, whatever still comes in.
    """

    _log = Logger()

    def __init__(self, linked: Linked, shell: ILinkShell, now: float, meant: bytes | None = None) -> None:
        """`meant` is the node that was dialled; nothing for a connection that came in."""
        self.phase = Phase.GREETING
        self.outlet = Outlet(self)
        self.neighbour: Neighbour | None = None
        self.hello: Hello | None = None
        """The other node's."""
        self.ended_by: LinkEnd | None = None
        self.meant = meant
        self.since = now
        self.changed: Callable[[Link], None] = lambda link: None
        """Called when it is the link, and when it has ended."""
        self._linked = linked
        self._shell = shell
        self._begun = b""
        """The beginning of a frame that came before this was the link: those are short."""
        self._frames = Frames(frames.FRAME_BYTES)
        self._by = now + HELLO_TIME
        """When what this phase waits for must be there."""
        self._heard_at = now
        self.pinged_at = -inf
        self._pings = 0
        self._pong_owed: int | None = None
        """The number of the last ping, until it is answered: one answer does for several, however many they are."""
        self.outlet.before_lines = self._pay
        self.outlet.too_much = self._too_much
        linked.connections[self] = None
        self._own_hello: Hello | None = None
        if meant is not None:
            self._say_hello(meant)
        linked.alarm.by(self._by)

    # What comes in

    def received(self, data: bytes, now: float) -> None:
        """Bytes came in."""
        self._heard_at = now
        try:
            while data and self.phase in _BEFORE:
                data = self._take_short(data, now)
            if not data or self.phase is Phase.ENDED:
                return
            data, self._begun = self._begun + data, b""
            for payload in self._frames.feed(data):
                if self.over:
                    return
                self._frame(payload, now)
            if self._frames.error is not None:
                raise BadFrame(str(self._frames.error))
        except BadFrame as fault:
            self.end(LinkEnd.BAD_FRAME, str(fault), now)
        except Refusal as refusal:
            self.end(refusal.reason, refusal.detail, now)
        except Refused as refused:
            self.end(LinkEnd.NOT_TRUSTED, refused.here, now, there=f"{refused.reason.value.decode()}: {refused.there}")

    def _take_short(self, data: bytes, now: float) -> bytes:
        """Take one frame, once it is whole; what follows it.  Before the link is taken none is longer than a hello."""
        data = self._begun + data
        size = int.from_bytes(data[:HEADER], "big")
        if len(data) >= HEADER and not 1 <= size <= frames.HELLO_BYTES:
            what = "the hello" if self.phase is Phase.GREETING else "what comes before the link is taken"
            raise BadFrame(f"{what} has {size} bytes, at most {frames.HELLO_BYTES} are allowed")
        if len(data) < HEADER + size or len(data) < HEADER:
            self._begun = data
            return b""
        self._begun = b""
        payload = data[HEADER : HEADER + size]
        if self.phase is Phase.GREETING and payload[0] != Kind.REFUSED:
            if payload[0] != Kind.HELLO:
                raise BadFrame("the first frame is no hello")
            self._hello(frames.parse_hello(payload), now)
        else:
            self._frame(payload, now)
        return data[HEADER + size :]

    def _hello(self, hello: Hello, now: float) -> None:
        linked = self._linked
        if not set(hello.versions) & set(frames.VERSIONS):
            raise Refusal(
                LinkEnd.VERSION,
                f"it speaks versions {list(hello.versions)}, this node {list(frames.VERSIONS)}: "
                "let both run releases of nettool that have one in common",
            )
        if self.meant is not None and hello.name != self.meant:
            raise Refusal(
                LinkEnd.WRONG_NAME,
                f"{escaped(hello.name)} answered where {escaped(self.meant)} was meant: check the address",
            )
        if hello.name == linked.name:
            raise Refusal(LinkEnd.WRONG_NAME, f"two nodes are called {escaped(hello.name)}: change one's --node-name")
        linked.judge(hello.name, self._shell.proof, self.meant or b"")
        neighbour = linked.neighbours.get(hello.name)
        if neighbour is None:
            raise Refusal(LinkEnd.UNKNOWN_NODE, f"{escaped(hello.name)} is not configured here: add it to the nodes")
        self.hello, self.neighbour = hello, neighbour
        if self.meant is None:
            self._say_hello(hello.name)
        self.phase = Phase.DECIDING
        self._by = now + DECISION_TIME
        linked.alarm.by(self._by)
        if linked.name > hello.name:
            neighbour.decide(self, now)

    def _say_hello(self, name: bytes) -> None:
        self._own_hello = self._linked.hello_to(name)
        self.outlet.say(frames.render_hello(self._own_hello))

    @property
    def goes_on(self) -> bool:
        """Whether both ends have said that they remember the other's instance: so both go on behind what was taken.

        Otherwise both begin with the number 1.  It is made of the two hellos alone, so both ends find the same.
        """
        own, other = self._own_hello, self.hello
        if own is None or other is None or own.took is None or other.took is None:
            return False
        return own.took[0] == other.instance and other.took[0] == own.instance

    def _frame(self, payload: bytes, now: float) -> None:
        if not payload:
            raise BadFrame("an empty frame")
        kind = payload[0]
        if kind == Kind.REFUSED:
            self._refused(payload, now)
        elif self.phase is Phase.OPEN:
            self._open_frame(kind, payload, now)
        elif self.phase is not Phase.DECIDING or self._linked.name > self.name:
            raise BadFrame("something was sent before the link was taken")
        elif kind == Kind.TAKE:
            assert self.neighbour is not None
            self.neighbour.adopt(self, now)
        elif kind == Kind.ALREADY_LINKED:
            self.end(LinkEnd.ALREADY_LINKED, "", now, tell=False)
        else:
            raise BadFrame("something was sent before the link was taken")

    def _open_frame(self, kind: int, payload: bytes, now: float) -> None:
        neighbour = self.neighbour
        assert neighbour is not None
        if self.outlet.source is None:
            self.outlet.go_on()  # it knows that this is the link
        if kind in NUMBERED:
            neighbour.arrivals.took(payload, now)
            return
        reader = _READERS.get(kind)
        if reader is None:
            raise BadFrame(f"a frame of a kind that there is not: {kind}")
        reader(self, payload, now)

    def _refused(self, payload: bytes, now: float) -> None:
        reason, said = end_said(*frames.parse_refusal(payload))
        self.end(reason, said, now, tell=False)

    def _ping(self, payload: bytes, now: float) -> None:
        if self._pong_owed is None:
            self.outlet.wake()
        self._pong_owed = frames.parse_number(payload)

    def _pay(self) -> None:
        """Say what is owed, since something goes out."""
        owed, self._pong_owed = self._pong_owed, None
        if owed is not None:
            self.outlet.say(frames.render_number(Kind.PONG, owed))
        if self.phase is Phase.OPEN and self.neighbour is not None:
            self.neighbour.arrivals.pay(self.outlet.say, self._linked.seconds())

    def _pong(self, payload: bytes, now: float) -> None:
        if frames.parse_number(payload) == self._pings:
            self._by = inf
            if self.neighbour is not None:
                self.neighbour.answered(self, now)

    def _confirm(self, payload: bytes, now: float) -> None:
        assert self.neighbour is not None
        self.neighbour.queue.confirm(frames.parse_number(payload))

    def _waiting(self, payload: bytes, now: float) -> None:
        assert self.neighbour is not None
        self.neighbour.waits_there(frames.parse_counts(payload)[1])

    def _peers(self, payload: bytes, now: float) -> None:
        assert self.neighbour is not None
        self.neighbour.peers_changed(*frames.parse_list(payload), now)

    def _topics(self, payload: bytes, now: float) -> None:
        assert self.neighbour is not None
        self.neighbour.topics_changed(*frames.parse_list(payload))

    # What the neighbour decides

    def take(self, now: float) -> None:
        """This node decides that this connection is the link."""
        self.outlet.say(bytes([Kind.TAKE]))

    def opened(self, now: float) -> None:
        """This connection is the link."""
        self.phase = Phase.OPEN
        self._by = inf
        self._heard_at = self.since = now
        self._linked.alarm.by(now + PING_EVERY)
        self.changed(self)

    def must_answer(self, now: float) -> None:
        """Another connection would take its place: it has to show that it is alive."""
        self._ping_now(now)
        self._by = now + ANSWER_TIME
        self._linked.alarm.by(self._by)

    def _ping_now(self, now: float) -> None:
        self._pings += 1
        self.pinged_at = now
        self.outlet.say(frames.render_number(Kind.PING, self._pings))

    def answer_already_linked(self, now: float) -> None:
        """There is a link, and it is alive."""
        self.outlet.say(bytes([Kind.ALREADY_LINKED]))
        self.end(LinkEnd.ALREADY_LINKED, "", now, tell=False)

    # Time

    def due(self) -> float:
        """When `tick` is to be called."""
        if self.phase is Phase.OPEN:
            # Whoever is heard is asked too, if he has not confirmed what was sent as long ago.
            quiet = self._heard_at if self.neighbour is None else min(self._heard_at, self.neighbour.unconfirmed_since)
            asks = max(quiet, self.pinged_at) + PING_EVERY
            return min(self._by, self._heard_at + SILENCE, asks)
        return inf if self.phase is Phase.ENDED else self._by

    def tick(self, now: float) -> None:
        """Time has passed."""
        if self.due() > now:
            return
        if self.phase is Phase.OPEN:
            if now >= min(self._by, self._heard_at + SILENCE):
                self.end(LinkEnd.SILENT, f"nothing heard for {now - self._heard_at:.1f} s", now)
            else:
                self._ping_now(now)
        elif self.phase is Phase.GREETING:
            self.end(LinkEnd.HELLO_TIMEOUT, f"no whole hello within {HELLO_TIME:g} s", now)
        elif self.phase is Phase.DECIDING:
            self.end(LinkEnd.NOT_TAKEN, f"no decision within {DECISION_TIME:g} s", now)

    # Its end

    def end(self, reason: LinkEnd, detail: str, now: float, *, tell: bool = True, there: str = "") -> None:
        """End it; `tell` the other node why, in the words of `there` if it is to know less, or something else."""
        if self.phase is Phase.ENDED:
            return
        if tell:
            self.outlet.say(frames.render_refusal(reason.value, there or detail))
        self._over(reason, detail, now)
        if reason in _AT_ONCE:
            self._shell.abort()
        else:
            self._shell.close()

    def lost(self, reason: LinkEnd, detail: str, now: float) -> None:
        """The connection has ended, whoever ended it."""
        if self.phase is not Phase.ENDED:
            self._over(reason, detail, now)
        self.outlet.close()

    def _too_much(self) -> None:
        self.end(LinkEnd.TOO_SLOW, "it does not read what this node has to say", self._linked.seconds(), tell=False)

    def _over(self, reason: LinkEnd, detail: str, now: float) -> None:
        was_open, self.phase = self.phase is Phase.OPEN, Phase.ENDED
        self.ended_by = reason
        self.outlet.leave()
        self._linked.connections.pop(self, None)
        self._linked.link_ended(self, was_open, reason, detail)
        if self.neighbour is not None:
            self.neighbour.link_ended(self, now)
        self.changed(self)

    @property
    def over(self) -> bool:
        """Whether nothing that comes in counts any more."""
        return self.phase is Phase.ENDED

    @property
    def name(self) -> bytes:
        """The other node's, once it has said it."""
        return b"" if self.hello is None else self.hello.name

    def wait_for(self, gate: IGate, now: float) -> None:
        """See `ISender`: a link itself waits for nobody."""

    def go_on_after(self, gate: IGate) -> None:
        """See `ISender`."""

    @property
    def who(self) -> str:
        """The other node, as far as it is known, for a log: escaped, since it came from outside."""
        return escaped(self.name or self.meant or b"") or "a node"

    @property
    def where(self) -> str:
        """The other end's address."""
        return self._shell.where


_BEFORE = frozenset((Phase.GREETING, Phase.DECIDING))

_AT_ONCE = frozenset((LinkEnd.SILENT, LinkEnd.CROWDED_OUT))

_READERS: dict[int, Callable[[Link, bytes, float], None]] = {
    Kind.PING: Link._ping,
    Kind.PONG: Link._pong,
    Kind.CONFIRM: Link._confirm,
    Kind.WAITING: Link._waiting,
    Kind.PEERS: Link._peers,
    Kind.TOPICS: Link._topics,
}
