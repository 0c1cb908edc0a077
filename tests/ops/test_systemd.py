"""What systemd is told, on a clock and over a real datagram socket; tests/real/test_systemd.py has whole processes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.testing import MemoryReactorClock

from nettool.ops.systemd import DRAIN_EVERY, RETRY, STATUS_EVERY, Systemd


class Manager:
    """The other end: what it has been told, a datagram each."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def told(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


class Unit:
    """A service under systemd, on a clock."""

    def __init__(self, address: str, **environment: str) -> None:
        self.manager = Manager(address)
        self.reactor = MemoryReactorClock()
        self.bound: Deferred[Any] = Deferred()
        self.connections = 0
        self.systemd = Systemd(
            self.reactor,
            {"NOTIFY_SOCKET": address, **environment},
            lambda: self.bound,
            lambda: f"{self.connections}\nconnections",
            lambda: 12.5,
        )

    def start(self, *, ready: bool = True) -> Unit:
        self.systemd.startService()
        for call, arguments, keywords in self.reactor.whenRunningHooks:
            call(*arguments, **keywords)
        if ready:
            self.bound.callback(None)
            assert "READY=1\nSTATUS=0 connections" in self.manager.told()
        return self

    def told(self, after: float = 0.0) -> list[str]:
        self.reactor.advance(after)
        return self.manager.told()

    def close(self) -> None:
        self.manager.socket.close()
        for call, arguments, keywords in self.reactor.triggers.get("after", {}).get("shutdown", []):
            call(*arguments, **keywords)
        self.systemd.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Unit]]:
    units: list[Unit] = []

    def made(address: str = "", **environment: str) -> Unit:
        units.append(Unit(address or str(tmp_path / "notify"), **environment))
        return units[-1]

    yield made
    for unit in units:
        unit.close()


Make = Callable[..., Unit]


# --- ready


def test_it_is_ready_when_the_reactor_runs_and_all_listeners_are_bound(make: Make) -> None:
    unit = make().start(ready=False)
    assert unit.told() == []
    unit.bound.callback(None)
    assert unit.told() == ["READY=1\nSTATUS=0 connections"]


def test_it_is_never_ready_when_a_listener_cannot_be_bound_and_says_why(make: Make) -> None:
    unit = make()
    unit.bound = fail(OSError("Address\nin use"))
    unit.start(ready=False)
    assert unit.told() == ["STATUS=cannot listen: Address in use"]
    assert unit.told(10 * STATUS_EVERY) == []


def test_it_is_not_ready_any_more_when_it_has_begun_to_drain_meanwhile(make: Make) -> None:
    unit = make().start(ready=False)
    unit.systemd.stopService()
    unit.bound.callback(None)
    assert not any("READY" in message for message in unit.told())


def test_an_address_may_be_in_the_abstract_namespace(make: Make) -> None:
    make(f"@nettool-test-{os.getpid()}").start()


@pytest.mark.parametrize(
    ("environment", "is_there"),
    [
        ({}, False),
        ({"NOTIFY_SOCKET": ""}, False),
        ({"NOTIFY_SOCKET": "relative"}, False),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, False),
        ({"NOTIFY_SOCKET": "/run/systemd/notify"}, True),
        ({"NOTIFY_SOCKET": "@/org/freedesktop/systemd1/notify"}, True),
    ],
)
def test_without_a_socket_that_it_can_use_it_is_not_there(environment: dict[str, str], is_there: bool) -> None:
    assert Systemd.is_there(environment) is is_there


# --- status


def test_the_status_is_told_when_it_has_changed(make: Make) -> None:
    unit = make().start()
    assert unit.told(STATUS_EVERY) == []
    unit.connections = 3
    assert unit.told(STATUS_EVERY) == ["STATUS=3 connections"]
    assert unit.told(STATUS_EVERY) == []


# --- reload


def test_a_reload_is_told_with_its_time_and_is_over_when_its_deferred_has_fired(make: Make) -> None:
    unit = make().start()
    under_way: Deferred[str] = Deferred()
    results: list[object] = []
    unit.systemd.around(lambda: under_way)().addCallback(results.append)
    assert unit.told() == ["RELOADING=1\nMONOTONIC_USEC=12500000"]
    assert unit.told(1.0) == []
    under_way.callback("done")
    assert unit.told() == ["READY=1\nSTATUS=0 connections"]
    assert results == ["done"]


def test_a_reload_that_fails_is_over_too(make: Make) -> None:
    unit = make().start()
    failed: list[object] = []

    def reload() -> None:
        raise ZeroDivisionError

    unit.systemd.around(reload)().addErrback(lambda failure: failed.append(failure.type))
    assert unit.told() == ["RELOADING=1\nMONOTONIC_USEC=12500000", "READY=1\nSTATUS=0 connections"]
    assert failed == [ZeroDivisionError]


def test_a_reload_before_it_is_ready_or_while_it_drains_is_not_told(make: Make) -> None:
    unit = make().start(ready=False)
    unit.systemd.around(lambda: succeed(None))()
    assert unit.told() == []
    unit.bound.callback(None)
    under_way: Deferred[None] = Deferred()
    unit.systemd.around(lambda: under_way)()
    unit.told()
    unit.systemd.stopService()
    unit.told()
    under_way.callback(None)
    unit.systemd.around(lambda: succeed(None))()
    assert unit.told() == []


# --- the end


def test_a_drain_is_told_and_time_is_asked_for_as_long_as_it_turns(make: Make) -> None:
    unit = make().start()
    unit.systemd.stopService()
    assert unit.told() == ["STOPPING=1\nSTATUS=draining", "EXTEND_TIMEOUT_USEC=20000000"]
    for _ in range(10):
        assert unit.told(DRAIN_EVERY) == ["EXTEND_TIMEOUT_USEC=20000000"]
    unit.systemd.stopService()
    assert unit.told() == []


# --- signs of life


def test_signs_of_life_come_at_half_of_the_time_from_the_start_on(make: Make) -> None:
    unit = make(WATCHDOG_USEC="4000000", WATCHDOG_PID=str(os.getpid())).start(ready=False)
    assert unit.told() == ["WATCHDOG=1"]
    assert unit.told(1.9) == []
    assert unit.told(0.1) == ["WATCHDOG=1"]
    unit.bound.callback(None)
    unit.told()
    unit.connections = 1
    assert unit.told(2.0) == ["WATCHDOG=1\nSTATUS=1 connections"]
    unit.systemd.stopService()
    unit.told()
    assert unit.told(2.0) == ["WATCHDOG=1"], "while it drains, too"


def test_a_reactor_that_does_not_turn_gives_no_sign_of_life(make: Make) -> None:
    unit = make(WATCHDOG_USEC="4000000").start()
    # Nothing but the reactor's own clock brings one about.
    assert len(unit.reactor.getDelayedCalls()) == 1
    assert unit.manager.told() == []


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": ""},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"},
    ],
    ids=str,
)
def test_without_a_watchdog_or_with_one_for_another_process_there_are_none(
    environment: dict[str, str], make: Make
) -> None:
    unit = make(**environment).start()
    assert unit.told(10 * STATUS_EVERY) == []


# --- a manager that has trouble of its own


def test_what_there_is_no_room_for_follows_later_in_order_and_signs_of_life_are_not_piled_up(make: Make) -> None:
    unit = make(WATCHDOG_USEC="200000").start()
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    filler.setblocking(False)
    filled = 0
    with pytest.raises(BlockingIOError):
        while True:
            filler.sendto(b"x", unit.manager.socket.getsockname())
            filled += 1
    filler.close()
    unit.systemd.around(lambda: None)()
    unit.systemd.stopService()
    unit.reactor.advance(RETRY)
    assert unit.manager.told() == ["x"] * filled
    unit.reactor.advance(RETRY)
    told = unit.manager.told()
    assert [message.split("=")[0] for message in told[:4]] == ["RELOADING", "READY", "STOPPING", "EXTEND_TIMEOUT_USEC"]
    assert [message for message in told[4:] if message != "WATCHDOG=1"] == []
    assert len(told) <= 6


def test_a_manager_that_is_gone_is_told_of_once_in_the_log_and_harms_nothing(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    unit = make(WATCHDOG_USEC="4000000").start()
    unit.manager.socket.close()
    for _ in range(5):
        unit.reactor.advance(2.0)
    assert caplog.text.count("systemd cannot be told") == 1
