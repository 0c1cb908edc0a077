"""
An SSH client in memory: conch's, against a door that is given.

Whatever it does has happened, and been answered, when the call returns, but for what takes time.
"""

from __future__ import annotations

import struct
from typing import Any

from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.session import packRequest_pty_req, packRequest_window_change
from twisted.conch.ssh.transport import SSHClientTransport
from twisted.conch.ssh.userauth import SSHUserAuthClient
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.support.transport import SlowTransport


class SshSession(SSHChannel):
    """A session channel, as the client has it."""

    name = b"session"
    conn: Any

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.output = bytearray()
        self.status: int | None = None
        self.ended = False
        self.refused = False
        self.answers: list[bool] = []
        """To what was asked for, in order."""

    def openFailed(self, reason: Any) -> None:
        self.refused = True

    def dataReceived(self, data: bytes) -> None:
        self.output += data

    def request_exit_status(self, data: bytes) -> int:
        [self.status] = struct.unpack(">L", data)
        return 1

    def closed(self) -> None:
        self.ended = True


class SshClient:
    """One connection to a door."""

    def __init__(
        self, door: Any, clock: Clock, key: Key | None = None, user: bytes = b"operator", transport: Any = None
    ) -> None:
        """Without a key it says what it must, and no more; with another transport, what that says."""
        self.clock = clock
        self.is_gone = False
        self.server = door.buildProtocol(None)
        self.end = SlowTransport(self.server, clock)
        self.transport: Any = transport or _Transport(user, key)
        self.transport.makeConnection(self)
        self.server.makeConnection(self.end)
        self.settle()

    # As the transport of its own end

    def write(self, data: bytes) -> None:
        self.end.send(data)

    def loseConnection(self) -> None:
        self.end.end_input()

    def getPeer(self) -> Any:
        return self.end.getHost()

    getHost = getPeer

    def logPrefix(self) -> str:
        return "test"

    # What the test does

    def settle(self) -> None:
        """Let happen what needs no time."""
        while True:
            self.clock.advance(0)
            data = b"" if self.is_gone else bytes(self.end.received)
            self.end.received.clear()
            if data:
                self.transport.dataReceived(data)
            elif not any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
                return

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()

    def vanish(self) -> None:
        """Be gone, without a word."""
        self.is_gone = True
        self.end.reset()
        self.transport.connectionLost(Failure(ConnectionDone()))
        self.settle()

    @property
    def is_in(self) -> bool:
        """Whether it has been let in."""
        return self.transport.connection.is_started

    @property
    def is_cut_off(self) -> bool:
        return self.end.lost is not None

    @property
    def refusals(self) -> int:
        """How often it was refused a method, or a key."""
        return self.transport.auth.refusals

    def open(self, **options: Any) -> SshSession:
        """A session, in which nothing has been asked for yet."""
        session = SshSession(**options)
        self.transport.connection.openChannel(session)
        self.settle()
        return session

    def ask(self, session: SshSession, kind: bytes, data: bytes = b"") -> bool:
        """Ask for something; whether it was done."""
        told: Deferred[Any] = session.conn.sendRequest(session, kind, data, wantReply=1)
        told.addCallbacks(lambda _: session.answers.append(True), lambda _: session.answers.append(False))
        self.settle()
        return session.answers.pop()

    def run(self, source: str | bytes, **options: Any) -> SshSession:
        """`ssh host 'source'`."""
        session = self.open(**options)
        self.start(session, b"exec", NS(source))
        return session

    def start(self, session: SshSession, kind: bytes, data: bytes = b"") -> None:
        assert self.ask(session, kind, data)

    def prompt(self, columns: int = 80, rows: int = 24, **options: Any) -> SshSession:
        """`ssh host`, at a terminal of that size."""
        session = self.open(**options)
        assert self.ask(session, b"pty-req", packRequest_pty_req(b"xterm", (rows, columns, 0, 0), b""))
        self.start(session, b"shell")
        return session

    def resize(self, session: SshSession, columns: int, rows: int = 24) -> None:
        assert self.ask(session, b"window-change", packRequest_window_change((rows, columns, 0, 0)))

    def type(self, session: SshSession, keys: str | bytes) -> bytes:
        """Type, and take what is printed then."""
        session.output.clear()
        session.write(keys.encode() if isinstance(keys, str) else keys)
        self.settle()
        return bytes(session.output)

    def end_input(self, session: SshSession) -> None:
        session.conn.sendEOF(session)
        self.settle()


class _Connection(SSHConnection):
    is_started = False

    def serviceStarted(self) -> None:
        super().serviceStarted()
        self.is_started = True


class _Auth(SSHUserAuthClient):
    """Offers one key, or, without one, leaves what follows to the test."""

    methods = b""
    """What the server last said that may be tried."""

    def __init__(self, user: bytes, connection: Any, key: Key | None) -> None:
        super().__init__(user, connection)
        self.key = key
        self.refusals = 0
        self.was_offered = False

    def ssh_USERAUTH_FAILURE(self, packet: bytes) -> Any:
        self.refusals += 1
        self.methods = packet
        if self.key is not None:
            return super().ssh_USERAUTH_FAILURE(packet)
        return None  # the test goes on by hand

    def ssh_USERAUTH_PK_OK(self, packet: bytes) -> Any:
        return None if self.key is None else super().ssh_USERAUTH_PK_OK(packet)

    def getPublicKey(self) -> Key | None:
        if self.key is None or self.was_offered:
            return None
        self.was_offered = True
        return self.key.public()

    def getPrivateKey(self) -> Deferred[Key]:
        assert self.key is not None
        return succeed(self.key)

    def getPassword(self, prompt: bytes | None = None) -> None:
        return None


class _Transport(SSHClientTransport):
    def __init__(self, user: bytes, key: Key | None) -> None:
        self.connection = _Connection()
        self.auth = _Auth(user, self.connection, key)

    def verifyHostKey(self, hostKey: bytes, fingerprint: bytes) -> Deferred[int]:
        self.host_key = hostKey
        return succeed(1)

    def connectionSecure(self) -> None:
        if self.service is None:  # and not when keys are exchanged anew
            self.requestService(self.auth)
