"""
What the Tab key suggests.

In: what is typed before the cursor, a namespace, names of peers and topics.  Out: words that may be meant.
Never: a call of anything but attributes.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_QUOTED = re.compile(r"""[(\[,]\s*(["'])(?P<stem>[^"']*)$""")
_DOTTED = re.compile(r"(?P<path>(?:\w+\.)*)(?P<stem>\w*)$")

MOST = 200
"""Suggestions at a time."""


def suggestions(
    before: str, namespace: Mapping[str, Any], addresses: Callable[[str], Iterable[str]]
) -> tuple[str, list[str]]:
    """What is typed of a word, and the words that it may become, sorted; `addresses` tells those with a beginning."""
    quoted = _QUOTED.search(before)
    if quoted is not None:
        stem = quoted["stem"]
        return stem, sorted(address for address in addresses(stem) if '"' not in address and "'" not in address)[:MOST]
    dotted = _DOTTED.search(before)
    assert dotted is not None  # it matches nothing, too
    stem, path = dotted["stem"], dotted["path"].split(".")[:-1]
    words = _attributes(namespace, path) if path else _names(namespace)
    hidden = stem.startswith("_")
    return stem, sorted(word for word in words if word.startswith(stem) and word.startswith("_") <= hidden)[:MOST]


def _names(namespace: Mapping[str, Any]) -> list[str]:
    builtins: Mapping[str, Any] = namespace.get("__builtins__", {})
    named = {**builtins, **namespace}
    return [*(_called(name, value) for name, value in named.items() if name.isidentifier()), *keyword.kwlist]


def _attributes(namespace: Mapping[str, Any], path: list[str]) -> list[str]:
    try:
        value = {**namespace.get("__builtins__", {}), **namespace}[path[0]]
        for name in path[1:]:
            value = getattr(value, name)
        names = dir(value)
    except Exception:  # there is no such thing, or it does not want to be looked at
        return []
    found = []
    for name in names:
        try:
            found.append(_called(name, getattr(value, name)))
        except Exception:  # a property that raises is a name all the same
            found.append(name)
    return found


def _called(name: str, value: Any) -> str:
    return name + "(" if callable(value) and not isinstance(value, type) else name


def common_beginning(words: list[str]) -> str:
    """What all of them begin with."""
    first, last = min(words), max(words)
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    return first[:same]
