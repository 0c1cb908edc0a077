"""
Values as plain data: what may be shown or written down, whatever it was.

In: any value, of anybody's class.  Out: text without control characters, bounded; values that JSON can say.
Never: an exception, whatever the value's own methods do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import islice
from math import isfinite
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from twisted.python.reflect import qual

from nettool.addresses import address_text

LONGEST = 4000
"""Characters of a text; of what is longer the beginning is kept, and told how long it was."""

MOST = 200
"""Items of a collection."""

DEEPEST = 5
"""Collections within collections; what is deeper is shown as text.  A list that contains itself ends here."""

Plain = None | bool | int | float | str | list[Any] | dict[str, Any]


def escaped(text: str) -> str:
    """The text with all that does not print escaped as in Python source: `\\x1b`, `\\n`, `\\u202e`, `\\u2028`.

    That is C0 and C1, line separators, bidi controls and other format characters, surrogates, private use, what is not
    assigned, and every space but the plain one: a name must neither move a cursor nor look like another line.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def cut(text: str, longest: int = LONGEST) -> str:
    """The text, or its beginning and its length."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"


def plain(value: object) -> Plain:
    """The value as JSON can say it, with all text escaped and cut.  Bytes are text, as far as they are UTF-8."""
    try:
        return _plain(value, DEEPEST)
    except BaseException:  # somebody's __repr__ or __iter__ may raise anything, and must end nobody
        return _unprintable(value)


def _plain(value: object, depth: int) -> Plain:
    if value is None or value is True or value is False:
        return value
    for kind, convert in _KINDS:
        if isinstance(value, kind):
            return convert(value)
    if IAddress.providedBy(value):
        return escaped(cut(address_text(value)))
    if depth:
        if is_dataclass(value) and not isinstance(value, type):
            return _members(((field.name, getattr(value, field.name)) for field in fields(value)), depth)
        if isinstance(value, Mapping):
            return _members(value.items(), depth)
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_safely(item, depth - 1) for item in islice(value, MOST)]
    return escaped(cut(repr(value)))


def _members(items: Iterable[tuple[object, object]], depth: int) -> dict[str, Any]:
    return {_key(key): _safely(item, depth - 1) for key, item in islice(items, MOST)}


def _safely(value: object, depth: int) -> Plain:
    """As `plain`, so that one item that cannot be shown does not take the others with it."""
    try:
        return _plain(value, depth)
    except BaseException:
        return _unprintable(value)


def _key(key: object) -> str:
    shown = _safely(key, 0)
    return shown if isinstance(shown, str) else str(shown)


def _unprintable(value: object) -> str:
    try:
        return f"<unprintable {escaped(cut(qual(type(value)), 200))}>"
    except BaseException:
        return "<unprintable>"


# The built-in methods are called by their class: a subclass may have others of its own.


def _text(value: Any) -> str:
    return escaped(cut(str.__str__(value)))


def _bytes(value: Any) -> str:
    beginning = bytes(memoryview(value)[: LONGEST + 1])
    text = escaped(beginning.decode("utf-8", "backslashreplace"))
    return text if len(beginning) <= LONGEST else f"{text[:LONGEST]}… ({len(value)} bytes)"


def _int(value: Any) -> int | str:
    number = int.__int__(value)
    # Other programs read numbers as 64 bits at most, and Python refuses to write very long ones in decimal.
    return number if -(2**63) <= number < 2**63 else cut(hex(number))


def _float(value: Any) -> float | str:
    number = float.__float__(value)
    return number if isfinite(number) else float.__repr__(number)  # JSON has no infinity


def _failure(value: Any) -> str:
    return f"{qual(value.type)}: {escaped(cut(value.getErrorMessage()))}"


def _exception(value: Any) -> str:
    return f"{type(value).__name__}: {escaped(cut(str(value)))}"


_KINDS: list[tuple[type | tuple[type, ...], Callable[[Any], Plain]]] = [
    (Enum, lambda value: _safely(value.value, 0)),  # before bytes and text, which an Enum may be too
    (str, _text),
    ((bytes, bytearray), _bytes),
    (int, _int),
    (float, _float),
    (Failure, _failure),
    (BaseException, _exception),
]
