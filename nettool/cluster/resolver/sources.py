"""
Sources of addresses that need no network: the configuration, and a file that is watched.

In: nodes; a path and a clock.  Out: what they say, as long as they make sense.
Never: a node forgotten because a file is gone, half written or wrong.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from nettool.cluster.resolver.addresses import Nodes, parse_nodes
from nettool.cluster.resolver.known import KnownNodes
from nettool.errors import SettingError
from nettool.files import read_file

EVERY = 0.4
"""Seconds between two looks at a file: what two of them find is taken, so that a change takes less than a second."""


class SourceResolver(KnownNodes, Service):
    """A source of addresses, which has something to say from its start to its end."""

    fault = ""
    """Why what it knows may be out of date; empty if it is not."""


class StaticResolver(SourceResolver):
    """Nodes that stay where they are."""

    def __init__(self, nodes: Nodes) -> None:
        super().__init__()
        self.become(nodes)


class FileResolver(SourceResolver):
    """A list of nodes in a file.

    Invariant: what it knows is the whole of what the file had at some time, without a mistake.

    It is read again and again, which finds every change, on every file system and however the file was replaced.  With
    50 nodes a look took 94 µs (timeit, a busy core).  A change counts when it is found twice, so that a file which is
    just being written is not taken for a shorter one.
    """

    _log = Logger()

    def __init__(self, path: str, clock: Any) -> None:
        super().__init__()
        self.path = path
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        self._taken: bytes | str | None = None
        """What was found when it counted last: a content, or why there is none."""
        self._found: bytes | str | None = None
        """What was found by the last look."""

    def startService(self) -> None:
        """Know what the file says now, and look at it from now on."""
        super().startService()
        self._found = self._read()
        self._loop.start(EVERY).addErrback(self._broken)

    def stopService(self) -> None:
        """Look no more; what is known stays."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _read(self) -> bytes | str:
        try:
            return read_file(self.path).content
        except OSError as error:
            return f"it cannot be read: {error.strerror}"

    def _broken(self, failure: Failure) -> None:
        self._log.failure("a list of nodes is watched no more", failure, event="watch-failed")

    def _look(self) -> None:
        before, self._found = self._found, self._read()
        if self._found == before and self._found != self._taken:
            self._taken = self._found
            self._take(self._found)

    def _take(self, found: bytes | str) -> None:
        fault = ""
        try:
            if isinstance(found, str):
                raise SettingError(f"{self.path}: {found}")
            nodes = parse_nodes(found, self.path)
        except SettingError as error:
            fault = str(error)
            if fault != self.fault:
                self._log.error("nodes stay where they were: {fault}", event="nodes-kept", fault=fault)
        else:
            self.become(nodes)
            self._log.info(
                "addresses of nodes in {where}: {count}",
                event="nodes-found",
                where=self.path,
                count=sum(map(len, nodes.values())),
            )
        self.fault = fault
