"""
From a thread into the reactor's, and back.

In: calls, from any thread.  Out: their results, or their errors, in that thread.  Never: a reactor started twice, or
stopped; a call that waits for the thread it is made in, or for a reactor that has ended; anything shared with a forked
child.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ReactorNotRestartable
from twisted.python import threadable
from twisted.python.failure import Failure

from nettool._reactor import process_reactor
from nettool.mesh.errors import MeshClosed, WrongThread

START_TIMEOUT = 30.0
"""Seconds that the reactor has to start."""

_lock = threading.Lock()
_waiting: set[Future[Any]] = set()
"""What threads wait for: the reactor's end is theirs, too."""
_pid: int | None = None
"""The process in which the reactor runs that is used here."""
_told: list[bool] = []
"""Has an element once the reactor is to tell of its end."""
_stopped = "the reactor has been stopped"
_after_fork = "this process was forked: the connections are its parent's; make new ones in a process that is started"


def _start() -> Any:
    """The reactor, running: the one that runs already, or the process's, in a thread of its own from now on."""
    global _pid
    if _pid is None:
        _pid = os.getpid()
    check_process()
    reactor = process_reactor()
    if reactor.running and threadable.ioThread not in {thread.ident for thread in threading.enumerate()}:
        raise MeshClosed(_after_fork)  # `running` is the parent's; its thread stayed there
    with _lock:
        if not reactor.running:
            ready = threading.Event()
            reactor.callWhenRunning(ready.set)
            # Threads of the pool (it looks names up) would keep the process from ending: nothing stops this reactor.
            reactor.getThreadPool().threadFactory = _daemon
            thread = _daemon(target=_run, args=(reactor, ready), name="nettool.mesh reactor")
            thread.start()
            if not ready.wait(START_TIMEOUT):
                raise MeshClosed(f"the reactor did not start within {START_TIMEOUT:g} s")
            if not reactor.running:
                raise MeshClosed("the reactor has been stopped, and cannot be started again")
        if not _told:
            _told.append(True)
            # "before": next it joins the threads of its pool, which may be those that wait.  From this thread, since a
            # reactor that is told to stop now does not come to what is handed to its own: this appends to a list.
            reactor.addSystemEventTrigger("before", "shutdown", _reactor_stopped)
    return reactor


def _reactor_stopped() -> None:
    """Nothing that threads wait for will ever come."""
    for crossed in tuple(_waiting):
        if not crossed.done():
            crossed.set_exception(MeshClosed(_stopped))


def check_process() -> None:
    """Raise `MeshClosed` in a forked child: what it knows of meshes and connections is its parent's."""
    if os.getpid() != _pid:
        raise MeshClosed(_after_fork)


def _run(reactor: Any, ready: threading.Event) -> None:
    try:
        # No handlers: signals are for the program, in its main thread, where Ctrl-C interrupts whatever call waits.
        reactor.run(installSignalHandlers=False)
    except ReactorNotRestartable:
        pass  # whoever waits sees that it does not run
    finally:
        ready.set()


def _daemon(*arguments: Any, **named: Any) -> threading.Thread:
    return threading.Thread(*arguments, **named, daemon=True)


class Crossing:
    """Calls things in the reactor's thread and waits for them.

    Invariant: whoever waits is told of a result, an error, or the reactor's end.
    """

    def __init__(self) -> None:
        self._reactor = _start()

    def call(
        self, function: Callable[..., Any], *arguments: Any, put_back: Callable[[Any], object] | None = None
    ) -> Any:
        """The result of the call, or of the Deferred that it returns.

        If this thread is interrupted meanwhile, as by Ctrl-C, the Deferred is cancelled; what it brought all the same
        goes to `put_back`, in the reactor's thread.
        """
        check_process()
        if self._reactor.running and threadable.isInIOThread():
            raise WrongThread("this would block the reactor's own thread: use nettool.mesh.Mesh there")
        crossed: Future[Any] = Future()
        _waiting.add(crossed)  # first: a reactor that still runs then will tell of its end
        try:
            return self._cross(crossed, function, arguments, put_back)
        finally:
            _waiting.discard(crossed)

    def _cross(
        self,
        crossed: Future[Any],
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        put_back: Callable[[Any], object] | None,
    ) -> Any:
        # `running` is true until all that comes "before" the shutdown is done; nothing public says that it was told.
        if not self._reactor.running or self._reactor._stopped:
            raise MeshClosed(_stopped)
        pending: list[Deferred[Any]] = []

        def start() -> None:
            deferred = maybeDeferred(function, *arguments)
            pending.append(deferred)
            deferred.addCallbacks(partial(_settle, crossed.set_result), partial(_settle, crossed.set_exception))

        try:
            self._reactor.callFromThread(start)
            return crossed.result()
        except BaseException:
            if not crossed.done() or not _raised_by(crossed):
                self._reactor.callFromThread(_give_up, pending, crossed, put_back)
            raise


def _settle(settle: Callable[[Any], None], result: Any) -> None:
    try:
        settle(result.value if isinstance(result, Failure) else result)
    except InvalidStateError:
        pass  # the reactor has been stopped, and whoever waited knows


def _raised_by(crossed: Future[Any]) -> bool:
    """Whether the future itself raised: otherwise its waiting was interrupted."""
    return crossed.exception() is not None


def _give_up(pending: list[Deferred[Any]], crossed: Future[Any], put_back: Callable[[Any], object] | None) -> None:
    if not pending:
        return  # it was interrupted before it had crossed over
    if not crossed.done():
        pending[0].cancel()
    if put_back is not None and crossed.exception() is None:
        put_back(crossed.result())
