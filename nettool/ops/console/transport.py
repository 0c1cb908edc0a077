"""
One connection to the manhole: conch's SSH transport, and what it does not do by itself.

In: a client's bytes, which may be anything.  Out: conch's services, for clients that behave.  Never: a traceback for
what a stranger sends; a byte unpacked, or a request answered, out of its turn; more kept than a client takes.

What conch 26.10 leaves to us:

- nothing limits the time until somebody is authenticated, nor how many are on their way there;
- packets before the version line are looked at, and packets behind a disconnect are still worked off: of requests for
  authentication that come in one piece, all would be tried;
- zlib unpacks without a bound, before authentication too;
- what is malformed raises whatever `struct` or cryptography raise;
- its answers pile up for a client that does not read;
- small packets cost 40 microseconds each, and nothing limits their number.
"""

from __future__ import annotations

import socket
from itertools import chain
from typing import TYPE_CHECKING, Any

from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.transport import (
    DISCONNECT_BY_APPLICATION,
    DISCONNECT_PROTOCOL_ERROR,
    MSG_KEXINIT,
    SSHServerTransport,
)
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from nettool.addresses import address_text
from nettool.ops.console.keys import SIGNATURES
from nettool.ops.console.quiet import CONCH, QuietService
from nettool.ops.tables import printable

if TYPE_CHECKING:
    from nettool.ops.console.channel import ConsoleChannel
    from nettool.ops.console.door import Door

LONGEST_VERSION = 255
"""Bytes of a client's version line (RFC 4253, section 4.2)."""

MESSAGES = 100
"""Messages until somebody is authenticated; a client needs about ten, and four for each key that it offers."""

ENDING = 2.0
"""Seconds that a connection has to take the last that it is sent."""

KEEPALIVE = (60, 15, 4)
"""A console whose client has vanished is noticed after a minute of silence and four unanswered probes, 15 s apart."""


def _at_most(wanted: list[bytes], conch: list[bytes]) -> list[bytes]:
    return [algorithm for algorithm in wanted if algorithm in conch]


class ConsoleConnection(QuietService, SSHConnection):
    """conch's multiplexer of channels."""

    _log = CONCH
    channels: dict[int, ConsoleChannel]


@implementer(IPushProducer)
class ConsoleTransport(SSHServerTransport):
    """One connection.

    Invariant: it is read exactly while the client takes what it is sent; once it is refused nothing of it counts.
    """

    factory: Door
    transport: Any
    _log = CONCH
    _own = Logger()
    ourVersionString = b"SSH-2.0-nettool"
    # Whatever has a ssh client of the last ten years; nothing with SHA-1, CBC or a prime that must be found first.
    supportedKeyExchanges = _at_most(
        [
            b"mlkem768x25519-sha256",
            b"curve25519-sha256",
            b"curve25519-sha256@libssh.org",
            b"ecdh-sha2-nistp256",
            b"ecdh-sha2-nistp384",
            b"ecdh-sha2-nistp521",
        ],
        SSHServerTransport.supportedKeyExchanges,
    )
    supportedCiphers = _at_most([b"aes256-ctr", b"aes192-ctr", b"aes128-ctr"], SSHServerTransport.supportedCiphers)
    supportedMACs = [b"hmac-sha2-512", b"hmac-sha2-256"]
    supportedCompressions = [b"none"]

    def __init__(self) -> None:
        self.peer = ""
        """Where it comes from, as text."""
        self.keyed = False
        """Whether keys have been exchanged, which somebody who only connects does not do."""
        self._exchanges = False
        """Whether the client is exchanging keys; conch's own state tells who began, and is the same before."""
        self._version = b""
        self._messages = 0
        self._over = False
        self._paused = False
        self._timer: IDelayedCall | None = None

    # What Twisted tells

    def connectionMade(self) -> None:
        """Somebody has connected."""
        self.peer = printable(address_text(self.transport.getPeer()), keep="")
        self._notice_the_vanished()
        self.transport.registerProducer(self, True)
        # What is refused here is told nothing: there is no protocol yet in which it could be.
        if self.factory.connected(self):
            super().connectionMade()

    def _notice_the_vanished(self) -> None:
        handle = getattr(self.transport, "getHandle", lambda: None)()
        if isinstance(handle, socket.socket) and handle.family in (socket.AF_INET, socket.AF_INET6):
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in zip(("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), KEEPALIVE, strict=True):
                if hasattr(socket, option):
                    handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    def dataReceived(self, data: bytes) -> None:
        """Bytes came in.  Whatever is wrong with them ends this connection, and nothing else."""
        try:
            if not self.gotVersion:
                data = self._find_version(data)
            if data and not self._over:
                super().dataReceived(data)
        except Exception:
            self._broke(Failure())

    def connectionLost(self, reason: Failure | None = None) -> None:
        """It is over."""
        self._over = True
        self.set_limit(None)
        try:
            super().connectionLost(reason)
        except Exception:
            self._own.failure(
                "manhole: the end of a connection from {peer} failed",
                level=LogLevel.error,
                event="manhole-failed",
                peer=self.peer,
            )
        self.factory.lost(self)

    # As the producer of the transport below: the client's answers must not pile up, so who does not read is not read.

    def pauseProducing(self) -> None:
        """The client does not take what it is sent."""
        self._paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """It does."""
        self._paused = False
        if not self._over:
            self.transport.resumeProducing()
            self._go_on()

    def stopProducing(self) -> None:
        """It never will; `connectionLost` follows."""

    @property
    def takes(self) -> bool:
        """Whether something may be sent now: neither is the client slow, nor are new keys being exchanged."""
        return not (self._paused or self._over) and self._keyExchangeState == self._KEY_EXCHANGE_NONE

    def _go_on(self) -> None:
        if isinstance(self.service, ConsoleConnection):
            for channel in tuple(self.service.channels.values()):
                channel.flush()

    # What conch does in between

    def _find_version(self, data: bytes) -> bytes:
        """Let conch have the version line, and nothing but a version line; what is behind it."""
        self._version += data
        line, end, rest = self._version.partition(b"\n")
        if not line.startswith(b"SSH-" if end else b"SSH-"[: len(line)]) or len(line) > LONGEST_VERSION:
            self.refuse("what it says is not SSH", tell=False)
        elif end:
            self._version = b""
            super().dataReceived(line + end)
            return rest
        return b""

    def dispatchMessage(self, messageNum: int, payload: bytes) -> None:
        """A message, in its turn (RFC 4253, sections 5 and 7.1): before keys, and between, nothing but keys."""
        if self._over:
            self.buf = b""  # conch goes on to the end of what it has
            return
        if not isinstance(self.service, ConsoleConnection):
            self._messages += 1
            if self._messages > MESSAGES:
                self.refuse("too many messages before it came in")
                return
        about_keys = messageNum in (1, 2, 3, 4) or 20 <= messageNum <= 49
        again = messageNum == MSG_KEXINIT and self._exchanges
        if again or (not about_keys and (self._exchanges or not self.keyed)):
            self.refuse("a message out of its turn")
            return
        super().dispatchMessage(messageNum, payload)

    def ssh_KEXINIT(self, packet: bytes) -> None:
        """The client begins to exchange keys; until it has new ones it may say nothing else."""
        self._exchanges = True
        super().ssh_KEXINIT(packet)

    def ssh_NEWKEYS(self, packet: bytes) -> None:
        """The client has new keys, and so have we."""
        super().ssh_NEWKEYS(packet)
        self._exchanges = False
        self.keyed = self.sessionID is not None  # a client may say that it has new keys when there are none
        self._go_on()

    def sendExtInfo(self, extensions: object) -> None:
        """Tell which signatures a client may use; conch tells those of our own key, and clients of RSA keep theirs."""
        super().sendExtInfo([(b"server-sig-algs", b",".join(chain.from_iterable(SIGNATURES.values())))])

    def ssh_SERVICE_REQUEST(self, packet: bytes) -> None:
        """A service is asked for: once, since another try would begin the count of refusals anew."""
        if self.service is not None:
            self.refuse("a second service is asked for")
        else:
            super().ssh_SERVICE_REQUEST(packet)

    def sendDisconnect(self, reason: int, desc: bytes) -> None:
        """conch's own refusal."""
        if not self._over:
            why = printable(desc.decode("utf-8", "backslashreplace"), keep="")
            self._own.info("manhole: {peer} is refused: {why}", event="manhole-refused", peer=self.peer, why=why)
            self._disconnect(reason, desc)

    def _disconnect(self, reason: int, why: bytes) -> None:
        """Say goodbye, and close; what has not gone after `ENDING` is thrown away."""
        super().sendDisconnect(reason, why)
        self._ends()

    def ssh_DISCONNECT(self, packet: bytes) -> None:
        """The client says goodbye."""
        super().ssh_DISCONNECT(packet)
        self._ends()

    def _ends(self) -> None:
        self._over = True
        self.transport.unregisterProducer()  # a producer would keep the connection
        self.set_limit(ENDING, self.transport.abortConnection)

    # What its parts ask

    def refuse(self, why: str, tell: bool = True) -> None:
        """End it, for a reason that is logged, and told if there is somebody who would understand it."""
        if self._over:
            return
        self._own.info("manhole: {peer} is refused: {why}", event="manhole-refused", peer=self.peer, why=why)
        if tell:
            self._disconnect(DISCONNECT_PROTOCOL_ERROR, why.encode())
        else:
            self.abort()

    def say_goodbye(self, why: str) -> None:
        """End it, since the node does."""
        if not self._over:
            self._disconnect(DISCONNECT_BY_APPLICATION, why.encode())

    def abort(self) -> None:
        """End it at once."""
        self._over = True
        self.transport.abortConnection()

    def set_limit(self, seconds: float | None, call: Any = None) -> None:
        """Call this after so many seconds, instead of what would have been called; nothing for no time."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if seconds is None else self.factory.clock.callLater(seconds, call)

    def _broke(self, failure: Failure) -> None:
        """A stranger's nonsense, which is said in a line; or, of somebody who was let in, a fault, ours or conch's."""
        if isinstance(self.service, ConsoleConnection):
            self._own.failure(
                "manhole: the connection from {peer} failed",
                failure=failure,
                level=LogLevel.error,
                event="manhole-failed",
                peer=self.peer,
            )
        else:
            said = printable(f"{type(failure.value).__name__}: {failure.getErrorMessage()}", keep="")[:200]
            self._own.info(
                "manhole: {peer} is refused: it breaks the protocol ({why})",
                event="manhole-refused",
                peer=self.peer,
                why=said,
            )
        self.abort()
