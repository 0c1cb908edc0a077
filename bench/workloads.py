"""The table of workloads: who is connected, who hears what, who sends what.

In: the sizes of the topic mix, from the command line.  Out: a `Plan` for each row of `WORKLOADS`.
Never: a server's words, and no chance: the same workload is the same plan in every run and for every server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

from bench.plan import Addresses, Peer, Plan, peer_name, topic_name

Lines = dict[bytes, tuple[Addresses, ...]]
Kind = Literal["stream", "tokens", "round trip"]

BLOCK_BYTES = 256 * 1024
"""About how much a sender sends before its lines repeat: 64 senders' blocks are 16 MiB."""


@dataclass(frozen=True)
class Mix:
    """The sizes of the topic mix; `shared` makes the senders hear too, instead of separate connections."""

    senders: int = 64
    topics: int = 32
    hearers: int = 10
    shared: bool = False

    def __str__(self) -> str:
        where = "among the senders" if self.shared else "on connections of their own"
        return f"{self.senders} senders, {self.topics} topics, {self.hearers} hearers each, {where}"


@dataclass(frozen=True)
class Workload:
    """One row.  `build` gets the mix and how many lines a block has.

    stream: every sender sends as fast as the server takes it.  tokens: a peer that gets a line sends its next one,
    each in a write of its own.  round trip: one line there and one back, then the next.
    """

    key: str
    title: str
    build: Callable[[Mix, int], Lines]
    peers: Callable[[Mix], tuple[Peer, ...]]
    kind: Kind = "stream"
    text_bytes: int = 32
    rounds: int = 5

    def plan(self, mix: Mix) -> Plan:
        """Who is connected, and one block of lines for each sender."""
        lines = BLOCK_BYTES // (self.text_bytes + 8)
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


def _one_sender(address: bytes) -> Callable[[Mix, int], Lines]:
    return lambda mix, lines: {peer_name(0): ((address,),) * lines}


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


WORKLOADS: dict[str, Workload] = {
    workload.key: workload
    for workload in (
        Workload("one", "1 sender, 1 receiver", _one_sender(peer_name(1)), _crowd(2)),
        Workload("topic10", "1 sender, a topic with 10", _one_sender(topic_name(0)), _one_topic(10)),
        Workload("topic100", "1 sender, a topic with 100", _one_sender(topic_name(0)), _one_topic(100)),
        Workload("names", "64 peers, random names", _random_names(64), _crowd(64)),
        Workload("mix", "topic mix", _mix_lines(0.0), _mix_peers),
        Workload("half", "half names, half topics", _mix_lines(0.5), _mix_peers),
        Workload("one1k", "1 sender, 1 receiver", _one_sender(peer_name(1)), _crowd(2), text_bytes=1024),
        Workload("names1k", "64 peers, random names", _random_names(64), _crowd(64), text_bytes=1024),
        Workload("single", "64 peers, one line a write", _random_names(64), _crowd(64), kind="tokens"),
        Workload("lists", "64 peers, lists of three names", _random_names(64, 3), _crowd(64)),
        Workload("trip", "round trip", _one_sender(peer_name(1)), _crowd(2), kind="round trip", rounds=11),
    )
}
