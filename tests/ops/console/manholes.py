"""A node in memory with a manhole, and the keys of those who may come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.keys import Key

from nettool.ops.console import manhole_factory
from nettool.ops.console.door import Door
from nettool.ops.levers import Levers
from tests.ops.nodes import SeenNode
from tests.support.ssh import SshClient

ALICE = Key(Ed25519PrivateKey.generate())
MALLORY = Key(Ed25519PrivateKey.generate())
BY_RSA = Key(rsa.generate_private_key(65537, 2048))
BY_ECDSA = Key(ec.generate_private_key(ec.SECP384R1()))


def line_of(key: Key, comment: str = "") -> bytes:
    """The line of a key in the file."""
    return key.public().toString("OPENSSH", comment=comment.encode() or None).strip() + b"\n"


class Manhole(SeenNode):
    """A node that runs, with a manhole that alice may enter."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        super().__init__(**settings)
        self.authorized = directory / "authorized_keys"
        self.authorized.write_bytes(line_of(ALICE, "alice@laptop"))
        self.authorized.chmod(0o600)
        self.done: list[str] = []
        self.levers = Levers(self.service, drain=lambda: self.done.append("drain"), reload=self._reload)
        door = manhole_factory(self.service, self.levers, str(directory / "state"), str(self.authorized), self.reactor)
        assert isinstance(door, Door)
        self.door = door
        self.start()

    def _reload(self) -> str:
        self.done.append("reload")
        return "outbox-bytes: 4MiB -> 8MiB"

    def ssh(self, key: Key | None = ALICE) -> SshClient:
        return SshClient(self.door, self.reactor, key)
