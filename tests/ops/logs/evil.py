"""Values that no log expects, each from somewhere: what peers may send, and what objects may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn


class Liar:
    """Raises whatever it is asked."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def _raise(self, *_: object) -> NoReturn:
        raise self.error

    __repr__ = __str__ = __format__ = __bool__ = __eq__ = __len__ = __iter__ = __getitem__ = _raise  # type: ignore[assignment]
    __hash__ = object.__hash__


class LyingName(type):
    """A class whose name cannot be had."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("no name")


class Nameless(metaclass=LyingName):
    """Has a class without a name."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr either")


class LyingText(str):
    """Text that lies about itself."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    isprintable = encode = __str__  # type: ignore[assignment]


class LyingDict(dict[Any, Any]):
    """A dict that raises when it is walked."""

    def items(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no items")


class Endless(Mapping[str, int]):
    """A mapping that never ends."""

    def __getitem__(self, key: str) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            yield f"key {number}"
            number += 1

    def __len__(self) -> int:
        return 10**9


class Wide:
    """Has a representation of ten megabytes, with line breaks in it."""

    def __repr__(self) -> str:
        return "wide\n" * 2_000_000


def itself() -> list[Any]:
    """A list that contains itself."""
    items: list[Any] = []
    items.append(items)
    return items


def deep() -> dict[str, Any]:
    """A dict a thousand levels deep."""
    value: dict[str, Any] = {}
    for _ in range(1000):
        value = {"next": value}
    return value


TERRIBLE: list[Any] = [
    Liar(ValueError("no")),
    Liar(RecursionError()),
    Liar(MemoryError()),
    Liar(KeyboardInterrupt()),
    Liar(SystemExit(3)),
    Liar(GeneratorExit()),
    Nameless(),
    Nameless,
    LyingText("\x1b[31m"),
    LyingDict(a=1),
    Endless(),
    Wide(),
    itself(),
    deep(),
    object(),
    lambda: None,
    10**5000,
    -(10**5000),
    2**64,
    float("nan"),
    float("-inf"),
    1j,
    "x" * 10_000_000,
    b"\xff" * 10_000_000,
    bytearray(b"\x00\x1b"),
    memoryview(b"abc"),
    {b"\xff": {("a", 1): [1, {2}, frozenset([3]), None, True]}},
    {Liar(ValueError()): 1},
    [Liar(ValueError("no")), "and after it"],
    "\ud800 alone",
    ValueError("\x1b[2J\u2028"),
]

DANGEROUS = [
    "\n",
    "\r\n",
    "\x00",
    "\x07",
    "\x1b[2J",
    "\x7f",
    "\x85",
    "\x9b31m",
    "\u202e",
    "\u2066",
    "\u200b",
    "\u2028",
    "\u2029",
    "\ufeff",
    "\ue000",
    "\ud800",
    "\u00ad",
    "\U000e0041",
    "\v",
    "\f",
    "\t",
    "\x1c",
]
"""Text that moves a cursor, ends a line, hides or turns what follows."""
