"""
What one other node still has to be sent, and what it has not confirmed.

In: batches, at any time; numbers that the other node has routed; the beginning and the end of links.  Out: frames, in
one order; batches given back.  Never: a frame twice on one link; a batch without an end in the ledger; more than its
bounds.

While the link takes data, batches pass through `ready`, as in a peer's outbox.  While it does not they are in a
`Backlog`, with eight times a peer's bounds: there senders wait, with patience.  While there is no link nobody waits:
what is too much, or too old, goes back, the oldest first.  What was sent is kept until it is confirmed; so much of it
and no more: then the rest waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from nettool.cluster.frames import BadFrame
from nettool.cluster.phases import Mode, PhaseName, Phases
from nettool.cluster.sending import LinkBacklog, LinkBounds, PhasedHome, Sent, frame_of_run, mode_of, name_of, runs
from nettool.errors import DropReason, ReturnReason
from nettool.interfaces import IReturns, ISender
from nettool.outbox.backlog import Backlog
from nettool.outbox.batch import Batch, Kind
from nettool.outbox.lane import Lane
from nettool.outbox.losses import LossReport
from nettool.settings import CHUNK, Live

_DIRECT = Kind.DIRECT


class LinkQueue:
    """The one way to another node.

    Invariant: each batch is in exactly one of `ready`, `backlog`, `sent`, in the order in which it came; numbers of
    `sent` follow each other.
    """

    def __init__(self, owner: ISender, live: Live, home: IReturns, seconds: Callable[[], float]) -> None:
        self.bounds = LinkBounds(live)
        self.phases = Phases()
        self.sent: deque[Sent] = deque()
        self.sent_bytes = 0
        self.resent = 0
        """Lines that were sent again after a cut."""
        self.backlog: Backlog | None = None
        self.ready: list[Batch] = []
        self.wake: Callable[[], None] | None = None
        """The link's: there is something to take, and there was not.  Nothing without a link."""
        self.flush: Callable[[float], None] | None = None
        """The link's: take it now."""
        self.watch: Callable[[], None] | None = None
        """The link's: the backlog waits for time to pass."""
        self.blocked = True
        """The transport takes nothing now, or there is none."""
        self._ready_bytes = 0
        self._unsent: int | None = None
        """How many of `sent` are to be sent again: the last ones."""
        self._number = 0
        self._over: tuple[ReturnReason, DropReason] | None = None
        """What becomes of all that still comes, once nothing will be sent any more."""
        self._owner = owner
        self._live = live
        self._home = home
        self._dropping: Any = PhasedHome(self.phases, home)
        self._seconds = seconds
        self.logins: dict[ISender, int] = {}
        """The number of each sender's login, while he is here; the cluster's."""
        self.returns_to: Callable[[ISender | None], bool] = lambda sender: True
        """Whether the instance that is linked now knows a sender to whom lines go back."""
        self._went: Callable[[bytes, int], None] = lambda name, size: None

    def when_gone(self, call: Callable[[bytes, int], None]) -> None:
        """Call this with a receiver's name and bytes when these are not in the queue any more."""
        self._went = call

    # What comes in

    def put(self, batch: Batch) -> bool:
        """Keep a batch until it can be sent; false if it was given back at once."""
        backlog = self.backlog
        if self._over is not None:
            return self._refuse(batch, *self._over)
        if backlog is None and not self.blocked and self.sent_bytes < self.bounds.unconfirmed:
            ready = self.ready
            if not ready and self.wake is not None:
                self.wake()
            ready.append(batch)
            self._started(batch)
            self._ready_bytes += len(batch.data)
            if self._ready_bytes >= CHUNK and self.flush is not None:
                self.flush(batch.at)
            return True
        return self._put_back(batch)

    def _refuse(self, batch: Batch, reason: ReturnReason, lost: DropReason) -> bool:
        if batch.kind is Kind.DIRECT:
            self._home.give_back(batch, reason, batch.at)
        else:
            self._lose(mode_of(batch), batch.reason, batch.lines, len(batch.data), lost)
        return False

    def _put_back(self, batch: Batch, *, started: bool = False) -> bool:
        if self.backlog is None:
            self.backlog = LinkBacklog(self._owner, self.bounds, self._dropping)
            ready, self.ready, self._ready_bytes = self.ready, [], 0
            for earlier in ready:  # the bound has become smaller since they came
                self._put_back(earlier, started=True)
        backlog = self.backlog
        if not started:
            self._started(batch)
        kept = not (batch.kind is Kind.DIRECT and backlog.direct.spent)
        if self.bounds.away and batch.kind is not Kind.TOPIC:
            self._make_room(backlog, batch)
        backlog.put(batch)
        if backlog.full and self.watch is not None:
            self.watch()
        return kept

    def _make_room(self, backlog: Backlog, batch: Batch) -> None:
        bound = self.bounds.delivery.outbox_bytes
        while bound and backlog.direct.held + len(batch.data) + 1024 > bound and backlog.oldest_since[0] < inf:
            self._shed(backlog, backlog.direct, batch.at)

    def _started(self, batch: Batch) -> None:
        self.phases.of(mode_of(batch), PhaseName.OUTGOING_BUFFER).started += batch.lines

    # What goes out

    def take(self, limit: int) -> list[bytes]:
        """Payloads of frames, about `limit` bytes of them; none if there are none, or too much is not confirmed."""
        taken: list[bytes] = []
        now = self._seconds()
        if self._unsent:
            self._take_again(taken, limit, now)
        while limit > sum(map(len, taken)) and not self._unsent and self.sent_bytes < self.bounds.unconfirmed:
            batches = self._next_batches()
            if not batches:
                break
            for run in runs(batches):
                self._send(run, taken, now)
        return taken

    def _take_again(self, taken: list[bytes], limit: int, now: float) -> None:
        size = 0
        while self._unsent and size < limit:
            sent = self.sent[-self._unsent]
            sent.at = now
            self.resent += sent.lines
            taken.append(sent.frame)
            size += len(sent.frame)
            self._unsent -= 1

    def _next_batches(self) -> list[Batch]:
        if self.backlog is not None:
            batches = self.backlog.take()
            for batch in batches:
                if len(batch.data) > CHUNK:
                    self.backlog.part_went(len(batch.data), True)
            self._look_whether_empty()
            return batches
        ready, self.ready, self._ready_bytes = self.ready, [], 0
        return ready

    def _send(self, run: list[Batch], taken: list[bytes], now: float) -> None:
        """Make the frame of batches that one frame can take, and remember it."""
        batch = run[0]
        if batch.kind is Kind.RETURNED and not self.returns_to(batch.sender):
            self._end_wait(batch)
            self._home.ledger.drop(batch.lines, DropReason.SENDER_GONE, len(batch.data))
            return
        mode = mode_of(batch)
        lines, size, waited = batch.lines, len(batch.data), 0.0
        parts: list[tuple[bytes, int, int]] = []
        if batch.kind is _DIRECT:
            parts = [(name_of(one), one.lines, len(one.data)) for one in run]
            lines, size = sum([part[1] for part in parts]), sum([part[2] for part in parts])
            waited = sum([one.lines * (now - one.at) for one in run]) / lines
        elif isinstance(batch, LossReport):
            size = 0
        else:
            waited = now - batch.at
        self.phases.of(mode, PhaseName.OUTGOING_BUFFER).finish(lines, size, waited)
        self._number += 1
        sender = batch.sender
        # Lines that come back have a sender there, whose login is that node's number.
        login = self.logins.get(sender, 0) if sender is not None else 0
        frame = frame_of_run(run, self._number, getattr(sender, "login", login))
        self.phases.of(mode, PhaseName.OUTGOING_TRANSFER).started += lines
        self.sent.append(Sent(self._number, frame, lines, parts, size, mode, batch.reason, waited, now))
        self.sent_bytes += len(frame)
        taken.append(frame)

    def confirm(self, number: int) -> None:
        """The other node has routed all up to this number."""
        now, ledger = self._seconds(), self._home.ledger
        if not number <= self._number - (self._unsent or 0):
            raise BadFrame("it confirms what was not sent to it")
        before = self.sent_bytes
        while self.sent and self.sent[0].number <= number:
            sent = self.sent.popleft()
            self.sent_bytes -= len(sent.frame)
            if sent.reason is not None:
                ledger.forward_back(sent.lines, sent.reason, sent.size)
            else:
                ledger.forward(sent.lines, sent.mode is Mode.BROADCAST, sent.size, sent.waited)
            self._finish_transfer(sent, now)
        if before >= self.bounds.unconfirmed > self.sent_bytes and self.wake is not None:
            self.wake()

    def _finish_transfer(self, sent: Sent, now: float) -> None:
        self.phases.of(sent.mode, PhaseName.OUTGOING_TRANSFER).finish(sent.lines, sent.size, now - sent.at)
        for name, _, size in sent.parts:
            self._went(name, size)

    def made_room(self, now: float) -> None:
        """The link took something: senders that waited for this go on."""
        if self.backlog is not None:
            self.backlog.made_room(now)

    def block(self) -> None:
        """The transport takes nothing now."""
        self.blocked = True
        ready, self.ready, self._ready_bytes = self.ready, [], 0
        for batch in ready:
            self._put_back(batch, started=True)

    # Links that begin and end

    def cut(self) -> None:
        """There is no link any more: nobody waits for it, and what is here waits for the next one."""
        self.block()
        self.wake = self.flush = self.watch = None
        self.bounds.away = True
        self._unsent = len(self.sent) or None
        if self.backlog is not None:
            self.backlog.let_go(self._seconds())

    def resume(self, after: int) -> None:
        """A link to the same instance, which has routed all up to this number: the rest is sent again."""
        if not self._number - len(self.sent) <= after <= self._number:
            raise BadFrame("it says it took what was not sent to it, or less than it has confirmed")
        self._unsent = None
        self.confirm(after)
        self._unsent = len(self.sent) or None
        self.bounds.away = False

    def start_afresh(self) -> None:
        """A link to another instance: what was sent to its predecessor is lost, and what hears topics there is new."""
        self._lose_sent(DropReason.LINK_LOST)
        self._number = 0
        backlog = self.backlog
        while backlog is not None and backlog.oldest_since[1] < inf:
            self._drop_topic(backlog, DropReason.HEARER_GONE)
        self._look_whether_empty()
        self.bounds.away = False

    def _lose_sent(self, reason: DropReason) -> None:
        now = self._seconds()
        while self.sent:
            sent = self.sent.popleft()
            self._lose(sent.mode, sent.reason, sent.lines, sent.size, reason)
            self._finish_transfer(sent, now)
        self.sent_bytes, self._unsent = 0, None

    # What waits for too long

    def due(self, since: float, pending: float) -> float:
        """When the oldest of what waits is too old, having waited for a link since then."""
        if self.backlog is None:
            return inf
        return max(since, min(self.backlog.oldest_since)) + pending

    def expire(self, now: float, since: float, pending: float) -> None:
        """Give back what has waited for a link for too long."""
        while self.backlog is not None and self.due(since, pending) <= now:
            direct, topic = self.backlog.oldest_since
            if direct <= topic:
                self._shed(self.backlog, self.backlog.direct, now)
            else:
                self._drop_topic(self.backlog, DropReason.LINK_LOST)
            self._look_whether_empty()

    def give_up(self, reason: ReturnReason, lost: DropReason) -> None:
        """Nothing will be sent any more: what was not sent goes back, what was sent is lost."""
        self._over = (reason, lost)
        self.block()
        self._lose_sent(lost)
        now = self._seconds()
        while self.backlog is not None:
            direct, topic = self.backlog.oldest_since
            if topic < inf:
                self._drop_topic(self.backlog, lost)
            elif direct < inf:
                self._shed(self.backlog, self.backlog.direct, now, reason, lost)
            self._look_whether_empty()
            if direct == topic == inf:
                self.backlog = None

    def _shed(
        self,
        backlog: Backlog,
        lane: Lane,
        now: float,
        reason: ReturnReason = ReturnReason.NODE_UNREACHABLE,
        lost: DropReason = DropReason.LINK_LOST,
    ) -> None:
        batch = backlog.shed(lane)
        self._end_wait(batch)
        if batch.kind is Kind.RETURNED:
            self._lose(Mode.DIRECT, batch.reason, batch.lines, len(batch.data), lost)
        elif batch.kind is Kind.DIRECT:
            self._home.give_back(batch, reason, now)

    def _drop_topic(self, backlog: Backlog, reason: DropReason) -> None:
        batch = backlog.shed(backlog.topic)
        self._end_wait(batch)
        self._lose(Mode.BROADCAST, None, batch.lines, len(batch.data), reason)

    def _lose(self, mode: Mode, back: ReturnReason | None, lines: int, size: int, reason: DropReason) -> None:
        """They will arrive nowhere; `back` of lines that had been given up before, and were on their way back."""
        ledger = self._home.ledger
        ledger.drop(lines, reason, size)
        if back is None:
            passage = ledger.topic if mode is Mode.BROADCAST else ledger.direct
            passage.given_up += lines

    def _end_wait(self, batch: Batch) -> None:
        """A batch has left without being sent."""
        wait = self.phases.of(mode_of(batch), PhaseName.OUTGOING_BUFFER)
        wait.finish(batch.lines, 0, max(self._seconds() - batch.at, 0.0))
        name = name_of(batch)
        if name:
            self._went(name, len(batch.data))

    def _look_whether_empty(self) -> None:
        if self.backlog is not None and not self.backlog:
            self.backlog.made_room(self._seconds())
            self.backlog = None

    # What others may ask

    @property
    def to_send(self) -> Sequence[object]:
        """Something, if there is more to take now."""
        if self.sent_bytes >= self.bounds.unconfirmed and not self._unsent:
            return ()
        return self.ready or ([self.backlog or self._unsent] if self.backlog or self._unsent else ())

    def on_their_way(self) -> dict[Kind, int]:
        """Copies of texts that are in it and not on their way back, by kind."""
        here: dict[Kind, int] = {Kind.DIRECT: 0, Kind.TOPIC: 0}
        for batch in self.ready:
            if batch.kind in here:
                here[batch.kind] += batch.lines
        if self.backlog is not None:
            here[Kind.DIRECT] += self.backlog.direct.lines - self.backlog.direct.returned
            here[Kind.TOPIC] += self.backlog.topic.lines
        for sent in self.sent:
            if sent.reason is None:
                here[Kind.TOPIC if sent.mode is Mode.BROADCAST else Kind.DIRECT] += sent.lines
        return here

    def batches(self) -> list[Batch]:
        """All that was not sent yet."""
        return self.ready + ([] if self.backlog is None else self.backlog.batches())

    def of_name(self, name: bytes) -> tuple[int, list[Batch]]:
        """For one receiver: lines that were sent and are not confirmed, and what was not sent yet."""
        sent = sum(lines for sent in self.sent for whose, lines, _ in sent.parts if whose == name)
        return sent, [batch for batch in self.batches() if name_of(batch) == name]

    def queued(self) -> int:
        """Copies that are in it, by walking it."""
        return sum(batch.lines for batch in self.batches()) + sum(sent.lines for sent in self.sent)

    @property
    def held_bytes(self) -> int:
        """Bytes of what was not sent yet."""
        held = 0 if self.backlog is None else self.backlog.direct.held + self.backlog.topic.held
        return held + self._ready_bytes

    @property
    def quiet(self) -> bool:
        """Whether nothing waits, and nothing is to be confirmed."""
        return not (self.ready or self.backlog or self.sent)

    def sizes_by_name(self) -> dict[bytes, int]:
        """Bytes for each receiver, sent ones and others."""
        sizes: dict[bytes, int] = {}
        parts = [part for sent in self.sent for part in sent.parts]
        for name, _, size in parts + [(name_of(batch), 0, len(batch.data)) for batch in self.batches()]:
            if name:
                sizes[name] = sizes.get(name, 0) + size
        return sizes
