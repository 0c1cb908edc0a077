"""
Lists and parameters of `/api`.

In: what stands behind the question mark of a request; rows.  Out: the rows that were asked for, as plain data.
Never: a parameter that is taken for something else, or for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from math import isinf
from operator import attrgetter
from typing import Any

LIMIT = 100
MOST = 10_000
"""Rows in one answer."""


class BadQuery(Exception):
    """A parameter that cannot be; the message says what was expected."""


def parameters(given: Mapping[bytes, Sequence[bytes]], known: Sequence[str]) -> dict[str, str]:
    """Each parameter's value; `BadQuery` for one that is not known, or there twice."""
    found: dict[str, str] = {}
    for raw, values in given.items():
        name = raw.decode("utf-8", "backslashreplace")
        if name not in known:
            raise BadQuery(f"{name}: expected {' or '.join(known) or 'no parameter'}")
        if len(values) != 1:
            raise BadQuery(f"{name}: expected once, not {len(values)} times")
        found[name] = values[0].decode("utf-8", "surrogateescape")
    return found


@dataclass(frozen=True, slots=True)
class Part:
    """The rows that are asked for."""

    order: str = ""
    """A field, falling after a `-`; empty for the order that the list has."""
    limit: int | None = None
    offset: int = 0

    def of(self, rows: Sequence[Any]) -> Sequence[Any]:
        """This part of them all."""
        if self.order:
            field, falling = self.order.removeprefix("-"), self.order.startswith("-")
            rows = sorted(rows, key=attrgetter(field), reverse=falling)
        return rows[self.offset : None if self.limit is None else self.offset + self.limit]


EVERYTHING = Part()


def part_in(given: Mapping[bytes, Sequence[bytes]], kind: type) -> Part:
    """What `sort`, `limit` and `offset` ask for, of rows of this dataclass."""
    asked = parameters(given, ("sort", "limit", "offset"))
    names = [field.name for field in fields(kind)]
    if "sort" in asked and asked["sort"].removeprefix("-") not in names:
        raise BadQuery(f"sort: expected one of {', '.join(names)}, with - before it for the largest first")
    offset, limit = _number(asked, "offset", 0, 10**9), _number(asked, "limit", LIMIT, MOST)
    return Part(asked.get("sort", ""), limit, offset)


def objects(rows: Sequence[Any], kind: type) -> list[dict[str, Any]]:
    """Rows of this dataclass as plain data."""
    names = [field.name for field in fields(kind)]
    values = attrgetter(*names)
    return [dict(zip(names, values(row), strict=True)) for row in rows]


def _number(asked: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = asked.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most):
        raise BadQuery(f"{name}: expected a whole number from 0 to {most}")
    return int(text)


def plain(value: Any) -> Any:
    """As JSON can say it: what is endless is `forever`, words are text."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "forever" if isinstance(value, float) and isinf(value) else value
