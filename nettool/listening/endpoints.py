"""
What a server endpoint string says, and what it needs.

In: a string such as `ssl:6390:privateKey=key.pem`.  Out: the endpoint, or what is wrong with it; the files that it
names, since keys must be private, and certificates are read again.  Never: a bound port.

The files are found without knowing each kind's grammar: they are the arguments that are names of files, so that kinds
which plugins bring are held to the same.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from OpenSSL.crypto import FILETYPE_PEM
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.ssl import Certificate, KeyPair

from nettool.errors import SettingError
from nettool.settings import BACKLOG, MIB

WITH_BACKLOG = ("tcp", "tcp6", "ssl", "tls", "unix")
"""Kinds whose ports have a backlog that can be named."""

LARGEST = MIB
"""Bytes of a file that are looked at: more than any key or chain of certificates has."""


def arguments(description: str) -> list[tuple[str | None, str]]:
    """Names and values of an endpoint string's parts, the kind first; the name is none where none is written.

    As `serverFromString` has it: parts end with a colon, `=` ends a name, and what a backslash precedes is itself.
    """
    parts: list[tuple[str | None, str]] = []
    name: str | None = None
    value, characters = "", iter(description + ":")
    for character in characters:
        if character == "\\":
            value += next(characters)
        elif character == ":":
            parts.append((name, value))
            name, value = None, ""
        elif character == "=" and name is None:
            name, value = value, ""
        else:
            value += character
    return parts


def scheme(description: str) -> str:
    """The kind of endpoint: below `haproxy:`, which only wraps another one."""
    kinds = [value for name, value in arguments(description) if name is None]
    while kinds[1:] and kinds[0] == "haproxy":
        kinds.pop(0)
    return kinds[0] if kinds else ""


def endpoint_of(reactor: Any, description: str) -> IStreamServerEndpoint:
    """The endpoint that a string describes, with a backlog in the thousands, if its kind has one and none is named.

    `SettingError` for a string that is none, and for one whose files cannot be used.
    """
    if fault := fault_of_files(description):
        raise SettingError(f"{fault}, for {description!r}")
    endpoint: IStreamServerEndpoint
    try:
        if scheme(description) in WITH_BACKLOG and "backlog=" not in description:
            try:
                endpoint = serverFromString(reactor, f"{description}:backlog={BACKLOG}")
                return endpoint
            except TypeError:
                pass  # it names one by its place, as in tcp:6388:127.0.0.1:100
        endpoint = serverFromString(reactor, description)
        return endpoint
    except Exception as error:  # whatever the endpoint's parser, or the files that it names, bring about
        raise unusable(description, error) from error


def unusable(description: str, error: BaseException) -> SettingError:
    """What is said of an endpoint that made Twisted or OpenSSL raise this."""
    return SettingError(f"expected an endpoint that can be used, not {description!r}: {_reason(error)}")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if type(error).__module__.startswith("OpenSSL"):
        said = [str(words[-1]) for words in error.args[0]] if error.args and isinstance(error.args[0], list) else []
        return f"OpenSSL says of its key or certificate: {', '.join(said) or 'it cannot be read'}"
    if isinstance(error, KeyError):  # a socket that systemd has not handed over
        return f"there is no {error}"
    return " ".join(str(error).split()) or type(error).__name__


# The files that it names


def files_of(description: str) -> list[str]:
    """The files that an endpoint names: keys, certificates, or all `.pem` files below a directory."""
    kind, parts = scheme(description), arguments(description)
    values = [value for _, value in parts[1:]]
    if kind == "ssl" and "privateKey" not in dict(parts) and sum(name is None for name, _ in parts) < 3:
        values.append("server.pem")  # Twisted's default
    found: list[str] = []
    for value in values:
        if "\0" in value:
            continue
        if os.path.isfile(value):
            found.append(value)
        elif kind == "tls" and os.path.isdir(value):
            found += sorted(str(path) for path in Path(value).rglob("*.pem") if path.is_file())
    return found


def digest_of_files(description: str) -> bytes:
    """Changes whenever a file that the endpoint names changes."""
    digest = sha256()
    for path in files_of(description):
        digest.update(os.fsencode(path) + b"\0" + sha256(_content(path)).digest())
    return digest.digest()


def fault_of_files(description: str) -> str:
    """Why the files that an endpoint names must not or cannot be used; empty if they can, or if it names none."""
    try:
        pems = {path: _content(path) for path in files_of(description)}
        for path, pem in pems.items():
            if _has_key(pem):
                if fault := fault_of_secret(path):
                    return fault
                if b"ENCRYPTED" in pem:  # OpenSSL would ask for its passphrase on the terminal, and wait
                    return f"expected a private key without a passphrase in {path}"
        if scheme(description) == "tls" and not _has_pair(list(pems.values())):
            return "expected a directory with .pem files of a certificate and its private key"
    except Exception as error:  # of the file system, or of OpenSSL about one of the files
        return f"expected keys and certificates that can be read: {_reason(error)}"
    return ""


def fault_of_secret(path: str) -> str:
    """Why a file is not one that keeps a secret: one that others than its owner can read or change."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o077:
        return f"expected that nobody but its owner can read {path}, whose mode is {mode:04o}: chmod 600 {path}"
    return ""


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(LARGEST)


def _has_key(pem: bytes) -> bool:
    return b"PRIVATE KEY-----" in pem


def _has_pair(pems: list[bytes]) -> bool:
    """Whether there is a certificate with its key: a directory without would be listened on, and fail everybody."""
    keys, certificates = set(), set()
    for block in (block for pem in pems for block in _blocks(pem)):
        if _has_key(block):
            keys.add(KeyPair.load(block, FILETYPE_PEM).keyHash())
        elif b"CERTIFICATE-----" in block:
            certificates.add(Certificate.loadPEM(block).getPublicKey().keyHash())
    return bool(keys & certificates)


def _blocks(pem: bytes) -> Iterator[bytes]:
    """The blocks of a file, each from its `-----BEGIN` on."""
    for part in pem.split(b"-----BEGIN")[1:]:
        yield b"-----BEGIN" + part
