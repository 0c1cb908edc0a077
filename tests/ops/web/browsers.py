"""Requests in memory: a node, its web, and whoever asks."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.testing import StringTransport

from nettool.ops.web import site
from tests.ops.nodes import SeenNode

LOOPBACK = IPv4Address("TCP", "127.0.0.1", 6390)


class Told:
    """What was answered."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire(StringTransport):
    """A transport that tells whether it was aborted."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Asker:
    """Asks a node's web, each time by a connection of its own."""

    def __init__(self, node: SeenNode, factory: IProtocolFactory | None = None, token_file: str = "") -> None:
        self.node = node
        self.factory = factory or site(node.service, token_file)

    def connect(self, came_to: Any = LOOPBACK) -> tuple[Any, Wire]:
        transport = Wire(hostAddress=came_to)
        protocol: Any = self.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        protocol.makeConnection(transport)
        return protocol, transport

    def send(self, data: bytes, came_to: Any = LOOPBACK) -> Told:
        protocol, transport = self.connect(came_to)
        protocol.dataReceived(data)
        assert transport.disconnecting, "every connection is over when it is answered"
        protocol.connectionLost(None)
        return Told(transport.value())

    def ask(self, path: str, *, method: str = "GET", host: str = "localhost:6390", **headers: str) -> Told:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return self.send("\r\n".join([*lines, "", ""]).encode())
