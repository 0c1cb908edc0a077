"""Order: what one sender sent reaches each receiver in that order, whichever names and topics it was sent to."""

import random
from collections import defaultdict
from collections.abc import Iterable

import pytest

from tests.real.conftest import Start
from tests.real.node import RealPeer, Street, in_background

Members = dict[str, set[bytes]]
"""Who is here, with the topics each of them hears."""


def heard_by_each(sender: str, lines: Iterable[tuple[list[bytes], bytes]], members: Members) -> dict[str, bytes]:
    """What the rules say each member gets: addresses in their order, a name once, nobody hears itself."""
    streams: dict[str, bytearray] = defaultdict(bytearray)
    hearers = {
        topic: [name for name, topics in members.items() if topic in topics and name != sender]
        for topic in set[bytes]().union(*members.values())
    }
    start = f"from {sender}".encode()
    for addresses, text in lines:
        named: set[str] = set()
        for address in addresses:
            if address.startswith(b"#"):
                for name in hearers.get(address, ()):
                    streams[name] += start + b" to " + address + b": " + text + b"\n"
            else:
                name = address.decode().removesuffix("@node1")
                if name in members and name not in named:
                    named.add(name)
                    streams[name] += start + b": " + text + b"\n"
    return {name: bytes(stream) for name, stream in streams.items()}


def random_lines(
    chance: random.Random, addresses: list[bytes], amount: int, longest: int, many: int
) -> list[tuple[list[bytes], bytes]]:
    """Lines with a growing number in each, to random lists of these addresses, no topic twice in one line."""
    lines = []
    for number in range(amount):
        chosen = chance.sample(addresses, chance.choice([1, 1, 1, min(2, many), many]))
        text = b"%d " % number + b"." * chance.choice([0, 0, 3, chance.randrange(longest)])
        lines.append((chosen, text))
    return lines


def rendered(lines: Iterable[tuple[list[bytes], bytes]]) -> bytes:
    """The lines as they are sent."""
    return b"".join(b", ".join(addresses) + b": " + text + b"\n" for addresses, text in lines)


def send_in_random_cuts(peer: RealPeer, data: bytes, seed: int, sizes: list[int]) -> None:
    """Send the data in pieces of random sizes."""
    chance = random.Random(seed)
    at = 0
    while at < len(data):
        size = chance.randrange(1, chance.choice(sizes))
        peer.send(data[at : at + size])
        at += size


ADDRESSES = [b"bob", b"bob@node1", b"carol", b"dave", b"#a", b"#b", b"#c", b"#unheard"]
TOPICS: Members = {
    "alice": {b"#a"},
    "bob": {b"#a", b"#b"},
    "carol": {b"#b", b"#c"},
    "dave": set(),
    "erin": {b"#a", b"#b", b"#c"},
    "frank": {b"#a", b"#b", b"#c"},
}


@pytest.mark.parametrize("seed", range(8))
def test_one_senders_lines_arrive_in_order_over_names_and_topics(street: Street, seed: int) -> None:
    chance = random.Random(seed)
    peers = {name: street.hearer(name, *sorted(topics)) for name, topics in TOPICS.items()}
    amount, longest, many = [(3000, 20, 3), (400, 5000, 5), (3000, 5, 1), (1500, 300, 8)][seed % 4]
    lines = random_lines(chance, [*ADDRESSES, b"alice"], amount, longest, many)
    sizes = [[3, 20, 100], [10_000], [200, 70_000], [2, 400_000]][seed // 2 % 4]
    in_background(send_in_random_cuts, peers["alice"], rendered(lines), seed, sizes).result()
    for name, stream in heard_by_each("alice", lines, TOPICS).items():
        peers[name].expect_stream(stream)
    for peer in peers.values():
        assert peer.barrier() == []


@pytest.mark.parametrize("address", [b"bob", b"bob@node1", b"#a", b"bob, carol", b"#a, bob", b"bob, nobody"])
@pytest.mark.parametrize("size", [1, 32, 1000])
def test_a_read_with_one_address_throughout_keeps_its_order(street: Street, address: bytes, size: int) -> None:
    members: Members = {"alice": set(), "bob": {b"#a"}, "carol": {b"#a"}}
    alice, bob, carol = (street.hearer(name, *topics) for name, topics in members.items())
    addresses = address.split(b", ")
    lines = [(addresses, b"%d " % number + b"x" * size) for number in range(800_000 // (100 + size))]
    sent = in_background(alice.send, rendered(lines))
    streams = heard_by_each("alice", lines, members)
    for name, peer in (("bob", bob), ("carol", carol)):
        peer.expect_stream(streams.get(name, b""))
    told = alice.barrier()
    sent.result()
    assert told == [b"error no-such-peer: nobody"] * (len(lines) if b"nobody" in address else 0)
    assert bob.barrier() == []
    assert carol.barrier() == []


def test_a_last_line_with_another_address_goes_there(street: Street) -> None:
    alice, bob, carol = street.peers("alice", "bob", "carol")
    alice.say(*[b"bob: x"] * 99, b"carol: y", *[b"bob: x"] * 99, b"bobby: z", *[b"bob: x"] * 99, b"bob:")
    bob.expect(*[b"from alice: x"] * 297, b"from alice: ")
    carol.expect(b"from alice: y")
    assert alice.barrier() == [b"error no-such-peer: bobby"]


def test_many_senders_each_keep_their_order(street: Street) -> None:
    peers = {name: street.hearer(name, *sorted(topics)) for name, topics in TOPICS.items()}
    plans = {
        name: random_lines(random.Random(name), [*ADDRESSES, b"alice", b"erin", b"frank"], 1500, 60, 3)
        for name in peers
    }
    expected = {name: heard_by_each(name, lines, TOPICS) for name, lines in plans.items()}
    # Everybody reads while everybody writes, so that nobody waits for anybody.
    sums = {name: sum(len(expected[sender].get(name, b"")) for sender in peers) for name in peers}
    readers = {name: in_background(read_bytes, peer, sums[name]) for name, peer in peers.items()}
    senders = [
        in_background(send_in_random_cuts, peer, rendered(plans[name]), number, [50, 3000, 60_000])
        for number, (name, peer) in enumerate(peers.items())
    ]
    for sent in senders:
        sent.result()
    for name, reader in readers.items():
        by_sender: dict[bytes, list[bytes]] = defaultdict(list)
        for line in reader.result():
            by_sender[line.split(b" ", 2)[1].rstrip(b":")].append(line)
        for sender in peers:
            stream = expected[sender].get(name, b"")
            assert by_sender[sender.encode()] == stream.splitlines()


def read_bytes(peer: RealPeer, size: int) -> list[bytes]:
    """So many bytes from a peer, as lines."""
    lines: list[bytes] = []
    while size > 0:
        line = peer.line()
        lines.append(line)
        size -= len(line) + 1
    assert size == 0
    return lines


def test_joins_and_leaves_take_effect_in_their_place_in_the_stream(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    bob.say(b"bob: 1", b"/join #t", b"/ping joined")
    bob.expect(b"from bob: 1", b"ok join #t", b"pong joined")
    alice.say(b"#t: a", b"bob: b", b"/ping sent")
    alice.expect(b"pong sent")
    bob.say(b"/leave #t", b"/join #t")
    bob.expect(b"from alice to #t: a", b"from alice: b", b"ok leave #t", b"ok join #t")
    # In one read: the sender's own commands and lines keep their order too.
    alice.say(b"/join #mine", b"#t: c", b"/leave #mine", b"bob: d", b"/join #t", b"#t: e", b"/who #t")
    bob.expect(b"from alice to #t: c", b"from alice: d", b"from alice to #t: e")
    alice.expect(b"ok join #mine", b"ok leave #mine", b"ok join #t", b"peer alice", b"peer bob", b"ok who 2")


@pytest.mark.system
def test_four_million_lines_arrive_each_in_its_place(start: Start) -> None:
    street = start("--topic-patience", "20s", "--direct-patience", "20s")  # this machine may be a slow reader
    members: Members = {"alice": set(), "bob": {b"#a", b"#b"}, "carol": {b"#b"}, "dave": set()}
    peers = {name: street.hearer(name, *sorted(topics)) for name, topics in members.items()}
    chance = random.Random(4)
    addresses = [b"bob", b"carol", b"dave", b"#a", b"#b"]
    for _ in range(8):
        lines = [([chance.choice(addresses)], b"%d" % number) for number in range(500_000)]
        streams = heard_by_each("alice", lines, members)
        readers = [in_background(peers[name].expect_stream, streams[name]) for name in ("bob", "carol", "dave")]
        sent = in_background(peers["alice"].send, rendered(lines))
        for reader in readers:
            reader.result()
        sent.result()
        assert peers["alice"].barrier() == []
    for name in ("bob", "carol", "dave"):
        assert peers[name].barrier() == []
