"""The real `ssh`, at the manhole of a real node.

In: a node with a manhole, keys made by `ssh-keygen`.  Out: what ssh prints, and how it ends; a terminal to type at.
Never: the keys, the agent or the configuration of whoever runs the tests.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time
from pathlib import Path
from typing import Self

from tests.real.conftest import Start
from tests.real.node import PATIENCE, Street


def make_key(path: Path, kind: str = "ed25519", comment: str = "alice@laptop", passphrase: str = "") -> Path:
    """A new pair of keys; the path of the private one."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", comment, "-f", path]
    subprocess.run(command, check=True, timeout=PATIENCE)
    return path


def public(key: Path) -> str:
    """The line of a key in the file."""
    return key.with_suffix(".pub").read_text()


class Ssh:
    """A client's configuration, and what it runs."""

    def __init__(self, street: Street, directory: Path, key: Path | None) -> None:
        line = street.node.wait_for_log("listening on tcp:.* for operators")
        found = re.search(r"tcp:127\.0\.0\.1:(\d+) for operators", line)
        assert found is not None, line
        self.port = int(found[1])
        self.directory = directory
        self._options = [
            "-F none -p",
            found[1],
            "-o BatchMode=no -o IdentitiesOnly=yes -o IdentityAgent=none -o LogLevel=INFO -o ConnectTimeout=20",
            f"-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={directory}/known_hosts",
            "-o NumberOfPasswordPrompts=1 -o GlobalKnownHostsFile=/dev/null",
        ]
        if key is not None:
            self._options.append(f"-i {key}")

    def command(self, *words: str) -> list[str]:
        """What is run for these words."""
        return ["ssh", *" ".join(self._options).split(), *words]

    def environment(self) -> dict[str, str]:
        """Whatever asks for a password gets an empty one."""
        ask = self.directory / "askpass"
        ask.write_text("#!/bin/sh\necho\n")
        ask.chmod(0o700)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0", "TERM": "xterm"}

    def run(self, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run it to its end."""
        return subprocess.run(
            self.command(*words), input=given, capture_output=True, timeout=PATIENCE, env=self.environment()
        )

    def ask(self, source: str) -> str:
        """What a command prints that must not fail."""
        done = self.run("localhost", source)
        assert done.returncode == 0, done
        return done.stdout.decode()

    def terminal(self, *words: str) -> SshTerminal:
        """`ssh localhost`, at a terminal."""
        return SshTerminal(self, *words)


class SshTerminal:
    """Somebody at a terminal that `ssh` runs on.

    Invariant: `seen` is all that has been printed.
    """

    def __init__(self, ssh: Ssh, *words: str) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80))
        self.process = subprocess.Popen(
            ssh.command("-tt", "localhost", *words),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=ssh.environment(),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # where ssh asks for a passphrase
        )
        os.close(slave)
        self.seen = b""
        self._looked_at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self._master)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def expect(self, text: str) -> bytes:
        """Wait until this is printed; what was printed up to it since the last time."""
        return self._until(text.encode())

    def to_end(self) -> tuple[bytes, int]:
        """What is printed until ssh ends, and its exit status."""
        rest = self._until(None)
        return rest, self.process.wait(PATIENCE)

    def _until(self, text: bytes | None) -> bytes:
        deadline = time.monotonic() + PATIENCE
        while text is None or text not in self.seen[self._looked_at :]:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.seen[self._looked_at :]!r}"
            if select.select([self._master], [], [], min(left, 0.5))[0]:
                try:
                    data = os.read(self._master, 65536)
                except OSError:  # the other side of a terminal is closed so
                    data = b""
                if not data:
                    assert text is None, f"it ended without {text!r}: {self.seen[self._looked_at :]!r}"
                    break
                self.seen += data
        start = self._looked_at
        end = len(self.seen) if text is None else self.seen.index(text, start) + len(text)
        self._looked_at = end
        return self.seen[start:end]


def start_manhole(start: Start, directory: Path, key: Path | None, *options: str) -> tuple[Street, Path]:
    """A node with a manhole that this key may enter; the file of keys."""
    authorized = directory / "authorized_keys"
    if key is not None:
        authorized.write_text(public(key))
        authorized.chmod(0o600)
    street = start(
        "--state-dir", str(directory / "state"), "--manhole", "tcp:0", "--authorized-keys", str(authorized), *options
    )
    return street, authorized
