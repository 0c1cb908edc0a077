"""Lines reach a terminal, a pipe or a file whole and in order, or are counted; nothing is waited for."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nettool.ops.logs import LEVELS
from nettool.ops.logs.sinks import HOLD, PIECE, PRIORITIES, Descriptor, File, Syslog, sink_of


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    for end in (reader, writer):
        try:
            os.close(end)
        except OSError:
            pass


def read(reader: int) -> bytes:
    """All that is in the pipe now."""
    data = b""
    while True:
        try:
            piece = os.read(reader, 65536)
        except BlockingIOError:
            return data
        if not piece:
            return data
        data += piece


def test_a_line_is_written_at_once(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Descriptor(writer)
    assert sink.write("zoë", "info")
    assert read(reader) == "zoë\n".encode()
    assert not sink.is_terminal


def test_what_a_slow_reader_does_not_take_waits_and_follows_in_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Descriptor(writer)
    lines = [f"{number} " + "x" * 1000 for number in range(500)]
    for line in lines:
        assert sink.write(line, "info")
    assert not sink.go_on()
    taken = b""
    while not sink.go_on():
        taken += read(reader)
    taken += read(reader)
    assert taken.decode().splitlines() == lines
    assert sink.lost == 0


def test_a_line_longer_than_a_pipe_takes_at_once_is_not_waited_for(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIECE)
    sink = Descriptor(writer)
    assert sink.write("x" * (10 * PIECE), "info")
    taken = b""
    while not sink.go_on():
        taken += read(reader)
    assert taken + read(reader) == b"x" * (10 * PIECE) + b"\n"


def test_of_a_reader_that_never_reads_a_bound_is_held_and_the_rest_counted(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Descriptor(writer)
    line = "x" * 9_999
    results = [sink.write(line, "info") for _ in range(200)]
    kept = sum(results)
    assert HOLD // 10_000 <= kept < HOLD // 10_000 + 10
    assert sink.lost == 200 - kept
    taken = b""
    while not sink.go_on():
        taken += read(reader)
    assert taken + read(reader) == f"{line}\n".encode() * kept


def test_at_the_end_it_waits_for_a_slow_reader_but_not_for_long(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Descriptor(writer)
    line = "x" * 999
    for _ in range(200):
        sink.write(line, "info")
    taken: list[bytes] = []

    def slowly() -> None:
        with os.fdopen(os.dup(reader), "rb") as stream:
            os.set_blocking(stream.fileno(), True)
            while sum(map(len, taken)) < 200_000:
                taken.append(stream.read1(5000))

    thread = threading.Thread(target=slowly)
    thread.start()
    assert sink.go_on(30.0)
    thread.join()
    assert b"".join(taken) == b"x" * 999 + b"\n" + (b"x" * 999 + b"\n") * 199
    for _ in range(200):
        sink.write(line, "info")
    assert not sink.go_on(0.01), "nobody reads now"


def test_a_reader_that_has_gone_costs_lines_and_nothing_else(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Descriptor(writer)
    os.close(reader)
    assert [sink.write("x", "info") for _ in range(3)] == [False] * 3
    assert sink.lost == 3
    os.close(writer)
    assert not sink.write("x", "info")
    assert sink.lost == 4


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    sink = Descriptor(full)
    assert not sink.write("x", "info")
    assert sink.lost == 1
    os.close(full)


@pytest.fixture
def short_disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A disk that has only so many bytes left for what is written: `[bytes]`."""
    room = [0]
    write = os.write

    def short(number: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(28, "No space left on device")
        written = write(number, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr("nettool.ops.logs.sinks.os.write", short)
    return room


def test_a_line_that_a_full_disk_has_cut_off_is_ended_before_the_next(tmp_path: Path, short_disk: list[int]) -> None:
    sink = File(str(tmp_path / "log"))
    short_disk[0] = 8
    assert sink.write("first", "info")
    assert not sink.write("second", "info")
    assert not sink.write("third", "info")
    short_disk[0] = 100
    assert sink.write("fourth", "info")
    assert sink.lost == 2
    assert (tmp_path / "log").read_text() == "first\nse\nfourth\n"


def test_a_cut_line_whose_end_does_not_fit_either_is_ended_later(tmp_path: Path, short_disk: list[int]) -> None:
    sink = File(str(tmp_path / "log"))
    short_disk[0] = 2
    assert not sink.write("first", "info")
    short_disk[0] = 1
    assert not sink.write("second", "info")
    short_disk[0] = 100
    assert sink.write("third", "info")
    assert (tmp_path / "log").read_text() == "fi\nthird\n"


def test_a_terminal_is_known() -> None:
    other, terminal = pty.openpty()
    assert Descriptor(terminal).is_terminal
    assert Descriptor(terminal).write("hello", "info")
    assert os.read(other, 100) == b"hello\r\n"
    os.close(other)
    os.close(terminal)


def test_a_stream_of_pythons_is_written_to_by_its_descriptor_after_what_it_holds(tmp_path: Path) -> None:
    with open(tmp_path / "out", "w") as stream:
        stream.write("printed before\n")
        sink_of(stream).write("logged", "info")
    assert (tmp_path / "out").read_text() == "printed before\nlogged\n"


def test_a_stream_without_a_descriptor_is_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    sink_of(io.StringIO()).write("logged", "info")
    closed: Any = io.StringIO()
    closed.close()
    sink_of(closed).write("again", "info")
    assert capfd.readouterr().err == "logged\nagain\n"


def test_lines_for_the_journal_begin_with_their_priority(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    about = os.fstat(writer)
    with os.fdopen(os.dup(writer), "w") as stream:
        monkeypatch.setenv("JOURNAL_STREAM", f"{about.st_dev}:{about.st_ino}")
        sink = sink_of(stream)
        for level in LEVELS:
            sink.write(level, level)
        sink.write("one\n\ttwo", "error")
        monkeypatch.setenv("JOURNAL_STREAM", f"{about.st_dev}:{about.st_ino + 1}")
        sink_of(stream).write("of another process", "info")
    assert read(reader).decode().splitlines() == [
        "<7>debug",
        "<6>info",
        "<4>warn",
        "<3>error",
        "<2>critical",
        "<3>one",
        "<3>\ttwo",
        "of another process",
    ]


# --- files


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    File(str(path)).write("after", "info")
    assert path.read_text() == "before\nafter\n"


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        File(str(tmp_path / "none" / "log"))


def test_a_file_that_was_moved_away_is_made_anew_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = File(str(path))
    path.chmod(0o640)
    sink.write("one", "info")
    path.rename(tmp_path / "moved")
    sink.write("two", "info")
    umask = os.umask(0o077)
    try:
        assert sink.rotate() == str(path)
    finally:
        os.umask(umask)
    sink.write("three", "info")
    assert (tmp_path / "moved").read_text() == "one\ntwo\n"
    assert path.read_text() == "three\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_that_somebody_has_made_anew_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = File(str(path))
    sink.write("one", "info")
    path.rename(tmp_path / "moved")
    path.touch(0o600)
    sink.rotate()
    sink.write("two", "info")
    assert path.read_text() == "two\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log", "moved"]


def test_a_file_that_nobody_moved_is_numbered_and_older_ones_move_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = File(str(path))
    for number in range(3):
        sink.write(str(number), "info")
        sink.rotate()
    texts = {each.name: each.read_text() for each in tmp_path.iterdir()}
    assert texts == {"log": "", "log.1": "2\n", "log.2": "1\n", "log.3": "0\n"}


def test_a_rotation_that_fails_leaves_the_log_where_it_is(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    path = directory / "log"
    sink = File(str(path))
    sink.write("one", "info")
    directory.rename(tmp_path / "moved")
    with pytest.raises(OSError):
        sink.rotate()
    sink.write("two", "info")
    assert (tmp_path / "moved" / "log").read_text() == "one\ntwo\n"


def test_what_is_no_file_is_never_renamed(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    sink = File(str(fifo))
    assert sink.rotate() == ""
    assert [each.name for each in tmp_path.iterdir()] == ["fifo"]
    sink.write("x", "info")
    assert os.read(reader, 10) == b"x\n"
    os.close(reader)


def test_a_path_is_kept_wherever_the_process_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = File("log")
    monkeypatch.chdir("/")
    (tmp_path / "log").rename(tmp_path / "moved")
    assert sink.rotate() == str(tmp_path / "log")


NAMES = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERR", "critical": "CRIT"}


def test_the_systems_log_gets_each_line_with_its_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    import syslog

    told: list[tuple[Any, ...]] = []
    monkeypatch.setattr(syslog, "openlog", lambda prefix: told.append((prefix,)))
    monkeypatch.setattr(syslog, "syslog", lambda priority, line: told.append((priority, line)))
    sink = Syslog("nettool")
    assert sink.write("one\n\ttwo", "critical")
    assert sink.write("three", "debug")
    assert {level: getattr(syslog, f"LOG_{name}") for level, name in NAMES.items()} == PRIORITIES
    assert told == [
        ("nettool",),
        (syslog.LOG_CRIT, "one"),
        (syslog.LOG_CRIT, "\ttwo"),
        (syslog.LOG_DEBUG, "three"),
    ]
    assert sink.go_on()
    assert sink.rotate() == ""
