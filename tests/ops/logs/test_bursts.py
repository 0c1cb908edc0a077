"""Of a burst the first few pass, and the rest is counted: nothing is lost from the count, and memory is bounded."""

from __future__ import annotations

from collections import Counter
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from nettool.ops.logs.bursts import BURST, KINDS, PERIOD, Bursts


def admitted(bursts: Bursts, kind: str, times: int, now: float, *, severe: bool = False) -> int:
    return sum(bursts.admits(kind, "error" if severe else "info", severe, kind, now) for _ in range(times))


def test_the_first_few_of_a_kind_pass_and_the_rest_is_counted() -> None:
    bursts = Bursts()
    assert admitted(bursts, "a", BURST, 0.0) == BURST
    assert bursts.next_end() == inf, "nothing is held back, so nobody has to come back"
    assert admitted(bursts, "a", 381, 1.0) == 0
    assert bursts.next_end() == PERIOD
    assert bursts.over(PERIOD - 0.001) == []
    [burst] = bursts.over(PERIOD)
    assert (burst.held, burst.began, burst.sample) == (381, 0.0, "a")
    assert bursts.over(PERIOD) == []
    assert bursts.next_end() == inf
    assert admitted(bursts, "a", 10, PERIOD) == BURST, "counting has begun anew"


def test_kinds_are_counted_apart() -> None:
    bursts = Bursts()
    assert admitted(bursts, "a", 100, 0.0) == admitted(bursts, "b", 100, 1.0) == BURST
    assert [burst.sample for burst in bursts.over(PERIOD)] == ["a"]
    assert bursts.next_end() == PERIOD + 1.0
    assert [burst.sample for burst in bursts.over(PERIOD + 1.0)] == ["b"]


def test_a_kind_that_holds_nothing_back_is_forgotten_in_silence() -> None:
    bursts = Bursts()
    assert admitted(bursts, "a", BURST, 0.0) == BURST
    assert bursts.over(PERIOD) == []
    assert admitted(bursts, "a", BURST, PERIOD) == BURST


def test_a_clock_that_is_set_back_holds_nothing_back_for_longer() -> None:
    bursts = Bursts()
    admitted(bursts, "a", 100, 1_000_000.0)
    assert [burst.held for burst in bursts.over(0.0)] == [100 - BURST]
    assert admitted(bursts, "a", 100, 0.0) == BURST


def test_beyond_so_many_kinds_they_share_one_for_each_level() -> None:
    bursts = Bursts(kinds=10)
    for number in range(1000):
        admitted(bursts, f"kind {number}", 1, 0.0)
    assert not bursts.admits("another", "info", False, None, 0.0)
    assert bursts.admits("another", "warn", False, None, 0.0)
    [burst] = bursts.over(PERIOD)
    assert burst.mixed
    assert burst.held == 1000 - 5 - BURST + 1
    assert admitted(bursts, "another", 1, PERIOD) == 1


def test_however_many_kinds_of_lesser_things_there_are_every_kind_of_error_passes() -> None:
    bursts = Bursts()
    for number in range(10 * KINDS):
        admitted(bursts, f"kind {number}", 3, 0.0)
    for number in range(KINDS // 3):
        assert admitted(bursts, f"error {number}", 1, 0.0, severe=True) == 1


def test_what_is_held_back_can_be_had_before_its_time() -> None:
    bursts = Bursts()
    admitted(bursts, "a", 8, 0.0)
    admitted(bursts, "b", 1, 0.0)
    assert [burst.held for burst in bursts.all()] == [8 - BURST]
    assert bursts.all() == bursts.over(PERIOD) == []
    assert bursts.next_end() == inf


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([0.0, 0.1, 3.0, 9.9, 20.0, -5.0])), max_size=300),
    st.integers(1, 4),
)
def test_every_event_passes_or_is_told_of_once(events: list[tuple[str, float]], kinds: int) -> None:
    bursts = Bursts(burst=2, period=10.0, kinds=kinds)
    now, passed, told = 100.0, 0, 0
    windows: Counter[str] = Counter()
    for kind, pause in events:
        now += pause
        told += sum(burst.held for burst in bursts.over(now))
        assert bursts.next_end() == inf or bursts.next_end() > now
        severe = kind in "ab"
        if bursts.admits(kind, "error" if severe else "info", severe, kind, now):
            passed += 1
            windows[kind] += 1
    told += sum(burst.held for burst in bursts.all())
    assert passed + told == len(events)
