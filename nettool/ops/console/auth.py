"""
Who may come in: those whose public key is in the file, and who can sign with it.

In: requests for authentication.  Out: an operator, or a refusal.  Never: a password, an empty one included; a key that
is looked at closer before it is found in the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.conch.avatar import ConchUser
from twisted.conch.error import ConchError, IgnoreAuthentication
from twisted.conch.interfaces import IConchUser
from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.connection import OPEN_ADMINISTRATIVELY_PROHIBITED, OPEN_RESOURCE_SHORTAGE
from twisted.conch.ssh.userauth import MSG_USERAUTH_PK_OK, MSG_USERAUTH_REQUEST, SSHUserAuthServer
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from nettool.ops.console.channel import ConsoleChannel
from nettool.ops.console.keys import AuthorizedKey, fingerprint_of
from nettool.ops.console.quiet import CONCH, QuietService
from nettool.ops.tables import printable

if TYPE_CHECKING:
    from nettool.ops.console.transport import ConsoleTransport

ATTEMPTS = 6
"""Refusals before the connection is closed; each key that a client offers and the file does not have is one."""

REQUESTS = 20
"""Requests of any kind before that: asking whether a key would do, and asking for none, is free of refusals."""

CHANNELS = 10
"""Consoles on one connection."""

SMALLEST_PACKET = 1024
"""Bytes that a client must take at a time: to print one byte a packet would keep the node busy."""


class Operator(ConchUser):
    """Somebody who has come in."""

    _log = CONCH

    def __init__(self, key: AuthorizedKey, transport: ConsoleTransport) -> None:
        super().__init__()
        self.key = key
        self.transport = transport

    def lookupChannel(self, channelType: bytes, windowSize: int, maxPacket: int, data: bytes) -> ConsoleChannel:
        """A console; nothing is forwarded to anywhere."""
        if channelType != b"session":
            raise ConchError(OPEN_ADMINISTRATIVELY_PROHIBITED, "there are consoles only")
        if maxPacket < SMALLEST_PACKET:
            raise ConchError(OPEN_RESOURCE_SHORTAGE, "packets that small are not sent")
        if len(self.conn.channels) >= CHANNELS:
            raise ConchError(OPEN_RESOURCE_SHORTAGE, "too many consoles on one connection")
        return ConsoleChannel(remoteWindow=windowSize, remoteMaxPacket=maxPacket, data=data, avatar=self)

    def gotGlobalRequest(self, requestType: bytes, data: bytes) -> int:
        """Nothing is done for the connection as a whole; being asked whether it lives, it says no, and so lives."""
        return 0


class KeysOnly(QuietService, SSHUserAuthServer):
    """conch's authentication, with public keys of our file, and nothing else."""

    attemptsBeforeDisconnect = ATTEMPTS - 1  # conch disconnects when there are more
    supportedAuthentications = [b"publickey"]
    transport: ConsoleTransport
    _log = CONCH
    _own = Logger()

    def serviceStarted(self) -> None:
        """Begin.  The time limit is the transport's, since it has to count what comes before, too."""
        self.authenticatedWith: list[bytes] = []
        self.loginAttempts = 0
        self.requests = 0
        self.user: bytes | None = None
        self.nextService: bytes | None = None
        self._cancelLoginTimeout: Any = None

    def ssh_USERAUTH_REQUEST(self, packet: bytes) -> Deferred[Any] | None:
        """One more request."""
        self.requests += 1
        if self.requests > REQUESTS:
            self.transport.refuse("too many requests for authentication")
            return None
        result: Deferred[Any] | None = super().ssh_USERAUTH_REQUEST(packet)
        return result

    def auth_publickey(self, packet: bytes) -> Deferred[Any]:
        """A client shows a key, to ask whether it would do, or to prove that it has the private half."""
        try:
            is_signed = packet[:1] == b"\1"
            algorithm, blob, rest = getNS(packet[1:], 2)
            signature = getNS(rest)[0] if is_signed else b""
        except Exception:
            return fail(UnauthorizedLogin("a request that cannot be read"))
        door = self.transport.factory
        key = door.authorized.find(blob)
        if key is None:
            shown = fingerprint_of(blob)
            self._own.info(
                "manhole: {peer} shows {key}, which may not come in",
                event="manhole-key-unknown",
                peer=self.transport.peer,
                key=shown,
            )
            return fail(UnauthorizedLogin("a key that is not in the file"))
        if algorithm not in key.signatures or self.nextService != b"ssh-connection":
            return fail(UnauthorizedLogin("a signature of a kind, or for a service, that there is not"))
        if not is_signed:
            self.transport.sendPacket(MSG_USERAUTH_PK_OK, NS(algorithm) + NS(blob))
            return fail(IgnoreAuthentication())
        if not self._verify(key, algorithm, blob, signature):
            self._own.warn(
                "manhole: {peer} has no right signature for {key}",
                event="manhole-signature-wrong",
                peer=self.transport.peer,
                key=str(key),
            )
            return fail(UnauthorizedLogin("a wrong signature"))
        return self._come_in(key, door)

    def _come_in(self, key: AuthorizedKey, door: Any) -> Deferred[Any]:
        full = door.came_in(self.transport)
        if full:
            self.transport.refuse(full)
            return fail(IgnoreAuthentication())
        self._own.info(
            "manhole: {key} came in from {peer} as {user}",
            event="manhole-entered",
            key=str(key),
            peer=self.transport.peer,
            user=printable((self.user or b"").decode("utf-8", "backslashreplace"), keep="")[:64],
        )
        return succeed((IConchUser, Operator(key, self.transport), lambda: None))

    def _verify(self, key: AuthorizedKey, algorithm: bytes, blob: bytes, signature: bytes) -> bool:
        """Whether the signature is right, and for this session, user and key (RFC 4252, section 7)."""
        session = self.transport.sessionID
        if session is None or self.user is None or self.nextService is None:
            return False
        signed = (
            NS(session)
            + bytes((MSG_USERAUTH_REQUEST,))
            + NS(self.user)
            + NS(self.nextService)
            + NS(b"publickey")
            + b"\1"
            + NS(algorithm)
            + NS(blob)
        )
        try:
            # The signature names its algorithm again, and by that name it is verified.
            return getNS(signature)[0] == algorithm and bool(key.key.verify(signature, signed))
        except Exception:  # whatever conch or cryptography say of such bytes
            return False
