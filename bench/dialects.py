"""What each server wants to hear and says: how a peer logs in, subscribes and publishes, and the bytes of a delivery.

In: peers, addresses and texts.  Out: exact bytes.  Never: sockets.  A further server is a further class here.

Only nettool says who sent a line and takes a list of addresses; the others' deliveries say less, and they get one
message for each address.
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
    """What the server says of its own accord, once, `unasked_seconds` after a login: later where it has much to do."""
    unasked_seconds: float = 0.0
    echoes: bool = False
    """A sender that hears a topic gets its own lines to it: the server delivers them too, so they are counted."""

    @abstractmethod
    def login(self, peer: Peer) -> bytes:
        """What a new connection sends to be this peer, to hear its topics, and to be told that both are done."""

    @abstractmethod
    def welcome(self, peer: Peer) -> bytes:
        """With what the answer to `login` ends."""

    def ends(self, answer: bytes) -> tuple[bytes, ...]:
        """With what may end all that is read until this answer: what is said unasked may come in the same read."""
        return (answer, answer + self.unasked)

    @abstractmethod
    def publish(self, addresses: Addresses, text: bytes) -> bytes:
        """One text to one or more addresses."""

    @abstractmethod
    def delivery(self, sender: Peer, address: bytes, receiver: Peer, text: bytes) -> bytes:
        """What the receiver gets of a text that the sender sent to that address."""


class Nettool(Dialect):
    """Lines: `bob: text` in, `from alice: text` out."""

    ping = b"/ping ready\n"
    pong = b"pong ready\n"

    @staticmethod
    def node(number: int) -> bytes:
        """The name of a node."""
        return b"bench%d" % number

    def login(self, peer: Peer) -> bytes:
        return peer.name + b"\n" + b"".join(b"/join %s\n" % topic for topic in peer.topics) + self.ping

    def welcome(self, peer: Peer) -> bytes:
        joined = b"".join(b"ok join %s\n" % topic for topic in peer.topics)
        return b"ok login %s@%s\n" % (peer.name, self.node(peer.node)) + joined + self.pong

    def publish(self, addresses: Addresses, text: bytes) -> bytes:
        return b"%s: %s\n" % (b", ".join(addresses), text)

    def delivery(self, sender: Peer, address: bytes, receiver: Peer, text: bytes) -> bytes:
        name = sender.name if sender.node == receiver.node else b"%s@%s" % (sender.name, self.node(sender.node))
        if address.startswith(b"#"):
            return b"from %s to %s: %s\n" % (name, address, text)
        return b"from %s: %s\n" % (name, text)


class Nats(Dialect):
    """Subjects: a peer subscribes to its own name and to its topics."""

    ping = b"PING\r\n"
    pong = b"PONG\r\n"
    # To measure the way to the client, 2.0 to 2.4 s after it connected whatever ping_interval says (2.9.10).
    unasked = b"PING\r\n"
    unasked_seconds = 2.6
    # echo: a peer does not hear itself on a topic, as with nettool.
    connect = b'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\n'

    def login(self, peer: Peer) -> bytes:
        subscribed = b"".join(
            b"SUB %s %s\r\n" % (_channel(address), self._sid(address, peer)) for address in (peer.name, *peer.topics)
        )
        return self.connect + subscribed + self.ping

    def welcome(self, peer: Peer) -> bytes:
        return self.pong

    def publish(self, addresses: Addresses, text: bytes) -> bytes:
        return b"".join(b"PUB %s %d\r\n%s\r\n" % (_channel(address), len(text), text) for address in addresses)

    def delivery(self, sender: Peer, address: bytes, receiver: Peer, text: bytes) -> bytes:
        head = b"MSG %s %s %d\r\n" % (_channel(address), self._sid(address, receiver), len(text))
        return head + text + b"\r\n"

    def _sid(self, address: bytes, peer: Peer) -> bytes:
        """The number of a peer's subscription, of fixed width: 0 for its name, then its topics."""
        return b"%02d" % (0 if address == peer.name else 1 + peer.topics.index(address))


class Redis(Dialect):
    """RESP3, which lets one connection subscribe and publish; a channel for each name and topic.

    No answer to PUBLISH, which would cost more: replies are off except for the ping, and pushes come all the same.
    No way to leave out the sender of a message among its subscribers.
    """

    echoes = True
    pong = b"+OK\r\n+PONG\r\n"

    def __init__(self) -> None:
        self.ping = (
            self._command(b"CLIENT", b"REPLY", b"ON")
            + self._command(b"PING")
            + self._command(b"CLIENT", b"REPLY", b"OFF")
        )

    def login(self, peer: Peer) -> bytes:
        channels = [_channel(address) for address in (peer.name, *peer.topics)]
        return self._command(b"HELLO", b"3") + self._command(b"SUBSCRIBE", *channels) + self.ping

    def welcome(self, peer: Peer) -> bytes:
        subscribed = b"".join(
            b">3\r\n%s%s:%d\r\n" % (self._bulk(b"subscribe"), self._bulk(_channel(address)), number)
            for number, address in enumerate((peer.name, *peer.topics), 1)
        )
        return subscribed + self.pong

    def publish(self, addresses: Addresses, text: bytes) -> bytes:
        return b"".join(self._command(b"PUBLISH", _channel(address), text) for address in addresses)

    def delivery(self, sender: Peer, address: bytes, receiver: Peer, text: bytes) -> bytes:
        return b">3\r\n" + self._bulk(b"message") + self._bulk(_channel(address)) + self._bulk(text)

    def _command(self, *words: bytes) -> bytes:
        return b"*%d\r\n" % len(words) + b"".join(map(self._bulk, words))

    def _bulk(self, word: bytes) -> bytes:
        return b"$%d\r\n%s\r\n" % (len(word), word)


class Mosquitto(Dialect):
    """MQTT 5 at QoS 0, which is not answered; MQTT 3.1.1 has no `no local`, and is no faster."""

    ping = b"\xc0\x00"
    pong = b"\xd0\x00"
    connect, subscribe, suback, message = b"\x10", b"\x82", b"\x90", b"\x30"
    no_properties = b"\x00"
    packet_id = b"\x00\x01"
    # At most QoS 0, and not the peer's own messages, as with nettool.
    no_local = b"\x04"

    def login(self, peer: Peer) -> bytes:
        clean_start, no_keepalive = b"\x02", b"\x00\x00"
        connect = self._string(b"MQTT") + b"\x05" + clean_start + no_keepalive + self.no_properties
        filters = b"".join(self._string(_channel(address)) + self.no_local for address in (peer.name, *peer.topics))
        return (
            self._packet(self.connect, connect + self._string(peer.name))
            + self._packet(self.subscribe, self.packet_id + self.no_properties + filters)
            + self.ping
        )

    def welcome(self, peer: Peer) -> bytes:
        granted = bytes(1 + len(peer.topics))
        return self._packet(self.suback, self.packet_id + self.no_properties + granted) + self.pong

    def publish(self, addresses: Addresses, text: bytes) -> bytes:
        return b"".join(self._message(address, text) for address in addresses)

    def delivery(self, sender: Peer, address: bytes, receiver: Peer, text: bytes) -> bytes:
        return self._message(address, text)

    def _message(self, address: bytes, text: bytes) -> bytes:
        return self._packet(self.message, self._string(_channel(address)) + self.no_properties + text)

    def _packet(self, kind: bytes, body: bytes) -> bytes:
        """With the length in front, seven bits a byte, the lowest first."""
        length, rest = b"", len(body)
        while rest > 127:
            length += bytes([rest % 128 + 128])
            rest //= 128
        return kind + length + bytes([rest]) + body

    def _string(self, text: bytes) -> bytes:
        return len(text).to_bytes(2, "big") + text


def _channel(address: bytes) -> bytes:
    """A topic without its `#`, which is a wildcard to MQTT; no name is also a topic."""
    return address.removeprefix(b"#")
