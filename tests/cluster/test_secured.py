"""Links as a process has them: over TLS on real sockets, between nodes that trust each other and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import globalLogPublisher

from nettool.cluster.identity import Identity, Trust, TrustedNodes
from nettool.cluster.resolver import Address
from nettool.cluster.resolver.known import KnownNodes
from nettool.cluster.secured import Secured, explain, judge_by
from nettool.embed import Node
from nettool.errors import LinkEnd
from tests.cluster.peers import Talker


class Place:
    """A node with an identity, which listens for links on the loopback."""

    def __init__(self, name: str, claims: str = "") -> None:
        """`claims`: the name that it gives, if that is not the one it is trusted under."""
        self.identity = Identity.new(name.encode())
        self.trust = Trust(self.identity.public)
        self.resolver = KnownNodes()
        self.node = Node(reactor, node_name=claims or name, drain_timeout="1s")
        self.links = self.node.link(judge=judge_by(self.trust), explain=explain)
        self.secured = Secured(self.links, self.identity, self.trust, self.resolver, reactor)
        self.port: Any = None

    async def begin(self) -> None:
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        self.port = await endpoint.listen(self.secured.factory)
        await self.node.__aenter__()

    async def end(self) -> None:
        self.secured.stop()
        await self.port.stopListening()
        await self.node.__aexit__(None, None, None)

    def trusts(self, *others: Place) -> None:
        before = self.trust.nodes
        self.trust.nodes = TrustedNodes.of([other.identity.public for other in others])
        self.secured.trust_changed(self.trust.nodes.ended_since(before))

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port.getHost().port)

    def knows(self, *others: Place) -> None:
        self.resolver.become({other.identity.name: (other.address,) for other in others})

    def is_linked(self, other: Place) -> bool:
        known = self.links.linked.neighbours.get(other.identity.name)
        return known is not None and known.link is not None


@asynccontextmanager
async def places(*names: str, claims: str = "") -> AsyncIterator[list[Place]]:
    made = [Place(name, claims if number else "") for number, name in enumerate(names)]
    for place in made:
        await place.begin()
    try:
        yield made
    finally:
        for place in made:
            await place.end()


async def until(condition: Callable[[], object]) -> None:
    """Turns of the reactor, until it holds; the test's own bound ends it otherwise."""
    while not condition():
        await deferLater(reactor, 0.005)


@pytest.fixture
def told() -> Any:
    """What was logged."""
    observer = EventLoggingObserver()
    globalLogPublisher.addObserver(observer)
    yield observer
    globalLogPublisher.removeObserver(observer)


def says(told: Any, reason: LinkEnd, word: str) -> bool:
    return any(event.get("why") == reason.value and word in event["detail"] for event in told)


@pytest_twisted.ensureDeferred
async def test_two_nodes_that_trust_each_other_link_and_lines_cross() -> None:
    async with places("node1", "node2") as (one, two):
        one.trusts(two)
        two.trusts(one)
        one.knows(two)
        await until(lambda: one.is_linked(two) and two.is_linked(one))
        alice, bob = one.node.connect(Talker()), two.node.connect(Talker())
        alice.say(b"alice")
        bob.say(b"bob", b"/join #t")
        await until(lambda: one.links.linked.neighbours[b"node2"].topics and len(one.node.broker.directory.far))
        alice.say(*[b"bob: %d" % n for n in range(20_000)], b"#t: over")
        await until(lambda: b"#t: over\n" in bob.unread)
        lines = [line for line in bob.heard() if line.startswith(b"from")]
        assert lines == [b"from alice@node1: %d" % n for n in range(20_000)] + [b"from alice@node1 to #t: over"]


@pytest_twisted.ensureDeferred
async def test_a_stranger_is_refused_and_both_logs_say_why(told: Any) -> None:
    async with places("node1", "node2") as (one, two):
        two.trusts(one)
        two.knows(one)
        await until(lambda: one.links.linked.ends[LinkEnd.NOT_TRUSTED] and two.links.linked.ends[LinkEnd.REFUSED])
        assert not one.is_linked(two) and not two.is_linked(one)
        assert says(told, LinkEnd.NOT_TRUSTED, "trusted-nodes") and says(told, LinkEnd.REFUSED, "not-trusted")
        assert one.node.totals().accepted == 0


@pytest_twisted.ensureDeferred
async def test_a_trusted_key_under_another_name_is_refused(told: Any) -> None:
    async with places("node1", "node2", claims="node3") as (one, two):
        one.trusts(two)
        two.trusts(one)
        two.knows(one)
        await until(lambda: one.links.linked.ends[LinkEnd.NOT_TRUSTED])
        assert not one.links.linked.connections or not one.is_linked(two)
        assert says(told, LinkEnd.NOT_TRUSTED, "node2")


@pytest_twisted.ensureDeferred
async def test_a_trusted_name_with_another_key_is_refused() -> None:
    async with places("node1", "node2", "node2") as (one, two, thief):
        one.trusts(two)
        thief.trusts(one)
        thief.knows(one)
        await until(lambda: one.links.linked.ends[LinkEnd.NOT_TRUSTED])
        assert not one.is_linked(two) and thief.links.linked.ends[LinkEnd.REFUSED] <= 2


@pytest_twisted.ensureDeferred
async def test_trust_in_nobody_is_trust_in_nobody() -> None:
    async with places("node1", "node2") as (one, two):
        one.knows(two)
        await until(lambda: sum(one.links.linked.ends.values()) > 1)
        assert not one.is_linked(two) and not two.is_linked(one)
        with pytest.raises(LookupError, match="node2 is not trusted"):
            one.links.node_at(str(two.address))
        one.trusts(two)
        assert one.links.node_at(str(two.address)) == b"node2"


@pytest_twisted.ensureDeferred
async def test_a_link_that_is_no_longer_trusted_is_closed() -> None:
    async with places("node1", "node2") as (one, two):
        one.trusts(two)
        two.trusts(one)
        one.knows(two)
        await until(lambda: one.is_linked(two) and two.is_linked(one))
        two.trusts()
        assert not two.is_linked(one)
        await until(lambda: not one.is_linked(two))
        assert two.links.linked.ends[LinkEnd.REMOVED] == 1


@pytest_twisted.ensureDeferred
async def test_a_node_that_is_added_later_is_linked_without_touching_the_others() -> None:
    async with places("node1", "node2", "node3") as (one, two, three):
        for place in (one, two):
            place.trusts(one, two)
        one.knows(two)
        await until(lambda: one.is_linked(two))
        first = one.links.linked.neighbours[b"node2"].link
        one.trusts(one, two, three)
        three.trusts(one)
        one.knows(two, three)
        await until(lambda: one.is_linked(three))
        assert one.links.linked.neighbours[b"node2"].link is first


@pytest_twisted.ensureDeferred
async def test_what_speaks_no_tls_is_told_apart_and_redialled(told: Any) -> None:
    async with places("node1", "node2") as (one, two):
        plain = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(two.links.factory)
        try:
            one.trusts(two)
            one.resolver.become({b"node2": (Address("127.0.0.1", plain.getHost().port),)})
            await until(lambda: one.links.linked.ends[LinkEnd.LOST] > 1)
            assert says(told, LinkEnd.LOST, "does not speak TLS") or two.links.linked.ends[LinkEnd.BAD_FRAME]
        finally:
            await plain.stopListening()


@pytest_twisted.ensureDeferred
async def test_what_is_dialled_and_is_no_node_is_told_in_words(told: Any) -> None:
    class Plain(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # type: ignore[union-attr]

    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Plain))
    async with places("node1") as [one]:
        one.resolver.become({b"node2": (Address("127.0.0.1", port.getHost().port),)})
        await until(lambda: says(told, LinkEnd.LOST, "the other end does not speak TLS"))
    await port.stopListening()
