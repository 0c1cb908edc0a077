"""
How another node is reached, again and again.

In: its addresses, as endpoints.  Out: a link.  Never: two dials at once to one node; a line; a dial that keeps
others waiting.

Twisted's `ClientService` decides when to try again.  What it takes for a connection is the link, however that came
about: while there is one, by a connection of the other node's too, it is content, and when there is none it dials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from twisted.application.internet import ClientService
from twisted.internet import defer, error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionDone
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from nettool.cluster.link import Link, Phase
from nettool.cluster.linked import Linked
from nettool.cluster.neighbour import Neighbour
from nettool.cluster.protocol import LinkFactory, LinkProtocol
from nettool.errors import LinkEnd
from nettool.outbox.turn import Turn

FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
"""Seconds between two rounds through a node's addresses: twice as long each time, and half of it by chance."""

STEADY = 2.0
"""Seconds that a link has to last: one that ends earlier is no reason to try again sooner than before."""

QUICK = 4
"""So often, at most, a network that cuts links young makes the time twice as long; a node that refuses them, always."""

DIAL_TIME = 10.0
"""Seconds for one address to answer, before the next one is tried."""


def backoff(chance: Random) -> Callable[[int], float]:
    """Seconds before the next attempt, by how many have failed."""

    def delay(attempts: int) -> float:
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempts - 1, 30))
        return longest * (0.5 + chance.random() / 2)

    return delay


class NotLinked(Exception):
    """A round through a node's addresses brought no link."""


class Dialler:
    """Sees to it that there is a link to one node, as far as its addresses let it."""

    _log = Logger()

    def __init__(
        self,
        neighbour: Neighbour,
        clock: IReactorTime,
        turn: Turn,
        chance: Random,
        explain: Callable[[Failure], str] = Failure.getErrorMessage,
    ) -> None:
        """`explain` says why a connection was lost."""
        self._neighbour = neighbour
        self._endpoint = _Way(neighbour, clock, turn, explain)
        delay = backoff(chance)
        self._service = ClientService(
            self._endpoint,
            Factory.forProtocol(Protocol),
            lambda attempts: delay(attempts + self._endpoint.in_vain),
            clock,
        )
        self._runs = False

    def start(self) -> None:
        """Dial, if there is an address."""
        self._runs = True
        if self._endpoint.addresses:
            self._service.startService()

    def stop(self) -> Deferred[None]:
        """Dial no more; a link that there is stays."""
        self._runs = False
        stopped: Deferred[None] = self._service.stopService()
        return stopped

    def redial(self, addresses: Sequence[IStreamClientEndpoint], where: str = "") -> None:
        """It has these addresses now, written so: they are tried at once, unless there is a link."""
        self._endpoint.addresses = tuple(addresses)
        self._endpoint.where = where or "its address"
        self._endpoint.in_vain = 0
        if self._runs:
            self._service.stopService().addCallback(lambda _: self._start_again())

    def _start_again(self) -> None:
        if self._runs:
            self.start()

    def link_changed(self) -> None:
        """The link came up or went down."""
        self._endpoint.link_changed()

    @property
    def connections(self) -> list[LinkProtocol]:
        """Those that were dialled and are not lost."""
        return list(self._endpoint.connections)


@implementer(IStreamClientEndpoint)
class _Way:
    """To a node, as an endpoint: connects when there is a link.

    Invariant: at most one dial at a time; what `ClientService` was given is lost exactly when the link is.
    """

    _log = Logger()

    def __init__(
        self, neighbour: Neighbour, clock: IReactorTime, turn: Turn, explain: Callable[[Failure], str]
    ) -> None:
        self._neighbour = neighbour
        self._explain = explain
        self._linked: Linked = neighbour.linked
        self._clock = clock
        self._turn = turn
        self.addresses: tuple[IStreamClientEndpoint, ...] = ()
        self.where = ""
        self._up_since = 0.0
        self._wanted: tuple[IProtocolFactory, Deferred[IProtocol]] | None = None
        self._stand_in: _StandIn | None = None
        self.in_vain = 0
        """Links that came about and did not last, since one did."""
        self._dial: Deferred[None] | None = None
        self.connections: dict[LinkProtocol, None] = {}

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fires when there is a link, and fails when no address brought one."""
        connected: Deferred[IProtocol] = Deferred(lambda _: self._give_up())
        self._wanted = (factory, connected)
        if self._neighbour.link is not None:
            self._satisfy()
        else:
            self._dial = Deferred.fromCoroutine(self._try_all())
            self._dial.addErrback(self._failed)
        return connected

    def link_changed(self) -> None:
        """The link came up or went down."""
        if self._neighbour.link is None:
            self._look_how_long_it_was()
            stand_in, self._stand_in = self._stand_in, None
            if stand_in is not None:
                stand_in.is_lost()
        else:
            self._up_since = self._clock.seconds()
            self._satisfy()

    def _look_how_long_it_was(self) -> None:
        end = self._neighbour.last_end
        if self._clock.seconds() - self._up_since >= STEADY:
            self.in_vain = 0
        elif end is None or end.reason is not LinkEnd.LOST:
            self.in_vain += 1
        else:
            self.in_vain = max(self.in_vain, min(self.in_vain + 1, QUICK))

    def _satisfy(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            factory, connected = wanted
            protocol: Any = factory.buildProtocol(_NOWHERE)
            self._stand_in = _StandIn(protocol)
            protocol.makeConnection(self._stand_in)
            connected.callback(protocol)

    def _failed(self, failure: Failure) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            wanted[1].errback(failure)
        elif not failure.check(CancelledError, NotLinked):
            self._log.failure(
                "dialling {node!r} failed",
                failure,
                level=LogLevel.error,
                event="dial-failed",
                node=self._name,
            )

    def _give_up(self) -> None:
        self._wanted = None
        if self._dial is not None:
            self._dial.cancel()

    async def _try_all(self) -> None:
        """Each address in order, until there is a link."""
        faults: dict[str, None] = {}
        for endpoint in self.addresses:
            try:
                await self._try(endpoint)
            except CancelledError:
                raise
            except (ConnectingCancelledError, *_TIMEOUTS):
                if self._wanted is None and self._neighbour.link is None:
                    raise CancelledError from None  # by `_give_up`
                faults[f"no answer within {DIAL_TIME:g} s"] = None
            except NotLinked:
                pass  # why a connection ended is told where it ends
            except Exception as fault:
                faults[str(fault) or type(fault).__name__] = None
            if self._neighbour.link is not None:
                return
        self._linked.not_reached(self._neighbour, self.where, "; ".join(faults))
        raise NotLinked

    @property
    def _name(self) -> str:
        return self._neighbour.name.decode("utf-8", "replace")

    def __repr__(self) -> str:
        return self._name  # Twisted logs it

    async def _try(self, endpoint: IStreamClientEndpoint) -> None:
        """One address: returns when its connection is the link, or another one is; fails when it is over."""
        over: Deferred[None] = Deferred()
        links: list[Link] = []

        def made(link: Link) -> None:
            links.append(link)
            link.changed = changed

        def changed(link: Link) -> None:
            if not over.called:
                if link.phase is Phase.OPEN:
                    over.callback(None)
                elif link.phase is Phase.ENDED:
                    over.errback(NotLinked(link.ended_by.value if link.ended_by else "ended"))

        factory = LinkFactory(self._linked, self._clock, self._turn, self._neighbour.name, made, self._explain)
        factory.connections = self.connections
        connecting = endpoint.connect(factory)
        connecting.addTimeout(DIAL_TIME, self._clock)
        try:
            await connecting
        except Exception:
            over.addErrback(lambda failure: None)  # nobody waits for a connection that is made all the same
            raise
        await over


class _StandIn:
    """The transport of what `ClientService` takes for its connection."""

    disconnecting = False

    def __init__(self, protocol: Any) -> None:
        self._protocol: Any = protocol

    def is_lost(self) -> None:
        """There is no link any more."""
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connectionLost(Failure(ConnectionDone()))

    def loseConnection(self) -> None:
        """It is stopped: that is no reason for the link to end."""
        self.is_lost()

    abortConnection = loseConnection


_NOWHERE: Any = None
_TIMEOUTS = (defer.TimeoutError, error.TimeoutError)
