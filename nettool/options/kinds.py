"""
How the value of an option is written.

In: a value as text.  Out: what it means, or what was expected instead; and back again.  Never: which option it is of,
or what goes with what.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from nettool.cluster.identity import read_trusted
from nettool.cluster.resolver import FileSource, parse_nodes, parse_source
from nettool.cluster.resolver.addresses import WrittenSource
from nettool.errors import SettingError
from nettool.files import read_file
from nettool.listening.endpoints import arguments, endpoint_of, fault_of_secret, scheme
from nettool.listening.opening import rehearse
from nettool.settings import parse_count, parse_duration, parse_size, write_duration, write_size
from nettool.wire.names import name_fault


@dataclass(frozen=True)
class Kind:
    """A kind of value."""

    word: str
    """What stands for a value in a usage."""
    parse: Callable[[str], Any]
    """The value from its written form; `SettingError`, saying what was expected, for anything else."""
    write: Callable[[Any], str]
    """The written form of a value: `parse` reads it."""
    expected: str
    """What to say to somebody who wrote something else."""
    numbers: bool = False
    """Whether a plain number will do, where a file tells numbers from text."""


def _parse_name(text: str) -> bytes:
    name = text.encode("utf-8", "surrogateescape")
    fault = name_fault(name)
    if fault:
        raise SettingError(f"expected a name, and {fault}; not {text!r}")
    return name


def _parse_directory(text: str) -> str:
    path = _path(text)
    if not text or (os.path.exists(path) and not os.path.isdir(path)):
        raise SettingError(f"expected a directory, which {text!r} is not")
    return path


def _parse_keys_file(text: str) -> str:
    """A file of public keys: whoever can write it lets anybody in."""
    if not text:
        return ""
    path = _path(text)
    mode = _readable(path)
    if mode & 0o022:
        raise SettingError(
            f"expected that nobody but its owner can write {path}, whose mode is {mode:04o}: chmod go-w {path}"
        )
    return path


def _parse_secret_file(text: str) -> str:
    if not text:
        return ""
    path = _path(text)
    _readable(path)
    fault = fault_of_secret(path)
    if fault:
        raise SettingError(fault)
    secret_in(path)
    return path


def _parse_trusted_nodes(text: str) -> str:
    """A file of nodes that are trusted.  It may be missing: then it trusts nobody."""
    path = _path(text) if text else ""
    with _mistakes_in_files():
        read_trusted(path)
    return path


def _parse_nodes(text: str) -> WrittenSource:
    """Where other nodes are.  A list of them may be missing: it may come later."""
    source = parse_source(text)
    if not isinstance(source, FileSource):
        return source
    path = _path(source.path)
    try:
        content = read_file(path).content
    except FileNotFoundError:
        return FileSource(path)
    except OSError as error:
        raise SettingError(f"expected a file that can be read, not {path!r}: {error.strerror}") from None
    with _mistakes_in_files():
        parse_nodes(content, path)
    return FileSource(path)


@contextmanager
def _mistakes_in_files() -> Iterator[None]:
    """A mistake in a file that an option names is the option's: where it is in that file becomes a part of its text."""
    try:
        yield
    except SettingError as error:
        raise SettingError(*map(str, error.mistakes)) from None


SHORTEST, LONGEST = 16, 4096
"""Characters of a secret."""


def secret_in(path: str) -> bytes:
    """The secret that a file holds, without the white space around it; `SettingError` for one that is none."""
    try:
        with open(path, "rb") as file:
            secret = file.read(LONGEST + 1).strip()
    except OSError as error:
        raise SettingError(f"expected a file that can be read, not {path!r}: {error.strerror}") from None
    if not SHORTEST <= len(secret) <= LONGEST or not secret.isascii() or any(not 33 <= byte <= 126 for byte in secret):
        raise SettingError(
            f"expected {SHORTEST} to {LONGEST} characters of ASCII without a space in {path}, such as "
            f"`openssl rand -base64 24 > {path}` makes"
        )
    return secret


def _readable(path: str) -> int:
    """The mode of a file that can be read."""
    reason: object = "it is none"
    try:
        if os.path.isfile(path) or not os.path.exists(path):  # opening a pipe would wait for who writes it
            with open(path, "rb") as file:
                return stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
    raise SettingError(f"expected a file that can be read, not {path!r}: {reason}")


def _path(text: str) -> str:
    return os.path.abspath(os.path.expanduser(text))


def _parse_endpoint(text: str) -> str:
    """A server endpoint string that could be listened on, but for its address, which may be in use."""
    # Whether systemd has handed over a socket is known in a process that it has started, and not to `check-config`.
    if rehearse(None, text, None) is None and scheme(text) != "systemd":
        endpoint_of(None, text)
    return text


def _parse_link_endpoint(text: str) -> str:
    """A plain endpoint: TLS is laid over it."""
    if scheme(text) in ("ssl", "tls"):
        raise SettingError(f"expected a plain endpoint such as tcp:6389, over which TLS is laid; not {text!r}")
    return _parse_endpoint(text)


LOOPBACK = {"tcp": (2, "127.0.0.1"), "ssl": (5, "127.0.0.1"), "tcp6": (3, r"\:\:1"), "tls": (4, r"\:\:1")}
"""Kinds that listen on all interfaces if they name none: the place of an interface without a name, and the loopback."""


def _parse_own_endpoint(text: str) -> str:
    """The endpoint of a door that is for the machine's own users, unless it says for whom it is; empty for no door."""
    kind = scheme(text)
    if kind in LOOPBACK:
        place, loopback = LOOPBACK[kind]
        words = [value for name, value in arguments(text) if name is None]
        if "interface" not in dict(arguments(text)) and len(words) - words.index(kind) <= place:
            text += f":interface={loopback}"
    return _parse_endpoint(text) if text else ""


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def one_of(kind: type[Enum]) -> Kind:
    """One of an enumeration's values."""

    def parse(text: str) -> Enum:
        try:
            return kind(text)
        except ValueError:
            raise _not_among([choice.value for choice in kind], text) from None

    words = [choice.value for choice in kind]
    return Kind("|".join(words), parse, lambda value: str(value.value), " or ".join(words))


def one_word_of(*words: str) -> Kind:
    """One of these words."""

    def parse(text: str) -> str:
        if text not in words:
            raise _not_among(words, text)
        return text

    return Kind("|".join(words), parse, str, " or ".join(words))


def _not_among(words: Sequence[str], text: str) -> SettingError:
    return SettingError(f"expected {' or '.join(words)}, not {text!r}")


NAME = Kind("NAME", _parse_name, _text, "a name")
DIRECTORY = Kind("DIR", _parse_directory, str, "a directory")
KEYS_FILE = Kind("FILE", _parse_keys_file, str, "a file")
TRUSTED_NODES = Kind("FILE", _parse_trusted_nodes, str, "a file")
NODES = Kind("NODES", _parse_nodes, str, "NAME=HOST:PORT[,HOST:PORT...], file:PATH or dns:NAME, or several in an array")
SECRET_FILE = Kind("FILE", _parse_secret_file, str, "a file")
ENDPOINT = Kind("ENDPOINT", _parse_endpoint, str, "an endpoint such as tcp:6388, or several in an array")
LINK_ENDPOINT = Kind("ENDPOINT", _parse_link_endpoint, str, "a plain endpoint such as tcp:6389, or several in an array")
OWN_ENDPOINT = Kind("ENDPOINT", _parse_own_endpoint, str, "an endpoint such as tcp:6022")
DURATION = Kind("TIME", parse_duration, write_duration, "a time such as 100ms, 10s, 2m or forever")
SIZE = Kind("SIZE", parse_size, write_size, "a size such as 64KiB, 4MiB or plain bytes", numbers=True)
COUNT = Kind("NUMBER", parse_count, str, "a whole number, 0 or more", numbers=True)
