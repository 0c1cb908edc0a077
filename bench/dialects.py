"""What each server wants to hear and says: how a peer logs in, subscribes and publishes, and the bytes of a delivery.

In: peers, addresses and texts.  Out: exact bytes.  Never: sockets.  A further server is a further class here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from bench.plan import Addresses, Peer


class Dialect(ABC):
    """One server's protocol as a peer sees it.  Answers are awaited as the end of what came: a greeting may precede."""

    ping: bytes
    """Asks for `pong`, which the server sends after everything that was sent to this connection before."""
    pong: bytes
    unasked: bytes = b""
    """What the server may say of its own accord, once, within `unasked_seconds` after a login."""
    unasked_seconds: float = 0.0

    @abstractmethod
    def login(self, peer: Peer) -> bytes:
        """What a new connection sends to be this peer, to hear its topics, and to be told that both are done."""

    @abstractmethod
    def welcome(self, peer: Peer) -> bytes:
        """With what the answer to `login` ends."""

    @abstractmethod
    def publish(self, addresses: Addresses, text: bytes) -> bytes:
        """One text to one or more addresses."""

    @abstractmethod
    def delivery(self, sender: bytes, address: bytes, receiver: Peer, text: bytes) -> bytes:
        """What the receiver gets of a text that the sender sent to that address."""


class Nettool(Dialect):
    """Lines: `bob: text` in, `from alice: text` out."""

    ping = b"/ping ready\n"
    pong = b"pong ready\n"
    node = b"bench"

    def login(self, peer: Peer) -> bytes:
        return peer.name + b"\n" + b"".join(b"/join %s\n" % topic for topic in peer.topics) + self.ping

    def welcome(self, peer: Peer) -> bytes:
        joined = b"".join(b"ok join %s\n" % topic for topic in peer.topics)
        return b"ok login %s@%s\n" % (peer.name, self.node) + joined + self.pong

    def publish(self, addresses: Addresses, text: bytes) -> bytes:
        return b"%s: %s\n" % (b", ".join(addresses), text)

    def delivery(self, sender: bytes, address: bytes, receiver: Peer, text: bytes) -> bytes:
        if address.startswith(b"#"):
            return b"from %s to %s: %s\n" % (sender, address, text)
        return b"from %s: %s\n" % (sender, text)


class Nats(Dialect):
    """Subjects: a peer subscribes to its own name and to its topics.  No lists: one PUB for each address.

    The server sends no sender's name, so its deliveries say less than nettool's.
    """

    ping = b"PING\r\n"
    pong = b"PONG\r\n"
    # To measure the way to the client, 2.0 to 2.4 s after it connected whatever ping_interval says (2.9.10).
    unasked = b"PING\r\n"
    unasked_seconds = 2.6
    # echo: a peer does not hear itself on a topic, as with nettool.
    connect = b'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\n'

    def login(self, peer: Peer) -> bytes:
        subscribed = b"".join(
            b"SUB %s %s\r\n" % (self._subject(address), self._sid(address, peer))
            for address in (peer.name, *peer.topics)
        )
        return self.connect + subscribed + self.ping

    def welcome(self, peer: Peer) -> bytes:
        return self.pong

    def publish(self, addresses: Addresses, text: bytes) -> bytes:
        return b"".join(b"PUB %s %d\r\n%s\r\n" % (self._subject(address), len(text), text) for address in addresses)

    def delivery(self, sender: bytes, address: bytes, receiver: Peer, text: bytes) -> bytes:
        head = b"MSG %s %s %d\r\n" % (self._subject(address), self._sid(address, receiver), len(text))
        return head + text + b"\r\n"

    def _subject(self, address: bytes) -> bytes:
        return address.removeprefix(b"#")

    def _sid(self, address: bytes, peer: Peer) -> bytes:
        """The number of a peer's subscription, of fixed width: 0 for its name, then its topics."""
        return b"%02d" % (0 if address == peer.name else 1 + peer.topics.index(address))
