"""What an operator reads: nothing in it steers a terminal, columns are straight, numbers are in units."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.ops.tables import Report, Table, columns_of, cut, duration, listed, number, printable, size


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bob", "bob"),
        ("jürgen 漢字 🙂", "jürgen 漢字 🙂"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\rb", r"a\rb"),
        ("a\x08b\x7f", r"a\x08b\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202eevil", r"\u202eevil"),
        ("\ufeff\u200b", r"\ufeff\u200b"),
        ("\U000e0001", r"\U000e0001"),
        ("\udcff", r"\udcff"),
        ("a\nb\tc", "a\nb\tc"),
        ("é\n漢\x00", "é\n漢" + r"\x00"),
    ],
)
def test_text_from_outside_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_in_a_cell_not_even_a_line_end_stays() -> None:
    assert printable("a\nb\tc", keep="") == r"a\nb\tc"


@given(st.text(st.characters()))
def test_what_is_shown_is_always_printable(text: str) -> None:
    shown = printable(text)
    assert shown.replace("\n", "").replace("\t", "").isprintable()
    assert printable(shown) == shown
    assert printable(text, keep="").isprintable()


@dataclass
class Fruit:
    name: str
    count: int
    price: float


COLUMNS = {"fruit": lambda f: f.name, "count": lambda f: f.count, "price": lambda f: f.price}
FRUIT = [Fruit("apple", 3, 1.5), Fruit("漢字", 12000, 20.25), Fruit("\x1b[2J\n", 1, 0.5)]


def test_a_table_is_aligned_numbers_to_the_right() -> None:
    assert repr(Table(COLUMNS, FRUIT)).splitlines() == [
        "fruit       count  price",
        "apple           3    1.5",
        "漢字       12,000  20.25",
        r"\x1b[2J\n       1    0.5",
    ]


def test_a_table_is_a_sequence_of_its_rows() -> None:
    table = Table(COLUMNS, FRUIT)
    assert table[0] is FRUIT[0] and len(table) == 3 and [fruit.count for fruit in table] == [3, 12000, 1]
    assert list(table[1:]) == FRUIT[1:] and isinstance(table[1:], Table)


def test_a_table_without_rows_says_so() -> None:
    assert repr(Table(COLUMNS, [], "no fruit")) == "no fruit"


def test_a_long_table_says_how_much_is_not_shown() -> None:
    assert Table(COLUMNS, FRUIT * 1000).show(most=2).splitlines()[-2:] == [
        "漢字   12,000  20.25",
        "... and 2,998 more",
    ]


def test_a_wide_table_is_cut_at_the_terminals_edge() -> None:
    for line in Table(COLUMNS, FRUIT).show(width=16).splitlines():
        assert columns_of(line) <= 16
    assert Table(COLUMNS, FRUIT).show(width=16).splitlines()[1] == "apple        ..."


def test_without_headings_there_is_no_line_for_them() -> None:
    assert repr(Table({"": lambda row: row[0], " ": lambda row: row[1]}, [("a", 1), ("bc", 2)])) == "a   1\nbc  2"


def test_true_is_no_number() -> None:
    assert repr(Table({"yes": lambda row: row}, [True])).splitlines() == ["yes", "True"]


@given(st.text(), st.integers(0, 100))
def test_what_is_cut_fits(text: str, width: int) -> None:
    assert columns_of(cut(text, width)) <= max(width, 0)
    assert cut(text, None) == text


def test_wide_characters_take_two_columns_and_combining_ones_none() -> None:
    assert (columns_of("abc"), columns_of("漢字"), columns_of("e\u0301")) == (3, 4, 1)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (640, "640 B"),
        (1536, "1.5 KiB"),
        (4 * 1024 * 1024, "4.0 MiB"),
        (3 * 1024**3, "3.0 GiB"),
        (5000 * 1024**3, "5,000.0 GiB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (-1, "0.0 s"),
        (0.25, "0.2 s"),
        (9.94, "9.9 s"),
        (42.4, "42 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86400 * 3 + 4 * 3600 + 59, "3 d 4 h"),
        (86400 * 4000, "4,000 d"),
        (float("inf"), "for ever"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_numbers_of_things() -> None:
    assert (number(1, "line"), number(0, "line"), number(1234, "copy", "copies")) == (
        "1 line",
        "0 lines",
        "1,234 copies",
    )
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")


def test_a_report_shows_itself_without_quotes() -> None:
    assert repr(Report("two\nlines")) == "two\nlines" == Report("two\nlines")
