"""A hub that sends every envelope back to where it came from.

    python mesh_echo.py tcp://127.0.0.1:7000 ws://127.0.0.1:7001/hub

It listens at each address, prints where that is, and goes on until Ctrl-C.  All connections are in one mesh.
"""

import sys
from itertools import count

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from nettool.mesh import Disconnected, Mesh, QueueFull, transport


async def accept(listener, mesh, numbers):
    async for connection in listener:
        mesh.add(connection, next(numbers))


def tell(event):
    if isinstance(event, Disconnected):
        print(f"{event.id} has gone: {event.reason} ({len(event.unsent)} unsent)", flush=True)


async def main(reactor, *addresses):
    mesh, numbers = Mesh(), count(1)
    mesh.subscribe(tell)
    for address in addresses:
        listener = await transport().listen(address)
        print(listener.endpoint, flush=True)
        Deferred.fromCoroutine(accept(listener, mesh, numbers))
    async for envelope in mesh:
        try:
            mesh.send(envelope)
        except QueueFull:
            print(f"{envelope.id} does not read: its answer is dropped", flush=True)


react(main, sys.argv[1:] or ["tcp://127.0.0.1:7000"])
