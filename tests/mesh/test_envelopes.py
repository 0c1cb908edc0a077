"""Many envelopes at once: a list for whoever looks, and for nobody else a list of envelopes."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.mesh import Envelope, Envelopes

RUNS = st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.binary(max_size=3), min_size=1, max_size=4)), max_size=6)


def listed(runs: list[tuple[str, list[bytes]]]) -> list[Envelope]:
    return [Envelope(id, payload) for id, payloads in runs for payload in payloads]


LOOKS: list[Callable[[Any], object]] = [
    list,
    len,
    bool,
    repr,
    sorted,
    lambda many: many[:2],
    lambda many: many[::-1],
    lambda many: many + [Envelope("d", b"")],  # noqa: RUF005  # what is tested
    lambda many: [Envelope("d", b""), *many],
    lambda many: [Envelope("d", b"")] + many,  # noqa: RUF005
    lambda many: many * 2,
    lambda many: Envelope("a", b"") in many,
    lambda many: many.count(Envelope("a", b"")),
    lambda many: many == listed([]),
    lambda many: copy.copy(many) == many.copy() == copy.deepcopy(many) == pickle.loads(pickle.dumps(many)),
    lambda many: [type(envelope) for envelope in many],
    lambda many: (many.append(Envelope("d", b"")), many.sort(), list(many)),
    lambda many: (many.extend([Envelope("d", b"")]), many.reverse(), list(many)),
    lambda many: (many.insert(0, Envelope("d", b"")), many.pop(), list(many)),
    lambda many: (many.clear(), list(many)),
    lambda many: list(operator.iadd(many, [Envelope("d", b"")])),
    lambda many: list(operator.imul(many, 2)),
]


@given(RUNS, st.integers(0, len(LOOKS) - 1))
def test_it_is_a_list_in_all_that_it_does(runs: list[tuple[str, list[bytes]]], look: int) -> None:
    assert LOOKS[look](Envelopes.of(runs)) == LOOKS[look](listed(runs))
    assert LOOKS[look](Envelopes(iter(listed(runs)))) == LOOKS[look](listed(runs))


@given(RUNS, st.booleans())
def test_by_connection_it_is_the_same_looked_at_or_not(runs: list[tuple[str, list[bytes]]], looked: bool) -> None:
    many, envelopes = Envelopes.of(runs), listed(runs)
    if looked:
        assert list(many) == envelopes
    by_id = many.by_id()
    assert [id for id, _ in by_id] == list(dict.fromkeys(id for id, _ in envelopes))
    for id, payloads in by_id:
        assert payloads == [envelope.payload for envelope in envelopes if envelope.id == id]


def test_what_is_done_to_it_after_a_look_is_what_is_sent() -> None:
    many = Envelopes.of([("a", [b"1", b"2"])])
    many[1] = Envelope("b", b"3")
    assert many.by_id() == [("a", [b"1"]), ("b", [b"3"])]
    many += [Envelope("a", b"4")]
    assert many.by_id() == [("a", [b"1", b"4"]), ("b", [b"3"])]


def test_nobody_who_only_counts_and_passes_on_has_envelopes_made() -> None:
    many = Envelopes.of([("a", [b"1", b"2"])])
    assert len(many) == 2 and many
    assert many.by_id() == [("a", [b"1", b"2"])]
    assert many.runs is not None


@pytest.mark.parametrize("payload", [bytearray(b"x"), "x", None, memoryview(b"x")])
def test_what_is_no_bytes_is_refused_before_anything_is_sent(payload: Any) -> None:
    for others in ([], [Envelope("a", b"")], [Envelope("b", b"")]):
        with pytest.raises(TypeError, match=f"not {type(payload).__name__}"):
            Envelopes([*others, Envelope("a", payload)]).by_id()


def test_without_what_was_taken_the_rest_is_in_order() -> None:
    many = Envelopes.of([("a", [b"1", b"2"]), ("b", [b"3", b"4"]), ("a", [b"5"]), ("c", [b"6"])])
    assert many.without({"a": 1, "b": 0}) == listed([("a", [b"2"]), ("b", [b"3", b"4"]), ("a", [b"5"])])
