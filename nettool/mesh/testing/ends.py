"""
Both ends of connections, and what a test does with them.

In: meshes.  Out: what was taken, what failed, what was told.  Never: a sleep.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from nettool._reactor import process_reactor
from nettool.mesh.connection import Connection
from nettool.mesh.envelope import Disconnected, Envelope, Event
from nettool.mesh.errors import QueueFull
from nettool.mesh.mesh import Mesh

BOUND = 30.0
"""Seconds after which what should have come has not: a bound for a broken transport, nothing that a test waits for."""
TURNS = 5
"""Turns of the reactor in which nothing happens, after which nothing will."""


async def turn(times: int = 1) -> None:
    """Let the reactor do what it has to do."""
    for _ in range(times):
        await deferLater(process_reactor(), 0)


async def fails(deferred: Deferred[Any], *errors: type[BaseException]) -> Any:
    """The error that it fails with, which has to be one of these."""
    try:
        result = await deferred
    except errors as error:
        return error
    raise AssertionError(f"it did not fail, but brought {result!r}")


async def fill(mesh: Mesh, id: str, size: int = 20_000) -> list[bytes]:
    """Send until nothing goes any more; what was taken."""
    taken: list[bytes] = []
    full = 0
    while full < TURNS:
        try:
            while True:
                payload = b"%d " % len(taken) + b"x" * size
                mesh.send(Envelope(id, payload))
                taken.append(payload)
                full = 0
        except QueueFull:
            full += 1
        await turn()
    return taken


class Ends:
    """Both ends of some connections, each end in a mesh of its own if it is in one; and what the meshes told."""

    def __init__(self) -> None:
        self.here = Mesh(64, 16)
        self.there = Mesh(64, 16)
        self.told_here: list[Event] = []
        self.told_there: list[Event] = []
        self.here.subscribe(self.told_here.append)
        self.there.subscribe(self.told_there.append)
        self.loose: list[Connection] = []

    async def disconnected(self, told: list[Event]) -> Disconnected:
        """The first `Disconnected` among these."""
        while True:
            for event in told:
                if isinstance(event, Disconnected):
                    return event
            await deferLater(process_reactor(), 0.001)
