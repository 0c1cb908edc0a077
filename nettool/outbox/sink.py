"""
A transport of Twisted's, as something that takes chunks and can tell how much of them it still holds.

In: chunks.  Out: what the kernel takes at once, taken at once; the rest in the transport's buffer, with its producer
paused.  Never: a remainder that pauses nobody on a plain socket; a chunk that overtakes another.

Whoever writes by chunks uses it: a peer's pump, and a stream of the mesh.

What Twisted 26.10 does, and what follows:

- A transport pauses its producer when its buffer exceeds `bufferSize`, and resumes it when the buffer is empty.  A
  remainder smaller than that would pause nobody, and nobody would know when it has gone.  So where a socket did not
  take a chunk whole, `bufferSize` is 0 for the moment in which the remainder is handed over.
- Writing at once instead of waiting for EPOLLOUT saves two system calls a write, and 9 microseconds a round trip.  It
  passes by everything above the socket, so only a plain socket's own transport may be written to so: never TLS, whose
  wrapper passes unknown attributes on to the socket below.
- TLS gathers small writes until the next turn (`BufferingTLSTransport`).  Who gathers by turns already writes past that
  (`TLSMemoryBIOProtocol.write`), and then all that was written is encrypted and in the socket's buffer.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IPushProducer, ITransport
from twisted.protocols.tls import TLSMemoryBIOProtocol

from nettool.interfaces import IOwnTransport
from nettool.settings import CHUNK, KERNEL_SEND_BUFFER, READ


class Sink:
    """One transport, written to by one producer.

    Invariant: on a plain socket the producer is paused exactly while `held` is not 0.
    """

    __slots__ = ("_own", "_send", "_transport", "broken", "left", "lowest")

    def __init__(self, transport: ITransport) -> None:
        self._transport: Any = transport
        self._own: Any = transport if IOwnTransport.implementedBy(type(transport)) else None
        self.lowest: Any = _socket_under(transport)  # a tcp.Connection, whose attributes mypy knows only in part
        """The transport of the socket itself, below TLS if there is any; nothing in memory."""
        self._send: Any = None
        """The socket's own `send`, where nothing lies between it and us."""
        self.broken = False
        """A write found that the connection is lost; the transport tells so in its own time."""
        self.left = 0
        """`held`, as it was after the last chunk that was not taken at once."""
        lowest: Any = self.lowest
        if lowest is not None:
            _set_up(lowest.getHandle())
            alone = lowest is self._transport
            if alone:
                self._send = lowest.getHandle().send
                lowest.bufferSize = READ
                lowest.SEND_LIMIT = CHUNK

    @property
    def plain(self) -> bool:
        """Whether nothing lies between us and the socket."""
        return self._send is not None

    @property
    def half_closes(self) -> bool:
        """Whether it can close its writing side alone; TLS as Twisted has it cannot."""
        return self.plain or self._own is not None

    @property
    def held(self) -> int:
        """Bytes in the transport's buffers; Twisted has no public name for what waits to join the first of them."""
        if self._own is not None:
            held: int = self._own.held
            return held
        lowest = self.lowest
        return 0 if lowest is None else len(lowest.dataBuffer) - lowest.offset + lowest._tempDataLen

    def register(self, producer: IPushProducer) -> None:
        """Let this producer be paused and resumed."""
        self._transport.registerProducer(producer, True)

    def unregister(self) -> None:
        """Nothing more will be written, and the transport may close."""
        self._transport.unregisterProducer()

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Hand over a chunk, of at most `CHUNK` bytes; the producer may be paused within this call."""
        transport = self._transport
        if self._send is None:
            if isinstance(transport, TLSMemoryBIOProtocol):
                TLSMemoryBIOProtocol.write(transport, bytes(chunk))
            else:
                transport.write(bytes(chunk))
            self.left = self.held
            return
        sent = 0
        if not transport.disconnecting:
            try:
                sent = self._send(chunk)
            except BlockingIOError:
                pass
            except OSError:
                self.broken = True  # the transport finds out for itself when it writes the chunk
        if sent == len(chunk):
            return
        rest = bytes(memoryview(chunk)[sent:]) if sent else bytes(chunk)
        read_size, transport.bufferSize = transport.bufferSize, 0
        try:
            transport.write(rest)
        finally:
            transport.bufferSize = read_size
        self.left = self.held


def _set_up(handle: socket.socket) -> None:
    """Set the options of a connection's socket."""
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_SEND_BUFFER)
    if handle.family != socket.AF_UNIX:
        # What is small is merged here where that is worth it; Nagle's algorithm would make the second wait for an ACK.
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _socket_under(transport: Any) -> Any:
    """The plain socket's transport at the bottom, below TLS; none in memory."""
    while transport is not None and not isinstance(transport, tcp.Connection):
        transport = getattr(transport, "__dict__", {}).get("transport")
    return transport
