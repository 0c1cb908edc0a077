"""Whatever a value is, it becomes plain data, and no control character survives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.python.failure import Failure

from nettool.broker.ledger import LedgerSnapshot
from nettool.errors import CloseReason, DropReason
from nettool.ops.logs.plain import LONGEST, MOST, cut, escaped, plain
from tests.ops.logs.evil import DANGEROUS, TERRIBLE


def texts(value: Any) -> Iterator[str]:
    """All text in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            assert type(key) is str
            yield from (key, *texts(item))
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    else:
        assert value is None or type(value) in (bool, int, float)


def expect_plain(value: Any) -> None:
    """It is what JSON can say, bounded, and prints as it is."""
    found = list(texts(value))
    assert all(text.isprintable() for text in found)
    assert all(len(text) <= 11 * LONGEST for text in found)
    written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    assert json.loads(written) == value
    written.encode("utf-8")


@pytest.mark.parametrize("value", TERRIBLE, ids=range(len(TERRIBLE)))
def test_whatever_a_value_does_it_becomes_plain_data(value: object) -> None:
    expect_plain(plain(value))


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary() | st.integers(), inner) | st.tuples(inner),
    max_leaves=20,
)


@given(json_like)
def test_any_data_becomes_plain_data(value: object) -> None:
    expect_plain(plain(value))


@given(st.text())
def test_escaped_text_prints_and_what_printed_is_as_it_was(text: str) -> None:
    assert escaped(text).isprintable()
    if text.isprintable():
        assert escaped(text) == text


@pytest.mark.parametrize("text", DANGEROUS, ids=ascii)
def test_what_could_forge_a_line_or_a_screen_is_escaped(text: str) -> None:
    shown = escaped(f"before {text} after")
    assert text[0] not in shown
    assert "\\" in shown
    assert shown.startswith("before ") and shown.endswith(" after")


def test_names_in_any_script_stay_as_they_are() -> None:
    for name in ("zoë", "Ωmega", "名前", "naïve 🙂"):
        assert escaped(name) == name


class Colour(Enum):
    RED = "red\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (0, 0),
        (-(2**63), -(2**63)),
        (2**63, "0x8000000000000000"),
        (1.5, 1.5),
        (float("inf"), "inf"),
        ("zoë\n", "zoë\\n"),
        (b"zo\xc3\xab \xff\x1b", "zoë \\xff\\x1b"),
        (Colour.RED, "red\\n"),
        (CloseReason.QUIT, "quit"),
        ([1, "a", b"b"], [1, "a", "b"]),
        ((1, (2,)), [1, [2]]),
        ({b"k": {CloseReason.QUIT: 1}}, {"k": {"quit": 1}}),
        ({3: 4}, {"3": 4}),
        (IPv4Address("TCP", "127.0.0.1", 6388), "127.0.0.1:6388"),
        (IPv6Address("TCP", "::1", 6388), "[::1]:6388"),
        (UNIXAddress("/run/a\nb"), "/run/a\\nb"),
        (ValueError("a\tb"), "ValueError: a\\tb"),
        (Failure(ZeroDivisionError("x")), "builtins.ZeroDivisionError: x"),
        (
            LedgerSnapshot(1, 2, {}, {DropReason.LAGGED: 3}, {}, 4),
            {
                "accepted": 1,
                "delivered": 2,
                "returned": {},
                "dropped": {"lagged": 3},
                "refused": {},
                "queued": 4,
                "forwarded": 0,
            },
        ),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_each_kind_of_value_has_its_form(value: object, shown: object) -> None:
    assert plain(value) == shown


def test_one_item_that_cannot_be_shown_leaves_the_others() -> None:
    liar = TERRIBLE[0]
    assert plain([liar, 1, {"a": liar, "b": 2}]) == [
        "<unprintable tests.ops.logs.evil.Liar>",
        1,
        {"a": "<unprintable tests.ops.logs.evil.Liar>", "b": 2},
    ]


def test_of_what_is_too_much_the_beginning_is_shown() -> None:
    assert plain("x" * (LONGEST + 1)) == "x" * LONGEST + f"… ({LONGEST + 1} characters)"
    assert plain(b"x" * (LONGEST + 1)) == "x" * LONGEST + f"… ({LONGEST + 1} bytes)"
    assert plain("x" * LONGEST) == "x" * LONGEST
    assert plain(list(range(MOST + 1))) == list(range(MOST))
    assert cut("abc", 2) == "ab… (3 characters)"
