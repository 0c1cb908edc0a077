"""
The way to an embedded node without a socket.

In: a client's factory.  Out: its protocol, connected to the node.  Never: an address that somebody else could reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError, NoProtocol
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from nettool.embed.pipe import End


@implementer(IAddress)
@dataclass(frozen=True)
class InsideAddress:
    """Where a connection in memory comes from or goes to: the name of the node, and a number for a peer's end."""

    node: str
    number: int = 0

    def __str__(self) -> str:
        return f"inside:{self.number}"


@implementer(IStreamClientEndpoint)
class InsideEndpoint:
    """Connects within the process.  Bounds, pauses and closes are those of a socket (`nettool.embed.pipe`)."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, node: str, peers: IProtocolFactory, accepts: Callable[[], bool]) -> None:
        self._clock = clock
        self._node = node
        self._peers = peers
        self._accepts = accepts
        self._numbers = count(1)

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """The factory's protocol, connected: the Deferred has fired when this returns.

        Fails with `ConnectionRefusedError` if the node does not run, with `NoProtocol` if the factory makes none, and
        with whatever the factory or the protocol's `connectionMade` raises.
        """
        if not self._accepts():
            return fail(ConnectionRefusedError(f"the node {self._node} does not run"))
        here = InsideAddress(self._node, next(self._numbers))
        there = InsideAddress(self._node)
        try:
            factory.doStart()
        except Exception:
            return fail()
        try:
            client = factory.buildProtocol(there)
            server = self._peers.buildProtocol(here)
            if client is None or server is None:
                raise NoProtocol()
        except Exception:
            factory.doStop()
            return fail()
        near, far = End(self._clock, here, there, factory.doStop), End(self._clock, there, here)
        near.join(client, far)
        far.join(server, near)
        fault = far.begin()
        if fault is not None:
            self._log.failure(
                "a connection in memory, of {peer}, could not begin",
                fault,
                LogLevel.error,
                event="inside-failed",
                peer=here,
            )
        fault = near.begin()
        return succeed(client) if fault is None else fail(fault)
