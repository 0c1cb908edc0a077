"""Over TLS and real sockets, too, what no node says is refused: nothing is routed, little is kept, the log says why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.interfaces import IReactorTime

from nettool.cluster import frames, link
from nettool.cluster.frames import Kind
from nettool.cluster.identity import LinkTls
from nettool.cluster.judges import trust_nearby
from nettool.embed import Node
from nettool.errors import LinkEnd
from tests.cluster.peers import Other, Talker
from tests.cluster.test_secured import Place, places, says, told, until

__all__ = ["told"]


async def dial(place: Place, identity: Any, other: Other) -> Other:
    """Connect to a node with this identity, and speak by hand."""
    assert IReactorTime.providedBy(reactor)
    plain = HostnameEndpoint(reactor, "127.0.0.1", place.address.port)
    await connectProtocol(wrapClientTLS(LinkTls(identity), plain, reactor), other)
    return other


@asynccontextmanager
async def a_link() -> AsyncIterator[tuple[Place, Other, Talker]]:
    """A node, its link to one that a test speaks for, and bob, who hears #t."""
    async with places("node1", "node2") as (one, two):
        one.trusts(two)
        bob = one.node.connect(Talker())
        bob.say(b"bob", b"/join #t")
        other = await dial(one, two.identity, Other())
        other.hello()
        await until(lambda: any(payload[0] == Kind.HELLO for payload in other.payloads))
        other.send(bytes([Kind.TAKE]))
        await until(lambda: one.is_linked(two))
        bob.heard()
        try:
            yield one, other, bob
        finally:
            if not other.gone:
                other.transport.abortConnection()  # type: ignore[union-attr]
            await until(lambda: other.gone)


@pytest_twisted.ensureDeferred
async def test_an_old_version_is_told_what_to_do(told: Any) -> None:
    async with places("node1", "node2") as (one, two):
        one.trusts(two)
        other = await dial(one, two.identity, Other())
        other.hello(versions=(0,))
        await until(lambda: other.gone)
        assert other.refused()[0] == "version"
        assert says(told, LinkEnd.VERSION, "releases of nettool that have one in common")
        assert one.node.totals().accepted == 0


@pytest_twisted.ensureDeferred
async def test_a_hello_that_never_ends_ends(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "HELLO_TIME", 0.2)
    async with places("node1", "node2") as (one, two):
        one.trusts(two)
        other = await dial(one, two.identity, Other())
        other.send_bytes((4000).to_bytes(4, "big") + b"\0{")
        await until(lambda: other.gone)
        assert other.refused()[0] == "hello-timeout" and says(told, LinkEnd.HELLO_TIMEOUT, "no whole hello")


LIES: dict[str, Callable[[Other], bytes]] = {
    "a length of four gigabytes": lambda other: b"\xff\xff\xff\xff",
    "a number that leaves some out": lambda other: framed(other.lines(Kind.DIRECT, b"bob", b"x\n", number=7)),
    "fields that are longer than the frame": lambda other: framed(other.lines(Kind.DIRECT, b"bob", b"x\n")[:20]),
    "a confirmation of what was not sent": lambda other: framed(frames.render_number(Kind.CONFIRM, 9)),
}


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
@pytest_twisted.ensureDeferred
async def test_a_frame_that_lies_ends_the_link_and_nothing_of_it_is_routed(
    lie: Callable[[Other], bytes], told: Any
) -> None:
    async with a_link() as (one, other, bob):
        other.send_bytes(lie(other))
        await until(lambda: other.gone)
        assert other.refused()[0] == "bad-frame" and says(told, LinkEnd.BAD_FRAME, "")
        assert bob.heard() == [] and one.node.totals().accepted == 0


@pytest_twisted.ensureDeferred
async def test_a_flood_for_one_who_does_not_read_is_bounded_and_the_link_stays() -> None:
    async with a_link() as (one, other, bob):
        bob.stop_reading()
        [session] = [connection.session for connection in one.node.peers.connections]
        texts, most = b"".join(b"%01000d\n" % n for n in range(250)), 0
        for n in range(1, 101):
            other.send(other.lines(Kind.DIRECT, b"bob", texts), other.lines(Kind.TOPIC, b"#t", texts))
            await until(lambda done=2 * n: one.links.linked.neighbours[b"node2"].arrivals.taken >= done)
            most = max(most, session.outbox.held())
        # Four windows of a MiB, twice the bound of topic lines, and what one frame brings.
        assert most <= (4 + 2 * 4 + 1) * 2**20
        assert not other.gone
        await until(lambda: any(payload[0] == Kind.RETURNED for payload in other.payloads))
        assert one.node.totals().adds_up


@pytest_twisted.ensureDeferred
async def test_plain_links_are_taken_over_the_loopback_interface_where_that_is_said() -> None:
    nodes = [Node(reactor, node_name=name, drain_timeout="1s") for name in ("node1", "node2")]
    one, two = (node.link(judge=trust_nearby) for node in nodes)
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(two.factory)
    async with nodes[0], nodes[1]:
        two.know(b"node1")
        one.know(b"node2", [TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)])
        await until(lambda: one.linked.neighbours[b"node2"].link and two.linked.neighbours[b"node1"].link)
        await port.stopListening()
