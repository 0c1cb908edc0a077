"""What the Tab key suggests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nettool.ops.console.completion import MOST, common_beginning, suggestions


class Awkward:
    @property
    def broken(self) -> None:
        raise RuntimeError

    def __getattr__(self, name: str) -> None:
        if name == "nothing":
            raise ValueError
        raise AttributeError(name)


NAMESPACE: dict[str, Any] = {
    "__builtins__": {"print": print, "ValueError": ValueError, "<show>": 1},
    "peers": {},
    "kick": print,
    "node": SimpleNamespace(name="node1", nested=SimpleNamespace(deep=1), _private=1, run=print),
    "odd": Awkward(),
    "number": 5,
}


def addresses(stem: str) -> list[str]:
    return [name for name in ("bob", "boris", "alice", "#news", "it's") if name.startswith(stem)]


@pytest.mark.parametrize(
    ("before", "stem", "words"),
    [
        ("pe", "pe", ["peers"]),
        ("ki", "ki", ["kick("]),
        ("x = ki", "ki", ["kick("]),
        ("pr", "pr", ["print("]),
        ("Val", "Val", ["ValueError"]),
        ("impo", "impo", ["import"]),
        ("<sh", "sh", []),
        ("node.n", "n", ["name", "nested"]),
        ("node.nested.", "", ["deep"]),
        ("node.r", "r", ["run("]),
        ("node._p", "_p", ["_private"]),
        ("node.nothing.", "", []),
        ("nobody.x", "x", []),
        ("number.", "", None),
        ("odd.br", "br", ["broken"]),
        ("odd.nothing.x", "x", []),
        ("node.name.nested().d", "d", None),
        ('kick("bo', "bo", ["bob", "boris"]),
        ("kick('", "", ["#news", "alice", "bob", "boris"]),
        ('say("#', "#", ["#news"]),
        ('peers["al', "al", ["alice"]),
        ('say("#news", "b', "b", ["bob", "boris"]),
        ('kick("nobody', "nobody", []),
        ("kick(nu", "nu", ["number"]),
        (")", "", None),
    ],
)
def test_what_may_be_meant(before: str, stem: str, words: list[str] | None) -> None:
    found = suggestions(before, NAMESPACE, addresses)
    assert found[0] == stem
    if words is not None:
        assert found[1] == words


def test_nothing_is_called() -> None:
    called = []
    namespace = {"f": lambda: called.append(1), "__builtins__": {}}
    assert suggestions("f().x", namespace, addresses)[1] == []
    assert not called


def test_private_names_are_shown_to_who_asks_for_them() -> None:
    assert "_private" not in suggestions("node.", NAMESPACE, addresses)[1]
    assert "__class__" in suggestions("node.__c", NAMESPACE, addresses)[1]


def test_there_are_at_most_so_many() -> None:
    assert len(suggestions('kick("', NAMESPACE, lambda stem: [f"p{n}" for n in range(10_000)])[1]) == MOST


def test_what_words_have_in_common() -> None:
    assert common_beginning(["node", "none", "not"]) == "no"
    assert common_beginning(["one"]) == "one"
    assert common_beginning(["a", "b"]) == ""
