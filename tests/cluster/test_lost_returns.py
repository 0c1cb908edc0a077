"""Lines that cannot even be given back, since a link does not read: whoever wrote them is told how many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nettool.cluster import frames
from nettool.cluster.frames import Kind
from nettool.embed.cluster import Cluster
from nettool.errors import DropReason
from tests.cluster.peers import Other, adds_up, link, log_in
from tests.cluster.simulation import small_buffers


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with small_buffers(), Cluster(["node1"], outbox_bytes="2KiB", max_line="1KiB", drain_timeout="1s") as cluster:
        links = cluster["node1"].links
        assert links is not None
        links.know(b"node2")
        yield cluster
        adds_up(cluster)


def login(number: int) -> bytes:
    return number.to_bytes(8, "big")


def take_all(cluster: Cluster, other: Other) -> None:
    """Confirm what comes until nothing does: so much is sent without a word, and no more."""
    confirmed = -1
    while confirmed != other.last_number:
        confirmed = other.last_number
        if confirmed:
            other.send(frames.render_number(Kind.CONFIRM, confirmed))
        cluster.settle(0.2)


def test_a_link_that_does_not_read_is_told_how_many_of_each_senders_lines_were_lost(cluster: Cluster) -> None:
    other = link(cluster, Other())
    other.transport.pauseProducing()  # type: ignore[union-attr]
    for n in range(150):
        for number in (7, 8):
            texts = b"".join(b"%d " % n + b"x" * 500 + b"\n" for _ in range(number))
            other.send(other.lines(Kind.DIRECT, b"nobody", texts, login=number))
        cluster.clock.advance(0)
    cluster.settle(0.1)
    lost = cluster["node1"].totals().dropped[DropReason.RETURN_OVERFLOW]
    assert cluster["node1"].links.linked.neighbours[b"node2"].queue.held_bytes < 5 * 8 * 2048  # type: ignore[union-attr]
    other.transport.resumeProducing()  # type: ignore[union-attr]
    take_all(cluster, other)
    back = {7: 0, 8: 0}
    for payload in other.heard(Kind.RETURNED):
        frame = frames.parse_lines(payload)
        back[frame.login] += frame.data.count(b"\n")
    told = [frames.parse_counts(payload)[1] for payload in other.heard(Kind.RETURNS_LOST)]
    assert len(told) == 1 and sum(told[0].values()) == lost
    assert {number: back[number] + told[0][login(number)] for number in back} == {7: 7 * 150, 8: 8 * 150}


def test_whoever_wrote_them_hears_it_and_a_flood_of_it_is_one_line(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    other = link(cluster, Other())
    other.send(frames.render_counts(Kind.RETURNS_LOST, {login(1): 3, login(99): 5}, 1))
    cluster.settle(0.1)
    assert alice.heard() == [b"error returns-lost: 3"]
    alice.stop_reading()
    for n in range(2, 5002):
        other.send(frames.render_counts(Kind.RETURNS_LOST, {login(1): 1}, n))
        if not n % 100:
            cluster.clock.advance(0)
    cluster.settle(0.1)
    [session] = [connection.session for connection in cluster["node1"].peers.connections]
    assert session.outbox.snapshot(0.0).held_bytes < 4096
    alice.read_on()
    cluster.settle(0.1)
    heard = alice.heard()
    assert all(line.startswith(b"error returns-lost: ") for line in heard)
    assert sum(int(line.split()[2]) for line in heard) == 5000


def test_a_new_instance_is_told_nothing_of_what_its_predecessors_peers_lost(cluster: Cluster) -> None:
    other = link(cluster, Other())
    other.transport.pauseProducing()  # type: ignore[union-attr]
    for n in range(300):
        other.send(other.lines(Kind.DIRECT, b"nobody", (b"x" * 900 + b"\n") * 4, login=n % 3))
        cluster.clock.advance(0)
    assert cluster["node1"].totals().dropped[DropReason.RETURN_OVERFLOW]
    other.transport.abortConnection()  # type: ignore[union-attr]
    cluster.settle(0.1)
    later = link(cluster, Other(instance=b"j" * 16))
    take_all(cluster, later)
    assert not later.heard(Kind.RETURNED)
    assert [frames.parse_counts(payload)[1] for payload in later.heard(Kind.RETURNS_LOST)] in ([], [{}])
