"""Whichever way a line takes through the router, the result is that of a router that takes each line alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.broker import plans, routing
from nettool.broker.broker import Broker, LoginOutcome
from nettool.errors import ErrorCode
from nettool.settings import DeliverySettings, Live, NodeSettings, PeerSettings, Settings
from nettool.wire.lines import cut
from tests.broker.member import Member
from tests.broker.model import Sent, World

NAMES = [b"a", b"bo", b"ced", "dö".encode(), b"to"]
TOPICS = [b"#t", b"#u/v", b"#w", "#ä".encode()]
UNKNOWN = [b"nobody", b"n" * 64, b"n" * 65, b"a@node2", b"a@", b"@node1", b"a@node1@node1", b"two words", b"#t//", b"#"]
PLAIN = [*NAMES, *TOPICS, b"nobody", b"#unheard"]
MOST = 4

words = st.sampled_from(
    [
        b"x",
        b"hi",
        b"a: hi",
        b"from a: hi",
        b"from a to #t: hi",
        b" ",
        b"",
        b":",
        b": ",
        b"\r",
        b"\x00",
        b"\xff",
        b"#t: ",
        b"/quit",
    ]
)
texts = words | st.integers(0, 400).map(lambda size: b"." * size) | st.lists(words, max_size=4).map(b"".join)
plain = st.tuples(st.sampled_from(PLAIN), texts).map(lambda made: made[0] + b": " + made[1])
lists = st.tuples(
    st.lists(st.sampled_from(NAMES + UNKNOWN[:1]), min_size=1, max_size=5), st.sampled_from([b", ", b", ", b","]), texts
).map(lambda made: made[1].join(made[0]) + b": " + made[2])
odd = st.tuples(
    st.lists(st.sampled_from(PLAIN + UNKNOWN + [b"a@node1", b"bo@node1", b" a", b"bo \t", b""]), max_size=6),
    st.sampled_from([b",", b", ", b" ,", b",,"]),
    st.sampled_from([b":", b": ", b":  ", b" : ", b""]),
    texts,
).map(lambda made: made[1].join(made[0]) + made[2] + made[3])
lines = (
    st.lists(plain, max_size=30)
    | st.lists(
        st.sampled_from(TOPICS + NAMES[:1]).flatmap(lambda a: texts.map(lambda text: a + b": " + text)), max_size=30
    )
    | st.tuples(st.sampled_from(PLAIN), st.lists(texts, min_size=1, max_size=12)).map(
        lambda made: [made[0] + b": " + text for text in made[1]]
    )
    | st.lists(st.sampled_from(NAMES), min_size=1, max_size=20).map(lambda some: [name + b": x" for name in some])
    | st.lists(lists, max_size=12)
    | st.lists(plain | lists | odd, max_size=12)
).map(lambda some: [line for line in some if line and line[:1] != b"/"])
memberships = st.fixed_dictionaries({name: st.sets(st.sampled_from(TOPICS)) for name in NAMES})


class Town:
    """A broker and members whose outboxes keep what they get."""

    def __init__(self, names: list[bytes] = NAMES, **peers: Any) -> None:
        self.live = Live(Settings(NodeSettings(name=b"node1"), PeerSettings(**peers), DeliverySettings(outbox_bytes=0)))
        self.broker = Broker(self.live)
        self.members = {name: Member(name, self.broker, self.live) for name in names}
        for member in self.members.values():
            assert self.broker.log_in(member, 1.0) is LoginOutcome.DONE

    def join(self, name: bytes, *topics: bytes) -> None:
        for topic in topics:
            self.broker.join(self.members[name], topic)

    def send(self, sender: bytes, some: list[bytes]) -> None:
        """Route a read as a session does."""
        member, block = self.members[sender], b"".join(line + b"\n" for line in some)
        _, left = self.broker.routing.route_first(member, block, 2.0)
        cut_lines, at = cut(left), 0
        while at < len(cut_lines):
            end = self.broker.routing.route_lines(member, cut_lines, at, 2.0)
            assert end > at
            at = end

    def world(self) -> World:
        topics = {
            topic: [name for name, member in self.members.items() if topic in (member.topics or ())] for topic in TOPICS
        }
        return World(set(self.broker.directory.names), topics, max_addresses=self.live.peers.max_addresses)

    def got(self, name: bytes) -> list[bytes]:
        """What it got since the last time, as lines."""
        return self.members[name].got()


def expected(world: World, sender: bytes, some: list[bytes]) -> tuple[dict[bytes, list[bytes]], Counter[bytes]]:
    """By name what each receiver hears, and the errors that the sender is told."""
    heard: dict[bytes, list[bytes]] = defaultdict(list)
    errors: Counter[bytes] = Counter()
    for line in some:
        for outcome in world.route(sender, line):
            if isinstance(outcome, Sent):
                heard[outcome.receiver].append(outcome.line)
            else:
                errors[b"error " + outcome.code.value + b": " + outcome.detail] += 1
    return heard, errors


@given(
    reads=st.lists(
        st.tuples(
            st.sampled_from(NAMES), lines, st.none() | st.tuples(st.sampled_from(NAMES), st.sampled_from(TOPICS))
        ),
        max_size=6,
    ),
    heard_by=memberships,
    piece=st.sampled_from([2, 3, 7, 2000]),
    largest=st.sampled_from([1, 2, 2000]),
    few=st.sampled_from([0, 8]),
    one_by_one=st.sampled_from([0, 0, 8]),
    short=st.sampled_from([0, 256]),
)
def test_all_ways_give_what_a_router_gives_that_takes_each_line_alone(
    reads: list[tuple[bytes, list[bytes], tuple[bytes, bytes] | None]],
    heard_by: dict[bytes, set[bytes]],
    piece: int,
    largest: int,
    few: int,
    one_by_one: int,
    short: int,
) -> None:
    town = Town(max_addresses=MOST)
    for name, topics in heard_by.items():
        town.join(name, *sorted(topics))
    refused: Counter[ErrorCode] = Counter()
    accepted = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routing, "PIECE", piece)
        patch.setattr(routing, "LARGEST", largest, raising=False)
        patch.setattr(plans, "LARGEST", largest, raising=False)
        patch.setattr(routing, "FEW", few, raising=False)
        patch.setattr(routing, "ONE_BY_ONE", one_by_one)
        patch.setattr(routing, "SHORT", short)
        for sender, some, change in reads:
            heard, errors = expected(town.world(), sender, some)
            town.send(sender, some)
            for name in NAMES:
                got = town.got(name)
                assert [line for line in got if not line.startswith(b"error ")] == heard[name]
                assert Counter(line for line in got if line.startswith(b"error ")) == (errors if name == sender else {})
            accepted += sum(map(len, heard.values()))
            for line, amount in errors.items():
                refused[ErrorCode(line.split()[1][:-1])] += amount
            snapshot = town.broker.snapshot()
            assert snapshot.adds_up
            assert (snapshot.accepted, snapshot.delivered) == (accepted, accepted)
            assert Counter(snapshot.refused) == refused
            if change is not None:
                name, topic = change
                member = town.members[name]
                (town.broker.leave if topic in (member.topics or ()) else town.broker.join)(member, topic)


def both_ways(town: Town, sender: bytes, some: list[bytes]) -> None:
    """Route these and hold the result against the model's."""
    heard, errors = expected(town.world(), sender, some)
    town.send(sender, some)
    for name in town.broker.directory.names:
        got = town.got(name)
        assert [line for line in got if not line.startswith(b"error ")] == heard[name]
        assert Counter(line for line in got if line.startswith(b"error ")) == (errors if name == sender else {})


@pytest.mark.parametrize("size", [1, 150, 199, 200, 201, 5000])
@pytest.mark.parametrize("last", [b"bo: end", b"ced: end", b"bo:end", b"bad"])
def test_a_read_to_one_address_looks_at_every_line_of_it(size: int, last: bytes) -> None:
    town = Town()
    for middle in ([b"bo: y"], [b"ced: y"], [b"bo: y", b"bo : y"], [b"bo:y"], [b"#t: y"]):
        both_ways(town, b"a", [b"bo: " + b"." * size, *middle, b"bo: z", last])


@pytest.mark.parametrize("size", [28_980, 28_995, 29_000, 29_005, 30_000, 65_000])
def test_long_lines_behind_short_ones_are_routed(size: int) -> None:
    town = Town()
    both_ways(town, b"a", [b"bo: short", b"bo: " + b"." * size, *[b"bo: short"] * 3000, b"bo: " + b"." * size])


def test_a_single_line_to_one_address_goes_its_own_way() -> None:
    town = Town()
    town.join(b"ced", b"#t")
    for line in (b"bo: hi", b"#t: hi", b"#unheard: hi", b"nobody: hi", b"#t//: hi", b"bo:hi", b"hi", b"a: me"):
        both_ways(town, b"a", [line])


def test_a_sender_does_not_hear_itself_when_it_sends_after_one_who_hears_nothing() -> None:
    town = Town()
    town.join(b"ced", b"#t", b"#w")
    town.join(b"bo", b"#t")
    mixed = [b"#t: 1", b"ced: 2", b"#w: 3", b"bo: 4"]
    for sender in (b"a", b"ced", b"a", b"bo", b"ced", b"a"):
        both_ways(town, sender, mixed)


@pytest.mark.parametrize("amount", [2, 30])
def test_a_plan_is_not_used_any_more_when_a_topic_or_a_name_of_it_has_changed(amount: int) -> None:
    town = Town()
    town.join(b"bo", b"#t")
    town.join(b"ced", b"#w")
    mixed = [b"#t: 1", b"bo: 2", b"#w: 3", b"ced: 4"] * amount
    both_ways(town, b"a", mixed)
    town.join(b"ced", b"#t")
    both_ways(town, b"a", mixed)
    town.broker.leave(town.members[b"bo"], b"#t")
    both_ways(town, b"a", mixed)
    town.join(b"a", b"#t")
    both_ways(town, b"a", mixed)
    town.broker.leave(town.members[b"a"], b"#t")
    both_ways(town, b"a", mixed)
    town.broker.peer_leaves(town.members[b"ced"], 2.0)
    both_ways(town, b"a", mixed)
    town.broker.peer_leaves(town.members[b"a"], 2.0)


def test_more_addresses_than_a_plan_may_have_are_routed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "LARGEST", 3, raising=False)
    town = Town()
    town.join(b"bo", *TOPICS)
    both_ways(town, b"a", [topic + b": 1" for topic in TOPICS * 3] + [b"bo: 2"])


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[plans.Plan]:
    """The plans that are made."""
    made: list[plans.Plan] = []

    class Counted(plans.Plan):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(routing, "Plan", Counted)
    return made


@pytest.mark.parametrize("between", [[], [b"nobody: x"]])
def test_a_read_to_thousands_of_topics_makes_a_few_plans_and_not_one_for_each(
    made: list[plans.Plan], between: list[bytes]
) -> None:
    town = Town()
    town.join(b"bo", b"#0", b"#7999")
    town.send(b"a", [line for number in range(8000) for line in (b"#%d: x" % number, *between)])
    assert town.got(b"bo") == [b"from a to #0: x", b"from a to #7999: x"]
    assert len(made) <= 2 + 8000 // plans.LARGEST


def test_plans_of_senders_own_are_given_up_when_they_have_become_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "OWN_PLANS", 5)
    town = Town()
    for name in (b"a", b"bo", b"ced"):
        town.join(name, b"#t", b"#w")
    for name in (b"a", b"bo", b"ced") * 2:
        both_ways(town, name, [b"#t: 1", b"#w: 2", b"bo: 3"])


def test_plans_of_senders_own_are_bounded_by_what_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "OWN_PLANS", 80)
    town = Town()
    for name in (b"a", b"bo", b"ced"):
        town.join(name, b"#t", b"#w")
    for name in (b"a", b"bo", b"ced") * 2:
        both_ways(town, name, [b"#t: 1", b"#w: 2", b"bo: 3"])
        own = town.broker.routing._own
        assert 0 < sum(plan.size for plan in own.values()) <= 80
    assert len(own) == 2, "a plan for three addresses, two classes and their references is 12 + 12 and some"


def test_a_topic_that_nobody_hears_makes_no_plan_anew(made: list[plans.Plan]) -> None:
    town = Town()
    town.join(b"bo", b"#t", b"#w")
    many = [b"#t: 1", b"#w: 2"] * 8
    both_ways(town, b"a", many)
    [plan] = made
    for number in range(100):
        # The first new one is routed alone, so there are two.
        both_ways(town, b"a", [*many, b"#one%d: 2" % number, b"#new%d: 2" % number, *many])
    assert made == [plan] and len(plan.addresses) == 102
    town.join(b"bo", b"#new5")
    assert plan.stale
    town.send(b"a", [*many, b"#new5: 2", *many])
    assert town.got(b"bo")[len(many)] == b"from a to #new5: 2"


def test_a_large_plan_is_not_made_anew_for_the_sake_of_a_line(
    made: list[plans.Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "CARRIED", 60)
    monkeypatch.setattr(routing, "CARRIED_FOR_A_LINE", 1)
    town = Town()
    topics = [b"#%d" % number for number in range(100)]
    town.join(b"bo", *topics)

    def addresses(*lines_to: bytes) -> set[bytes]:
        read = [topic + b": x" for topic in lines_to]
        town.send(b"a", read)
        assert town.got(b"bo") == [b"from a to " + line for line in read]
        return made[-1].addresses

    assert addresses(*topics[:20]) == set(topics[:20])
    # Of those that are new the first is routed alone.
    assert addresses(*topics[9:24]) == {*topics[:20], *topics[21:24]}, "a small one is taken over"
    assert len(addresses(*topics[:60])) > 55
    assert addresses(*topics[60:64] * 4) == set(topics[60:64]), "a large one is not, for a few lines"


def test_a_sender_whose_lines_were_lists_may_send_single_names_again() -> None:
    town = Town()
    lists = [b"bo, ced: x", b"ced, bo: y"]
    for some in [lists] * 3 + [[b"bo: 1", b"ced: 2"]] * 20 + [lists]:
        both_ways(town, b"a", some)


def test_no_limit_on_addresses_is_none_at_all() -> None:
    town = Town(max_addresses=0)
    both_ways(town, b"a", [b", ".join(NAMES * 200) + b": hi", b", ".join(NAMES) + b": ho"])


def test_a_command_and_an_empty_line_end_the_routing() -> None:
    town = Town()
    member = town.members[b"a"]
    for stop in (b"/ping\n", b"\n"):
        some = [b"bo: 1\n", b"#t: 2\n", stop, b"bo: 3\n"]
        assert town.broker.routing.route_lines(member, some, 0, 2.0) == 2
        assert town.broker.routing.route_lines(member, some, 2, 2.0) == 2
        assert town.broker.routing.route_lines(member, some, 3, 2.0) == 4
        assert town.got(b"bo") == [b"from a: 1", b"from a: 3"]


def test_routing_stops_in_the_middle_when_the_senders_own_answers_fill_its_outbox() -> None:
    town = Town()
    town.live.replace(Settings(delivery=DeliverySettings(outbox_bytes=700)))
    member = town.members[b"a"]
    member.outbox.block()
    some = [b"bad one\n"] * 500
    end = town.broker.routing.route_lines(member, some, 0, 2.0)
    assert 0 < end < len(some)
    assert member.outbox.owner_waits
    assert town.broker.ledger.refused == {ErrorCode.BAD_LINE: end}


def test_lines_of_several_topics_are_counted_by_topic_where_the_hearer_is_blocked() -> None:
    town = Town()
    town.join(b"bo", b"#t", b"#w")
    town.join(b"ced", b"#t", b"#w")
    town.members[b"ced"].outbox.unblock()
    town.members[b"ced"].outbox.pump = town.members[b"ced"]
    town.send(b"a", [b"#t: 1", b"#w: 2", b"#t: 3"])
    (batch,) = town.members[b"bo"].outbox.batches()
    assert batch.by_topic() == {b"#t": 2, b"#w": 1}


@pytest.mark.parametrize("address", [b"bo", b"#t"])
@pytest.mark.parametrize("size", [1, 100, 1000])
def test_another_address_is_found_wherever_it_stands(address: bytes, size: int) -> None:
    town = Town()
    town.join(b"ced", b"#t")
    text = b"." * size
    for place in (1, 2, 28, 29, 30, 286, 287, 288, 400):
        some = [address + b": " + text] * 600
        some[place] = b"dx: " + text
        both_ways(town, b"a", some)


def test_blocks_of_many_sizes_to_one_address_are_routed_whole() -> None:
    town = Town()
    for amount in (2, 1000, 2000, 5000):
        for size in (0, 10, 50, 63, 64):
            both_ways(town, b"a", [b"bo: " + b"." * size] * amount)


def test_plans_that_are_forgotten_are_made_again() -> None:
    town = Town()
    town.join(b"ced", b"#t")
    mixed = [b"#t: 1", b"bo: 2", b"#w: 3", b"ced: 4"]
    town.broker.routing.start_afresh()
    for sender in (b"a", b"ced", b"a"):
        both_ways(town, sender, mixed)
        town.broker.routing.start_afresh()
        both_ways(town, sender, mixed)


def test_lines_to_topics_and_names_are_counted_once_for_all_hearers_that_are_blocked() -> None:
    town = Town()
    town.join(b"bo", b"#t", b"#w")
    town.join(b"ced", b"#t", b"#w", b"#u/v")
    town.send(b"a", [b"#t: 1", b"#w: 2", b"#u/v: 3", b"#t: 4", b"#unheard: 5"] * 3)
    (first,) = town.members[b"bo"].outbox.batches()
    (second,) = town.members[b"ced"].outbox.batches()
    assert first.by_topic() == {b"#t": 6, b"#w": 3}
    assert second.by_topic() == {b"#t": 6, b"#w": 3, b"#u/v": 3}


@pytest.mark.parametrize("odd", [b"ced: hi", b"bad", b"bo:hi"])
def test_a_line_to_another_address_is_seen_wherever_it_stands_in_a_long_read(odd: bytes) -> None:
    town = Town()
    line = b"bo: 0123456789"
    for before in range(29_000 // (len(line) + 1) - 1, 29_000 // (len(line) + 1) + 2):
        both_ways(town, b"a", [*[line] * before, odd, *[line] * 100])


def test_a_plan_serves_reads_that_use_only_a_part_of_it() -> None:
    town = Town()
    town.join(b"bo", b"#t")
    town.join(b"ced", b"#w")
    both_ways(town, b"a", [b"#t: 1", b"#w: 2", b"bo: 3"] * 10)
    both_ways(town, b"a", [b"#t: 4", b"bo: 5"] * 10)


def test_two_spellings_of_one_name_in_a_list_reach_it_once() -> None:
    town = Town()
    both_ways(town, b"a", [b"bo, bo@node1, ced: once", b"bo@node1, bo: once"])


@pytest.mark.parametrize("size", [10, 300, 3000])
@pytest.mark.parametrize("odd", [b"bo: ", b"ced: ", b"a line without an address "])
def test_texts_of_every_length_go_by_the_same_rules(size: int, odd: bytes) -> None:
    town = Town()
    texts = [b"%d " % number + b"." * size for number in range(40)]
    lines = [b"bo: " + text for text in texts]
    lines[20] = odd + texts[20]
    town.send(b"a", lines)
    heard = [b"from a: " + text for text in texts]
    if not odd.startswith(b"bo"):
        del heard[20]
    assert town.got(b"bo") == heard
    assert town.got(b"ced") == ([b"from a: " + texts[20]] if odd.startswith(b"ced") else [])


def test_few_lines_are_routed_one_by_one_up_to_the_first_that_is_odd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "ONE_BY_ONE", 3)
    town = Town()
    town.join(b"ced", b"#t")
    member = town.members[b"a"]
    lines = [b"bo: 1\n", b"#t: 2\n", b"bo, ced: 3\n"]
    assert town.broker.routing.route_lines(member, lines, 0, 1.0) == 2
    assert town.broker.routing.route_lines(member, lines, 2, 1.0) == 3
    assert town.got(b"bo") == [b"from a: 1", b"from a: 3"]
    assert town.got(b"ced") == [b"from a to #t: 2", b"from a: 3"]


FIRST = [
    # what was read, how many of its lines are routed at once
    ([b"bo: 1"], 1),
    ([b"bo: 1", b"ced: 2", b"bo: 3", b"a: 4"], 4),
    ([b"bo: "], 1),
    ([b"bo:  1: 2"], 1),
    ([b"bo: 1", b"#t: 2", b"bo: 3"], 1),
    ([b"bo: 1", b"", b"bo: 3"], 1),
    ([b"bo: 1", b"bo", b"bo: 3"], 1),
    ([b"bo: 1", b"bo:2", b"bo: 3"], 1),
    ([b"bo: 1", b"bo, ced: 2"], 1),
    ([b"bo: 1", b"/ping"], 1),
    ([b"bo: 1", b"nobody: 2"], 1),
    ([b"#t: 1", b"#t: 2"], 2),
    ([b"bo@node1: 1"], 0),
    ([b"bo"], 0),
    ([b""], 0),
    ([b"/quit"], 0),
]


@pytest.mark.parametrize(("said", "routed"), FIRST)
def test_a_short_read_is_routed_up_to_the_first_line_that_is_not_to_one_name(
    said: list[bytes], routed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "SHORT", 256)
    town = Town()
    town.join(b"bo", b"#t")
    left = [line + b"\n" for line in said[routed:]]
    block = b"".join(line + b"\n" for line in said)
    assert town.broker.routing.route_first(town.members[b"a"], block, 1.0) == (routed, b"".join(left))
    heard, _ = expected(town.world(), b"a", said[:routed])
    for name in NAMES:
        assert town.got(name) == heard[name]
    assert town.broker.ledger.accepted == routed


def test_a_read_that_is_not_short_goes_the_ways_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "SHORT", 17)
    town = Town()
    assert town.broker.routing.route_first(town.members[b"a"], b"bo: 12\nced: 4567\n", 1.0) == (2, b"")
    assert town.broker.routing.route_first(town.members[b"a"], b"bo: 12\nced: 45678\n", 1.0) == (
        0,
        b"bo: 12\nced: 45678\n",
    )


@pytest.fixture(autouse=True)
def _the_ways_of_many_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests here are of few lines, and of the ways that many go."""
    monkeypatch.setattr(routing, "ONE_BY_ONE", 0)
    monkeypatch.setattr(routing, "SHORT", 0)
