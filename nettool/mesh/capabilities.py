"""
Parts of a mesh, to be handed to those who need no more.

In: a mesh.  Out: objects with some of its calls.  Never: a call that was not meant to be handed on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from nettool.mesh.envelope import Envelope

if TYPE_CHECKING:
    from nettool.mesh.mesh import Mesh


class Sender:
    """Sends, and does nothing else; see `Mesh`."""

    __slots__ = ("send", "send_many", "send_when_ready")

    def __init__(self, mesh: Mesh) -> None:
        self.send = mesh.send
        self.send_when_ready = mesh.send_when_ready
        self.send_many = mesh.send_many


class Receiver:
    """Receives, and does nothing else; see `Mesh`."""

    __slots__ = ("_iterate", "recv", "recv_many")

    def __init__(self, mesh: Mesh) -> None:
        self.recv = mesh.recv
        self.recv_many = mesh.recv_many
        self._iterate = mesh.__aiter__

    def __aiter__(self) -> AsyncIterator[Envelope]:
        """See `Mesh.__aiter__`."""
        return self._iterate()


class Lifecycle:
    """Adds and removes connections, and is told of them; see `Mesh`."""

    __slots__ = ("add", "remove", "subscribe")

    def __init__(self, mesh: Mesh) -> None:
        self.add = mesh.add
        self.remove = mesh.remove
        self.subscribe = mesh.subscribe
