"""What a node says: whatever can be said can be understood, and nothing else is anything but a bad reply.

In: a line's bytes, or a reply's fields.  Out: an exception where what was rendered is not what was parsed.
Never: an LF in a line, or a field that the node could not have made.
"""

from __future__ import annotations

import re

from nettool.wire import replies
from nettool.wire.names import is_name, is_topic
from nettool.wire.replies import BadReply, Reply
from tests.fuzz.tape import Tape

TOKENS = b"ok login |from | to #a|: |ok join #a|ok leave #a|peer |ok who |topic #a |ok topics |ok watch".split(b"|")
TOKENS += b"ok unwatch|notice here: |notice gone: |pong |help |ok help|returned bob queue-full: ".split(b"|")
TOKENS += b"error bad-line: |bye quit|a@node1|0|999999999999999999".split(b"|")


def check(data: bytes) -> None:
    """Each of some lines as it stands, then a reply made of what they have."""
    for line in data.split(b"\n"):
        try:
            reply = replies.parse(line)
        except BadReply:
            continue
        again = replies.render(reply)
        assert replies.parse(again) == reply
        assert again == _usual(line), f"{line!r} became {again!r}"
    check_made(Tape(data))


def _usual(line: bytes) -> bytes:
    """The one way in which a node writes a line that may be written in several."""
    if re.fullmatch(rb"(ok (who|topics)|topic [^ ]+) \d+", line):
        head, _, number = line.rpartition(b" ")
        return b"%b %d" % (head, int(number))
    return {b"pong ": b"pong", b"help": b"help ", b"ok watch ": b"ok watch", b"ok unwatch ": b"ok unwatch"}.get(
        line, b"ok help" if line == b"ok help " else line
    )


def check_made(tape: Tape) -> None:
    """Replies whose fields are such as a node has."""
    kind, size, count = tape.below(12), tape.number(), tape.number(3)
    first, second = _word(tape.text(size), b"bob"), _word(tape.text(tape.number()), b"carol")
    text = tape.rest().replace(b"\n", b"\r")
    topic = b"#" + first if is_topic(b"#" + first) else b"#t"
    name = first if is_name(first) else b"bob"
    sender = name + b"@" + second if is_name(second) and tape.below(2) else name
    made: list[Reply] = [
        replies.LoggedIn(name, second if is_name(second) else b"node1"),
        replies.Direct(sender, text),
        replies.Heard(sender, topic, text),
        replies.Joined(topic),
        replies.Left(topic),
        replies.PeerHere(sender),
        replies.TopicHeard(topic, count),
        replies.WhoEnd(count),
        replies.Notice(bool(count % 2), sender),
        replies.Pong(text),
        replies.Returned(first, b"queue-full", text),
        replies.Refused(b"bad-line", text[:60]),
    ]
    reply = made[kind]
    line = replies.render(reply)
    assert replies.parse(line) == reply, f"{line!r} is {replies.parse(line)}, not {reply}"
    if isinstance(reply, replies.Direct):
        assert line == replies.direct_prefix(sender) + text
    if isinstance(reply, replies.Heard):
        assert line == replies.topic_prefix(sender) + topic + b": " + text


def _word(text: bytes, otherwise: bytes) -> bytes:
    """An address as a peer may write it: no comma, colon or LF in it, no white space around it."""
    return re.sub(rb"[,:\n]", b"", text).strip() or otherwise
