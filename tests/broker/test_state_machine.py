"""Every step of every story: the ledger adds up, each copy ends once, order is kept, nobody waits without a reason.

A broker with real sessions and outboxes; the connections around them are the model's.  Each text is written once, so
what became of each copy is found by looking for it: in what transports were handed, and in what outboxes hold.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Any
from unittest.mock import patch

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from nettool.broker import routing
from nettool.errors import DropReason, ReturnReason
from nettool.outbox import backlog, part, queue
from nettool.outbox.batch import CHARGE, Batch, Kind
from nettool.outbox.losses import LossReport
from nettool.peers.session import Phase
from nettool.settings import RETURNS_FACTOR, DeliverySettings, OnNameTaken, PeerSettings, Settings, TopicOverflow
from tests.broker.model import Connection, Observed, Sent, Street, World, tally

NAMES = [b"a", b"bo", b"ced", "dö".encode()]
TOPICS = [b"#t", b"#u/v", b"#w"]
ADDRESSES = [*NAMES, *TOPICS]
ODD = [b"nobody", b"a@node1", b"bo@node2", b"#t//", b"@node1", b"a@"]
LINES_OF_A_READ = 6
COPY = 120
"""Bytes that a copy takes at most, as it is delivered or given back."""
STALL_TIMEOUT = 12.0
CHUNK = 150
"""Instead of 256 KiB, so that batches larger than a chunk, and chunks of several batches, come up."""


class End(Enum):
    """Where a copy is."""

    QUEUED = "in its receiver's outbox"
    DELIVERED = "handed to its receiver's transport"
    RETURNING = "on its way back, in its sender's outbox"
    RETURNED = "handed to its sender's transport"
    DROPPED = "nowhere: to be found in the ledger"


ENDED = (End.DELIVERED, End.RETURNED, End.DROPPED)


@dataclass(eq=False)
class Copy:
    """One copy of one text: `place` is its place among all that its receiver should hear."""

    sender: Peer
    receiver: Peer
    sent: Sent
    place: int
    may_stay: bool
    """The receiver's patience with lines to its name was not over when this one was routed."""
    must_return: bool
    end: End = End.QUEUED
    reason: bytes = b""


class LaneHistory:
    """Since when one lane of one outbox is in an episode, and who has had lines in it since."""

    def __init__(self) -> None:
        self.since = inf
        self.fillers: set[Any] = set()
        self.resumed = 0


class Peer:
    """A connection, with what it should hear and what has been seen of that."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.topics: set[bytes] = set()
        self.due: list[Copy] = []
        self.errors: Counter[bytes] = Counter()
        self.answers: list[bytes] = []
        self.written: list[bytes] = []
        self.routed: list[bytes] = []
        self.seen = 0
        self.last_place = -1
        self.last_returned: dict[tuple[Peer, bytes], int] = {}
        self.told: Counter[bytes] = Counter()
        self.returns_lost = 0
        self.returns_told = 0
        self.lanes = {"direct": LaneHistory(), "topic": LaneHistory()}

    @property
    def name(self) -> bytes:
        return self.connection.session.name

    @property
    def here(self) -> bool:
        return self.connection.here


class Node(RuleBasedStateMachine):
    """Up to six connections that do what peers do."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = ExitStack()
        for module in (queue, part, backlog):
            self.patches.enter_context(patch.object(module, "CHUNK", CHUNK))
        # Reads are of few lines here, and have to go the ways of many.
        self.patches.enter_context(patch.object(routing, "ONE_BY_ONE", 2))
        self.patches.enter_context(patch.object(routing, "SHORT", 30))
        self.peers: list[Peer] = []
        self.of: dict[Any, Peer] = {}
        self.copies: dict[tuple[Peer, bytes], Copy] = {}
        self.back: dict[tuple[Peer, bytes, bytes], Copy] = {}
        self.moving: set[Copy] = set()
        self.accepted = 0
        self.refused: Counter[bytes] = Counter()
        self.dropped: Counter[DropReason] = Counter()
        self.holders: dict[bytes, Peer] = {}
        self.heirs: dict[bytes, Peer] = {}
        self.stopped = False
        self.number = 0

    def teardown(self) -> None:
        try:
            if self.peers:
                self.everybody_reads_and_leaves()
        finally:
            self.patches.close()
            super().teardown()

    @initialize(
        outbox_bytes=st.sampled_from([128, 700, 1500, 128, 700, 1500, 4000, 0]),
        direct_patience=st.sampled_from([1.0, 1.0, 0.0, inf]),
        topic_patience=st.sampled_from([0.1, 0.1, 0.0, inf]),
        overflow=st.sampled_from([TopicOverflow.DROP_OLDEST, TopicOverflow.DROP_OLDEST, TopicOverflow.DISCONNECT]),
        taken=st.sampled_from(OnNameTaken),
        heard=st.lists(st.sets(st.sampled_from(TOPICS), min_size=1), min_size=4, max_size=4),
        stopped=st.lists(st.booleans(), min_size=4, max_size=4),
    )
    def start(
        self,
        outbox_bytes: int,
        direct_patience: float,
        topic_patience: float,
        overflow: TopicOverflow,
        taken: OnNameTaken,
        heard: list[set[bytes]],
        stopped: list[bool],
    ) -> None:
        delivery = DeliverySettings(outbox_bytes, direct_patience, topic_patience, overflow, STALL_TIMEOUT)
        self.delivery = delivery
        self.taken = taken
        self.street = Street(
            Settings(peers=PeerSettings(max_line=64, max_addresses=4, on_name_taken=taken), delivery=delivery)
        )
        broker = self.street.broker
        broker.routing = routing = Observed(broker.directory, broker.ledger, self.street.live)
        routing.told = self.was_routed
        for number, name in enumerate(NAMES):
            self.log_in(name)
            for topic in sorted(heard[number]):
                self.join(self.peers[number], topic, True)
        self.street.settle()
        for number in range(len(NAMES)):
            if stopped[number]:
                self.stop_reading(number)

    # What peers do

    def some(self, index: int, **wanted: bool) -> Peer | None:
        """One of the peers that are as is wanted."""
        found = [p for p in self.peers if all(getattr(self, what)(p) is value for what, value in wanted.items())]
        return found[index % len(found)] if found else None

    def alive(self, peer: Peer) -> bool:
        return not peer.connection.gone

    def speaks(self, peer: Peer) -> bool:
        return peer.here and peer.connection.reads_input and peer.connection.session.wants_input

    def log_in(self, name: bytes) -> None:
        connection = self.street.connect()
        peer = Peer(connection)
        self.peers.append(peer)
        self.of[connection.session] = peer
        holder = self.holders.get(name)
        connection.says(name)
        if holder is None:
            assert peer.here
            self.holders[name] = peer
            peer.answers.append(b"ok login " + name + b"@node1")
        elif self.taken is OnNameTaken.REJECT or name in self.heirs:
            assert connection.session.phase is Phase.LEAVING
            peer.errors[b"error name-taken: " + name] += 1
            self.refused[b"name-taken"] += 1
        else:
            assert connection.session.phase is Phase.WAITING
            assert holder.connection.session.phase is Phase.LEAVING
            self.heirs[name] = peer

    @precondition(lambda self: not self.stopped)
    @rule(
        index=st.integers(0, 5),
        lines=st.lists(
            st.tuples(st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=2), st.integers(0, 30)),
            min_size=1,
            max_size=LINES_OF_A_READ,
        )
        | st.lists(
            st.tuples(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), st.integers(0, 30)),
            min_size=1,
            max_size=LINES_OF_A_READ,
        ),
        stop=st.sampled_from([False, False, False, True]),
    )
    def send(self, index: int, lines: list[tuple[list[bytes], int]], stop: bool) -> None:
        self.write(index, [b", ".join(addresses) + b": " + self.text(size) for addresses, size in lines], stop)

    @precondition(lambda self: not self.stopped)
    @rule(
        index=st.integers(0, 5),
        address=st.sampled_from(ADDRESSES),
        amount=st.integers(1, LINES_OF_A_READ),
        size=st.integers(0, 30),
    )
    def send_to_one_address(self, index: int, address: bytes, amount: int, size: int) -> None:
        self.write(index, [address + b": " + self.text(size) for _ in range(amount)], False)

    @precondition(lambda self: not self.stopped)
    @rule(
        reads=st.lists(
            st.tuples(st.integers(0, 5), st.sampled_from(ADDRESSES), st.integers(1, LINES_OF_A_READ)),
            min_size=3,
            max_size=8,
        ),
        turns=st.booleans(),
        seconds=st.sampled_from([0.0, 0.0, 0.06, 0.7]),
    )
    def everybody_sends(self, reads: list[tuple[int, bytes, int]], turns: bool, seconds: float) -> None:
        for index, address, amount in reads:
            self.write(index, [address + b": " + self.text(20) for _ in range(amount)], False)
            if turns:
                self.street.end_turn()
            self.holds()
            self.street.pass_time(seconds)
            self.holds()

    @precondition(lambda self: not self.stopped)
    @rule(
        index=st.integers(0, 5),
        lines=st.lists(
            st.tuples(
                st.lists(st.sampled_from(ADDRESSES + ODD), min_size=1, max_size=5),
                st.sampled_from([b",", b", ", b" ,,"]),
                st.sampled_from([b":", b": ", b" : "]),
            ),
            min_size=1,
            max_size=LINES_OF_A_READ,
        ),
    )
    def send_oddly(self, index: int, lines: list[tuple[list[bytes], bytes, bytes]]) -> None:
        # What stands before the space that is dropped is no part of a text that begins with a letter.
        self.write(index, [comma.join(some)[:50] + colon + self.text(0) for some, comma, colon in lines], False)

    def text(self, size: int) -> bytes:
        self.number += 1
        return b"x%d" % self.number + b"." * size

    def write(self, index: int, lines: list[bytes], stop: bool) -> None:
        peer = self.some(index, speaks=True)
        if peer is not None:
            lines = [line[:64] for line in lines]
            peer.written += lines
            self.street.has_time = not stop
            peer.connection.says(*lines)
            self.street.has_time = True

    @precondition(lambda self: not self.stopped)
    @rule(
        index=st.integers(0, 5),
        topic=st.sampled_from(TOPICS),
        what=st.sampled_from(["join", "join", "leave", "watch", "unwatch", "ping"]),
    )
    def command(self, index: int, topic: bytes, what: str) -> None:
        peer = self.some(index, speaks=True)
        if peer is None:
            return
        if what in ("join", "leave"):
            self.join(peer, topic, what == "join")
        else:
            peer.connection.says(b"/" + what.encode())
            peer.answers.append(b"pong" if what == "ping" else b"ok " + what.encode())

    def join(self, peer: Peer, topic: bytes, joins: bool) -> None:
        word = b"join" if joins else b"leave"
        peer.connection.says(b"/" + word + b" " + topic)
        peer.answers.append(b"ok " + word + b" " + topic)
        (peer.topics.add if joins else peer.topics.discard)(topic)

    @rule(
        index=st.integers(0, 5),
        name=st.sampled_from(NAMES),
        how=st.sampled_from(
            ["log in", "take over", "try to", "come back", "quit", "end of input", "lost", "stall", "shut down"]
        ),
    )
    def come_or_go(self, index: int, name: bytes, how: str) -> None:
        peer = self.some(index, alive=True) if how == "lost" else self.some(index, speaks=True)
        free = [name for name in NAMES if name not in self.holders]
        slow = [peer for peer in self.peers if peer.connection.too_slow]
        room = not self.stopped and sum(map(self.alive, self.peers)) < 6
        match how:
            case "log in" if free and room:
                self.log_in(free[0])
            case "take over" if room:
                self.log_in(name)
            case "quit" if peer is not None:
                peer.connection.says(b"/quit", b"a: is not said any more")
                assert not peer.here
            case "end of input" if peer is not None:
                peer.connection.session.end_of_input(self.street.now)
                assert not peer.here
            case "lost" if peer is not None:
                peer.connection.vanishes()
            case "try to" if room:
                self.log_in(name)
                self.peers[-1].connection.vanishes()
            case "come back" if room and self.holders.get(name) is not None:
                self.holders[name].connection.vanishes()
                self.holds()
                if name not in self.holders:
                    self.log_in(name)
            case "stall" if slow:
                slow[index % len(slow)].connection.give_up()
            case "shut down" if index == 5 and self.number > 60 and not self.stopped:
                self.shut_down()

    @rule(index=st.integers(0, 5))
    def stop_reading(self, index: int) -> None:
        peer = self.some(index, alive=True)
        if peer is not None:
            peer.connection.stops_reading()

    @rule(index=st.integers(0, 5), writes=st.sampled_from([1, 1, 2, 3, inf]))
    def read(self, index: int, writes: float) -> None:
        peer = self.some(index, alive=True)
        if peer is not None:
            peer.connection.reads(writes)

    @rule(seconds=st.sampled_from([0.06, 0.1, 0.7, 2.0, 8.0]))
    def pass_time(self, seconds: float) -> None:
        self.street.pass_time(seconds)

    @rule(all_of_them=st.booleans())
    def end_turn(self, all_of_them: bool) -> None:
        if all_of_them:
            self.street.settle()
        else:
            self.street.end_turn()

    def shut_down(self) -> None:
        self.stopped = True
        self.street.broker.shut_down(self.street.now)
        for peer in self.peers:
            assert not peer.connection.outbox.queued() or peer.connection.outbox.closed is None

    # What was routed, line by line, as the model sees it

    def was_routed(self, session: Any, lines: list[bytes]) -> None:
        sender = self.of[session]
        sender.routed += lines
        here = {peer.name: peer for peer in self.peers if peer.here}
        hearers = {topic: [name for name, peer in here.items() if topic in peer.topics] for topic in TOPICS}
        world = World(set(here), hearers, max_addresses=4)
        patience = self.delivery.direct_patience
        for line in lines:
            for outcome in world.route(sender.name, line):
                if not isinstance(outcome, Sent):
                    sender.errors[b"error " + outcome.code.value + b": " + outcome.detail] += 1
                    self.refused[outcome.code.value] += 1
                    continue
                receiver = here[outcome.receiver]
                spent = receiver.lanes["direct"].since + patience <= self.street.now
                copy = Copy(
                    sender,
                    receiver,
                    outcome,
                    len(receiver.due),
                    may_stay=outcome.topic or not spent,
                    must_return=False,
                )
                copy.must_return = not copy.may_stay
                receiver.due.append(copy)
                receiver.lanes["topic" if outcome.topic else "direct"].fillers.add(session)
                assert (receiver, outcome.line) not in self.copies
                self.copies[receiver, outcome.line] = copy
                self.back[sender, outcome.address, outcome.text] = copy
                self.moving.add(copy)
                self.accepted += 1

    # What must be so after every step

    @invariant()
    def holds(self) -> None:
        if not self.peers:
            return
        self.names_are_held_by_connections()
        self.every_copy_is_in_one_place()
        self.the_ledger_adds_up()
        for peer in self.peers:
            self.what_was_written_was_routed(peer)
            self.answers_are_given(peer)
            self.lanes_are_bounded(peer)
        self.nobody_waits_without_a_reason()

    def names_are_held_by_connections(self) -> None:
        for name, holder in list(self.holders.items()):
            if not holder.connection.gone:
                continue
            del self.holders[name]
            heir = self.heirs.pop(name, None)
            if heir is not None and heir.here:
                self.holders[name] = heir
                heir.answers.append(b"ok login " + name + b"@node1")
        for name, heir in list(self.heirs.items()):
            if heir.connection.session.phase is not Phase.WAITING:
                del self.heirs[name]
        directory = self.street.broker.directory
        here = {peer.name: peer for peer in self.peers if peer.here}
        assert {name: self.holders.get(name) for name in here} == here
        assert directory.who() == sorted(here)
        for topic in TOPICS:
            assert directory.hearers(topic) == sorted(name for name, peer in here.items() if topic in peer.topics)
        assert len(directory.heard()) == len({topic for peer in here.values() for topic in peer.topics})

    def every_copy_is_in_one_place(self) -> None:
        found: dict[Copy, End] = {}
        for peer in self.peers:
            for batch in peer.connection.outbox.batches():
                lines = bytes(batch.data).split(b"\n")[:-1]
                texts = [line for line in lines if line.startswith((b"from ", b"returned "))]
                assert batch.lines == len(texts)
                for line in texts:
                    self.find(found, peer, line, End.QUEUED, End.RETURNING)
        heard = {peer: peer.connection.heard[peer.seen :] for peer in self.peers}
        for peer, lines in heard.items():
            for line in lines:
                if line.startswith((b"from ", b"returned ")):
                    self.find(found, peer, line, End.DELIVERED, End.RETURNED)
        lost = self.moving - found.keys()
        for copy in lost:
            found[copy] = End.DROPPED
        self.losses_have_a_reason(lost)
        for copy, end in found.items():
            assert copy.end not in ENDED, f"{copy.sent} was {copy.end}, and is {end}"
            assert copy.end is not End.RETURNING or end is not End.QUEUED
            if end in (End.QUEUED, End.DELIVERED):
                assert not copy.must_return, f"{copy.sent} was to be given back"
            if copy.reason == b"queue-full":
                patience = self.delivery.direct_patience
                assert not patience or copy.must_return, f"{copy.sent} was given back too early"
            copy.end = end
            if end in ENDED:
                self.moving.discard(copy)
        for peer, lines in heard.items():
            self.order_is_kept(peer, lines)

    def find(self, found: dict[Copy, End], peer: Peer, line: bytes, there: End, back: End) -> None:
        if line.startswith(b"from "):
            copy, end = self.copies[peer, line], there
        else:
            head, _, text = line.removeprefix(b"returned ").partition(b": ")
            address, _, reason = head.rpartition(b" ")
            copy, end = self.back[peer, address, text], back
            assert not copy.sent.topic
            assert copy.reason in (b"", reason)
            copy.reason = reason
        assert copy not in found, f"{copy.sent} is {found[copy]}, and {end}"
        found[copy] = end

    def losses_have_a_reason(self, lost: set[Copy]) -> None:
        now = Counter(self.street.broker.ledger.dropped)
        news, self.dropped = now - self.dropped, now
        topic = {copy for copy in lost if copy.sent.topic}
        of_peers_here = {copy for copy in lost - topic if copy.sender.here}
        assert news.total() == len(lost)
        if self.stopped:
            return
        assert news[DropReason.LAGGED] + news[DropReason.HEARER_GONE] == len(topic)
        assert news[DropReason.SENDER_GONE] + news[DropReason.RETURN_OVERFLOW] == len(lost - topic)
        assert news[DropReason.LAGGED] >= sum(not copy.receiver.connection.gone for copy in topic)
        assert news[DropReason.RETURN_OVERFLOW] >= len(of_peers_here)
        for copy in of_peers_here:
            copy.sender.returns_lost += 1

    def order_is_kept(self, peer: Peer, lines: list[bytes]) -> None:
        peer.seen += len(lines)
        for line in lines:
            if line.startswith(b"from "):
                copy = self.copies[peer, line]
                assert copy.place > peer.last_place, f"{line!r} comes too late"
                if self.delivery.topic_overflow is TopicOverflow.DROP_OLDEST and not self.stopped:
                    lost = Counter(
                        c.sent.address for c in peer.due[: copy.place] if c.sent.topic and c.end is End.DROPPED
                    )
                    assert lost == +Counter({t: n for t, n in peer.told.items() if t != b"/watch"}), f"before {line!r}"
                peer.last_place = copy.place
            elif line.startswith(b"returned "):
                head, _, text = line.removeprefix(b"returned ").partition(b": ")
                address, _, reason = head.rpartition(b" ")
                copy = self.back[peer, address, text]
                key = (copy.receiver, reason)
                assert copy.place > peer.last_returned.get(key, -1), f"{line!r} comes too late"
                peer.last_returned[key] = copy.place
            elif line.startswith(b"error lagged: "):
                what, _, count = line.removeprefix(b"error lagged: ").rpartition(b" ")
                peer.told[what] += int(count)
            elif line.startswith(b"error returns-lost: "):
                peer.returns_told += int(line.removeprefix(b"error returns-lost: "))

    def counts_kept_are_what_walking_finds(self) -> None:
        on_their_way: Counter[Kind] = Counter()
        for peer in self.peers:
            outbox = peer.connection.outbox
            batches = outbox.batches()
            assert outbox.queued() == sum(batch.lines for batch in batches)
            assert outbox.idle == (not outbox.blocked and outbox.empty)
            here = Counter(dict.fromkeys((Kind.DIRECT, Kind.TOPIC, Kind.MIXED), 0))
            for batch in batches:
                if batch.kind in here:
                    here[batch.kind] += batch.lines
            assert Counter(outbox.on_their_way()) == here
            on_their_way += here
        for kind, passage in enumerate(self.street.broker.ledger.passages):
            ended = passage.delivered + passage.given_up + passage.told_apart
            assert passage.accepted + passage.from_mixed == ended + on_their_way[Kind(kind)], Kind(kind)

    def the_ledger_adds_up(self) -> None:
        snapshot = self.street.broker.snapshot()
        assert snapshot.adds_up, str(snapshot)
        assert snapshot.accepted == self.accepted
        assert snapshot.queued == sum(peer.connection.outbox.queued() for peer in self.peers)
        assert snapshot.queued == len(self.moving)
        self.counts_kept_are_what_walking_finds()
        ends = Counter(copy.end for copy in self.copies.values())
        assert snapshot.delivered == ends[End.DELIVERED]
        returned = Counter(copy.reason for copy in self.copies.values() if copy.end is End.RETURNED)
        assert +Counter({r.value: n for r, n in snapshot.returned.items()}) == returned
        refused = Counter({code.value: n for code, n in snapshot.refused.items()})
        del refused[b"slow-consumer"]
        assert refused == self.refused

    def what_was_written_was_routed(self, peer: Peer) -> None:
        assert peer.routed == peer.written[: len(peer.routed)]
        if self.speaks(peer):
            assert peer.routed == peer.written

    def answers_are_given(self, peer: Peer) -> None:
        connection = peer.connection
        queued = [line for b in connection.outbox.batches() for line in bytes(b.data).split(b"\n") if line]
        if connection.outbox.closed is None:
            lines = connection.heard + queued
            errors = tally(lines)
            assert {line: n for line, n in errors.items() if b" slow-consumer:" not in line} == dict(peer.errors)
            assert [line for line in lines if line.startswith((b"ok ", b"pong"))] == peer.answers
        if peer.here and connection.outbox.empty and not self.stopped:
            assert peer.returns_told == peer.returns_lost, (peer.name, peer.returns_told, peer.returns_lost)
            lost = Counter(c.sent.address for c in peer.due if c.sent.topic and c.end is End.DROPPED)
            assert lost == +Counter({t: n for t, n in peer.told.items() if t != b"/watch"})

    # Lanes

    def lanes_are_bounded(self, peer: Peer) -> None:
        outbox = peer.connection.outbox
        waiting = outbox.backlog
        if waiting is None:
            for history in peer.lanes.values():
                history.since = inf
                history.resumed = peer.connection.resumed
                history.fillers = {b.sender for b in outbox.batches()}
            return
        bound = self.delivery.outbox_bytes
        in_lanes: dict[str, list[Batch]] = defaultdict(list)
        for batch in waiting.batches():
            in_lanes["topic" if batch.kind in (Kind.TOPIC, Kind.NOTICE) else "direct"].append(batch)
        patience = {"direct": self.delivery.direct_patience, "topic": self.delivery.topic_patience}
        told = any(isinstance(batch, LossReport) for batch in waiting.batches())
        # A batch larger than a chunk that is on its way counts in its lane, as far as it has not gone.
        everything = outbox.batches()
        part = everything[0] if len(everything) > len(waiting.batches()) else None
        for kind, lane in (("direct", waiting.direct), ("topic", waiting.topic)):
            batches, history = in_lanes[kind], peer.lanes[kind]
            full = lane.full_since is not None
            if not told:
                rest = lane.held - sum(CHARGE + len(batch.data) for batch in batches)
                assert rest == 0 or (part is not None and CHARGE < rest <= CHARGE + len(part.data))
            assert full or not bound or lane.held < bound or told
            took = peer.connection.resumed > history.resumed
            history.resumed = peer.connection.resumed
            if full and took:
                assert lane.held >= self.delivery.low_water
            if full and history.since == inf:
                history.since = self.street.now
            elif not full:
                assert history.since == inf or (took and lane.held < self.delivery.low_water)
                history.since = inf
                history.fillers = set()
            texts = [batch for batch in batches if batch.kind in (Kind.DIRECT, Kind.TOPIC)]
            history.fillers |= {batch.sender for batch in texts}
            if part is not None and (part.kind is Kind.TOPIC) == (kind == "topic"):
                history.fillers.add(part.sender)
            self.gate_is_right(peer, kind, history, patience[kind])
            if not bound:
                continue
            one_read = LINES_OF_A_READ * 2 * (CHARGE + COPY)
            held = sum(CHARGE + len(batch.data) for batch in texts)
            assert held <= bound + one_read * len({batch.sender for batch in texts})
            if kind == "topic" and history.since + patience[kind] <= self.street.now:
                if self.delivery.topic_overflow is TopicOverflow.DROP_OLDEST:
                    assert held <= bound
        back = sum(CHARGE + len(batch.data) for batch in in_lanes["direct"] if batch.kind is Kind.RETURNED)
        assert not bound or back <= RETURNS_FACTOR * bound

    def gate_is_right(self, peer: Peer, kind: str, history: LaneHistory, patience: float) -> None:
        waiting = peer.connection.outbox.backlog
        assert waiting is not None
        lane = waiting.direct if kind == "direct" else waiting.topic
        own = any(
            batch.kind in (Kind.ANSWER, Kind.RETURNED) and not isinstance(batch, LossReport)
            for batch in waiting.batches()
        )
        over = history.since + patience <= self.street.now
        if history.since == inf or over:
            assert not lane.gate.waiting
        else:
            texts = (Kind.DIRECT,) if kind == "direct" else (Kind.TOPIC,)
            present = {batch.sender for batch in waiting.batches() if batch.kind in texts}
            here = {session for session in present if self.of[session].here}
            assert here <= set(lane.gate.waiting) <= history.fillers
        if kind == "direct":
            if history.since == inf:
                assert not waiting.own_gate.waiting
            elif own and peer.here:
                assert set(waiting.own_gate.waiting) == {peer.connection.session}
            assert peer.connection.outbox.owner_waits == bool(waiting.own_gate.waiting)

    def nobody_waits_without_a_reason(self) -> None:
        held: set[bytes] = set()
        for peer in self.peers:
            snapshot = peer.connection.outbox.snapshot(self.street.now)
            assert not snapshot.waiting or peer.connection.outbox.full
            held |= {waiter.name for waiter in snapshot.waiting}
        put_off = bool(self.street.soon)
        for peer in self.peers:
            session = peer.connection.session
            if peer.here and peer.name in held:
                assert not session.wants_input
                assert not peer.connection.reads_input
            elif peer.here and not put_off:
                assert session.wants_input
                assert peer.connection.reads_input

    # The end of the story

    def everybody_reads_and_leaves(self) -> None:
        for peer in self.peers:
            peer.connection.reads()
            self.holds()
        self.street.settle()
        self.holds()
        if not self.stopped:
            for peer in self.peers:
                assert peer.connection.outbox.empty
        for peer in self.peers:
            peer.connection.vanishes()
            self.street.settle()
            self.holds()
        assert not self.moving
        assert not self.holders
        assert self.street.broker.snapshot().queued == 0
        assert all(copy.end in ENDED for copy in self.copies.values())
        assert all(copy.reason in {reason.value for reason in ReturnReason} | {b""} for copy in self.copies.values())


def test_whatever_peers_do_each_copy_ends_once_in_order_and_nobody_waits_without_a_reason() -> None:
    profile = hypothesis_settings()
    run_state_machine_as_test(Node, settings=hypothesis_settings(max_examples=profile.max_examples * 3 // 5))
