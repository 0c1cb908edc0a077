"""What each signal brings about, in this process; tests/real/test_signals.py has processes of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.testing import MemoryReactorClock

from nettool.ops.signals import Signals

CALLS = ("HUP", "USR1", "USR2")
ALL = [signal.Signals[f"SIG{name}"] for name in ("TERM", "INT", *CALLS)]


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ALL}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class SignalledReactor(MemoryReactorClock):
    """A reactor that does at once what a signal's handler asks it to."""

    def callFromThread(self, call: Callable[..., None], *arguments: object) -> None:
        call(*arguments)

    def begin(self) -> None:
        for call, arguments, keywords in self.whenRunningHooks:
            call(*arguments, **keywords)


class Process:
    """What signals bring about here: `done` has the names of the calls."""

    def __init__(self, **results: Callable[[], object]) -> None:
        self.done: list[str] = []
        self.reactor = SignalledReactor()
        self.signals = Signals(
            self.reactor,
            drain=self.does("drain"),
            abort=self.does("abort"),
            **{name: self.does(name, results.get(name, lambda: None)) for name in CALLS},
        )

    def does(self, name: str, result: Callable[[], object] = lambda: None) -> Callable[[], object]:
        def call() -> object:
            self.done.append(name)
            return result()

        return call

    def start(self) -> Process:
        self.signals.startService()
        self.reactor.begin()
        return self

    def send(self, *names: str) -> list[str]:
        """Send these signals, and take what they have brought about."""
        for name in names:
            os.kill(os.getpid(), signal.Signals[f"SIG{name}"])
        done, self.done = self.done, []
        return done


@pytest.mark.parametrize("names", [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT"), ("INT", "TERM")])
def test_the_first_one_drains_and_every_other_aborts(names: tuple[str, str]) -> None:
    process = Process().start()
    assert process.send(names[0]) == ["drain"]
    assert process.send(names[1], names[1]) == ["abort", "abort"]


def test_each_of_the_others_brings_about_its_call_every_time() -> None:
    process = Process().start()
    for name in CALLS * 2:
        assert process.send(name) == [name]


def test_they_go_on_while_it_drains() -> None:
    process = Process().start()
    assert process.send("TERM", *CALLS) == ["drain", *CALLS]


def test_what_comes_before_the_reactor_runs_waits_for_it_and_is_done_once() -> None:
    process = Process()
    process.signals.hold()
    assert process.send("HUP", "HUP", "USR2") == []
    process.signals.startService()
    assert process.send("USR1", "USR1") == []
    process.reactor.begin()
    assert process.send() == ["HUP", "USR1", "USR2"]


def test_nothing_is_installed_for_the_end_until_the_reactor_has_installed_its_own() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    process = Process()
    process.signals.hold()
    process.signals.startService()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.parametrize("when", ["before", "after"], ids=lambda when: f"{when} they are held")
def test_who_has_taken_a_signal_keeps_it(when: str) -> None:
    taken: list[int] = []
    process = Process()
    if when == "after":
        process.signals.hold()
    signal.signal(signal.SIGUSR1, lambda number, frame: taken.append(number))
    process.start()
    assert process.send("USR1", "USR2") == ["USR2"]
    assert taken == [signal.SIGUSR1]


def raises() -> None:
    raise ZeroDivisionError("a bad file")


@pytest.mark.parametrize("bad", [raises, lambda: fail(ZeroDivisionError("later"))], ids=["raises", "fails"])
def test_a_call_that_fails_is_logged_and_the_signal_works_again(
    bad: Callable[[], object], logged_failures: Any, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(HUP=bad).start()
    assert process.send("HUP", "HUP", "TERM") == ["HUP", "HUP", "drain"]
    assert len(logged_failures.flush(ZeroDivisionError)) == 2
    assert "SIGHUP" in caplog.text


def test_calls_of_one_signal_never_overlap_and_many_meanwhile_are_one_more() -> None:
    waiting: list[Deferred[None]] = []

    def reload() -> Deferred[None]:
        waiting.append(Deferred())
        return waiting[-1]

    process = Process(HUP=reload).start()
    assert process.send("HUP", "HUP", "HUP", "USR1") == ["HUP", "USR1"]
    waiting.pop().callback(None)
    assert process.send() == ["HUP"]
    waiting.pop().callback(None)
    assert process.send() == []
    assert process.send("HUP") == ["HUP"]
    waiting.pop().callback(None)
    assert waiting == []


def test_a_call_whose_deferred_has_fired_already_has_ended() -> None:
    process = Process(USR2=lambda: succeed(None)).start()
    assert process.send("USR2", "USR2") == ["USR2", "USR2"]
