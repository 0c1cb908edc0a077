"""What a loop in Python costs at least: it reads, looks one name up for each line, and writes, and does nothing else.

In: connections that speak as peers of nettool do.  Out: their lines, to names and topics; answers to a login, a join
and a ping.  Never: a promise; it has no bounds, counts nothing, checks nothing, and waits for whoever does not read.

It is a yardstick: what nettool takes longer than this is what its promises cost where lines come one by one.  It does
not route batches, so where many lines come in a read nettool has to be faster.

    python bench/bare.py HOST PORT
"""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

READ = 160 * 1024
"""As nettool's reads."""

Send = Callable[[bytes], None]
Hearers = dict[bytes, Send]
"""By name."""


@dataclass(slots=True)
class Peer:
    """One connection; of the last read, what was no whole line."""

    opened: socket.socket
    name: bytes = b""
    prefix: bytes = b""
    rest: bytes = b""


class Loop:
    """All connections of one listener."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._peers: dict[int, Peer] = {}
        self._reached: dict[bytes, Hearers] = {}
        """By address: whoever has this name, or hears this topic."""

    def run(self) -> None:
        """For ever."""
        peers, listening = self._peers, self._listener.fileno()
        with select.epoll() as poll:
            poll.register(listening, select.EPOLLIN)
            while True:
                out: dict[Send, bytes] = {}
                for fd, _ in poll.poll():
                    if fd == listening:
                        self._accept(poll)
                    elif data := _read(peers[fd]):
                        self._lines(peers[fd], data, out)
                    else:
                        poll.unregister(fd)
                        self._end(peers.pop(fd))
                for send, data in out.items():
                    send(data)

    def _accept(self, poll: select.epoll) -> None:
        opened, _ = self._listener.accept()
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(opened, select.EPOLLIN)
        self._peers[opened.fileno()] = Peer(opened)

    def _lines(self, peer: Peer, data: bytes, out: dict[Send, bytes]) -> None:
        """Work off the lines of a read; what they bring is written when the round of reads ends."""
        if peer.rest:
            data = peer.rest + data
        lines = data.splitlines(True)
        peer.rest = b"" if data[-1:] == b"\n" else lines.pop()
        reached, prefix, send = self._reached, peer.prefix, peer.opened.sendall
        for line in lines:
            address, colon, text = line.partition(b": ")
            if colon and address in reached:
                hearers = reached[address]
                text = prefix + b": " + text if address[:1] != b"#" else prefix + b" to " + line
                for name, hear in hearers.items():
                    if name != peer.name or address == name:
                        out[hear] = out[hear] + text if hear in out else text
            elif colon:
                for one in address.split(b", "):
                    for hear in reached.get(one, {}).values():
                        out[hear] = out.get(hear, b"") + prefix + b": " + text
            else:
                out[send] = out.get(send, b"") + self._answer(peer, line[:-1])
                prefix = peer.prefix

    def _answer(self, peer: Peer, said: bytes) -> bytes:
        """What is said to a login, a join or a ping."""
        command, _, word = said.partition(b" ")
        if not peer.name:
            peer.name, peer.prefix = said, b"from " + said
            self._reached[said] = {said: peer.opened.sendall}
            return b"ok login %b@bench0\n" % said
        if command == b"/join":
            self._reached.setdefault(word, {})[peer.name] = peer.opened.sendall
            return b"ok join %b\n" % word
        return b"pong %b\n" % word

    def _end(self, peer: Peer) -> None:
        for hearers in self._reached.values():
            hearers.pop(peer.name, None)
        peer.opened.close()


def _read(peer: Peer) -> bytes:
    try:
        return peer.opened.recv(READ)
    except ConnectionError:
        return b""


def main(host: str, port: int) -> None:
    """Listen there."""
    with socket.create_server((host, port), backlog=4096) as listener:
        Loop(listener).run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
