"""What a node says: parsed, rendered, refused; and the words that it may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.errors import CloseReason, DropReason, ErrorCode, ReturnReason
from nettool.wire.replies import (
    BadReply,
    Bye,
    Direct,
    Heard,
    HelpEnd,
    HelpLine,
    Joined,
    Left,
    LoggedIn,
    Notice,
    PeerHere,
    Pong,
    Refused,
    Reply,
    Returned,
    TopicHeard,
    TopicsEnd,
    Watching,
    WhoEnd,
    direct_prefix,
    parse,
    render,
    topic_prefix,
)

GOOD: list[tuple[bytes, Reply]] = [
    (b"ok login alice@node1", LoggedIn(b"alice", b"node1")),
    (b"from alice: hello", Direct(b"alice", b"hello")),
    (b"from alice@node2: hello", Direct(b"alice@node2", b"hello")),
    (b"from alice: ", Direct(b"alice", b"")),
    (b"from alice:  : x", Direct(b"alice", b" : x")),
    (b"from alice: to #news: x", Direct(b"alice", b"to #news: x")),
    (b"from alice to #news: hello", Heard(b"alice", b"#news", b"hello")),
    (b"from alice@node2 to #a/b: from bob: x", Heard(b"alice@node2", b"#a/b", b"from bob: x")),
    (b"ok join #news", Joined(b"#news")),
    (b"ok leave #news", Left(b"#news")),
    (b"peer bob", PeerHere(b"bob")),
    (b"peer bob@node2", PeerHere(b"bob@node2")),
    (b"ok who 0", WhoEnd(0)),
    (b"ok who 12", WhoEnd(12)),
    (b"topic #a/b 3", TopicHeard(b"#a/b", 3)),
    (b"ok topics 2", TopicsEnd(2)),
    (b"ok watch", Watching(True)),
    (b"ok unwatch", Watching(False)),
    (b"notice here: bob", Notice(True, b"bob")),
    (b"notice gone: bob@node2", Notice(False, b"bob@node2")),
    (b"pong", Pong()),
    (b"pong a b: c", Pong(b"a b: c")),
    (b"help /quit   take what is queued, then close", HelpLine(b"/quit   take what is queued, then close")),
    (b"ok help", HelpEnd()),
    (b"returned bob queue-full: hello", Returned(b"bob", b"queue-full", b"hello")),
    (b"returned bob@node1 disconnected: a: b", Returned(b"bob@node1", b"disconnected", b"a: b")),
    (b"returned not a name queue-full: x", Returned(b"not a name", b"queue-full", b"x")),
    (b"returned bob queue-full queue-full: x", Returned(b"bob queue-full", b"queue-full", b"x")),
    (b"error bad-line: hello", Refused(b"bad-line", b"hello")),
    (b"error lagged: #news 17", Refused(b"lagged", b"#news 17")),
    (b"error bad-line: ", Refused(b"bad-line", b"")),
    (b"bye quit", Bye(b"quit")),
]

BAD = [
    b"",
    b"hello",
    b"OK login alice@node1",
    b"ok",
    b"ok nonsense",
    b"ok login alice",
    b"ok login @node1",
    b"ok login alice@",
    b"ok join",
    b"ok join news",
    b"ok join #",
    b"ok leave news",
    b"ok who",
    b"ok who x",
    b"ok who -1",
    b"ok topics 1 2",
    b"ok watch it",
    b"ok unwatch it",
    b"ok help me",
    b"from",
    b"from alice",
    b"from alice:hello",
    b"from alice to news: hello",
    b"from alice to #news hello",
    b"from alice bob: hello",
    b"from : hello",
    b"peer",
    b"peer ",
    b"topic #news",
    b"topic #news x",
    b"topic news 1",
    b"notice",
    b"notice bob",
    b"notice away: bob",
    b"notice here: ",
    b"returned bob: hello",
    b"returned bob queue-full hello",
    b"returned bob QUEUE: hello",
    b"error",
    b"error bad-line",
    b"error BAD: x",
    b"bye",
    b"bye bye now",
    b"ok who " + b"9" * 5000,
    b"topic #news " + b"9" * 5000,
]


@pytest.mark.parametrize(("line", "reply"), GOOD, ids=lambda value: ascii(value))
def test_a_line_is_a_value_and_the_value_is_the_line(line: bytes, reply: Reply) -> None:
    assert parse(line) == reply
    assert render(reply) == line


@pytest.mark.parametrize("line", BAD, ids=lambda line: ascii(line)[:30])
def test_what_no_node_says_is_a_bad_reply(line: bytes) -> None:
    with pytest.raises(BadReply):
        parse(line)


def test_every_reply_is_in_the_table_of_good_lines() -> None:
    assert {type(reply) for _, reply in GOOD} == set(Reply.__args__)


# --- what can be said can be understood


def lines(min_size: int = 0, without: bytes = b"") -> st.SearchStrategy[bytes]:
    """Bytes that a line can hold: no LF, and none of these."""
    barred = b"\n" + without
    alphabet = [bytes([byte]) for byte in range(256) if byte not in barred]
    return st.lists(st.sampled_from(alphabet), min_size=min_size, max_size=10).map(b"".join)


names = lines(1, b" \t\r\x0b\x0c,:@#/")
senders = st.one_of(names, st.builds(lambda name, node: name + b"@" + node, names, names))
topics = lines(1, b" \t\r\x0b\x0c,:@#").map(lambda word: b"#" + word)
texts = st.one_of(lines(), st.sampled_from([b" x", b": x", b"to #t: x", b"bob: x", b"from bob: x"]))
# As its sender wrote it: it may have spaces inside, and look like a reason.
addresses = lines(1, b",:").map(bytes.strip).filter(bool)
counts = st.integers(0, 10**9)
codes = st.sampled_from([code.value for code in ErrorCode])
replies = st.one_of(
    st.builds(LoggedIn, names, names),
    st.builds(Direct, senders, texts),
    st.builds(Heard, senders, topics, texts),
    st.builds(Joined, topics),
    st.builds(Left, topics),
    st.builds(PeerHere, senders),
    st.builds(WhoEnd, counts),
    st.builds(TopicHeard, topics, counts),
    st.builds(TopicsEnd, counts),
    st.builds(Watching, st.booleans()),
    st.builds(Notice, st.booleans(), senders),
    st.builds(Pong, lines()),
    st.builds(HelpLine, lines()),
    st.builds(HelpEnd),
    st.builds(Returned, addresses, st.sampled_from([reason.value for reason in ReturnReason]), texts),
    st.builds(Refused, codes, lines()),
    st.builds(Bye, st.sampled_from([reason.value for reason in CloseReason])),
)


@given(replies)
def test_parse_after_render_is_the_reply(reply: Reply) -> None:
    line = render(reply)
    assert b"\n" not in line
    assert parse(line) == reply


@given(st.one_of(lines(), st.builds(lambda it, rest: render(it) + rest, replies, lines())))
def test_any_line_is_a_bad_reply_or_survives_being_said_again(line: bytes) -> None:
    try:
        reply = parse(line)
    except BadReply:
        return
    assert parse(render(reply)) == reply


@given(senders, topics, texts)
def test_the_prefixes_of_batches_are_the_beginnings_of_rendered_lines(sender: bytes, topic: bytes, text: bytes) -> None:
    assert direct_prefix(sender) + text == render(Direct(sender, text))
    assert topic_prefix(sender) + topic + b": " + text == render(Heard(sender, topic, text))


# --- the words of the protocol

# The codes of `error`, and whether the node closes after it.
CODES = {
    b"bad-name": True,
    b"name-taken": True,
    b"login-timeout": True,
    b"login-failed": True,
    b"too-many-peers": True,
    b"slow-consumer": True,
    b"bad-line": False,
    b"bad-topic": False,
    b"unknown-command": False,
    b"line-too-long": False,
    b"too-many-addresses": False,
    b"too-many-topics": False,
    b"no-such-peer": False,
    b"ambiguous-name": False,
    b"lagged": False,
    b"returns-lost": False,
}
RETURNED = {b"queue-full", b"disconnected", b"slow-consumer", b"no-such-peer", b"node-unreachable", b"shutdown"}
BYE = {b"quit", b"shutdown", b"kicked", b"taken-over"}

# What a node that asks for no secrets never says.
OF_SECRETS = {b"login-failed"}


def test_the_codes_of_errors_are_those_of_the_protocol() -> None:
    assert {code.value for code in ErrorCode} == set(CODES) - OF_SECRETS


def test_the_reasons_for_giving_back_are_those_of_the_protocol() -> None:
    assert {reason.value for reason in ReturnReason} == RETURNED


def test_the_reasons_for_a_bye_are_those_of_the_protocol_and_the_codes_that_close() -> None:
    closing = {code for code, closes in CODES.items() if closes} - OF_SECRETS
    unsaid = {CloseReason.DISCONNECTED.value, CloseReason.BROKEN.value}
    assert {reason.value for reason in CloseReason} - unsaid == BYE | closing


@pytest.mark.parametrize("words", [ErrorCode, CloseReason, ReturnReason, DropReason])
def test_a_word_of_the_protocol_is_small_letters_and_hyphens(words: type[ErrorCode]) -> None:
    for word in words:
        assert word.value.replace(b"-", b"").isalpha()
        assert word.value == word.value.lower()
