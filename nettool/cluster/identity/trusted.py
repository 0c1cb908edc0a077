"""
The nodes that this one trusts.

In: a file of lines `<name> ed25519:<key>`.  Out: which name goes with which key, or every mistake with its line.
Never: trust because of a mistake: a file that is missing or empty trusts nobody, one that is wrong is refused whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nettool.cluster.identity.keys import NodeKey, parse_key
from nettool.errors import Mistake, SettingError
from nettool.files import OTHERS_CAN_WRITE, read_file
from nettool.wire.names import name_fault

EXPECTED = "expected a node's name and its key, as `nettool identity show` prints them"


@dataclass(frozen=True)
class TrustedNodes:
    """Names and keys.

    Invariant: each name has one key, and each key one name.
    """

    keys: dict[bytes, bytes] = field(default_factory=dict)
    """By name."""
    lines: dict[bytes, int] = field(default_factory=dict)
    """Where each name is, in the file."""
    path: str = ""
    """The file; empty where none is named."""
    is_there: bool = False
    """Whether the file is."""

    @property
    def names(self) -> dict[bytes, bytes]:
        """By key."""
        return {key: name for name, key in self.keys.items()}

    def place(self, name: bytes) -> str:
        """File and line where a name is, for people."""
        return f"{self.path}:{self.lines[name]}" if self.path and name in self.lines else "trusted-nodes"

    def ended_since(self, before: TrustedNodes) -> frozenset[bytes]:
        """Names that are no longer trusted with the key that they had: their links have to end."""
        return frozenset(name for name, key in before.keys.items() if self.keys.get(name) != key)

    def begun_since(self, before: TrustedNodes) -> frozenset[bytes]:
        """Names that are trusted with a key that they did not have: they may link now."""
        return before.ended_since(self)

    @classmethod
    def of(cls, nodes: Iterable[NodeKey]) -> TrustedNodes:
        """These, without a file: for tests, and for nodes inside a program."""
        return parse_trusted("".join(f"{node}\n" for node in nodes).encode())


def read_trusted(path: str) -> TrustedNodes:
    """What a file says; nobody if there is no such file, or no path.

    `SettingError` with every mistake if it is wrong, cannot be read, or can be written by others.
    """
    if not path:
        return TrustedNodes()
    try:
        read = read_file(path)
    except FileNotFoundError:
        return TrustedNodes(path=path)
    except OSError as error:
        raise SettingError(Mistake((), f"expected a file that can be read: {error.strerror}", path)) from None
    if read.mode & OTHERS_CAN_WRITE:
        text = f"expected that nobody but its owner can write it; its mode is {read.mode:04o}: chmod go-w {path}"
        raise SettingError(Mistake((), text, path))
    return parse_trusted(read.content, path)


def parse_trusted(content: bytes, path: str = "") -> TrustedNodes:
    """What the content of such a file says; `SettingError` with every mistake, each with its line."""
    keys: dict[bytes, bytes] = {}
    lines: dict[bytes, int] = {}
    names: dict[bytes, bytes] = {}
    mistakes: list[Mistake] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            node = parse_line(line)
            if node is None:
                continue
            if node.name in keys:
                raise SettingError(f"{node.name.decode()} is in line {lines[node.name]} already")
            if node.key in names:
                other = names[node.key]
                raise SettingError(f"{other.decode()} has this key in line {lines[other]} already")
        except SettingError as error:
            mistakes.append(Mistake((), str(error), f"{path or 'trusted-nodes'}:{number}"))
        else:
            keys[node.name], names[node.key], lines[node.name] = node.key, node.name, number
    if mistakes:
        raise SettingError(*mistakes)
    return TrustedNodes(keys, lines, path, is_there=True)


def parse_line(line: bytes) -> NodeKey | None:
    """The node of a line; none if it is blank or a comment; `SettingError` for anything else."""
    words = line.partition(b"#")[0].split()  # neither a name nor a key has a #
    if not words:
        return None
    if len(words) != 2:
        raise SettingError(f"{EXPECTED}; there {'is one word' if len(words) == 1 else f'are {len(words)} words'}")
    name, key = words
    if fault := name_fault(name):
        raise SettingError(f"{EXPECTED}; {fault}")
    return NodeKey(name, parse_key(key.decode("utf-8", "replace")))
