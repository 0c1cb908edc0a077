"""
One address at which the node can be reached.

In: an endpoint and a factory.  Out: a service that binds, and closes.  Never: the fate of what was accepted: who came
by a listener stays when it is closed.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet import tcp
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.main import CONNECTION_DONE
from twisted.logger import Logger
from twisted.python.failure import Failure

from nettool.listening.endpoints import digest_of_files, endpoint_of, unusable
from nettool.listening.opening import Opening, rehearse

WAITING = 100
"""Rounds in which who waits to be accepted is, before a port is closed: new ones may come for ever."""


class Listener(Service):
    """One endpoint on which peers, or an operator's programs, connect.

    Invariant: it binds once; a failure to bind is raised to whoever asked for it, or told by `bound`.
    """

    _log = Logger()

    def __init__(
        self,
        description: str,
        endpoint: IStreamServerEndpoint | None,
        factory: IProtocolFactory,
        purpose: str = "",
        to_the_end: bool = False,
    ) -> None:
        """`description` is the endpoint's string, or empty where it was made without one.

        `purpose` says for whom it listens, if not for peers; `to_the_end`, that it accepts while the node drains.
        """
        self.description = description
        self.factory = factory
        self.purpose = purpose
        self.to_the_end = to_the_end
        self.opening: Opening | None = None
        """What the endpoint would do, where that can be known before; then that is done instead of asking it."""
        self.digest = b""
        """Of the files that the endpoint names, as they were when they were read."""
        self.port: IListeningPort | None = None
        self._reactor: Any = None
        self._endpoint = endpoint
        self._bound: Deferred[None] | None = None
        self._failure: Failure | None = None

    @classmethod
    def of(
        cls, reactor: Any, description: str, factory: IProtocolFactory, purpose: str = "", to_the_end: bool = False
    ) -> Listener:
        """A listener on the endpoint that a string describes; `SettingError` for one that cannot be used."""
        digest = digest_of_files(description)  # before they are read: a change between the two is found next time
        opening = rehearse(reactor, description, factory)
        endpoint = endpoint_of(reactor, description) if opening is None else None
        listener = cls(description, endpoint, factory, purpose, to_the_end)
        listener.opening, listener.digest, listener._reactor = opening, digest, reactor
        return listener

    # Binding

    def privilegedStartService(self) -> None:
        """Bind; a failure is raised here, and not logged while the node lives on deaf."""
        self.bind()

    def startService(self) -> None:
        """Bind, where nobody asked for it before."""
        super().startService()
        self.bind()

    def bind(self, leaving: Sequence[IListeningPort] = ()) -> None:
        """Bind, unless it is bound.  `leaving` are ports about to be closed, with which it may overlap."""
        if self._bound is not None:
            return
        if self.opening is not None:
            self.take(self.opening.bind(self._reactor, leaving))
            return
        assert self._endpoint is not None
        self._bound = bound = self._endpoint.listen(self.factory).addCallback(self._listening)
        now = bound.result if bound.called else None
        if isinstance(now, Failure):
            bound.addErrback(lambda failure: None)  # it is raised here instead
            if isinstance(now.value, OverflowError):  # a port that there is not
                raise unusable(self.description, now.value)
            now.raiseException()
        # An endpoint that takes its time cannot be waited for here; its failure must be seen all the same.
        bound.addErrback(self._failed_later)

    def take(self, port: IListeningPort) -> None:
        """This port is its own from now on."""
        self._bound = Deferred()
        self._listening(port)
        self._bound.callback(None)

    def _listening(self, port: IListeningPort) -> None:
        self.port = port

    def _failed_later(self, failure: Failure) -> None:
        self._failure = failure
        if not failure.check(CancelledError):
            self._log.critical(
                "cannot listen on {where}: {error}", event="cannot-listen", where=self.where, error=failure.value
            )

    def bound(self) -> Deferred[None]:
        """Fires when it is bound, and fails with what made that impossible; for endpoints that take their time."""
        told: Deferred[None] = Deferred()

        def tell(result: None) -> None:
            if self._failure is None:
                told.callback(None)
            else:
                told.errback(self._failure)

        if self._bound is not None:
            self._bound.addCallback(tell)
        return told

    # Its end

    def stopService(self) -> Deferred[Any]:
        """Accept no more."""
        super().stopService()
        if self._bound is not None:
            self._bound.cancel()
        port = self.give_up()
        stopped = None if port is None else port.stopListening()
        return gatherResults([stopped] if isinstance(stopped, Deferred) else [])

    def give_up(self) -> IListeningPort | None:
        """The port, which is no longer its own."""
        port, self.port = self.port, None
        return port

    @property
    def can_be_taken_over(self) -> bool:
        """Whether its port can accept for another factory."""
        port: Any = self.port
        return self.opening is not None and isinstance(port, tcp.Port)

    def close(self) -> Deferred[Any]:
        """Accept who has connected already, and nobody else: fires when that is so, which is at once on sockets.

        Twisted would close a port in the reactor's next turn, and reset who connects until then.
        """
        port: Any = self.port
        if not isinstance(port, tcp.Port):
            return self.stopService()
        _accept_waiting(self.give_up())
        port.stopReading()
        reason = Failure(CONNECTION_DONE)
        try:
            port.connectionLost(reason)
        except OSError as error:  # the file of a UNIX socket is gone; Twisted would leave all the rest as it is
            self._log.error(
                "could not close {where} whole: {error}", event="close-failed", where=self.description, error=error
            )
            lock = getattr(port, "lockFile", None)
            if lock is not None:
                lock.unlock()
            tcp.Port.connectionLost(port, reason)
        return self.stopService()

    @property
    def where(self) -> str:
        """The address that was bound, as `tcp:127.0.0.1:6388`: the real port where 0 was asked for.

        Of tcp and unix it is what `clientFromString` takes, so colons of an IPv6 address are escaped.
        """
        if self.port is None:
            return self.description or repr(self._endpoint)
        scheme = self.description.partition(":")[0]
        if scheme == "systemd":  # which tells how it came to be bound, not what it is
            scheme = ""
        address: Any = self.port.getHost()
        name = getattr(address, "name", None)
        if name is not None:
            return f"{scheme or 'unix'}:{name.decode() if isinstance(name, bytes) else name}"
        if not hasattr(address, "host"):  # somebody's endpoint, whose addresses are of a kind of its own
            return self.description or repr(self._endpoint)
        host = address.host.replace(":", "\\:")
        return f"{scheme or 'tcp'}:{host}:{address.port}"


def _accept_waiting(port: Any) -> None:
    """Accept who has connected already: closing the port resets them."""
    poll = select.poll()
    poll.register(port.fileno(), select.POLLIN)
    for _ in range(WAITING):
        if not poll.poll(0):
            return
        port.doRead()
