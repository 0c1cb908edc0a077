"""
A node to embed.

In: options as on the command line.  Out: a node that runs for the length of a `with`, or as a service.
Never: a second start.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IProtocol, IReactorCore, IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from nettool._reactor import process_reactor
from nettool.broker.ledger import LedgerSnapshot
from nettool.embed.inside import InsideEndpoint
from nettool.errors import Mistake, SettingError
from nettool.ops.levers import LeverError, Levers
from nettool.options import TABLE, from_keywords, settle
from nettool.service import NodeService
from nettool.settings import Settings

T = TypeVar("T")
P = TypeVar("P", bound=IProtocol)

# Those of the node itself: a log, a console and a status page are a process's own, `listen` has its own argument, and
# other nodes are made known by `link`.
_OPTIONS = [
    option
    for option in TABLE
    if option.group in ("node", "peers", "delivery", "links") and not option.several and option.name != "trusted-nodes"
]


class NotSent(Exception):
    """Text was not sent, or was given back at once; the message says why, and is escaped."""


class Node(NodeService):
    """A node inside a program or a test.

        async with Node(reactor) as node:
            bot = node.connect(Bot())

    On a `Clock` a plain `with` does too.  It is a Twisted service as well, and several may have one parent:
    `Node(reactor, listen=["tcp:6388"]).setServiceParent(application)`.

    Invariant: it touches nothing of the process but the reactor that it was given.
    """

    def __init__(
        self, reactor: Any = None, *, listen: Iterable[str | IStreamServerEndpoint] = (), **options: str | int
    ) -> None:
        """`reactor`: the process's own if there is none; any `IReactorTime`, such as a `Clock`, if nothing listens.

        `listen`: endpoints, or their descriptions, on which others may connect.  `options`: those of `twistd nettool`,
        with underscores and written as there (`outbox_bytes="1MiB"`, `topic_patience="0s"`, `max_peers=10`).
        `SettingError` for an endpoint or an option that cannot be used.
        """
        self._reactor = process_reactor() if reactor is None else reactor
        super().__init__(_settings_from(options), self._reactor, listen)
        self.setName(None)  # children of one parent have different names, or none
        self._inside = InsideEndpoint(
            self._reactor, self.live.node.name.decode(), self.peers, lambda: bool(self.running)
        )
        self._was_used = False
        self._at_shutdown: Any = None
        self._levers: Levers | None = None

    # As a service

    def privilegedStartService(self) -> None:
        """Bind all listeners."""
        self._refuse_second_start()
        super().privilegedStartService()

    def startService(self) -> None:
        """Accept peers from now on."""
        self._refuse_second_start()
        self._was_used = True
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Drain: flush, give back, say `bye`, close, for at most `drain-timeout` and a few seconds."""
        self._was_used = True
        return super().stopService()

    def _refuse_second_start(self) -> None:
        if self._was_used:
            raise RuntimeError("a node is started once: make another one")

    # For the length of a block

    async def __aenter__(self) -> Self:
        """Start.  What an endpoint raises when it cannot be bound is raised, and nothing is left bound.

        If the reactor is stopped within the block, the node is drained before it ends.
        """
        self._refuse_second_start()
        try:
            self.privilegedStartService()
            self.startService()
            await gatherResults([listener.bound() for listener in self.listeners], consumeErrors=True)
        except BaseException as error:
            await self._drained()
            if isinstance(error, FirstError):
                error.subFailure.raiseException()
            raise
        if IReactorCore.providedBy(self._reactor) and not isinstance(self._reactor, Clock):
            self._at_shutdown = self._reactor.addSystemEventTrigger("before", "shutdown", self._reactor_stops)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drain.  A `Clock` is turned as far as this takes, since nobody else can turn it meanwhile."""
        if self._at_shutdown is not None:
            self._reactor.removeSystemEventTrigger(self._at_shutdown)
        await self._drained()

    def __enter__(self) -> Self:
        """The same on a `Clock`, where nothing has to be awaited: for tests that are no coroutines."""
        if not isinstance(self._reactor, Clock):
            raise TypeError("`with` is for a node on a Clock; on a reactor it is `async with`")
        return _at_once(self.__aenter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drain, as `async with` does."""
        _at_once(self.__aexit__(kind, error, traceback))

    def _reactor_stops(self) -> Deferred[None]:
        self._at_shutdown = None
        return self.stopService()

    async def _drained(self) -> None:
        ended = self.stopService()
        if isinstance(self._reactor, Clock):
            while not ended.called and self._reactor.getDelayedCalls():
                due = min(call.getTime() for call in self._reactor.getDelayedCalls())
                self._reactor.advance(max(0.0, due - self._reactor.seconds()))
            self._reactor.advance(0)  # the peers are told
        await ended

    # What it is for

    def connect(self, protocol: P) -> P:
        """Make any protocol a peer, within the process: it is connected when this returns.

        `ConnectionRefusedError` if the node does not run; else what the protocol's `connectionMade` raises.
        """
        _result_of(connectProtocol(self._inside, protocol))
        return protocol

    def endpoint(self) -> IStreamClientEndpoint:
        """The same as an endpoint, for what brings a factory of its own."""
        return self._inside

    def address(self, name: str, node: str) -> str:
        """`name@node`: how a peer writes to somebody on another node, which is known by its name or by an address of
        it (`HOST:PORT`, as it is configured).  `LookupError` if there is no such node, or it is not trusted."""
        if node == self.live.node.name.decode():
            return f"{name}@{node}"
        if self.links is None:
            raise LookupError(f"there is no node {node}: this one is alone")
        return f"{name}@{self.links.node_at(node).decode()}"

    def send(self, to: str, text: str | bytes, *, node: str = "") -> None:
        """Send text, a line or several, to a topic, a name, or a name on another node (`node` is as `address` has it).

        It comes from `@` and this node's name, which no peer can be called, and is bounded as a peer's lines are:
        `NotSent` if nobody has the name, or the receiver has been full for too long.  What is given back later is
        counted, and told nobody; a peer (`connect`) is told.
        """
        if self._levers is None:
            self._levers = Levers(self, drain=self.stopService)
        try:
            self._levers.say(self.address(to, node) if node else to, text)
        except LeverError as error:
            raise NotSent(str(error)) from None

    @property
    def where(self) -> list[str]:
        """The addresses that were bound, as endpoint strings: real ports where 0 was asked for."""
        return [listener.where for listener in self.listeners]

    def totals(self) -> LedgerSnapshot:
        """What has become of every line until now."""
        return self.broker.snapshot()


def _settings_from(options: Mapping[str, object]) -> Settings:
    """Checked settings; what has no written form is refused, where `str` would make a name of None."""
    wrong = [
        Mistake((), f"expected text or a number, not {value!r}", name)
        for name, value in options.items()
        if not isinstance(value, str | int | float)
    ]
    if wrong:
        raise SettingError(*wrong)
    return settle([from_keywords({name: str(value) for name, value in options.items()}, _OPTIONS)], Settings())


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing but the clock it turns itself."""
    return _result_of(Deferred.fromCoroutine(coroutine))


def _result_of(deferred: Deferred[T]) -> T:
    """What a Deferred has fired with; raised if it is a failure."""
    results: list[T | Failure] = []
    deferred.addBoth(results.append)
    if not results:
        deferred.cancel()
        raise RuntimeError("it waits for something that its Clock does not bring about")
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result
