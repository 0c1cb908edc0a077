"""A hub that echoes, as a process: what `bench.mesh` measures.

In: what kind.  Out: the address that it listens at, on standard output; every envelope back to where it came from.
Never: an end by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import Int32StringReceiver

from nettool.mesh import Mesh, QueueFull, transport

reactor: Any = _reactor

CAPACITIES = 4096, 1024
"""Of the mesh's queues, in envelopes: a read of 160 KiB brings 1,500.  The other hubs' queues have no bound."""


class Echo(Int32StringReceiver):
    """The plain hub: a call in and a call out for each string."""

    def stringReceived(self, string: bytes) -> None:
        """Send it back."""
        self.sendString(string)  # type: ignore[no-untyped-call]


def int32() -> None:
    """What Twisted has."""
    port = reactor.listenTCP(0, Factory.forProtocol(Echo), interface="127.0.0.1")
    print(f"tcp://127.0.0.1:{port.getHost().port}", flush=True)


def zmq() -> None:
    """A ROUTER and its DEALERs, as pyzmq's own guide has it; it never returns."""
    import zmq as pyzmq

    socket = pyzmq.Context().socket(pyzmq.ROUTER)
    socket.setsockopt(pyzmq.SNDHWM, 0)
    socket.setsockopt(pyzmq.RCVHWM, 0)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    print(f"tcp://127.0.0.1:{port}", flush=True)
    while True:
        socket.send_multipart(socket.recv_multipart(copy=True))


async def _listen(mesh: Mesh, address: str = "tcp://127.0.0.1:0") -> None:
    listener = await transport("tcp").listen(address)
    print(listener.endpoint, flush=True)

    async def accept() -> None:
        number = 0
        async for connection in listener:
            mesh.add(connection, number)
            number += 1

    Deferred.fromCoroutine(accept())


async def iterate() -> None:
    """One envelope at a time."""
    mesh = Mesh(*CAPACITIES)
    await _listen(mesh)
    async for envelope in mesh:
        try:
            mesh.send(envelope)
        except QueueFull:
            await mesh.send_when_ready(envelope)


async def many(look: bool = False) -> None:
    """As many as there are: passed on as they came, or with a look at each."""
    mesh = Mesh(*CAPACITIES)
    await _listen(mesh)
    while True:
        envelopes = await mesh.recv_many(4096)
        if look and any(not envelope.payload for envelope in envelopes):
            raise SystemExit("bench.meshhub: an empty envelope came, and none was sent")
        try:
            mesh.send_many(envelopes)
        except QueueFull as full:
            for envelope in full.envelopes:
                await mesh.send_when_ready(envelope)


KINDS: dict[str, Callable[[], object]] = {
    "int32": int32,
    "zmq": zmq,
    "iterate": lambda: Deferred.fromCoroutine(iterate()),
    "many": lambda: Deferred.fromCoroutine(many()),
    "looked": lambda: Deferred.fromCoroutine(many(look=True)),
}

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
    reactor.run()
