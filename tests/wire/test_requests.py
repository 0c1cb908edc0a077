"""What a peer says: parsed, rendered, refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.wire.requests import (
    HELP,
    BadLine,
    Help,
    Join,
    Leave,
    Login,
    Ping,
    Quit,
    Request,
    Send,
    Topics,
    Unknown,
    Unwatch,
    Watch,
    Who,
    parse,
    parse_login,
    parse_send,
    render,
)

# line, value, and the line as it is rendered where that is another one
GOOD: list[tuple[bytes, Request, bytes | None]] = [
    (b"bob: hello", Send((b"bob",), b"hello"), None),
    (b"bob:hello", Send((b"bob",), b"hello"), b"bob: hello"),
    (b"bob:  hello ", Send((b"bob",), b" hello "), None),
    (b"bob: ", Send((b"bob",), b""), None),
    (b"bob:", Send((b"bob",), b""), b"bob: "),
    (b"bob: a: b: c", Send((b"bob",), b"a: b: c"), None),
    (b"bob:: x", Send((b"bob",), b": x"), b"bob: : x"),
    (b"bob: bob: x", Send((b"bob",), b"bob: x"), None),
    (b"bob, alice: hi", Send((b"bob", b"alice"), b"hi"), None),
    (b"bob,alice,#t: hi", Send((b"bob", b"alice", b"#t"), b"hi"), b"bob, alice, #t: hi"),
    (b" bob ,\talice\t: hi", Send((b"bob", b"alice"), b"hi"), b"bob, alice: hi"),
    (b",,bob,, ,: hi", Send((b"bob",), b"hi"), b"bob: hi"),
    (b"bob, bob: hi", Send((b"bob", b"bob"), b"hi"), None),
    (b"bob@node1: hi", Send((b"bob@node1",), b"hi"), None),
    (b"not a name: hi", Send((b"not a name",), b"hi"), None),
    (b"#a/b: \x00\xff\r", Send((b"#a/b",), b"\x00\xff\r"), None),
    (b" /quit: hi", Send((b"/quit",), b"hi"), b"/quit: hi"),
    (b"/join #a", Join((b"#a",)), None),
    (b"/join #a, #b", Join((b"#a", b"#b")), None),
    (b"/join  #a ,,#b, ", Join((b"#a", b"#b")), b"/join #a, #b"),
    (b"/join nonsense, #b", Join((b"nonsense", b"#b")), None),
    (b"/join #a #b", Join((b"#a #b",)), None),
    (b"/leave #a", Leave((b"#a",)), None),
    (b"/leave #a,#a", Leave((b"#a", b"#a")), b"/leave #a, #a"),
    (b"/who", Who(), None),
    (b"/who ", Who(), b"/who"),
    (b"/who #a", Who(b"#a"), None),
    (b"/who  #a ", Who(b"#a"), b"/who #a"),
    (b"/who bob", Who(b"bob"), None),
    (b"/topics", Topics(), None),
    (b"/topics  ", Topics(), b"/topics"),
    (b"/watch", Watch(), None),
    (b"/unwatch", Unwatch(), None),
    (b"/ping", Ping(), None),
    (b"/ping ", Ping(), b"/ping"),
    (b"/ping 1", Ping(b"1"), None),
    (b"/ping a b: c ", Ping(b"a b: c "), None),
    (b"/ping  two spaces", Ping(b" two spaces"), None),
    (b"/help", Help(), None),
    (b"/quit", Quit(), None),
    (b"/", Unknown(b"/"), None),
    (b"/nonsense", Unknown(b"/nonsense"), None),
    (b"/nonsense with words: x", Unknown(b"/nonsense"), b"/nonsense"),
    (b"/QUIT", Unknown(b"/QUIT"), None),
    (b"/quit: now", Unknown(b"/quit:"), b"/quit:"),
    (b"/ping\ttab", Unknown(b"/ping\ttab"), None),
]

BAD = [
    b"hello",
    b"no colon here",
    b" ",
    b"\r",
    b":",
    b": hello",
    b" : hello",
    b",: hello",
    b" , ,\t: hello",
    b"/join",
    b"/join ",
    b"/join , ,",
    b"/leave",
    b"/leave  ",
    b"/who #a #b",
    b"/topics all",
    b"/watch #a",
    b"/unwatch me",
    b"/help me",
    b"/quit now",
]


@pytest.mark.parametrize(("line", "request_", "rendered"), GOOD, ids=lambda value: ascii(value))
def test_a_line_has_one_meaning(line: bytes, request_: Request, rendered: bytes | None) -> None:
    assert parse(line) == request_
    assert render(request_) == (line if rendered is None else rendered)


@pytest.mark.parametrize("line", BAD)
def test_what_is_neither_a_command_nor_an_addressed_text_is_a_bad_line(line: bytes) -> None:
    with pytest.raises(BadLine):
        parse(line)


@pytest.mark.parametrize("line", [line for line, request, _ in GOOD if isinstance(request, Send)])
def test_an_addressed_text_is_the_same_to_those_who_know_that_it_is_one(line: bytes) -> None:
    assert parse_send(line) == parse(line)


@pytest.mark.parametrize(
    ("line", "login"),
    [
        (b"alice", Login(b"alice")),
        (b"alice secret", Login(b"alice", b"secret")),
        (b"alice two words", Login(b"alice", b"two words")),
        (b"alice ", Login(b"alice")),
        (b" alice", Login(b"", b"alice")),
        (b"bob: hi", Login(b"bob:", b"hi")),
        (b"/quit", Login(b"/quit")),
    ],
)
def test_the_first_line_is_a_name_and_perhaps_a_secret(line: bytes, login: Login) -> None:
    assert parse_login(line) == login


# --- what can be said can be understood


def lines(min_size: int = 0, without: bytes = b"") -> st.SearchStrategy[bytes]:
    """Bytes that a line can hold: no LF, and none of these."""
    barred = b"\n" + without
    alphabet = [bytes([byte]) for byte in range(256) if byte not in barred]
    return st.lists(st.sampled_from(alphabet), min_size=min_size, max_size=12).map(b"".join)


WHITE = b" \t\r\x0b\x0c"
items = lines(1, b",:").map(bytes.strip).filter(bool)
texts = st.one_of(lines(), st.sampled_from([b" x", b"bob: x", b": x", b"/quit"]))
first_items = items.filter(lambda item: not item.startswith(b"/"))
sends = st.builds(
    lambda first, others, text: Send((first, *others), text), first_items, st.lists(items, max_size=3), texts
)
known = {line.partition(b" ")[0] for line, request, _ in GOOD if line[:1] == b"/" and not isinstance(request, Unknown)}
requests = st.one_of(
    sends,
    st.builds(Join, st.lists(items, min_size=1, max_size=3).map(tuple)),
    st.builds(Leave, st.lists(items, min_size=1, max_size=3).map(tuple)),
    st.builds(Who, lines(0, WHITE)),
    st.builds(Ping, lines()),
    st.builds(Unknown, lines(0, b" ").map(lambda word: b"/" + word)).filter(lambda it: it.command not in known),
    st.sampled_from([Topics(), Watch(), Unwatch(), Help(), Quit()]),
)


@given(requests)
def test_parse_after_render_is_the_request(request: Request) -> None:
    line = render(request)
    assert b"\n" not in line
    assert parse(line) == request


@given(st.builds(Login, lines(0, b" "), lines()))
def test_parse_after_render_is_the_login(login: Login) -> None:
    assert parse_login(render(login)) == login


@given(st.one_of(lines(), lines().map(lambda rest: b"bob, alice: " + rest), lines().map(lambda rest: b"/join " + rest)))
def test_any_line_has_a_meaning_that_survives_being_said_again(line: bytes) -> None:
    try:
        request = parse(line)
    except BadLine:
        return
    again = render(request)
    # A list may begin with white space before a slash, which a rendered one cannot: it would be a command.
    if not isinstance(request, Send) or request.addresses[0][:1] != b"/":
        assert parse(again) == request
        assert render(parse(again)) == again


def test_help_names_every_command() -> None:
    told = {line.split()[0] for line in HELP if line.startswith(b"/")}
    assert {command.rstrip(b",") for command in told} == known
    assert all(b"\n" not in line for line in HELP)
