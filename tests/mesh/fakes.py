"""A wire that is as slow as a test wants, and connections on a clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from zope.interface import implementer

from nettool.mesh import Connection, IWire, Mesh
from nettool.mesh.turn import MeshTurn


@implementer(IWire)
class FakeWire:
    """Takes payloads while it has room, in payloads; what it was given and did not take is unsent."""

    local_endpoint = "fake://here"
    remote_endpoint = "fake://there"

    def __init__(self, turn: MeshTurn) -> None:
        self.owner = Connection(self, turn)
        self.taken: list[bytes] = []
        self.writes = 0
        self.room = 10**9
        self.blocked = False
        self.reading = False
        self.max_envelope = 0
        self.finished = False
        self.aborted = False
        self._held: list[bytes] = []

    def write(self, payloads: list[bytes]) -> None:
        assert not self.blocked
        self.writes += 1
        self._held += payloads
        self._move()

    def _move(self) -> None:
        self.taken += self._held[: self.room]
        self.room, self._held = self.room - len(self._held[: self.room]), self._held[self.room :]
        self.blocked = bool(self._held)

    def take(self, room: int = 10**9) -> None:
        """The other end takes so many more."""
        self.room = room
        was_blocked = self.blocked
        self._move()
        if was_blocked and not self.blocked:
            self.owner.writable()

    def bring(self, *payloads: bytes) -> None:
        """The other end has sent these."""
        assert self.reading
        self.owner.arrived(list(payloads), sum(map(len, payloads)))

    def end(self, reason: BaseException | None = None) -> None:
        self.blocked = True
        self.owner.ended(reason or ConnectionDone())

    def pause(self) -> None:
        self.reading = False

    def resume(self) -> None:
        self.reading = True

    def limit(self, max_envelope: int) -> None:
        self.max_envelope = max_envelope

    def unsent(self) -> list[bytes]:
        return self._held

    def finish(self) -> None:
        self.finished = True
        self.end()

    def abort(self) -> None:
        self.aborted = True
        self.end(ConnectionAborted())


class FakeWires:
    """A mesh on a clock, whose connections a test plays."""

    def __init__(self, incoming: int = 8, outgoing: int = 4, **limits: Any) -> None:
        self.clock = Clock()
        self.turn = MeshTurn(self.clock)
        self.mesh = Mesh(incoming, outgoing, reactor=self.clock, **limits)
        self.told: list[Any] = []
        self.mesh.subscribe(self.told.append)

    def wire(self, id: Any = None) -> FakeWire:
        wire = FakeWire(self.turn)
        if id is not None:
            self.mesh.add(wire.owner, id)
        return wire

    def settle(self) -> None:
        self.clock.advance(0)
