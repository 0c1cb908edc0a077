"""What is passed from room to room, and how it is taken apart."""

from hypothesis import given
from hypothesis import strategies as st

from nettool.outbox.batch import Batch, Kind, tell_apart
from tests.outbox.place import Sender

ALICE = Sender(b"alice")


def test_a_mixed_batch_is_told_apart_into_runs_in_the_same_order() -> None:
    lines = [
        b"from alice: one\n",
        b"from alice: from alice to #t: is only said\n",
        b"from alice to #t: two\n",
        b"from alice to #u: from alice: is only said\n",
        b"from alice: three\n",
    ]
    parts = tell_apart(Batch(Kind.MIXED, ALICE, b"bob", b"".join(lines), 5, 7.0))
    assert [(part.kind, part.address, part.data, part.lines, part.at) for part in parts] == [
        (Kind.DIRECT, b"bob", lines[0] + lines[1], 2, 7.0),
        (Kind.TOPIC, b"", lines[2] + lines[3], 2, 7.0),
        (Kind.DIRECT, b"bob", lines[4], 1, 7.0),
    ]
    assert all(part.sender is ALICE for part in parts)


texts = st.binary(max_size=20).map(lambda text: text.replace(b"\n", b" ")) | st.sampled_from(
    [b"from alice: x", b"from alice to #t: x", b"#t: x", b": "]
)


@given(st.lists(st.tuples(st.none() | st.sampled_from([b"#t", b"#u/v", "#ä".encode()]), texts)))
def test_telling_apart_loses_nothing_and_topics_are_counted(lines: list[tuple[bytes | None, bytes]]) -> None:
    rendered = [b"from alice" + (b" to " + topic if topic else b"") + b": " + text + b"\n" for topic, text in lines]
    parts = tell_apart(Batch(Kind.MIXED, ALICE, b"bob", bytearray(b"".join(rendered)), len(lines), 7.0))
    assert b"".join(part.data for part in parts) == b"".join(rendered)
    assert sum(part.lines for part in parts) == len(lines)
    counted: dict[bytes, int] = {}
    for part in parts:
        if part.kind is Kind.TOPIC:
            for topic, count in part.by_topic().items():
                counted[topic] = counted.get(topic, 0) + count
    wanted = [topic for topic, _ in lines if topic]
    assert counted == {topic: wanted.count(topic) for topic in wanted}


def test_lines_of_one_topic_are_counted_without_a_look_at_them() -> None:
    batch = Batch(Kind.TOPIC, ALICE, b"#t", b"whatever\n", 3, 7.0)
    assert batch.by_topic() == {b"#t": 3}


def test_counts_that_are_known_are_taken_as_they_are() -> None:
    batch = Batch(Kind.NOTICE, None, b"/watch", b"notice here: bob\n", 0, 7.0, {b"/watch": 1})
    assert batch.by_topic() == {b"/watch": 1}
