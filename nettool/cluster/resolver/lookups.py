"""
Looking up SRV records through twisted.names.

In: a name, a reactor, the servers of resolv.conf.  Out: what the servers answer.
Never: a timer, a port or a connection that outlives the look: twisted.names' own resolver keeps some for a while, and
one for good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import BindError
from twisted.logger import LogLevel
from twisted.names import dns
from twisted.names.client import DNSClientFactory, Resolver
from twisted.python import log
from twisted.python.failure import Failure

from nettool.files import read_file

RESOLV_CONF = "/etc/resolv.conf"

TIMEOUTS = (1, 2, 4)
"""Seconds for which each server is waited for, in the first round, the second and the third."""

Servers = Sequence[tuple[str, int]]
"""IP addresses and ports."""

_AT_DEBUG = {"log_level": LogLevel.debug}


def servers_of(resolv_conf: str) -> Servers:
    """The name servers that a file such as resolv.conf lists; the machine's own if it lists none, or is missing."""
    try:
        lines = read_file(resolv_conf).content.decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        lines = []
    words = [line.split() for line in lines]
    return [(word[1], dns.PORT) for word in words if word[:1] == ["nameserver"] and word[1:]] or [
        ("127.0.0.1", dns.PORT)
    ]


class Lookups:
    """Looks up SRV records.  The file of servers is read for each look, since it may have changed."""

    def __init__(self, reactor: Any, servers: Servers | None = None, resolv_conf: str = RESOLV_CONF) -> None:
        """`servers` are asked instead of those of `resolv_conf`."""
        self._reactor = reactor
        self._servers = servers
        self._resolv_conf = resolv_conf

    def __call__(self, name: str) -> Deferred[Any]:
        """Answers, authorities and what is additional, as lists of `dns.RRHeader`; it can be cancelled."""
        return self._ask(name, list(servers_of(self._resolv_conf) if self._servers is None else self._servers))

    def _ask(self, name: str, servers: list[tuple[str, int]]) -> Deferred[Any]:
        borrowed = _Borrowed(self._reactor)
        resolver = Resolver(servers=servers, timeout=TIMEOUTS, reactor=borrowed)
        resolver.factory = _TcpFactory(resolver)
        looked: Deferred[Any] = maybeDeferred(resolver.lookupService, name).addBoth(borrowed.give_back)
        if servers[1:]:
            # twisted.names goes on to the next server when one is silent, but not when it cannot even be asked: a first
            # server with an IPv6 address, on a machine without IPv6, would hide all others.
            looked.addErrback(self._ask_others, name, servers[1:])
        return looked

    def _ask_others(self, failure: Failure, name: str, servers: list[tuple[str, int]]) -> Deferred[Any]:
        failure.trap(OSError, BindError)
        return self._ask(name, servers)


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

    def listenUDP(self, port: int, protocol: Any, *arguments: Any, **keywords: Any) -> Any:
        """A port for one question.  The resolver closes it, however the question ends; both are told at debug level."""
        protocol.noisy = False
        opened = log.callWithContext(_AT_DEBUG, self._reactor.listenUDP, port, protocol, *arguments, **keywords)
        opened.connectionLost = partial(log.callWithContext, _AT_DEBUG, opened.connectionLost)
        return opened

    def connectTCP(self, host: str, port: int, factory: Any, *arguments: Any, **keywords: Any) -> Any:
        connector = self._reactor.connectTCP(host, port, factory, *arguments, **keywords)
        self._to_close.append(connector.disconnect)
        return connector

    def give_back(self, result: Any) -> Any:
        """Close all that is open; the result is passed on."""
        while self._to_close:
            self._to_close.pop()()
        return result
