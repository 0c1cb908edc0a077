"""
One peer's conversation.

In: bytes, the end of input, gates that open.  Out: lines routed, answers, the wish to close.  Never: a transport, a
reactor, a clock of its own.

    LOGIN ---name---> READY ---quit, end of input, kick, error that closes---> LEAVING ---connection ended---> GONE
      |  \\--taken over--> WAITING --name is free--/^                             ^
      +--------------------------error that closes-------------------------------+

LEAVING is when the last line is in the outbox: nothing is read any more but to throw it away.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from zope.interface import implementer

from nettool.broker.broker import Broker, IPeer, JoinOutcome, LoginOutcome
from nettool.errors import CloseReason, ErrorCode, ReturnReason
from nettool.interfaces import IGate, IShell
from nettool.outbox.batch import Batch, Kind
from nettool.outbox.queue import Outbox
from nettool.settings import Live, decimal
from nettool.wire import requests
from nettool.wire.lines import TOO_LONG, Cutter, cut
from nettool.wire.names import is_topic, name_fault
from nettool.wire.requests import EXCERPT, BadLine


class Phase(Enum):
    """Where a conversation is."""

    LOGIN = "login"
    WAITING = "waiting"
    """For its name, which an older connection still holds."""
    READY = "ready"
    LEAVING = "leaving"
    GONE = "gone"


# What is asked for every read; looked up in their class each would cost 50 ns.
_WAITING, _READY, _LEAVING, _GONE = Phase.WAITING, Phase.READY, Phase.LEAVING, Phase.GONE


@implementer(IPeer)
class Session:
    """One peer's conversation.

    Invariant: it is read exactly while no gate is shut, nothing of the last read is left, and it does not wait for its
    name; from LEAVING on it is always read, and what is read is thrown away.
    """

    __slots__ = (
        "__weakref__",
        "_broker",
        "_cutter",
        "_end_came",
        "_gates",
        "_left",
        "_live",
        "_shell",
        "closing",
        "name",
        "outbox",
        "phase",
        "received_bytes",
        "received_lines",
        "topics",
    )

    def __init__(self, broker: Broker, live: Live, shell: IShell) -> None:
        self.name = b""
        self.phase = Phase.LOGIN
        self.closing: CloseReason | None = None
        """Why it is ending, once it is."""
        self.outbox = Outbox(self, live, broker)
        self.topics: set[bytes] | None = None
        self.received_lines = 0
        """Lines that were not empty, whatever became of them; the parts of a very long list count each."""
        self.received_bytes = 0
        self._broker = broker
        self._live = live
        self._shell = shell
        self._cutter = Cutter(live.peers.max_line)
        self._gates: set[IGate] | None = None
        self._left: list[bytes | None] | None = None
        """What is left of a read that was stopped in the middle: lines, or whole blocks, in order."""
        self._end_came = False

    # What is read

    def received(self, data: bytes, now: float) -> None:
        """Bytes came in."""
        cutter = self._cutter
        cutter.max_line = self._live.peers.max_line
        if self.phase is _READY:
            # A few lines, or lines to one address, need none of what follows: 1 or 2 of 5 microseconds.
            if not self._left and cutter.is_block(data) and (self.outbox.backlog is None or not self._is_held):
                lines, left = self._broker.routing.route_first(self, data, now)
                self.received_lines += lines
                self.received_bytes += len(data) - len(left)
                if not left:
                    return
                data = left
        elif self.over:
            return
        self.received_bytes += len(data)
        pieces = cutter.feed(data)
        if self._left:
            self._left += pieces
        else:
            self._work_off(pieces, now)

    def end_of_input(self, now: float) -> None:
        """The peer has said all it will; what it gets is another matter."""
        if self._left:
            self._end_came = True
        elif not self.over:
            if rest := self._cutter.finish():
                self._broker.refuse(self, ErrorCode.BAD_LINE, rest[:EXCERPT], now)
            self.close(CloseReason.QUIT, self._live.node.drain_timeout, now)

    def go_on(self, now: float) -> None:
        """Work off what was left of the last read; the shell calls this before it brings more input."""
        if not self._gates and self.phase is not Phase.WAITING:
            left, self._left = self._left, None
            if left:
                self._work_off(left, now)
            if self._end_came and not self._left:
                self.end_of_input(now)

    @property
    def over(self) -> bool:
        """Whether nothing that it says counts any more."""
        return self.phase is _LEAVING or self.phase is _GONE

    @property
    def wants_input(self) -> bool:
        """Whether there is no reason not to read on."""
        if self.over:
            return True
        return not self._gates and not self._left and self.phase is not Phase.WAITING

    def _work_off(self, pieces: list[bytes | None], now: float) -> None:
        """Go through blocks until all is done, or there is a reason to stop in the middle."""
        for index, piece in enumerate(pieces):
            if self.over:
                return
            # The first one always has its time: there is nothing yet that could have taken it.
            if self._must_stop(now) if index else self._is_held:
                rest = piece
            elif piece is TOO_LONG:
                rest = self._too_long(now)
            else:
                rest = self._block(piece, now)
            if rest != b"":
                self._left = [rest, *pieces[index + 1 :]]
                return

    def _block(self, block: bytes, now: float) -> bytes:
        """Go through a block; what is left of it if there is a reason to stop."""
        if self.phase is _READY:
            routed = self._broker.routing.route_block(self, block, now)
            if routed:
                self.received_lines += routed
                return b""
        lines, at = cut(block), 0
        while at < len(lines) and not self.over:
            if self._must_stop(now):
                return b"".join(lines[at:])
            if self.phase is Phase.READY:
                routed = self._broker.routing.route_lines(self, lines, at, now)
                if routed > at:
                    self.received_lines += routed - at
                    at = routed
                    continue
            if lines[at] == b"\n":
                lines, at = [line for line in lines[at:] if line != b"\n"], 0
                continue
            if len(lines[at]) > requests.LONG_LIST:
                lines[at : at + 1] = requests.in_parts(lines[at])
            self.received_lines += 1
            self._line(lines[at][:-1], now)
            at += 1
        return b""

    @property
    def _is_held(self) -> bool:
        """Whether its own answers fill its outbox, or it waits for its name."""
        return self.outbox.owner_waits or self.phase is _WAITING

    def _must_stop(self, now: float) -> bool:
        """Whether not even the rest of this read may be worked off now."""
        if self._is_held:
            return True
        if self._shell.has_time(now):
            return False
        self._shell.stop_reading()
        self._shell.read_on()
        return True

    def _too_long(self, now: float) -> bytes:
        self.received_lines += 1
        limit = b"%d" % self._live.peers.max_line
        if self.phase is Phase.LOGIN:
            self._refuse_and_close(ErrorCode.BAD_NAME, b"the first line is over " + limit + b" bytes", now)
        else:
            self._broker.refuse(self, ErrorCode.LINE_TOO_LONG, limit, now)
        return b""

    def _line(self, line: bytes, now: float) -> None:
        if self.phase is Phase.LOGIN:
            self._log_in(line, now)
            return
        try:
            request = requests.parse(line)
        except BadLine:
            self._broker.refuse(self, ErrorCode.BAD_LINE, line[:EXCERPT], now)
        else:
            _COMMANDS[type(request)](self, request, now)

    # Login

    def _log_in(self, line: bytes, now: float) -> None:
        name = requests.parse_login(line).name
        fault = name_fault(name)
        if fault:
            self._refuse_and_close(ErrorCode.BAD_NAME, fault.encode(), now)
            return
        self.name = name
        outcome = self._broker.log_in(self, now)
        if outcome is LoginOutcome.DONE:
            self._welcome(now)
        elif outcome is LoginOutcome.WAITS:
            self.phase = Phase.WAITING
            self._shell.stop_reading()
        else:
            self.name = b""
            self._refuse_and_close(ErrorCode.NAME_TAKEN, name, now)

    def name_is_free(self, now: float) -> None:
        """See `IPeer`."""
        self._welcome(now)
        self._shell.read_on()

    def _welcome(self, now: float) -> None:
        self.phase = Phase.READY
        self._shell.logged_in()
        self._answer(b"ok login %b@%b\n" % (self.name, self._live.node.name), now)

    # Commands

    def _join(self, request: requests.Join, now: float) -> None:
        for topic in request.items:
            outcome = self._broker.join(self, topic)
            if outcome is JoinOutcome.DONE:
                self._answer(b"ok join " + topic + b"\n", now)
            elif outcome is JoinOutcome.BAD_TOPIC:
                self._broker.refuse(self, ErrorCode.BAD_TOPIC, topic[:EXCERPT], now)
            else:
                self._broker.refuse(self, ErrorCode.TOO_MANY_TOPICS, b"%d" % self._live.peers.max_joins, now)

    def _leave(self, request: requests.Leave, now: float) -> None:
        for topic in request.items:
            if self._broker.leave(self, topic):
                self._answer(b"ok leave " + topic + b"\n", now)
            else:
                self._broker.refuse(self, ErrorCode.BAD_TOPIC, topic[:EXCERPT], now)

    def _who(self, request: requests.Who, now: float) -> None:
        if request.topic and not is_topic(request.topic):
            self._broker.refuse(self, ErrorCode.BAD_TOPIC, request.topic[:EXCERPT], now)
            return
        if not request.topic:
            self._answer(self._broker.who(), now)
            return
        names = self._broker.directory.hearers(request.topic)
        self._answer(b"".join([b"peer %b\n" % name for name in names]) + b"ok who %d\n" % len(names), now)

    def _topics(self, request: requests.Topics, now: float) -> None:
        self._answer(self._broker.heard(), now)

    def _watch(self, request: requests.Watch, now: float) -> None:
        self._broker.watch(self, True)
        self._answer(b"ok watch\n", now)

    def _unwatch(self, request: requests.Unwatch, now: float) -> None:
        self._broker.watch(self, False)
        self._answer(b"ok unwatch\n", now)

    def _ping(self, request: requests.Ping, now: float) -> None:
        self._answer(b"pong " + request.token + b"\n" if request.token else b"pong\n", now)

    def _help(self, request: requests.Help, now: float) -> None:
        self._answer(b"".join([b"help %b\n" % line for line in requests.HELP]) + b"ok help\n", now)

    def _quit(self, request: requests.Quit, now: float) -> None:
        self.close(CloseReason.QUIT, self._live.node.drain_timeout, now)

    def _unknown(self, request: requests.Unknown, now: float) -> None:
        self._broker.refuse(self, ErrorCode.UNKNOWN_COMMAND, request.command[:EXCERPT], now)

    def _answer(self, data: bytes, now: float) -> None:
        self.outbox.put(Batch(Kind.ANSWER, self, b"", data, 0, now))

    # Waiting

    def wait_for(self, gate: IGate, now: float) -> None:
        """See `ISender`."""
        if self.over:
            gate.forget(self, now)
            return
        if self._gates is None:
            self._gates = set()
        self._gates.add(gate)
        self._shell.stop_reading()

    def go_on_after(self, gate: IGate) -> None:
        """See `ISender`."""
        if self._gates is not None:
            self._gates.discard(gate)
            if not self._gates:
                self._gates = None
                self._shell.read_on()

    # The end

    def refuse_at_door(self, limit: int, now: float) -> None:
        """There are too many peers."""
        self._refuse_and_close(ErrorCode.TOO_MANY_PEERS, b"%d" % limit, now)

    def login_timed_out(self, now: float) -> None:
        """It has not said its name in time."""
        self._refuse_and_close(ErrorCode.LOGIN_TIMEOUT, decimal(self._live.peers.login_timeout), now)

    def too_slow(self, limit: float, now: float) -> None:
        """It has not read for so many seconds: it is told if its transport takes it, and what is queued goes back."""
        if not self.outbox.blocked and not self.over:
            self._refuse_and_close(ErrorCode.SLOW_CONSUMER, decimal(limit), now)
            return
        if self.closing is None:
            self.closing = CloseReason.SLOW_CONSUMER
        self.ended(ReturnReason.SLOW_CONSUMER, now)
        self._shell.abort()

    def close(self, reason: CloseReason, drain: float, now: float) -> None:
        """See `IPeer`."""
        if self.phase is Phase.GONE:
            return
        if self.phase is not Phase.LEAVING:
            self.closing = reason
            self._leave_off(Phase.LEAVING, now)
            self._answer(b"bye " + reason.value + b"\n", now)
            self._shell.read_on()
        self._shell.end_within(drain)

    def broke(self, now: float) -> None:
        """There was a fault on this connection: it is over, whatever it had closed for before."""
        self.closing = CloseReason.BROKEN
        self.ended(ReturnReason.DISCONNECTED, now)

    def cut_off(self) -> None:
        """The shell is about to abort, since the node waits no longer: that is the reason, if there was none before."""
        self.closing = self.closing or CloseReason.SHUTDOWN

    def ended(self, reason: ReturnReason, now: float) -> None:
        """Nothing more can be written to it: its name is free, and what is queued goes back with this reason."""
        if self.phase is not Phase.GONE:
            self._leave_off(Phase.GONE, now)
            self._broker.peer_ended(self, reason, now)

    def _leave_off(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self._left = None
        gates, self._gates = self._gates, None
        for gate in gates or ():
            gate.forget(self, now)
        self._broker.peer_leaves(self, now)

    def _refuse_and_close(self, code: ErrorCode, detail: bytes, now: float) -> None:
        self._broker.refuse(self, code, detail, now)
        self.close(CloseReason(code.value), self._live.node.drain_timeout, now)


_COMMANDS: dict[type, Callable[[Session, Any, float], None]] = {
    requests.Join: Session._join,
    requests.Leave: Session._leave,
    requests.Who: Session._who,
    requests.Topics: Session._topics,
    requests.Watch: Session._watch,
    requests.Unwatch: Session._unwatch,
    requests.Ping: Session._ping,
    requests.Help: Session._help,
    requests.Quit: Session._quit,
    requests.Unknown: Session._unknown,
}
