"""The contract of a transport, run by all of them."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from nettool.mesh import transport
from nettool.mesh.testing import TransportContract
from tests.mesh.certificates import client_options, server_options

_numbers = count()


class TestInproc(TransportContract):
    def transport(self) -> Any:
        return transport("inproc://")

    def address(self) -> str:
        return f"inproc://contract-{next(_numbers)}"


class TestTcp(TransportContract):
    def transport(self) -> Any:
        return transport("tcp")

    def address(self) -> str:
        return "tcp://127.0.0.1:0"


class TestTls(TransportContract):
    def transport(self) -> Any:
        return transport("tls", options=server_options())

    def connector(self) -> Any:
        return transport("tls", options=client_options())

    def address(self) -> str:
        return "tls://127.0.0.1:0"


class TestUnix(TransportContract):
    @pytest.fixture(autouse=True)
    def _where(self, tmp_path: Path) -> None:
        self.path = tmp_path

    def transport(self) -> Any:
        return transport("unix")

    def address(self) -> str:
        return f"unix://{self.path}/{next(_numbers)}"


class TestWs(TransportContract):
    def transport(self) -> Any:
        return transport("ws")

    def address(self) -> str:
        return "ws://127.0.0.1:0/mesh"


class TestWss(TestTls):
    def transport(self) -> Any:
        return transport("wss", options=server_options())

    def connector(self) -> Any:
        return transport("wss", options=client_options())

    def address(self) -> str:
        return "wss://127.0.0.1:0/mesh"


class TestMulti(TransportContract):
    def transport(self) -> Any:
        return transport("")

    def address(self) -> str:
        return "127.0.0.1:0"
