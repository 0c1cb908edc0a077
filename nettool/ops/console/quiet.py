"""
conch's own log, which says much, at debug level.

In: conch's events.  Out: the same, at debug level; a fault at its own.  Never: what a client sent, at length.
"""

from __future__ import annotations

from twisted.conch.error import ConchError
from twisted.conch.ssh.service import SSHService
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, globalLogPublisher
from zope.interface import provider


@provider(ILogObserver)
def _at_debug(event: LogEvent) -> None:
    failure = event.get("log_failure")
    if failure is None or failure.check(ConchError):  # an answer, which conch raises and logs as a failure
        event = {**event, "log_level": LogLevel.debug}
        event.pop("log_failure", None)
    globalLogPublisher(event)


CONCH = Logger(namespace="nettool.ops.console.conch", observer=_at_debug)
"""What our classes have as `_log` instead of conch's: what matters to an operator they say themselves."""


class QuietService(SSHService):
    """A service that answers an unknown message without logging all of it, which may be a mebibyte."""

    _log = CONCH

    def packetReceived(self, messageNum: int, packet: bytes) -> object:
        """A message for this service."""
        name = self.protocolMessages.get(messageNum, "")
        call = getattr(self, f"ssh_{name[4:]}", None) if name else None
        if call is not None:
            return call(packet)
        assert self.transport is not None
        return self.transport.sendUnimplemented()
