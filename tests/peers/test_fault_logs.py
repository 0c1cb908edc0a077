"""A fault that no connection's own guard sees is logged with what is known of it, and the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.logger import globalLogPublisher

from nettool.outbox.pump import Pump
from tests.support.street import MemoryStreet


@pytest.fixture
def events() -> Iterator[list[dict[str, Any]]]:
    seen: list[dict[str, Any]] = []

    def observe(event: dict[str, Any]) -> None:
        if "event" in event:
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def test_a_fault_within_a_flush_is_logged_with_the_peers_name(
    monkeypatch: pytest.MonkeyPatch, logged_failures: Any, events: list[dict[str, Any]]
) -> None:
    street = MemoryStreet()
    alice, bob, carol = street.peers(b"alice", "zoë".encode(), b"carol")
    flush = Pump.flush

    def fails(pump: Pump, now: float) -> None:
        if pump.outbox is bob.protocol.session.outbox:
            raise ZeroDivisionError
        flush(pump, now)

    with monkeypatch.context() as broken:
        broken.setattr(Pump, "flush", fails)
        alice.say("zoë, carol: hi".encode())
        assert carol.hear() == [b"from alice: hi"]
    assert logged_failures.flush(ZeroDivisionError)
    assert {(event["event"], event["name"]) for event in events} == {("flush-failed", "zoë")}


def test_a_fault_in_what_was_put_off_is_logged_with_what_it_was(
    logged_failures: Any, events: list[dict[str, Any]]
) -> None:
    street = MemoryStreet()

    def breaks() -> None:
        raise ZeroDivisionError

    done: list[int] = []
    street.factory.turn.soon(breaks)
    street.factory.turn.soon(lambda: done.append(1))
    street.pass_time(0)
    assert done == [1]
    assert logged_failures.flush(ZeroDivisionError)
    [event] = events
    assert event["event"] == "turn-failed"
    assert event["call"].endswith("breaks")


def test_a_slow_consumer_is_logged_by_name_and_address(events: list[dict[str, Any]]) -> None:
    street = MemoryStreet(stall_timeout=10.0, direct_patience=1.0, outbox_bytes=128 * 1024, max_line=16 * 1024)
    alice, bob = street.peers(b"alice", b"bob")
    bob.stop_reading()
    alice.say(*(b"bob: " + b"x" * 1000 for _ in range(2000)))
    street.pass_time(30)
    assert not bob.is_connected
    [event] = [event for event in events if event["event"] == "slow-consumer"]
    assert (event["name"], event["peer"].host, event["log_level"].name) == ("bob", "198.51.100.1", "warn")
