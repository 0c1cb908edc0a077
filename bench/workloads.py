"""The table of workloads: who is connected, who hears what, who sends what, and what is measured of it.

In: the sizes of the topic mix, from the command line.  Out: a `Plan` for each row of `WORKLOADS`.
Never: a server's words, and no chance: the same workload is the same plan in every run and for every server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

from bench.across import Carried, SlowAcross
from bench.crowd import IdlePeers, Logins
from bench.measures import LoadedRoundTrips, Measure, RoundTrips, Stream, Tokens
from bench.plan import Addresses, Peer, Plan, peer_name, topic_name
from bench.settings import Mix
from bench.slow import SlowReader

Lines = dict[bytes, tuple[Addresses, ...]]

SIZES = {"8": 8, "32": 32, "128": 128, "512": 512, "1k": 1024, "4k": 4096, "16k": 16384}
"""The texts of a family of workloads that differ in nothing else."""


@dataclass(frozen=True)
class Workload:
    """One row.  `build` gets the mix and how many lines a block has."""

    key: str
    title: str
    measure: Measure
    build: Callable[[Mix, int], Lines] = lambda mix, lines: {}
    peers: Callable[[Mix], tuple[Peer, ...]] = lambda mix: ()
    text_bytes: int = 32
    rounds: int = 5
    family: str = ""
    """What it has in common with other rows, from which it differs in the size of the texts."""
    quick: bool = False
    """Whether it belongs to a first look."""
    nodes: int = 1
    """How many nodes are linked to each other; the plan has peers on the last of them."""

    def plan(self, mix: Mix, block_bytes: int) -> Plan:
        """Who is connected, and one block of about so many bytes for each sender."""
        lines = max(1, block_bytes // (self.text_bytes + 8))
        return Plan(self.peers(mix), self.build(mix, lines), self.text_bytes)


def _names(count: int, start: int = 0) -> tuple[bytes, ...]:
    return tuple(peer_name(number) for number in range(start, start + count))


def _crowd(count: int) -> Callable[[Mix], tuple[Peer, ...]]:
    """So many peers that hear no topic."""
    return lambda mix: tuple(Peer(name) for name in _names(count))


def _one_topic(hearers: int) -> Callable[[Mix], tuple[Peer, ...]]:
    """One peer that hears nothing, and the hearers of one topic."""
    heard = tuple(Peer(name, (topic_name(0),)) for name in _names(hearers, 1))
    return lambda mix: (Peer(peer_name(0)), *heard)


def _beside(count: int) -> Callable[[Mix], tuple[Peer, ...]]:
    """So many peers on one node, and as many on the other."""
    return lambda mix: tuple(Peer(name, node=number // count) for number, name in enumerate(_names(2 * count)))


def _topic_there(hearers: int) -> Callable[[Mix], tuple[Peer, ...]]:
    """One peer that hears nothing, and the hearers of one topic on the other node."""
    heard = tuple(Peer(name, (topic_name(0),), 1) for name in _names(hearers, 1))
    return lambda mix: (Peer(peer_name(0)), *heard)


def _topic_here(hearers: int) -> Callable[[Mix], tuple[Peer, ...]]:
    """The same on one node, and on the other one somebody who hears nothing."""
    return lambda mix: (*_one_topic(hearers)(mix), Peer(peer_name(hearers + 1), node=1))


def _mix_across(mix: Mix) -> tuple[Peer, ...]:
    """The topic mix, with the senders on one node and the hearers on the other."""
    return tuple(replace(peer, node=1 if peer.topics else 0) for peer in _mix_peers(replace(mix, shared=False)))


def _pairs(count: int, both_ways: bool = False) -> Callable[[Mix, int], Lines]:
    """Each peer of the first node sends to one of the other; `both_ways`: every second pair the other way."""

    def build(mix: Mix, lines: int) -> Lines:
        pairs = list(zip(_names(count), _names(count, count), strict=True))
        if both_ways:
            pairs[1::2] = [(there, here) for here, there in pairs[1::2]]
        return {sender: ((receiver,),) * lines for sender, receiver in pairs}

    return build


def _random_names_there(count: int) -> Callable[[Mix, int], Lines]:
    """Each peer sends to random names on the other node."""

    def build(mix: Mix, lines: int) -> Lines:
        chance = Random(count)
        here, there = _names(count), _names(count, count)
        return {
            sender: tuple((chance.choice(others),) for _ in range(lines))
            for senders, others in ((here, there), (there, here))
            for sender in senders
        }

    return build


def _one_sender(address: bytes, sender: int = 0) -> Callable[[Mix, int], Lines]:
    return lambda mix, lines: {peer_name(sender): ((address,),) * lines}


def _random_names(peers: int, names: int = 1) -> Callable[[Mix, int], Lines]:
    """Each peer sends to that many others at a time, at random."""

    def build(mix: Mix, lines: int) -> Lines:
        chance = Random(peers * 10 + names)
        everyone = _names(peers)
        block: Lines = {}
        for sender in everyone:
            others = [name for name in everyone if name != sender]
            block[sender] = tuple(tuple(chance.sample(others, names)) for _ in range(lines))
        return block

    return build


def _mix_hearers(mix: Mix) -> tuple[bytes, ...]:
    return _names(mix.senders, 0 if mix.shared else mix.senders)


def _mix_peers(mix: Mix) -> tuple[Peer, ...]:
    """The senders and, for each topic, hearers at random."""
    chance = Random(mix.topics * 1000 + mix.hearers)
    hears: dict[bytes, list[bytes]] = {name: [] for name in (*_names(mix.senders), *_mix_hearers(mix))}
    for number in range(mix.topics):
        for name in chance.sample(_mix_hearers(mix), mix.hearers):
            hears[name].append(topic_name(number))
    return tuple(Peer(name, tuple(topics)) for name, topics in hears.items())


def _mix_lines(names: float) -> Callable[[Mix, int], Lines]:
    """Senders that pick topics at random, or, with the probability `names`, one of the hearers by name."""

    def build(mix: Mix, lines: int) -> Lines:
        chance = Random(64)
        topics = [topic_name(number) for number in range(mix.topics)]
        block: Lines = {}
        for sender in _names(mix.senders):
            others = [name for name in _mix_hearers(mix) if name != sender]
            block[sender] = tuple((chance.choice(others if chance.random() < names else topics),) for _ in range(lines))
        return block

    return build


def _rows() -> Iterator[Workload]:
    pair, crowd, room = _crowd(2), _crowd(64), _one_sender(topic_name(0))
    one = Workload("one", "1 sender, 1 receiver", Stream(), _one_sender(peer_name(1)), pair, quick=True)
    names = Workload("names", "64 peers, random names", Stream(), _random_names(64), crowd, quick=True)
    yield replace(one, family="one")
    yield Workload("topic10", "1 sender, a topic with 10", Stream(), room, _one_topic(10), quick=True)
    yield Workload("topic100", "1 sender, a topic with 100", Stream(), room, _one_topic(100))
    yield replace(names, family="names")
    yield Workload("mix", "topic mix", Stream(), _mix_lines(0.0), _mix_peers, quick=True)
    yield Workload("half", "half names, half topics", Stream(), _mix_lines(0.5), _mix_peers)
    yield Workload("lists", "64 peers, lists of three names", Stream(), _random_names(64, 3), crowd)
    yield replace(names, key="unbatched", title="64 peers, one line a write", measure=Stream(line_by_line=True))
    yield replace(names, key="single", title="64 peers, each line answered by one", measure=Tokens())
    for row in (one, names):
        for name, size in SIZES.items():
            if size != row.text_bytes:
                yield replace(row, key=row.key + name, text_bytes=size, family=row.key, quick=False, rounds=3)
    yield Workload("trip", "idle", RoundTrips(), _one_sender(peer_name(1)), pair, rounds=11, quick=True)
    for key, rate in (("trip50k", 50_000), ("trip1m", 1_000_000)):
        measure, stream = LoadedRoundTrips(rate), _one_sender(peer_name(3), sender=2)
        yield Workload(
            key, f"beside {rate:,} lines a second", measure, stream, _crowd(4), rounds=7, quick=rate == 50_000
        )
    yield Workload(
        "slow", "1 of 5 hearers never reads", SlowReader(), room, _one_topic(5), text_bytes=512, rounds=3, quick=True
    )
    yield Workload("idle1k", "1,000 idle peers", IdlePeers(1_000), rounds=2)
    yield Workload("idle10k", "10,000 idle peers", IdlePeers(10_000), rounds=2)
    yield Workload("logins", "connect, log in, close", Logins(), quick=True)
    yield from _rows_of_two_nodes()


def _rows_of_two_nodes() -> Iterator[Workload]:
    """Lines that cross from one node to the other, which share a core."""
    room = _one_sender(topic_name(0))
    one = Workload("across", "1 sender, 1 receiver", Stream(), _one_sender(peer_name(1)), _beside(1), nodes=2, rounds=3)
    yield replace(one, quick=True)
    yield replace(
        one, key="across-pairs", title="8 pairs, both ways", build=_pairs(8, both_ways=True), peers=_beside(8)
    )
    yield replace(
        one, key="across-names", title="64 peers, random names", build=_random_names_there(32), peers=_beside(32)
    )
    yield replace(
        one, key="across-topic", title="1 sender, a topic with 10", build=room, peers=_topic_there(10), quick=True
    )
    yield replace(one, key="across-mix", title="topic mix", build=_mix_lines(0.0), peers=_mix_across)
    yield replace(one, key="across1k", text_bytes=1024)
    yield replace(one, key="across-trip", title="idle", measure=RoundTrips(), rounds=5)
    yield replace(
        one,
        key="across-slow",
        title="1 of 5 receivers never reads",
        measure=SlowAcross(),
        build=_pairs(5),
        peers=_beside(5),
        text_bytes=512,
        rounds=3,
    )
    for key, title, peers in (
        ("across-heard", "a topic with 10 there", _topic_there(10)),
        ("across-unheard", "a topic that nobody hears there", _topic_here(10)),
    ):
        yield replace(one, key=key, title=title, measure=Carried(), build=room, peers=peers, rounds=1)


WORKLOADS: dict[str, Workload] = {workload.key: workload for workload in _rows()}
