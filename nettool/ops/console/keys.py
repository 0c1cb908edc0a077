"""
The keys of the manhole: the node's own, and those of the people who may come in.

In: a state directory, an `authorized_keys` file.  Out: the host key, made at first start; the key of the file that a
client has shown.  Never: a key that is built in; a private key in a log; a login because a file cannot be read.

The file is OpenSSH's.  A line that is malformed, of a kind that is not listed here, too weak, or with options that ask
for something the manhole does not do, opens nothing: it is logged, and skipped.
"""

from __future__ import annotations

import binascii
import os
import stat
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import IO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.common import getNS
from twisted.conch.ssh.keys import Key
from twisted.logger import Logger

from nettool.errors import SettingError
from nettool.ops.tables import printable

HOST_KEY = "manhole_host_key"
"""The file in the state directory."""

LARGEST_FILE = 1024 * 1024
"""Bytes of an authorized_keys file; a larger one is not what it says."""

LEAST_RSA_BITS = 2048

# Signatures by kind of key.  `ssh-rsa` is missing among the former: as a signature it means SHA-1.
SIGNATURES = {
    b"ssh-ed25519": (b"ssh-ed25519",),
    b"ecdsa-sha2-nistp256": (b"ecdsa-sha2-nistp256",),
    b"ecdsa-sha2-nistp384": (b"ecdsa-sha2-nistp384",),
    b"ecdsa-sha2-nistp521": (b"ecdsa-sha2-nistp521",),
    b"ssh-rsa": (b"rsa-sha2-512", b"rsa-sha2-256"),
}

# Options that forbid what the manhole does not offer anyway; with any other a key is refused, for what it asks for
# (`from=`, `command=`, ...) would not be done.
HARMLESS = frozenset((b"no-agent-forwarding", b"no-port-forwarding", b"no-x11-forwarding", b"no-user-rc"))

_log = Logger()


def fingerprint_of(blob: bytes) -> str:
    """What `ssh-keygen -l` and `ssh` print of a key whose public half is this, be it a key or not."""
    return "SHA256:" + b64encode(sha256(blob).digest()).decode().rstrip("=")


# The node's own key


def host_key(state_dir: str) -> Key:
    """The node's Ed25519 key, made now if there was none; the log has its fingerprint.

    `SettingError` if there is no state directory, or one in which others can write, or a key file that others can read.
    """
    if not state_dir:
        raise SettingError("state-dir: the manhole keeps its host key there, and there is none")
    path = os.path.join(state_dir, HOST_KEY)
    try:
        _check_directory(state_dir)
        made = not os.path.lexists(path)
        if made:
            _make(path)
        key = _read(path)
    except OSError as error:
        raise SettingError(f"state-dir: the manhole's host key cannot be kept there: {error}") from None
    word = "made" if made else "is"
    _log.info(
        "manhole: the host key {word} {fingerprint}, in {path}",
        event="manhole-host-key",
        word=word,
        fingerprint=fingerprint_of(key.blob()),
        path=path,
    )
    return key


def _check_directory(path: str) -> None:
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    if stat.S_IMODE(os.stat(path).st_mode) & 0o022:
        raise SettingError(f"state-dir: others can write in {path!r}; try `chmod 700 {path}`")


def _make(path: str) -> None:
    """Whole or not at all, and never in place of one that somebody else has just made."""
    draft = f"{path}.{os.getpid()}"
    text = Key(Ed25519PrivateKey.generate()).toString("OPENSSH", subtype="v1")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(file, "wb") as written:
            written.write(text)
            written.flush()
            os.fsync(written.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass  # another node, started at the same moment: its key is as good
    finally:
        os.unlink(draft)


def _read(path: str) -> Key:
    with _open_regular(path) as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise SettingError(f"state-dir: others can read the host key {path!r}; try `chmod 600 {path}`")
        text = file.read(LARGEST_FILE)
    try:
        key: Key = Key.fromString(text, type="private_openssh")
        if key.isPublic() or key.sshType() != b"ssh-ed25519":
            raise ValueError("no private Ed25519 key")
    except Exception as error:  # whatever the parser makes of what is there; never its content
        message = f"state-dir: {path!r} is no private Ed25519 key of OpenSSH's ({type(error).__name__})"
        raise SettingError(f"{message}; without the file a new key is made") from None
    return key


# The keys of those who may come in


@dataclass(frozen=True)
class AuthorizedKey:
    """A line of the file."""

    key: Key
    comment: str
    """Escaped: it is shown, and logged."""

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """The algorithms with which it may sign."""
        return SIGNATURES[self.key.sshType()]

    def __str__(self) -> str:
        return fingerprint_of(self.key.blob()) + (f" ({self.comment})" if self.comment else "")


class AuthorizedKeys:
    """The file of those who may come in.  It is read at each login, so a key is gone as soon as its line is."""

    def __init__(self, path: str) -> None:
        """`SettingError` if there is no path."""
        if not path:
            raise SettingError("authorized-keys: the manhole needs a file of public keys")
        self.path = path
        self._content = b""
        self._keys: dict[bytes, AuthorizedKey] = {}
        """The keys of that content, by their public halves: parsed, and complained of, once for each content."""

    def find(self, blob: bytes) -> AuthorizedKey | None:
        """The key whose public half is this, if the file has it now."""
        try:
            content = self._read()
        except OSError as error:
            _log.error(
                "manhole: nobody may come in: {path}: {error}",
                event="manhole-shut",
                path=self.path,
                error=error.strerror or str(error),
            )
            return None
        if content != self._content:
            self._content, self._keys = content, dict(self._parse(content))
        return self._keys.get(blob)

    def _read(self) -> bytes:
        with _open_regular(self.path) as file:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & 0o022:
                raise PermissionError(0, "others than its owner can write it")
            if status.st_size > LARGEST_FILE:
                raise OSError(0, f"it has more than {LARGEST_FILE} bytes")
            return file.read(LARGEST_FILE)

    def _parse(self, content: bytes) -> Iterator[tuple[bytes, AuthorizedKey]]:
        for number, line in enumerate(content.split(b"\n"), 1):
            try:
                found = parse_line(line)
            except BadKeyLine as error:
                _log.warn(
                    "manhole: {path}, line {number}: {error}",
                    event="manhole-bad-key-line",
                    path=self.path,
                    number=number,
                    error=str(error),
                )
                continue
            if found is not None:
                yield found.key.blob(), found


class BadKeyLine(ValueError):
    """A line that opens nothing; the message says why, and has nothing of the line that is not escaped."""


def parse_line(line: bytes) -> AuthorizedKey | None:
    """The key of a line; nothing if it is blank or a comment; `BadKeyLine` if it cannot be used."""
    line = line.strip()
    if not line or line.startswith(b"#"):
        return None
    if line.partition(b" ")[0].partition(b"\t")[0] not in SIGNATURES:
        options, line = _split_options(line)
        strange = [name for name in options if name not in HARMLESS]
        kind = line.split(None, 1)[0] if line else b""
        if kind not in SIGNATURES:
            raise BadKeyLine(f"expected a key of the kinds {', '.join(sorted(kind.decode() for kind in SIGNATURES))}")
        if strange:
            raise BadKeyLine(
                f"the manhole does not know the option {printable(_text(strange[0]))}, so the key is refused"
            )
    kind, _, rest = line.replace(b"\t", b" ").partition(b" ")
    data, _, comment = rest.strip().partition(b" ")
    return AuthorizedKey(_parse_key(kind, data), printable(_text(comment.strip()), keep=""))


def _parse_key(kind: bytes, data: bytes) -> Key:
    try:
        blob = b64decode(data, validate=True)
        if getNS(blob)[0] != kind:
            raise BadKeyLine("the key is of another kind than the line says")
        key: Key = Key.fromString(blob, type="blob")
        if key.blob() != blob:
            raise BadKeyLine("there is something after the key")
        if kind == b"ssh-rsa" and key.size() < LEAST_RSA_BITS:
            raise BadKeyLine(f"an RSA key has at least {LEAST_RSA_BITS} bits")
        return key
    except BadKeyLine:
        raise
    except binascii.Error:
        raise BadKeyLine("the key is not base64") from None
    except Exception as error:  # whatever conch, struct or cryptography say of such bytes
        raise BadKeyLine(f"the key cannot be read ({type(error).__name__})") from None


def _split_options(line: bytes) -> tuple[list[bytes], bytes]:
    """The names of a line's options, in lower case, and what is behind them: an option's value may have quotes."""
    quoted, end = False, len(line)
    for at in range(len(line)):
        if line[at : at + 1] == b'"' and line[at - 1 : at] != b"\\":
            quoted = not quoted
        elif not quoted and line[at : at + 1] in b" \t":
            end = at
            break
    return list(_names(line[:end])), line[end:].strip()


def _names(options: bytes) -> Iterator[bytes]:
    quoted, name, named = False, b"", False
    for byte in (options[at : at + 1] for at in range(len(options))):
        if byte == b'"':
            quoted = not quoted
        elif byte == b"," and not quoted:
            yield name.lower()
            name, named = b"", False
            continue
        named = named or byte == b"="
        if not named:
            name += byte
    yield name.lower()


def _open_regular(path: str) -> IO[bytes]:
    """The file, if it is one: opening what waits for a writer would stop the node."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(0, "it is no regular file")
    return open(file, "rb")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
