"""Storms drawn from seeds, on a node in its own process: every line is accounted for, whatever happens around it.

STORM_SEEDS=100 tries so many seeds for each kind, instead of the few of the suite.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.books import Books, Totals
from tests.real.callers import Caller, Crowd, Habit
from tests.real.conftest import Start
from tests.real.node import Street, open_descriptors_limit
from tests.real.storm import ABRUPT, OPTIONS, WEIGHTS, Ending, Storm

MORE = int(os.environ.get("STORM_SEEDS", "0"))


def seeds(*few: int) -> list[int]:
    """The seeds of the suite, or as many as were asked for."""
    return list(range(MORE)) if MORE else list(few)


@contextmanager
def told_how_to_repeat(request: pytest.FixtureRequest, seed: int) -> Iterator[None]:
    """Whatever goes wrong inside: the failure says which seed it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"to repeat: STORM_SEEDS={max(MORE, seed + 1)} pytest '{request.node.nodeid}'")
        raise


def options(taken: str, ending: Ending) -> list[str]:
    """Of the node: where somebody may be cut off for being slow, that happens soon."""
    more = [*OPTIONS, ("--on-name-taken", taken)]
    if ending is Ending.STUCK:
        more += [("--drain-timeout", "1s"), ("--stall-timeout", "300ms")]
    elif ending is Ending.TWICE:
        more += [("--drain-timeout", "20s"), ("--topic-overflow", "disconnect")]
    else:
        more += [("--drain-timeout", "20s")]
    return [word for pair in more for word in pair]


def totals(street: Street) -> str:
    """The ledger at the end of a node's log."""
    found = re.search(r'totals: ([^"]*)', "\n".join(street.node.out))
    assert found is not None, street.node.report()
    return found[1]


def weather(street: Street, storm: Storm, ending: Ending) -> None:
    """One storm from its first event to the node's end; then the books are closed."""
    try:
        storm.set_up()
        storm.blow()
        storm.end(ending, lambda: street.node.signal(signal.SIGTERM))
        assert street.node.wait() == 0, street.node.report()
    finally:
        storm.crowd.close()
    storm.close_books(totals(street), strict=ending in (Ending.CALM, Ending.SUDDEN))
    closed = re.search(r"connections closed: \{([^}]*)\}", "\n".join(street.node.out))
    assert closed is not None, street.node.report()
    counts = [int(count) for count in re.findall(r": (\d+)", closed[1])]
    if ending is Ending.CALM:
        assert sum(counts) == storm.connects, street.node.report()
    else:  # the last ones may have come too late
        assert sum(counts) <= storm.connects, street.node.report()


@contextmanager
def others_at_work(core: int, count: int = 2) -> Iterator[None]:
    """Processes that want all of this core, all the time."""
    burners: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            burners.append(burner)
            os.sched_setaffinity(burner.pid, {core})
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


KINDS = [(ending, taken) for ending in Ending for taken in ("reject", "takeover")]
if not MORE:  # these two take longest
    KINDS.remove((Ending.STUCK, "reject"))
    KINDS.remove((Ending.TWICE, "takeover"))


@pytest.mark.parametrize("ending, taken", KINDS, ids=lambda it: it.value if isinstance(it, Ending) else it)
@pytest.mark.parametrize("seed", seeds(1))
def test_in_a_storm_every_line_is_accounted_for(
    start: Start, request: pytest.FixtureRequest, seed: int, ending: Ending, taken: str
) -> None:
    street = start(*options(taken, ending))
    with told_how_to_repeat(request, seed):
        name, endpoint = f"{seed} {ending.value} {taken}", street.node.endpoint()
        weather(street, Storm(name, endpoint, takeover=taken == "takeover"), ending)


@pytest.mark.parametrize("taken", ["reject", "takeover"])
@pytest.mark.parametrize("seed", seeds(2))
def test_where_everybody_goes_in_order_the_counts_are_equal(
    start: Start, request: pytest.FixtureRequest, seed: int, taken: str
) -> None:
    street = start(*options(taken, Ending.CALM))
    kinds = {what: weight for what, weight in WEIGHTS.items() if what not in ABRUPT}
    name, endpoint = f"{seed} in order {taken}", street.node.endpoint()
    storm = Storm(name, endpoint, takeover=taken == "takeover", kinds=kinds)
    with told_how_to_repeat(request, seed):
        weather(street, storm, Ending.CALM)
        if taken == "reject":
            assert all(account.orderly for account in storm.books.accounts)


@pytest.mark.parametrize("seed", seeds(6))
def test_on_a_unix_socket_every_line_is_accounted_for(start: Start, request: pytest.FixtureRequest, seed: int) -> None:
    street = start(*options("reject", Ending.CALM), listen=("unix:storm.sock",))
    endpoint = f"unix:{Path(f'/proc/{street.node.process.pid}/cwd').resolve() / 'storm.sock'}"
    with told_how_to_repeat(request, seed):
        weather(street, Storm(f"{seed} unix", endpoint, takeover=False), Ending.CALM)


@pytest.mark.parametrize("ending", [Ending.CALM, Ending.SUDDEN], ids=lambda ending: ending.value)
@pytest.mark.parametrize("seed", seeds(5))
def test_beside_others_that_take_the_core_every_line_is_accounted_for(
    start: Start, request: pytest.FixtureRequest, seed: int, ending: Ending
) -> None:
    street = start(*options("takeover", ending))
    storm = Storm(f"{seed} beside {ending.value}", street.node.endpoint(), takeover=True, amount=300)
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(street.node.process.pid, {core})
    with told_how_to_repeat(request, seed), others_at_work(core):
        weather(street, storm, ending)


def test_a_drain_of_thousands_most_of_whom_say_nothing(start: Start) -> None:
    street = start("--drain-timeout", "60s", "--login-timeout", "60s")
    crowd, books, silent, connects = Crowd(), Books(), [], min(2000, open_descriptors_limit() // 3)
    host, _, port = street.node.endpoint().removeprefix("tcp:").rpartition(":")

    def connect(name: bytes, words: bytes = b"") -> Caller:
        caller = Caller(crowd, books.open(name), (host, int(port)))
        caller.say(words or name + b"\n")
        return caller

    try:
        for number in range(connects):
            name = b"c%d" % number
            match number % 5:
                case 0 | 1:
                    connect(name, name + b"\n/join #all\n")
                case 2:
                    connect(b"", b"never a whole name")
                case 3:
                    connect(b"", b"\n")
                case _:
                    silent.append(connect(name))
            crowd.turn()
        speaker = connect(b"speaker")
        speaker.say(speaker.account.ping())
        crowd.until(lambda: speaker.account.pongs == 0, "all are in")
        for caller in silent[::20]:
            caller.turn_to(Habit.STOPPED)
        street.node.signal(signal.SIGTERM)
        for number in range(100):
            if speaker.may_speak:
                speaker.say(speaker.account.lines([b"#all", b"c%d" % (4 + number)], 3, 100))
            crowd.turn()
        crowd.until(lambda: all(caller.habit is Habit.STOPPED for caller in crowd.callers), "all have heard")
        assert street.node.wait() == 0, street.node.report()
    finally:
        crowd.close()
    for account in books.accounts:
        assert account.bye == b"shutdown" or not account.always_read, account
    books.close(Totals(totals(street)), [])
    assert f"connections closed: {{'shutdown': {connects + 1}}}" in "\n".join(street.node.out), street.node.report()
