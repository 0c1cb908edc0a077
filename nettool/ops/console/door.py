"""
The door of the manhole: all its connections, and their number.

In: connections.  Out: an SSH transport for each; consoles told of the node's end, and closed by it.
Never: a stranger who keeps an operator out by doing nothing; a console that keeps the node from its end.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from nettool.ops.console.auth import KeysOnly
from nettool.ops.console.channel import ConsoleChannel
from nettool.ops.console.keys import AuthorizedKeys
from nettool.ops.console.quiet import CONCH
from nettool.ops.console.transport import ConsoleConnection, ConsoleTransport
from nettool.ops.levers import Levers
from nettool.service import NodeService

ENTERING = 16
"""Connections on their way to be authenticated."""

ENTER_WITHIN = 60.0
"""Seconds from the connection until it is authenticated; somebody may have to type the passphrase of a key."""

INSIDE = 16
"""Connections of operators."""


class Door(SSHFactory):
    """The connections of one manhole.

    Invariant: a connection is `entering`, or inside, or neither: it was refused, or is lost.
    """

    noisy = False
    protocol = ConsoleTransport
    services = {b"ssh-userauth": KeysOnly, b"ssh-connection": ConsoleConnection}
    primes = None
    _log = CONCH
    _own = Logger()

    def __init__(
        self, node: NodeService, levers: Levers, host_key: Key, authorized: AuthorizedKeys, clock: IReactorTime
    ) -> None:
        self.node = node
        self.levers = levers
        self.authorized = authorized
        self.clock = clock
        self.publicKeys = {host_key.sshType(): host_key.public()}
        self.privateKeys = {host_key.sshType(): host_key}
        self.consoles: dict[ConsoleChannel, None] = {}
        self.opened = 0
        """How many there have been; the number of a console in the log."""
        self._entering: dict[ConsoleTransport, None] = {}
        self._inside: dict[ConsoleTransport, None] = {}
        self._all_gone: Deferred[None] | None = None

    def getService(self, transport: ConsoleTransport, service: bytes) -> Any:
        """What is asked for, if it is there, and for whom it is there."""
        if service == b"ssh-userauth" or transport in self._inside:
            return self.services.get(service)
        return None

    # What connections tell

    def connected(self, connection: ConsoleTransport) -> bool:
        """One more; whether it may go on."""
        if self.node.draining:
            connection.refuse("the node is ending", tell=False)
            return False
        if len(self._entering) >= ENTERING:
            # Who only connects must not keep others out: it makes room for them.  Keys are exchanged in milliseconds.
            idle = next((other for other in self._entering if not other.keyed), None)
            (idle or connection).refuse("too many are on their way in", tell=False)
            if idle is None:
                return False
            self._entering.pop(idle, None)
        self._entering[connection] = None
        connection.set_limit(ENTER_WITHIN, lambda: connection.refuse("it took too long to come in"))
        return True

    def came_in(self, connection: ConsoleTransport) -> str:
        """It has been authenticated; why it may not come in all the same, if so."""
        if len(self._inside) >= INSIDE:
            return f"there are {INSIDE} consoles already"
        if connection not in self._entering:
            return "it has left"
        del self._entering[connection]
        self._inside[connection] = None
        connection.set_limit(None)
        return ""

    def lost(self, connection: ConsoleTransport) -> None:
        """It is over."""
        self._entering.pop(connection, None)
        self._inside.pop(connection, None)
        if not self._inside and self._all_gone is not None:
            self._all_gone.callback(None)
            self._all_gone = None

    # The node's end

    def node_drains(self) -> None:
        """The drain has begun: who is on the way in is sent away, and who is inside is told, and may look on."""
        for connection in tuple(self._entering):
            connection.refuse("the node is ending", tell=False)
        for channel in tuple(self.consoles):
            channel.tell("the node drains; this console closes when it has")

    async def node_ended(self) -> None:
        """The drain is over: close all consoles, within `ENDING` seconds and a little."""
        for channel in tuple(self.consoles):
            channel.tell("the node has ended")
        for connection in tuple(self._inside):
            connection.say_goodbye("the node has ended")
        if self._inside:
            self._all_gone = Deferred()
            await self._all_gone


class AtEnd(Service):
    """Tells a door that the node's drain begins; a service, since that is what a node stops first."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def stopService(self) -> None:
        """The drain begins; nothing here is waited for."""
        super().stopService()
        self._door.node_drains()
