"""
Connections to the web: their number, and their time.

In: connections from anybody.  Out: one request each, for `pages`.  Never: more than `MOST` connections, one that lasts
longer than `WITHIN`, a request's body.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource

MOST = 64
"""Connections.  Each is over as soon as it is answered; a page that is open makes five every two seconds."""

WITHIN = 30.0
"""Seconds from the connection to the last byte that it takes; twisted.web begins to count anew with each byte."""


class Visit(HTTPChannel):
    """A connection, and its one request.

    Invariant: it is among its site's visits from its beginning to its end, or until it made room for another one.
    """

    maxHeaders = 100
    site: Site
    _end: IDelayedCall

    def connectionMade(self) -> None:
        """Somebody has connected."""
        super().connectionMade()
        self._end = self.site.clock.callLater(WITHIN, self.abort)
        self.site.came(self)

    def abort(self) -> None:
        """End it at once."""
        transport: Any = self.transport
        transport.abortConnection()

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """One request for each connection.

        twisted.web would answer all requests that came in one read in one go, thousands of them if they are short,
        and nobody else would be served meanwhile; and nothing would bound an answer that is not read.
        """
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    def allHeadersReceived(self) -> None:
        """Nothing that is asked for takes a body: what follows the headers is not read, nor kept in a file."""
        self.length = 0
        super().allHeadersReceived()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """It is over."""
        if self._end.active():
            self._end.cancel()
        super().connectionLost(reason)
        self.site.left(self)


class Site(server.Site):
    """All visits.  Its protocol is HTTP/1.1 alone: its bounds are those of `Visit`."""

    protocol = Visit  # type: ignore[assignment]  # not a choice between this and HTTP/2
    noisy = False

    def __init__(self, resource: IResource, clock: IReactorTime) -> None:
        super().__init__(resource, reactor=clock, timeout=None)
        self.clock = clock
        self.visits: dict[Visit, None] = {}

    def came(self, visit: Visit) -> None:
        """One more; if they are too many the oldest makes room, so that who only connects keeps nobody out."""
        self.visits[visit] = None
        if len(self.visits) > MOST:
            oldest = next(iter(self.visits))
            del self.visits[oldest]
            oldest.abort()

    def left(self, visit: Visit) -> None:
        """One less."""
        self.visits.pop(visit, None)

    def startFactory(self) -> None:
        """Keep no access log: each page that is open would write a hundred lines a minute."""

    def stopFactory(self) -> None:
        """It is listened on no more: who has been answered may still read, within the time."""
        for visit in tuple(self.visits):
            visit.loseConnection()

    def log(self, request: object) -> None:
        """See `startFactory`."""

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may agree on."""
        return [b"http/1.1"]
