"""Where the log of a process goes: as twistd and twist were told, found out of their own options."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.application.app import AppLogger
from twisted.application.service import Application
from twisted.application.twist._options import TwistOptions
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, Logger, LogLevel
from twisted.scripts.twistd import ServerOptions

from nettool.errors import SettingError
from nettool.ops.logs import Log, begin, observe
from nettool.ops.logs.sinks import File, Syslog


def twistd(*words: str) -> Any:
    """The options of twistd as they are when it makes the service."""
    options = ServerOptions()
    options.parseOptions([*words, "nettool"])
    return options


def twist(*words: str) -> Any:
    options = TwistOptions()
    options.parseOptions([*words, "nettool"])
    return options


def begun(program: Any, format: str | None = None, level: str = "info") -> Log:
    log = begin(program, Clock(), format, level)
    assert log is not None
    return log


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def say(log: Log, text: str) -> None:
    Logger("a.room", observer=log).info(text)


def told(written: str) -> list[str]:
    return [json.loads(line)["message"] for line in written.splitlines()]


@pytest.mark.parametrize("words", [["-n"], ["-n", "--logfile=-"]], ids=" ".join)
def test_in_the_foreground_it_is_standard_output(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    say(begun(twistd(*words)), "hello")
    assert told(capfd.readouterr().out) == ["hello"]


@pytest.mark.parametrize(
    ("words", "path"), [(["-n", "--logfile=x.log"], "x.log"), (["--logfile=x.log"], "x.log"), ([], "twistd.log")]
)
def test_else_it_is_a_file(words: list[str], path: str) -> None:
    say(begun(twistd(*words)), "hello")
    assert told(Path(path).read_text()) == ["hello"]


def test_with_syslog_it_is_the_systems() -> None:
    assert isinstance(begun(twistd("--syslog", "--prefix=node7")).sink, Syslog)


def test_with_a_logger_named_it_is_not_ours() -> None:
    assert begin(twistd("-n", "--logger=twisted.logger.LogPublisher"), Clock(), None, "info") is None


def test_within_something_else_it_is_not_ours() -> None:
    assert begin(None, Clock(), None, "info") is None
    assert begin({}, Clock(), None, "info") is None


@pytest.mark.parametrize(
    ("program", "named"),
    [
        (lambda: twistd("-n", "--logfile=/none/x.log"), "/none/x.log: No such file"),
        (lambda: twistd("--logfile=-"), "a daemon cannot log to its standard output"),
    ],
    ids=["no directory", "a daemon to standard output"],
)
def test_a_log_that_cannot_be_is_a_mistake_that_is_named(program: Any, named: str) -> None:
    with pytest.raises(SettingError, match=f"^logfile: .*{named}"):
        begin(program(), Clock(), None, "info")


def test_twistd_takes_the_observer_that_the_application_has() -> None:
    application = Application("nettool")
    log = begun(twistd("-n"))
    observe(application, log)
    assert application.getComponent(ILogObserver) is log
    logger: Any = AppLogger(twistd("-n"))
    assert logger._observerFactory is None, "what is named by --logger comes first, and nothing is"


def test_an_application_whose_log_is_not_ours_is_left_alone() -> None:
    application = Application("nettool")
    observe(application, None)
    assert application.getComponent(ILogObserver, None) is None
    observe(object(), begun(twistd("-n")))


# --- twist


def test_twist_gets_the_log_as_its_factorys_observer_and_leaves_the_level_to_it() -> None:
    options = twist()
    log = begun(options)
    assert options["fileLogObserverFactory"](sys.stdout) is log
    assert options["logLevel"] is LogLevel.debug


@pytest.mark.parametrize(
    ("words", "level", "in_force"),
    [([], "info", "info"), (["--log-level=error"], "info", "error"), (["--log-level=error"], "debug", "debug")],
)
def test_a_level_of_twists_own_is_taken_where_ours_is_the_default(words: list[str], level: str, in_force: str) -> None:
    assert begun(twist(*words), level=level).level == in_force


@pytest.mark.parametrize(("words", "format"), [(["--log-format=text"], "text"), (["--log-format=json"], "json")])
def test_a_format_of_twists_own_is_taken_where_ours_is_not_given(words: list[str], format: str) -> None:
    assert begun(twist(*words)).format == format
    assert begun(twist(*words), "text").format == "text"


def test_what_twist_was_told_is_what_a_reload_without_a_word_about_it_means() -> None:
    log = begun(twist("--log-format=text", "--log-level=error"), "json", "debug")
    log.set(None, "info")
    assert (log.format, log.level) == ("text", "error")


def test_a_file_of_twists_is_ours_to_rotate() -> None:
    log = begun(twist("--log-file=x.log", "--log-format=json"))
    assert isinstance(log.sink, File)
    say(log, "before")
    Path("x.log").rename("y.log")
    log.rotate()
    say(log, "after")
    assert told(Path("y.log").read_text()) == ["before"]
    assert told(Path("x.log").read_text())[-1] == "after"


def test_standard_error_of_twists_is_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    options = twist("--log-format=json")
    options["logFile"] = sys.stderr  # as --log-file=+ has it, but for pytest's own
    say(begun(options), "hello")
    assert told(capfd.readouterr().err) == ["hello"]
