"""
What a node has around it where it has a process of its own.

In: a node, and the options of the program that runs it.  Out: the node's log, signals, systemd and watch on its
reactor joined to it.  Never: the process's end, which is for `nettool.tap`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from nettool.ops import logs
from nettool.ops.dump import Dump, rows_of
from nettool.ops.lag import ReactorLag
from nettool.ops.signals import Signals
from nettool.ops.systemd import Systemd
from nettool.service import NodeService


def join(
    node: NodeService,
    reactor: Any,
    program: Any,
    environment: Mapping[str, str],
    *,
    reload: Callable[[], object],
    log_format: str | None,
    log_level: str,
) -> logs.Log | None:
    """Give a node, which is not yet started, the log, the signals and the service manager of its process.

    `program`: the options of twistd or twist, around those of nettool; None if neither runs it.  The log is what
    `logs.observe` is to give the application, and what a reload `set`s; None if the process logs by something else.
    `SettingError` if the log cannot be opened.
    """
    log = logs.begin(program, reactor, log_format, log_level)
    if Systemd.is_there(environment):
        systemd = Systemd(reactor, environment, lambda: _bound(node), lambda: _status(node))
        node.addService(systemd)
        reload = systemd.around(reload)
    signals = Signals(
        reactor,
        drain=reactor.stop,
        abort=node.abort,
        HUP=reload,
        USR1=_nothing if log is None else log.rotate,
        USR2=Dump(reactor, lambda: rows_of(node), _never if log is None else log.is_behind).write,
    )
    node.addService(signals)
    node.addService(ReactorLag(reactor))
    if program is not None:  # else whoever runs it may want some of them for itself, and is asked later
        signals.hold()
    if log is not None:
        reactor.addSystemEventTrigger("after", "shutdown", log.end)
    return log


def _bound(node: NodeService) -> Deferred[Any]:
    return gatherResults([listener.bound() for listener in node.listeners], consumeErrors=True)


def _status(node: NodeService) -> str:
    return f"{len(node.peers.connections)} connections"


def _nothing() -> None:
    """There is no log file of ours."""


def _never() -> bool:
    """Whether it is behind is known of our log only."""
    return False
