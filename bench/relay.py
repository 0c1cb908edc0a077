"""Stands between two nodes and counts the bytes that they say to each other.

In: a connection from one node, and the port on which the other one waits.  Out: the bytes both ways.
Never: part of a timed run: what passes through it takes time of the generator's core.
"""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
RECEIVE = 256 * 1024


class Relay:
    """Passes on what it gets, in threads.

    Invariant: `carried` are the bytes that it got, both ways; it is less than that only until they are passed on.  When
    it is over, none of its threads is left.
    """

    def __init__(self) -> None:
        self.carried = 0
        self._to = 0
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = self._stack.enter_context(socket.create_server((HOST, 0)))
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A close alone does not wake who waits in accept() or recv().
        _shut(self._listener)
        self._threads[0].join()  # it starts the others
        self._stack.close()
        for thread in self._threads:
            thread.join()

    def leads_to(self, port: int) -> int:
        """Connections go on to this port of the loopback interface; the port on which they are taken."""
        self._to = port
        taken: int = self._listener.getsockname()[1]
        return taken

    def _start(self, call: object, *arguments: socket.socket) -> None:
        thread = threading.Thread(target=call, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                came, _ = self._listener.accept()
                goes = socket.create_connection((HOST, self._to))
            except OSError:
                return
            for end in (came, goes):
                self._stack.callback(end.close)
                self._stack.callback(_shut, end)
            self._start(self._pass_on, came, goes)
            self._start(self._pass_on, goes, came)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(RECEIVE):
                with self._lock:
                    self.carried += len(data)
                target.sendall(data)
        except OSError:
            pass  # the end of one is the end of the other
        _shut(target)


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is already
