"""
Looking up names through twisted.names.

In: a name, a reactor, the servers of resolv.conf.  Out: the answers for its SRV records.
Never: a timer, a port or a connection that outlives the look: twisted.names' own resolver keeps some for a while, and
one for good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.names.client import DNSClientFactory, Resolver

RESOLV_CONF = "/etc/resolv.conf"

TIMEOUTS = (1, 2, 4)
"""Seconds that each server is waited for, in the first round, the second and the third."""

Servers = Sequence[tuple[str, int]]


def servers_of(resolv_conf: str) -> Servers:
    """The name servers that a file such as resolv.conf lists; the machine's own if it lists none."""
    # On a clock that nobody turns: the resolver reads the file now, and would go on to read it every minute.
    return list(Resolver(resolv=resolv_conf, reactor=Clock()).dynServers)


class Lookups:
    """Looks up SRV records; resolv.conf is read for each look, as it may have changed."""

    def __init__(self, reactor: Any, servers: Servers | None = None, resolv_conf: str = RESOLV_CONF) -> None:
        """`servers` are asked instead of those of `resolv_conf`."""
        self._reactor = reactor
        self._servers = servers
        self._resolv_conf = resolv_conf

    def __call__(self, name: str) -> Deferred[Any]:
        """Answers, authorities and what is additional, as lists of `dns.RRHeader`; it can be cancelled."""
        servers = servers_of(self._resolv_conf) if self._servers is None else self._servers
        borrowed = _Borrowed(self._reactor)
        resolver = Resolver(servers=list(servers), timeout=TIMEOUTS, reactor=borrowed)
        resolver.factory = _TcpFactory(resolver)
        looked: Deferred[Any] = resolver.lookupService(name)
        return looked.addBoth(borrowed.give_back)


class _TcpFactory(DNSClientFactory):
    """For answers that are too large for a datagram.  Twisted's own takes its time from the process's reactor."""

    noisy = False

    def buildProtocol(self, addr: Any) -> dns.DNSProtocol:
        protocol = dns.DNSProtocol(self.controller, reactor=self.controller._reactor)
        protocol.factory = self
        return protocol


class _Borrowed:
    """As much of a reactor as twisted.names uses; what was opened by it is closed by `give_back`."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._to_close: list[Callable[[], object]] = []

    def callLater(self, delay: float, call: Any, *arguments: Any) -> Any:
        timer = self._reactor.callLater(delay, call, *arguments)
        self._to_close.append(lambda: timer.active() and timer.cancel())
        return timer

    def seconds(self) -> float:
        now: float = self._reactor.seconds()
        return now

    def listenUDP(self, port: int, protocol: Any, *arguments: Any, **keywords: Any) -> Any:
        opened = self._reactor.listenUDP(port, protocol, *arguments, **keywords)
        self._to_close.append(lambda: protocol.transport is not None and opened.stopListening())
        return opened

    def connectTCP(self, host: str, port: int, factory: Any, *arguments: Any, **keywords: Any) -> Any:
        connector = self._reactor.connectTCP(host, port, factory, *arguments, **keywords)
        self._to_close.append(connector.disconnect)
        return connector

    def give_back(self, result: Any) -> Any:
        """Close all that is open; the result is passed on."""
        for close in self._to_close:
            try:
                close()
            except Exception:
                pass
        self._to_close.clear()
        return result
