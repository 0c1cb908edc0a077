"""The way to one other node, by itself: whatever happens to it, every batch ends once, in order, in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nettool.broker.ledger import Ledger
from nettool.cluster import frames
from nettool.cluster.frames import BadFrame
from nettool.cluster.frames import Kind as Word
from nettool.cluster.phases import Mode, PhaseName
from nettool.cluster.queue import LinkQueue
from nettool.cluster.sending import LOST_AFTER, mode_of
from nettool.errors import DropReason, ReturnReason
from nettool.outbox.batch import Batch, Kind
from nettool.outbox.gates import Waits
from nettool.settings import CHUNK, DeliverySettings, Live, PeerSettings, Settings

BOUND = 2048


class Sender:
    def __init__(self, name: bytes) -> None:
        self.name = name
        self.gates: set[Any] = set()

    def wait_for(self, gate: Any, now: float) -> None:
        self.gates.add(gate)

    def go_on_after(self, gate: Any) -> None:
        self.gates.discard(gate)


class Home:
    """Where what cannot be sent goes: it is counted as given back."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.waits = Waits()
        self.returned: list[tuple[bytes, ReturnReason]] = []

    def give_back(self, batch: Any, reason: ReturnReason, now: float) -> None:
        self.ledger.give_back(batch.lines, reason, len(batch.data))
        self.ledger.direct.given_up += batch.lines
        self.returned += [(line, reason) for line in bytes(batch.data).split(b"\n")[:-1]]


class Scene:
    """A queue, and the node at its other end."""

    def __init__(self) -> None:
        self.now = 100.0
        self.live = live = Live(
            Settings(
                peers=PeerSettings(max_line=128),
                delivery=DeliverySettings(outbox_bytes=BOUND, direct_patience=5.0, topic_patience=0.1),
            )
        )
        self.home = Home()
        self.queue = LinkQueue(Sender(b""), live, self.home, lambda: self.now)
        self.senders = [Sender(b"alice"), Sender(b"carol")]
        for number, sender in enumerate(self.senders, 1):
            self.queue.logins[sender] = number  # type: ignore[index]
        self.count = 0
        self.down_since = self.now
        self.linked = False
        self.wire: list[bytes] = []
        """Frames that are on their way."""
        self.taken = 0
        self.arrived: list[tuple[bytes, int]] = []

    # What the node here does

    def put(self, kind: Kind, sender: Sender, lines: int, size: int) -> None:
        texts = []
        for _ in range(lines):
            self.count += 1
            texts.append(b"%d " % self.count + b"x" * size)
        address = b"#t" if kind is Kind.TOPIC else b"bob"
        head = b"from " + sender.name + (b" to #t: " if kind is Kind.TOPIC else b": ")
        data = b"".join(head + text + b"\n" for text in texts)
        self.home.ledger.passages[kind].accepted += lines
        self.queue.put(Batch(kind, sender, address, data, lines, self.now))

    def link(self, same: bool) -> None:
        if same:
            self.queue.resume(self.taken)
        else:
            self.taken = 0
            self.queue.start_afresh()
        self.linked = True
        self.queue.wake = lambda: None
        self.queue.blocked = False

    def cut(self) -> None:
        self.linked = False
        self.down_since = self.now
        self.wire.clear()
        self.queue.cut()

    def take(self, limit: int) -> None:
        if self.linked and not self.queue.blocked:
            self.wire += self.queue.take(limit)
            self.queue.made_room(self.now)

    # What the node there does

    def arrive(self, how_many: int) -> None:
        for frame in self.wire[:how_many]:
            if frame[0] == Word.LAGGED:
                number, _ = frames.parse_counts(frame)
            else:
                several = frame[0] == Word.NAMES
                for lines in frames.parse_names(frame) if several else [frames.parse_lines(frame)]:
                    number = lines.number
                    self.arrived += [(lines.sender, int(text.split()[0])) for text in lines.data.split(b"\n")[:-1]]
            assert number == self.taken + 1
            self.taken = number
        del self.wire[:how_many]

    def adds_up(self) -> None:
        for kind, lines in self.queue.on_their_way().items():
            passage = self.home.ledger.passages[kind]
            assert passage.accepted == passage.delivered + passage.given_up + lines
        snapshot = self.home.ledger.snapshot(self.queue.queued())
        assert snapshot.adds_up, snapshot
        for mode in Mode:
            waiting = sum(batch.lines for batch in self.queue.batches() if mode_of(batch) is mode)
            assert self.queue.phases.of(mode, PhaseName.OUTGOING_BUFFER).in_flight == waiting
            sent = sum(sent.lines for sent in self.queue.sent if sent.mode is mode)
            assert self.queue.phases.of(mode, PhaseName.OUTGOING_TRANSFER).in_flight == sent


class Machine(RuleBasedStateMachine):
    """Everything that can happen to a queue, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene()

    @rule(
        kind=st.sampled_from((Kind.DIRECT, Kind.TOPIC)),
        sender=st.integers(0, 1),
        lines=st.integers(1, 5),
        size=st.integers(0, 900),
    )
    def put(self, kind: Kind, sender: int, lines: int, size: int) -> None:
        self.scene.put(kind, self.scene.senders[sender], lines, size)

    @precondition(lambda self: not self.scene.linked)
    @rule(same=st.booleans())
    def link(self, same: bool) -> None:
        self.scene.link(same)

    @precondition(lambda self: self.scene.linked)
    @rule()
    def cut(self) -> None:
        self.scene.cut()

    @rule(limit=st.integers(1, 5000))
    def take(self, limit: int) -> None:
        self.scene.take(limit)

    @rule(how_many=st.integers(1, 10))
    def arrive(self, how_many: int) -> None:
        self.scene.arrive(how_many)

    @precondition(lambda self: self.scene.linked)
    @rule()
    def confirm(self) -> None:
        self.scene.queue.confirm(self.scene.taken)

    @precondition(lambda self: self.scene.linked)
    @rule(on=st.booleans())
    def block(self, on: bool) -> None:
        if on:
            self.scene.queue.block()
        else:
            self.scene.queue.blocked = False

    @rule(seconds=st.sampled_from((0.01, 0.2, 6.0, 31.0, LOST_AFTER)))
    def wait(self, seconds: float) -> None:
        scene = self.scene
        scene.now += seconds
        if scene.linked:
            if scene.queue.backlog is not None:
                scene.queue.backlog.tick(scene.now)
        else:
            scene.queue.expire(scene.now, scene.down_since, 30.0)

    @invariant()
    def it_adds_up(self) -> None:
        self.scene.adds_up()

    @invariant()
    def order_is_kept_and_nothing_comes_twice(self) -> None:
        for sender in self.scene.senders:
            places = [place for name, place in self.scene.arrived if name == sender.name]
            assert places == sorted(set(places))

    @invariant()
    def what_came_back_did_not_arrive(self) -> None:
        back = {int(line.split(b": ")[1].split()[0]) for line, _ in self.scene.home.returned}
        assert not back & {place for _, place in self.scene.arrived}

    @invariant()
    def nobody_waits_without_a_link(self) -> None:
        if not self.scene.linked:
            assert not any(sender.gates for sender in self.scene.senders)
            assert self.scene.queue.held_bytes <= 2 * 8 * BOUND + 5 * 1200

    def teardown(self) -> None:
        scene = self.scene
        scene.queue.give_up(ReturnReason.SHUTDOWN, DropReason.SHUTDOWN)
        scene.adds_up()
        assert scene.queue.quiet and not any(sender.gates for sender in scene.senders)


TestMachine = Machine.TestCase
TestMachine.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)


# --- tables --------------------------------------------------------------------------------------


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.adds_up()


def test_frames_are_numbered_from_one_and_kept_until_they_are_confirmed(scene: Scene) -> None:
    scene.link(same=False)
    for _ in range(3):
        scene.put(Kind.DIRECT, scene.senders[0], 1, 5)
        scene.take(10_000)
    assert [sent.number for sent in scene.queue.sent] == [1, 2, 3]
    scene.queue.confirm(2)
    assert [sent.number for sent in scene.queue.sent] == [3]
    assert scene.home.ledger.forwarded == 2


def test_what_one_sender_has_for_several_names_is_one_frame_and_anybody_elses_is_another(scene: Scene) -> None:
    scene.link(same=False)
    one, other = scene.senders[:2]
    for sender in (one, one, other, one):
        scene.put(Kind.DIRECT, sender, 2, 5)
    scene.put(Kind.TOPIC, one, 1, 5)
    scene.take(10_000)
    assert [frame[0] for frame in scene.wire] == [Word.NAMES, Word.DIRECT, Word.DIRECT, Word.TOPIC]
    assert [len(sent.parts) for sent in scene.queue.sent] == [2, 1, 1, 0]
    assert [sent.lines for sent in scene.queue.sent] == [4, 2, 2, 1]
    assert scene.queue.of_name(b"bob")[0] == 8
    scene.arrive(4)
    assert scene.taken == 4 and len(scene.arrived) == 9


def test_a_frame_for_several_names_is_no_longer_than_a_chunk(scene: Scene) -> None:
    scene.link(same=False)
    for _ in range(5):
        scene.put(Kind.DIRECT, scene.senders[0], 1, CHUNK // 2 - 100)
    scene.take(10 * CHUNK)
    assert [len(sent.parts) for sent in scene.queue.sent] == [2, 2, 1]
    assert all(len(sent.frame) <= CHUNK + 100 for sent in scene.queue.sent)


@pytest.mark.parametrize("number", [4, 99])
def test_what_was_not_sent_cannot_be_confirmed(scene: Scene, number: int) -> None:
    scene.link(same=False)
    for _ in range(3):
        scene.put(Kind.DIRECT, scene.senders[0], 1, 5)
    scene.take(10_000)
    with pytest.raises(BadFrame):
        scene.queue.confirm(number)


def test_so_much_is_sent_without_a_word_and_no_more(scene: Scene) -> None:
    scene.link(same=False)
    for _ in range(20):
        scene.put(Kind.DIRECT, scene.senders[0], 1, 900)
        scene.take(10_000)
    assert scene.queue.sent_bytes <= scene.queue.bounds.unconfirmed + 1000
    sent = len(scene.queue.sent)
    scene.queue.confirm(1)
    scene.take(10_000)
    assert len(scene.queue.sent) >= sent


def test_an_episode_ends_when_confirmations_let_enough_go_though_the_transport_never_was_full(scene: Scene) -> None:
    scene.link(same=False)
    alice, carol = scene.senders
    settings = scene.live.settings
    scene.live.replace(replace(settings, delivery=replace(settings.delivery, outbox_bytes=CHUNK // 2)))
    while not alice.gates:
        scene.put(Kind.DIRECT, alice, 1, 50_000)
        scene.queue.take(CHUNK)
    backlog = scene.queue.backlog
    assert backlog is not None and backlog.direct.full_since is not None and alice.gates
    while backlog.direct.held >= scene.queue.bounds.delivery.low_water:
        for _ in range(10):
            scene.put(Kind.TOPIC, carol, 1, 50_000)
        scene.queue.confirm(scene.queue.sent[-1].number)
        scene.queue.take(CHUNK)
    assert scene.queue.backlog is backlog and backlog.topic.held
    assert backlog.direct.full_since is None and not alice.gates
    scene.put(Kind.DIRECT, alice, 1, 5)
    assert not scene.home.returned


def test_a_bound_that_becomes_smaller_keeps_the_order(scene: Scene) -> None:
    scene.link(same=False)
    alice = scene.senders[0]
    scene.put(Kind.DIRECT, alice, 3, 900)
    scene.take(10_000)
    scene.put(Kind.DIRECT, alice, 1, 5)
    settings = scene.live.settings
    scene.live.replace(replace(settings, delivery=replace(settings.delivery, outbox_bytes=256)))
    scene.put(Kind.DIRECT, alice, 1, 5)
    while scene.queue.queued():
        scene.take(10_000)
        scene.arrive(len(scene.wire))
        scene.queue.confirm(scene.taken)
    assert [number for _, number in scene.arrived] == [1, 2, 3, 4, 5]


def test_however_many_topics_lost_lines_no_frame_that_tells_it_is_long(scene: Scene) -> None:
    alice = scene.senders[0]
    topics = [b"#%04d" % n + b"x" * 250 for n in range(2000)]
    for topic in topics:
        line = b"from alice to " + topic + b": " + b"y" * 900 + b"\n"
        scene.home.ledger.topic.accepted += 1
        scene.queue.put(Batch(Kind.TOPIC, alice, topic, line, 1, scene.now))  # type: ignore[arg-type]
    scene.link(same=True)
    scene.take(CHUNK)
    frames_of_it = [frame for frame in scene.wire if frame[0] == Word.LAGGED]
    assert max(map(len, frames_of_it)) < 2 * frames.LIST_BYTES
    told = [frames.parse_counts(frame)[1] for frame in frames_of_it]
    assert sum(map(len, told)) == len({topic for counts in told for topic in counts})
    assert sum(sum(counts.values()) for counts in told) == scene.home.ledger.dropped[DropReason.LAGGED] > 1900
    scene.arrive(len(scene.wire))
    scene.queue.confirm(scene.taken)
    assert scene.taken == len(frames_of_it)


def test_what_comes_after_the_end_goes_back_at_once(scene: Scene) -> None:
    scene.queue.give_up(ReturnReason.NODE_UNREACHABLE, DropReason.LINK_LOST)
    scene.put(Kind.DIRECT, scene.senders[0], 1, 5)
    scene.put(Kind.TOPIC, scene.senders[0], 2, 5)
    assert scene.home.ledger.returned == {ReturnReason.NODE_UNREACHABLE: 1}
    assert scene.home.ledger.dropped == {DropReason.LINK_LOST: 2}
