"""
What systemd is told of the node, and asks of it.

In: the environment that systemd gives its services, and what happens to the node.  Out: datagrams, as sd_notify(3) has
them: ready, reloading, stopping, a status, and signs of life.  Never: a wait for systemd, or an error because of it.

The few lines are our own: what there is on PyPI is either bindings to libsystemd in C, or as short and unmaintained.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

STATUS_EVERY = 30.0
"""Seconds between two looks at whether the status has changed."""

DRAIN_EVERY = 5.0
"""Seconds between two signs that a drain goes on."""

DRAIN_EXTENSION = 20
"""Seconds for which systemd is asked to wait from each such sign on, beyond TimeoutStopSec too: a drain has limits of
its own, and only one that no longer turns is to be killed."""

RETRY = 0.1
"""Seconds until a datagram that systemd had no room for is sent again."""


class Systemd(Service):
    """The service manager's view of this process; made only where there is one (`is_there`).

    Invariant: messages leave in their order; WATCHDOG=1 is said by a timer of the reactor's, so only while it turns.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        environment: Mapping[str, str],
        bound: Callable[[], Deferred[Any]],
        status: Callable[[], str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`bound` fires when every listener is bound; `status` is one line that says how the node is."""
        self.setName("systemd")
        self._reactor = reactor
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._environment = environment
        self._watchdog: float | None = None
        self._bound = bound
        self._status = status
        self._monotonic = monotonic
        self._ready = self._draining = False
        self._told_status = ""
        self._unsent: deque[str] = deque()
        # Kept open: without a descriptor to spare, a node that is alive must still be able to say so.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._retry_is_due = self._complained = False

    @staticmethod
    def is_there(environment: Mapping[str, str]) -> bool:
        """Whether systemd, or whoever speaks its language, wants to be told."""
        return bool(_address(environment.get("NOTIFY_SOCKET", "")))

    # What happens to the node

    def startService(self) -> None:
        """Say that it is ready, as soon as the reactor runs and all listeners are bound."""
        super().startService()
        self._watchdog = _watchdog_seconds(self._environment)  # not before twistd has become a daemon, if it does
        self._reactor.addSystemEventTrigger("after", "shutdown", self.close)
        self._reactor.callWhenRunning(self._when_running)

    def _when_running(self) -> None:
        self._tick()
        self._bound().addCallbacks(self._is_ready, self._cannot_be_ready)

    def _is_ready(self, result: object) -> None:
        if not self._draining:
            self._ready = True
            self._say("READY=1", self._new_status())

    def _cannot_be_ready(self, failure: Failure) -> None:
        self._say("STATUS=cannot listen: " + _one_line(failure.getErrorMessage()))

    def around(self, reload: Callable[[], object]) -> Callable[[], Deferred[Any]]:
        """The same reload, of which systemd is told when it begins and ends, however it ends."""

        def told() -> Deferred[Any]:
            if self._ready and not self._draining:
                self._say("RELOADING=1", f"MONOTONIC_USEC={int(self._monotonic() * 1_000_000)}")
            return maybeDeferred(reload).addBoth(self._reloaded)

        return told

    def _reloaded(self, result: object) -> object:
        if self._ready and not self._draining:
            self._say("READY=1", self._new_status())
        return result

    def stopService(self) -> None:
        """The drain begins: systemd is asked to wait as long as the reactor turns, whose end is that of all timers."""
        super().stopService()
        if not self._draining:
            self._draining = True
            self._say("STOPPING=1", "STATUS=draining")
            self._goes_on()

    def close(self) -> None:
        """Tell nothing any more."""
        self._unsent.clear()
        self._socket.close()

    # Time

    def _tick(self) -> None:
        every = STATUS_EVERY if self._watchdog is None else min(STATUS_EVERY, self._watchdog / 2)
        self._reactor.callLater(every, self._tick)
        if self._unsent:  # what waits already is no sign of life, and comes first
            return
        words = [] if self._watchdog is None else ["WATCHDOG=1"]
        if self._ready and not self._draining:
            before, status = self._told_status, self._new_status()
            words += [status] if self._told_status != before else []
        if words:
            self._say(*words)

    def _goes_on(self) -> None:
        self._reactor.callLater(DRAIN_EVERY, self._goes_on)
        self._say(f"EXTEND_TIMEOUT_USEC={DRAIN_EXTENSION * 1_000_000}")

    # Datagrams

    def _new_status(self) -> str:
        self._told_status = _one_line(self._status())
        return f"STATUS={self._told_status}"

    def _say(self, *assignments: str) -> None:
        self._unsent.append("\n".join(assignments))
        self._send()

    def _send(self) -> None:
        while self._unsent:
            try:
                self._socket.sendto(self._unsent[0].encode("utf-8", "backslashreplace"), self._address)
            except BlockingIOError:
                if not self._retry_is_due:
                    self._retry_is_due = True
                    self._reactor.callLater(RETRY, self._try_again)
                return
            except OSError as error:
                self._complain(error)
            self._unsent.popleft()

    def _complain(self, error: OSError) -> None:
        if not self._complained:  # once, not with every sign of life
            self._complained = True
            self._log.error("systemd cannot be told: {error}", event="systemd-unreachable", error=str(error))

    def _try_again(self) -> None:
        self._retry_is_due = False
        self._send()


def _address(notify_socket: str) -> str:
    """A path, or a name in the abstract namespace; empty for none, or one of a kind that is not known here."""
    if notify_socket.startswith("@"):
        return "\0" + notify_socket[1:]
    return notify_socket if notify_socket.startswith("/") else ""


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """How long systemd waits for a sign of life; None if it does not, or means another process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        seconds = int(environment.get("WATCHDOG_USEC", "")) / 1_000_000
    except ValueError:
        return None
    return seconds if seconds > 0 else None


def _one_line(text: str) -> str:
    return " ".join(text.split())
