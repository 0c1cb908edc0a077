"""Whole conversations of several peers with a real broker, against a node in a few plain lines.

In: a script as a tape: who says which bytes in which pieces, whose transport takes what, who goes.  Out: an exception
where a peer hears something else than the plain node says, or the ledger does not add up.  Never: a socket, a reactor.

The connections are those of `tests.broker.model`.  Half of the scripts have outboxes without a bound: there nothing is
lost, and each peer's lines are compared one by one.  In the others lines may be given back and dropped: what arrives
is in order, and what does not is told or counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

from nettool.broker import plans, routing
from nettool.errors import CloseReason, DropReason, ErrorCode, ReturnReason
from nettool.outbox import backlog, part, queue
from nettool.peers.session import Session
from nettool.settings import DeliverySettings, OnNameTaken, PeerSettings, Settings, TopicOverflow
from tests.broker.model import LOSSES, Connection, Observed, Street
from tests.fuzz.plain import PlainNode, PlainPeer
from tests.fuzz.tape import Tape

NAMES = [b"a", b"bo", b"ced", "dö".encode()]
TOPICS = [b"#t", b"#u/v", b"#w"]
ADDRESSES = b"a: |bo: |ced: |#t: |#u/v: |#w: |a, bo: |bo, ced, a: |#t, bo: |a@node1, a: |no: |#t:|bo : |#n: ".split(
    b"|"
)
TEXTS = b"||||from a to #t: | to #w: | bo: |:| |/quit".split(b"|")
COMMANDS = b"/join #t|/join #w, #u/v|/leave #t|/leave #w|/ping|/who|/who #t|/topics|/watch|/unwatch|/quit|/x".split(
    b"|"
)
TOKENS = [*NAMES, *TOPICS, b"a: ", b"bo: ", b"ced: ", b"#t: ", b"#u/v: ", b"#w: ", b"a@node1", b"bo@node2", b"nobody: "]
TOKENS += [b"/join ", b"/leave ", b"/who", b"/topics", b"/watch", b"/unwatch", b"/ping ", b"/help", b"/quit", b"/no"]
TOKENS += [b", ", b",", b": ", b":", b"\n", b"\r\n", b"\n\n", b"a, bo: ", b"bo, ced: ", b"from a to #t: ", b"x" * 64]
TOKENS += [b"bo: x\n", b"#t: y\n", b"bo, ced: z\n", b"/ping\n", b"/join #t, #w\n"]
MOST_PEERS = 6
MOST_REPEATED = 700
"""Lines that one script may have by repeating them."""
ANSWERS = (b"ok ", b"pong", b"peer ", b"topic ", b"help ", b"bye ")


class Watched(Session):
    """A session that tells the plain node what it takes up, line by line."""

    __slots__ = ("connection", "peer", "plain")

    plain: PlainNode
    peer: PlainPeer
    connection: Connection

    def _line(self, line: bytes, now: float) -> None:
        self.plain.takes(self.peer, line)
        super()._line(line, now)

    def _too_long(self, now: float) -> bytes:
        self.plain.meets_long_line(self.peer)
        return super()._too_long(now)

    def end_of_input(self, now: float) -> None:
        if not self._left and not self.over:
            self.plain.meets_end(self.peer)
        super().end_of_input(now)

    def close(self, reason: CloseReason, drain: float, now: float) -> None:
        self.plain.closes(self.peer, reason)
        super().close(reason, drain, now)

    def ended(self, reason: ReturnReason, now: float) -> None:
        if not self.peer.gone:
            texts = sum(line.startswith(b"from ") for line in self.connection.heard)
            self.plain.ends(self.peer, reason, texts)
        super().ended(reason, now)


class Script:
    """One node, its plain double, and what a tape lets happen to both."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        limits = PeerSettings(
            max_line=tape.choose([65536, 64, 300]),
            max_addresses=tape.choose([100, 3, 0]),
            max_joins=tape.choose([1000, 2, 0]),
            on_name_taken=tape.choose(list(OnNameTaken)),
        )
        delivery = DeliverySettings(
            outbox_bytes=tape.choose([0, 700, 1500, 0, 5000, 0]),
            direct_patience=tape.choose([1.0, 0.0, inf]),
            topic_patience=tape.choose([0.1, 0.0, inf]),
            topic_overflow=tape.choose([TopicOverflow.DROP_OLDEST, TopicOverflow.DISCONNECT]),
        )
        self.bounded = bool(delivery.outbox_bytes)
        self.street = Street(Settings(peers=limits, delivery=delivery))
        broker = self.street.broker
        broker.routing = observed = Observed(broker.directory, broker.ledger, self.street.live)
        observed.told = lambda session, lines: self.plain.routed(session.peer, lines)
        self.plain = PlainNode(limits)
        self.repeated = 0
        self.texts = 0
        for name in NAMES[: tape.choose([4, 3, 2, 0])]:
            self.say(self.connect(), name + b"\n/join " + b", ".join(TOPICS[: tape.choose([3, 2, 1, 0])]) + b"\n")
        self.street.settle()

    def run(self) -> None:
        """All that is on the tape, and then the end of the story."""
        while self.tape:
            STEPS[self.tape.below(len(STEPS))](self)
            self.holds()
        self.end()

    # Steps

    def connect(self) -> Connection | None:
        """One more, if there is room."""
        connections = self.street.connections
        if sum(not connection.dead for connection in connections) >= MOST_PEERS:
            return None
        connection = Connection(self.street)
        session = Watched(self.street.broker, self.street.live, connection)
        session.plain, session.peer, session.connection = self.plain, self.plain.connects(), connection
        connection.session, connection.outbox = session, session.outbox
        session.outbox.pump = connection
        session.outbox.unblock()
        connections.append(connection)
        return connection

    def say(self, connection: Connection | None, data: bytes) -> None:
        """Bytes come from it; it may be paused, since a transport may have read them before."""
        if connection is not None and not connection.dead and data:
            assert isinstance(connection.session, Watched)
            connection.session.peer.says(data)
            connection.session.received(data, self.street.now)

    def somebody(self) -> Connection | None:
        """A connection that is not lost, if there is one."""
        alive = [connection for connection in self.street.connections if not connection.dead]
        return self.tape.choose(alive) if alive else None

    def say_bytes(self) -> None:
        self.say(self.somebody(), self.tape.text(self.tape.number()))

    def say_line(self) -> None:
        self.say(self.somebody(), self.tape.line())

    def say_lines(self) -> None:
        self.say(self.somebody(), b"".join([self.tape.line() for _ in range(self.tape.below(16) + 2)]))

    def say_texts(self) -> None:
        """Some lines that most likely reach somebody, each with another text."""
        self.say(self.somebody(), b"".join([self.addressed() for _ in range(self.tape.below(8) + 1)]))

    def addressed(self) -> bytes:
        self.texts += 1
        text = self.tape.choose(TEXTS) + b"%d " % self.texts + self.tape.text(self.tape.below(24))
        return self.tape.choose(ADDRESSES) + text + b"\n"

    def command(self) -> None:
        self.say(self.somebody(), self.tape.choose(COMMANDS) + b"\n")

    def say_again_and_again(self) -> None:
        who, lines = self.somebody(), b"".join([self.tape.line() for _ in range(self.tape.below(4) + 1)])
        times = min(self.tape.choose([2, 3, 5, 9, 2, 20, 30, 300]), MOST_REPEATED - self.repeated)
        self.repeated += times
        self.say(who, lines * times)

    def take_name(self) -> None:
        self.say(self.connect(), self.tape.choose(NAMES) + b"\n")

    def come(self) -> None:
        self.connect()

    def stop_taking(self) -> None:
        who = self.somebody()
        if who is not None and not who.outbox.blocked:
            who.flush(who.street.now)
            who.outbox.block()

    def take(self) -> None:
        who = self.somebody()
        if who is not None:
            who.reads(self.tape.choose([inf, 1, 2, 3]))

    def vanish(self) -> None:
        who = self.somebody()
        if who is not None:
            who.vanishes()

    def end_input(self) -> None:
        who = self.somebody()
        if who is not None and not who.closing:
            who.session.end_of_input(self.street.now)

    def pass_time(self) -> None:
        self.street.pass_time(self.tape.choose([0.06, 0.1, 0.7, 2.0, 12.0]))

    def be_busy(self) -> None:
        self.street.has_time = not self.street.has_time

    def end_turn(self) -> None:
        self.street.end_turn()

    def settle(self) -> None:
        self.street.has_time = True
        self.street.settle()

    # What must be so

    def holds(self) -> None:
        """After every step: the ledger adds up, and what was written is taken up once and in order."""
        snapshot = self.street.broker.snapshot()
        assert snapshot.adds_up, str(snapshot)
        assert snapshot.accepted == self.plain.accepted
        refused = Counter(snapshot.refused)
        del refused[ErrorCode.SLOW_CONSUMER]
        assert refused == self.plain.refused
        assert self.street.broker.directory.who() == sorted(self.plain.here)
        for connection in self.street.connections:
            session = connection.session
            assert isinstance(session, Watched)
            peer = session.peer
            assert session.over == peer.over
            assert session.outbox.queued() == sum(batch.lines for batch in session.outbox.batches())
            assert connection.here == peer.here
            assert peer.handled == peer.said[: len(peer.handled)], "lines are taken up in order, each of them once"
            if session.wants_input and not peer.over:
                assert len(peer.handled) == len(peer.said), "whoever is read on has nothing left"

    def end(self) -> None:
        """Everybody reads, and then there is nothing left that was not heard, given back or counted."""
        self.street.has_time = True
        for _ in range(3):  # what one reads may be given back to another
            for connection in self.street.connections:
                if not connection.dead:
                    connection.reads()
            self.street.settle()
            self.holds()
        returned = told = 0
        for connection in self.street.connections:
            assert isinstance(connection.session, Watched)
            lines, peer = connection.heard, connection.session.peer
            assert peer.over or peer.waits or peer.handled == peer.said, "nothing that was written is left"
            (self.heard_some if self.bounded else self.heard_all)(lines, peer)
            returned += sum(line.startswith(b"returned ") for line in lines)
            told += losses(lines, b"lagged").total() - losses(lines, b"lagged")[b"/watch"]
        snapshot = self.street.broker.snapshot()
        assert snapshot.queued == 0
        assert snapshot.delivered == sum(len(texts(connection.heard)) for connection in self.street.connections)
        assert sum(snapshot.returned.values()) == returned
        assert snapshot.dropped.get(DropReason.LAGGED, 0) >= told

    def heard_all(self, lines: list[bytes], peer: PlainPeer) -> None:
        """Nothing is lost: line by line what is due, but that the errors of one read may come in another order."""
        heard, due = without_errors(lines), without_errors(peer.due)
        assert heard == due[: len(heard)], first_difference(heard, due)
        sections, sections_due = by_answer(lines), by_answer(peer.due)
        assert sections[:-1] == sections_due[: len(sections) - 1], "errors come before the answer to a later line"
        if not peer.gone:
            assert heard == due, first_difference(heard, due)
            assert sections == sections_due

    def heard_some(self, lines: list[bytes], peer: PlainPeer) -> None:
        """What arrives is due and in order; what does not is told."""
        left = iter(texts(peer.due))
        for line in texts(lines):
            assert line in left, f"{line!r} is not due, or comes too late"
        heard, due = answers(lines), answers(peer.due)
        assert heard == due[: len(heard)], first_difference(heard, due)
        if peer.over:
            return
        assert heard == due, first_difference(heard, due)
        errors = Counter(line for line in lines if line.startswith(b"error ") and not line.startswith(LOSSES))
        assert errors == Counter(line for line in peer.due if line.startswith(b"error "))
        lost = topics(peer.due) - topics(lines)
        told = losses(lines, b"lagged")
        del told[b"/watch"]
        assert lost == told, f"{lost} were lost, and {told} told"


STEPS: list[Any] = [
    *[Script.say_texts] * 6,
    *[Script.command] * 2,
    *[Script.say_bytes] * 2,
    *[Script.say_line] * 3,
    *[Script.say_lines] * 3,
    *[Script.end_turn] * 2,
    *[Script.settle] * 2,
    *[Script.stop_taking] * 3,
    *[Script.take] * 3,
    *[Script.pass_time] * 2,
    *[Script.be_busy] * 2,
    Script.say_again_and_again,
    Script.take_name,
    Script.come,
    Script.vanish,
    Script.end_input,
]


def texts(lines: list[bytes]) -> list[bytes]:
    """Texts that were delivered."""
    return [line for line in lines if line.startswith(b"from ")]


def answers(lines: list[bytes]) -> list[bytes]:
    """What answers a command or a login, and the last line."""
    return [line for line in lines if line.startswith(ANSWERS) and not line.startswith(b"bye slow")]


def without_errors(lines: list[bytes]) -> list[bytes]:
    """All but errors."""
    return [line for line in lines if not line.startswith(b"error ")]


def by_answer(lines: list[bytes]) -> list[Counter[bytes]]:
    """The errors before each answer and after the one before."""
    sections: list[Counter[bytes]] = [Counter()]
    for line in lines:
        if line.startswith(b"error "):
            sections[-1][line] += 1
        elif line.startswith(ANSWERS):
            sections.append(Counter())
    return sections


def topics(lines: list[bytes]) -> Counter[bytes]:
    """How many texts of each topic there are."""
    found: Counter[bytes] = Counter()
    for line in texts(lines):
        words = line.split(b": ", 1)[0].split(b" ")
        if len(words) == 4:
            found[words[3]] += 1
    return found


def losses(lines: list[bytes], code: bytes) -> Counter[bytes]:
    """What these errors count."""
    found: Counter[bytes] = Counter()
    head = b"error " + code + b": "
    for line in lines:
        if line.startswith(head):
            what, _, count = line.removeprefix(head).rpartition(b" ")
            found[what] += int(count)
    return found


def first_difference(heard: list[bytes], due: list[bytes]) -> str:
    """Where two lists of lines part."""
    at = next((at for at, both in enumerate(zip(heard, due, strict=False)) if both[0] != both[1]), None)
    if at is None:
        at = min(len(heard), len(due))
    return f"line {at}: heard {heard[at : at + 3]}, due {due[at : at + 3]}"


@contextmanager
def smaller(piece: int, largest: int, few: int, chunk: int, patient: int) -> Iterator[None]:
    """Sizes at which the node takes another way, so small that short scripts reach them."""
    sizes = [
        (routing, "PIECE", piece),
        (routing, "LARGEST", largest),
        (plans, "LARGEST", largest),
        (routing, "FEW", few),
        (routing, "ONE_BY_ONE", 0 if piece == 7 else 2),
        (routing, "SHORT", 0 if piece == 7 else 30),
        (routing, "LOOKED_AT", patient),
        (queue, "CHUNK", chunk),
        (part, "CHUNK", chunk),
        (backlog, "CHUNK", chunk),
    ]
    usual = [getattr(module, name) for module, name, _ in sizes]
    for module, name, size in sizes:
        setattr(module, name, size)
    try:
        yield
    finally:
        for (module, name, _), size in zip(sizes, usual, strict=True):
            setattr(module, name, size)


def check(data: bytes) -> None:
    """One script."""
    tape = Tape(data)
    piece, largest = tape.choose([8000, 2, 3, 7]), tape.choose([2000, 1, 2])
    with smaller(piece, largest, tape.choose([8, 0]), tape.choose([256 * 1024, 150]), tape.choose([1000, 2])):
        Script(tape).run()
