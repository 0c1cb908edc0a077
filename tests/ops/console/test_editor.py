"""The line that is typed, and what a terminal shows of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.ops.console.editor import LONGEST, REMEMBERED, Drawing, Editor
from nettool.ops.tables import columns_of
from tests.support.terminal import Terminal


def editor_of(text: str, cursor: int | None = None) -> Editor:
    editor = Editor()
    editor.insert(text)
    editor.cursor = len(text) if cursor is None else cursor
    return editor


def shown(editor: Editor) -> str:
    return editor.text[: editor.cursor] + "|" + editor.text[editor.cursor :]


@pytest.mark.parametrize(
    ("before", "key", "after"),
    [
        ("ab|c", Editor.left, "a|bc"),
        ("|abc", Editor.left, "|abc"),
        ("ab|c", Editor.right, "abc|"),
        ("abc|", Editor.right, "abc|"),
        ("ab|c", Editor.home, "|abc"),
        ("a|bc", Editor.end, "abc|"),
        ("ab|c", Editor.backspace, "a|c"),
        ("|abc", Editor.backspace, "|abc"),
        ("a|bc", Editor.delete, "a|c"),
        ("abc|", Editor.delete, "abc|"),
        ("a|bc", Editor.delete_to_end, "a|"),
        ("ab|c", Editor.delete_to_start, "|c"),
        ('kick("bob")|', Editor.word_left, 'kick("|bob")'),
        ('kick("|bob")', Editor.word_left, '|kick("bob")'),
        ("|  x", Editor.word_left, "|  x"),
        ('|kick("bob")', Editor.word_right, 'kick|("bob")'),
        ('kick|("bob")', Editor.word_right, 'kick("bob|")'),
        ('kick("bob|")', Editor.word_right, 'kick("bob")|'),
        ("one two|", Editor.delete_word, "one |"),
        ("one two  |three", Editor.delete_word, "one |three"),
        ("|x", Editor.delete_word, "|x"),
        ("漢字|x", Editor.backspace, "漢|x"),
    ],
)
def test_keys(before: str, key: object, after: str) -> None:
    editor = editor_of(before.replace("|", ""), before.index("|"))
    key(editor)  # type: ignore[operator]
    assert shown(editor) == after


def test_nothing_but_printable_characters_is_taken() -> None:
    editor = editor_of("")
    assert editor.insert("a\x1b[2J\x00b\u202ec\n")
    assert editor.text == "a[2Jbc"


def test_a_line_has_a_bound() -> None:
    editor = editor_of("x" * LONGEST)
    assert not editor.insert("y") and editor.text == "x" * LONGEST
    editor.backspace()
    assert not editor.insert("yz") and editor.text == "x" * (LONGEST - 1) + "y"


def test_the_history_goes_back_and_comes_again_to_what_is_being_typed() -> None:
    editor = Editor()
    for line in ("one", "two", "two", "  ", "three"):
        editor.insert(line)
        assert editor.take() == line and editor.text == ""
    editor.insert("typ")
    seen = []
    for _ in range(5):
        editor.previous()
        seen.append(editor.text)
    assert seen == ["three", "two", "one", "one", "one"], "blank lines and repetitions are not remembered"
    for _ in range(4):
        editor.next()
        seen.append(editor.text)
    assert seen[5:] == ["two", "three", "typ", "typ"]
    assert editor.cursor == 3


def test_a_line_of_the_history_may_be_changed_and_the_history_is_not() -> None:
    editor = Editor()
    editor.insert("who()")
    editor.take()
    editor.previous()
    editor.insert("[0]")
    assert editor.take() == "who()[0]"
    editor.previous()
    editor.previous()
    assert editor.text == "who()"


def test_the_history_has_a_bound() -> None:
    editor = Editor()
    for number in range(REMEMBERED + 10):
        editor.insert(str(number))
        editor.take()
    for _ in range(2 * REMEMBERED):
        editor.previous()
    assert editor.text == "10"


# --- what is shown

ACTIONS = {
    "left": Editor.left,
    "right": Editor.right,
    "home": Editor.home,
    "end": Editor.end,
    "backspace": Editor.backspace,
    "delete_to_end": Editor.delete_to_end,
    "previous": Editor.previous,
    "next": Editor.next,
}


def expected(prompt: str, editor: Editor, columns: int) -> tuple[list[str], tuple[int, int]]:
    """What a terminal shows that nothing was drawn on before, and its cursor when nothing is right of it."""
    screen = Terminal(columns).feed((prompt + editor.text).encode())
    before = columns_of(prompt + editor.text[: editor.cursor])
    return screen.lines, divmod(before, columns)


@given(
    st.lists(st.sampled_from(sorted(ACTIONS)) | st.text("ab c", min_size=1, max_size=30), max_size=30),
    st.integers(10, 40),
)
def test_whatever_is_typed_the_terminal_shows_it_and_the_cursor_in_its_place(keys: list[str], columns: int) -> None:
    editor, drawing, terminal = Editor(), Drawing(), Terminal(columns)
    for key in keys:
        if key in ACTIONS:
            ACTIONS[key](editor)
        else:
            editor.insert(key)
        terminal.feed(drawing.show(">>> ", editor, columns))
        lines, cursor = expected(">>> ", editor, columns)
        assert terminal.lines == lines
        assert terminal.cursor == cursor


def test_wide_characters_move_the_cursor_by_two() -> None:
    editor, terminal = editor_of('why("漢字")', 6), Terminal(20)
    terminal.feed(Drawing().show(">>> ", editor, 20))
    assert terminal.lines == ['>>> why("漢字")'] and terminal.cursor == (0, 11)


def test_what_was_drawn_is_taken_away_whole() -> None:
    terminal, drawing = Terminal(10), Drawing()
    terminal.feed(b"before\r\n")
    terminal.feed(drawing.show(">>> ", editor_of("x" * 25, 3), 10))
    terminal.feed(drawing.erase())
    assert terminal.lines == ["before"] and terminal.cursor == (1, 0)


@pytest.mark.parametrize("length", [0, 3, 6, 7, 16, 25])
@pytest.mark.parametrize("cursor", [0, 3])
def test_what_follows_a_line_stands_below_it(length: int, cursor: int) -> None:
    terminal, drawing = Terminal(10), Drawing()
    editor = editor_of("x" * length, min(cursor, length))
    terminal.feed(drawing.show(">>> ", editor, 10))
    terminal.feed(drawing.leave(">>> ", editor, 10))
    terminal.feed(b"after")
    assert "".join(terminal.lines).startswith(">>> " + "x" * length) or not length
    assert terminal.lines[-1] == "after"
