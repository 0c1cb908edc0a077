"""Looking up SRV records: twisted.names against a DNS server of Twisted's own, over UDP and TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, TimeoutError, maybeDeferred
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogLevel
from twisted.names import dns
from twisted.names.authority import FileAuthority
from twisted.names.error import DNSNameError
from twisted.names.server import DNSServerFactory

from nettool.cluster.resolver import Address, Lookups, SrvResolver
from nettool.cluster.resolver.lookups import TIMEOUTS, servers_of
from tests.cluster.secrets import logged

SERVICE = "_nettool-link._tcp.example.net"


class Zone(FileAuthority):
    """example.net, in memory."""

    def __init__(self) -> None:
        super().__init__(None)

    def loadFile(self, filename: object) -> None:
        start = dns.Record_SOA("ns.example.net", "root.example.net", 1, 60, 60, 60, 60)
        self.soa = (b"example.net", start)
        self.records: dict[bytes, list[Any]] = {b"example.net": [start]}

    def have(self, *records: Any, name: str = SERVICE) -> None:
        self.records[name.encode()] = list(records)


class Datagrams(dns.DNSDatagramProtocol):
    """A server that may answer over TCP only, or only some questions."""

    truncates = False
    answers = True

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.asked = 0

    def datagramReceived(self, data: bytes, addr: Any) -> None:
        self.asked += 1
        if self.answers:
            super().datagramReceived(data, addr)

    def writeMessage(self, message: dns.Message, address: Any) -> None:
        if self.truncates and message.answer:
            message.trunc, message.answers = 1, []
        super().writeMessage(message, address)


class Silent(Protocol):
    """Takes connections, and says nothing."""


class Server:
    """A DNS server on the loopback, with one number for UDP and TCP."""

    def __init__(self, reactor: Any, interface: str = "127.0.0.1") -> None:
        self.reactor = reactor
        self.zone = Zone()
        self.factory = DNSServerFactory(authorities=[self.zone])
        self.factory.noisy = False
        self.datagrams = Datagrams(self.factory, reactor=reactor)
        while True:
            self.tcp = reactor.listenTCP(0, self.factory, interface=interface)
            self.address = (interface, self.tcp.getHost().port)
            try:
                self.udp = reactor.listenUDP(self.address[1], self.datagrams, interface=interface)
            except CannotListenError:  # somebody has this number for UDP
                self.tcp.stopListening()
            else:
                break

    async def end(self) -> None:
        await maybeDeferred(self.udp.stopListening)
        await maybeDeferred(self.tcp.stopListening)


class ClockedReactor:
    """The network is real, and time is a clock's."""

    def __init__(self, reactor: Any) -> None:
        self.clock = Clock()
        self.listenUDP = reactor.listenUDP
        self.connectTCP = reactor.connectTCP
        self.callLater = self.clock.callLater
        self.seconds = self.clock.seconds


@pytest.fixture
def reactor() -> Any:
    from twisted.internet import reactor

    return reactor


@pytest_twisted.async_yield_fixture
async def server(reactor: Any) -> AsyncIterator[Server]:
    server = Server(reactor)
    yield server
    await server.end()


@pytest.fixture
def clocked(reactor: Any) -> ClockedReactor:
    return ClockedReactor(reactor)


async def until(reactor: Any, condition: Any) -> None:
    while not condition():
        await deferLater(reactor, 0.001)


def hosts_of(answer: Any) -> set[str]:
    return {header.payload.target.name.decode() for header in answer[0]}


async def test_records_come_over_udp(server: Server, reactor: Any) -> None:
    server.zone.have(dns.Record_SRV(0, 5, 6389, "node2.example.net", 60), dns.Record_SRV(1, 0, 6390, "node3.x", 30))
    answer = await Lookups(reactor, [server.address])(SERVICE)
    assert hosts_of(answer) == {"node2.example.net", "node3.x"}
    assert {(h.ttl, h.payload.priority, h.payload.weight, h.payload.port) for h in answer[0]} == {
        (60, 0, 5, 6389),
        (30, 1, 0, 6390),
    }


async def test_what_is_too_large_for_a_datagram_comes_over_tcp(server: Server, reactor: Any) -> None:
    server.datagrams.truncates = True
    server.zone.have(*(dns.Record_SRV(0, 0, 6389, f"node{number}.example.net", 60) for number in range(500)))
    answer = await Lookups(reactor, [server.address])(SERVICE)
    assert len(hosts_of(answer)) == 500
    assert server.datagrams.asked == 1


async def test_a_server_is_asked_over_ipv6(reactor: Any) -> None:
    server = Server(reactor, "::1")
    try:
        server.zone.have(dns.Record_SRV(0, 0, 6389, "node2.example.net", 60))
        assert hosts_of(await Lookups(reactor, [server.address])(SERVICE)) == {"node2.example.net"}
    finally:
        await server.end()


async def test_a_name_that_there_is_not_is_an_error(server: Server, reactor: Any) -> None:
    with pytest.raises(DNSNameError):
        await Lookups(reactor, [server.address])(SERVICE)


async def test_a_server_that_does_not_answer_is_followed_by_the_next(
    server: Server, reactor: Any, clocked: ClockedReactor
) -> None:
    silent = Server(reactor)
    silent.datagrams.answers = False
    try:
        server.zone.have(dns.Record_SRV(0, 0, 6389, "node2.example.net", 60))
        answer = Lookups(clocked, [silent.address, server.address])(SERVICE)
        await until(reactor, lambda: silent.datagrams.asked)
        assert server.datagrams.asked == 0
        clocked.clock.advance(TIMEOUTS[0])
        assert hosts_of(await answer) == {"node2.example.net"}
    finally:
        await silent.end()


UNREACHABLE = ("255.255.255.255", 53)  # the system does not let it be asked


async def test_a_server_that_cannot_be_asked_is_followed_by_the_next(server: Server, reactor: Any) -> None:
    server.zone.have(dns.Record_SRV(0, 0, 6389, "node2.example.net", 60))
    answer = await Lookups(reactor, [UNREACHABLE, UNREACHABLE, server.address])(SERVICE)
    assert hosts_of(answer) == {"node2.example.net"}


async def test_servers_none_of_which_can_be_asked_are_an_error(reactor: Any) -> None:
    with pytest.raises(OSError):
        await Lookups(reactor, [UNREACHABLE, UNREACHABLE])(SERVICE)


async def test_servers_that_do_not_answer_are_asked_three_times(
    server: Server, reactor: Any, clocked: ClockedReactor
) -> None:
    server.datagrams.answers = False
    answer = Lookups(clocked, [server.address])(SERVICE)
    for times, seconds in enumerate(TIMEOUTS, 1):
        await until(reactor, lambda times=times: server.datagrams.asked == times)
        clocked.clock.advance(seconds)
    with pytest.raises(TimeoutError):
        await answer
    assert clocked.clock.getDelayedCalls() == []


async def test_a_look_that_is_broken_off_leaves_nothing_open(
    server: Server, reactor: Any, clocked: ClockedReactor
) -> None:
    server.datagrams.answers = False
    answer = Lookups(clocked, [server.address])(SERVICE)
    await until(reactor, lambda: server.datagrams.asked)
    answer.cancel()
    with pytest.raises(CancelledError):
        await answer
    assert clocked.clock.getDelayedCalls() == []


@pytest.mark.parametrize("how", ["refuses", "is silent", "is left"])
async def test_a_server_without_tcp_where_it_is_needed_is_an_error(
    how: str, server: Server, reactor: Any, clocked: ClockedReactor
) -> None:
    server.datagrams.truncates = True
    server.zone.have(dns.Record_SRV(0, 0, 6389, "node2.example.net", 60))
    taken: list[Silent] = []

    def take(_: object) -> Silent:
        taken.append(Silent())
        return taken[-1]

    factory = Factory()
    factory.noisy = False
    factory.buildProtocol = take  # type: ignore[method-assign, assignment]
    if how == "refuses":
        await server.tcp.stopListening()
    else:
        server.tcp.factory = factory
    answer = Lookups(clocked, [server.address])(SERVICE)
    if how == "refuses":
        with pytest.raises(ConnectionRefusedError):
            await answer
    else:
        await until(reactor, lambda: taken and len(clocked.clock.getDelayedCalls()) > 0)
        if how == "is left":
            answer.cancel()
        else:
            clocked.clock.advance(10)
        with pytest.raises(CancelledError if how == "is left" else TimeoutError):
            await answer
    assert clocked.clock.getDelayedCalls() == []


async def test_a_look_is_quiet(server: Server, reactor: Any) -> None:
    server.datagrams.truncates = True
    server.zone.have(dns.Record_SRV(0, 0, 6389, "node2.example.net", 60))
    with logged() as events:
        await Lookups(reactor, [server.address])(SERVICE)
        for _ in range(5):
            await deferLater(reactor, 0)
    assert events and {event["log_level"] for event in events} == {LogLevel.debug}


@pytest.mark.parametrize(
    "content, servers",
    [
        (
            "nameserver 10.0.0.53\nnameserver\t2001:db8::53  # x\nsearch example.net\n",
            [("10.0.0.53", 53), ("2001:db8::53", 53)],
        ),
        ("# nameserver 10.0.0.1\n;nameserver 10.0.0.1\nnameserver\n  nameserver 10.0.0.53\n", [("10.0.0.53", 53)]),
        ("options edns0\n", [("127.0.0.1", 53)]),
        ("", [("127.0.0.1", 53)]),
        (None, [("127.0.0.1", 53)]),
    ],
)
def test_servers_are_those_of_resolv_conf(content: str | None, servers: list[tuple[str, int]], tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert list(servers_of(str(path))) == servers


class Noted:
    """A socket that only notes who is asked."""

    def __init__(self, asked: list[tuple[str, int]]) -> None:
        self._asked = asked

    def write(self, _: bytes, address: tuple[str, int]) -> None:
        self._asked.append(address)

    def stopListening(self) -> None:
        """It is none."""

    def connectionLost(self) -> None:
        """It is none."""


async def test_resolv_conf_is_read_for_each_look(tmp_path: Path, clocked: ClockedReactor) -> None:
    asked: list[tuple[str, int]] = []

    def listen(_: int, protocol: dns.DNSDatagramProtocol, **__: Any) -> Noted:
        noted: Any = Noted(asked)
        protocol.makeConnection(noted)
        return noted  # type: ignore[no-any-return]

    clocked.listenUDP = listen
    path = tmp_path / "resolv.conf"
    lookups = Lookups(clocked, resolv_conf=str(path))
    for address in ("10.0.0.1", "10.0.0.2"):
        path.write_text(f"nameserver {address}\n", encoding="utf-8")
        answer = lookups(SERVICE)
        answer.cancel()
        with pytest.raises(CancelledError):
            await answer
    assert asked == [("10.0.0.1", 53), ("10.0.0.2", 53)]


async def test_nodes_are_found_followed_and_kept_with_a_real_server(
    server: Server, clocked: ClockedReactor, reactor: Any
) -> None:
    resolver = SrvResolver("example.net", Lookups(clocked, [server.address]), clocked, Random(1))
    news: list[frozenset[bytes]] = []
    resolver.subscribe(news.append)
    server.zone.have(
        dns.Record_SRV(10, 0, 6389, "node2.backup.example", 60), dns.Record_SRV(0, 0, 6389, "node2.example.net", 60)
    )

    def next_look() -> None:
        [call] = clocked.clock.getDelayedCalls()
        clocked.clock.advance(call.getTime() - clocked.clock.seconds())

    resolver.startService()
    try:
        await until(reactor, lambda: len(news) == 1)
        assert resolver.addresses(b"node2") == (
            Address("node2.example.net", 6389),
            Address("node2.backup.example", 6389),
        )
        server.zone.have(dns.Record_SRV(0, 0, 6400, "node2.example.net", 60), dns.Record_SRV(0, 0, 1, "node3.x", 60))
        next_look()
        await until(reactor, lambda: len(news) == 2)
        assert resolver.addresses(b"node2") == (Address("node2.example.net", 6400),)
        assert news[1] == {b"node2", b"node3"}
        del server.zone.records[SERVICE.encode()]
        next_look()
        await until(reactor, lambda: resolver.fault)
        assert resolver.fault == f"{SERVICE}: there is no such name"
        assert set(resolver.names()) == {b"node2", b"node3"}
        server.zone.have(dns.Record_SRV(0, 0, 1, "node3.x", 60))
        next_look()
        await until(reactor, lambda: len(news) == 3)
        assert news[2] == {b"node2"} and resolver.fault == ""
    finally:
        resolver.stopService()
