"""Lines that ask for very much: worked off in slices, and within the bounds of an outbox."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any

import pytest
from twisted.internet.task import Clock

from nettool.outbox.turn import Turn
from nettool.settings import DeliverySettings, PeerSettings, Settings
from nettool.wire import requests
from tests.broker.model import Street

MANY = 40_000


@pytest.mark.parametrize("word", [b"/join", b"/leave"])
def test_a_list_of_very_many_topics_is_worked_off_in_slices(word: bytes) -> None:
    street = Street(Settings(peers=PeerSettings(max_line=2**20, max_joins=0)))
    alice, bob = street.connect(b"alice"), street.connect(b"bob")
    times = chain(repeat(True, 4), repeat(False))
    alice.has_time = lambda since: next(times)  # type: ignore[method-assign]
    alice.says(word + b" " + b",".join(b"#%d" % number for number in range(MANY)), b"bob: done")
    assert not alice.session.wants_input
    street.end_turn()
    assert 0 < len(alice.heard) < MANY
    del alice.has_time
    street.settle()
    assert alice.heard[1:] == [b"ok " + word[1:] + b" #%d" % number for number in range(MANY)]
    assert bob.heard[-1] == b"from alice: done"


def test_answers_to_one_line_stop_at_the_bound_of_an_outbox_that_nobody_reads() -> None:
    bound = 64 * 1024
    delivery = DeliverySettings(outbox_bytes=bound)
    street = Street(Settings(peers=PeerSettings(max_line=2**20), delivery=delivery))
    alice = street.connect(b"alice")
    street.settle()
    alice.outbox.block()
    alice.says(b"/join " + b"a," * MANY)
    assert alice.outbox.backlog is not None
    assert alice.outbox.backlog.direct.held < 8 * bound
    alice.reads()
    street.settle()
    assert alice.heard[1:] == [b"error bad-topic: a"] * MANY


@pytest.mark.parametrize("line", [b"a," * MANY + b": x", b", " * MANY + b"a: x"])
def test_addresses_are_not_all_made_to_be_counted(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    items = requests._items
    monkeypatch.setattr(requests, "_items", lambda text: made.append(text.count(b"a")) or items(text))
    street = Street(Settings(peers=PeerSettings(max_line=2**20)))
    alice = street.connect(b"alice")
    alice.says(line)
    street.settle()
    few = line.count(b"a") == 1
    assert alice.heard[1:] == [b"error no-such-peer: a" if few else b"error too-many-addresses: 100"]
    assert sum(made) <= 1


def test_calls_that_were_put_off_leave_time_for_the_others() -> None:
    clock, order = Clock(), []
    turn = Turn(clock)

    def call(what: Any) -> None:
        order.append(what)
        clock.rightNow += 0.015

    for number in range(4):
        turn.soon(lambda number=number: call(number))
    clock.callLater(0, order.append, "a read")
    clock.advance(0)
    assert order == [0, 1, "a read", 2, 3]


def test_a_line_of_commas_without_a_colon_is_a_bad_line() -> None:
    street = Street(Settings())
    alice = street.connect(b"alice")
    alice.says(b"a, " * 200)
    street.settle()
    assert alice.heard[1:] == [b"error bad-line: " + (b"a, " * 200)[:60]]


def test_a_long_list_that_is_mostly_commas_is_what_is_between_them() -> None:
    street = Street(Settings(peers=PeerSettings(max_line=2**20)))
    alice = street.connect(b"alice")
    alice.says(b"/join " + b"," * MANY + b"#a" + b"," * MANY)
    street.settle()
    assert alice.heard[1:] == [b"ok join #a"]
