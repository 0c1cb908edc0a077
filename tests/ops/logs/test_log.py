"""The observer: what it lets through, what it counts, and that nothing it is given can make Twisted drop it."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import Logger, LogLevel, LogPublisher, globalLogPublisher
from twisted.python.failure import Failure

from nettool.ops.logs import FORMATS, LEVELS, Log
from nettool.ops.logs.bursts import BURST, KINDS, PERIOD, Bursts
from nettool.ops.logs.log import LAST_PATIENCE, NESTED, RETRY
from tests.ops.logs.evil import TERRIBLE


class MemorySink:
    """Lines in memory; `takes` is what it has room for."""

    is_terminal = False

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.lost = 0
        self.takes: Callable[[], bool] = lambda: True
        self.is_behind = False
        self.patience: list[float] = []
        self.path = ""

    def write(self, line: str, level: str) -> bool:
        if not self.takes():
            self.lost += 1
            return False
        assert "\n" not in line.replace("\n\t", "")
        self.lines.append(line)
        return True

    def go_on(self, patience: float = 0.0) -> bool:
        self.patience.append(patience)
        return not self.is_behind

    def rotate(self) -> str:
        if self.path == "fails":
            raise OSError(13, "Permission denied", "/var/log/x")
        self.lines.clear()
        return self.path


class Room:
    """A log on a clock, beside another observer as Twisted's publisher has it."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.sink = MemorySink()
        self.log = Log(self.clock, self.sink, **options)
        self.others: list[dict[str, Any]] = []
        self.publisher = LogPublisher(self.log, self.others.append)
        self.logger = Logger("a.room", observer=self.publisher)

    def entries(self) -> list[dict[str, Any]]:
        """What has been written, and is taken now."""
        lines, self.sink.lines = self.sink.lines, []
        return [json.loads(line) for line in lines]

    def messages(self) -> list[str]:
        return [entry["message"] for entry in self.entries()]


@pytest.fixture
def room() -> Room:
    return Room()


# --- levels and formats


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_below_the_level_is_left_out(level: str) -> None:
    room = Room(level=level)
    for each in LEVELS:
        getattr(room.logger, each)(each)
    assert room.messages() == [each for each in LEVELS if LEVELS[each] >= LEVELS[level]]


def test_level_and_format_can_be_changed_at_any_time(room: Room) -> None:
    room.log.set("text", "warn")
    room.logger.info("not this")
    room.logger.warn("this")
    [line] = room.sink.lines
    assert line.endswith("warn     this [a.room]")
    room.sink.lines.clear()
    room.log.set("json", "debug")
    room.logger.debug("and this")
    assert room.messages() == ["and this"]


@pytest.mark.parametrize(("format", "level"), [("xml", "info"), ("text", "loud"), ("", "info"), ("json", "")])
def test_a_format_or_level_that_is_none_is_refused_and_nothing_changes(format: str, level: str, room: Room) -> None:
    room.log.set("text", "warn")
    with pytest.raises(ValueError, match="expected"):
        room.log.set(format, level)
    assert (room.log.format, room.log.level) == ("text", "warn")
    assert set(FORMATS) == {"text", "json"}


@pytest.mark.parametrize(("is_terminal", "start"), [(True, "-"), (False, "{")])
def test_without_a_format_it_is_text_on_a_terminal_and_else_json(is_terminal: bool, start: str, room: Room) -> None:
    room.sink.is_terminal = is_terminal
    room.log({"log_format": "x", "log_time": float("nan")})
    assert room.sink.lines[0].startswith(start)


def test_an_event_without_text_name_or_failure_is_left_out_as_twisted_does_it(room: Room) -> None:
    room.log({"log_format": None, "a": 1})
    room.log({})
    assert room.sink.lines == []


# --- evil events


def terrible_events() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{}, {"log_format": "{missing}"}, {"log_format": b"\xff"}, {"log_format": "{0}"}]
    found += [{"log_format": "{"}, {"log_format": "{x.y.z}", "x": 1}, {"log_format": "{x()}", "x": 1}]
    for value in TERRIBLE:
        found += [
            {"log_format": "{value} {value!r} {value.x}", "value": value},
            {"log_format": "{value()}", "value": value},
            *({"log_format": "x", key: value} for key in ("log_level", "log_namespace", "log_time", "event")),
            {"log_format": value, "log_failure": value, "failure": value},
            {"log_text": value, "log_format": "{log_text}", "why": value, "isError": value, "time": value},
            {"log_io": value, "log_format": "{log_io}"},
        ]
        try:
            found.append({value: value, "log_format": "x"})
        except BaseException:
            pass
    return found


def test_nothing_in_an_event_makes_twisted_drop_the_observer(room: Room) -> None:
    room.log.set("json", "debug")
    events = terrible_events()
    for event in events:
        room.publisher(event)
        room.clock.advance(PERIOD)
        for line in room.sink.lines:
            json.loads(line)
        room.sink.lines.clear()
    assert len(room.others) == len(events), "the other observer is told of no failure of ours"
    room.logger.info("it still writes")
    assert room.messages() == ["it still writes"]
    assert room.sink.lost == 0


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), RecursionError()])
def test_an_event_that_cannot_be_shown_leaves_a_line(error: BaseException, room: Room) -> None:
    class Liar(dict[str, Any]):
        def items(self) -> Any:
            raise error

    room.log(Liar(log_format="x"))
    [entry] = room.entries()
    assert (entry["event"], entry["level"]) == ("unloggable", "error")
    assert type(error).__name__ in entry["message"]
    for _ in range(100):
        room.log(Liar(log_format="x"))
    assert len(room.entries()) == BURST - 1, "a burst of them is one too"


def test_an_event_that_logs_while_it_is_written_is_followed_by_that(room: Room) -> None:
    class Talker:
        def __repr__(self) -> str:
            room.logger.info("within")
            return "talker"

    room.logger.info("{x}", x=Talker())
    assert room.messages() == ["talker", "within", "within"]  # once for the message, once for the field


def test_one_that_logs_itself_ends(room: Room) -> None:
    class Endless:
        def __repr__(self) -> str:
            room.logger.info("{x}", x=self)
            return "endless"

    room.logger.info("{x}", x=Endless())
    assert 1 <= len(room.sink.lines) <= NESTED


def test_the_fault_of_a_deferred_that_is_thrown_away_is_written_whole(room: Room, logged_failures: Any) -> None:
    globalLogPublisher.addObserver(room.log)
    try:
        deferred: Deferred[None] = Deferred()
        deferred.errback(Failure(ZeroDivisionError("forgotten")))
        del deferred
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(room.log)
    assert logged_failures.flush(ZeroDivisionError)
    announced, entry = room.entries()
    assert announced["message"] == "Unhandled error in Deferred:"
    assert (entry["level"], entry["failure"]["message"]) == ("critical", "forgotten")


async def test_threads_log_without_mixing_lines(room: Room) -> None:
    room.clock.callFromThread = lambda call, *arguments: None  # type: ignore[attr-defined]
    room.log = Log(room.clock, room.sink, bursts=Bursts(burst=10_000))
    logger = Logger("threads", observer=room.log)
    barrier = threading.Barrier(4)

    def work(name: int) -> None:
        barrier.wait(30)
        for number in range(200):
            logger.info("{name} {number}", name=name, number=number)

    for work_done in [deferToThread(work, name) for name in range(4)]:
        await work_done
    messages = room.messages()
    assert len(messages) == 800
    for name in range(4):
        assert [each for each in messages if each.startswith(f"{name} ")] == [f"{name} {n}" for n in range(200)]


async def test_a_burst_in_a_thread_is_counted_in_the_reactors(room: Room) -> None:
    asked: list[Any] = []
    room.clock.callFromThread = lambda *call: asked.append(call)  # type: ignore[attr-defined]
    await deferToThread(lambda: [room.logger.info("x") for _ in range(20)])
    [(call, *arguments)] = asked
    assert room.clock.getDelayedCalls() == []
    call(*arguments)
    room.entries()
    room.clock.advance(PERIOD)
    assert room.entries()[0]["fields"]["repeated"] == 20 - BURST


# --- bursts


def test_a_burst_is_a_few_lines_and_a_count(room: Room) -> None:
    for number in range(386):
        room.logger.warn("slow consumer: {name!r}", event="slow-consumer", name=f"peer {number}", peer="x")
    assert len(room.entries()) == BURST == 5
    room.clock.advance(PERIOD - 0.1)
    assert room.entries() == []
    room.clock.advance(0.1)
    [entry] = room.entries()
    assert entry["message"] == "slow consumer: <name> … repeated 381 times in 10 s"
    assert entry["fields"] == {"repeated": 381, "seconds": 10.0}
    assert (entry["event"], entry["level"], entry["namespace"]) == ("slow-consumer", "warn", "a.room")
    assert room.clock.getDelayedCalls() == []
    room.logger.warn("slow consumer: {name!r}", event="slow-consumer", name="again", peer="x")
    assert room.messages() == ["slow consumer: 'again'"]


def test_a_burst_that_goes_on_is_told_of_in_each_period(room: Room) -> None:
    counts = []
    for _ in range(50):
        room.clock.advance(1.0)
        for _ in range(10):
            room.logger.info("x")
        counts += [entry["fields"].get("repeated", 1) for entry in room.entries()]
    room.clock.advance(PERIOD)
    counts += [entry["fields"].get("repeated", 1) for entry in room.entries()]
    assert sum(counts) == 500
    assert len(counts) <= 6 * (BURST + 1)


def test_kinds_that_began_at_different_times_are_each_told_of_at_their_own(room: Room) -> None:
    for kind in "abc":
        for _ in range(10):
            room.logger.info(kind)
        room.clock.advance(1.0)
    room.entries()
    told = []
    for _ in range(30):
        room.clock.advance(0.5)
        told += [(room.clock.seconds(), message) for message in room.messages()]
    assert [(when, message[0]) for when, message in told] == [(10.0, "a"), (11.0, "b"), (12.0, "c")]
    assert room.clock.getDelayedCalls() == []


def test_what_is_said_once_is_never_held_back(room: Room) -> None:
    for number in range(100):
        room.logger.info("{node} listening on {where}", event="listening", node="n", where=number)
    assert len(room.entries()) == 100


def test_errors_of_different_kinds_do_not_hide_each_other_in_a_flood_of_anything(room: Room) -> None:
    def boom(number: int) -> Failure:
        try:
            raise [ValueError, KeyError, TypeError, OSError][number](number)
        except Exception:
            return Failure()

    for number in range(5 * KINDS):
        room.logger.info(f"flood {number}")
        room.logger.error("one error")
    room.entries()
    for number in range(4):
        room.logger.failure("the session failed", boom(number), event="session-failed", name="x", peer="y")
    room.logger.critical("another")
    entries = room.entries()
    assert [entry["failure"]["type"].rpartition(".")[2] for entry in entries[:4]] == [
        "ValueError",
        "KeyError",
        "TypeError",
        "OSError",
    ]
    assert entries[4]["message"] == "another"


def test_twisteds_own_line_for_each_refused_connection_is_counted_too(room: Room) -> None:
    for number in range(1000):
        room.logger.info("EMFILE recovery: Closed socket from {address}", address=("10.0.0.1", number))
    room.clock.advance(PERIOD)
    entries = room.entries()
    assert [entry["event"] for entry in entries] == ["connection-refused"] * (BURST + 1)
    assert entries[-1]["fields"]["repeated"] == 1000 - BURST


def test_kinds_beyond_those_that_are_told_apart_are_counted_together(room: Room) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    for one in letters:
        for two in letters:
            room.logger.info(f"kind {one}{two}")
    room.clock.advance(PERIOD)
    last = room.entries()[-1]
    assert last["message"] == f"other lines of level info … repeated {26 * 26 - KINDS // 2 - BURST} times in 10 s"
    assert last["event"] is None


def test_the_end_tells_what_was_held_back(room: Room) -> None:
    for _ in range(100):
        room.logger.info("x")
    room.entries()
    room.clock.advance(2.5)
    room.log.end()
    assert room.messages() == ["x … repeated 95 times in 2.5 s"]
    room.clock.advance(PERIOD)
    assert room.entries() == []


# --- what becomes of lines


def test_lines_that_are_lost_are_counted_in_the_first_one_that_is_not(room: Room) -> None:
    room.sink.takes = lambda: False
    for text in "abc":
        room.logger.info(text)
    assert room.sink.lost == 3
    room.sink.takes = lambda: True
    room.logger.info("d")
    said, lost = room.entries()
    assert said["message"] == "d"
    assert (lost["event"], lost["level"], lost["fields"]) == ("log-lost", "error", {"lines": 3})
    assert room.sink.lost == 0
    room.logger.info("e")
    assert room.messages() == ["e"]


def test_a_count_of_lost_lines_that_is_lost_is_told_later(room: Room) -> None:
    room.sink.lost = 3
    answers = iter([True, False, True, True])
    room.sink.takes = lambda: next(answers)
    room.logger.info("a")
    room.logger.info("b")
    assert [entry["fields"] for entry in room.entries()] == [{}, {}, {"lines": 4}]


def test_a_sink_that_is_behind_is_asked_again_until_it_is_not(room: Room) -> None:
    room.sink.is_behind = True
    room.logger.info("x")
    assert room.log.is_behind()
    for _ in range(3):
        room.clock.advance(RETRY)
        assert len(room.clock.getDelayedCalls()) == 1
    room.sink.is_behind = False
    room.clock.advance(RETRY)
    assert not room.log.is_behind()
    assert room.clock.getDelayedCalls() == []


def test_at_the_end_a_slow_reader_is_waited_for_once(room: Room) -> None:
    room.sink.is_behind = True
    room.logger.info("x")
    room.log.end()
    room.logger.info("y")
    assert room.sink.patience == [0.0, LAST_PATIENCE, 0.0]


def test_a_new_file_begins_with_a_line_that_says_so(room: Room) -> None:
    room.sink.path = "/var/log/new"
    room.logger.info("before")
    room.log.rotate()
    [entry] = room.entries()
    assert (entry["event"], entry["fields"]) == ("log-rotated", {"path": "/var/log/new"})


def test_without_a_file_a_rotation_is_nothing(room: Room) -> None:
    room.log.rotate()
    assert room.entries() == []


def test_a_rotation_that_fails_is_logged_where_the_log_is(room: Room) -> None:
    room.sink.path = "fails"
    room.log.rotate()
    [entry] = room.entries()
    assert (entry["event"], entry["level"]) == ("log-not-rotated", "error")
    assert entry["fields"] == {"path": "/var/log/x", "error": "Permission denied"}


def test_a_fault_of_the_logs_own_harms_nobody_and_is_counted(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(room.sink, "write", lambda *_: 1 / 0)
        room.logger.info("x")
    room.logger.info("y")
    assert [entry["event"] for entry in room.entries()] == [None, "log-lost"]
    assert len(room.others) == 2


def test_text_of_peers_is_not_in_a_failure_above_debug(room: Room) -> None:
    def fail() -> None:
        room.logger.failure(
            "the session of {name!r} at {peer} failed",
            Failure(ValueError("what alice wrote")),
            LogLevel.error,
            event="session-failed",
            name="alice",
            peer="x",
        )

    fail()
    assert "what alice wrote" not in json.dumps(room.entries())
    room.log.set(None, "debug")
    fail()
    assert "what alice wrote" in json.dumps(room.entries())
